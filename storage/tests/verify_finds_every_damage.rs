//! Promise: `verify` finds every damaged byte, lost or misplaced file, names it, goes on to the end, and finds nothing where nothing is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const DIR: &str = "db";

fn tiny() -> Options {
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

fn open(vfs: &MemVfs, options: Options) -> (Db, Keyspace) {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new(DIR), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

/// Bytes that do not compress, so that sizes are what they seem.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed | 1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn put_blob(db: &Db, keyspace: &Keyspace, key: &str, bytes: &[u8]) {
    let bin = Bin { class: 0, due_ms: 5 };
    let blob = db.append_blob(keyspace, bin, key.as_bytes(), bytes, Compression::Dense).unwrap();
    let mut batch = db.batch();
    batch.put_blob(keyspace, key.to_owned(), &blob);
    db.write(batch, Durability::Sync).unwrap();
}

/// Several levels, overwritten and deleted keys, live and dead blobs, and a log that was not flushed.
fn busy_database(vfs: &MemVfs) -> (Db, Keyspace) {
    let (db, keyspace) = open(vfs, tiny());
    for round in 0..6 {
        for i in 0..60 {
            keyspace.put(format!("key{i:03}"), noise(round * 100 + i, 60)).unwrap();
        }
        for i in 0..10 {
            put_blob(&db, &keyspace, &format!("blob{i}"), &noise(round, 500));
        }
        keyspace.delete(format!("key{round:03}")).unwrap();
        db.flush().unwrap();
    }
    keyspace.put("late", "in the log").unwrap();
    put_blob(&db, &keyspace, "blob3", b"late too");
    (db, keyspace)
}

/// A table, a sealed blob file and a log with two records: small enough to flip each byte.
fn small_database() -> MemVfs {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs, Options::default());
    for i in 0..40 {
        keyspace.put(format!("key{i:02}"), format!("value {i}").repeat(3)).unwrap();
    }
    put_blob(&db, &keyspace, "blob", &[9; 200]);
    db.flush().unwrap();
    keyspace.put("late", "one").unwrap();
    keyspace.put("later", "two").unwrap();
    drop(keyspace);
    db.close().unwrap();
    vfs
}

fn verify(vfs: &MemVfs) -> VerifyReport {
    Db::verify_closed(Arc::new(vfs.clone()), Path::new(DIR), |_| {}).unwrap()
}

fn files(vfs: &MemVfs, suffix: &str) -> Vec<PathBuf> {
    let names = vfs.list(Path::new(DIR)).unwrap();
    names.iter().filter(|name| name.ends_with(suffix)).map(|name| Path::new(DIR).join(name)).collect()
}

fn names(report: &VerifyReport, path: &Path) -> bool {
    report.problems.iter().any(|problem| problem.file.as_deref() == Some(path))
}

#[test]
fn what_is_whole_has_no_problems_open_closed_killed_or_crashed() {
    let vfs = MemVfs::new();
    let (db, keyspace) = busy_database(&vfs);
    let mut last = 0;
    let report = db
        .verify_with(|progress| {
            assert!(progress.bytes_done >= last && progress.bytes_done <= progress.bytes_total.max(last));
            last = progress.bytes_done;
        })
        .unwrap();
    assert_eq!(report.problems, []);
    assert!(report.tables > 2 && report.entries > 60 && report.references >= 10, "{report:?}");
    assert!(report.blob_files >= 1 && report.blob_records >= 61 && report.logs == 1 && report.batches == 2);
    for image in [vfs.kill(), vfs.crash()] {
        let report = verify(&image);
        assert_eq!(report.problems, []);
        assert_eq!(report.batches, 2, "{report:?}");
    }
    drop(keyspace);
    db.close().unwrap();
    let report = verify(&vfs);
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
}

