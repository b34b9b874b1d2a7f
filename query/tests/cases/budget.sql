# Budgets, forecasts, pausing; and the bad input that must change nothing.

#put a.txt The lighthouse warns ships. Copper turns green with the years. The harbour lies behind the rocks, and the town above it.
#put b.txt Number two. The lighthouse warns ships. It stands on a rock. The harbour lies behind it, and the town above it is old.

SELECT count(*) FROM budgets
----
[count(*)]
0

SET BUDGET '1 MB'; SELECT tenant, bytes, starts_above, stops_at, refuse_writes, blocked_by FROM budgets
----
ok: the budget of the database is 1000000 bytes
[tenant|bytes|starts_above|stops_at|refuse_writes|blocked_by]
NULL|1000000|950000|900000|0|NULL

SET BUDGET '500 kB' FOR TENANT 'guest' REFUSE WRITES; SELECT tenant, bytes, refuse_writes FROM budgets
----
ok: the budget of tenant 'guest' is 500000 bytes
[tenant|bytes|refuse_writes]
guest|500000|1
NULL|1000000|0

SET BUDGET 0
----
error: a budget must have at least 1 byte; to have none, take it away; to have no bytes, purge the objects

SET BUDGET 'much'
----
error: 'much' is no number of bytes: write it like 1000000, '500 MB' or '1.5 GiB'
SET BUDGET 'much'
           ^^^^^^

SET BUDGET -5
----
error: expected a number of bytes, such as 1000000 or '10 GiB', found -
SET BUDGET -5
           ^

SET BUDGET
----
error: expected a number of bytes, such as 1000000 or '10 GiB'
SET BUDGET
          ^

DROP BUDGET FOR TENANT 'nobody'
----
error: there is no such budget: none was set

DROP BUDGET; DROP BUDGET FOR TENANT 'guest'; DROP BUDGET
----
error: there is no such budget: none was set

UPDATE objects SET keep_original = true WHERE name = 'b.txt'; SELECT name, keep_original FROM objects ORDER BY name
----
ok: 1 row updated
[name|keep_original]
a.txt|0
b.txt|1

UPDATE objects SET keep_original = 'maybe' WHERE name = 'b.txt'
----
error: keep_original must be true or false

HOLD 'a.txt' REASON 'case 17'
----
ok: a.txt is held by hold 1

SET BUDGET 1; TICK; SELECT used > bytes, blocked_by FROM budgets
----
ok: the budget of the database is 1 bytes
[to_stage|objects|bytes_before|bytes_after]
ok: nothing moved, budget of the database: 202 → 202 bytes, 201 too many, and nothing more may go: SELECT blocked_by FROM budgets
[used > bytes|blocked_by]
1|held: 101 bytes in 1; restore window: 101 bytes in 1

EXPLAIN DECAY 'a.txt'
----
[to_stage|due_at|decided_by|by_heat|by_retention|by_dwell|happens_at|bytes_after_estimate|fidelity_after_estimate]
1|1709251200000|heat|1709251200000|1704067200000|1704067200000|NULL|NULL|NULL
2|1735603200000|heat|1735603200000|1704067200000|1704067200000|NULL|NULL|NULL
3|1830211200000|heat|1830211200000|1704067200000|1704067200000|NULL|NULL|NULL
ok: 101 of 120 bytes, hot, fidelity 1.000; heat 1.000 with a half-life of 45 days, rate 1, policy text; stays as it is: hold 1 (case 17) until it is released; budget of the database: 202 of 1 bytes used, it cannot be taken: held

RELEASE 'a.txt'; RELEASE 'a.txt'
----
error: there is no hold on 'a.txt'

TICK; SELECT name, stage FROM objects ORDER BY name
----
[to_stage|objects|bytes_before|bytes_after]
2|1|101|35
ok: 1 object moved, budget of the database: 202 → 136 bytes, 135 too many, and nothing more may go: SELECT blocked_by FROM budgets
[name|stage]
a.txt|2
b.txt|0

SELECT reason, from_stage, to_stage FROM history WHERE reason = 'budget'
----
[reason|from_stage|to_stage]
budget|0|2

DROP BUDGET
----
ok: the database has no budget any more

PAUSE DECAY
----
ok: decay is paused: nothing decays by itself until RESUME DECAY

RESUME DECAY
----
ok: decay goes on

PAUSE
----
error: expected DECAY
PAUSE
     ^

SELECT day, event, to_stage, objects, for_budget FROM forecast('400 days') ORDER BY day, to_stage
----
[day|event|to_stage|objects|for_budget]
60|decay|1|1|0
90|original dropped|NULL|1|0
365|decay|2|1|0

SELECT count(*) FROM forecast
----
[count(*)]
0

CREATE POLICY soon (warm_after = '5 days', cold_after = '6 days', trace_after = '7 days')
----
ok: policy soon created

SELECT day, to_stage, objects FROM forecast('20 days', 'soon')
----
[day|to_stage|objects]
5|1|1
6|2|1
7|3|2

SELECT p.name, count(f.day) FROM policies p JOIN forecast('10 days', p.name) f WHERE p.name IN ('soon', 'text') GROUP BY p.name
----
[name|count(f.day)]
soon|3

SELECT * FROM forecast('0 days')
----
error: a forecast is for 1 to 36500 days, not 0

SELECT * FROM forecast('soon')
----
error: 'soon' is no duration: write it like '7 days' or '1 hour 30 minutes'

SELECT * FROM forecast('1 day', 'nope')
----
error: there is no policy 'nope'; there are: archive, audio, code, document, image, json, log, other, soon, table, tensor, text

SELECT * FROM forecast('10000 years')
----
error: a forecast is for 1 to 36500 days, not 3650000

CREATE POLICY falling (warm_after = '30 days', cold_after = '10 days', half_life = '0')
----
error: policy 'falling' cannot be used: cold_after must be longer than warm_after; half_life must be at least a millisecond

CREATE POLICY backwards (half_life = '-1 days')
----
error: half_life: '-1 days' is no duration: write it like '7 days' or '1 hour 30 minutes'
CREATE POLICY backwards (half_life = '-1 days')
                                     ^^^^^^^^^

CREATE POLICY nan (weight = NaN)
----
error: expected a value: text in quotes, a number, true, false or NULL, found NaN
CREATE POLICY nan (weight = NaN)
                            ^^^

CREATE POLICY heavy (weight = 1e999)
----
error: policy 'heavy' cannot be used: weight must be above 0 and finite

CREATE POLICY ages (warm_after = '9000 years')
----
error: policy 'ages' cannot be used: cold_after must be longer than warm_after; warm_after must be at most 1000 years

SELECT name FROM policies WHERE name IN ('falling', 'backwards', 'nan', 'heavy', 'ages')
----
[name]

PURGE 'a.txt'; RESTORE 'a.txt'
----
error: the original of 'a.txt' is not kept; what is still there is only its row and its history. To have originals kept for a while, put with keep_original, or set keep_original and restore_window in the policy

RESTORE 'nothing'
----
error: there is no object 'nothing'; list the names to find it

RELEASE 'a.txt' HOLD 7
----
error: there is no hold 7 on 'a.txt'

UPDATE objects SET rate = 0 WHERE name = 'b.txt'
----
error: a rate must be from 0.1 to 10, not 0

EXPLAIN DECAY 'nothing'
----
error: there is no object 'nothing'; list the names to find it
