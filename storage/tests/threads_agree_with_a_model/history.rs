//! The one true history of all writes, and whether what was seen fits it.

use patina_storage::{Keyspace, Seqno, Snapshot};
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

pub const KEYSPACES: usize = 2;

/// A value in eight bytes: a number that no other value has, and a length.
pub type ValueId = u64;
pub const VALUE_BYTES_MAX: u64 = (1 << 14) - 1;

/// The bytes of a value: its number, then bytes that depend on it.
pub fn value(id: ValueId) -> Vec<u8> {
    let len = (id & VALUE_BYTES_MAX).max(8) as usize;
    let filler = (8..len).map(|at| (id >> 14).wrapping_mul(31).wrapping_add(at as u64 / 5) as u8);
    id.to_le_bytes().into_iter().chain(filler).collect()
}

/// The number in a value, which must be whole.
pub fn value_id(bytes: &[u8]) -> ValueId {
    let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, value(id), "a value is torn");
    id
}

pub type Key = Vec<u8>;
pub type Bounds = (Bound<Key>, Bound<Key>);
pub type Entries = Vec<(Key, ValueId)>;

/// One op of an acknowledged batch.
pub enum Op {
    Set { keyspace: usize, key: Key, id: Option<ValueId> },
}

/// An acknowledged batch: its ops have the sequence numbers up to `last`.
pub struct Write {
    pub last: u64,
    pub ops: Vec<Op>,
    /// What must have been true just before it.
    pub required: Vec<Required>,
}

impl Write {
    fn first(&self) -> u64 {
        self.last + 1 - self.ops.len() as u64
    }
}

pub enum Required {
    /// The key's value.
    Value { keyspace: usize, key: Key, id: Option<ValueId> },
    /// No write under the prefix since.
    Unchanged { keyspace: usize, prefix: Key, since: u64 },
}

/// What a reader saw.
pub enum Seen {
    Get {
        keyspace: usize,
        key: Key,
        at: u64,
        id: Option<ValueId>,
    },
    /// Read without a snapshot, between two moments.
    GetNow {
        keyspace: usize,
        key: Key,
        after: u64,
        before: u64,
        id: Option<ValueId>,
    },
    /// The first entries of a range.
    Scan {
        keyspace: usize,
        bounds: Bounds,
        at: u64,
        entries: Vec<(Key, ValueId)>,
        complete: bool,
    },
}

/// All that a thread, or a round, has to tell.
#[derive(Default)]
pub struct Log {
    pub writes: Vec<Write>,
    pub seen: Vec<Seen>,
}

/// Who wrote a key, and what (`None`: removed), oldest first.
type Versions = Vec<(u64, Option<ValueId>)>;

#[derive(Default)]
pub struct History {
    keyspaces: [BTreeMap<Key, Versions>; KEYSPACES],
    /// First and last number of each batch, to find whether a crash cut one.
    batches: BTreeMap<u64, u64>,
    /// What came before is known only by what it left at this number, where a batch ended.
    forgotten_until: u64,
}

impl History {
    /// Takes in a round: its writes in their order, then checks what was seen and required.
    pub fn extend(&mut self, mut log: Log) {
        log.writes.sort_by_key(|write| write.last);
        for write in &log.writes {
            for required in &write.required {
                self.check_required(required, write.first());
            }
            let first = write.first();
            let taken = self.batches.range(..=write.last).next_back();
            assert!(taken.is_none_or(|(_, last)| *last < first), "two batches have the number {first}");
            self.batches.insert(first, write.last);
            for (seqno, op) in (first..).zip(&write.ops) {
                match op {
                    Op::Set { keyspace, key, id } => self.set(*keyspace, key, seqno, *id),
                }
            }
        }
        for seen in &log.seen {
            self.check_seen(seen);
        }
    }

    fn set(&mut self, keyspace: usize, key: &Key, seqno: u64, id: Option<ValueId>) {
        self.keyspaces[keyspace].entry(key.clone()).or_default().push((seqno, id));
    }

    fn value_at(&self, keyspace: usize, key: &Key, at: u64) -> Option<ValueId> {
        newest(self.keyspaces[keyspace].get(key)?, at)
    }

    fn entries_at(&self, keyspace: usize, bounds: &Bounds, at: u64) -> Entries {
        self.range_at(keyspace, bounds, at).map(|(key, id)| (key.clone(), id)).collect()
    }

    fn range_at(&self, keyspace: usize, bounds: &Bounds, at: u64) -> impl Iterator<Item = (&Key, ValueId)> {
        let all = self.keyspaces[keyspace].iter().filter(|(key, _)| bounds.contains(*key));
        all.filter_map(move |(key, versions)| Some((key, newest(versions, at)?)))
    }