#[test]
fn every_flipped_byte_is_found_in_its_file() {
    let vfs = small_database();
    assert_eq!(verify(&vfs).problems, []);
    let mut flipped = 0;
    for name in vfs.list(Path::new(DIR)).unwrap().into_iter().filter(|name| name != "LOCK") {
        let path = Path::new(DIR).join(&name);
        for at in 0..vfs.bytes(&path).unwrap().len() {
            let rotten = vfs.kill();
            rotten.damage(&path, |bytes| bytes[at] ^= 0x04).unwrap();
            let report = verify(&rotten);
            assert!(names(&report, &path), "{name} byte {at}: {report:?}");
            flipped += 1;
        }
    }
    assert!(flipped > 1000, "{flipped} bytes");
}

#[test]
fn an_open_database_finds_what_rots_under_it() {
    let vfs = small_database();
    for suffix in [".sst", ".blob"] {
        let path = files(&vfs, suffix).remove(0);
        for at in 0..vfs.bytes(&path).unwrap().len() {
            let image = vfs.kill();
            let (db, keyspace) = open(&image, Options::default());
            // Whatever the caches hold does not count.
            assert_eq!(keyspace.get(b"blob").unwrap().unwrap(), [9; 200].as_slice());
            image.damage(&path, |bytes| bytes[at] ^= 0x40).unwrap();
            let report = db.verify().unwrap();
            assert!(names(&report, &path), "{} byte {at}: {report:?}", path.display());
        }
    }
}

#[test]
fn lost_cut_and_swapped_files_are_found() {
    let vfs = MemVfs::new();
    let (db, keyspace) = busy_database(&vfs);
    drop(keyspace);
    db.close().unwrap();
    let (tables, blobs) = (files(&vfs, ".sst"), files(&vfs, ".blob"));
    let (logs, current) = (files(&vfs, ".log"), PathBuf::from("db/CURRENT"));
    let manifests = vfs.list(Path::new(DIR)).unwrap().into_iter().filter(|name| name.starts_with("MANIFEST"));
    let manifests = manifests.map(|name| Path::new(DIR).join(name));
    let all = tables.iter().chain(&blobs).chain(&logs).cloned().chain([current]).chain(manifests);
    for path in all {
        let lost = vfs.kill();
        lost.remove(&path).unwrap();
        assert!(names(&verify(&lost), &path), "lost {}: {:?}", path.display(), verify(&lost));
        let cut = vfs.kill();
        cut.damage(&path, |bytes| bytes.truncate(bytes.len() - 1)).unwrap();
        assert!(names(&verify(&cut), &path), "cut {}: {:?}", path.display(), verify(&cut));
    }
    for pair in [&tables, &blobs] {
        let swapped = vfs.kill();
        swapped.rename(&pair[0], Path::new("db/aside")).unwrap();
        swapped.rename(&pair[1], &pair[0]).unwrap();
        swapped.rename(Path::new("db/aside"), &pair[1]).unwrap();
        let report = verify(&swapped);
        assert!(names(&report, &pair[0]) && names(&report, &pair[1]), "{report:?}");
    }
}

#[test]
fn one_problem_does_not_hide_another() {
    let vfs = MemVfs::new();
    let (db, keyspace) = busy_database(&vfs);
    drop(keyspace);
    db.close().unwrap();
    let mut damaged: Vec<(PathBuf, usize)> = Vec::new();
    for path in files(&vfs, ".sst").into_iter().chain(files(&vfs, ".blob")) {
        // In the first block or record, and in another one far behind it.
        for at in [40, vfs.bytes(&path).unwrap().len() / 2] {
            vfs.damage(&path, |bytes| bytes[at] ^= 1).unwrap();
            damaged.push((path.clone(), at));
        }
    }
    let report = verify(&vfs);
    for (path, _) in &damaged {
        let here = report.problems.iter().filter(|problem| problem.file.as_ref() == Some(path)).count();
        // A small table has one block, and what stands behind it is needed to open it.
        let at_least = if path.extension().is_some_and(|extension| extension == "blob") { 2 } else { 1 };
        assert!(here >= at_least, "{}: {report:#?}", path.display());
    }
}

