//! Promise: the figures of `stats` are those of what was done.

use patina_storage::*;
use std::path::Path;
use std::sync::Arc;

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
