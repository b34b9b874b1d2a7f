# Short forms, operators and values.

CREATE TABLE users (name, age INTEGER, email)
----
ok: table users created

INSERT INTO users (name, age, email) VALUES ('Alice', 30, 'alice@example.org'), ('Bob', NULL, 'bob@example.com'), ('andy', 17, NULL)
----
ok: 3 rows inserted

SELECT FROM users
----
[name|age|email]
Alice|30|alice@example.org
Bob|NULL|bob@example.com
andy|17|NULL

select distinct from users where age > 1 order by age;
----
[name|age|email]
andy|17|NULL
Alice|30|alice@example.org

SELECT name FROM users WHERE email CONTAINS '@example' AND name STARTSWITH 'A' OR NOT age > 20
----
[name]
Alice
andy

SELECT name FROM users WHERE name NOT ENDSWITH 'e' AND age IS NOT NULL
----
[name]
andy

SELECT 'a*b' CONTAINS '*', 'ab' CONTAINS '*', 'A' STARTSWITH 'a', NULL CONTAINS 'a', 'a' CONTAINS NULL, 'abc' ENDSWITH 'b' || 'c', '[x' STARTSWITH '['
----
['a*b' CONTAINS '*'|'ab' CONTAINS '*'|'A' STARTSWITH 'a'|NULL CONTAINS 'a'|'a' CONTAINS NULL|'abc' ENDSWITH 'b' || 'c'|'[x' STARTSWITH '[']
1|0|0|NULL|NULL|1|1

SELECT 'x' CONTAINS 'x' = 'y' CONTAINS 'y' AS both, true AS yes, false AS no, 1 != 2 AS differ
----
[both|yes|no|differ]
0|1|0|1

GET users _id 1; GET users 2; GET users name 'andy'
----
[_id|name|age|email]
1|Alice|30|alice@example.org
[_id|name|age|email]
2|Bob|NULL|bob@example.com
[_id|name|age|email]
3|andy|17|NULL

COUNT users; count users where age is null
----
[count]
3
[count]
1

SELECT "name" AS "SELECT FROM" FROM users WHERE name = 'SELECT FROM x; TICK' -- not a TICK
----
[SELECT FROM]

SELECT count(*) /* a comment; with a semicolon */ FROM users;; SELECT 1;
----
[count(*) /* a comment; with a semicolon */]
3
[1]
1

UPDATE users SET age = age + 1 WHERE age > 20; SELECT name, age FROM users ORDER BY _id
----
ok: 1 row updated
[name|age]
Alice|31
Bob|NULL
andy|17

DELETE FROM users WHERE age < 18; COUNT users
----
ok: 1 row deleted
[count]
2

SELECT json_group_array(name) FROM users WHERE _id IN (1, 2)
----
[json_group_array(name)]
["Alice","Bob"]

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT sum(i) FROM n
----
[sum(i)]
10

SELECT name, row_number() OVER (ORDER BY name DESC) FROM users
----
[name|row_number() OVER (ORDER BY name DESC)]
Bob|1
Alice|2

SELECT duration_ms('1 day') / 1000, x'00ff'
----
[duration_ms('1 day') / 1000|x'00ff']
86400|00ff

DROP TABLE users; DROP TABLE IF EXISTS users
----
ok: table users dropped
ok: there was no table users

