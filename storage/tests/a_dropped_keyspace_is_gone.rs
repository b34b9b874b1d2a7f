//! Promise: a dropped keyspace is gone for whoever comes later, is whole for whoever had a snapshot or an iterator before, frees its space
//! when the last of these goes, and never comes back: not by a crash, not by the log, not under the same name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn open(vfs: &MemVfs) -> Result<Db> {
    let options = Options {
        memtable_bytes: 4 << 10,
        block_bytes: 256,
        table_bytes: 2 << 10,
        level1_bytes: 8 << 10,
        l0_tables_trigger: 2,
        blob_file_bytes: 4 << 10,
        ..Options::default()
    };
    Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options)
}

fn keyspace(db: &Db, name: &str) -> Keyspace {
    db.keyspace(name, KeyspaceOptions::default()).unwrap()
}

fn fill(db: &Db, ks: &Keyspace, rounds: std::ops::Range<u32>) -> Result<()> {
    for i in rounds {
        let mut batch = db.batch();
        batch.put(ks, format!("{i:04}"), vec![i as u8; 60]);
        db.write(batch, Durability::Buffered)?;
        if i.is_multiple_of(10) {
            let key = format!("blob{i:04}");
            let bin = Bin { class: 0, due_ms: 1 };
            let blob = db.append_blob(ks, bin, key.as_bytes(), &[i as u8; 300], Compression::None)?;
            let mut batch = db.batch();
            batch.put_blob(ks, key, &blob);
            db.write(batch, Durability::Buffered)?;
        }
    }
    Ok(())
}

fn count(iter: Iter) -> usize {
    iter.inspect(|entry| drop(entry.as_ref().unwrap().value().unwrap())).count()
}

fn files(vfs: &MemVfs, suffix: &str) -> usize {
    vfs.list(Path::new("db")).unwrap().iter().filter(|name| name.ends_with(suffix)).count()
}

#[test]
fn every_use_of_the_handle_says_so() {
    let db = open(&MemVfs::new()).unwrap();
    let (gone, other) = (keyspace(&db, "gone"), keyspace(&db, "other"));
    let seqno = gone.put("k", "v").unwrap();
    let bin = Bin { class: 0, due_ms: 1 };
    let pending = db.append_blob(&gone, bin, b"b", b"bytes", Compression::None).unwrap();
    db.drop_keyspace(&gone).unwrap();
    let batch = |fill: &dyn Fn(&mut WriteBatch)| {
        let mut batch = db.batch();
        batch.put(&other, "k", "must not come");
        fill(&mut batch);
        db.write(batch, Durability::Sync).unwrap_err()
    };
    let snapshot = db.snapshot();
    let errors = [
        gone.get(b"k").unwrap_err(),
        gone.blob_ref(b"k").unwrap_err(),
        gone.put("k", "w").unwrap_err(),
        gone.delete("k").unwrap_err(),
        gone.range(..).next().unwrap().err().unwrap(),
        gone.prefix(b"").next().unwrap().err().unwrap(),
        gone.options().unwrap_err(),
        snapshot.get(&gone, b"k").unwrap_err(),
        snapshot.range(&gone, ..).next().unwrap().err().unwrap(),
        db.append_blob(&gone, bin, b"b", b"bytes", Compression::None).err().unwrap(),
        db.set_keyspace_options(&gone, KeyspaceOptions::default()).unwrap_err(),
        db.drop_keyspace(&gone).unwrap_err(),
        batch(&|batch| batch.put(&gone, "k", "w")),
        batch(&|batch| batch.put_blob(&gone, "b", &pending)),
        batch(&|batch| batch.require_absent(&gone, "k")),
        batch(&|batch| batch.require_version(&gone, "k", seqno)),
        batch(&|batch| batch.require_unchanged(&gone, "k", &snapshot)),
    ];
    for (n, error) in errors.iter().enumerate() {
        assert_eq!(error.kind(), ErrorKind::KeyspaceDropped, "{n}: {error}");
    }
    assert_eq!(other.get(b"k").unwrap(), None);
    assert_eq!(db.keyspaces(), ["other"]);
    assert_eq!(gone.range(..).count(), 1, "an iterator ends after its error");
}

