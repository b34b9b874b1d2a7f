//! Promise: whatever the wall clock says, and however it jumps, backward and forward, within an opening and between two, nothing is lost or
//! wrong, nothing stands still and nothing spins. The wall clock decides one thing only: when old deletions are carried out.
//!
//! Monotonic time never goes back by its contract; it may stand still, or jump forward when a machine has slept.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the test's own patience is measured in real time")]

use patina_storage::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const DAY_MS: u64 = 86_400_000;
const NOW_MS: u64 = 56 * 365 * DAY_MS;
const AGE_MAX_MS: u64 = 10 * DAY_MS;

/// Says what it is told to; counts how often it is asked.
#[derive(Clone, Debug, Default)]
struct Clocks(Arc<[AtomicU64; 3]>);

impl Clocks {
    fn at(now_ms: u64) -> Self {
        let clocks = Self::default();
        clocks.set(now_ms);
        clocks
    }

    fn set(&self, now_ms: u64) {
        self.0[0].store(now_ms, Ordering::SeqCst);
    }

    fn let_pass(&self, us: u64) {
        self.0[1].fetch_add(us, Ordering::SeqCst);
    }

    fn asked(&self) -> u64 {
        self.0[2].load(Ordering::SeqCst)
    }
}

impl Clock for Clocks {
    fn now_ms(&self) -> u64 {
        self.0[2].fetch_add(1, Ordering::SeqCst);
        self.0[0].load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.0[1].load(Ordering::SeqCst)
    }
}

fn open(vfs: &MemVfs, clock: &Clocks, background_threads: usize) -> (Db, Keyspace) {
    let options = Options {
        clock: Arc::new(clock.clone()),
        memtable_bytes: 8 << 10,
        block_bytes: 512,
        table_bytes: 8 << 10,
        level1_bytes: 16 << 10,
        l0_tables_trigger: 6,
        l0_tables_slowdown: 12,
        tombstone_age_max_ms: Some(AGE_MAX_MS),
        sync_interval_ms: Some(1),
        compaction_bytes_per_s_max: Some(64 << 20),
        background_threads,
        ..Options::default()
    };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let separated = KeyspaceOptions { separate_bytes: Some(200), ..KeyspaceOptions::default() };
    let keyspace = db.keyspace("k", separated).unwrap();
    (db, keyspace)
}

/// Writes, overwrites and deletes, in the database and in a map.
fn write(db: &Db, keyspace: &Keyspace, model: &mut BTreeMap<Vec<u8>, Vec<u8>>, round: u64) {
    for n in 0..150u64 {
        let key = format!("{:03}", (n * 7 + round * 13) % 400).into_bytes();
        let mut batch = db.batch();
        if (n + round).is_multiple_of(3) {
            batch.delete(keyspace, key.clone());
            model.remove(&key);
        } else {
            let value = vec![(n + round) as u8; 40 + (n as usize % 5) * 60];
            batch.put(keyspace, key.clone(), value.clone());
            model.insert(key, value);
        }
        db.write(batch, Durability::Buffered).unwrap();
    }
    let blob = db.append_blob(
        keyspace,
        Bin { class: 1, due_ms: 1 },
        b"blob",
        &[round as u8; 999],
        Compression::None,
    );
    let mut batch = db.batch();
    batch.put_blob(keyspace, "blob", &blob.unwrap());
    db.write(batch, Durability::Sync).unwrap();
    model.insert(b"blob".to_vec(), vec![round as u8; 999]);
}

fn check(db: &Db, keyspace: &Keyspace, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let entries = keyspace.range(..).map(|entry| {
        let entry = entry.unwrap();
        (entry.key().to_vec(), entry.value().unwrap().to_vec())
    });
    assert!(entries.eq(model.iter().map(|(key, value)| (key.clone(), value.clone()))));
    let report = db.verify().unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
}

