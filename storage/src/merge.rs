//! The merging iterator: many sorted sources, one sorted stream, through a tree of losers, forward or backward.
//!
//! Each inner node of the tree keeps the loser of the match between its two sides; the root's winner is the smallest
//! entry. After the winner advances only the matches on its path are played again: one comparison a level (Knuth, TAOCP
//! vol. 3, 5.4.1), half of what a binary heap needs. Sources are an enum: no call through a table of functions an entry.

use crate::error::Result;
use crate::memtable::MemtableIter;
use crate::ranges::RangeView;
use crate::sst::{Caching, Properties, Table, TableIter};
use crate::types::{KeyspaceId, Seqno, Tag, cmp_internal};
use crate::version::{ReadState, Tree};
use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

pub(crate) enum Source {
    Memtable(MemtableIter),
    Table(TableIter),
    Level(LevelIter),
}

impl Source {
    fn key(&self) -> Option<(&[u8], Tag)> {
        match self {
            Self::Memtable(iter) => iter.key(),
            Self::Table(iter) => iter.key(),
            Self::Level(iter) => iter.key(),
        }
    }

    fn value(&self) -> Bytes {
        match self {
            Self::Memtable(iter) => iter.value(),
            Self::Table(iter) => iter.value(),
            Self::Level(iter) => iter.table.as_ref().map(TableIter::value).unwrap_or_default(),
        }
    }

    /// Memory of blocks and keys; a memtable's entries are not copied.
    fn held_bytes(&self) -> usize {
        match self {
            Self::Memtable(_) => 0,
            Self::Table(iter) => iter.held_bytes(),
            Self::Level(iter) => iter.table.as_ref().map_or(0, TableIter::held_bytes),
        }
    }

    fn seek(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        match self {
            Self::Memtable(iter) => iter.seek(user_key, tag),
            Self::Table(iter) => iter.seek(user_key, tag)?,
            Self::Level(iter) => iter.seek(user_key, tag)?,
        }
        Ok(())
    }

    fn seek_before(&mut self, before: Option<(&[u8], Tag)>) -> Result<()> {
        match self {
            Self::Memtable(iter) => iter.seek_before(before),
            Self::Table(iter) => iter.seek_before(before)?,
            Self::Level(iter) => iter.seek_before(before)?,
        }
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        match self {
            Self::Memtable(iter) => iter.next(),
            Self::Table(iter) => iter.next()?,
            Self::Level(iter) => iter.next()?,
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        match self {
            Self::Memtable(iter) => iter.prev(),
            Self::Table(iter) => iter.prev()?,
            Self::Level(iter) => iter.prev()?,
        }
        Ok(())
    }
}

/// Tables of one sorted level: of a tree, without a copy of the list, or a choice of them.
enum Run {
    Level(Arc<Tree>, usize),
    Chosen(Vec<Arc<Table>>),
}

impl Run {
    fn tables(&self) -> &[Arc<Table>] {
        match self {
            Self::Level(tree, level) => tree.levels.get(*level).map_or(&[], |tables| tables),
            Self::Chosen(tables) => tables,
        }
    }
}

/// The tables of one sorted level, one after the other, opened as they are reached.
pub(crate) struct LevelIter {
    run: Run,
    caching: Caching,
    at: usize,
    table: Option<TableIter>,
    hidden: Option<Hidden>,
}

/// What range tombstones hide from a reader at a sequence number: tables of which nothing is to be seen are passed over.
pub(crate) type Hidden = (Arc<RangeView>, Seqno);

impl LevelIter {
    /// Over tables that are sorted and disjoint.
    pub(crate) fn new(tables: Vec<Arc<Table>>, caching: Caching) -> Self {
        Self { run: Run::Chosen(tables), caching, at: 0, table: None, hidden: None }
    }

    fn of_tree(tree: Arc<Tree>, level: usize, hidden: Option<Hidden>) -> Self {
        Self { run: Run::Level(tree, level), caching: Caching::Use, at: 0, table: None, hidden }
    }

    /// A cursor over a table, if there is anything to be seen.
    fn open(&self, table: &Arc<Table>) -> Option<TableIter> {
        let Properties { smallest, largest, seqno_max, .. } = &table.properties;
        let is_hidden = |(view, at): &Hidden| view.hides_all(smallest, largest, *seqno_max, *at);
        let is_hidden = self.hidden.as_ref().is_some_and(is_hidden);
        (!is_hidden).then(|| TableIter::new(table.clone(), self.caching))
    }

