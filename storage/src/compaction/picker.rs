//! Which merge comes next. Pure: tables' figures in, a choice out; no I/O, no locks, no threads.
//!
//! In the order of urgency:
//! 1. **Size.** Level 0 is due when it has too many tables, a deeper level when it has more bytes than the tree's [`Shape`] gives it. The one most
//!    over its limit goes first; level 0 before all others once it has so many tables that writers are slowed down. From
//!    level 0 everything goes into the base level, from a deeper level the table that overlaps least, relative to its size, with the
//!    level below, and its neighbours as far as they overlap nothing more: the fewest bytes rewritten for the bytes moved.
//! 2. **Age.** A deletion must become physical within `tombstone_age_max_ms`: each step of its way down (memtable, level 0, base … last but
//!    one) has an equal share of the time, and a table whose oldest deletion is over the time for its level goes down, whatever the sizes
//!    (Sarkar et al., Lethe, SIGMOD 2020, with equal instead of growing shares). Age comes before size unless writers are slowed down.
//! 3. **Deletions in bulk.** A table half of whose entries are deletions goes down, if no snapshot keeps what they delete.
//!
//! In the last level a table that is due for 2 or 3 is rewritten in place, once no snapshot is older than anything in it; then
//! all its deletions go, so it is not due again.
//!
//! Several merges may run at once ([`super::claims`]): what is in the way of a running one is passed over, and what is being taken
//! out of a level counts as gone. While level 0 waits for the base level and is
//! more urgent, nothing more is taken out of the base level, or level 0 would never get its turn.
//!
//! The picker knows tables by their [`Facts`], so that its tests describe a tree in a few lines of text.

use super::claims::{Claim, Claims};
use super::shape::{LAST, Shape};
use crate::options::Options;
use crate::sst::{Properties, Table};
use crate::types::{FileId, KeyspaceId, Seqno};
use crate::version::{LEVELS, Levels, level_bytes, overlapping};
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Bound;
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
    pub reason: Reason,
}

/// Why a merge was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A level holds too much.
    Size,
    /// Deletions in the tables are to be carried out.
    Deletions,
    /// Somebody asked for it.
    Request,
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

    /// Whether an edit alone can do it: the tables are of one level and disjoint, and nothing where they go overlaps them. Tables with
    /// deletions are rewritten all the same where that may rid them of these.
    pub(super) fn is_move(&self) -> bool {
        let [(level, tables)] = &self.inputs[..] else { return false };
        let mut ranges: Vec<_> = tables.iter().map(|table| table.properties()).collect();
        ranges.sort_by(|a, b| a.smallest.cmp(&b.smallest));
        let disjoint = ranges.windows(2).all(|pair| pair[0].largest < pair[1].smallest);
        let has_deletions = ranges.iter().any(|table| table.tombstones + table.range_tombstones > 0);
        let keeps_all = !has_deletions || self.output_level != LAST;
        self.reason == Reason::Size && *level != self.output_level && disjoint && keeps_all
    }

    /// Tables of a level, with all that they overlap in the output level; `None` if there are no tables.
    fn with_overlap(
        levels: &Levels<T>,
        level: usize,
        upper: Vec<Arc<T>>,
        output_level: usize,
        reason: Reason,
    ) -> Option<Self> {
        let smallest = upper.iter().map(|table| &table.properties().smallest).min()?;
        let largest = upper.iter().map(|table| &table.properties().largest).max()?;
        let lower = overlapping(levels, output_level, smallest, largest).to_vec();
        let inputs =
            [(level, upper), (output_level, lower)].into_iter().filter(|(_, tables)| !tables.is_empty());
        Some(Self { inputs: inputs.collect(), output_level, reason })
    }

    /// All tables of level 0 into the base level; `None` if there are none.
    pub(super) fn of_top(levels: &Levels<T>, shape: &Shape, reason: Reason) -> Option<Self> {
        Self::with_overlap(levels, 0, levels[0].clone(), shape.base, reason)
    }

    /// With the tables beside it in its upper level that overlap nothing more in the output level: they go down at no cost.
    fn grown(self, levels: &Levels<T>, bytes_max: u64) -> Self {
        let [(level, _), (_, lower)] = &self.inputs[..] else { return self };
        let (smallest, largest) = self.key_range();
        let upper = overlapping(levels, *level, &smallest, &largest).to_vec();
        let grown = Self::with_overlap(levels, *level, upper, self.output_level, self.reason);
        let fits = |grown: &Self| {
            let same_lower = grown.inputs.last().is_some_and(|(_, tables)| tables.len() == lower.len());
            same_lower && grown.tables().map(|table| table.bytes()).sum::<u64>() <= bytes_max
        };
        grown.filter(fits).unwrap_or(self)
    }
}

/// What a tree is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub l0_tables_trigger: usize,
    pub l0_tables_slowdown: usize,
    pub level1_bytes: u64,
    pub table_bytes: u64,
    pub tombstone_age_max_ms: Option<u64>,
}

/// A merge takes neighbours along up to so many tables' worth of bytes.
const GROWN_TABLES_MAX: u64 = 25;

