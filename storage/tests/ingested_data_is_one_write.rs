//! Promise: what is ingested becomes visible at once, as one write in its place among the others, durably or not at all.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

fn tiny() -> Options {
    Options {
        memtable_bytes: 8 << 10,
        block_bytes: 256,
        table_bytes: 2 << 10,
        level1_bytes: 8 << 10,
        l0_tables_trigger: 2,
        ..Options::default()
    }
}

fn open(vfs: &MemVfs) -> (Db, Keyspace) {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), tiny()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

fn key(n: u32) -> Vec<u8> {
    format!("key{n:05}").into_bytes()
}

fn ingest(
    db: &Db,
    keyspace: &Keyspace,
    keys: impl IntoIterator<Item = u32>,
    value: &[u8],
) -> Result<IngestReport> {
    let mut ingest = db.ingest(keyspace)?;
    for n in keys {
        ingest.put(&key(n), value)?;
    }
    ingest.finish()
}

fn contents(entries: Iter) -> Contents {
    entries.map(|entry| entry.unwrap()).map(|e| (e.key().to_vec(), e.value().unwrap().to_vec())).collect()
}

fn assert_sound(db: &Db) {
    assert_eq!(db.verify().unwrap().problems, []);
}

fn tables(vfs: &MemVfs) -> usize {
    vfs.list(Path::new("db")).unwrap().iter().filter(|name| name.ends_with(".sst")).count()
}

#[test]
fn it_appears_at_once_and_lasts() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs);
    keyspace.put("other", "x").unwrap();
    let before = db.snapshot();
    let logs = db.stats().log_bytes_written;
    let report = ingest(&db, &keyspace, 0..500, &[7; 50]).unwrap();
    assert!(report.tables > 3 && report.level == 6 && report.entries == 500, "{report:?}");
    assert_eq!(db.stats().log_bytes_written, logs, "not through the log");
    assert_eq!(report.seqno, db.stats().seqno);
    assert_eq!(keyspace.get_versioned(&key(77)).unwrap().unwrap(), (vec![7; 50].into(), report.seqno));
    assert_eq!((before.range(&keyspace, ..).count(), keyspace.range(..).count()), (1, 501));
    assert_eq!(before.get(&keyspace, &key(77)).unwrap(), None);
    assert_sound(&db);
    drop(before);
    for image in [vfs.crash(), vfs.kill()] {
        let (db, keyspace) = open(&image);
        assert_eq!(keyspace.range(..).count(), 501);
        assert_eq!(keyspace.get_versioned(&key(77)).unwrap().unwrap().1, report.seqno);
        assert!(keyspace.put("late", "x").unwrap() > report.seqno);
        db.compact().unwrap();
        assert_eq!(keyspace.range(..).count(), 502);
        assert_sound(&db);
    }
}

#[test]
fn it_has_its_place_among_other_writes() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs);
    for place in 0..3 {
        let settle = || match place {
            0 => {}
            1 => db.flush().unwrap(),
            _ => db.compact().unwrap(),
        };
        let base = place * 1000;
        for n in 0..9 {
            keyspace.put(key(base + n), "before").unwrap();
        }
        keyspace.delete(key(base + 1)).unwrap();
        settle();
        ingest(&db, &keyspace, (base..base + 9).step_by(1), b"ingested").unwrap();
        keyspace.put(key(base + 2), "after").unwrap();
        keyspace.delete(key(base + 3)).unwrap();
        settle();
        let get = |db: &Db, n: u32| {
            let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
            keyspace.get(&key(base + n)).unwrap()
        };
        let check = |db: &Db| {
            assert_eq!(get(db, 0).unwrap(), "ingested");
            assert_eq!(get(db, 1).unwrap(), "ingested");
            assert_eq!(get(db, 2).unwrap(), "after");
            assert_eq!(get(db, 3), None);
            assert_sound(db);
        };
        check(&db);
        check(&open(&vfs.kill()).0);
    }
}

