//! Promise: whenever a process is killed, everything that it had acknowledged is there when the database is opened again, `Buffered`
//! writes included, and everything that it was about to do is there as a whole or not at all.
//!
//! The test starts itself again as a child. Seven threads of the child write, read, decay, drop, checkpoint and compact until it is killed with
//! `SIGKILL`, at a random moment, some of them while it is still opening. What must be there is kept outside of the database
//! (`expected.rs`). The next child compares, settles what was open, and goes on; options change from child to child.
//!
//! Threads have keys of their own, so that what each must find is known exactly; what they share is money, of which transactions make none
//! and lose none. `PATINA_LONG_TESTS=1`: 200 kills; `PATINA_KILL_SECONDS`: as many as fit into so many seconds. `PATINA_KILL_SEED`: other
//! random numbers. The end of a run prints what was counted (`--nocapture`).
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "the journals are outside of what is tested, and kills are at real times"
)]

mod expected;
mod worker;

use expected::*;
use patina_storage::*;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use worker::{Caretaker, Rng, Worker};

/// The last one is the caretaker.
const THREADS: usize = 7;
const ACCOUNTS: u64 = 16;
const MONEY: u64 = 100;
const KILLS: u64 = 10;
const KILLS_LONG: u64 = 200;
/// A child is killed at most so long after it has opened the database.
const WORK_MAX_MS: u64 = 400;
/// Far more than any opening takes.
const OPENING_MAX: Duration = Duration::from_secs(120);
const CHILD: &str = "PATINA_TEST_IS_KILLED";

type Keys = [Keyspace; 2];

fn account(n: u64) -> Vec<u8> {
    format!("bank/{n:02}").into_bytes()
}

fn options(rng: &mut Rng) -> Options {
    let tiny = Options {
        memtable_bytes: 32 << 10,
        block_bytes: 512,
        table_bytes: 16 << 10,
        level1_bytes: 32 << 10,
        l0_tables_trigger: 2,
        l0_tables_slowdown: 12,
        blob_file_bytes: 128 << 10,
        open_bins_max: 2,
        background_threads: 1 + rng.below(4) as usize,
        sync_interval_ms: rng.one_in(2).then_some(3),
        ..Options::default()
    };
    match rng.below(4) {
        0 => Options { memtable_bytes: 8 << 10, ..tiny },
        1 => Options { background_threads: tiny.background_threads, ..Options::default() },
        _ => tiny,
    }
}

fn open(folder: &Path, options: Options) -> (Db, Keys) {
    let db = Db::open(folder.join("db"), options).unwrap();
    let separated =
        KeyspaceOptions { separate_bytes: Some(150), blob_class: 7, ..KeyspaceOptions::default() };
    let keys = [db.keyspace("a", KeyspaceOptions::default()).unwrap(), db.keyspace("b", separated).unwrap()];
    (db, keys)
}

/// What is under the keys of a thread.
fn scan(snapshot: &Snapshot, keyspace: &Keyspace, thread: usize) -> Vec<(KeyNumber, ValueId, u8)> {
    let entries = snapshot.prefix(keyspace, format!("t{thread}/").as_bytes());
    let entries = entries.map(|entry| {
        let entry = entry.unwrap();
        let (id, stage) = read_value(&entry.value().unwrap());
        (key_number(entry.key()), id, stage)
    });
    entries.collect()
}

/// All money must be there.
fn bank(db: &Db, keyspace: &Keyspace) {
    let snapshot = db.snapshot();
    let amounts = snapshot.prefix(keyspace, b"bank/").map(|entry| {
        let bytes = entry.unwrap().value().unwrap();
        std::str::from_utf8(&bytes).unwrap().parse::<u64>().unwrap()
    });
    let amounts: Vec<u64> = amounts.collect();
    assert_eq!(amounts.len() as u64, ACCOUNTS, "accounts are missing");
    assert_eq!(amounts.iter().sum::<u64>(), ACCOUNTS * MONEY, "money was made or lost: {amounts:?}");
}

