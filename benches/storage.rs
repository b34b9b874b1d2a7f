//! What the engine alone does a second: fills, overwrites, point reads, scans, with 16-byte keys and three sizes of value.
//!
//! `cargo bench -p patina-storage`; a part of it by name: `cargo bench -p patina-storage -- "read hot"`. Each figure is for one thread on a database in a
//! temporary folder, after the flushes and merges that its filling called for; writes are buffered (one write call each, no sync), so that
//! the engine is measured and not the disk. Values are half noise, half zeros: they compress by half, as real ones may.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::ops::Bound;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use patina_storage::{Bin, Compression, Db, Durability, Keyspace, KeyspaceOptions, Options};
use tempfile::TempDir;

const VALUE_BYTES: [usize; 3] = [100, 1 << 10, 64 << 10];
/// Keys and values of a filled database.
const DATA_BYTES: usize = 24 << 20;
const HOT_CACHE_BYTES: usize = 64 << 20;
const SMALL_CACHE_BYTES: usize = 4 << 20;
const BATCH: u64 = 100;
const SHORT_RANGE: usize = 10;

/// The finaliser of splitmix64: a fixed permutation of the numbers, for random orders that are the same in each run.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn key(n: u64) -> Vec<u8> {
    format!("key{n:013}").into_bytes()
}

/// Half noise, cut from one piece made before the clock runs, half zeros.
fn value(seed: u64, bytes: usize) -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..1 << 17).flat_map(|n| mix(n).to_le_bytes()).collect());
    let from = mix(seed) as usize % (NOISE.len() - bytes / 2);
    let mut value = Vec::with_capacity(bytes);
    value.extend_from_slice(&NOISE[from..from + bytes / 2]);
    value.resize(bytes, 0);
    value
}

struct Filled {
    db: Db,
    keyspace: Keyspace,
    keys: u64,
    value_bytes: usize,
    _folder: TempDir,
}

fn open(value_bytes: usize, block_cache_bytes: usize) -> Filled {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { block_cache_bytes, ..Options::default() };
    let db = Db::open(folder.path(), options).unwrap();
    let keyspace = db.keyspace("bench", KeyspaceOptions::default()).unwrap();
    Filled { db, keyspace, keys: 0, value_bytes, _folder: folder }
}

/// Filled in random order, and merged into one level.
fn filled(value_bytes: usize, block_cache_bytes: usize) -> Filled {
    let mut filled = open(value_bytes, block_cache_bytes);
    filled.keys = (DATA_BYTES / (16 + value_bytes)) as u64;
    for n in 0..filled.keys {
        // An odd factor that divides no number of keys: each key once.
        filled.put(n * 999_983 % filled.keys);
    }
    filled.db.compact().unwrap();
    filled
}

impl Filled {
    fn put(&self, n: u64) {
        let mut batch = self.db.batch();
        batch.put(&self.keyspace, key(n), value(n, self.value_bytes));
        self.db.write(batch, Durability::Buffered).unwrap();
    }
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(1));
    group
}

/// One op an iteration, numbered, on a database of each size of value.
fn each_size(
    criterion: &mut Criterion,
    name: &str,
    database: impl Fn(usize) -> Filled,
    mut op: impl FnMut(&Filled, u64),
) {
    let mut group = group(criterion, name);
    for bytes in VALUE_BYTES {
        // Made only if this one is asked for.
        let mut made = None;
        let mut n = 0;
        group.bench_function(BenchmarkId::from_parameter(format!("{bytes} B")), |bench| {
            let database = made.get_or_insert_with(|| database(bytes));
            bench.iter(|| {
                op(database, n);
                n += 1;
            });
        });
    }
    group.finish();
}

fn fills(criterion: &mut Criterion) {
    let empty = |bytes| open(bytes, HOT_CACHE_BYTES);
    each_size(criterion, "fill sequential", empty, |filled, n| filled.put(n));
    each_size(criterion, "fill random", empty, |filled, n| filled.put(mix(n) % 10_000_000_000_000));
    let mut group = group(criterion, "fill random, 100 a batch");
    group.throughput(Throughput::Elements(BATCH));
    for bytes in VALUE_BYTES {
        let mut made = None;
        let mut n = 0;
        group.bench_function(BenchmarkId::from_parameter(format!("{bytes} B")), |bench| {
            let filled = made.get_or_insert_with(|| open(bytes, HOT_CACHE_BYTES));
            bench.iter(|| {
                let mut batch = filled.db.batch();
                for _ in 0..BATCH {
                    batch.put(&filled.keyspace, key(mix(n) % 10_000_000_000_000), value(n, bytes));
                    n += 1;
                }
                filled.db.write(batch, Durability::Buffered).unwrap();
            });
        });
    }
}

/// Ranks by how often they are asked for: the n-th most popular in proportion to 1/n^0.99.
struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    fn new(ranks: u64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=ranks).map(|rank| {
            sum += (rank as f64).powf(-0.99);
            sum
        });
        Self { cumulative: cumulative.collect() }
    }

    /// The rank that `random` falls on.
    fn rank(&self, random: u64) -> u64 {
        let total = self.cumulative.last().unwrap();
        let at = random as f64 / u64::MAX as f64 * total;
        self.cumulative.partition_point(|sum| *sum < at) as u64
    }
}

