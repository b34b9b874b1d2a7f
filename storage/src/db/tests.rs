use crate::*;
use std::path::Path;
use std::sync::Arc;

pub(super) fn tiny() -> Options {
    Options {
        memtable_bytes: 8 << 10,
        block_bytes: 256,
        table_bytes: 2 << 10,
        level1_bytes: 8 << 10,
        l0_tables_trigger: 2,
        blob_file_bytes: 8 << 10,
        ..Options::default()
    }
}

pub(super) fn open(vfs: &MemVfs) -> Db {
    Db::open_with(Arc::new(vfs.clone()), Path::new("db"), tiny()).unwrap()
}

pub(super) fn keyspace(db: &Db) -> Keyspace {
    db.keyspace("k", KeyspaceOptions::default()).unwrap()
}

fn write(db: &Db, fill: impl FnOnce(&mut WriteBatch)) -> Result<Seqno> {
    let mut batch = db.batch();
    fill(&mut batch);
    db.write(batch, Durability::Sync)
}

/// Merges until nothing is due.
pub(super) fn settle(db: &Db) {
    while crate::compaction::compact_one(&db.inner).unwrap() || !db.inner.claims.lock().is_idle(0) {
        std::thread::yield_now();
    }
}

/// Runs a check with what it is about in the memtable, in a young table, and in a merged one.
fn everywhere(check: impl Fn(&Db, &Keyspace, &dyn Fn())) {
    for place in 0..3 {
        let db = open(&MemVfs::new());
        let ks = keyspace(&db);
        check(&db, &ks, &|| match place {
            0 => {}
            1 => db.flush().unwrap(),
            _ => db.compact().unwrap(),
        });
    }
}

#[test]
fn a_version_requirement_sees_every_rewrite() {
    everywhere(|db, ks, settle| {
        let first = ks.put("a", "1").unwrap();
        settle();
        let second = write(db, |batch| {
            batch.require_version(ks, "a", first);
            batch.put(ks, "a", "2");
        });
        settle();
        let late = write(db, |batch| {
            batch.require_version(ks, "a", first);
            batch.put(ks, "a", "3");
        });
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(ks.get_versioned(b"a").unwrap().unwrap(), ("2".into(), second.unwrap()));
    });
}

#[test]
fn an_absence_requirement_sees_deletions() {
    everywhere(|db, ks, settle| {
        let put_if_absent = || {
            write(db, |batch| {
                batch.require_absent(ks, "a");
                batch.put(ks, "a", "1");
            })
        };
        put_if_absent().unwrap();
        settle();
        assert_eq!(put_if_absent().unwrap_err().kind(), ErrorKind::Conflict);
        ks.delete("a").unwrap();
        settle();
        put_if_absent().unwrap();
    });
}

#[test]
fn an_unchanged_requirement_sees_writes_and_deletions_under_its_prefix_only() {
    everywhere(|db, ks, settle| {
        ks.put("p1", "x").unwrap();
        ks.put("q1", "x").unwrap();
        settle();
        let holds = |since: &Snapshot| write(db, |batch| batch.require_unchanged(ks, "p", since)).is_ok();
        let since = db.snapshot();
        assert!(holds(&since));
        ks.put("q2", "x").unwrap();
        ks.put("o", "x").unwrap();
        settle();
        assert!(holds(&since));
        ks.delete("p1").unwrap();
        settle();
        assert!(!holds(&since), "a deletion counts");
        let since = db.snapshot();
        ks.put("p2", "x").unwrap();
        settle();
        assert!(!holds(&since), "a write counts");
    });
}

