//! Promise: no merge, however it is chosen, moved, cut into parts, run beside others or given up, changes what anybody sees, now or at a
//! snapshot; and every level stays sorted, with newer versions above older ones (`verify` looks at all of that).
//!
//! Where `answers_match_a_model` makes small databases of every shape, this makes trees of several levels, with what is hard for merges: range
//! deletions over many tables, whose pieces must be cut where the outputs and parts are; ingested tables, which go as deep as they may, between
//! those of running merges; separated values, emptied while their references move; ranges merged past all levels at once; snapshots that
//! keep versions apart. `PATINA_LONG_TESTS=1`: a minute of seeds from `PATINA_MODEL_SEED` on instead of a few.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const KEYS: u64 = 3000;
const STEPS: u64 = 90;
const SNAPSHOTS_MAX: usize = 3;

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("{n:04}").into_bytes()
}

/// Bytes that do not compress, so that levels get as large as they seem.
fn value(id: u64) -> Vec<u8> {
    let len = [8, 30, 90, 150][(id % 4) as usize];
    let mut rng = Rng(id);
    let noise = std::iter::from_fn(|| Some(rng.next().to_le_bytes())).flatten();
    id.to_le_bytes().into_iter().chain(noise).take(len).collect()
}

type Model = BTreeMap<Vec<u8>, u64>;