#[test]
fn what_is_dropped_or_refused_leaves_nothing() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs);
    let mut begun = db.ingest(&keyspace).unwrap();
    for n in 0..300 {
        begun.put(&key(n), &[7; 50]).unwrap();
    }
    let long = vec![0; KEY_BYTES_MAX + 1];
    let error = begun.put(&long, &vec![0; (1 << 20) + 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    for word in ["the key has 65536 bytes", "the value has 1048577 bytes", "sort the entries"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(tables(&vfs) > 1);
    drop(begun);
    assert_eq!(tables(&vfs), 0);
    let empty = db.ingest(&keyspace).unwrap().finish().unwrap();
    assert_eq!((empty.entries, empty.tables, keyspace.range(..).count()), (0, 0, 0));
}

#[test]
fn after_a_crash_at_any_call_it_is_whole_or_absent() {
    for calls in 0.. {
        let vfs = MemVfs::new();
        let (db, keyspace) = open(&vfs);
        // Older data in the memtable: it has to be flushed on the way.
        keyspace.put(key(5), "before").unwrap();
        vfs.fail_after(calls);
        let outcome = ingest(&db, &keyspace, 0..100, &[7; 50]);
        for image in [vfs.crash(), vfs.kill()] {
            let (db, keyspace) = open(&image);
            let found = contents(keyspace.range(..));
            assert!(found.len() == 1 || found.len() == 100, "call {calls}: {}", found.len());
            assert!(outcome.is_err() || found.len() == 100, "call {calls}");
            assert_eq!(found[&key(5)] == b"before", found.len() == 1, "call {calls}");
            assert_sound(&db);
            // No merge may come between the two counts.
            db.compact().unwrap();
            assert_eq!(db.stats().keyspaces[0].levels.iter().map(|(n, _)| n).sum::<usize>(), tables(&image));
        }
        if outcome.is_ok() {
            return;
        }
    }
}

/// Many loads, writes, deletions, flushes, merges and reopenings, against a map; snapshots see what they saw.
#[test]
fn a_long_history_agrees_with_a_map() {
    let mut random = 1u64;
    let mut next = |below: u32| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u32 % below
    };
    let vfs = MemVfs::new();
    let (mut db, mut keyspace) = open(&vfs);
    let mut model = Contents::new();
    let mut seen: Option<(Snapshot, Contents)> = None;
    for step in 0..400u32 {
        let value = step.to_be_bytes().repeat(5);
        match next(12) {
            0..=2 => {
                let (from, count, stride) = (next(1000), next(60), 1 + next(3));
                let keys: Vec<u32> = (0..count).map(|n| from + n * stride).collect();
                ingest(&db, &keyspace, keys.clone(), &value).unwrap();
                model.extend(keys.iter().map(|n| (key(*n), value.clone())));
            }
            3..=6 => {
                let n = next(1000);
                keyspace.put(key(n), value.clone()).unwrap();
                model.insert(key(n), value);
            }
            7 => {
                let n = next(1000);
                keyspace.delete(key(n)).unwrap();
                model.remove(&key(n));
            }
            8 => db.flush().unwrap(),
            9 if step % 3 == 0 => db.compact().unwrap(),
            10 => seen = Some((db.snapshot(), model.clone())),
            11 if step % 3 == 0 => {
                seen = None;
                drop((db, keyspace));
                (db, keyspace) = open(&vfs);
            }
            _ => {}
        }
        if let Some((snapshot, expected)) = &seen {
            assert_eq!(contents(snapshot.range(&keyspace, ..)), *expected, "step {step}");
        }
        assert_eq!(contents(keyspace.range(..)), model, "step {step}");
        if step % 20 == 0 {
            assert_sound(&db);
        }
    }
}

#[test]
fn beside_writers_the_newest_write_wins() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs);
    let done = AtomicBool::new(false);
    let newest: Vec<Seqno> = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut newest = vec![Seqno(0); 50];
            for i in 0..4000u32 {
                let n = i * 7 % 50;
                let mut batch = db.batch();
                batch.put(&keyspace, key(n), "written");
                newest[n as usize] = db.write(batch, Durability::Buffered).unwrap();
            }
            done.store(true, Ordering::SeqCst);
            newest
        });
        let mut last = Seqno(0);
        while !done.load(Ordering::SeqCst) || last == Seqno(0) {
            last = ingest(&db, &keyspace, 0..50, b"ingested").unwrap().seqno;
        }
        writer.join().unwrap().into_iter().map(|written| written.max(last)).collect()
    });
    let check = |db: &Db, keyspace: &Keyspace| {
        for (n, expected) in (0..).zip(&newest) {
            assert_eq!(keyspace.get_versioned(&key(n)).unwrap().unwrap().1, *expected, "key {n}");
        }
        assert_sound(db);
    };
    check(&db, &keyspace);
    db.compact().unwrap();
    check(&db, &keyspace);
    drop((db, keyspace));
    let (db, keyspace) = open(&vfs);
    check(&db, &keyspace);
}

