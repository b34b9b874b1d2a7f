//! Which merge comes next. Pure: tables' figures in, a choice out; no I/O, no locks, no threads.
//!
//! Level 0 is due when it has too many tables, a deeper level when it has too many bytes (each may hold ten times the one above). The
//! level that is most over its limit goes first. From level 0 all tables are merged into level 1; from a deeper level the
//! one table that overlaps least, relative to its size, with the level below: the fewest bytes rewritten for the bytes moved.
//!
//! The picker knows tables by their [`Facts`], so that its tests describe a tree in a few lines of text.

use crate::options::Options;
use crate::sst::{Properties, Table};
use crate::version::{LEVELS, Levels, level_bytes, overlapping};
use std::sync::Arc;

/// What choosing needs to know of a table.
pub(crate) trait Facts {
    fn bytes(&self) -> u64;
    fn properties(&self) -> &Properties;
}

impl Facts for Table {
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
    /// The only table, if nothing of the output level overlaps it: an edit alone can move it.
    pub(super) fn only_table(&self) -> Option<&Arc<T>> {
        let mut tables = self.inputs.iter().flat_map(|(_, tables)| tables);
        tables.next().filter(|_| tables.next().is_none())
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

    /// How far a level is over its limit; from 1 on it is due.
    pub(super) fn score<T: Facts>(&self, levels: &Levels<T>, level: usize) -> f64 {
        match level {
            0 => levels[0].len() as f64 / self.l0_tables_trigger as f64,
            _ => level_bytes(levels, level) as f64 / self.level_bytes_max(level) as f64,
        }
    }

    /// Bytes of tables over the limits of their levels: what is still to be merged.
    pub(super) fn debt_bytes<T: Facts>(&self, levels: &Levels<T>) -> u64 {
        let excess = (1..LEVELS - 1)
            .map(|level| level_bytes(levels, level).saturating_sub(self.level_bytes_max(level)))
            .sum::<u64>();
        let top = if self.score(levels, 0) >= 1.0 { level_bytes(levels, 0) } else { 0 };
        top + excess
    }

    /// The level that is most over its limit, and by how much; `None` if none is due.
    pub(super) fn most_urgent<T: Facts>(&self, levels: &Levels<T>) -> Option<(f64, usize)> {
        let scores = (0..LEVELS - 1).map(|level| (self.score(levels, level), level));
        scores.filter(|(score, _)| *score >= 1.0).max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// The merge that takes something out of a level.
pub(super) fn pick_from<T: Facts>(levels: &Levels<T>, level: usize) -> Option<Pick<T>> {
    let upper = if level == 0 { levels[0].clone() } else { vec![least_overlap(levels, level)?] };
    let smallest = upper.iter().map(|table| &table.properties().smallest).min()?;
    let largest = upper.iter().map(|table| &table.properties().largest).max()?;
    let lower = overlapping(levels, level + 1, smallest, largest).to_vec();
    let inputs = [(level, upper), (level + 1, lower)].into_iter().filter(|(_, tables)| !tables.is_empty());
    Some(Pick { inputs: inputs.collect(), output_level: level + 1 })
}

/// All tables, into the deepest level that has any; `None` if there are none.
pub(super) fn pick_all<T: Facts>(levels: &Levels<T>) -> Option<Pick<T>> {
    let inputs: Vec<_> = levels.iter().cloned().enumerate().filter(|(_, t)| !t.is_empty()).collect();
    let (deepest, _) = inputs.last()?;
    let output_level = (*deepest).max(1);
    Some(Pick { inputs, output_level })
}

/// The table of a level whose merge rewrites the fewest bytes of the next level for its own. O(tables · log tables).
fn least_overlap<T: Facts>(levels: &Levels<T>, level: usize) -> Option<Arc<T>> {
    let ratio = |table: &Arc<T>| {
        let Properties { smallest, largest, .. } = table.properties();
        let below = overlapping(levels, level + 1, smallest, largest);
        below.iter().map(|other| other.bytes()).sum::<u64>() as f64 / table.bytes() as f64
    };
    let ratios = levels.get(level)?.iter().map(|table| (ratio(table), table));
    ratios.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, table)| table.clone())
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
