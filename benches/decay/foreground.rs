//! What somebody who reads and writes notices of decay: latencies of gets and durable puts while photographs and texts decay,
//! against the same without, in turns in one run.
//!
//! The foreground asks for something every two milliseconds, four gets to a put: a machine that has something else to do as
//! well. Decay runs by its scheduler, as in life.

#![expect(clippy::disallowed_methods, reason = "it is timed")]

use crate::{Share, corpus, unmoving};
use patinadb::{AppliesTo, Patina, Policy, PutOptions, SchedulerOptions};
use std::time::{Duration, Instant};

const PHOTOS: u64 = 1_600;
const TEXTS: u64 = 9_000;
/// Of the foreground's objects; what it reads does not fit into the block cache, but into the system's memory.
const OBJECTS: u64 = 4_000;
const OBJECT_BYTES: usize = 16 << 10;
const PUT_BYTES: usize = 4 << 10;
const PAUSE: Duration = Duration::from_millis(2);
/// Without, and with each way, in turns.
const TURNS: u32 = 12;
const TURN: Duration = Duration::from_millis(2500);

pub fn run(share: Share) {
    println!("| decay | operation | count | p50, µs | p99, µs | p99.9, µs | p99 ÷ without (goal 1.10) |");
    println!("|---|---|---|---|---|---|---|");
    let folder = tempfile::tempdir().unwrap();
    let db = Patina::open(folder.path()).unwrap();
    fill(&db, share);
    let usual = SchedulerOptions { look_every: Duration::from_millis(100), ..Default::default() };
    let ways = [
        ("at full speed", SchedulerOptions { busy_share: 1.0, ..usual.clone() }),
        ("by default, half of the time", usual),
    ];
    let (mut without, mut with) = (Latencies::default(), ways.each_ref().map(|_| Latencies::default()));
    let mut number = 0;
    let turn = share.of_time(TURN).max(Duration::from_millis(500));
    for _ in 0..TURNS {
        without.add(&db, &mut number, turn);
        for ((_, options), latencies) in ways.iter().zip(&mut with) {
            db.start_scheduler(options.clone()).unwrap();
            latencies.add(&db, &mut number, turn);
            db.stop_scheduler();
        }
    }
    let decayed = db.objects().totals().unwrap();
    let put = without.puts.len() + with.iter().map(|latencies| latencies.puts.len()).sum::<usize>();
    let left = decayed.by_stage[0].objects - OBJECTS - put as u64;
    let moved = decayed.by_stage[1].objects;
    without.print("none", None);
    for ((name, _), latencies) in ways.iter().zip(&with) {
        latencies.print(name, Some(&without));
    }
    println!("\n({moved} objects decayed meanwhile, {left} were still due)\n");
    assert!(left > 0, "there was not enough to decay for all the time");
}

/// Objects that stay, and photographs and texts that are due at once.
fn fill(db: &Patina, share: Share) {
    let put = |items: Vec<_>| db.objects().put_many(items).unwrap();
    db.objects().put_policy(unmoving("foreground")).unwrap();
    let due = Policy {
        applies_to: AppliesTo { name_glob: Some("old/**".into()), ..Default::default() },
        warm_after: Some(Duration::from_secs(1)),
        cold_after: None,
        trace_after: None,
        ..Policy::new("old")
    };
    db.objects().put_policy(due).unwrap();
    for first in (0..OBJECTS).step_by(500) {
        let named = |n| (format!("wanted/{n}"), corpus::noise(n, OBJECT_BYTES), staying());
        put((first..first + 500).map(named).collect());
    }
    let corpora = [corpus::photos(share.of(PHOTOS)), corpus::texts(share.of(TEXTS))];
    for corpus in corpora {
        let named = |(n, bytes)| (format!("old/{}/{n}", corpus.name), bytes, PutOptions::default());
        let items: Vec<_> = corpus.objects.iter().cloned().enumerate().map(named).collect();
        items.chunks(50).for_each(|items| drop(put(items.to_vec())));
    }
    db.storage().seal_bins().unwrap();
    db.objects().sync().unwrap();
    std::thread::sleep(Duration::from_secs(1));
}

fn staying() -> PutOptions {
    PutOptions { policy: Some("foreground".into()), ..PutOptions::default() }
}

#[derive(Default)]
struct Latencies {
    gets: Vec<Duration>,
    puts: Vec<Duration>,
}

impl Latencies {
    /// Reads and writes for so long.
    fn add(&mut self, db: &Patina, number: &mut u64, turn: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < turn {
            *number += 1;
            if number.is_multiple_of(5) {
                let bytes = corpus::noise(OBJECTS + *number, PUT_BYTES);
                let at = Instant::now();
                db.put_with(&format!("new/{number}"), &bytes, &staying()).unwrap();
                self.puts.push(at.elapsed());
            } else {
                let name = format!("wanted/{}", number.wrapping_mul(2_654_435_761) % OBJECTS);
                let at = Instant::now();
                db.get(&name).unwrap();
                self.gets.push(at.elapsed());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn print(&self, decay: &str, without: Option<&Self>) {
        self.print_one(decay, "get", |latencies| &latencies.gets, without);
        self.print_one(decay, "put, durable", |latencies| &latencies.puts, without);
    }

    fn print_one(&self, decay: &str, what: &str, of: fn(&Self) -> &Vec<Duration>, without: Option<&Self>) {
        let us = |latencies: &Self, share| quantile(of(latencies), share).as_secs_f64() * 1e6;
        let ratio =
            without.map_or("–".to_owned(), |without| format!("{:.2}", us(self, 0.99) / us(without, 0.99)));
        println!(
            "| {decay} | {what} | {} | {:.0} | {:.0} | {:.0} | {ratio} |",
            of(self).len(),
            us(self, 0.5),
            us(self, 0.99),
            us(self, 0.999),
        );
    }
}

fn quantile(latencies: &[Duration], share: f64) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}