struct Run {
    rng: Rng,
    vfs: MemVfs,
    options: Options,
    model: Model,
    ids: u64,
    snapshots: Vec<(Snapshot, Model)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let options = Options {
            memtable_bytes: 8 << 10,
            block_bytes: 256,
            table_bytes: 2 << 10,
            level1_bytes: 4 << 10,
            l0_tables_trigger: 1 + rng.below(3) as usize,
            l0_tables_slowdown: 8,
            blob_file_bytes: 8 << 10,
            background_threads: [0, 1, 4][(seed % 3) as usize],
            tombstone_age_max_ms: (rng.below(3) == 0).then_some(1000),
            ..Options::default()
        };
        Self { rng, vfs: MemVfs::new(), options, model: Model::new(), ids: 0, snapshots: Vec::new() }
    }

    fn open(&mut self) -> (Db, Keyspace) {
        let options = self.options.clone();
        let db = Db::open_with(Arc::new(self.vfs.clone()), Path::new("db"), options).unwrap();
        let separated = (self.rng.below(2) == 0).then_some(100);
        let options = KeyspaceOptions { separate_bytes: separated, ..KeyspaceOptions::default() };
        let keyspace = db.keyspace("k", options).unwrap();
        (db, keyspace)
    }

    /// Some keys in a row, or anywhere.
    fn some_keys(&mut self) -> Vec<u64> {
        let count = 1 + self.rng.below(120);
        let first = self.rng.below(KEYS);
        match self.rng.below(2) {
            0 => (first..(first + count).min(KEYS)).collect(),
            _ => (0..count).map(|_| self.rng.below(KEYS)).collect(),
        }
    }

    /// Seldom most of the keys.
    fn range(&mut self) -> std::ops::Range<Vec<u8>> {
        let start = self.rng.below(KEYS);
        let len = [5, 50, 400, KEYS][self.rng.below(4) as usize];
        key(start)..key(start + 1 + self.rng.below(len))
    }

    fn write(&mut self, db: &Db, keyspace: &Keyspace) {
        let mut batch = db.batch();
        for n in self.some_keys() {
            if self.rng.below(5) == 0 {
                batch.delete(keyspace, key(n));
                self.model.remove(&key(n));
            } else {
                self.ids += 1;
                batch.put(keyspace, key(n), value(self.ids));
                self.model.insert(key(n), self.ids);
            }
        }
        db.write(batch, Durability::Buffered).unwrap();
    }

    fn ingest(&mut self, db: &Db, keyspace: &Keyspace) {
        let mut keys = self.some_keys();
        keys.sort_unstable();
        keys.dedup();
        let mut ingest = db.ingest(keyspace).unwrap();
        for n in keys {
            self.ids += 1;
            ingest.put(&key(n), &value(self.ids)).unwrap();
            self.model.insert(key(n), self.ids);
        }
        ingest.finish().unwrap();
    }

    fn delete_range(&mut self, keyspace: &Keyspace) {
        let range = self.range();
        self.model.retain(|key, _| !range.contains(key));
        keyspace.delete_range(range).unwrap();
    }

    fn step(&mut self, db: &Db, keyspace: &Keyspace) {
        match self.rng.below(20) {
            0..9 => self.write(db, keyspace),
            9..11 => self.delete_range(keyspace),
            11..13 => self.ingest(db, keyspace),
            13 => self.snapshots.push((db.snapshot(), self.model.clone())),
            14 if !self.snapshots.is_empty() => {
                let which = self.rng.below(self.snapshots.len() as u64) as usize;
                self.snapshots.swap_remove(which);
            }
            15 | 16 => db.flush().unwrap(),
            17 | 18 => keyspace.compact_range(self.range()).unwrap(),
            19 if self.rng.below(4) == 0 => db.compact().unwrap(),
            _ => self.check(db, keyspace),
        }
        if self.snapshots.len() > SNAPSHOTS_MAX {
            self.snapshots.remove(0);
        }
    }

    fn check(&mut self, db: &Db, keyspace: &Keyspace) {
        let now = (db.snapshot(), self.model.clone());
        for (snapshot, model) in self.snapshots.iter().chain([&now]) {
            let is_as_it_was = |iter: &mut dyn Iterator<Item = Result<Entry>>, backward: bool| {
                let found = iter.map(|entry| {
                    let entry = entry.unwrap();
                    (entry.key().to_vec(), entry.value().unwrap().to_vec())
                });
                let mut expected: Vec<_> = model.iter().map(|(key, id)| (key.clone(), value(*id))).collect();
                if backward {
                    expected.reverse();
                }
                assert!(found.eq(expected), "at {} of {}", snapshot.seqno(), now.0.seqno());
            };
            is_as_it_was(&mut snapshot.range(keyspace, ..), false);
            is_as_it_was(&mut snapshot.range(keyspace, ..).rev(), true);
            for _ in 0..60 {
                let key = key(self.rng.below(KEYS));
                let found = snapshot.get(keyspace, &key).unwrap();
                let expected = model.get(&key).map(|id| value(*id));
                assert_eq!(found.as_deref(), expected.as_deref(), "{key:?} at {}", snapshot.seqno());
            }
        }
        let report = db.verify().unwrap();
        assert!(report.is_sound(), "{:#?}", report.problems);
    }

    fn run(mut self) {
        let (mut db, mut keyspace) = self.open();
        for n in 0..STEPS {
            self.step(&db, &keyspace);
            if n % 30 == 29 {
                self.check(&db, &keyspace);
            }
            if self.rng.below(40) == 0 {
                self.snapshots.clear();
                drop(keyspace);
                if self.rng.below(2) == 0 {
                    self.vfs = self.vfs.kill();
                }
                drop(db);
                (db, keyspace) = self.open();
                self.check(&db, &keyspace);
            }
        }
    }
}

#[test]
fn merges_change_nothing_that_is_seen() {
    let first = std::env::var("PATINA_MODEL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let is_long = std::env::var_os("PATINA_LONG_TESTS").is_some();
    #[expect(clippy::disallowed_methods, reason = "a test that lasts a minute has to look at a clock")]
    let begun = std::time::Instant::now();
    let mut seed = first;
    while if is_long { begun.elapsed().as_secs() < 60 } else { seed < first + 4 } {
        println!("PATINA_MODEL_SEED={seed}");
        Run::new(seed).run();
        seed += 1;
    }
}