#[test]
fn what_is_no_database_or_is_open_is_refused() {
    let vfs = MemVfs::new();
    let refused =
        |vfs: &MemVfs| Db::verify_closed(Arc::new(vfs.clone()), Path::new(DIR), |_| {}).unwrap_err().kind();
    assert_eq!(refused(&vfs), ErrorKind::NotADatabase);
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    assert_eq!(refused(&vfs), ErrorKind::NotADatabase);
    let (db, _keyspace) = open(&vfs, Options::default());
    assert_eq!(refused(&vfs), ErrorKind::Locked);
    drop(db);
}

/// Beside writers, flushes, merges and bin compactions nothing is taken for damage that is only on its way.
#[test]
fn verifying_a_busy_database_finds_nothing() {
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
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs, tiny());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..4000u32 {
                keyspace.put(format!("key{:03}", i * 7 % 200), vec![b'v'; 60]).unwrap();
                if i % 5 == 0 {
                    put_blob(&db, &keyspace, &format!("blob{:02}", i * 3 % 40), &i.to_le_bytes().repeat(60));
                }
                if i % 500 == 499 {
                    for file in db.blob_files(&keyspace).unwrap() {
                        db.compact_bin(&keyspace, file.id, &CarryAll).unwrap();
                    }
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut rounds = 0;
        while !done.load(Ordering::SeqCst) || rounds == 0 {
            assert_eq!(db.verify().unwrap().problems, []);
            rounds += 1;
        }
    });
}

/// Stops the next log between its creation and its header, says so, and waits.
struct StopAtHeader {
    is_armed: Arc<AtomicBool>,
    stopped: mpsc::SyncSender<()>,
    go_on: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl VfsHooks for StopAtHeader {
    fn after(&self, call: VfsCall, path: &Path) {
        let is_log = path.extension().is_some_and(|suffix| suffix == "log");
        if call == VfsCall::Create && is_log && self.is_armed.swap(false, Ordering::SeqCst) {
            self.stopped.send(()).unwrap();
            let _ = self.go_on.lock().unwrap().recv_timeout(Duration::from_secs(20));
        }
    }
}

/// A log that was listed before its header was written was called damaged.
#[test]
fn a_log_that_is_just_being_made_is_no_damage() {
    let is_armed = Arc::new(AtomicBool::new(false));
    let (stopped, when_stopped) = mpsc::sync_channel(1);
    let (let_go, go_on) = mpsc::sync_channel(1);
    let hooks = StopAtHeader { is_armed: is_armed.clone(), stopped, go_on: go_on.into() };
    let vfs = MemVfs::new().hooked(hooks);
    let db = Db::open_with(Arc::new(vfs), Path::new(DIR), tiny()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    keyspace.put("k", "v").unwrap();
    is_armed.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| db.flush());
        when_stopped.recv_timeout(Duration::from_secs(20)).unwrap();
        let report = db.verify().unwrap();
        let_go.send(()).unwrap();
        assert_eq!((report.problems, report.logs), (vec![], 1));
        flushing.join().unwrap().unwrap();
    });
}

/// A keyspace that has no tables any more was not the same to the manifest as one that never had any, and verifying after the next
/// opening took that for damage.
#[test]
fn a_keyspace_that_was_emptied_is_no_damage() {
    let vfs = MemVfs::new();
    let open = || {
        let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default()).unwrap();
        let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
        (db, keyspace)
    };
    let (db, keyspace) = open();
    keyspace.put("k", "v").unwrap();
    db.flush().unwrap();
    keyspace.delete("k").unwrap();
    db.compact().unwrap();
    assert_eq!(db.stats().keyspaces[0].entries, 0);
    drop((db, keyspace));
    let (db, _keyspace) = open();
    let report = db.verify().unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
}
