//! Promise: what many threads do at once to one database is what happens one write after the other, in the order of the sequence numbers,
//! whatever the options.
//!
//! Every write says its sequence numbers, so all writes of all threads, sorted by them, are the one true history. A snapshot at S must show
//! exactly the history up to S; a read without a snapshot something between what was visible before and after it; a
//! conditional write must have had before it, in the history, what it required; a crash must leave a prefix of the history that
//! ends no earlier than what was acknowledged as durable, and never in the middle of a batch. So eight threads may do what they like
//! while nothing is checked; they log what they wrote and saw, and after each round, when they rest, all is compared.
//!
//! `PATINA_LONG_TESTS=1`: a minute for each of the twelve option sets instead of a few rounds. `PATINA_MODEL_SEED`, `PATINA_MODEL_SET`:
//! another seed (each failure names its own), and only one of the sets. Threads race, so a seed repeats what is done, not when.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod history;
mod worker;

use history::{History, KEYSPACES, Log};
use patina_storage::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use worker::{Rng, Worker};

const THREADS: u64 = 8;
const OPS_A_ROUND: u64 = 50;
const ROUNDS: u64 = 2;
const LONG: Duration = Duration::from_secs(60);
/// Snapshots that live on from round to round.
const HELD_MAX: usize = 4;

/// One way to configure a database.
#[derive(Clone)]
struct OptionSet {
    options: Options,
    keyspaces: [KeyspaceOptions; KEYSPACES],
}

/// Tiny everything, so that each round flushes, merges and seals many times; then one thing at a time as it is by default.
fn option_sets() -> Vec<OptionSet> {
    use TableCompression::{Lz4, None as Raw, Zstd};
    let tiny = Options {
        memtable_bytes: 8 << 10,
        block_bytes: 256,
        table_bytes: 8 << 10,
        level1_bytes: 16 << 10,
        l0_tables_trigger: 2,
        l0_tables_slowdown: 8,
        blob_file_bytes: 16 << 10,
        open_bins_max: 2,
        open_files_max: 16,
        block_cache_bytes: 64 << 10,
        ..Options::default()
    };
    let keyspace = |compression, separate_bytes: Option<u32>| KeyspaceOptions {
        compression: [compression; 7],
        separate_bytes,
        blob_class: if separate_bytes.is_some() { 7 } else { 0 },
    };
    let set = |options: &Options, a, b| OptionSet { options: options.clone(), keyspaces: [a, b] };
    let plain = keyspace(Lz4, None);
    let sets = vec![
        set(&tiny, plain, plain),
        set(&tiny, keyspace(Raw, None), keyspace(Zstd, None)),
        set(&tiny, keyspace(Raw, Some(64)), keyspace(Lz4, Some(300))),
        set(&tiny, keyspace(Zstd, Some(64)), plain),
        set(&Options { memtable_bytes: 64 << 10, ..tiny.clone() }, plain, keyspace(Zstd, Some(100))),
        set(&Options { memtable_bytes: 4 << 10, sealed_memtables_max: 1, ..tiny.clone() }, plain, plain),
        set(
            &Options { block_bytes: 4096, table_bytes: 64 << 10, level1_bytes: 64 << 10, ..tiny.clone() },
            plain,
            plain,
        ),
        set(
            &Options { l0_tables_trigger: 1, l0_tables_slowdown: 2, ..tiny.clone() },
            plain,
            keyspace(Raw, None),
        ),
        set(
            &Options { l0_tables_trigger: 7, l0_tables_slowdown: 20, ..tiny.clone() },
            plain,
            keyspace(Lz4, Some(64)),
        ),
        set(
            &Options { open_files_max: 1024, block_cache_bytes: 8 << 20, ..tiny.clone() },
            plain,
            keyspace(Zstd, Some(64)),
        ),
        set(
            &Options { block_cache_bytes: 0, blob_file_bytes: 4 << 10, ..tiny.clone() },
            keyspace(Zstd, None),
            keyspace(Raw, Some(64)),
        ),
        set(&Options::default(), KeyspaceOptions::default(), keyspace(Lz4, Some(4096))),
    ];
    // Merges in parts, and several at once; or all by one thread.
    let threads = |n: usize| match n {
        0 | 4 | 7 => 4,
        5 | 8 => 1,
        _ => tiny.background_threads,
    };
    let with_threads = |(n, OptionSet { options, keyspaces })| {
        let options = Options { background_threads: threads(n), ..options };
        OptionSet { options, keyspaces }
    };
    sets.into_iter().enumerate().map(with_threads).collect()
}

type Keys = [Keyspace; KEYSPACES];

fn open(vfs: &MemVfs, set: &OptionSet) -> (Db, Keys) {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), set.options.clone()).unwrap();
    let [a, b] = set.keyspaces;
    let keyspaces = [db.keyspace("a", a).unwrap(), db.keyspace("b", b).unwrap()];
    (db, keyspaces)
}