#[test]
fn a_failed_requirement_writes_nothing_at_all() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    ks.put("there", "1").unwrap();
    let refused = write(&db, |batch| {
        batch.put(&ks, "other", "2");
        batch.require_absent(&ks, "there");
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(ks.get(b"other").unwrap(), None);
}

#[test]
fn the_last_write_of_a_key_in_a_batch_wins() {
    everywhere(|db, ks, settle| {
        write(db, |batch| {
            batch.put(ks, "a", "1");
            batch.delete(ks, "a");
            batch.put(ks, "a", "2");
        })
        .unwrap();
        settle();
        assert_eq!(ks.get(b"a").unwrap().unwrap(), "2");
    });
}

#[test]
fn keyspaces_do_not_see_each_other() {
    let vfs = MemVfs::new();
    let db = open(&vfs);
    let (a, b) = (keyspace(&db), db.keyspace("other", KeyspaceOptions::default()).unwrap());
    a.put("k", "1").unwrap();
    b.put("k", "2").unwrap();
    db.flush().unwrap();
    b.delete("k").unwrap();
    assert_eq!(a.range(..).count(), 1);
    assert_eq!(b.range(..).count(), 0);
    drop((a, b, db));
    let db = open(&vfs);
    assert_eq!(db.keyspaces(), ["k", "other"]);
    assert_eq!(keyspace(&db).get(b"k").unwrap().unwrap(), "1");
}

#[test]
fn limits_are_typed_errors() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    let invalid = |result: Result<Seqno>| assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidArgument);
    invalid(ks.put(vec![0; KEY_BYTES_MAX + 1], "v"));
    invalid(ks.put("k", vec![0; tiny().inline_value_bytes_max + 1]));
    ks.put(vec![0; KEY_BYTES_MAX], vec![0; 1000]).unwrap();
    db.flush().unwrap();
    assert_eq!(ks.get(&vec![0; KEY_BYTES_MAX]).unwrap().unwrap().len(), 1000);
    assert_eq!(
        db.keyspace("", KeyspaceOptions::default()).map(drop).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    let bin = Bin { class: 0, due_ms: 1 };
    let pending = db.append_blob(&ks, bin, b"right", b"v", Compression::None).unwrap();
    invalid(write(&db, |batch| batch.put_blob(&ks, "wrong", &pending)));
    // In another keyspace nobody would know that the record is live.
    let other = db.keyspace("other", KeyspaceOptions::default()).unwrap();
    invalid(write(&db, |batch| batch.put_blob(&other, "right", &pending)));
}

#[test]
fn a_blob_is_invisible_until_its_batch() {
    let vfs = MemVfs::new();
    let db = open(&vfs);
    let ks = keyspace(&db);
    let bin = Bin { class: 0, due_ms: 1 };
    let blob = db.append_blob(&ks, bin, b"k", &[7; 5000], Compression::Dense).unwrap();
    assert_eq!(ks.get(b"k").unwrap(), None);
    write(&db, |batch| batch.put_blob(&ks, "k", &blob)).unwrap();
    drop(blob);
    assert_eq!(ks.get(b"k").unwrap().unwrap(), vec![7; 5000]);
    let (found, _) = ks.blob_ref(b"k").unwrap().unwrap();
    assert!(found.stored_len < 1000 && found.len == 5000);
    let entry = ks.range(..).next().unwrap().unwrap();
    assert_eq!(entry.blob_ref(), Some(found));
    assert_eq!(entry.value().unwrap().len(), 5000);
    let [file] = db.blob_files(&ks).unwrap()[..] else { panic!("one file") };
    assert_eq!((file.records, file.garbage_bytes, file.bin), (1, 0, bin));
}

#[test]
fn after_a_failed_sync_the_database_is_read_only_until_reopened() {
    let vfs = MemVfs::new();
    let db = open(&vfs);
    let ks = keyspace(&db);
    ks.put("k", "v").unwrap();
    // The record's write passes, its sync does not.
    vfs.fail_after(1);
    assert_eq!(ks.put("k", "w").unwrap_err().kind(), ErrorKind::Io);
    vfs.heal();
    assert_eq!(ks.put("k", "w").unwrap_err().kind(), ErrorKind::ReadOnly);
    assert!(db.stats().read_only.is_some());
    assert!(ks.get(b"k").unwrap().is_some());
    drop((ks, db));
    let db = open(&vfs);
    keyspace(&db).put("k", "x").unwrap();
}

/// Who cares whether buffered writes became durable asks `close`.
#[test]
fn closing_a_failed_database_says_so() {
    let vfs = MemVfs::new();
    let db = open(&vfs);
    let ks = keyspace(&db);
    vfs.fail_after(1);
    ks.put("k", "v").unwrap_err();
    vfs.heal();
    assert_eq!(db.close().unwrap_err().kind(), ErrorKind::ReadOnly);
}

