//! What decay costs, on the file system of `TMPDIR`, against the bare codecs and against a database that does not decay.
//!
//! ```text
//! cargo bench --bench decay                                  all of it
//! cargo bench --bench decay -- throughput small foreground   parts of it, by name
//! PATINA_BENCH_SHARE=0.1 cargo bench --bench decay           with a tenth of the objects, within three minutes
//! ```
//!
//! Each part is one table for a person. What is compared is measured in turns in the same run, because machines differ and have
//! moods: only the ratios mean something elsewhere. Criterion is not used: a tick cannot be run twice on the same objects, and
//! what is asked for (percentiles beside other work, bytes on the disk) is not a mean time.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "it prints tables")]

mod corpus;
mod disk;
mod foreground;
mod small;
mod throughput;

use patinadb::{ManualClock, Options, Patina, Policy, Timestamp};
use std::time::Duration;
use tempfile::TempDir;

const START: Timestamp = Timestamp(1_767_225_600_000);

/// How many of the objects of a whole run there are.
#[derive(Clone, Copy)]
struct Share(f64);

impl Share {
    fn of(self, whole: u64) -> u64 {
        ((whole as f64 * self.0) as u64).max(1)
    }

    fn of_time(self, whole: Duration) -> Duration {
        whole.mul_f64(self.0)
    }
}

/// A database in a temporary folder whose clock is moved by hand.
struct Bench {
    db: Patina,
    clock: ManualClock,
    folder: TempDir,
}

impl Bench {
    fn open(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(START);
        let db = Patina::builder().clock(clock.clone()).storage_options(options).open(folder.path()).unwrap();
        Self { db, clock, folder }
    }

    /// Makes all that was put durable, and ends the files that are being written: it looks as if it had been put long ago.
    fn settle(&self) {
        self.db.storage().seal_bins().unwrap();
        self.db.storage().flush().unwrap();
        self.db.storage().compact().unwrap();
        self.db.objects().sync().unwrap();
    }
}

/// A policy that never moves anything.
fn unmoving(name: &str) -> Policy {
    Policy { warm_after: None, cold_after: None, trace_after: None, purge_after: None, ..Policy::new(name) }
}

/// The middle of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

type Part = fn(Share);

const PARTS: [(&str, Part); 3] =
    [("throughput", throughput::run), ("small", small::run), ("foreground", foreground::run)];

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let share = std::env::var("PATINA_BENCH_SHARE").map_or(1.0, |share| share.parse().unwrap());
    assert!(share > 0.0 && share <= 1.0, "PATINA_BENCH_SHARE must be above 0 and at most 1");
    let cores = std::thread::available_parallelism().unwrap();
    println!("{cores} cores, {} transform threads, share {share}", Options::default().transform_threads);
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|part| part == name) {
            println!("\n## {name}\n");
            run(Share(share));
        }
    }
}
