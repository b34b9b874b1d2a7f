# Objects, policies, history and decay.

#put notes/a.txt The first note. It is short. It is here to decay.
#put notes/b.txt The second note. It is short too. It will be held.
#put Notes/C.md # A heading
#put data.json {"a": 1}

SELECT id, name, type, size, stage, policy, pinned, held FROM objects ORDER BY id
----
[id|name|type|size|stage|policy|pinned|held]
1|notes/a.txt|text|49|0|text|0|0
2|notes/b.txt|text|50|0|text|0|0
3|Notes/C.md|text|11|0|text|0|0
4|data.json|json|8|0|json|0|0

SELECT name FROM objects WHERE name LIKE 'notes/%' ORDER BY name; SELECT name FROM objects WHERE name GLOB 'notes/*'
----
[name]
Notes/C.md
notes/a.txt
notes/b.txt
[name]
notes/a.txt
notes/b.txt

GET objects 'data.json'
----
[id|name|tenant|type|media_type|size|stored|stage|heat|fidelity|policy|created_at|accessed_at|effective_at|next_decay_at|origin_hash|content_hash|pinned|held|original_kept|restore_until|rate|error|keep_original]
4|data.json|default|json|application/json|8|8|0|1.0|1.0|json|1704067200000|1704067200000|1704067200000|1706659200000|f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310|f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310|0|0|0|NULL|1.0|NULL|0

SELECT created_at, next_decay_at - created_at FROM objects WHERE id = 1
----
[created_at|next_decay_at - created_at]
1704067200000|5184000000

UPDATE objects SET pinned = true, rate = 2 WHERE name STARTSWITH 'notes/a'; SELECT name, pinned, rate FROM objects WHERE pinned
----
ok: 1 row updated
[name|pinned|rate]
notes/a.txt|1|2.0

UPDATE objects SET stage = 3
----
error: stage of objects cannot be set; name, policy, pinned, rate and keep_original can

UPDATE objects SET policy = 'nope'
----
error: there is no policy 'nope'; there are: archive, audio, code, document, image, json, log, other, table, tensor, text

UPDATE objects SET name = 'moved.json' WHERE name = 'data.json'; SELECT id FROM objects WHERE name = 'moved.json'
----
ok: 1 row updated
[id]
4

HOLD 'notes/b.txt' REASON 'case 17'; SELECT name FROM objects WHERE held
----
ok: notes/b.txt is held by hold 1
[name]
notes/b.txt

DELETE FROM objects WHERE name = 'notes/b.txt'
----
error: notes/b.txt is held: RELEASE 'notes/b.txt' first

DELETE FROM objects WHERE name = 'nothing'; RELEASE 'notes/b.txt'; RELEASE 'notes/b.txt'
----
error: there is no hold on 'notes/b.txt'

PIN 'moved.json'; UNPIN 'notes/a.txt'; TOUCH 'notes/a.txt'
----
ok: moved.json is pinned
ok: notes/a.txt is no longer pinned
ok: notes/a.txt was touched

PIN 'nope'
----
error: there is no object 'nope'; list the names to find it

CREATE POLICY quick (applies_to = 'text', warm_after = '1 day', cold_after = '2 days', trace_after = '3 days', half_life = '1 hour', scan_weight = 0.5)
----
ok: policy quick created

SELECT name, applies_to, warm_after, purge_after, half_life, scan_weight, built_in FROM policies WHERE name IN ('quick', 'text')
----
[name|applies_to|warm_after|purge_after|half_life|scan_weight|built_in]
quick|text|1 day|NULL|1 hour|0.5|0
text|text|60 days|NULL|45 days|0.25|1

ALTER POLICY quick SET purge_after = '10 days', cold_side_px = 640; SELECT purge_after, cold_side_px, version FROM policies WHERE name = 'quick'
----
ok: policy quick altered
[purge_after|cold_side_px|version]
10 days|640|2

CREATE POLICY quick (warm_after = '1 day')
----
error: policy quick is already there: use ALTER POLICY quick SET …

ALTER POLICY quick SET warm_after = '5 days'
----
error: policy 'quick' cannot be used: cold_after must be longer than warm_after

UPDATE objects SET policy = 'quick' WHERE name = 'notes/b.txt'; SELECT o.name, p.cold_after FROM objects o JOIN policies p ON o.policy = p.name WHERE p.name = 'quick'
----
ok: 1 row updated
[name|cold_after]
notes/b.txt|2 days

TICK DRY RUN
----
[id|name|from_stage|to_stage|bytes_before|bytes_after_estimate|reason]
ok: nothing was changed

#days 2

SELECT name, stage FROM objects WHERE stage > 0
----
[name|stage]
notes/b.txt|2

TICK FORCE; SELECT name, stage, pinned FROM objects ORDER BY name
----
[to_stage|objects|bytes_before|bytes_after]
1|1|11|11
2|1|49|16
3|1|17|104
ok: 3 objects moved, 1 kept from decay
[name|stage|pinned]
Notes/C.md|1|0
moved.json|0|1
notes/a.txt|2|0
notes/b.txt|3|0

