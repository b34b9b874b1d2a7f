//! The merging iterator: many sorted sources, one sorted stream, through a tree of losers.
//!
//! Each inner node of the tree keeps the loser of the match between its two sides; the root's winner is the smallest
//! entry. After the winner advances only the matches on its path are played again: one comparison a level (Knuth, TAOCP
//! vol. 3, 5.4.1), half of what a binary heap needs. Sources are an enum: no call through a table of functions an entry.

use crate::error::Result;
use crate::memtable::MemtableIter;
use crate::sst::{Caching, Table, TableIter};
use crate::types::{KeyspaceId, Tag, cmp_internal};
use crate::version::{ReadState, Tree};
use bytes::Bytes;
use std::cmp::Ordering;
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

    fn seek(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        match self {
            Self::Memtable(iter) => iter.seek(user_key, tag),
            Self::Table(iter) => iter.seek(user_key, tag)?,
            Self::Level(iter) => iter.seek(user_key, tag)?,
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
}

/// The tables of one sorted level, one after the other, opened as they are reached.
pub(crate) struct LevelIter {
    tables: Vec<Arc<Table>>,
    caching: Caching,
    at: usize,
    table: Option<TableIter>,
}

impl LevelIter {
    pub(crate) fn new(tables: Vec<Arc<Table>>, caching: Caching) -> Self {
        Self { tables, caching, at: 0, table: None }
    }

    fn key(&self) -> Option<(&[u8], Tag)> {
        self.table.as_ref()?.key()
    }

    fn seek(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        self.at = self.tables.partition_point(|table| &table.properties.largest[..] < user_key);
        self.enter(user_key, tag)
    }

    fn next(&mut self) -> Result<()> {
        if let Some(table) = &mut self.table {
            table.next()?;
        }
        if self.key().is_none() && self.table.is_some() {
            self.at += 1;
            self.enter(b"", Tag(u64::MAX))?;
        }
        Ok(())
    }

    fn enter(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        self.table = None;
        while let Some(table) = self.tables.get(self.at) {
            let mut iter = TableIter::new(table.clone(), self.caching);
            iter.seek(user_key, tag)?;
            if iter.key().is_some() {
                self.table = Some(iter);
                return Ok(());
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// Everything under one keyspace in a read state, deletions and old versions included.
pub(crate) fn sources(state: &ReadState, keyspace: KeyspaceId) -> Vec<Source> {
    let memtables = state.memtables().filter(|memtable| !memtable.is_empty());
    let mut sources: Vec<Source> =
        memtables.map(|memtable| Source::Memtable(MemtableIter::new(memtable.clone(), keyspace))).collect();
    if let Some(tree) = state.tree(keyspace) {
        sources.extend(tree_sources(tree));
    }
    sources
}

fn tree_sources(tree: &Tree) -> impl Iterator<Item = Source> {
    let (top, deeper) = tree.levels.split_at(1);
    let top = top.iter().flatten().map(|table| Source::Table(TableIter::new(table.clone(), Caching::Use)));
    let deeper = deeper.iter().filter(|level| !level.is_empty());
    top.chain(deeper.map(|level| Source::Level(LevelIter::new(level.clone(), Caching::Use))))
}

pub(crate) struct MergeIter {
    sources: Vec<Source>,
    /// `tree[0]` is the winner; `tree[1..]` the losers. Source `i` is the leaf `sources.len() + i`.
    tree: Vec<usize>,
}

const NOBODY: usize = usize::MAX;

impl MergeIter {
    /// Not yet anywhere: seek first.
    pub(crate) fn new(sources: Vec<Source>) -> Self {
        let tree = vec![NOBODY; sources.len()];
        Self { sources, tree }
    }

    /// Goes to the first entry at or after an internal key. O(n log n) for n sources.
    pub(crate) fn seek(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        for source in &mut self.sources {
            source.seek(user_key, tag)?;
        }
        self.tree.fill(NOBODY);
        for source in 0..self.sources.len() {
            self.play(source);
        }
        Ok(())
    }

    fn winner(&self) -> Option<&Source> {
        self.sources.get(*self.tree.first()?)
    }

    pub(crate) fn key(&self) -> Option<(&[u8], Tag)> {
        self.winner()?.key()
    }

    /// Which of the sources the entry under the cursor is from.
    pub(crate) fn source(&self) -> usize {
        self.tree.first().copied().unwrap_or(NOBODY)
    }

    pub(crate) fn value(&self) -> Bytes {
        self.winner().map(Source::value).unwrap_or_default()
    }

    /// O(log n) comparisons.
    pub(crate) fn next(&mut self) -> Result<()> {
        let Some(&winner) = self.tree.first() else { return Ok(()) };
        if let Some(source) = self.sources.get_mut(winner) {
            source.next()?;
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
            (Some(a), Some(b)) => cmp_internal(a, b) == Ordering::Less,
            (a, _) => a.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Memtable;
    use crate::types::{FileId, Kind, Seqno};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_merge_is_the_sorted_union(sources in prop::collection::vec(prop::collection::btree_set(0u16..500, 0..60), 0..9), from in 0u16..500) {
            let mut seqno = 0;
            let mut expected = BTreeSet::new();
            let iters = sources.iter().map(|keys| {
                let memtable = Memtable::new(FileId(1));
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
        }
    }
}