#[test]
fn whoever_came_before_reads_to_the_end_and_then_the_space_is_free() {
    let vfs = MemVfs::new();
    let db = open(&vfs).unwrap();
    let (gone, other) = (keyspace(&db, "gone"), keyspace(&db, "other"));
    fill(&db, &gone, 0..100).unwrap();
    db.compact().unwrap();
    // Some in tables, some in the memtable.
    fill(&db, &gone, 100..120).unwrap();
    let before = db.snapshot();
    let mut iter = gone.range(..);
    assert!(iter.next().is_some());
    db.drop_keyspace(&gone).unwrap();
    for round in 0..3 {
        assert_eq!(count(before.range(&gone, ..)), 132, "round {round}");
        assert_eq!(before.get(&gone, b"0119").unwrap().unwrap(), vec![119; 60]);
        fill(&db, &other, 0..100).unwrap();
        db.compact().unwrap();
    }
    assert_eq!(count(iter), 131);
    drop(before);
    db.seal_bins().unwrap();
    for ks in [&other] {
        for i in 0..100 {
            ks.delete(format!("{i:04}")).unwrap();
            ks.delete(format!("blob{i:04}")).unwrap();
        }
    }
    db.compact().unwrap();
    wait_for(|| files(&vfs, ".sst") == 0);
    // The blob files that the other keyspace wrote to are its garbage.
    let blobs = db.blob_files(&other).unwrap();
    assert!(blobs.iter().map(|file| file.records).sum::<u64>() <= 30, "{blobs:?}");
}

/// The background does the freeing.
fn wait_for(holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("it did not come");
}

#[test]
fn the_space_of_a_keyspace_that_nobody_looks_at_is_free_at_once() {
    let vfs = MemVfs::new();
    let db = open(&vfs).unwrap();
    let gone = keyspace(&db, "gone");
    fill(&db, &gone, 0..200).unwrap();
    db.compact().unwrap();
    fill(&db, &gone, 200..210).unwrap();
    assert!(files(&vfs, ".sst") > 2 && files(&vfs, ".blob") > 1);
    db.drop_keyspace(&gone).unwrap();
    // A thread of the background may hold the tables for a moment.
    wait_for(|| (files(&vfs, ".sst"), files(&vfs, ".blob")) == (0, 0));
    db.flush().unwrap();
    assert_eq!(files(&vfs, ".sst"), 0, "what was in the memtable is not written");
}

/// A snapshot kept them when the process ended; nobody has it any more.
#[test]
fn what_was_kept_for_a_snapshot_is_gone_after_reopening() {
    let vfs = MemVfs::new();
    let db = open(&vfs).unwrap();
    let gone = keyspace(&db, "gone");
    fill(&db, &gone, 0..100).unwrap();
    db.compact().unwrap();
    let before = db.snapshot();
    db.drop_keyspace(&gone).unwrap();
    let images = [vfs.crash(), vfs.kill()];
    assert!(count(before.range(&gone, ..)) > 100);
    db.checkpoint("copy").unwrap();
    assert!(!vfs.list(Path::new("copy")).unwrap().iter().any(|name| name.ends_with(".blob")));
    drop((before, gone));
    drop(db);
    for image in [&images[0], &images[1], &vfs] {
        let db = open(image).unwrap();
        wait_for(|| (files(image, ".sst"), files(image, ".blob")) == (0, 0));
        assert_eq!(db.verify().unwrap().problems, []);
    }
}

#[test]
fn a_new_keyspace_of_the_same_name_begins_empty_whatever_the_log_holds() {
    let vfs = MemVfs::new();
    let db = open(&vfs).unwrap();
    for round in 0..4u32 {
        let ks = keyspace(&db, "name");
        assert_eq!(ks.range(..).count(), 0, "round {round}");
        ks.put(format!("{round}"), "v").unwrap();
        for image in [vfs.crash(), vfs.kill()] {
            let db = open(&image).unwrap();
            let keys: Vec<_> =
                keyspace(&db, "name").range(..).map(|entry| entry.unwrap().key().clone()).collect();
            assert_eq!(keys, [format!("{round}")]);
        }
        db.drop_keyspace(&ks).unwrap();
        for image in [vfs.crash(), vfs.kill()] {
            let db = open(&image).unwrap();
            assert!(db.keyspaces().is_empty());
            // Its number must be new, although no keyspace is left that would tell.
            drop(db);
            let db = open(&image).unwrap();
            assert_eq!(keyspace(&db, "name").range(..).count(), 0);
        }
    }
}