/// The system forgets what it could not write: a second sync that succeeds says nothing about the first.
#[test]
fn a_failed_sync_of_a_blob_file_is_not_tried_again() {
    let append = |db: &Db, ks: &Keyspace| {
        let blob = db.append_blob(ks, Bin { class: 0, due_ms: 1 }, b"k", &[1; 99], Compression::None)?;
        let mut batch = db.batch();
        batch.put_blob(ks, "k", &blob);
        db.write(batch, Durability::Buffered)
    };
    type Call = fn(&Db) -> Result<()>;
    // Sealing first cuts off and writes.
    let calls: [(u64, Call); 3] = [(2, Db::seal_bins), (0, Db::flush), (0, Db::sync)];
    for (passing, call) in calls {
        let vfs = MemVfs::new();
        let db = open(&vfs);
        let ks = keyspace(&db);
        append(&db, &ks).unwrap();
        vfs.fail_after(passing);
        assert_eq!(call(&db).unwrap_err().kind(), ErrorKind::Io);
        vfs.heal();
        assert_eq!(call(&db).unwrap_err().kind(), ErrorKind::ReadOnly);
    }
}

#[test]
fn empty_keys_values_and_blobs_are_kept() {
    everywhere(|db, ks, settle| {
        ks.put("", "").unwrap();
        ks.put("a", "").unwrap();
        let blob = db.append_blob(ks, Bin { class: 0, due_ms: 1 }, b"b", b"", Compression::Strong).unwrap();
        write(db, |batch| batch.put_blob(ks, "b", &blob)).unwrap();
        drop(blob);
        settle();
        for key in ["", "a", "b"] {
            assert_eq!(ks.get(key.as_bytes()).unwrap().unwrap(), "", "{key}");
        }
        assert_eq!(ks.range(..).count(), 3);
        assert_eq!(ks.prefix(b"").count(), 3);
        db.seal_bins().unwrap();
        settle();
        assert_eq!(ks.get(b"b").unwrap().unwrap(), "");
        ks.delete("").unwrap();
        settle();
        assert_eq!(ks.get(b"").unwrap(), None);
        assert_eq!(ks.range(..).count(), 2);
    });
}

#[test]
fn many_versions_of_one_key_cross_blocks_and_tables() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    ks.put("a", "before").unwrap();
    ks.put("z", "after").unwrap();
    let mut seen = Vec::new();
    for round in 0..300u32 {
        ks.put("key", format!("{round}").repeat(20)).unwrap();
        seen.push((db.snapshot(), format!("{round}").repeat(20)));
    }
    for _ in 0..2 {
        for (snapshot, value) in &seen {
            assert_eq!(snapshot.get(&ks, b"key").unwrap().unwrap(), value);
            let from_key: Vec<_> = snapshot.range(&ks, b"key".to_vec()..).map(|e| e.unwrap()).collect();
            assert_eq!((from_key.len(), &from_key[0].value().unwrap()[..]), (2, value.as_bytes()));
        }
        db.compact().unwrap();
    }
}

#[test]
fn compaction_drops_what_nobody_can_see_and_keeps_what_a_snapshot_can() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    for round in 0..5 {
        for i in 0..200 {
            ks.put(format!("{i:04}"), format!("{round}")).unwrap();
        }
    }
    let snapshot = db.snapshot();
    for i in 0..200 {
        ks.delete(format!("{i:04}")).unwrap();
    }
    db.compact().unwrap();
    assert_eq!(ks.range(..).count(), 0);
    assert_eq!(snapshot.range(&ks, ..).count(), 200);
    assert_eq!(snapshot.get(&ks, b"0007").unwrap().unwrap(), "4");
    assert_eq!(db.stats().keyspaces[0].entries, 400);
    drop(snapshot);
    db.compact().unwrap();
    assert_eq!(db.stats().keyspaces[0].entries, 0);
}

#[test]
fn levels_below_the_first_are_disjoint_and_fill_up() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    for i in 0..3000u32 {
        let mut batch = db.batch();
        batch.put(&ks, format!("{:08x}", i.wrapping_mul(2_654_435_761)), vec![i as u8; 40]);
        db.write(batch, Durability::Buffered).unwrap();
    }
    db.flush().unwrap();
    settle(&db);
    let state = db.inner.read_state();
    let tree = state.tree(ks.id()).unwrap();
    assert!(tree.levels[0].len() < 2);
    assert!(tree.levels[2..].iter().any(|level| !level.is_empty()), "deeper levels are used");
    for level in &tree.levels[1..] {
        assert!(level.windows(2).all(|pair| pair[0].properties.largest < pair[1].properties.smallest));
    }
    assert_eq!(ks.range(..).count(), 3000);
}

#[test]
fn handles_may_be_shared_and_cursors_sent() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Db>();
    shared::<Keyspace>();
    shared::<Snapshot>();
    shared::<Entry>();
    shared::<PendingBlob>();
    sent::<Iter>();
    sent::<WriteBatch>();
}