impl Limits {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            l0_tables_trigger: options.l0_tables_trigger,
            l0_tables_slowdown: options.l0_tables_slowdown,
            level1_bytes: options.level1_bytes,
            table_bytes: options.table_bytes,
            tombstone_age_max_ms: options.tombstone_age_max_ms,
        }
    }

    pub(super) fn shape<T: Facts>(&self, levels: &Levels<T>) -> Shape {
        Shape::new(std::array::from_fn(|level| level_bytes(levels, level)), self.level1_bytes)
    }

    /// Bytes of tables over the limits of their levels: what is still to be merged.
    pub(super) fn debt_bytes<T: Facts>(&self, levels: &Levels<T>) -> u64 {
        let shape = self.shape(levels);
        let excess = (1..LAST)
            .map(|level| level_bytes(levels, level).saturating_sub(shape.bytes_max[level]))
            .sum::<u64>();
        let top = if levels[0].len() >= self.l0_tables_trigger { level_bytes(levels, 0) } else { 0 };
        top + excess
    }
}

/// A keyspace, as the picker sees it.
pub(super) struct View<'a, T> {
    pub keyspace: KeyspaceId,
    pub levels: &'a Levels<T>,
    pub limits: Limits,
    pub claims: &'a Claims,
    pub oldest_snapshot: Option<Seqno>,
    /// Monotonic, for merges that rest.
    pub now_us: u64,
    /// Wall time, for the age of deletions.
    pub now_ms: u64,
}

/// Ranks above every size: writers are slowed down, or a deletion is late.
const URGENT: f64 = 1e6;

impl<T: Facts> View<'_, T> {
    /// The most urgent merge that may run now, and how urgent it is.
    pub(super) fn pick(&self) -> Option<(f64, Pick<T>)> {
        let shape = self.limits.shape(self.levels);
        let claimed = self.claims.tables(self.keyspace);
        let mut due: Vec<(f64, usize)> = (0..LAST)
            .map(|level| (self.score(level, &shape, &claimed), level))
            .filter(|(score, _)| *score >= 1.0)
            .collect();
        due.sort_by(|a, b| b.0.total_cmp(&a.0));
        if due.first().is_none_or(|(score, _)| *score < URGENT)
            && let Some(pick) = self.pick_aged(&shape, &claimed)
        {
            return Some((URGENT, pick));
        }
        let mut top_is_blocked = false;
        for (score, level) in due {
            let pick = match level {
                0 => self.pick_top(&shape, Reason::Size),
                _ if top_is_blocked && level == shape.base => None,
                _ => self.pick_least_overlap(level, &claimed),
            };
            if let Some(pick) = pick {
                return Some((score, pick));
            }
            // One that rests waits for its time, and not for the base level.
            let waits = level == 0 && !self.claims.takes_from_top(self.keyspace) && !self.top_rests(&shape);
            top_is_blocked |= waits;
        }
        self.pick_dense(&claimed).map(|pick| (0.0, pick))
    }

    /// How far a level is over its limit, without the bytes that are on their way down; from 1 on it is due.
    fn score(&self, level: usize, shape: &Shape, claimed: &HashMap<FileId, usize>) -> f64 {
        let Some(tables) = self.levels.get(level) else { return 0.0 };
        if level == 0 {
            let urgency = if tables.len() >= self.limits.l0_tables_slowdown { URGENT } else { 1.0 };
            return urgency * tables.len() as f64 / self.limits.l0_tables_trigger as f64;
        }
        let stays = |table: &&Arc<T>| claimed.get(&table.id()).is_none_or(|target| *target <= level);
        let bytes: u64 = tables.iter().filter(stays).map(|table| table.bytes()).sum();
        bytes as f64 / shape.bytes_max[level].max(1) as f64
    }

    fn pick_top(&self, shape: &Shape, reason: Reason) -> Option<Pick<T>> {
        self.unless_blocked(Pick::of_top(self.levels, shape, reason)?)
    }

    fn top_rests(&self, shape: &Shape) -> bool {
        let pick = Pick::of_top(self.levels, shape, Reason::Size);
        pick.is_some_and(|pick| self.claims.rests(&Claim::of(self.keyspace, &pick), self.now_us))
    }

    /// The table of a level whose merge rewrites the fewest bytes of the next level for its own. O(tables · log tables), and for each
    /// that is in the way of a running merge, a look at all of these.
    fn pick_least_overlap(&self, level: usize, claimed: &HashMap<FileId, usize>) -> Option<Pick<T>> {
        let ratio = |table: &Arc<T>| {
            let Properties { smallest, largest, .. } = table.properties();
            let below = overlapping(self.levels, level + 1, smallest, largest);
            below.iter().map(|other| other.bytes()).sum::<u64>() as f64 / table.bytes().max(1) as f64
        };
        let free = self.levels.get(level)?.iter().filter(|table| !claimed.contains_key(&table.id()));
        let mut ratios: Vec<_> = free.map(|table| (ratio(table), table)).collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        ratios.into_iter().find_map(|(_, table)| {
            let pick = self.pick_down(level, table, Reason::Size)?;
            let grown = pick.grown(self.levels, self.limits.table_bytes.saturating_mul(GROWN_TABLES_MAX));
            self.unless_blocked(grown).or_else(|| self.pick_down(level, table, Reason::Size))
        })
    }

    /// One table into the next level; in the last level by itself.
    fn pick_down(&self, level: usize, table: &Arc<T>, reason: Reason) -> Option<Pick<T>> {
        let pick = match level {
            LAST => Pick { inputs: vec![(LAST, vec![table.clone()])], output_level: LAST, reason },
            _ => Pick::with_overlap(self.levels, level, vec![table.clone()], level + 1, reason)?,
        };
        self.unless_blocked(pick)
    }

    /// The table whose oldest deletion is the longest over its time.
    fn pick_aged(&self, shape: &Shape, claimed: &HashMap<FileId, usize>) -> Option<Pick<T>> {
        let age_max_ms = self.limits.tombstone_age_max_ms?;
        let mut aged: Vec<_> = (0..LEVELS)
            .flat_map(|level| self.levels[level].iter().map(move |table| (level, table)))
            .filter(|(level, table)| {
                let oldest_ms = table.properties().oldest_tombstone_ms;
                let over = oldest_ms > 0
                    && self.now_ms.saturating_sub(oldest_ms) >= shape.time_ms(*level, age_max_ms);
                over && !claimed.contains_key(&table.id()) && (*level < LAST || self.frees_deletions(table))
            })
            .collect();
        aged.sort_by_key(|(_, table)| table.properties().oldest_tombstone_ms);
        aged.into_iter().find_map(|(level, table)| match level {
            0 => self.pick_top(shape, Reason::Deletions),
            _ => self.pick_down(level, table, Reason::Deletions),
        })
    }

    /// A table half of whose entries are deletions that a merge can carry out.
    fn pick_dense(&self, claimed: &HashMap<FileId, usize>) -> Option<Pick<T>> {
        let below_top =
            (1..LEVELS).flat_map(|level| self.levels[level].iter().map(move |table| (level, table)));
        let mut dense = below_top.filter(|(_, table)| {
            let Properties { tombstones, entries, .. } = *table.properties();
            let is_dense = tombstones > 0 && tombstones * 2 >= entries;
            is_dense && !claimed.contains_key(&table.id()) && self.frees_deletions(table)
        });
        dense.find_map(|(level, table)| self.pick_down(level, table, Reason::Deletions))
    }

    /// Whether every reader sees all that is in a table: then no deletion in it is kept for a snapshot.
    fn frees_deletions(&self, table: &T) -> bool {
        self.oldest_snapshot.is_none_or(|oldest| table.properties().seqno_max <= oldest)
    }

    fn unless_blocked(&self, pick: Pick<T>) -> Option<Pick<T>> {
        let claim = Claim::of(self.keyspace, &pick);
        let may_run = !self.claims.blocks(&claim) && !self.claims.rests(&claim, self.now_us);
        may_run.then_some(pick)
    }
}