fn fill_bank(db: &Db, keyspace: &Keyspace) {
    let mut batch = db.batch();
    (0..ACCOUNTS).for_each(|n| batch.put(keyspace, account(n), MONEY.to_string()));
    db.write(batch, Durability::Buffered).unwrap();
}

/// What a look at the database after a kill found.
#[derive(Default)]
struct Found {
    states: Vec<State>,
    acknowledged: u64,
    whole: u64,
    absent: u64,
}

/// Compares all that there is with all that must be.
fn check(folder: &Path, db: &Db, keys: &Keys) -> Found {
    let (snapshot, reached) = (db.snapshot(), Decays::look(folder));
    let scratch = db.keyspaces().iter().any(|name| name == "scratch");
    let scratch = scratch.then(|| db.keyspace("scratch", KeyspaceOptions::default()).unwrap());
    let mut found = Found::default();
    for thread in 0..THREADS {
        let told = Told::read(folder, thread);
        let mut state = State::default();
        for (n, keyspace) in keys.iter().chain(&scratch).enumerate() {
            for (number, id, stage) in scan(&snapshot, keyspace, thread) {
                let least = reached.get(&id).copied().unwrap_or(0);
                assert!(stage >= least, "value {id:#x} is in stage {stage} again, it was in {least}");
                state[n].insert(number, id);
                // Point reads go another way: filters, and one table a level.
                let got = keyspace.get(&key(thread, number)).unwrap().map(|bytes| read_value(&bytes));
                assert_eq!(got, Some((id, stage)));
            }
        }
        // The first line is what was there before.
        found.acknowledged += told.acknowledged.saturating_sub(1);
        let after = told.pending.as_ref().map(|ops| applied(&told.state, ops));
        match after {
            Some(after) if after == state => found.whole += 1,
            _ if told.state == state => found.absent += u64::from(told.pending.is_some()),
            after => panic!("thread {thread}: {}", difference(&told.state, after.as_ref(), &state)),
        }
        found.states.push(state);
    }
    found
}

/// The keys that are neither as before nor as after what was tried.
fn difference(before: &State, after: Option<&State>, found: &State) -> String {
    let mut lines = String::new();
    for keyspace in 0..KEYSPACES {
        for number in 0..=KeyNumber::MAX {
            let of = |state: &State| state[keyspace].get(&number).copied();
            let (was, tried, is) = (of(before), after.map(of), of(found));
            if is != was || tried.is_some_and(|tried| tried != was) {
                lines += &format!(
                    "\nkeyspace {keyspace}, key {number}: acknowledged {was:x?}, tried {tried:x?}, found {is:x?}"
                );
            }
        }
    }
    lines
}

fn is_sound(db: &Db) {
    let report = db.verify().unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
}

/// The life of a child: it ends only by being killed.
fn child(folder: &Path) {
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (run, seed) = (number("PATINA_TEST_RUN"), number("PATINA_KILL_SEED"));
    let mut rng = Rng(seed.wrapping_mul(1 << 20).wrapping_add(run));
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("checkpoint-") {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    let (db, keys) = open(folder, options(&mut rng));
    let found = check(folder, &db, &keys);
    let has_bank = folder.join("bank");
    if !has_bank.exists() {
        fill_bank(&db, &keys[0]);
        std::fs::write(has_bank, "").unwrap();
    }
    bank(&db, &keys[0]);
    if rng.one_in(4) {
        is_sound(&db);
    }
    let decays = Decays::begin(folder, &found.states);
    let tally = format!("{} {} {}\n", found.acknowledged, found.whole, found.absent);
    let mut workers: Vec<Worker<'_>> = (0..)
        .zip(found.states)
        .map(|(thread, state)| Worker {
            db: &db,
            keys: &keys,
            thread,
            journal: Journal::begin(folder, thread, state),
            decays: &decays,
            rng: Rng(rng.next()),
            ids: (run << 3 | thread as u64) << 16,
            held: None,
        })
        .collect();
    std::fs::write(folder.join(format!("ready-{run}")), tally).unwrap();
    let scratch = db.keyspaces().iter().any(|name| name == "scratch");
    let scratch = scratch.then(|| db.keyspace("scratch", KeyspaceOptions::default()).unwrap());
    let worker = workers.pop().unwrap();
    let mut caretaker = Caretaker { worker, folder, scratch, checkpoints: 0 };
    std::thread::scope(|scope| {
        for mut worker in workers {
            scope.spawn(move || ends_the_process(|| worker.step()));
        }
        ends_the_process(|| caretaker.step());
    });
}

/// A thread that finds something wrong must not leave the others at work: the parent waits for the end of them all.
fn ends_the_process(mut step: impl FnMut()) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        loop {
            step();
        }
    }));
    let Err(_) = outcome;
    std::process::exit(101);
}

