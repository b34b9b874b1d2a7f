//! Promise: a checkpoint opens as a database, holds what was there when it was taken, whole, and from then on the two are independent.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

type Contents = Vec<(Vec<u8>, Vec<u8>)>;

fn tiny() -> Options {
    Options {
        memtable_bytes: 8 << 10,
        block_bytes: 256,
        table_bytes: 2 << 10,
        level1_bytes: 8 << 10,
        l0_tables_trigger: 2,
        blob_file_bytes: 4 << 10,
        ..Options::default()
    }
}

fn open_on(vfs: Arc<dyn Vfs>, dir: &str) -> (Db, Keyspace) {
    let db = Db::open_with(vfs, Path::new(dir), tiny()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

fn open(vfs: &MemVfs, dir: &str) -> (Db, Keyspace) {
    open_on(Arc::new(vfs.clone()), dir)
}

fn put_blob(db: &Db, keyspace: &Keyspace, key: &str, bytes: &[u8]) {
    let bin = Bin { class: 0, due_ms: 5 };
    let blob = db.append_blob(keyspace, bin, key.as_bytes(), bytes, Compression::None).unwrap();
    let mut batch = db.batch();
    batch.put_blob(keyspace, key.to_owned(), &blob);
    db.write(batch, Durability::Buffered).unwrap();
}

fn fill(db: &Db, keyspace: &Keyspace, round: u8) {
    for i in 0..200 {
        keyspace.put(format!("key{i:03}"), vec![round; 50]).unwrap();
    }
    for i in 0..20 {
        put_blob(db, keyspace, &format!("blob{i:02}"), &[round; 300]);
    }
}

fn contents(keyspace: &Keyspace) -> Contents {
    let entries = keyspace.range(..).map(|entry| {
        let entry = entry.unwrap();
        (entry.key().to_vec(), entry.value().unwrap().to_vec())
    });
    entries.collect()
}

fn assert_sound(db: &Db) {
    assert_eq!(db.verify().unwrap().problems, []);
}

/// Moves every record of a bin elsewhere, so that its files are retired.
struct CarryAll;

impl BinOwner for CarryAll {
    type Plan = ();
    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
        Ok(Judgement::Keep { bin: Bin { class: 0, due_ms: record.bin.due_ms + 1 } })
    }
    fn commit(&self, _: (), _: &[PendingBlob]) -> Result<bool> {
        Ok(true)
    }
}

fn compact_bins(db: &Db, keyspace: &Keyspace) {
    for file in db.blob_files(keyspace).unwrap() {
        db.compact_bin(keyspace, file.id, &CarryAll).unwrap();
    }
}

#[test]
fn it_is_what_was_there_and_neither_disturbs_the_other() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs, "db");
    fill(&db, &keyspace, 1);
    fill(&db, &keyspace, 2);
    keyspace.delete("key007").unwrap();
    let expected = contents(&keyspace);
    let report = db.checkpoint("copy").unwrap();
    assert!(report.files_linked >= 2 && report.files_copied == 0, "{report:?}");
    assert_eq!(report.seqno, db.stats().seqno);

    // The original goes on: every file that the two share is dropped there.
    fill(&db, &keyspace, 3);
    compact_bins(&db, &keyspace);
    db.compact().unwrap();
    let (copy, copied) = open(&vfs, "copy");
    assert_eq!(contents(&copied), expected);
    assert_sound(&copy);
    // And so does the copy.
    let original = contents(&keyspace);
    for i in 0..200 {
        copied.delete(format!("key{i:03}")).unwrap();
    }
    compact_bins(&copy, &copied);
    copy.compact().unwrap();
    assert_eq!(copied.range(..).count(), 20);
    assert_eq!(contents(&keyspace), original);
    for db in [&db, &copy] {
        assert_sound(db);
    }
}

#[test]
fn ingested_data_goes_along_and_a_dropped_keyspace_does_not() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs, "db");
    let gone = db.keyspace("gone", KeyspaceOptions::default()).unwrap();
    gone.put("key", "value").unwrap();
    db.flush().unwrap();
    let before = db.snapshot();
    db.drop_keyspace(&gone).unwrap();
    let mut ingest = db.ingest(&keyspace).unwrap();
    for i in 0..100u8 {
        ingest.put(&[i], &[i; 50]).unwrap();
    }
    let seqno = ingest.finish().unwrap().seqno;
    let report = db.checkpoint("copy").unwrap();
    assert_eq!(before.get(&gone, b"key").unwrap().unwrap(), "value");
    let tables: usize = db.stats().keyspaces[0].levels.iter().map(|(tables, _)| tables).sum();
    assert_eq!(report.files_linked, tables as u64);
    let (copy, copied) = open(&vfs, "copy");
    assert_eq!(copy.keyspaces(), ["k"]);
    assert_eq!(copied.get_versioned(&[7]).unwrap().unwrap(), (vec![7; 50].into(), seqno));
    assert_sound(&copy);
}

