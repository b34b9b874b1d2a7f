# What is said about mistakes, and where the caret stands.

CREATE TABLE users (name, age)
----
ok: table users created

SELCT * FROM users
----
error: expected a statement such as SELECT, INSERT or TICK, found SELCT; did you mean SELECT?
SELCT * FROM users
^^^^^

SELECT name FORM users
----
error: did not expect FORM here; did you mean FROM?
SELECT name FORM users
            ^^^^

SELECT name, FROM users
----
error: did not expect FROM here; expected an expression
SELECT name, FROM users
             ^^^^

SELECT * FROM users WERE age > 1
----
error: did not expect WERE here; did you mean WHERE?
SELECT * FROM users WERE age > 1
                    ^^^^

SELECT FROM users WHERE age >
----
error: the statement ends too early; expected an expression
SELECT FROM users WHERE age >
                             ^

SELECT FROM users WHERE name CONTAINS
----
error: expected a value after CONTAINS
SELECT FROM users WHERE name CONTAINS
                             ^^^^^^^^

SELECT nmae FROM users
----
error: there is no column nmae; did you mean name?
SELECT nmae FROM users
       ^^^^

SELECT FROM users
  WHERE name STARTSWITH 'A'
    AND agee > 3
----
error: there is no column agee; did you mean age?
    AND agee > 3
        ^^^^

SELECT FROM usres
----
error: there is no table usres; did you mean users?
SELECT FROM usres
            ^^^^^

SELECT * FROM users WHERE name = "Alice"
----
error: there is no column Alice; text is written in single quotes
SELECT * FROM users WHERE name = "Alice"
                                 ^^^^^^^

SELECT 'never closed
----
error: this text is never closed: expected '
SELECT 'never closed
       ^

SELECT (1 + 2
----
error: the statement ends too early; expected ), a comma, =, AND, IN or LIKE
SELECT (1 + 2
             ^

SELECT lenght(name) FROM users
----
error: there is no function lenght; did you mean length?
SELECT lenght(name) FROM users
       ^^^^^^

SELECT wholly_unknown FROM users
----
error: there is no column wholly_unknown
SELECT wholly_unknown FROM users
       ^^^^^^^^^^^^^^

TICK NOW
----
error: expected FORCE, DRY RUN, CONFIRM CLOCK or the end, found NOW
TICK NOW
     ^^^

HOLD 'x'
----
error: expected REASON
HOLD 'x'
        ^

COUNT
----
error: expected a table's name
COUNT
     ^

DESCRIBE userz
----
error: there is no table userz; did you mean users?
DESCRIBE userz
         ^^^^^

BEGIN
----
error: transactions over several statements are not there yet: each statement commits by itself, wholly or not at all
BEGIN
^^^^^

ATTACH 'x.db' AS x
----
error: other database files cannot be attached: a session sees one PatinaDB database
ATTACH 'x.db' AS x
^^^^^^

PRAGMA writable_schema = 1
----
error: PRAGMA is not offered: use TABLES, DESCRIBE and SELECT FROM stats
PRAGMA writable_schema = 1
^^^^^^

CREATE INDEX i ON users (age)
----
error: indexes on user tables are not there yet; declare UNIQUE in CREATE TABLE for a key
CREATE INDEX i ON users (age)
       ^^^^^

CREATE VIEW v AS SELECT 1
----
error: views are not there yet
CREATE VIEW v AS SELECT 1
       ^^^^

EXPLAIN DECAY 'x'
----
error: there is no object 'x'; list the names to find it

SELECT * FROM forecast('30 days')
----
[day|at|event|to_stage|objects|for_budget|bytes_before|bytes_after_estimate|left_estimate]

SELECT load_extension('x')
----
error: not authorized to use function: load_extension
SELECT load_extension('x')
       ^^^^^^^^^^^^^^

INSERT INTO objects (name) VALUES ('x')
----
error: INSERT is not possible on objects: use `patina put` or the library to add objects

UPDATE policies SET weight = 2
----
error: UPDATE is not possible on policies: use CREATE POLICY, ALTER POLICY and DROP POLICY

DROP TABLE objects
----
error: objects is always there and cannot be dropped
DROP TABLE objects
           ^^^^^^^

CREATE TABLE objects (a)
----
error: table objects is always there: choose another name
CREATE TABLE objects (a)
             ^^^^^^^

CREATE TABLE t (a, a)
----
error: duplicate column name: a
CREATE TABLE t (a, a)
               ^

CREATE TABLE t (a CHECK (a > 0))
----
error: CHECK is not there yet
CREATE TABLE t (a CHECK (a > 0))
                  ^^^^^

CREATE TABLE t (a, b NOT)
----
error: did not expect ) here; expected NULL
CREATE TABLE t (a, b NOT)
                        ^

CREATE TABLE t AS SELECT 1
----
error: CREATE TABLE … AS is not there yet: create the table, then INSERT
CREATE TABLE t AS SELECT 1
               ^^

CREATE POLICY p (warm_after = '7 dogs')
----
error: warm_after: '7 dogs' is no duration: write it like '7 days' or '1 hour 30 minutes'
CREATE POLICY p (warm_after = '7 dogs')
                              ^^^^^^^^

CREATE POLICY p (warm_aftr = '7 days')
----
error: a policy has no setting warm_aftr; did you mean warm_after?
CREATE POLICY p (warm_aftr = '7 days')
                 ^^^^^^^^^

CREATE POLICY p (applies_to = 'pictures')
----
error: applies_to: there is no type 'pictures'; the types are image, text, code, log, json, table, document, tensor, audio, archive, other
CREATE POLICY p (applies_to = 'pictures')
                              ^^^^^^^^^^

SELECT 1; SELECT 2; SELEC 3; SELECT 4
----
error: expected a statement such as SELECT, INSERT or TICK, found SELEC; did you mean SELECT?
SELECT 1; SELECT 2; SELEC 3; SELECT 4
                    ^^^^^

INSERT INTO users (name) VALUES ('é'), (ï)
----
error: there is no column ï
INSERT INTO users (name) VALUES ('é'), (ï)
                                        ^

