# User tables: definitions, defaults, rules, and that they stay.

CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER DEFAULT 18, email TEXT UNIQUE, active BOOLEAN DEFAULT TRUE)
----
ok: table people created

INSERT INTO people (name, email) VALUES ('Ann', 'ann@x.org'), ('Ben', 'ben@x.org')
----
ok: 2 rows inserted

SELECT FROM people
----
[id|name|age|email|active]
1|Ann|18|ann@x.org|1
2|Ben|18|ben@x.org|1

INSERT INTO people (name, age) VALUES ('Cy', NULL); SELECT age FROM people WHERE name = 'Cy'
----
ok: 1 row inserted
[age]
NULL

INSERT INTO people (name, age) VALUES ('Di', '42'); SELECT typeof(age), age FROM people WHERE name = 'Di'
----
ok: 1 row inserted
[typeof(age)|age]
integer|42

INSERT INTO people (age) VALUES (3)
----
error: people.name must have a value: it is NOT NULL

INSERT INTO people (name, email) VALUES ('Ed', 'ed@x.org'), ('Flo', 'fl@x.org'), ('Ann two', 'ann@x.org')
----
error: people already has a row with email = 'ann@x.org'; it must be unique

COUNT people
----
[count]
4

INSERT OR IGNORE INTO people (name, email) VALUES ('Ed', 'ed@x.org'), ('Ann two', 'ann@x.org')
----
ok: 1 row inserted

INSERT OR REPLACE INTO people (name, email) VALUES ('Ann two', 'ann@x.org'); SELECT id, name FROM people ORDER BY id
----
ok: 1 row inserted
[id|name]
2|Ben
3|Cy
4|Di
5|Ed
7|Ann two

INSERT INTO people (id, name) VALUES (1, 'One again'), (6, 'Six')
----
ok: 2 rows inserted

INSERT INTO people (id, name) VALUES (100, 'Hundred'); INSERT INTO people (name) VALUES ('Next'); SELECT id FROM people WHERE name = 'Next'
----
ok: 1 row inserted
ok: 1 row inserted
[id]
101

UPDATE people SET email = 'ben@x.org' WHERE name = 'Di'
----
error: people already has a row with email = 'ben@x.org'; it must be unique

UPDATE people SET id = 50 WHERE name = 'Next'; SELECT id, name FROM people WHERE id > 40
----
ok: 1 row updated
[id|name]
50|Next
100|Hundred

UPDATE people SET name = NULL
----
error: people.name must have a value: it is NOT NULL

DELETE FROM people WHERE id = 50; SELECT count(*), max(id) FROM people
----
ok: 1 row deleted
[count(*)|max(id)]
8|100

CREATE TABLE pairs (a, b, PRIMARY KEY (a, b)); INSERT INTO pairs VALUES (1, 1), (1, 2); INSERT INTO pairs VALUES (1, 2.0)
----
error: pairs already has a row with a = 1, b = 2; it must be unique

INSERT INTO pairs VALUES (NULL, 1)
----
error: pairs.a must have a value: it is NOT NULL

CREATE TABLE IF NOT EXISTS pairs (x)
----
ok: table pairs was already there

CREATE TABLE pairs (x)
----
error: table pairs is already there; write CREATE TABLE IF NOT EXISTS to accept it
CREATE TABLE pairs (x)
             ^^^^^

CREATE TABLE plain (a, b); INSERT INTO plain VALUES (1, 'x'), (2.5, NULL), (x'01', ''); SELECT typeof(a), typeof(b), _id FROM plain
----
ok: table plain created
ok: 3 rows inserted
[typeof(a)|typeof(b)|_id]
integer|text|1
real|null|2
blob|text|3

INSERT INTO plain DEFAULT VALUES; INSERT INTO plain (b, a) SELECT a, b FROM plain WHERE _id < 3; SELECT _id, a, b FROM plain
----
ok: 1 row inserted
ok: 2 rows inserted
[_id|a|b]
1|1|x
2|2.5|NULL
3|01|
4|NULL|NULL
5|x|1
6|NULL|2.5

INSERT INTO plain (a) VALUES (7) RETURNING a
----
[a]
7

DESCRIBE people
----
[name|type|not_null|default_value|primary_key]
id|INTEGER|1|NULL|1
name|TEXT|1|NULL|0
age|INTEGER|0|18|0
email|TEXT|0|NULL|0
active|BOOLEAN|0|TRUE|0

SELECT name, columns, sql FROM tables WHERE kind = 'user'
----
[name|columns|sql]
pairs|2|CREATE TABLE pairs (a, b, PRIMARY KEY (a, b))
people|5|CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER DEFAULT (18), email TEXT, active BOOLEAN DEFAULT (TRUE), UNIQUE (email))
plain|2|CREATE TABLE plain (a, b)

#reopen

SELECT id, name FROM people ORDER BY id; COUNT plain
----
[id|name]
1|One again
2|Ben
3|Cy
4|Di
5|Ed
6|Six
7|Ann two
100|Hundred
[count]
7

INSERT INTO people (name) VALUES ('After'); SELECT id FROM people WHERE name = 'After'
----
ok: 1 row inserted
[id]
102

DROP TABLE people; TABLES
----
ok: table people dropped
[name|kind|columns|sql]
blobs|system|8|NULL
budgets|system|8|NULL
columns|system|7|NULL
forecast|system|9|NULL
history|system|18|NULL
levels|system|4|NULL
objects|system|24|NULL
pairs|user|2|CREATE TABLE pairs (a, b, PRIMARY KEY (a, b))
plain|user|2|CREATE TABLE plain (a, b)
policies|system|33|NULL
stats|system|2|NULL
tables|system|4|NULL

CREATE TABLE people (a); COUNT people
----
ok: table people created
[count]
0

CREATE TABLE "odd ""name""" ("a b" TEXT, "select"); INSERT INTO "odd ""name""" VALUES (1, 2); SELECT FROM [odd "name"]
----
ok: table odd "name" created
ok: 1 row inserted
[a b|select]
1|2