    fn key(&self) -> Option<(&[u8], Tag)> {
        self.table.as_ref()?.key()
    }

    fn seek(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        self.at = self.run.tables().partition_point(|table| table.properties.ends_before(user_key));
        self.enter_forward(|table| table.seek(user_key, tag))
    }

    fn seek_before(&mut self, before: Option<(&[u8], Tag)>) -> Result<()> {
        let tables = self.run.tables();
        self.at = before.map_or(tables.len(), |(user_key, _)| {
            tables.partition_point(|table| &table.properties.smallest[..] <= user_key)
        });
        self.enter_backward(|table| table.seek_before(before))
    }

    fn next(&mut self) -> Result<()> {
        let Some(table) = &mut self.table else { return Ok(()) };
        table.next()?;
        if table.key().is_none() {
            self.at += 1;
            self.enter_forward(|table| table.seek(b"", Tag(u64::MAX)))?;
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        let Some(table) = &mut self.table else { return Ok(()) };
        table.prev()?;
        if table.key().is_none() {
            self.enter_backward(|table| table.seek_before(None))?;
        }
        Ok(())
    }

    /// Enters the first table from `at` on that has something.
    fn enter_forward(&mut self, seek: impl Fn(&mut TableIter) -> Result<()>) -> Result<()> {
        self.table = None;
        while let Some(table) = self.run.tables().get(self.at) {
            if let Some(mut iter) = self.open(table) {
                seek(&mut iter)?;
                if iter.key().is_some() {
                    self.table = Some(iter);
                    return Ok(());
                }
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Enters the last table before `at` that has something.
    fn enter_backward(&mut self, seek: impl Fn(&mut TableIter) -> Result<()>) -> Result<()> {
        self.table = None;
        while let Some(at) = self.at.checked_sub(1) {
            self.at = at;
            let Some(table) = self.run.tables().get(at) else { return Ok(()) };
            let Some(mut iter) = self.open(table) else { continue };
            seek(&mut iter)?;
            if iter.key().is_some() {
                self.table = Some(iter);
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Everything of one keyspace in a read state that can be in a range, deletions and old versions included; but range tombstones, and what
/// is in tables that they hide as a whole. Levels are not cut: who
/// seeks inside the range reads nothing outside of it but what lies in the same tables.
pub(crate) fn sources(
    state: &ReadState,
    keyspace: KeyspaceId,
    range: (Bound<&[u8]>, Bound<&[u8]>),
    hidden: Option<Hidden>,
) -> Vec<Source> {
    let memtables = state.memtables().filter(|memtable| !memtable.is_empty());
    let mut sources: Vec<Source> =
        memtables.map(|memtable| Source::Memtable(MemtableIter::new(memtable.clone(), keyspace))).collect();
    if let Some(tree) = state.tree(keyspace) {
        let (top, deeper) = tree.levels.split_at(1);
        let top = top.iter().flatten().filter(|table| table.properties.meets(range));
        sources.extend(top.map(|table| Source::Table(TableIter::new(table.clone(), Caching::Use))));
        let deeper = (1..).zip(deeper).filter(|(_, tables)| !tables.is_empty());
        sources.extend(
            deeper.map(|(level, _)| Source::Level(LevelIter::of_tree(tree.clone(), level, hidden.clone()))),
        );
    }
    sources
}

/// Goes on in the direction of its last seek.
pub(crate) struct MergeIter {
    sources: Vec<Source>,
    /// `tree[0]` is the winner; `tree[1..]` the losers. Source `i` is the leaf `sources.len() + i`.
    tree: Vec<usize>,
    /// What wins: `Less` going forward, `Greater` going backward.
    winning: Ordering,
}

const NOBODY: usize = usize::MAX;

impl MergeIter {
    /// Not yet anywhere: seek first.
    pub(crate) fn new(sources: Vec<Source>) -> Self {
        let tree = vec![NOBODY; sources.len()];
        Self { sources, tree, winning: Ordering::Less }
    }

    /// Goes to the first entry at or after an internal key. O(n log n) for n sources.
    pub(crate) fn seek(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        self.winning = Ordering::Less;
        self.sources.iter_mut().try_for_each(|source| source.seek(user_key, tag))?;
        self.play_all();
        Ok(())
    }

    /// Goes to the last entry before an internal key, or of all. O(n log n) for n sources.
    pub(crate) fn seek_before(&mut self, before: Option<(&[u8], Tag)>) -> Result<()> {
        self.winning = Ordering::Greater;
        self.sources.iter_mut().try_for_each(|source| source.seek_before(before))?;
        self.play_all();
        Ok(())
    }

    fn play_all(&mut self) {
        self.tree.fill(NOBODY);
        (0..self.sources.len()).for_each(|source| self.play(source));
    }

    fn winner(&self) -> Option<&Source> {
        self.sources.get(*self.tree.first()?)
    }

    pub(crate) fn key(&self) -> Option<(&[u8], Tag)> {
        self.winner()?.key()
    }

    /// Memory of the blocks and keys that the cursors are in. O(n) for n sources.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of_val(&self.sources[..]) + self.sources.iter().map(Source::held_bytes).sum::<usize>()
    }

    /// Which of the sources the entry under the cursor is from.
    pub(crate) fn source(&self) -> usize {
        self.tree.first().copied().unwrap_or(NOBODY)
    }

    pub(crate) fn value(&self) -> Bytes {
        self.winner().map(Source::value).unwrap_or_default()
    }

    /// After [`Self::seek`]. O(log n) comparisons.
    pub(crate) fn next(&mut self) -> Result<()> {
        self.step(Source::next)
    }

    /// After [`Self::seek_before`]. O(log n) comparisons.
    pub(crate) fn prev(&mut self) -> Result<()> {
        self.step(Source::prev)
    }

    fn step(&mut self, step: impl FnOnce(&mut Source) -> Result<()>) -> Result<()> {
        let Some(&winner) = self.tree.first() else { return Ok(()) };
        if let Some(source) = self.sources.get_mut(winner) {
            step(source)?;
            self.play(winner);
        }
        Ok(())
    }

    /// Plays the matches from a leaf to the root. While the tree is being built a side may still be empty: its first comer
    /// waits there.
    fn play(&mut self, source: usize) {
        let mut contender = source;
        let mut node = (source + self.sources.len()) / 2;
        while node > 0 {
            let Some(&waiting) = self.tree.get(node) else { return };
            let stays =
                if waiting == NOBODY || self.is_before(waiting, contender) { contender } else { waiting };
            if let Some(slot) = self.tree.get_mut(node) {
                *slot = stays;
            }
            if waiting == NOBODY {
                return;
            }
            if stays == contender {
                contender = waiting;
            }
            node /= 2;
        }
        if let Some(root) = self.tree.first_mut() {
            *root = contender;
        }
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        let key = |source: usize| self.sources.get(source).and_then(Source::key);
        match (key(a), key(b)) {
            (Some(a), Some(b)) => cmp_internal(a, b) == self.winning,
            (a, _) => a.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Memtable;
    use crate::types::{FileId, Kind};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_merge_is_the_sorted_union(sources in prop::collection::vec(prop::collection::btree_set(0u16..500, 0..60), 0..9), from in 0u16..500) {
            let mut seqno = 0;
            let mut expected = BTreeSet::new();
            let iters = sources.iter().map(|keys| {
                let memtable = Memtable::new(FileId(1), 0);
                for key in keys {
                    seqno += 1;
                    expected.insert((*key, std::cmp::Reverse(seqno)));
                    memtable.insert(KeyspaceId(1), &key.to_be_bytes(), Tag::new(Seqno(seqno), Kind::Value), b"");
                }
                Source::Memtable(MemtableIter::new(Arc::new(memtable), KeyspaceId(1)))
            });
            let mut merged = MergeIter::new(iters.collect());
            for from in [0, from] {
                merged.seek(&from.to_be_bytes(), Tag(u64::MAX)).unwrap();
                let mut found = Vec::new();
                while let Some((key, tag)) = merged.key() {
                    found.push((u16::from_be_bytes(key.try_into().unwrap()), std::cmp::Reverse(tag.seqno().0)));
                    merged.next().unwrap();
                }
                let expected: Vec<_> = expected.iter().copied().filter(|(key, _)| *key >= from).collect();
                prop_assert_eq!(found, expected);
            }
            for before in [None, Some(from)] {
                let bytes = from.to_be_bytes();
                merged.seek_before(before.map(|_| (&bytes[..], Tag(u64::MAX)))).unwrap();
                let mut found = Vec::new();
                while let Some((key, tag)) = merged.key() {
                    found.push((u16::from_be_bytes(key.try_into().unwrap()), std::cmp::Reverse(tag.seqno().0)));
                    merged.prev().unwrap();
                }
                let is_before = |key: u16| before.is_none_or(|before| key < before);
                let expected: Vec<_> = expected.iter().copied().filter(|(key, _)| is_before(*key)).rev().collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
