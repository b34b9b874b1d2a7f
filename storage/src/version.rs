//! Versions: which tables make up each keyspace, immutable and shared.
//!
//! A reader takes one [`ReadState`] and works on it to the end; a flush or compaction makes a new one, copying only what changes. The
//! tables that it drops stay on disk for whoever still holds the old state.

use crate::compaction::Facts;
use crate::error::{Error, ErrorKind, Result};
use crate::memtable::Memtable;
use crate::ranges::{Fragments, RangeView};
use crate::sst::Table;
use crate::types::{FileId, KeyspaceId, Kind, Seqno, Tag};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

pub(crate) const LEVELS: usize = 7;

/// Level 0 may overlap, newest first; each deeper level is sorted and disjoint in user keys.
pub(crate) type Levels<T> = [Vec<Arc<T>>; LEVELS];

/// The tables of one keyspace.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    pub levels: Levels<Table>,
    /// Since when the keyspace is no part of the database any more. Only snapshots that are older may look at it, and when none is left
    /// the tree goes.
    pub dropped_at: Option<Seqno>,
    /// The range tombstones of all tables in one list, made when it is first asked for.
    ranges: OnceLock<Arc<Fragments>>,
}

/// Bytes of a level's tables. O(tables).
pub(crate) fn level_bytes<T: Facts>(levels: &Levels<T>, level: usize) -> u64 {
    levels.get(level).map_or(0, |tables| tables.iter().map(|table| table.bytes()).sum())
}

/// The tables of a level (not 0) that have keys in `smallest..=largest`. O(log n + found).
pub(crate) fn overlapping<'a, T: Facts>(
    levels: &'a Levels<T>,
    level: usize,
    smallest: &[u8],
    largest: &[u8],
) -> &'a [Arc<T>] {
    let Some(tables) = levels.get(level) else { return &[] };
    let from = tables.partition_point(|table| table.properties().ends_before(smallest));
    let to = tables.partition_point(|table| &table.properties().smallest[..] <= largest);
    tables.get(from..to.max(from)).unwrap_or_default()
}

impl Tree {
    pub(crate) fn add(&mut self, level: usize, table: Arc<Table>) {
        self.forget_ranges(&table);
        let Some(tables) = self.levels.get_mut(level) else { return };
        let at = match level {
            // Not by file number: what is ingested has its number long before its place in time.
            0 => tables.partition_point(|other| other.properties.seqno_max > table.properties.seqno_max),
            _ => tables.partition_point(|other| other.properties.smallest < table.properties.smallest),
        };
        tables.insert(at, table);
    }

    pub(crate) fn remove(&mut self, table: &Table) {
        self.forget_ranges(table);
        for level in &mut self.levels {
            level.retain(|other| other.id != table.id);
        }
    }

    fn forget_ranges(&mut self, changed: &Table) {
        if !changed.ranges.is_empty() {
            self.ranges = OnceLock::new();
        }
    }

    /// The range tombstones of all tables. O(1); the first call after a table that has some came or went: O(tables + n log n).
    pub(crate) fn ranges(&self) -> &Arc<Fragments> {
        self.ranges.get_or_init(|| {
            let mut with_ranges = self.tables().filter(|table| !table.ranges.is_empty());
            match (with_ranges.next(), with_ranges.next()) {
                (None, _) => Arc::default(),
                (Some(only), None) => only.ranges.clone(),
                _ => Arc::new(Fragments::new(self.tables().flat_map(|table| table.ranges.iter()))),
            }
        })
    }

    /// Whether no table of this level or one above has keys in `smallest..=largest`.
    pub(crate) fn is_free_down_to(&self, level: usize, smallest: &[u8], largest: &[u8]) -> bool {
        let overlaps = |table: &Arc<Table>| {
            &table.properties.smallest[..] <= largest && !table.properties.ends_before(smallest)
        };
        !self.levels[0].iter().any(overlaps)
            && (1..=level).all(|level| self.overlapping(level, smallest, largest).is_empty())
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.levels.iter().flatten()
    }

    pub(crate) fn level_bytes(&self, level: usize) -> u64 {
        level_bytes(&self.levels, level)
    }

    /// The tables of a level (not 0) that have keys in `smallest..=largest`. O(log n + found).
    pub(crate) fn overlapping(&self, level: usize, smallest: &[u8], largest: &[u8]) -> &[Arc<Table>] {
        overlapping(&self.levels, level, smallest, largest)
    }