fn overwrite(criterion: &mut Criterion) {
    let mut zipf: Option<Zipf> = None;
    let database = |bytes| filled(bytes, HOT_CACHE_BYTES);
    each_size(criterion, "overwrite zipfian", database, |filled, n| {
        let ranks = filled.keys;
        if zipf.as_ref().is_none_or(|zipf| zipf.cumulative.len() as u64 != ranks) {
            zipf = Some(Zipf::new(ranks));
        }
        // The popular ones lie anywhere among the keys.
        filled.put(mix(zipf.as_ref().unwrap().rank(mix(n))) % ranks);
    });
}

fn reads(criterion: &mut Criterion) {
    let hot = |bytes| filled(bytes, HOT_CACHE_BYTES);
    let cold = |bytes| filled(bytes, SMALL_CACHE_BYTES);
    let read = |filled: &Filled, n: u64| {
        black_box(filled.keyspace.get(&key(mix(n) % filled.keys)).unwrap().unwrap());
    };
    each_size(criterion, "read hot", hot, read);
    each_size(criterion, "read, data six times the cache", cold, read);
    each_size(criterion, "read missing", hot, |filled, n| {
        let mut absent = key(mix(n) % filled.keys);
        absent.push(b'x');
        assert!(filled.keyspace.get(&absent).unwrap().is_none());
    });
    each_size(criterion, "short range, 10 entries", hot, |filled, n| {
        let from = Bound::Included(key(mix(n) % filled.keys));
        let range = filled.keyspace.range((from, Bound::Unbounded)).take(SHORT_RANGE);
        black_box(range.map(|entry| entry.unwrap().value().unwrap().len()).sum::<usize>());
    });
}

fn scan(criterion: &mut Criterion) {
    let mut group = group(criterion, "scan");
    for bytes in VALUE_BYTES {
        let mut made = None;
        group.throughput(Throughput::Elements((DATA_BYTES / (16 + bytes)) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{bytes} B")), |bench| {
            let filled = made.get_or_insert_with(|| filled(bytes, HOT_CACHE_BYTES));
            bench
                .iter(|| filled.keyspace.range(..).map(|e| e.unwrap().value().unwrap().len()).sum::<usize>());
        });
    }
}

fn read_while_writing(criterion: &mut Criterion) {
    let mut group = group(criterion, "read hot while another thread writes");
    for bytes in VALUE_BYTES {
        group.bench_function(BenchmarkId::from_parameter(format!("{bytes} B")), |bench| {
            let filled = filled(bytes, HOT_CACHE_BYTES);
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let random = (0..).map(|n| mix(n) % filled.keys);
                    random.take_while(|_| !done.load(Ordering::Relaxed)).for_each(|n| filled.put(n));
                });
                let mut n = 0;
                bench.iter(|| {
                    n += 1;
                    black_box(filled.keyspace.get(&key(mix(n) % filled.keys)).unwrap().unwrap())
                });
                done.store(true, Ordering::Relaxed);
            });
        });
    }
}

/// The three ways that a large value can go: through the log and the tables, through the log and at flush into a blob file, straight into a
/// blob file.
fn large_values(criterion: &mut Criterion) {
    const BYTES: usize = 1 << 20;
    const KEYS: u64 = 64;
    let mut group = group(criterion, "large values, 1 MiB");
    group.throughput(Throughput::Bytes(BYTES as u64));
    for (name, separate_bytes) in [("put into tables", None), ("put, separated at flush", Some(64 << 10))] {
        group.bench_function(name, |bench| {
            let mut filled = open(BYTES, HOT_CACHE_BYTES);
            let options = KeyspaceOptions { separate_bytes, ..KeyspaceOptions::default() };
            filled.keyspace = filled.db.keyspace("large", options).unwrap();
            let mut n = 0;
            bench.iter(|| {
                n += 1;
                filled.put(mix(n) % KEYS);
            });
        });
    }
    let bin = Bin { class: 0, due_ms: u64::MAX };
    let append = |filled: &Filled, n: u64| {
        let (key, value) = (key(n), value(n, BYTES));
        let blob = filled.db.append_blob(&filled.keyspace, bin, &key, &value, Compression::Fast).unwrap();
        let mut batch = filled.db.batch();
        batch.put_blob(&filled.keyspace, key, &blob);
        filled.db.write(batch, Durability::Buffered).unwrap();
    };
    group.bench_function("append to a bin", |bench| {
        let filled = open(BYTES, HOT_CACHE_BYTES);
        let mut n = 0;
        bench.iter(|| {
            n += 1;
            append(&filled, mix(n) % KEYS);
        });
    });
    group.bench_function("get from a bin", |bench| {
        let filled = open(BYTES, HOT_CACHE_BYTES);
        (0..KEYS).for_each(|n| append(&filled, n));
        let mut n = 0;
        bench.iter(|| {
            n += 1;
            black_box(filled.keyspace.get(&key(mix(n) % KEYS)).unwrap().unwrap())
        });
    });
}

criterion_group!(benches, fills, overwrite, reads, scan, read_while_writing, large_values);
criterion_main!(benches);
