//! Promise: however many tables and blob files there are, few are open; and a file that a compaction replaced stays until its last
//! reader is gone, and not longer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Counts the handles of files opened for reading, now and at most.
#[derive(Clone, Default)]
struct Counting(Arc<[AtomicI64; 2]>);

impl VfsHooks for Counting {
    fn after(&self, call: VfsCall, _: &Path) {
        match call {
            VfsCall::Open => {
                let now = self.0[0].fetch_add(1, Ordering::SeqCst) + 1;
                self.0[1].fetch_max(now, Ordering::SeqCst);
            }
            VfsCall::CloseOpened => {
                self.0[0].fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

fn key(i: u32) -> Vec<u8> {
    format!("key{i:05}").into_bytes()
}

/// Bytes that do not compress.
fn noise(i: u32) -> Vec<u8> {
    let mut state = u64::from(i) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..160).map(|_| next()).collect()
}

fn table_files(vfs: &MemVfs) -> usize {
    vfs.list("db".as_ref()).unwrap().iter().filter(|name| name.ends_with(".sst")).count()
}

const OPEN_FILES_MAX: usize = 3;
/// Handles in use at once beside the cache's: one a thread that reads.
const READING: i64 = 6;

fn open(vfs: Arc<dyn Vfs>) -> (Db, Keyspace) {
    let options = Options {
        open_files_max: OPEN_FILES_MAX,
        table_bytes: 4 << 10,
        level1_bytes: 4 << 10,
        block_cache_bytes: 8 << 10,
        blob_file_bytes: 4 << 10,
        ..Options::default()
    };
    let db = Db::open_with(vfs, "db".as_ref(), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

#[test]
fn handles_stay_within_the_limit() {
    let (vfs, handles) = (MemVfs::new(), Counting::default());
    let (db, keyspace) = open(Arc::new(vfs.hooked(handles.clone())));
    for i in 0..600u32 {
        let mut batch = db.batch();
        let bytes = noise(i);
        if i % 3 == 0 {
            let bin = Bin { class: 0, due_ms: 0 };
            let blob = db.append_blob(&keyspace, bin, &key(i), &bytes, Compression::None).unwrap();
            batch.put_blob(&keyspace, key(i), &blob);
        } else {
            batch.put(&keyspace, key(i), bytes);
        }
        db.write(batch, Durability::Buffered).unwrap();
    }
    db.seal_bins().unwrap();
    db.compact().unwrap();
    assert!(table_files(&vfs) > 8 && db.stats().blob_files > 8, "{:?}", db.stats());
    for i in (0..600u32).rev().chain(0..600) {
        assert_eq!(keyspace.get(&key(i)).unwrap().unwrap(), noise(i));
        assert!(db.stats().open_files <= OPEN_FILES_MAX);
    }
    let most = handles.0[1].load(Ordering::SeqCst);
    assert!(most <= OPEN_FILES_MAX as i64 + READING, "{most} handles");
}

#[test]
fn a_replaced_table_stays_for_its_readers_and_no_longer() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(Arc::new(vfs.clone()));
    let fill = |round: u32| {
        for i in 0..300 {
            let mut batch = db.batch();
            batch.put(&keyspace, key(i), [round.to_le_bytes(); 20].concat());
            db.write(batch, Durability::Buffered).unwrap();
        }
        db.compact().unwrap();
    };
    fill(1);
    let listed = || db.stats().keyspaces[0].levels.iter().map(|(tables, _)| tables).sum::<usize>();
    // A thread of the background may hold the replaced tables for a moment.
    let settle = || {
        for _ in 0..2000 {
            if table_files(&vfs) == listed() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    settle();
    let at_rest = table_files(&vfs);
    let mut reader = keyspace.range(..);
    let first = reader.next().unwrap().unwrap();
    fill(2);
    assert!(table_files(&vfs) > at_rest);
    let rest: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(rest.len(), 299);
    for entry in rest.iter().chain([&first]) {
        assert_eq!(entry.value().unwrap(), [1u32.to_le_bytes(); 20].concat());
    }
    drop(reader);
    drop((rest, first));
    // Only a compaction drops the versions that the reader's snapshot kept.
    db.compact().unwrap();
    settle();
    assert_eq!(table_files(&vfs), listed());
    assert!(table_files(&vfs) <= at_rest + 1);
}