    fn check_required(&self, required: &Required, first: u64) {
        match required {
            Required::Value { keyspace, key, id } => {
                let found = self.value_at(*keyspace, key, first - 1);
                assert_eq!(found, *id, "a write at {first} overtook another of {key:?}");
            }
            Required::Unchanged { keyspace, prefix, since } => {
                for (key, versions) in
                    self.keyspaces[*keyspace].iter().filter(|(key, _)| key.starts_with(prefix))
                {
                    let changed = versions.iter().any(|(seqno, _)| (since + 1..first).contains(seqno));
                    assert!(!changed, "{key:?} was written between {since} and {first}");
                }
            }
        }
    }

    fn check_seen(&self, seen: &Seen) {
        match seen {
            Seen::Get { keyspace, key, at, id } => {
                assert_eq!(self.value_at(*keyspace, key, *at), *id, "get of {key:?} in {keyspace} at {at}");
            }
            Seen::GetNow { keyspace, key, after, before, id } => {
                let versions = self.keyspaces[*keyspace].get(key).map_or(&[][..], |versions| versions);
                let meanwhile = versions.iter().filter(|(seqno, _)| (after + 1..=*before).contains(seqno));
                let mut possible = meanwhile.map(|(_, id)| *id).chain([newest(versions, *after)]);
                assert!(
                    possible.any(|other| other == *id),
                    "get of {key:?} in {keyspace} gave {id:?} between {after} and {before}: {versions:?}"
                );
            }
            Seen::Scan { keyspace, bounds, at, entries, complete } => {
                let expected = self.range_at(*keyspace, bounds, *at);
                compare(entries.iter().map(|(key, id)| (key, *id)), expected, *complete, &|| {
                    format!("scan of {keyspace} at {at} over {bounds:?}")
                });
            }
        }
    }

    /// Everything that a reader at `at` sees, or one now.
    pub fn check_all(&self, keyspaces: &[Keyspace; KEYSPACES], snapshot: &Snapshot, what: &str) {
        let at = snapshot.seqno().0;
        for (n, keyspace) in keyspaces.iter().enumerate() {
            let found: Vec<(Key, ValueId)> = snapshot
                .range(keyspace, ..)
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.key().to_vec(), value_id(&entry.value().unwrap())))
                .collect();
            let everything = (Bound::Unbounded, Bound::Unbounded);
            let expected = self.range_at(n, &everything, at);
            compare(found.iter().map(|(key, id)| (key, *id)), expected, true, &|| {
                format!("{what}: all of {n} at {at}")
            });
            // Point reads go another way: filters, and one table a level.
            for (key, versions) in &self.keyspaces[n] {
                let found = snapshot.get(keyspace, key).unwrap().map(|bytes| value_id(&bytes));
                assert_eq!(found, newest(versions, at), "{what}: get of {key:?} in {n} at {at}");
            }
        }
    }

    /// Whether a crash may leave this: all that was written up to some number, at least the one given, that cuts no batch. Which number
    /// cannot be asked: a flush tells the manifest the newest of its time, so that none is used twice, and what it counts may be lost.
    pub fn check_crashed(&self, keyspaces: &[Keyspace; KEYSPACES], snapshot: &Snapshot, at_least: u64) {
        let newest = snapshot.seqno().0;
        assert!(newest >= at_least, "{at_least} was acknowledged, {newest} is the newest");
        let found: Vec<Entries> = keyspaces
            .iter()
            .map(|keyspace| {
                let entries = snapshot.range(keyspace, ..).map(|entry| entry.unwrap());
                entries.map(|entry| (entry.key().to_vec(), value_id(&entry.value().unwrap()))).collect()
            })
            .collect();
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let is_all_at = |at: u64| (0..KEYSPACES).all(|n| self.entries_at(n, &everything, at) == found[n]);
        // A crash early in a round may leave what was written by the end of the one before.
        let ends = self.batches.values().copied().chain([self.forgotten_until]);
        let mut ends = ends.filter(|last| (at_least..=newest).contains(last));
        let fits = is_all_at(at_least) || ends.any(is_all_at);
        assert!(fits, "after a crash: not all up to any write between {at_least} and {newest}");
    }

    /// Forgets what no reader at `oldest` or later can see.
    pub fn forget_before(&mut self, oldest: Seqno) {
        for versions in self.keyspaces.iter_mut().flat_map(BTreeMap::values_mut) {
            let visible = versions.iter().rposition(|(seqno, _)| *seqno <= oldest.0);
            versions.drain(..visible.unwrap_or(0));
        }
        self.batches = self.batches.split_off(&oldest.0);
        self.forgotten_until = oldest.0;
    }
}

fn newest(versions: &[(u64, Option<ValueId>)], at: u64) -> Option<ValueId> {
    versions.iter().rfind(|(seqno, _)| *seqno <= at)?.1
}

/// Whether two sequences of entries are the same, the second perhaps longer.
fn compare<'a>(
    found: impl Iterator<Item = (&'a Key, ValueId)>,
    mut expected: impl Iterator<Item = (&'a Key, ValueId)>,
    complete: bool,
    what: &dyn Fn() -> String,
) {
    for (n, entry) in found.enumerate() {
        assert_eq!(Some(entry), expected.next(), "{}: entry {n}", what());
    }
    if complete {
        assert_eq!(expected.next(), None, "{}: the end", what());
    }
}