#[test]
fn after_a_crash_at_any_call_it_is_whole_or_gone() {
    for call in 0.. {
        let vfs = MemVfs::new();
        let db = open(&vfs).unwrap();
        let (gone, other) = (keyspace(&db, "gone"), keyspace(&db, "other"));
        fill(&db, &gone, 0..60).unwrap();
        fill(&db, &other, 0..30).unwrap();
        db.sync().unwrap();
        vfs.fail_after(call);
        let dropped = db.drop_keyspace(&gone).is_ok();
        let flushed = dropped && fill(&db, &other, 30..60).is_ok() && db.flush().is_ok();
        for image in [vfs.crash(), vfs.kill()] {
            let db = open(&image).unwrap_or_else(|error| panic!("call {call}: {error}"));
            let is_there = db.keyspaces().contains(&"gone".to_owned());
            assert!(!(dropped && is_there), "call {call}: it came back");
            if is_there {
                assert_eq!(count(keyspace(&db, "gone").range(..)), 66, "call {call}");
            }
            let rest = count(keyspace(&db, "other").range(..));
            assert!(rest >= if flushed { 66 } else { 33 }, "call {call}: {rest}");
        }
        if flushed {
            return;
        }
    }
}

#[test]
fn options_are_kept_and_may_change() {
    let vfs = MemVfs::new();
    let db = open(&vfs).unwrap();
    let mut compression = [TableCompression::Zstd; 7];
    compression[0] = TableCompression::None;
    let first = KeyspaceOptions { compression, separate_bytes: Some(4096), blob_class: 3 };
    let ks = db.keyspace("k", first).unwrap();
    assert_eq!(db.keyspace("k", KeyspaceOptions::default()).unwrap().options().unwrap(), first);
    drop((ks, db));
    let db = open(&vfs.crash()).unwrap();
    let ks = keyspace(&db, "k");
    assert_eq!(ks.options().unwrap(), first);
    db.set_keyspace_options(&ks, KeyspaceOptions::default()).unwrap();
    assert_eq!(ks.options().unwrap(), KeyspaceOptions::default());

    for bad in [
        KeyspaceOptions { separate_bytes: Some(1), ..first },
        KeyspaceOptions { separate_bytes: Some(u32::MAX), ..first },
        KeyspaceOptions { separate_bytes: None, ..first },
    ] {
        assert_eq!(db.set_keyspace_options(&ks, bad).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(db.keyspace("new", bad).err().unwrap().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(db.keyspaces(), ["k"]);
}

/// Compression of a level is that level's, not its neighbour's.
#[test]
fn each_level_is_compressed_as_it_was_asked_to_be() {
    let bytes = |level0: TableCompression, deeper: TableCompression, compact: bool| {
        let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), Options::default()).unwrap();
        let mut compression = [deeper; 7];
        compression[0] = level0;
        let ks = db.keyspace("k", KeyspaceOptions { compression, ..Default::default() }).unwrap();
        for i in 0..200u32 {
            ks.put(format!("{i:04}"), vec![0; 100]).unwrap();
        }
        if compact { db.compact() } else { db.flush() }.unwrap();
        db.stats().keyspaces[0].levels.iter().map(|(_, bytes)| *bytes).sum::<u64>()
    };
    let (none, zstd) = (TableCompression::None, TableCompression::Zstd);
    assert!(bytes(none, zstd, false) > 2 * bytes(zstd, none, false));
    assert!(bytes(zstd, none, true) > 2 * bytes(none, zstd, true));
}

#[test]
fn dropping_races_with_writers_flushes_and_readers() {
    let vfs = MemVfs::new();
    let db = open(&vfs).unwrap();
    let stop = AtomicBool::new(false);
    let dropped_or = |error: Error| assert_eq!(error.kind(), ErrorKind::KeyspaceDropped, "{error}");
    std::thread::scope(|scope| {
        for thread in 0..2u8 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                for i in 0u32.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let ks = keyspace(db, "k");
                    let key = [&[thread][..], &i.to_be_bytes()].concat();
                    let mut batch = db.batch();
                    batch.put(&ks, key.clone(), vec![thread; 100]);
                    match db.write(batch, Durability::Buffered) {
                        Ok(_) => match ks.get(&key) {
                            Ok(found) => assert!(found.is_some(), "a write is lost without a drop"),
                            Err(error) => dropped_or(error),
                        },
                        Err(error) => dropped_or(error),
                    }
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (snapshot, ks) = (db.snapshot(), keyspace(&db, "k"));
                let read = || -> Result<usize> {
                    snapshot.range(&ks, ..).try_fold(0, |count, entry| entry.map(|_| count + 1))
                };
                match read() {
                    Ok(first) => {
                        assert_eq!(read().unwrap(), first, "a snapshot that saw it goes on seeing it")
                    }
                    Err(error) => dropped_or(error),
                }
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                db.compact().unwrap();
            }
        });
        for _ in 0..60 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            db.drop_keyspace(&keyspace(&db, "k")).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    db.drop_keyspace(&keyspace(&db, "k")).unwrap();
    db.compact().unwrap();
    wait_for(|| files(&vfs, ".sst") == 0);
}

