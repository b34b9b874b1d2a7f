//! Decay against the bare codecs, with as many threads, and the bytes written for each byte that becomes free.
//!
//! The bare codecs get the bytes in memory, and what they give is compressed as it is stored, and thrown away. Decay reads the bytes from
//! the disk, finds who refers to them, hashes, syncs and reads back what the codecs give, and commits rows, index entries and history.

#![expect(clippy::disallowed_methods, reason = "it is timed")]

use crate::corpus::{self, Corpus};
use crate::{Bench, Share, disk, median, mib};
use patinadb::codecs::{Content, Depth, Limits, Params, degrade};
use patinadb::{Options, PutOptions, TickOptions};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Each way is taken so often, in turns.
const ROUNDS: usize = 5;
const PHOTOS: u64 = 60;
const TEXTS: u64 = 600;

pub fn run(share: Share) {
    println!(
        "| objects | MiB | bare, MiB/s | decay, MiB/s | decay ÷ bare (goal 0.9) | written ÷ byte freed |"
    );
    println!("|---|---|---|---|---|---|");
    for corpus in [corpus::photos(share.of(PHOTOS)), corpus::texts(share.of(TEXTS))] {
        compare(&corpus);
    }
}

fn compare(corpus: &Corpus) {
    let (mut bare, mut decay, mut ratios, mut written) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let alone = by_codecs(corpus);
        let decayed = by_decay(corpus);
        bare.push(alone.as_secs_f64());
        decay.push(decayed.took.as_secs_f64());
        ratios.push(alone.as_secs_f64() / decayed.took.as_secs_f64());
        written.extend(decayed.written_for_a_byte);
    }
    let mib = mib(corpus.bytes());
    let written =
        if written.is_empty() { "not counted".to_owned() } else { format!("{:.2}", median(written)) };
    println!(
        "| {} {} to warm | {mib:.1} | {:.1} | {:.1} | {:.2} | {written} |",
        corpus.objects.len(),
        corpus.name,
        mib / median(bare),
        mib / median(decay),
        median(ratios),
    );
}

fn by_codecs(corpus: &Corpus) -> Duration {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(bytes) = corpus.objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (params, limits) = (Params::default(), Limits::default());
            let degraded = degrade(bytes, corpus.media_type, Depth::Warm, &params, &limits);
            if let (Some(level), Content::Bytes(bytes)) = (corpus.zstd_level, &degraded.content) {
                black_box(zstd::bulk::compress(bytes, level).unwrap());
            }
            black_box(degraded);
        }
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        (0..Options::default().transform_threads).for_each(|_| drop(scope.spawn(work)));
    });
    begun.elapsed()
}

struct Decayed {
    took: Duration,
    written_for_a_byte: Option<f64>,
}

fn by_decay(corpus: &Corpus) -> Decayed {
    let bench = Bench::open(Options::default());
    let named = |(number, bytes)| (format!("object/{number:06}"), bytes, PutOptions::default());
    bench
        .db
        .objects()
        .put_many(corpus.objects.iter().cloned().enumerate().map(named).collect::<Vec<_>>())
        .unwrap();
    bench.settle();
    let (taken, written) = (disk::taken_bytes(bench.folder.path()), disk::written_bytes());
    let begun = Instant::now();
    let report = bench.db.tick(&TickOptions { force: true, ..TickOptions::default() }).unwrap();
    let took = begun.elapsed();
    assert_eq!(report.moved, corpus.objects.len() as u64);
    let written = disk::written_bytes().zip(written).map(|(after, before)| after - before);
    disk::wait_until_still(bench.folder.path());
    let freed = taken.saturating_sub(disk::taken_bytes(bench.folder.path()));
    let written_for_a_byte = written.filter(|_| freed > 0).map(|written| written as f64 / freed as f64);
    Decayed { took, written_for_a_byte }
}