/// A thread that lists blob files, then compacts them, may find one that another thread has compacted away meanwhile.
#[test]
fn a_retired_file_is_neither_listed_nor_compacted_again() {
    struct Nobody;
    impl BinOwner for Nobody {
        type Plan = ();
        fn judge(&self, _: &LiveRecord<'_>) -> Result<Judgement<()>> {
            panic!("nothing is live")
        }
        fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
            panic!("nothing is planned")
        }
    }
    let vfs = MemVfs::new();
    let db = open(&vfs);
    let ks = keyspace(&db);
    let blob = db.append_blob(&ks, Bin { class: 0, due_ms: 1 }, b"k", b"value", Compression::None).unwrap();
    write(&db, |batch| batch.put_blob(&ks, "k", &blob)).unwrap();
    let file = blob.blob_ref().file;
    drop(blob);
    let snapshot = db.snapshot();
    ks.delete("k").unwrap();
    let first = db.compact_bin(&ks, file, &Nobody).unwrap();
    assert!(first.retired && first.records == 1);
    assert_eq!(db.blob_files(&ks).unwrap(), []);
    let second = db.compact_bin(&ks, file, &Nobody).unwrap();
    assert_eq!(second, BinReport { retired: true, ..BinReport::default() });
    assert_eq!(snapshot.get(&ks, b"k").unwrap().unwrap(), "value");
    let path = Path::new("db").join(format!("{:06}.blob", file.0));
    assert!(vfs.bytes(&path).is_ok());
    drop(snapshot);
    db.inner.unlink_retired();
    assert!(vfs.bytes(&path).is_err());
}

/// The background may be about to unlink, having found no snapshot, when one is taken and a file that it sees is retired.
#[test]
fn a_snapshot_keeps_a_file_that_is_retired_while_another_thread_unlinks() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    let blob = db.append_blob(&ks, Bin { class: 0, due_ms: 1 }, b"k", b"value", Compression::None).unwrap();
    write(&db, |batch| batch.put_blob(&ks, "k", &blob)).unwrap();
    let file = blob.inner.file.clone();
    let mut retired = db.inner.blobs.retired.lock();
    std::thread::scope(|scope| {
        let unlinking = scope.spawn(|| db.inner.unlink_retired());
        std::thread::sleep(std::time::Duration::from_millis(20));
        let snapshot = db.snapshot();
        ks.delete("k").unwrap();
        retired.push((db.inner.visible(), file));
        drop(retired);
        unlinking.join().unwrap();
        assert_eq!(snapshot.get(&ks, b"k").unwrap().unwrap(), "value");
    });
}

#[test]
fn traffic_counts_what_each_level_read_and_wrote() {
    let options = Options { clock: Arc::new(ManualClock::new(1)), ..tiny() };
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options).unwrap();
    let ks = keyspace(&db);
    ks.put("k", "v").unwrap();
    db.compact().unwrap();
    let traffic = db.stats().traffic;
    assert_eq!((traffic[0].jobs, traffic[0].read_bytes, traffic[0].busy_us), (1, 0, 0));
    let merged = traffic[6];
    assert_eq!((merged.jobs, merged.read_bytes), (1, traffic[0].written_bytes));
    assert_eq!(db.stats().keyspaces[0].levels[6], (1, merged.written_bytes));
}

/// Both directions pass over versions that the snapshot may not see, one by one or, of a key that has many, by a seek.
#[test]
fn a_snapshot_iterates_over_a_key_with_many_versions() {
    for versions in [1, 2, 15, 16, 17, 33, 100] {
        everywhere(|db, ks, settle| {
            for key in ["a", "c"] {
                ks.put(key, "0").unwrap();
            }
            let mut snapshots = vec![(db.snapshot(), None)];
            for version in 0..versions {
                let value = format!("{version}");
                let seqno = ks.put("b", value.clone()).unwrap();
                snapshots.push((db.snapshot(), Some((value, seqno))));
            }
            ks.delete("b").unwrap();
            snapshots.push((db.snapshot(), None));
            settle();
            for (snapshot, b) in &snapshots {
                let b = b.as_ref().map(|(value, seqno)| ("b".to_owned(), value.clone(), Some(*seqno)));
                let mut expected: Vec<_> = [
                    Some(("a".to_owned(), "0".to_owned(), None)),
                    b,
                    Some(("c".to_owned(), "0".to_owned(), None)),
                ]
                .into_iter()
                .flatten()
                .collect();
                let check = |entries: Vec<Entry>, expected: &[(String, String, Option<Seqno>)]| {
                    assert_eq!(entries.len(), expected.len());
                    for (entry, (key, value, seqno)) in entries.iter().zip(expected) {
                        assert_eq!(entry.key(), key.as_bytes());
                        assert_eq!(entry.value().unwrap(), value.as_bytes());
                        assert!(seqno.is_none_or(|seqno| entry.seqno() == seqno));
                    }
                };
                check(snapshot.range(ks, ..).map(Result::unwrap).collect(), &expected);
                expected.reverse();
                check(snapshot.range(ks, ..).rev().map(Result::unwrap).collect(), &expected);
            }
        });
    }
}

