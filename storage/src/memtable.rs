//! The memtable: what was written since the last flush, in key order, for all keyspaces together.
//!
//! Entries are only ever added, and each has a key of its own ((keyspace, user key, tag); the tag holds the sequence
//! number). That matters: the skiplist leaks entries that a `range` touched and that are later replaced or removed.
//! The design's next step, an arena skiplist, replaces the inside of this file and nothing else.
//!
//! Readers walk it while the writer inserts; they skip what is newer than their snapshot.

use crate::types::{FileId, KeyspaceId, Seqno, Tag};
use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as Memory};

#[derive(Clone, Debug, PartialEq, Eq)]
struct MemKey {
    keyspace: KeyspaceId,
    user_key: Bytes,
    tag: Tag,
}

impl Ord for MemKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.keyspace
            .cmp(&other.keyspace)
            .then_with(|| self.user_key.cmp(&other.user_key))
            .then_with(|| other.tag.cmp(&self.tag))
    }
}

impl PartialOrd for MemKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub(crate) struct Memtable {
    /// The first log that holds writes of this memtable.
    pub log: FileId,
    entries: SkipMap<MemKey, Bytes>,
    bytes: AtomicUsize,
}

/// What an entry costs beside its key and value: skiplist node, two `Bytes`, allocator.
const ENTRY_OVERHEAD_BYTES: usize = 120;

impl Memtable {
    pub(crate) fn new(log: FileId) -> Self {
        Self { log, entries: SkipMap::new(), bytes: AtomicUsize::new(0) }
    }

    pub(crate) fn insert(&self, keyspace: KeyspaceId, user_key: Bytes, tag: Tag, value: Bytes) {
        let bytes = user_key.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        self.entries.insert(MemKey { keyspace, user_key, tag }, value);
        self.bytes.fetch_add(bytes, Memory::Relaxed);
    }

    /// Bytes of memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Memory::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The newest version of a key that a reader at `seqno` may see. O(log n).
    pub(crate) fn get(&self, keyspace: KeyspaceId, user_key: &Bytes, seqno: Seqno) -> Option<(Tag, Bytes)> {
        let from = MemKey { keyspace, user_key: user_key.clone(), tag: Tag::seek(seqno) };
        let entry = self.entries.lower_bound(Bound::Included(&from))?;
        let key = entry.key();
        let found = key.keyspace == keyspace && key.user_key == user_key;
        found.then(|| (key.tag, entry.value().clone()))
    }

    /// The keyspaces that have entries, ascending. O(keyspaces · log n).
    pub(crate) fn keyspaces(&self) -> Vec<KeyspaceId> {
        let mut found = Vec::new();
        let mut from = KeyspaceId(0);
        while let Some(entry) = self.entries.lower_bound(Bound::Included(&MemKey {
            keyspace: from,
            user_key: Bytes::new(),
            tag: Tag(u64::MAX),
        })) {
            let keyspace = entry.key().keyspace;
            found.push(keyspace);
            let Some(next) = keyspace.0.checked_add(1) else { break };
            from = KeyspaceId(next);
        }
        found
    }
}

/// A cursor over one keyspace of a memtable. Entries are copied out some dozens at a time (cheap: reference counts), as
/// a cursor of the skiplist itself cannot outlive the call that made it.
pub(crate) struct MemtableIter {
    table: Arc<Memtable>,
    keyspace: KeyspaceId,
    ready: VecDeque<(Bytes, Tag, Bytes)>,
}

impl MemtableIter {
    const BATCH: usize = 64;

    pub(crate) fn new(table: Arc<Memtable>, keyspace: KeyspaceId) -> Self {
        Self { table, keyspace, ready: VecDeque::new() }
    }

    /// Goes to the first entry at or after an internal key.
    pub(crate) fn seek(&mut self, user_key: &[u8], tag: Tag) {
        let from = MemKey { keyspace: self.keyspace, user_key: Bytes::copy_from_slice(user_key), tag };
        self.fill(Bound::Included(from));
    }

    fn fill(&mut self, from: Bound<MemKey>) {
        self.ready.clear();
        for entry in self.table.entries.range((from, Bound::Unbounded)).take(Self::BATCH) {
            let key = entry.key();
            if key.keyspace != self.keyspace {
                break;
            }
            self.ready.push_back((key.user_key.clone(), key.tag, entry.value().clone()));
        }
    }

    pub(crate) fn key(&self) -> Option<(&[u8], Tag)> {
        self.ready.front().map(|(user_key, tag, _)| (&user_key[..], *tag))
    }

    pub(crate) fn value(&self) -> Bytes {
        self.ready.front().map(|(_, _, value)| value.clone()).unwrap_or_default()
    }

    pub(crate) fn next(&mut self) {
        if let Some((user_key, tag, _)) = self.ready.pop_front()
            && self.ready.is_empty()
        {
            self.fill(Bound::Excluded(MemKey { keyspace: self.keyspace, user_key, tag }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Kind;

    fn table() -> Arc<Memtable> {
        let table = Memtable::new(FileId(1));
        for (keyspace, key, seqno) in [(1, "a", 1), (1, "a", 5), (1, "b", 3), (2, "a", 4)] {
            let tag = Tag::new(Seqno(seqno), Kind::Value);
            table.insert(KeyspaceId(keyspace), Bytes::from(key), tag, Bytes::from(format!("{key}{seqno}")));
        }
        Arc::new(table)
    }

    #[test]
    fn a_reader_sees_the_newest_version_it_may() {
        let table = table();
        let get = |keyspace, key: &'static str, seqno| {
            table.get(KeyspaceId(keyspace), &Bytes::from(key), Seqno(seqno)).map(|(_, value)| value)
        };
        assert_eq!(get(1, "a", 9).unwrap(), "a5");
        assert_eq!(get(1, "a", 4).unwrap(), "a1");
        assert_eq!(get(1, "a", 0), None);
        assert_eq!(get(1, "c", 9), None);
        assert_eq!(get(2, "b", 9), None);
        assert_eq!(table.keyspaces(), [KeyspaceId(1), KeyspaceId(2)]);
    }

    #[test]
    fn a_cursor_stays_in_its_keyspace() {
        let mut iter = MemtableIter::new(table(), KeyspaceId(1));
        iter.seek(b"", Tag(u64::MAX));
        let mut seen = Vec::new();
        while iter.key().is_some() {
            seen.push(iter.value());
            iter.next();
        }
        assert_eq!(seen, ["a5", "a1", "b3"]);
    }

    #[test]
    fn a_cursor_crosses_its_batches() {
        let table = Memtable::new(FileId(1));
        for i in 0..1000u64 {
            let key = Bytes::from(format!("{i:04}"));
            table.insert(KeyspaceId(1), key, Tag::new(Seqno(i), Kind::Value), Bytes::new());
        }
        let mut iter = MemtableIter::new(Arc::new(table), KeyspaceId(1));
        iter.seek(b"0100", Tag(u64::MAX));
        let mut count = 0;
        while iter.key().is_some() {
            count += 1;
            iter.next();
        }
        assert_eq!(count, 900);
    }
}
