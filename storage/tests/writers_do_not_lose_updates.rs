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

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Self::Plan>> {
        let before = record.read()?;
        let value = NewValue::Bytes([b"old ", &before[before.len() - 8..]].concat().into());
        let output =
            NewBlob { key: record.key.clone(), value, bin: record.bin, compression: Compression::None };
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
        for _ in 0..2 {
            scope.spawn(|| {
                // A reader with one: the files of what it sees stay, whatever is rewritten meanwhile.
                while !stop.load(Ordering::Relaxed) {
                    let snapshot = db.snapshot();
                    let read = || -> Vec<_> {
                        snapshot.range(&keyspace, ..).map(|entry| entry.unwrap().value().unwrap()).collect()
                    };
                    let first = read();
                    std::thread::yield_now();
                    assert_eq!(first, read());
                }
            });
        }
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

/// A compaction may leave only the newest version of a key, and a reader that decided earlier what "now" is would find none.
#[test]
fn a_key_that_is_always_there_is_always_found() {
    let (db, keyspace) = open();
    let put = || {
        let bin = Bin { class: 0, due_ms: 1 };
        let blob = db.append_blob(&keyspace, bin, b"key", b"value", Compression::None).unwrap();
        let mut batch = db.batch();
        batch.put_blob(&keyspace, "key", &blob);
        db.write(batch, Durability::Buffered).unwrap();
    };
    put();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(keyspace.blob_ref(b"key").unwrap().is_some());
                    assert!(keyspace.get(b"key").unwrap().is_some());
                    assert_eq!(keyspace.range(..).count(), 1);
                }
            });
        }
        for _ in 0..300 {
            put();
            db.flush().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Whoever closes a database may do so in the midst of others' work: each call of theirs succeeds wholly or is refused.
#[test]
fn closing_races_with_everything() {
    for round in 0..12u64 {
        let vfs = MemVfs::new();
        let db = Db::open_with(
            Arc::new(vfs.clone()),
            Path::new("db"),
            Options {
                memtable_bytes: 4 << 10,
                blob_file_bytes: 4 << 10,
                l0_tables_trigger: 1,
                ..Options::default()
            },
        )
        .unwrap();
        let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
        let acknowledged: Vec<u64> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3u8)
                .map(|thread| {
                    let (db, keyspace) = (db.clone(), keyspace.clone());
                    scope.spawn(move || {
                        for i in 0u64.. {
                            let key = [&[thread][..], &i.to_be_bytes()].concat();
                            let bin = Bin { class: thread, due_ms: i % 3 };
                            let written = db
                                .append_blob(&keyspace, bin, &key, &[thread; 200], Compression::None)
                                .and_then(|blob| {
                                    let mut batch = db.batch();
                                    batch.put_blob(&keyspace, key, &blob);
                                    db.write(batch, Durability::Buffered)
                                });
                            if let Err(error) = written {
                                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                                return i;
                            }
                        }
                        0
                    })
                })
                .collect();
            let maintenance = (db.clone(), keyspace.clone());
            scope.spawn(move || {
                let (db, _keyspace) = maintenance;
                while db.flush().and_then(|()| db.compact()).is_ok() {}
            });
            std::thread::sleep(std::time::Duration::from_millis(5 + round));
            db.clone().close().unwrap();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        for image in [vfs.crash(), vfs.kill()] {
            let db = Db::open_with(Arc::new(image), Path::new("db"), Options::default()).unwrap();
            let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
            for (thread, count) in (0u8..).zip(&acknowledged) {
                let found: Vec<_> =
                    keyspace.prefix(&[thread]).map(|entry| entry.unwrap().value().unwrap()).collect();
                assert_eq!(found.len() as u64, *count, "closing makes even buffered writes durable");
            }
        }
    }
}