SELECT stage, count(*) FROM objects GROUP BY stage ORDER BY stage
----
[stage|count(*)]
0|1
1|1
2|1
3|1

SELECT object, name, from_stage, to_stage, reason FROM history WHERE object = 2 ORDER BY seq
----
[object|name|from_stage|to_stage|reason]
2|notes/b.txt|NULL|0|put
2|notes/b.txt|0|0|control
2|notes/b.txt|0|0|control
2|notes/b.txt|0|0|control
2|notes/b.txt|0|2|due
2|notes/b.txt|2|3|forced

SELECT count(*) > 0, sum(garbage_bytes) IS NOT NULL FROM blobs; SELECT count(*) FROM levels WHERE level > 6 OR tables < 1 OR bytes < 1; SELECT value FROM stats WHERE name = 'objects'
----
[count(*) > 0|sum(garbage_bytes) IS NOT NULL]
1|1
[count(*)]
0
[value]
4

DELETE FROM objects WHERE id = 3; SELECT name FROM objects ORDER BY id; SELECT reason FROM history WHERE object = 3 ORDER BY seq
----
ok: 1 row deleted
[name]
notes/a.txt
notes/b.txt
moved.json
[reason]
put
forced
delete

DROP POLICY quick; DROP POLICY quick
----
error: there is no policy 'quick'; there are: archive, audio, code, document, image, json, log, other, table, tensor, text

DROP POLICY IF EXISTS quick
----
ok: there was no policy quick

ALTER POLICY text SET restore_window = '10 days', keep_original = true; SELECT keep_original, restore_window FROM policies WHERE name = 'text'
----
ok: policy text altered
[keep_original|restore_window]
1|10 days

#put kept.txt The lighthouse warns ships. It stands on the rock.

RESTORE 'moved.json'
----
error: 'moved.json' has its original bytes already: there is nothing to restore

TICK FORCE; RESTORE 'kept.txt'; SELECT stage, original_kept, restore_until FROM objects WHERE name = 'kept.txt'
----
[to_stage|objects|bytes_before|bytes_after]
1|1|50|78
3|1|16|102
ok: 2 objects moved, 2 kept from decay
ok: kept.txt has its original bytes again
[stage|original_kept|restore_until]
0|0|NULL

SELECT reason, from_stage, to_stage FROM history WHERE name = 'kept.txt' ORDER BY seq
----
[reason|from_stage|to_stage]
put|NULL|0
forced|0|1
restore|1|0

HOLD 'kept.txt' REASON 'case 18' FOR '30 days'; PURGE 'kept.txt'
----
error: 'kept.txt' is held and cannot be purged; release first: 1 (case 18)

RELEASE 'kept.txt' HOLD 7
----
error: there is no hold 7 on 'kept.txt'

RELEASE 'kept.txt' HOLD 1; PURGE 'kept.txt'; RESTORE 'kept.txt'
----
error: the original of 'kept.txt' is not kept; what is still there is only its row and its history. To have originals kept for a while, put with keep_original, or set keep_original and restore_window in the policy

HOLD 'kept.txt' REASON 'x' FOR 'ever'
----
error: 'ever' is no duration: write it like '7 days' or '1 hour 30 minutes'
HOLD 'kept.txt' REASON 'x' FOR 'ever'
                               ^^^^^^

RELEASE 'kept.txt' HOLD x
----
error: expected the hold's number, found x
RELEASE 'kept.txt' HOLD x
                        ^

#put told.txt Copper turns green.

EXPLAIN DECAY 'told.txt'
----
[to_stage|due_at|decided_by|by_heat|by_retention|by_dwell|happens_at|bytes_after_estimate|fidelity_after_estimate]
1|1709424000000|heat|1709424000000|1704240000000|1704240000000|1709424000000|26|0.53
2|1735776000000|heat|1735776000000|1704240000000|1704240000000|1735776000000|1|0.09
3|1830384000000|heat|1830384000000|1704240000000|1704240000000|1830384000000|1|0.02
ok: 19 of 19 bytes, hot, fidelity 1.000; heat 1.000 with a half-life of 45 days, rate 1, policy text

HOLD 'told.txt' REASON 'case 19'; EXPLAIN DECAY 'told.txt'
----
ok: told.txt is held by hold 1
[to_stage|due_at|decided_by|by_heat|by_retention|by_dwell|happens_at|bytes_after_estimate|fidelity_after_estimate]
1|1709424000000|heat|1709424000000|1704240000000|1704240000000|NULL|NULL|NULL
2|1735776000000|heat|1735776000000|1704240000000|1704240000000|NULL|NULL|NULL
3|1830384000000|heat|1830384000000|1704240000000|1704240000000|NULL|NULL|NULL
ok: 19 of 19 bytes, hot, fidelity 1.000; heat 1.000 with a half-life of 45 days, rate 1, policy text; stays as it is: hold 1 (case 19) until it is released

EXPLAIN DECAY 'nothing'
----
error: there is no object 'nothing'; list the names to find it

EXPLAIN DECAY
----
error: expected the object's name in quotes
EXPLAIN DECAY
             ^
