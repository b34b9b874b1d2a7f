//! Promise: a listener is told what happens, in order, and may use the database meanwhile.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::{Arc, Mutex};

type Seen = Arc<Mutex<Vec<Event>>>;

fn open(vfs: &MemVfs, listener: impl Fn(&Event) + Send + Sync + 'static) -> (Db, Keyspace) {
    let options = Options {
        memtable_bytes: 8 << 10,
        l0_tables_trigger: 2,
        l0_tables_slowdown: 3,
        table_bytes: 4 << 10,
        level1_bytes: 8 << 10,
        block_bytes: 256,
        listener: Some(Arc::new(listener)),
        ..Options::default()
    };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

fn recording() -> (Seen, impl Fn(&Event) + Send + Sync + 'static) {
    let seen = Seen::default();
    let log = seen.clone();
    (seen, move |event: &Event| log.lock().unwrap().push(event.clone()))
}

fn position(seen: &[Event], what: impl Fn(&Event) -> bool) -> usize {
    seen.iter().position(what).unwrap_or_else(|| panic!("not among {seen:#?}"))
}

#[test]
fn flushes_merges_and_files_are_told_in_order() {
    let vfs = MemVfs::new();
    let (seen, listener) = recording();
    let (db, keyspace) = open(&vfs, listener);
    let blob =
        db.append_blob(&keyspace, Bin { class: 1, due_ms: 2 }, b"b", &[1; 99], Compression::None).unwrap();
    drop(blob);
    db.seal_bins().unwrap();
    for round in 0..3 {
        keyspace.put("key", vec![round; 100]).unwrap();
        db.flush().unwrap();
    }
    db.compact().unwrap();
    struct Nobody;
    impl BinOwner for Nobody {
        type Plan = ();
        fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
            Ok(Judgement::Keep { bin: record.bin })
        }
        fn commit(&self, _: (), _: &[PendingBlob]) -> Result<bool> {
            Ok(true)
        }
    }
    let file = db.blob_files(&keyspace).unwrap()[0].id;
    assert!(db.compact_bin(&keyspace, file, &Nobody).unwrap().retired);
    drop(keyspace);
    db.close().unwrap();

    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], Event::Recovered { batches: 0, log_bytes: 0, torn: None });
    let added = position(&seen, |event| matches!(event, Event::BlobFileAdded { id, .. } if *id == file));
    let sealed =
        position(&seen, |event| matches!(event, Event::BlobFileSealed { id, records: 1, .. } if *id == file));
    let dropped = position(&seen, |event| *event == Event::BlobFileDropped { id: file });
    assert!(added < sealed && sealed < dropped);
    let begun = position(&seen, |event| matches!(event, Event::FlushBegun { .. }));
    let table = position(&seen, |event| matches!(event, Event::TableAdded { .. }));
    let ended = position(&seen, |event| matches!(event, Event::FlushEnded { tables: 1, failed: false, .. }));
    assert!(begun < table && table < ended);
    let begun =
        position(&seen, |event| matches!(event, Event::CompactionBegun { keyspace, .. } if keyspace == "k"));
    let ended = position(&seen, |event| matches!(event, Event::CompactionEnded { failed: false, .. }));
    assert!(begun < ended);
    let Event::TableAdded { id: first, .. } = seen[table] else { unreachable!() };
    position(&seen, |event| *event == Event::TableDropped { id: first });
}

/// Also those that an old snapshot still reads, which are flushed and merged on.
#[test]
fn every_table_of_a_dropped_keyspace_is_told_once_to_be_gone() {
    let vfs = MemVfs::new();
    let (seen, listener) = recording();
    let (db, keyspace) = open(&vfs, listener);
    let fill = |keyspace: &Keyspace| {
        for i in 0..300 {
            keyspace.put(format!("key{i:03}"), vec![7; 100]).unwrap();
        }
    };
    fill(&keyspace);
    db.compact().unwrap();
    fill(&keyspace);
    let before = db.snapshot();
    db.drop_keyspace(&keyspace).unwrap();
    let other = db.keyspace("other", KeyspaceOptions::default()).unwrap();
    fill(&other);
    db.compact().unwrap();
    assert_eq!(before.range(&keyspace, ..).count(), 300);
    drop(before);
    db.drop_keyspace(&other).unwrap();
    drop((keyspace, other));
    db.close().unwrap();

    let seen = seen.lock().unwrap();
    let mut live = std::collections::BTreeSet::new();
    let mut dropped = 0;
    for event in seen.iter() {
        match event {
            // A table that moves to another level is told to be added again.
            Event::TableAdded { id, .. } => drop(live.insert(*id)),
            Event::TableDropped { id } => {
                dropped += 1;
                assert!(live.remove(id), "table {id} was no part of the database: {seen:#?}");
            }
            _ => {}
        }
    }
    assert!(live.is_empty() && dropped > 0, "{live:?} are told to be there still");
}

#[test]
fn recovery_failures_and_read_only_are_told() {
    let vfs = MemVfs::new();
    let (_, listener) = recording();
    let (db, keyspace) = open(&vfs, listener);
    keyspace.put("key", "value").unwrap();
    let after = vfs.kill();
    drop((db, keyspace));

    let (seen, listener) = recording();
    let (db, keyspace) = open(&after, listener);
    after.fill_after(0);
    let mut batch = db.batch();
    batch.put(&keyspace, "more", "x");
    assert_eq!(db.write(batch, Durability::Buffered).unwrap_err().kind(), ErrorKind::NoSpace);
    after.heal();
    keyspace.put("more", "x").unwrap();
    // The end of the log and the beginning of the next one pass; the table cannot be made.
    after.fill_after(3);
    assert_eq!(db.flush().unwrap_err().kind(), ErrorKind::NoSpace);
    after.heal();
    db.flush().unwrap();
    after.fail_after(1);
    keyspace.put("late", "x").unwrap_err();
    after.heal();
    drop(keyspace);
    let _ = db.close();
    let seen = seen.lock().unwrap();
    assert!(matches!(seen[0], Event::Recovered { batches: 1, torn: None, .. }), "{seen:#?}");
    let failed = position(&seen, |event| matches!(event, Event::FlushEnded { failed: true, .. }));
    let told =
        position(&seen, |event| matches!(event, Event::BackgroundError { kind: ErrorKind::NoSpace, .. }));
    assert!(failed < told);
    position(&seen, |event| matches!(event, Event::ReadOnly { .. }));
}

#[test]
fn a_listener_may_use_the_database() {
    let vfs = MemVfs::new();
    let handle: Arc<Mutex<Option<(Db, Keyspace)>>> = Arc::default();
    let (inside, counts) = (handle.clone(), Arc::new(Mutex::new(0)));
    let counted = counts.clone();
    let listener = move |event: &Event| {
        let Some((db, keyspace)) = inside.lock().unwrap().clone() else { return };
        if matches!(event, Event::FlushEnded { .. }) {
            keyspace.put("flushes", db.stats().seqno.0.to_be_bytes().to_vec()).unwrap();
            assert!(db.verify().unwrap().is_sound());
            *counted.lock().unwrap() += 1;
        }
    };
    let (db, keyspace) = open(&vfs, listener);
    *handle.lock().unwrap() = Some((db.clone(), keyspace.clone()));
    for i in 0..600 {
        keyspace.put(format!("key{i:03}"), vec![7; 100]).unwrap();
    }
    db.flush().unwrap();
    *handle.lock().unwrap() = None;
    drop(keyspace);
    db.close().unwrap();
    assert!(*counts.lock().unwrap() >= 1);
}
