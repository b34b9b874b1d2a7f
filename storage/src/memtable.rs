//! The memtable: what was written since the last flush, in key order, for all keyspaces together.
//!
//! Entries are only ever added, by many threads at once, and each has a key of its own ((keyspace, user key, tag); the tag holds the
//! sequence number). Readers walk it meanwhile; they skip what is newer than their snapshot. Keys and values are copied in, so what it
//! weighs is known to the byte, whatever buffers the caller's were parts of.
//!
//! Range tombstones are kept apart (`ranges.rs`): they are asked by what lies over a key, not by where they begin.

use crate::batch::Op;
use crate::ranges::{Fragments, GrowingRanges, RangeTombstone};
use crate::skiplist::{NodeRef, Probe, Skiplist};
use crate::types::{FileId, KeyspaceId, Kind, Seqno, Tag};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

pub(crate) struct Memtable {
    /// The first log that holds writes of this memtable.
    pub log: FileId,
    /// The newest write in it or before it; known when it is sealed.
    pub newest: OnceLock<Seqno>,
    /// Wall time when it was begun: nothing in it was written before, but for what a log brought back.
    pub born_ms: u64,
    entries: Skiplist,
    ranges: RwLock<BTreeMap<KeyspaceId, GrowingRanges>>,
    /// Range tombstones in `ranges`: who finds none need not take the lock.
    range_count: AtomicUsize,
    range_bytes: AtomicUsize,
}

/// What a range tombstone weighs beside its ends.
const RANGE_OVERHEAD_BYTES: usize = 160;

impl Memtable {
    pub(crate) fn new(log: FileId, born_ms: u64) -> Self {
        Self {
            log,
            newest: OnceLock::new(),
            born_ms,
            entries: Skiplist::new(),
            ranges: RwLock::default(),
            range_count: AtomicUsize::new(0),
            range_bytes: AtomicUsize::new(0),
        }
    }

    /// What an op will add to [`Self::bytes`], before its tag is known: seldom less, on average two words more.
    pub(crate) fn entry_bytes(op: &Op) -> usize {
        Skiplist::entry_bytes(op.key.len(), op.value.len())
    }

    /// O(log n), for a range tombstone on average. Any number of threads at once.
    pub(crate) fn insert(&self, keyspace: KeyspaceId, user_key: &[u8], tag: Tag, value: &[u8]) {
        if tag.kind() != Some(Kind::RangeTombstone) {
            return self.entries.insert(&Probe::new(keyspace, user_key, tag), value);
        }
        let (start, end) = (Bytes::copy_from_slice(user_key), Bytes::copy_from_slice(value));
        self.range_bytes.fetch_add(start.len() + end.len() + RANGE_OVERHEAD_BYTES, Ordering::Relaxed);
        let mut ranges = self.ranges.write();
        ranges.entry(keyspace).or_default().add(RangeTombstone { start, end, seqno: tag.seqno() });
        self.range_count.fetch_add(1, Ordering::Release);
    }

    fn has_ranges(&self) -> bool {
        self.range_count.load(Ordering::Acquire) > 0
    }

    /// The newest range tombstone over a key that a reader at `seqno` may see.
    pub(crate) fn range_over(&self, keyspace: KeyspaceId, user_key: &[u8], seqno: Seqno) -> Option<Seqno> {
        if !self.has_ranges() {
            return None;
        }
        let ranges = self.ranges.read();
        ranges.get(&keyspace)?.lists().filter_map(|list| list.newest_over(user_key, seqno)).max()
    }

    /// The range tombstones of a keyspace, in several lists.
    pub(crate) fn range_lists(&self, keyspace: KeyspaceId) -> Vec<Arc<Fragments>> {
        if !self.has_ranges() {
            return Vec::new();
        }
        self.ranges.read().get(&keyspace).map_or_else(Vec::new, |ranges| ranges.lists().cloned().collect())
    }