struct Killed {
    is_open: bool,
}

/// Starts a child, and kills it.
fn kill_one(folder: &Path, run: u64, seed: u64, rng: &mut Rng) -> Killed {
    let stderr = folder.join("stderr");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_killed_process_loses_nothing", "--exact", "--nocapture"])
        .env(CHILD, folder)
        .env("PATINA_TEST_RUN", run.to_string())
        .env("PATINA_KILL_SEED", seed.to_string())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let ready = folder.join(format!("ready-{run}"));
    let begun = Instant::now();
    if rng.one_in(4) {
        // In the middle of the opening.
        std::thread::sleep(Duration::from_micros(rng.below(60_000)));
    } else {
        while !ready.exists() && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < OPENING_MAX, "child {run} does not open the database (seed {seed})");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(rng.below(WORK_MAX_MS * 1000)));
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    if status.signal().is_none() {
        let stderr = std::fs::read_to_string(stderr).unwrap();
        panic!("child {run} ended by itself (seed {seed}, {status}):\n{stderr}");
    }
    Killed { is_open: ready.exists() }
}

#[test]
fn a_killed_process_loses_nothing() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return child(Path::new(&folder));
    }
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let kills_max = match (number("PATINA_KILL_SECONDS"), std::env::var_os("PATINA_LONG_TESTS")) {
        (Some(_), _) => u64::MAX,
        (None, Some(_)) => KILLS_LONG,
        (None, None) => KILLS,
    };
    let time_max = number("PATINA_KILL_SECONDS").map_or(Duration::MAX, Duration::from_secs);
    let seed = number("PATINA_KILL_SEED").unwrap_or(1);
    let mut rng = Rng(seed);
    let folder = tempfile::tempdir().unwrap();
    let (begun, mut kills, mut while_open) = (Instant::now(), 0, 0);
    while kills < kills_max && begun.elapsed() < time_max {
        while_open += u64::from(kill_one(folder.path(), kills, seed, &mut rng).is_open);
        kills += 1;
    }
    let (db, keys) = open(folder.path(), Options::default());
    let last = check(folder.path(), &db, &keys);
    bank(&db, &keys[0]);
    is_sound(&db);
    let tallies =
        (0..kills).filter_map(|run| std::fs::read_to_string(folder.path().join(format!("ready-{run}"))).ok());
    let mut sums = [last.acknowledged, last.whole, last.absent];
    for tally in tallies {
        for (sum, number) in sums.iter_mut().zip(tally.split_whitespace()) {
            *sum += number.parse::<u64>().unwrap();
        }
    }
    let [acknowledged, whole, absent] = sums;
    println!(
        "{kills} kills (seed {seed}), {} of them before the database was open and checked: {acknowledged} acknowledged \
         operations were all there; of {} that were cut short {whole} were there as a whole, {absent} not at all",
        kills - while_open,
        whole + absent
    );
    assert!(while_open == 0 || acknowledged > THREADS as u64, "nothing was done");
}