    /// The newest version of a key below level 0.
    pub(crate) fn get_below_top(&self, user_key: &[u8]) -> Result<Option<(Tag, Bytes)>> {
        for table in (1..LEVELS).flat_map(|level| self.overlapping(level, user_key, user_key)) {
            if let Some(found) = table.get(user_key, Seqno::MAX)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The newest version of a key on disk that a reader at `seqno` may see: each table of level 0, then one table a level. Tables
    /// that have nothing newer than `hidden` are passed over.
    fn get(&self, user_key: &[u8], seqno: Seqno, hidden: Option<Seqno>) -> Result<Option<(Tag, Bytes)>> {
        let may_show = |table: &&Arc<Table>| {
            hidden.is_none_or(|hidden| table.properties.seqno_max > hidden) && table.covers(user_key)
        };
        for (level, tables) in self.levels.iter().enumerate() {
            let candidates =
                if level == 0 { &tables[..] } else { self.overlapping(level, user_key, user_key) };
            for table in candidates.iter().filter(may_show) {
                if let Some(found) = table.get(user_key, seqno)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}

/// The tree of each keyspace. A keyspace without a tree was dropped, and no snapshot sees it.
pub(crate) type Version = BTreeMap<KeyspaceId, Arc<Tree>>;

/// All that a read needs: the memtables, newest first, and the tables.
#[derive(Clone)]
pub(crate) struct ReadState {
    pub active: Arc<Memtable>,
    pub sealed: Vec<Arc<Memtable>>,
    pub version: Arc<Version>,
}

impl ReadState {
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(&self.sealed)
    }

    /// The log of the oldest memtable: another one as soon as that is flushed.
    pub(crate) fn oldest_log(&self) -> FileId {
        self.sealed.last().unwrap_or(&self.active).log
    }

    pub(crate) fn tree(&self, keyspace: KeyspaceId) -> Option<&Arc<Tree>> {
        self.version.get(&keyspace)
    }

    /// The tree of a keyspace, to be changed in a copy of the state; `None` if it was dropped and purged.
    pub(crate) fn tree_mut(&mut self, keyspace: KeyspaceId) -> Option<&mut Tree> {
        Arc::make_mut(&mut self.version).get_mut(&keyspace).map(Arc::make_mut)
    }

    /// # Errors
    /// [`ErrorKind::KeyspaceDropped`] if a reader at `at` (now, if `None`) must not see the keyspace.
    pub(crate) fn check_readable(&self, keyspace: KeyspaceId, at: Option<Seqno>) -> Result<()> {
        let dropped_later = |tree: &Arc<Tree>| tree.dropped_at.is_none_or(|d| at.is_some_and(|at| at < d));
        if self.tree(keyspace).is_some_and(dropped_later) {
            return Ok(());
        }
        let message = "the keyspace was dropped; make or open it again by its name";
        Err(Error::new(ErrorKind::KeyspaceDropped, message))
    }

    /// The newest range tombstone over a key that a reader at `seqno` may see.
    pub(crate) fn range_over(&self, keyspace: KeyspaceId, key: &[u8], seqno: Seqno) -> Option<Seqno> {
        let in_memory = self.memtables().filter_map(|memtable| memtable.range_over(keyspace, key, seqno));
        let on_disk = self.tree(keyspace).and_then(|tree| tree.ranges().newest_over(key, seqno));
        in_memory.chain(on_disk).max()
    }

    /// All range tombstones of a keyspace.
    pub(crate) fn range_view(&self, keyspace: KeyspaceId) -> RangeView {
        let in_memory = self.memtables().flat_map(|memtable| memtable.range_lists(keyspace));
        RangeView::new(in_memory.chain(self.tree(keyspace).map(|tree| tree.ranges().clone())))
    }

    /// The newest version of a key that a reader at `seqno` may see, a deletion included: its own or a range's.
    pub(crate) fn get_version(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        seqno: Seqno,
    ) -> Result<Option<(Tag, Bytes)>> {
        let hidden = self.range_over(keyspace, key, seqno);
        let in_memory = self.memtables().find_map(|memtable| memtable.get(keyspace, key, seqno));
        let found = match (in_memory, self.tree(keyspace)) {
            (None, Some(tree)) => tree.get(key, seqno, hidden)?,
            (found, _) => found,
        };
        Ok(match hidden {
            Some(hidden) if found.as_ref().is_none_or(|(tag, _)| tag.seqno() < hidden) => {
                Some((Tag::new(hidden, Kind::RangeTombstone), Bytes::new()))
            }
            _ => found,
        })
    }

    /// As [`Self::get_version`], without deletions.
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8], seqno: Seqno) -> Result<Option<(Tag, Bytes)>> {
        let found = self.get_version(keyspace, key, seqno)?;
        Ok(found.filter(|(tag, _)| !tag.is_deletion()))
    }
}