/// A drop is durable when it returns, so all that was written before it must be, too: a crash keeps a prefix.
#[test]
fn a_power_loss_after_a_drop_takes_nothing_that_came_before_it() {
    for round in 0..50 {
        let vfs = MemVfs::new();
        let db = open(&vfs).unwrap();
        let (gone, other) = (keyspace(&db, "gone"), keyspace(&db, "other"));
        let stop = AtomicBool::new(false);
        let (crashed, written) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut written = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let mut batch = db.batch();
                    batch.put(&other, written.len().to_be_bytes().to_vec(), "v");
                    written.push(db.write(batch, Durability::Buffered).unwrap());
                }
                written
            });
            while db.snapshot().seqno().0 < 5 {
                std::thread::yield_now();
            }
            db.drop_keyspace(&gone).unwrap();
            let crashed = vfs.crash();
            stop.store(true, Ordering::SeqCst);
            (crashed, writer.join().unwrap())
        });
        // The drop has the one number that no write has.
        let hole = written.windows(2).position(|pair| matches!(pair, [a, b] if b.0 > a.0 + 1));
        let before = hole.map_or(written.len(), |at| at + 1);
        let found = count(keyspace(&open(&crashed).unwrap(), "other").range(..));
        assert!(found >= before, "round {round}: {found} of {before}");
    }
}

struct Dropper<'a>(&'a Db, &'a Keyspace);

impl BinOwner for Dropper<'_> {
    type Plan = ();

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
        if self.0.keyspaces().contains(&"gone".to_owned()) {
            self.0.drop_keyspace(self.1)?;
            // The background looks, and finds that a bin is compacted.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Ok(Judgement::Keep { bin: record.bin })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
        unreachable!("nothing is rewritten")
    }
}

#[test]
fn a_bin_compaction_holds_the_space_up_and_no_longer() {
    let vfs = MemVfs::new();
    let db = open(&vfs).unwrap();
    let (gone, other) = (keyspace(&db, "gone"), keyspace(&db, "other"));
    fill(&db, &other, 0..1).unwrap();
    db.seal_bins().unwrap();
    gone.put("k", "v").unwrap();
    db.compact().unwrap();
    wait_for(|| files(&vfs, ".sst") == 2);
    let file = db.blob_files(&other).unwrap()[0].id;
    let report = db.compact_bin(&other, file, &Dropper(&db, &gone)).unwrap();
    assert!(report.live == 1 && !report.retired);
    wait_for(|| files(&vfs, ".sst") == 1);
}
