//! What durability costs: opening after a crash by the size of the log, verifying, and `Sync` against `Buffered`, by one thread and by eight.
//!
//! `cargo bench -p patina-storage --bench durability`; a part of it by name: `… -- recovery`. All of it in temporary folders on the real disk
//! (`TMPDIR` says which), as the disk is what is measured; only what is read was written just before, and so comes from the system's memory.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "files are copied to play a crash, and threads are timed as one"
)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use patina_storage::{Bin, Compression, Db, Durability, Keyspace, KeyspaceOptions, Options};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const VALUE_BYTES: usize = 100;
const BATCH: u64 = 100;
const LOG_MIB: [u64; 3] = [1, 16, 64];
const VERIFIED_MIB: u64 = 64;
const BLOB_BYTES: usize = 64 << 10;
const THREADS: [u64; 2] = [1, 8];

/// The finaliser of splitmix64.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Half noise, half zeros: it compresses by half, as real values may.
fn value(seed: u64, bytes: usize) -> Vec<u8> {
    let mut value: Vec<u8> =
        (0..bytes as u64 / 16).flat_map(|word| mix(seed << 20 | word).to_le_bytes()).collect();
    value.resize(bytes, 0);
    value
}

fn key(n: u64) -> Vec<u8> {
    format!("{:016x}", mix(n)).into_bytes()
}

fn open(folder: &Path, options: Options) -> (Db, Keyspace) {
    let db = Db::open(folder, options).unwrap();
    let keyspace = db.keyspace("bench", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

/// Writes so many bytes of small entries, in batches.
fn fill(db: &Db, keyspace: &Keyspace, bytes: u64) {
    let entries = bytes / (16 + VALUE_BYTES as u64);
    for first in (0..entries).step_by(BATCH as usize) {
        let mut batch = db.batch();
        (first..first + BATCH).for_each(|n| batch.put(keyspace, key(n), value(n, VALUE_BYTES)));
        db.write(batch, Durability::Buffered).unwrap();
    }
}

/// The files of a database that is open: what the death of its process would leave.
fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

/// Until `open` returns: the log is replayed, and written out as a table.
fn recovery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(5));
    for mib in LOG_MIB {
        let folder = tempfile::tempdir().unwrap();
        // All of it stays in the memtable, and in one log.
        let options =
            Options { memtable_bytes: 512 << 20, write_buffer_bytes_max: 2 << 30, ..Options::default() };
        let (db, keyspace) = open(folder.path(), options.clone());
        fill(&db, &keyspace, mib << 20);
        db.sync().unwrap();
        group.throughput(Throughput::Bytes(mib << 20));
        group.bench_function(BenchmarkId::new("MiB", mib), |bencher| {
            bencher.iter_batched(
                || copy(folder.path()),
                |crashed| (Db::open(crashed.path(), options.clone()).unwrap(), crashed),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Half of the bytes in tables, half in blob files.
fn verify(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let (db, keyspace) = open(folder.path(), Options::default());
    fill(&db, &keyspace, VERIFIED_MIB << 19);
    let bin = Bin { class: 0, due_ms: u64::MAX };
    for n in 0..(VERIFIED_MIB << 19) / BLOB_BYTES as u64 {
        let key = [b"blob", &key(n)[..]].concat();
        let blob = db.append_blob(&keyspace, bin, &key, &value(n, BLOB_BYTES), Compression::Fast).unwrap();
        let mut batch = db.batch();
        batch.put_blob(&keyspace, key, &blob);
        db.write(batch, Durability::Buffered).unwrap();
    }
    db.seal_bins().unwrap();
    db.compact().unwrap();
    let report = db.verify().unwrap();
    assert!(report.is_sound());
    let mut group = criterion.benchmark_group("verify");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(report.bytes));
    group.bench_function("open", |bencher| bencher.iter(|| db.verify().unwrap()));
    group.finish();
}

/// Commits of one small entry each; with several threads, all of them together.
fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(1));
    for durability in [Durability::Buffered, Durability::Sync] {
        for threads in THREADS {
            let folder = tempfile::tempdir().unwrap();
            let (db, keyspace) = open(folder.path(), Options::default());
            let commit = |n: u64| {
                let mut batch = db.batch();
                batch.put(&keyspace, key(n), value(n, VALUE_BYTES));
                db.write(batch, durability).unwrap();
            };
            let mut first = 0;
            group.bench_function(BenchmarkId::new(format!("{durability:?}"), threads), |bencher| {
                bencher.iter_custom(|commits| {
                    let a_thread = commits.div_ceil(threads);
                    let begun = Instant::now();
                    std::thread::scope(|scope| {
                        for thread in 0..threads {
                            let from = first + thread * a_thread;
                            let commit = &commit;
                            scope.spawn(move || (from..from + a_thread).for_each(commit));
                        }
                    });
                    first += threads * a_thread;
                    // As if exactly so many had been asked for.
                    begun.elapsed().mul_f64(commits as f64 / (threads * a_thread) as f64)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, recovery, verify, commits);
criterion_main!(benches);