/// All tables that have keys of a range, into the last level, with all that these must not pass on their way; `None` if there are none.
///
/// From above to below: what overlaps the tables taken so far must go with them, else older versions would end up above newer ones.
pub(super) fn pick_range<T: Facts>(
    levels: &Levels<T>,
    range: &(Bound<Vec<u8>>, Bound<Vec<u8>>),
) -> Option<Pick<T>> {
    let is_asked_for = |table: &T| {
        let Properties { smallest, largest, .. } = table.properties();
        let ends_before = match &range.0 {
            Bound::Included(start) => largest[..] < start[..],
            Bound::Excluded(start) => largest[..] <= start[..],
            Bound::Unbounded => false,
        };
        let begins_after = match &range.1 {
            Bound::Included(end) => smallest[..] > end[..],
            Bound::Excluded(end) => smallest[..] >= end[..],
            Bound::Unbounded => false,
        };
        !ends_before && !begins_after
    };
    let mut taken: Option<(Bytes, Bytes)> = None;
    let mut inputs = Vec::new();
    for (level, tables) in levels.iter().enumerate() {
        let mut chosen: Vec<Arc<T>> = Vec::new();
        // In level 0 a table that is taken may overlap others, and these further ones.
        loop {
            let overlaps = |table: &T| {
                let Properties { smallest, largest, .. } = table.properties();
                taken.as_ref().is_some_and(|(from, to)| smallest <= to && from <= largest)
            };
            let before = chosen.len();
            chosen = tables.iter().filter(|table| is_asked_for(table) || overlaps(table)).cloned().collect();
            for Properties { smallest, largest, .. } in chosen.iter().map(|table| table.properties()) {
                let (from, to) = taken.get_or_insert_with(|| (smallest.clone(), largest.clone()));
                *from = from.clone().min(smallest.clone());
                *to = to.clone().max(largest.clone());
            }
            if chosen.len() == before {
                break;
            }
        }
        if !chosen.is_empty() {
            inputs.push((level, chosen));
        }
    }
    (!inputs.is_empty()).then_some(Pick { inputs, output_level: LAST, reason: Reason::Request })
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