/// The newest acknowledged writes, by what they must survive.
#[derive(Default)]
struct Acknowledged {
    /// The death of the process.
    any: AtomicU64,
    /// A power loss.
    synced: AtomicU64,
}

/// The file system as a crash in the middle of a round left it, and the last write that must be there.
struct Crash {
    image: MemVfs,
    at_least: u64,
}

/// One database under one set of options, and all that is known of it.
struct Run {
    set: OptionSet,
    vfs: MemVfs,
    rng: Rng,
    history: History,
    held: Vec<Snapshot>,
    acknowledged: Acknowledged,
    /// Numbers the values, so that each is written once only.
    values: AtomicU64,
}

impl Run {
    fn new(set: OptionSet, seed: u64) -> Self {
        Self {
            set,
            vfs: MemVfs::new(),
            rng: Rng(seed),
            history: History::default(),
            held: Vec::new(),
            acknowledged: Acknowledged::default(),
            values: AtomicU64::new(1),
        }
    }

    fn rounds(mut self, mut goes_on: impl FnMut() -> bool) {
        let (mut db, mut keyspaces) = open(&self.vfs, &self.set);
        while goes_on() {
            let crash = self.round(&db, &keyspaces);
            self.check(&db, &keyspaces);
            self.check_crash(&crash);
            match self.rng.below(4) {
                0 | 1 => {}
                how => {
                    self.held.clear();
                    if how == 2 {
                        db.clone().close().unwrap();
                    } else {
                        self.vfs = self.vfs.kill();
                    }
                    drop((db, keyspaces));
                    (db, keyspaces) = open(&self.vfs, &self.set);
                    self.history.check_all(&keyspaces, &db.snapshot(), "after reopening");
                }
            }
            let oldest = self.held.iter().map(Snapshot::seqno).min();
            self.history.forget_before(oldest.unwrap_or(db.snapshot().seqno()));
        }
    }

    /// All threads at once.
    fn round(&mut self, db: &Db, keyspaces: &Keys) -> Crash {
        let seeds: Vec<u64> = (0..THREADS).map(|_| self.rng.next()).collect();
        let crash_at = self.rng.below(OPS_A_ROUND);
        let (acknowledged, values, vfs) = (&self.acknowledged, &self.values, &self.vfs);
        let work = |n: usize, seed: u64| {
            let mut worker = Worker::new(db, keyspaces, acknowledged, values, seed);
            worker.work(vfs, OPS_A_ROUND, (n == 0).then_some(crash_at));
            (worker.log, worker.held, worker.crash)
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                seeds.into_iter().enumerate().map(|(n, seed)| scope.spawn(move || work(n, seed))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut all = Log::default();
        let mut crashed = None;
        for (log, held, crash) in results {
            all.writes.extend(log.writes);
            all.seen.extend(log.seen);
            self.held.extend(held);
            crashed = crashed.or(crash);
        }
        self.history.extend(all);
        crashed.unwrap()
    }

    fn check(&mut self, db: &Db, keyspaces: &Keys) {
        while self.held.len() > HELD_MAX {
            let which = self.rng.below(self.held.len() as u64) as usize;
            self.held.swap_remove(which);
        }
        self.history.check_all(keyspaces, &db.snapshot(), "now");
        for snapshot in &self.held {
            self.history.check_all(keyspaces, snapshot, "at a held snapshot");
        }
        let report = db.verify().unwrap();
        assert!(report.is_sound(), "{:#?}", report.problems);
    }

    fn check_crash(&self, crash: &Crash) {
        let (db, keyspaces) = open(&crash.image, &self.set);
        self.history.check_crashed(&keyspaces, &db.snapshot(), crash.at_least);
        let report = db.verify().unwrap();
        assert!(report.is_sound(), "after a crash: {:#?}", report.problems);
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn threads_agree_with_a_model() {
    let is_long = std::env::var_os("PATINA_LONG_TESTS").is_some();
    let seed = number_from("PATINA_MODEL_SEED").unwrap_or(1);
    let only = number_from("PATINA_MODEL_SET");
    let sets = (0..).zip(option_sets()).filter(|(n, _)| only.is_none_or(|only| only == *n));
    for (n, set) in sets {
        println!("option set {n}, PATINA_MODEL_SEED={seed} PATINA_MODEL_SET={n}: {:?}", set.options);
        #[expect(clippy::disallowed_methods, reason = "a test that lasts a minute has to look at a clock")]
        let start = std::time::Instant::now();
        let mut rounds = 0;
        Run::new(set, seed.wrapping_mul(1000).wrapping_add(n)).rounds(|| {
            rounds += 1;
            if is_long { start.elapsed() < LONG } else { rounds <= ROUNDS }
        });
        println!("{} rounds of {THREADS} threads", rounds - 1);
    }
}