/// The epoch, both ends of time, back by a year, forth by a hundred, and as it was.
const JUMPS: [u64; 8] = [
    NOW_MS,
    0,
    u64::MAX,
    NOW_MS - 365 * DAY_MS,
    NOW_MS + 36_500 * DAY_MS,
    1,
    u64::MAX / 1000,
    NOW_MS + DAY_MS,
];

#[test]
fn nothing_is_lost_wrong_or_late_within_an_opening_and_between_two() {
    for (background_threads, step) in [(0, 1), (2, 3)] {
        let (vfs, clock) = (MemVfs::new(), Clocks::at(NOW_MS));
        let mut model = BTreeMap::new();
        for (round, first) in (0u64..).zip(JUMPS) {
            let then = JUMPS[(round as usize + step) % JUMPS.len()];
            clock.set(first);
            let (db, keyspace) = open(&vfs, &clock, background_threads);
            check(&db, &keyspace, &model);
            write(&db, &keyspace, &mut model, round);
            clock.set(then);
            clock.let_pass(if round.is_multiple_of(2) { 1_000 } else { 1 << 40 });
            write(&db, &keyspace, &mut model, round + 1);
            if round.is_multiple_of(5) {
                db.compact().unwrap();
            }
            check(&db, &keyspace, &model);
        }
    }
}

/// Rounds of the pool that find nothing to do must end in sleep, whatever the clock says.
#[test]
fn an_idle_database_sleeps() {
    for jump_ms in JUMPS {
        let (vfs, clock) = (MemVfs::new(), Clocks::at(NOW_MS));
        let (db, keyspace) = open(&vfs, &clock, 2);
        write(&db, &keyspace, &mut BTreeMap::new(), 1);
        db.flush().unwrap();
        clock.set(jump_ms);
        keyspace.put("wakes", "it").unwrap();
        db.flush().unwrap();
        // What is due now is done first.
        std::thread::sleep(Duration::from_millis(300));
        let (asked, merged) = (clock.asked(), db.stats());
        std::thread::sleep(Duration::from_millis(200));
        assert!(clock.asked() - asked < 100, "asked {} times, at {jump_ms}", clock.asked() - asked);
        let written = |stats: &Stats| stats.keyspaces.iter().map(|k| k.entries).sum::<u64>();
        assert_eq!(written(&merged), written(&db.stats()));
    }
}

/// The age of a deletion is counted by the wall clock. If that goes back, deletions are carried out later, by as much; they are not forgotten.
#[test]
fn deletions_are_carried_out_when_the_clock_has_come_to_its_senses() {
    let (vfs, clock) = (MemVfs::new(), Clocks::at(NOW_MS));
    let (db, keyspace) = open(&vfs, &clock, 2);
    for n in 0..100 {
        keyspace.put(format!("{n:03}"), "v").unwrap();
    }
    db.compact().unwrap();
    // More puts than deletions: of themselves the latter are no reason for a merge.
    for n in 80..150 {
        let key = format!("{n:03}");
        if n < 100 {
            keyspace.delete(key).unwrap()
        } else {
            keyspace.put(key, "v").unwrap()
        };
    }
    db.flush().unwrap();
    let deletions = |db: &Db| db.stats().keyspaces[0].tombstones;
    clock.set(NOW_MS - 365 * DAY_MS);
    drop((keyspace, db));
    let (db, keyspace) = open(&vfs, &clock, 2);
    keyspace.put("other", "v").unwrap();
    db.flush().unwrap();
    assert_eq!(deletions(&db), 20, "they were carried out before their time");
    clock.set(NOW_MS + AGE_MAX_MS);
    keyspace.put("other", "w").unwrap();
    db.flush().unwrap();
    let begun = Instant::now();
    // Not entries: the two versions of `other` may lie in two levels until something else merges them.
    while deletions(&db) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "deletions were forgotten: {}", deletions(&db));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(keyspace.range(..).count(), 131);
}
