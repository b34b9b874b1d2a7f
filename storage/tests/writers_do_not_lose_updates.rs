//! Promise: many threads may write, read, flush and compact at once; compare-and-commit loses no update, and a bin compaction never
//! overtakes a writer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn open() -> (Db, Keyspace) {
    let options = Options {
        memtable_bytes: 8 << 10,
        l0_tables_trigger: 2,
        blob_file_bytes: 16 << 10,
        ..Options::default()
    };
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

#[test]
fn concurrent_increments_add_up() {
    const THREADS: u64 = 4;
    const EACH: u64 = 300;
    let (db, counters) = open();
    for counter in 0..3u8 {
        counters.put(vec![counter], 0u64.to_be_bytes().to_vec()).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, counters) = (&db, &counters);
            scope.spawn(move || {
                for i in 0..EACH {
                    let key = [((thread + i) % 3) as u8];
                    loop {
                        let (value, version) = counters.get_versioned(&key).unwrap().unwrap();
                        let next = u64::from_be_bytes(value[..].try_into().unwrap()) + 1;
                        let mut batch = db.batch();
                        batch.require_version(counters, key.to_vec(), version);
                        batch.put(counters, key.to_vec(), next.to_be_bytes().to_vec());
                        batch.put(counters, format!("pad{thread}/{i}"), vec![0; 100]);
                        let durability = if i % 3 == 0 { Durability::Sync } else { Durability::Buffered };
                        match db.write(batch, durability) {
                            Ok(_) => break,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
                        }
                    }
                }
            });
        }
    });
    let total: u64 = (0..3u8)
        .map(|c| u64::from_be_bytes(counters.get(&[c]).unwrap().unwrap()[..].try_into().unwrap()))
        .sum();
    assert_eq!(total, THREADS * EACH);
    assert_eq!(counters.prefix(b"pad").count() as u64, THREADS * EACH);
}

/// Rewrites every record as `old`, conditional on its version.
struct Degrader {
    db: Db,
    keyspace: Keyspace,
}

impl BinOwner for Degrader {
    type Plan = (bytes::Bytes, Seqno);

    fn judge(&self, record: &LiveRecord) -> Result<Judgement<Self::Plan>> {
        let bytes = [b"old ", &record.bytes[record.bytes.len() - 8..]].concat().into();
        let output =
            NewBlob { key: record.key.clone(), bytes, bin: record.bin, compression: Compression::None };
        std::thread::yield_now();
        Ok(Judgement::Rewrite { outputs: vec![output], plan: (record.key.clone(), record.seqno) })
    }

    fn commit(&self, (key, seqno): Self::Plan, blobs: &[PendingBlob]) -> Result<bool> {
        let mut batch = self.db.batch();
        batch.require_version(&self.keyspace, key.clone(), seqno);
        batch.put_blob(&self.keyspace, key, &blobs[0]);
        match self.db.write(batch, Durability::Buffered) {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            other => other.map(|_| true),
        }
    }
}

#[test]
fn decay_never_overtakes_a_writer() {
    let (db, keyspace) = open();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let owner = Degrader { db: db.clone(), keyspace: keyspace.clone() };
            while !stop.load(Ordering::Relaxed) {
                db.seal_bins().unwrap();
                for file in db.blob_files(&keyspace).unwrap() {
                    db.compact_bin(&keyspace, file.id, &owner).unwrap();
                }
            }
        });
        scope.spawn(|| {
            // A reader without a snapshot: the file of what it found may be unlinked before it reads.
            while !stop.load(Ordering::Relaxed) {
                for key in 0..8u8 {
                    if let Some(value) = keyspace.get(&[key]).unwrap() {
                        assert!(value.starts_with(b"new ") || value.starts_with(b"old "));
                    }
                }
            }
        });
        for round in 0..400u64 {
            for key in 0..8u8 {
                let bytes = [b"new ", &round.to_be_bytes()[..]].concat();
                let blob = db
                    .append_blob(&keyspace, Bin { class: 0, due_ms: 1 }, &[key], &bytes, Compression::None)
                    .unwrap();
                let mut batch = db.batch();
                batch.put_blob(&keyspace, vec![key], &blob);
                db.write(batch, Durability::Buffered).unwrap();
                drop(blob);
                let value = keyspace.get(&[key]).unwrap().unwrap();
                assert_eq!(
                    value[4..],
                    round.to_be_bytes(),
                    "the newest write is never replaced by an older one"
                );
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
