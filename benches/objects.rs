//! What the layers cost together: put, get, list and tick on a database in a temporary folder.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use patinadb::objects::{Effective, Step, Victims};
use patinadb::{ListFilter, ManualClock, ObjectId, Patina, PutOptions, TickOptions, Timestamp, days};
use tempfile::TempDir;

const START: Timestamp = Timestamp(1_767_225_600_000);
const OBJECT_BYTES: usize = 16 << 10;
const OBJECTS: usize = 256;

/// Bytes that do not compress, so that what is measured is not the compressor's luck.
fn noise(seed: usize) -> Vec<u8> {
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(OBJECT_BYTES / 8)
    .flatten()
    .collect()
}

fn open() -> (TempDir, Patina) {
    let folder = tempfile::tempdir().unwrap();
    let db = Patina::builder().clock(ManualClock::new(START)).open(folder.path()).unwrap();
    (folder, db)
}

fn items() -> Vec<(String, bytes::Bytes, PutOptions)> {
    (0..OBJECTS).map(|i| (format!("object/{i:06}"), noise(i).into(), PutOptions::default())).collect()
}

fn filled() -> (TempDir, Patina) {
    let (folder, db) = open();
    db.objects().put_many(items()).unwrap();
    (folder, db)
}

fn put(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put");
    group.throughput(Throughput::Bytes(OBJECT_BYTES as u64));
    let (_folder, db) = open();
    let mut number = 0;
    group.bench_function("one, durable", |bench| {
        bench.iter(|| {
            number += 1;
            db.put(&format!("object/{number}"), &noise(number)).unwrap()
        });
    });
    group.throughput(Throughput::Bytes((OBJECT_BYTES * OBJECTS) as u64)).sample_size(10);
    group.bench_function("256 in a batch", |bench| {
        bench.iter_batched(
            || (open(), items()),
            |((_folder, db), items)| db.objects().put_many(items).unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let (_folder, db) = filled();
    let mut group = criterion.benchmark_group("read");
    let mut number = 0;
    group.throughput(Throughput::Bytes(OBJECT_BYTES as u64));
    group.bench_function("get", |bench| {
        bench.iter(|| {
            number = (number + 97) % OBJECTS;
            db.get(&format!("object/{number:06}")).unwrap()
        });
    });
    group.throughput(Throughput::Elements(OBJECTS as u64));
    group.bench_function("list", |bench| {
        bench.iter(|| {
            db.list(&ListFilter::default()).unwrap().map(|info| black_box(info.unwrap()).size).sum::<u64>()
        });
    });
    group.finish();
}

fn decay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decay");
    group.throughput(Throughput::Bytes((OBJECT_BYTES * OBJECTS) as u64)).sample_size(10);
    let forced = TickOptions { force: true, ..TickOptions::default() };
    group.bench_function("forced tick, hot to warm", |bench| {
        bench.iter_batched(filled, |(_folder, db)| db.tick(&forced).unwrap().moved, BatchSize::PerIteration);
    });
    group.finish();
}

/// Choosing the next victim of a budget among a million objects of eight half-lives, and putting its next step back.
fn victims(criterion: &mut Criterion) {
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut step = || Step {
        weight: 1.0,
        half_life: days(7 + random() % 8),
        effective: Effective::born(Timestamp(START.0 - random() % (1 << 35)), Duration::ZERO),
        fidelity_lost: (random() % 1000) as f64 / 1000.0,
        bytes_freed: 1 + random() % 1_000_000,
    };
    let mut victims = Victims::new(1 << 20, START);
    for id in 0..1_000_000 {
        victims.add(ObjectId(id), &step());
    }
    let mut group = criterion.benchmark_group("budget");
    group.bench_function("a victim among a million", |bench| {
        bench.iter(|| {
            let (id, score) = victims.take(START).unwrap();
            victims.add(id, &step());
            score
        });
    });
    group.finish();
}

criterion_group!(benches, put, read, decay, victims);
criterion_main!(benches);
