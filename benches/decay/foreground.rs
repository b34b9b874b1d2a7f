//! What somebody who reads and writes notices of decay: latencies of gets and durable puts while photographs and texts decay,
//! against the same without, in turns in one run.
//!
//! The foreground asks for something every two milliseconds, four gets to a put: a machine that has something else to do as
//! well. Decay runs by its scheduler, as in life.
//!
//! A disk that others use too stalls now and then, for many requests at once, and one such time decides the tail of a whole run. So each turn
//! has its own quantiles, and the medians of the turns are compared; and what is without decay is measured twice, so that the
//! second against the first shows what the comparison can tell apart.

#![expect(clippy::disallowed_methods, reason = "it is timed")]

use crate::{Share, corpus, unmoving};
use patinadb::{AppliesTo, Patina, Policy, PutOptions, SchedulerOptions};
use std::time::{Duration, Instant};

const PHOTOS: u64 = 3_600;
const TEXTS: u64 = 9_000;
/// Of the foreground's objects; what it reads does not fit into the block cache, but into the system's memory.
const OBJECTS: u64 = 4_000;
const OBJECT_BYTES: usize = 16 << 10;
const PUT_BYTES: usize = 4 << 10;
const PAUSE: Duration = Duration::from_millis(2);
/// Without, without again, and with each way, in turns.
const TURNS: u32 = 24;
const TURN: Duration = Duration::from_millis(2500);

pub fn run(share: Share) {
    println!(
        "| decay | operation | count | p50, µs | p99, µs | p99.9 of all, µs | p99 ÷ without (goal 1.10) |"
    );
    println!("|---|---|---|---|---|---|---|");
    let folder = tempfile::tempdir().unwrap();
    let db = Patina::open(folder.path()).unwrap();
    fill(&db, share);
    let usual = SchedulerOptions { look_every: Duration::from_millis(100), ..Default::default() };
    let full = SchedulerOptions { busy_share: 1.0, ..usual.clone() };
    let mut ways = [
        ("none", None, Latencies::default()),
        ("none, again", None, Latencies::default()),
        ("at full speed", Some(full), Latencies::default()),
        ("by default, half of the time", Some(usual), Latencies::default()),
    ];
    let mut number = 0;
    let turn = share.of_time(TURN).max(Duration::from_millis(500));
    for _ in 0..TURNS {
        for (_, options, latencies) in &mut ways {
            if let Some(options) = options {
                db.start_scheduler(options.clone()).unwrap();
            }
            latencies.add(&db, &mut number, turn);
            db.stop_scheduler();
        }
    }
    let decayed = db.objects().totals().unwrap();
    let put: usize = ways.iter().map(|(_, _, latencies)| latencies.puts.count()).sum();
    let left = decayed.by_stage[0].objects - OBJECTS - put as u64;
    let moved = decayed.by_stage[1].objects;
    let [(_, _, without), ..] = &ways;
    for (n, (name, _, latencies)) in ways.iter().enumerate() {
        let without = (n > 0).then_some(without);
        print(name, "get", &latencies.gets, without.map(|without| &without.gets));
        print(name, "put, durable", &latencies.puts, without.map(|without| &without.puts));
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
    gets: Turns,
    puts: Turns,
}

/// The latencies of one operation, turn by turn.
#[derive(Default)]
struct Turns(Vec<Vec<Duration>>);

impl Latencies {
    /// Reads and writes for so long.
    fn add(&mut self, db: &Patina, number: &mut u64, turn: Duration) {
        let (mut gets, mut puts) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < turn {
            *number += 1;
            if number.is_multiple_of(5) {
                let bytes = corpus::noise(OBJECTS + *number, PUT_BYTES);
                let at = Instant::now();
                db.put_with(&format!("new/{number}"), &bytes, &staying()).unwrap();
                puts.push(at.elapsed());
            } else {
                let name = format!("wanted/{}", number.wrapping_mul(2_654_435_761) % OBJECTS);
                let at = Instant::now();
                db.get(&name).unwrap();
                gets.push(at.elapsed());
            }
            std::thread::sleep(PAUSE);
        }
        self.gets.0.push(gets);
        self.puts.0.push(puts);
    }
}

impl Turns {
    fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The median of the turns' quantiles, in microseconds.
    fn median_of(&self, share: f64) -> f64 {
        let of_turns = self.0.iter().map(|turn| quantile(turn, share)).collect::<Vec<_>>();
        quantile(&of_turns, 0.5).as_secs_f64() * 1e6
    }
}

fn print(decay: &str, what: &str, latencies: &Turns, without: Option<&Turns>) {
    let p99 = latencies.median_of(0.99);
    let ratio = without.map_or("–".to_owned(), |without| format!("{:.2}", p99 / without.median_of(0.99)));
    println!(
        "| {decay} | {what} | {} | {:.0} | {p99:.0} | {:.0} | {ratio} |",
        latencies.count(),
        latencies.median_of(0.5),
        quantile(&latencies.0.concat(), 0.999).as_secs_f64() * 1e6,
    );
}

fn quantile(latencies: &[Duration], share: f64) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}