/// While a batch waits for room between its two looks at its requirements, a deletion may come, be flushed, and merged with what it
/// deletes: then nothing is left that is newer than the first look, and the batch used to be committed.
#[test]
fn a_requirement_notices_a_deletion_that_was_merged_away() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    let version = ks.put("a", "1").unwrap();
    ks.put("b", "1").unwrap();
    db.compact().unwrap();
    let mut batch = db.batch();
    batch.require_version(&ks, "a", version);
    let early = db.inner.check_early(&batch).unwrap();
    db.inner.check_again(&db.inner.read_state(), &batch, &early).unwrap();
    ks.delete("a").unwrap();
    db.compact().unwrap();
    let again = db.inner.check_again(&db.inner.read_state(), &batch, &early);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
}

/// A deletion may also go with what it deletes when both are flushed: then no table is made, and so none is another.
#[test]
fn a_requirement_notices_a_deletion_of_which_a_flush_left_nothing() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    let version = ks.put("a", "1").unwrap();
    let mut batch = db.batch();
    batch.require_version(&ks, "a", version);
    let early = db.inner.check_early(&batch).unwrap();
    ks.delete("a").unwrap();
    db.flush().unwrap();
    let again = db.inner.check_again(&db.inner.read_state(), &batch, &early);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
}

/// A merge keeps what the snapshots see that there are when it begins; were there tables with writes that are not visible yet, a snapshot
/// that comes later could still be older than these.
#[test]
fn no_table_is_newer_than_what_is_visible() {
    let db = open(&MemVfs::new());
    let ks = keyspace(&db);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..300 {
                let mut ingest = db.ingest(&ks).unwrap();
                ingest.put(b"a", b"1").unwrap();
                ingest.finish().unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            let state = db.inner.read_state();
            let visible = db.inner.visible();
            let newest = state.tree(ks.id()).unwrap().tables().map(|table| table.properties.seqno_max).max();
            assert!(newest.is_none_or(|newest| newest <= visible), "{newest:?} {visible}");
        }
    });
}

/// The directory's own name was never made durable: a power loss took the whole database, with all that had been synced in it.
#[test]
fn the_directory_is_there_after_a_power_loss() {
    let vfs = MemVfs::new();
    let dir = Path::new("volume/of/db");
    let db = Db::open_with(Arc::new(vfs.clone()), dir, tiny()).unwrap();
    keyspace(&db).put("k", "v").unwrap();
    db.checkpoint("volume/of/copies/first").unwrap();
    let crashed = vfs.crash();
    for dir in [dir, Path::new("volume/of/copies/first")] {
        let db = Db::open_with(Arc::new(crashed.clone()), dir, tiny()).unwrap();
        assert_eq!(keyspace(&db).get(b"k").unwrap().unwrap(), "v");
    }
}

/// The power failed before the first sync of a log: of its header the length had come to the disk, the bytes had not. Opening called that
/// damage.
#[test]
fn a_log_that_is_nothing_but_zeros_was_never_begun() {
    let vfs = MemVfs::new();
    let db = open(&vfs);
    keyspace(&db).put("k", "v").unwrap();
    let crashed = vfs.crash();
    crashed.create(Path::new("db/000099.log")).unwrap().write_all_at(&[0; 16], 0).unwrap();
    assert!(Db::verify_closed(Arc::new(crashed.clone()), Path::new("db"), |_| {}).unwrap().is_sound());
    let db = open(&crashed);
    assert_eq!(keyspace(&db).get(b"k").unwrap().unwrap(), "v");
    // What has a record was begun.
    let other = vfs.crash();
    other.create(Path::new("db/000099.log")).unwrap().write_all_at(&[0; 17], 0).unwrap();
    let error = Db::open_with(Arc::new(other), Path::new("db"), tiny()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
}