#[test]
fn it_is_durable_when_the_call_returns() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs, "db");
    fill(&db, &keyspace, 1);
    let expected = contents(&keyspace);
    db.checkpoint("copy").unwrap();
    let after = vfs.crash();
    let (copy, copied) = open(&after, "copy");
    assert_eq!(contents(&copied), expected);
    assert_sound(&copy);
}

/// Writers and bin compactions beside it: batches whole, everything acknowledged before the call there, every reference good.
#[test]
fn beside_writers_it_is_one_moment() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs, "db");
    let (done, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=3000u64 {
                let mut batch = db.batch();
                batch.put(&keyspace, "left", n.to_be_bytes().to_vec());
                batch.put(&keyspace, "right", n.to_be_bytes().to_vec());
                db.write(batch, Durability::Buffered).unwrap();
                acknowledged.store(n, Ordering::SeqCst);
                put_blob(&db, &keyspace, &format!("blob{:02}", n % 30), &n.to_be_bytes().repeat(20));
                if n % 100 == 0 {
                    compact_bins(&db, &keyspace);
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut taken = 0;
        while !done.load(Ordering::SeqCst) || taken == 0 {
            let before = acknowledged.load(Ordering::SeqCst);
            let dest = format!("copy{taken}");
            db.checkpoint(&dest).unwrap();
            let after = acknowledged.load(Ordering::SeqCst);
            let (copy, copied) = open(&vfs, &dest);
            let value = |key: &[u8]| {
                copied.get(key).unwrap().map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
            };
            let (left, right) = (value(b"left"), value(b"right"));
            assert_eq!(left, right, "half a batch");
            assert!((before..=after + 1).contains(&left), "{before} {left} {after}");
            assert_sound(&copy);
            assert!(copied.range(..).all(|entry| entry.unwrap().value().is_ok()));
            taken += 1;
        }
    });
}

#[test]
fn after_a_failure_at_any_call_it_can_be_taken_again() {
    for calls in 0.. {
        let vfs = MemVfs::new();
        let (db, keyspace) = open(&vfs, "db");
        keyspace.put("key", "value").unwrap();
        put_blob(&db, &keyspace, "blob", &[1; 100]);
        db.seal_bins().unwrap();
        db.flush().unwrap();
        vfs.fill_after(calls);
        let taken = db.checkpoint("copy");
        vfs.heal();
        if let Err(error) = &taken {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "call {calls}: {error}");
            db.checkpoint("copy").unwrap();
        }
        let (copy, copied) = open(&vfs, "copy");
        assert_eq!(contents(&copied), contents(&keyspace));
        assert_sound(&copy);
        assert_sound(&db);
        if taken.is_ok() {
            return;
        }
    }
}

#[test]
fn a_directory_that_holds_something_is_refused_and_untouched() {
    let vfs = MemVfs::new();
    let (db, _keyspace) = open(&vfs, "db");
    let (_other, _) = open(&vfs, "other");
    for dest in ["db", "other"] {
        let names = vfs.list(Path::new(dest)).unwrap();
        let error = db.checkpoint(dest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("not empty"), "{error}");
        assert_eq!(vfs.list(Path::new(dest)).unwrap(), names);
    }
}

/// A file system without hard links.
struct Linkless;

impl VfsHooks for Linkless {
    fn before(&self, call: VfsCall, _: &Path) -> io::Result<()> {
        if call == VfsCall::HardLink { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }
}

#[test]
fn without_hard_links_it_is_copied() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open_on(Arc::new(vfs.hooked(Linkless)), "db");
    fill(&db, &keyspace, 1);
    let report = db.checkpoint("copy").unwrap();
    assert!(report.files_linked == 0 && report.files_copied >= 2, "{report:?}");
    let after = vfs.crash();
    let (copy, copied) = open(&after, "copy");
    assert_eq!(contents(&copied), contents(&keyspace));
    assert_sound(&copy);
}

#[test]
fn on_a_real_disk_the_bytes_are_shared() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("db");
    let db = Db::open(&source, tiny()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    fill(&db, &keyspace, 1);
    let expected = contents(&keyspace);
    let report = db.checkpoint(dir.path().join("copy")).unwrap();
    assert!(report.files_linked >= 2 && report.files_copied == 0, "{report:?}");
    drop(keyspace);
    db.close().unwrap();
    std::fs::remove_dir_all(&source).unwrap();
    let copy = Db::open(dir.path().join("copy"), tiny()).unwrap();
    assert_eq!(contents(&copy.keyspace("k", KeyspaceOptions::default()).unwrap()), expected);
    assert_sound(&copy);
}
