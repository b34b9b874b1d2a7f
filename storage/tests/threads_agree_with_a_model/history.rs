//! The one true history of all writes, and whether what was seen fits it.

use patina_storage::{Entry, Keyspace, Seqno, Snapshot};
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

pub const KEYSPACES: usize = 2;

/// A value in eight bytes: a number that no other value has, whether it is long, and a length.
pub type ValueId = u64;
pub const VALUE_BYTES_MAX: u64 = (1 << 14) - 1;
/// A value that is streamed, as it does not fit into one chunk, is so much longer.
pub const LONG_VALUE: ValueId = 1 << 14;
const LONG_BYTES: u64 = 270_000;
pub const FIRST_NUMBER_BIT: u32 = 15;

/// The bytes of a value: its number, then bytes that depend on it.
pub fn value(id: ValueId) -> Vec<u8> {
    // Runs of equal bytes, longer ones in a long value, which would take too long to make otherwise.
    let (long_bytes, run) = if id & LONG_VALUE == 0 { (0, 5) } else { (LONG_BYTES, 1000) };
    let len = (long_bytes + (id & VALUE_BYTES_MAX)).max(8) as usize;
    let mut bytes = id.to_le_bytes().to_vec();
    while bytes.len() < len {
        let at = bytes.len();
        let filler = (id >> FIRST_NUMBER_BIT).wrapping_mul(31).wrapping_add(at as u64 / 5) as u8;
        bytes.resize(len.min(at + run), filler);
    }
    bytes
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
    Set {
        keyspace: usize,
        key: Key,
        id: Option<ValueId>,
    },
    /// All keys from the first up to but not including the second.
    RemoveRange {
        keyspace: usize,
        start: Key,
        end: Key,
    },
    /// What was ingested: one write of many keys.
    Load {
        keyspace: usize,
        entries: Entries,
    },
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
    /// No write of the key since.
    Unwritten { keyspace: usize, key: Key, since: u64 },
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
    /// The first entries of a range, and the last, the last first.
    Scan {
        keyspace: usize,
        bounds: Bounds,
        at: u64,
        front: Entries,
        back: Entries,
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
                    Op::RemoveRange { keyspace, start, end } => {
                        let range = self.keyspaces[*keyspace].range_mut(start.clone()..end.clone());
                        range.for_each(|(_, versions)| versions.push((seqno, None)));
                    }
                    Op::Load { keyspace, entries } => {
                        entries.iter().for_each(|(key, id)| self.set(*keyspace, key, seqno, Some(*id)));
                    }
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
        let all = self.keyspaces[keyspace].iter().filter(|(key, _)| bounds.contains(*key));
        all.filter_map(move |(key, versions)| Some((key.clone(), newest(versions, at)?))).collect()
    }

    fn check_required(&self, required: &Required, first: u64) {
        match required {
            Required::Value { keyspace, key, id } => {
                let found = self.value_at(*keyspace, key, first - 1);
                let versions = self.keyspaces[*keyspace].get(key);
                assert_eq!(found, *id, "a write at {first} overtook another of {key:?}: {versions:?}");
            }
            Required::Unchanged { keyspace, prefix, since } => {
                let under = self.keyspaces[*keyspace].iter().filter(|(key, _)| key.starts_with(prefix));
                for (key, versions) in under {
                    let changed = changed_between(versions, *since, first);
                    assert!(!changed, "{key:?} was written between {since} and {first}");
                }
            }
            Required::Unwritten { keyspace, key, since } => {
                let versions = self.keyspaces[*keyspace].get(key);
                let changed = versions.is_some_and(|versions| changed_between(versions, *since, first));
                assert!(!changed, "{key:?} was written between {since} and {first}, a commit");
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
            Seen::Scan { keyspace, bounds, at, front, back, complete } => {
                let expected = self.entries_at(*keyspace, bounds, *at);
                compare(front, back, &expected, *complete, &|| {
                    format!("scan of {keyspace} at {at} over {bounds:?}")
                });
            }
        }
    }

    /// Everything that a reader at `at` sees, or one now.
    pub fn check_all(&self, keyspaces: &[Keyspace; KEYSPACES], snapshot: &Snapshot, what: &str) {
        let at = snapshot.seqno().0;
        for (n, keyspace) in keyspaces.iter().enumerate() {
            let entry = |entry: patina_storage::Result<Entry>| {
                let entry = entry.unwrap();
                (entry.key().to_vec(), value_id(&entry.value().unwrap()))
            };
            let expected = self.entries_at(n, &(Bound::Unbounded, Bound::Unbounded), at);
            let what_all = || format!("{what}: all of {n} at {at}");
            let forward: Entries = snapshot.range(keyspace, ..).map(entry).collect();
            compare(&forward, &[], &expected, true, &what_all);
            let backward: Entries = snapshot.range(keyspace, ..).rev().map(entry).collect();
            compare(&[], &backward, &expected, true, &what_all);
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
        let difference_at = |at: u64| {
            (0..KEYSPACES).find_map(|n| {
                let expected = self.entries_at(n, &everything, at);
                let same = found[n].iter().zip(&expected).take_while(|(a, b)| a == b).count();
                let is_all = same == expected.len() && same == found[n].len();
                (!is_all)
                    .then(|| format!("at {at}, {n}: {:?}, not {:?}", found[n].get(same), expected.get(same)))
            })
        };
        // A crash early in a round may leave what was written by the end of the one before.
        let ends = self.batches.values().copied().chain([self.forgotten_until]);
        let ends = ends.filter(|last| (at_least..=newest).contains(last));
        let differences: Vec<_> = [at_least].into_iter().chain(ends).map(difference_at).collect();
        assert!(
            differences.iter().any(Option::is_none),
            "after a crash: not all up to any write between {at_least} and {newest}: {differences:?}"
        );
    }

    /// Forgets what no reader at `oldest` or later can see.
    pub fn forget_before(&mut self, oldest: Seqno) {
        for versions in self.keyspaces.iter_mut().flat_map(BTreeMap::values_mut) {
            let visible = versions.iter().rposition(|(seqno, _)| *seqno <= oldest.0);
            versions.drain(..visible.unwrap_or(0));
        }
        // Numbers that no batch has may follow it, and a crash forgets these.
        if let Some((_, last)) = self.batches.range(..=oldest.0).next_back() {
            self.forgotten_until = *last;
        }
        self.batches = self.batches.split_off(&oldest.0);
    }
}

/// Whether a key got another value after `since` and before `end`. Removing what is not there changes nothing.
fn changed_between(versions: &[(u64, Option<ValueId>)], since: u64, end: u64) -> bool {
    let before = newest(versions, since);
    let meanwhile = versions.iter().filter(|(seqno, _)| (since + 1..end).contains(seqno));
    meanwhile.map(|(_, id)| *id).any(|id| id != before)
}

fn newest(versions: &[(u64, Option<ValueId>)], at: u64) -> Option<ValueId> {
    versions.iter().rfind(|(seqno, _)| *seqno <= at)?.1
}

/// Whether `front` begins the expected entries and `back` ends them, the last first, without meeting; and all are there if `complete`.
fn compare(
    front: &[(Key, ValueId)],
    back: &[(Key, ValueId)],
    expected: &[(Key, ValueId)],
    complete: bool,
    what: &dyn Fn() -> String,
) {
    for (n, entry) in front.iter().enumerate() {
        assert_eq!(Some(entry), expected.get(n), "{}: entry {n}", what());
    }
    for (n, entry) in back.iter().enumerate() {
        assert_eq!(Some(entry), expected.iter().nth_back(n), "{}: entry {n} from the end", what());
    }
    let found = front.len() + back.len();
    assert!(found <= expected.len(), "{}: {found} entries of {}", what(), expected.len());
    assert!(!complete || found == expected.len(), "{}: {found} entries of {}", what(), expected.len());
}
