//! Which merge comes next. Pure: tables' figures in, a choice out; no I/O, no locks, no threads.
//!
//! Level 0 is due when it has too many tables, a deeper level when it has too many bytes (each may hold ten times the one above). The
//! level that is most over its limit goes first. From level 0 all tables are merged into level 1; from a deeper level the
//! one table that overlaps least, relative to its size, with the level below: the fewest bytes rewritten for the bytes moved.
//!
//! Several merges may run at once ([`super::claims`]): what is in the way of a running one is passed over, and what is being taken
//! out of a level counts as gone. While level 0 waits for level 1, nothing more is taken out of level 1, or level 0 would never get its turn.
//!
//! The picker knows tables by their [`Facts`], so that its tests describe a tree in a few lines of text.

use super::claims::{Claim, Claims};
use crate::options::Options;
use crate::sst::{Properties, Table};
use crate::types::{FileId, KeyspaceId};
use crate::version::{LEVELS, Levels, level_bytes, overlapping};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// What choosing needs to know of a table.
pub(crate) trait Facts {
    fn id(&self) -> FileId;
    fn bytes(&self) -> u64;
    fn properties(&self) -> &Properties;
}

impl Facts for Table {
    fn id(&self) -> FileId {
        self.id
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn properties(&self) -> &Properties {
        &self.properties
    }
}

/// Tables to be merged into one level.
pub(super) struct Pick<T> {
    /// By level, ascending.
    pub inputs: Vec<(usize, Vec<Arc<T>>)>,
    pub output_level: usize,
}

impl<T: Facts> Pick<T> {
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<T>> {
        self.inputs.iter().flat_map(|(_, tables)| tables)
    }

    pub(super) fn source_level(&self) -> usize {
        self.inputs.first().map_or(self.output_level, |(level, _)| *level)
    }

    /// From the smallest to the largest key of all tables.
    pub(super) fn key_range(&self) -> (Bytes, Bytes) {
        let properties = || self.tables().map(|table| table.properties());
        let smallest = properties().map(|properties| properties.smallest.clone()).min();
        let largest = properties().map(|properties| properties.largest.clone()).max();
        (smallest.unwrap_or_default(), largest.unwrap_or_default())
    }

    /// Whether an edit alone can do it: one table, and nothing where it goes overlaps it.
    pub(super) fn is_move(&self) -> bool {
        self.source_level() != self.output_level && self.tables().count() == 1
    }
}

/// The limits that a tree is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub l0_tables_trigger: usize,
    pub level1_bytes: u64,
}

const LEVEL_MULTIPLIER: u64 = 10;

impl Limits {
    pub(super) fn new(options: &Options) -> Self {
        Self { l0_tables_trigger: options.l0_tables_trigger, level1_bytes: options.level1_bytes }
    }

    /// The bytes that a level below 0 may hold.
    fn level_bytes_max(&self, level: usize) -> u64 {
        let above = level.saturating_sub(1) as u32;
        self.level1_bytes.saturating_mul(LEVEL_MULTIPLIER.saturating_pow(above))
    }

    /// How far a level is over its limit, without so many bytes that are on their way down; from 1 on it is due.
    fn score<T: Facts>(&self, levels: &Levels<T>, level: usize, leaving_bytes: u64) -> f64 {
        match level {
            0 => levels[0].len() as f64 / self.l0_tables_trigger as f64,
            _ => {
                let bytes = level_bytes(levels, level).saturating_sub(leaving_bytes);
                bytes as f64 / self.level_bytes_max(level) as f64
            }
        }
    }

    /// Bytes of tables over the limits of their levels: what is still to be merged.
    pub(super) fn debt_bytes<T: Facts>(&self, levels: &Levels<T>) -> u64 {
        let excess = (1..LEVELS - 1)
            .map(|level| level_bytes(levels, level).saturating_sub(self.level_bytes_max(level)))
            .sum::<u64>();
        let top = if self.score(levels, 0, 0) >= 1.0 { level_bytes(levels, 0) } else { 0 };
        top + excess
    }
}

/// A keyspace, as the picker sees it.
pub(super) struct View<'a, T> {
    pub keyspace: KeyspaceId,
    pub levels: &'a Levels<T>,
    pub limits: Limits,
    pub claims: &'a Claims,
    pub now_us: u64,
}

