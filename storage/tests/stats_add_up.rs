//! Promise: the figures of `stats` are those of what was done.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn bytes_cache_and_amplifications_are_counted() {
    let vfs = MemVfs::new();
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    assert_eq!(db.stats().write_amplification(), 0.0);
    for round in 0..2 {
        for i in 0..100u8 {
            // Nothing that compresses to nothing: 256 different bytes.
            keyspace.put(vec![i], (0..=255u8).map(|b| b ^ i ^ round).collect::<Vec<_>>()).unwrap();
        }
        db.flush().unwrap();
    }
    let bin = Bin { class: 0, due_ms: 1 };
    drop(db.append_blob(&keyspace, bin, b"blob", &[1; 5000], Compression::None).unwrap());

    let stats = db.stats();
    assert_eq!(stats.user_bytes_written, 2 * 100 * 257 + 5000);
    assert!(
        (stats.user_bytes_written - 5000..stats.user_bytes_written * 2).contains(&stats.log_bytes_written)
    );
    assert!((5000..5100).contains(&stats.blob_bytes_written), "{}", stats.blob_bytes_written);
    let tables: u64 = stats.traffic.iter().map(|level| level.written_bytes).sum();
    let written = stats.log_bytes_written + stats.blob_bytes_written + tables;
    assert_eq!(stats.write_amplification(), written as f64 / stats.user_bytes_written as f64);

    let tree = &stats.keyspaces[0];
    assert_eq!((tree.levels[0].0, tree.read_amplification(), tree.entries), (2, 2, 200));
    db.compact().unwrap();
    let stats = db.stats();
    let tree = &stats.keyspaces[0];
    assert_eq!((tree.read_amplification(), tree.space_amplification(), tree.entries), (1, 1.0, 100));

    let (hits, misses) = (stats.block_cache_hits, stats.block_cache_misses);
    keyspace.get(&[7]).unwrap().unwrap();
    let first = db.stats();
    assert!(first.block_cache_misses > misses);
    keyspace.get(&[7]).unwrap().unwrap();
    let second = db.stats();
    assert_eq!(second.block_cache_misses, first.block_cache_misses);
    assert!(second.block_cache_hits > first.block_cache_hits.max(hits));
}

#[test]
fn what_iterators_keep_is_counted_until_they_go() {
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    let fill = || {
        for i in 0..200 {
            keyspace.put(format!("{i:03}"), vec![7; 100]).unwrap();
        }
    };
    fill();
    db.flush().unwrap();
    fill();
    let kept = || (db.stats().iterators, db.stats().iterator_bytes);
    assert_eq!(kept(), (0, 0));

    let mut iter = keyspace.range(..);
    assert_eq!(kept(), (1, 0));
    assert_eq!(iter.next().unwrap().unwrap().key(), "000");
    let (_, one_end) = kept();
    // A data block and two of the index.
    let block = Options::default().block_bytes;
    assert!((block..block * 3).contains(&one_end), "{one_end}");
    iter.next_back().unwrap().unwrap();
    let (_, both_ends) = kept();
    assert!((one_end + block / 2..one_end * 3).contains(&both_ends), "{both_ends}");

    // The memtable leaves the database, but not the memory: counted once, however many keep it.
    let memtable_bytes = db.stats().memtable_bytes;
    let other = keyspace.range(..);
    db.flush().unwrap();
    assert_eq!(kept(), (2, both_ends + memtable_bytes));
    drop(iter);
    assert_eq!(kept(), (1, memtable_bytes));
    drop(other);
    assert_eq!(kept(), (0, 0));
}

/// Looks how many merges run when a table is made.
struct Watching {
    db: Arc<Mutex<Option<Db>>>,
    seen: Arc<AtomicUsize>,
}

impl VfsHooks for Watching {
    fn before(&self, call: VfsCall, path: &Path) -> io::Result<()> {
        let is_table = path.extension().is_some_and(|extension| extension == "sst");
        let db = self.db.lock().unwrap().clone();
        if let Some(db) = db.filter(|_| call == VfsCall::Create && is_table) {
            self.seen.fetch_max(db.stats().running_merges, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[test]
fn a_merge_is_counted_while_it_runs() {
    let (watched, seen) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let vfs = MemVfs::new().hooked(Watching { db: watched.clone(), seen: seen.clone() });
    let db = Db::open_with(Arc::new(vfs), Path::new("db"), Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    *watched.lock().unwrap() = Some(db.clone());
    for _ in 0..2 {
        keyspace.put("key", "value").unwrap();
        db.flush().unwrap();
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0, "a flush is no merge");
    db.compact().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert_eq!(db.stats().running_merges, 0);
    *watched.lock().unwrap() = None;
}
