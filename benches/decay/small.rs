//! From due to free: many small objects fall due at once, and it is measured how long it takes until the file system has their
//! bytes back, and how many.

#![expect(clippy::disallowed_methods, reason = "it is timed")]

use crate::{Bench, Share, corpus, disk, mib};
use patinadb::{Options, PutOptions, TickOptions, days};
use std::time::Instant;

const OBJECTS: u64 = 100_000;
const PUT_TOGETHER: usize = 1000;

pub fn run(share: Share) {
    let count = share.of(OBJECTS);
    let bench = Bench::open(Options::default());
    let mut notes = corpus::notes(count).enumerate();
    let begun = Instant::now();
    loop {
        let named = |(number, bytes)| (format!("notes/{number:06}.txt"), bytes, PutOptions::default());
        let items: Vec<_> = notes.by_ref().take(PUT_TOGETHER).map(named).collect();
        if items.is_empty() {
            break;
        }
        bench.db.objects().put_many(items).unwrap();
    }
    bench.settle();
    println!("{count} texts of 1 to 3 KiB, put and merged in {:.1} s.\n", begun.elapsed().as_secs_f64());
    println!(
        "| due | tick, s | bytes free after, s | objects/s | on disk before, MiB | after, MiB | written ÷ byte freed |"
    );
    println!("|---|---|---|---|---|---|---|");
    due(&bench, count, "warm", 61);
    due(&bench, count, "cold", 365);
    due(&bench, count, "trace", 4 * 365);
}

/// Lets so many days pass, after which all are due for one stage.
fn due(bench: &Bench, count: u64, stage: &str, after_days: u64) {
    let folder = bench.folder.path();
    bench.clock.advance(days(after_days));
    let (before, written) = (disk::taken_bytes(folder), disk::written_bytes());
    let begun = Instant::now();
    let report = bench.db.tick(&TickOptions { confirm_clock: true, ..TickOptions::default() }).unwrap();
    let took = begun.elapsed().as_secs_f64();
    assert_eq!((report.moved, report.failed), (count, 0));
    let free = disk::wait_until_still(folder).duration_since(begun).as_secs_f64();
    let after = disk::taken_bytes(folder);
    let written = disk::written_bytes().zip(written).map(|(after, before)| after - before);
    let for_a_byte = written.zip(before.checked_sub(after).filter(|freed| *freed > 0));
    println!(
        "| {stage} | {took:.1} | {free:.1} | {:.0} | {:.1} | {:.1} | {} |",
        count as f64 / took,
        mib(before),
        mib(after),
        for_a_byte
            .map_or("–".to_owned(), |(written, freed)| format!("{:.2}", written as f64 / freed as f64)),
    );
}