impl<T: Facts> View<'_, T> {
    /// The most urgent merge that may run now, and how urgent it is.
    pub(super) fn pick(&self) -> Option<(f64, Pick<T>)> {
        let claimed = self.claims.tables(self.keyspace);
        let mut due: Vec<(f64, usize)> = (0..LEVELS - 1)
            .map(|level| (self.limits.score(self.levels, level, self.leaving_bytes(level, &claimed)), level))
            .filter(|(score, _)| *score >= 1.0)
            .collect();
        due.sort_by(|a, b| b.0.total_cmp(&a.0));
        let top_waits = |level: usize| level == 1 && due.iter().any(|(_, other)| *other == 0);
        let can_go = |(score, level): &(f64, usize)| {
            if top_waits(*level) && !self.claims.takes_from_top(self.keyspace) && self.pick_top().is_none() {
                return None;
            }
            let pick = if *level == 0 { self.pick_top() } else { self.pick_deeper(*level, &claimed) };
            Some((*score, pick?))
        };
        due.iter().find_map(can_go)
    }

    /// Bytes of a level's tables that running merges take out of it. Those that a merge into the level rewrites do not count.
    fn leaving_bytes(&self, level: usize, claimed: &HashMap<FileId, usize>) -> u64 {
        let Some(tables) = self.levels.get(level) else { return 0 };
        let is_leaving = |table: &&Arc<T>| claimed.get(&table.id()).is_some_and(|target| *target > level);
        tables.iter().filter(is_leaving).map(|table| table.bytes()).sum()
    }

    fn pick_top(&self) -> Option<Pick<T>> {
        self.unless_blocked(pick_top(self.levels)?)
    }

    /// The table of a level whose merge rewrites the fewest bytes of the next level for its own. O(tables · log tables), and for each
    /// that is in the way of a running merge, a look at all of these.
    fn pick_deeper(&self, level: usize, claimed: &HashMap<FileId, usize>) -> Option<Pick<T>> {
        let ratio = |table: &Arc<T>| {
            let Properties { smallest, largest, .. } = table.properties();
            let below = overlapping(self.levels, level + 1, smallest, largest);
            below.iter().map(|other| other.bytes()).sum::<u64>() as f64 / table.bytes().max(1) as f64
        };
        let free = self.levels.get(level)?.iter().filter(|table| !claimed.contains_key(&table.id()));
        let mut ratios: Vec<_> = free.map(|table| (ratio(table), table)).collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        ratios.into_iter().find_map(|(_, table)| {
            self.unless_blocked(Pick::with_overlap(self.levels, level, vec![table.clone()], level + 1)?)
        })
    }

    fn unless_blocked(&self, pick: Pick<T>) -> Option<Pick<T>> {
        let claim = Claim::of(self.keyspace, &pick);
        let may_run = !self.claims.blocks(&claim) && !self.claims.rests(&claim, self.now_us);
        may_run.then_some(pick)
    }
}

impl<T: Facts> Pick<T> {
    /// Tables of a level, with all that they overlap in the output level; `None` if there are no tables.
    fn with_overlap(
        levels: &Levels<T>,
        level: usize,
        upper: Vec<Arc<T>>,
        output_level: usize,
    ) -> Option<Self> {
        let smallest = upper.iter().map(|table| &table.properties().smallest).min()?;
        let largest = upper.iter().map(|table| &table.properties().largest).max()?;
        let lower = overlapping(levels, output_level, smallest, largest).to_vec();
        let inputs =
            [(level, upper), (output_level, lower)].into_iter().filter(|(_, tables)| !tables.is_empty());
        Some(Self { inputs: inputs.collect(), output_level })
    }
}

/// All tables of level 0 into level 1; `None` if there are none.
pub(super) fn pick_top<T: Facts>(levels: &Levels<T>) -> Option<Pick<T>> {
    Pick::with_overlap(levels, 0, levels[0].clone(), 1)
}

/// All tables, into the last level; `None` if there are none.
pub(super) fn pick_all<T: Facts>(levels: &Levels<T>) -> Option<Pick<T>> {
    let inputs: Vec<_> = levels.iter().cloned().enumerate().filter(|(_, t)| !t.is_empty()).collect();
    (!inputs.is_empty()).then_some(Pick { inputs, output_level: LEVELS - 1 })
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
