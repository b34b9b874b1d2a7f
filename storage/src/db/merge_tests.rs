//! Merges that run at once, in parts, within a budget, fail, or are done by whoever waits.

use super::tests::{keyspace, open, settle, tiny};
use crate::*;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// Bytes that do not compress.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    std::iter::repeat_n((), len).scan(seed.wrapping_mul(2_654_435_761), |state, ()| step(state)).collect()
}

/// Level 0 newest first; deeper levels sorted and disjoint.
fn check_levels(db: &Db) {
    for tree in db.inner.read_state().version.values() {
        assert!(tree.levels[0].windows(2).all(|pair| pair[0].id > pair[1].id));
        for level in &tree.levels[1..] {
            assert!(level.windows(2).all(|pair| pair[0].properties.largest < pair[1].properties.smallest));
        }
    }
}

fn table_files(vfs: &MemVfs) -> usize {
    vfs.list(Path::new("db")).unwrap().iter().filter(|name| name.ends_with(".sst")).count()
}

fn blob_files(vfs: &MemVfs) -> usize {
    vfs.list(Path::new("db")).unwrap().iter().filter(|name| name.ends_with(".blob")).count()
}

#[test]
fn merges_that_run_at_once_leave_every_level_sorted_and_every_key_there() {
    let vfs = MemVfs::new();
    let options = Options { background_threads: 4, l0_tables_slowdown: 200, ..tiny() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let ks = keyspace(&db);
    let key = |writer: u32, i: u32| format!("{:08x}", (writer * 1500 + i % 700).wrapping_mul(2_654_435_761));
    std::thread::scope(|scope| {
        for writer in 0..3u32 {
            let (db, ks) = (&db, &ks);
            scope.spawn(move || {
                for i in 0..1500u32 {
                    let mut batch = db.batch();
                    match i % 5 {
                        4 => batch.delete(ks, key(writer, i - 2)),
                        _ => batch.put(ks, key(writer, i), i.to_be_bytes().repeat(10)),
                    }
                    db.write(batch, Durability::Buffered).unwrap();
                    if i % 500 == 499 {
                        db.compact().unwrap();
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                check_levels(&db);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
    });
    let mut expected = std::collections::BTreeMap::new();
    for (writer, i) in (0..3).flat_map(|writer| (0..1500).map(move |i| (writer, i))) {
        match i % 5 {
            4 => drop(expected.remove(&key(writer, i - 2))),
            _ => drop(expected.insert(key(writer, i), i)),
        }
    }
    let check = |ks: &Keyspace| {
        let found = ks.range(..).map(|entry| entry.unwrap()).map(|entry| {
            let value = entry.value().unwrap();
            (
                String::from_utf8(entry.key().to_vec()).unwrap(),
                u32::from_be_bytes(value[..4].try_into().unwrap()),
            )
        });
        assert!(found.eq(expected.clone()));
    };
    check(&ks);
    db.compact().unwrap();
    check(&ks);
    check_levels(&db);
    let tables: usize = db.stats().keyspaces[0].levels.iter().map(|(tables, _)| tables).sum();
    drop((ks, db));
    assert_eq!(table_files(&vfs), tables, "nothing is left that nobody names");
    check(&keyspace(&open(&vfs)));
}

/// With one thread, which is busy with a merge that the budget keeps from getting on.
#[test]
fn a_flush_goes_before_a_merge_that_runs() {
    let vfs = MemVfs::new();
    // All fits into the first level below level 0, so whatever comes is merged with all of it.
    let options = Options { level1_bytes: 1 << 20, ..tiny() };
    {
        let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options.clone()).unwrap();
        for i in 0..3000u32 {
            let mut batch = db.batch();
            batch.put(&keyspace(&db), i.wrapping_mul(2_654_435_761).to_be_bytes().to_vec(), noise(i, 100));
            db.write(batch, Durability::Buffered).unwrap();
        }
        db.flush().unwrap();
        settle(&db);
    }
    let options = Options {
        background_threads: 1,
        compaction_bytes_per_s_max: Some(64 << 10),
        l0_tables_trigger: 1,
        ..options
    };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let ks = keyspace(&db);
    for i in 0..3 {
        // Overlaps with all that is there.
        ks.put(vec![0], "v").unwrap();
        ks.put(vec![255], "v").unwrap();
        db.flush().unwrap();
        let mut waits = 0;
        while i == 0 && db.inner.claims.lock().is_idle(0) {
            waits += 1;
            assert!(waits < 1000, "no merge has begun");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    assert!(!db.inner.claims.lock().is_idle(0), "the merge still runs");
    assert!(db.stats().keyspaces[0].levels[0].0 >= 3);
    let files = table_files(&vfs);
    drop(ks);
    db.close().unwrap();
    // Cancelled between two entries: what it wrote is gone, what it read is there.
    assert!(table_files(&vfs) < files);
    assert_eq!(keyspace(&open(&vfs)).range(..).count(), 3002);
}

#[test]
fn a_merge_that_fails_keeps_no_other_from_running() {
    let vfs = MemVfs::new();
    let options = Options { background_threads: 0, ..tiny() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let bad = db.keyspace("bad", KeyspaceOptions::default()).unwrap();
    let good = db.keyspace("good", KeyspaceOptions::default()).unwrap();
    for _ in 0..4 {
        for ks in [&bad, &good] {
            ks.put("k", "v").unwrap();
        }
        db.flush().unwrap();
    }
    let table = db.inner.read_state().tree(bad.id()).unwrap().levels[0][0].id;
    vfs.damage(&db.inner.table_path(table), |bytes| bytes[20] ^= 1).unwrap();
    let mut errors = Vec::new();
    loop {
        match crate::compaction::compact_one(&db.inner) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => errors.push(error.kind()),
        }
    }
    assert_eq!(errors, [ErrorKind::Corruption]);
    // Its four tables and no output; the one table of the other keyspace.
    assert_eq!(table_files(&vfs), 5);
    assert_eq!(db.stats().keyspaces[1].levels[0].0, 0);
    assert_eq!(db.stats().keyspaces[0].levels[0].0, 4);
}

/// Every part of a big merge may fail at any call; the other parts end, all outputs go, and the next try does it all. The values leave for
/// blob files on the way: these are outputs of the parts too.
#[test]
fn a_merge_in_parts_counts_as_a_whole_or_not_at_all() {
    let vfs = MemVfs::new();
    let options =
        Options { background_threads: 3, l0_tables_trigger: 100, l0_tables_slowdown: 200, ..tiny() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let ks = keyspace(&db);
    for i in 0..600u32 {
        let mut batch = db.batch();
        batch.put(&ks, (i % 300).wrapping_mul(2_654_435_761).to_be_bytes().to_vec(), noise(i, 64));
        db.write(batch, Durability::Buffered).unwrap();
    }
    db.flush().unwrap();
    let separating = KeyspaceOptions { separate_bytes: Some(64), ..KeyspaceOptions::default() };
    db.set_keyspace_options(&ks, separating).unwrap();
    let files = table_files(&vfs);
    assert!(files > 3);
    let mut failures = 0;
    for call in 0.. {
        vfs.fill_after(call);
        let compacted = db.compact();
        vfs.heal();
        assert_eq!(ks.range(..).count(), 300);
        if compacted.is_ok() {
            break;
        }
        failures += 1;
        assert_eq!(compacted.unwrap_err().kind(), ErrorKind::NoSpace);
        assert_eq!((table_files(&vfs), blob_files(&vfs)), (files, 0), "call {call}");
        let crashed = open(&vfs.crash());
        assert_eq!(keyspace(&crashed).range(..).count(), 300);
    }
    assert!(failures > 10, "{failures}");
    assert_eq!(db.stats().keyspaces[0].levels[0].0, 0);
    assert_eq!(db.stats().traffic[6].jobs, 1, "one edit for the whole merge");
    assert!(blob_files(&vfs) > 1, "each part has its own");
    assert!(db.verify().unwrap().problems.is_empty());
}

/// Damage heals by no second look: the merges that need the table are tried ever more rarely, whoever flushes meanwhile, and others go on.
#[test]
fn a_merge_that_met_damage_is_put_off_and_others_go_on() {
    let (vfs, clock) = (MemVfs::new(), ManualClock::new(1_000_000));
    let put_off = Arc::new(Mutex::new(Vec::new()));
    let log = put_off.clone();
    let listener = move |event: &Event| {
        if let Event::MergePutOff { file, message, pause_us } = event {
            log.lock().push((file.clone(), message.clone(), *pause_us));
        }
    };
    let options = Options {
        background_threads: 0,
        clock: Arc::new(clock.clone()),
        listener: Some(Arc::new(listener)),
        l0_tables_slowdown: 1000,
        ..tiny()
    };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let keyspace = |name| db.keyspace(name, KeyspaceOptions::default()).unwrap();
    let (bad, good) = (keyspace("bad"), keyspace("good"));
    let fill = |ks: &Keyspace, seed: u32| {
        for i in 0..20u32 {
            ks.put(i.to_be_bytes().to_vec(), noise(seed * 100 + i, 60)).unwrap();
        }
        db.flush().unwrap();
    };
    fill(&bad, 1);
    let id = db.inner.read_state().tree(bad.id()).unwrap().levels[0][0].id;
    let path = db.inner.table_path(id);
    vfs.damage(&path, |bytes| bytes[100] ^= 1).unwrap();
    fill(&bad, 2);
    let merge_all = || {
        let mut failures = 0;
        loop {
            match crate::compaction::compact_one(&db.inner) {
                Ok(false) => return failures,
                Ok(true) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
                    failures += 1;
                }
            }
        }
    };
    assert_eq!(merge_all(), 1);
    assert_eq!(db.stats().damaged_tables, [id]);
    for seed in 0..20 {
        fill(&good, seed);
        assert_eq!(merge_all(), 0, "a flush is no reason to try again");
    }
    let levels = |at: usize| db.stats().keyspaces[at].levels[0].0;
    assert!(levels(1) < 2 && levels(0) == 2, "others go on");
    let mut failures = 0;
    for _ in 0..10 * 3600 / 5 {
        clock.advance_ms(5000);
        failures += merge_all();
    }
    assert!((15..40).contains(&failures), "{failures} in ten hours");
    // Nobody waits for it in vain, and who asks is told.
    assert_eq!(db.inner.claims.lock().stopped_by().map(|what| what.contains(".sst")), Some(true));
    assert_eq!(bad.compact_range(..).unwrap_err().kind(), ErrorKind::Corruption);
    db.drop_keyspace(&bad).unwrap();
    assert!(db.stats().damaged_tables.is_empty(), "it is no part of the database any more");
    drop((bad, good));
    db.close().unwrap();
    let put_off = put_off.lock();
    assert_eq!(put_off.len(), failures + 2);
    assert!(
        put_off.iter().all(|(file, message, _)| *file == Some(path.clone()) && message.contains("damaged"))
    );
    assert!(put_off.is_sorted_by_key(|(_, _, pause_us)| *pause_us));
    assert_eq!((put_off[0].2, put_off.last().unwrap().2), (50_000, 3_600_000_000));
}

#[test]
fn without_threads_whoever_waits_does_the_work() {
    let run = || {
        let vfs = MemVfs::new();
        let clock = Arc::new(ManualClock::new(1_000_000));
        let options = Options { background_threads: 0, l0_tables_slowdown: 3, clock, ..tiny() };
        let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
        let ks = keyspace(&db);
        for i in 0..2000u32 {
            let mut batch = db.batch();
            batch.put(&ks, i.wrapping_mul(2_654_435_761).to_be_bytes().to_vec(), vec![7; 60]);
            db.write(batch, Durability::Buffered).unwrap();
        }
        db.flush().unwrap();
        db.compact().unwrap();
        assert_eq!(ks.range(..).count(), 2000);
        drop((ks, db));
        let names = vfs.list(Path::new("db")).unwrap();
        names.iter().map(|name| vfs.bytes(&Path::new("db").join(name)).unwrap()).collect::<Vec<_>>()
    };
    assert!(run() == run(), "the same calls give the same files");
}

/// The manifest used to say of a flush that all was there that was visible by then. What the power took from the log of the next
/// memtable counted as there, too: the database opened with a hole before its newest sequence number.
#[test]
fn after_a_power_loss_the_newest_sequence_number_is_of_a_write_that_is_there() {
    let vfs = MemVfs::new();
    let options = Options { background_threads: 0, ..tiny() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let ks = keyspace(&db);
    let mut written = 0u64;
    while db.stats().sealed_memtables == 0 {
        let mut batch = db.batch();
        batch.put(&ks, written.to_be_bytes().to_vec(), vec![7; 100]);
        db.write(batch, Durability::Buffered).unwrap();
        written += 1;
    }
    assert!(crate::compaction::flush_one(&db.inner).unwrap());
    let crashed = open(&vfs.crash());
    let found = keyspace(&crashed).range(..).count() as u64;
    assert_eq!((crashed.snapshot().seqno().0, found), (written - 1, written - 1));
}

/// An ingestion waits for a flush while it holds the commit lock; the thread that it waits for may be collecting.
#[test]
fn garbage_is_collected_whoever_holds_the_commit_lock() {
    let vfs = MemVfs::new();
    let options = Options { background_threads: 0, ..tiny() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let separating = KeyspaceOptions { separate_bytes: Some(64), ..KeyspaceOptions::default() };
    let ks = db.keyspace("separated", separating).unwrap();
    for i in 0..20u32 {
        ks.put(i.to_be_bytes().to_vec(), noise(i, 64)).unwrap();
    }
    db.flush().unwrap();
    assert_eq!(blob_files(&vfs), 1);
    for i in 0..20u32 {
        ks.delete(i.to_be_bytes().to_vec()).unwrap();
    }
    db.flush().unwrap();
    let commit = db.inner.commit.lock();
    settle(&db);
    drop(commit);
    assert_eq!(blob_files(&vfs), 0);
}

/// Deletions are carried out, whatever the sizes, within the time that was asked for; what a snapshot keeps, when it goes.
#[test]
fn deletions_become_physical_within_their_time() {
    let clock = ManualClock::new(1_000_000);
    let options = Options {
        clock: Arc::new(clock.clone()),
        tombstone_age_max_ms: Some(8000),
        background_threads: 1,
        l0_tables_trigger: 100,
        l0_tables_slowdown: 200,
        ..tiny()
    };
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options).unwrap();
    let ks = keyspace(&db);
    for i in 0..50 {
        ks.put(format!("{i:02}"), noise(i, 40)).unwrap();
    }
    db.compact().unwrap();
    ks.delete("07").unwrap();
    let entries_after = |ms: u64, expected: u64| {
        let mut entries = 0;
        for _ in 0..400 {
            entries = db.stats().keyspaces[0].entries;
            if entries == expected {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{entries} entries after {ms} ms instead of {expected}");
    };
    clock.advance_ms(900);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(db.stats().keyspaces[0].entries, 50, "not before it must be");
    clock.advance_ms(100);
    db.inner.wake_background();
    // The memtable is flushed: the deletion counts as an entry.
    entries_after(1000, 51);
    clock.advance_ms(5000);
    db.inner.wake_background();
    entries_after(6000, 49);

    let snapshot = db.snapshot();
    ks.delete("08").unwrap();
    db.flush().unwrap();
    clock.advance_ms(7999);
    db.inner.wake_background();
    // Merged, but kept: what is deleted, and the deletion.
    entries_after(7999, 50);
    assert!(snapshot.get(&ks, b"08").unwrap().is_some());
    drop(snapshot);
    db.inner.wake_background();
    entries_after(8000, 48);
}

#[test]
fn a_range_is_compacted_without_the_rest() {
    let options = Options { l0_tables_trigger: 100, l0_tables_slowdown: 200, ..tiny() };
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options).unwrap();
    let ks = keyspace(&db);
    for prefix in ["a", "b"] {
        for i in 0..100 {
            ks.put(format!("{prefix}{i:02}"), noise(i, 40)).unwrap();
        }
    }
    db.compact().unwrap();
    for prefix in ["a", "b"] {
        for i in (0..100).step_by(10) {
            ks.delete(format!("{prefix}{i:02}")).unwrap();
        }
        db.flush().unwrap();
    }
    ks.compact_range(b"a".to_vec()..b"b".to_vec()).unwrap();
    assert_eq!(db.stats().keyspaces[0].tombstones, 10, "those of the other half");
    ks.compact_range(..).unwrap();
    assert_eq!((db.stats().keyspaces[0].tombstones, db.stats().keyspaces[0].entries), (0, 180));
}