#[test]
fn a_range_deletion_hides_what_was_ingested_before_it_and_nothing_after() {
    for place in 0..3 {
        let vfs = MemVfs::new();
        let (db, keyspace) = open(&vfs);
        let settle = || match place {
            0 => {}
            1 => db.flush().unwrap(),
            _ => db.compact().unwrap(),
        };
        ingest(&db, &keyspace, 0..30, b"first").unwrap();
        settle();
        keyspace.delete_range(key(10)..key(20)).unwrap();
        settle();
        assert_eq!(keyspace.range(..).count(), 20, "place {place}");
        ingest(&db, &keyspace, 15..17, b"second").unwrap();
        settle();
        let check = |db: &Db, keyspace: &Keyspace| {
            assert_eq!(keyspace.range(..).count(), 22, "place {place}");
            assert_eq!(keyspace.get(&key(15)).unwrap().unwrap(), "second");
            assert_eq!(keyspace.get(&key(14)).unwrap(), None);
            assert_sound(db);
        };
        check(&db, &keyspace);
        let (db, keyspace) = open(&vfs.kill());
        check(&db, &keyspace);
    }
}

/// Loads over each other fill level 0 without a flush, after which merges are looked for.
#[test]
fn loads_alone_are_merged_and_hold_no_writer_back_for_ever() {
    let (db, keyspace) = open(&MemVfs::new());
    for round in 0..60u8 {
        ingest(&db, &keyspace, 0..3, &[round]).unwrap();
    }
    let (done, is_done) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        keyspace.put("other", "value").unwrap();
        done.send(()).unwrap();
        while keyspace.db().stats().keyspaces[0].levels[0].0 >= 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        done.send(()).unwrap();
    });
    for what in ["a write", "merging"] {
        assert!(is_done.recv_timeout(Duration::from_secs(30)).is_ok(), "{what} did not come to its end");
    }
    writer.join().unwrap();
}

#[test]
fn a_load_that_could_not_be_written_is_not_finished_without_what_is_missing() {
    for calls in 0.. {
        let vfs = MemVfs::new();
        let (db, keyspace) = open(&vfs);
        let mut ingest = db.ingest(&keyspace).unwrap();
        vfs.fill_after(calls);
        let mut refused = 0;
        for n in 0..200 {
            if ingest.put(&key(n), &[7; 50]).is_err() {
                refused += 1;
                vfs.heal();
                // Once more, as one would after making room.
                let _ = ingest.put(&key(n), &[7; 50]);
            }
        }
        let finished = ingest.finish();
        let found = keyspace.range(..).count();
        assert_eq!(found, if finished.is_ok() { 200 } else { 0 }, "call {calls}: {finished:?}");
        assert_sound(&db);
        vfs.heal();
        assert_eq!(tables(&vfs) > 0, finished.is_ok());
        if refused == 0 && finished.is_ok() {
            return;
        }
    }
}