    /// Bytes of memory that the entries take.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes() + self.range_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.has_ranges()
    }

    /// The newest version of a key that a reader at `seqno` may see. O(log n).
    pub(crate) fn get(&self, keyspace: KeyspaceId, user_key: &[u8], seqno: Seqno) -> Option<(Tag, Bytes)> {
        let from = Probe::new(keyspace, user_key, Tag::seek(seqno));
        let node = self.entries.at_or_after(&from).filter(|node| self.entries.is_of(*node, &from))?;
        Some((self.entries.tag(node), self.entries.value(node)))
    }

    /// The keyspaces that have entries, ascending. O(keyspaces · log n).
    pub(crate) fn keyspaces(&self) -> Vec<KeyspaceId> {
        let mut found = Vec::new();
        let mut from = KeyspaceId(0);
        while let Some(node) = self.entries.at_or_after(&Probe::new(from, b"", Tag(u64::MAX))) {
            let keyspace = self.entries.keyspace(node);
            found.push(keyspace);
            let Some(next) = keyspace.0.checked_add(1) else { break };
            from = KeyspaceId(next);
        }
        found.extend(self.ranges.read().keys().copied());
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// A cursor over one keyspace of a memtable.
pub(crate) struct MemtableIter {
    table: Arc<Memtable>,
    keyspace: KeyspaceId,
    node: Option<NodeRef>,
    /// The user key of `node`: in the list it lies in words.
    key: Vec<u8>,
}

impl MemtableIter {
    pub(crate) fn new(table: Arc<Memtable>, keyspace: KeyspaceId) -> Self {
        Self { table, keyspace, node: None, key: Vec::new() }
    }

    /// Goes to the first entry at or after an internal key. O(log n).
    pub(crate) fn seek(&mut self, user_key: &[u8], tag: Tag) {
        let node = self.table.entries.at_or_after(&Probe::new(self.keyspace, user_key, tag));
        self.enter(node);
    }

    /// Goes to the last entry before an internal key, or of all. O(log n).
    pub(crate) fn seek_before(&mut self, before: Option<(&[u8], Tag)>) {
        let probe = match before {
            Some((user_key, tag)) => Probe::new(self.keyspace, user_key, tag),
            // The manifest never gives the last number to a keyspace.
            None => Probe::new(KeyspaceId(self.keyspace.0.saturating_add(1)), b"", Tag(u64::MAX)),
        };
        let node = self.table.entries.before(&probe);
        self.enter(node);
    }

    fn enter(&mut self, node: Option<NodeRef>) {
        let entries = &self.table.entries;
        self.node = node.filter(|node| entries.keyspace(*node) == self.keyspace);
        if let Some(node) = self.node {
            entries.copy_key(node, &mut self.key);
        }
    }

    pub(crate) fn key(&self) -> Option<(&[u8], Tag)> {
        self.node.map(|node| (&self.key[..], self.table.entries.tag(node)))
    }

    pub(crate) fn value(&self) -> Bytes {
        self.node.map(|node| self.table.entries.value(node)).unwrap_or_default()
    }

    /// O(1).
    pub(crate) fn next(&mut self) {
        if let Some(node) = self.node {
            let next = self.table.entries.after(node);
            self.enter(next);
        }
    }

    /// O(log n): links lead forward only.
    pub(crate) fn prev(&mut self) {
        if let Some(node) = self.node {
            let entries = &self.table.entries;
            let before = entries.before(&Probe::new(self.keyspace, &self.key, entries.tag(node)));
            self.enter(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Arc<Memtable> {
        let table = Memtable::new(FileId(1), 0);
        for (keyspace, key, seqno) in [(1, "a", 1), (1, "a", 5), (1, "b", 3), (2, "a", 4)] {
            let tag = Tag::new(Seqno(seqno), Kind::Value);
            table.insert(KeyspaceId(keyspace), key.as_bytes(), tag, format!("{key}{seqno}").as_bytes());
        }
        Arc::new(table)
    }

    #[test]
    fn a_reader_sees_the_newest_version_it_may() {
        let table = table();
        let get = |keyspace, key: &'static str, seqno| {
            table.get(KeyspaceId(keyspace), key.as_bytes(), Seqno(seqno)).map(|(_, value)| value)
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
        iter.seek_before(None);
        seen.clear();
        while iter.key().is_some() {
            seen.push(iter.value());
            iter.prev();
        }
        assert_eq!(seen, ["b3", "a1", "a5"]);
        iter.seek_before(Some((b"a", Tag::seek(Seqno(4)))));
        assert_eq!(iter.value(), "a5");
    }
}
