//! Which merges run now, so that a second one does not get into the way of the first.
//!
//! A merge *claims* its input tables and the key range that it will write in its output level. Two merges of a keyspace may run at once
//! unless they share a table, or would write overlapping ranges of one level, or both take from level 0: its tables overlap, and an
//! older one must not stay above a newer one that has gone down. That is enough for a merge to trust the tree that it was picked from: what
//! lies below its output level is moved further down by others at most, so nothing older than its deletions appears where it
//! looked and found nothing.
//!
//! Example: while `L2 [c-f]` goes into `L3 [a-g]`, `L2 [h-k]` may go into `L3 [i-m]`, and `L1 [a-b]` into `L2 [a-b]`; but
//! neither `L1 [d-e]` (it would have to be merged with the claimed table) nor `L2 [g-g]` (it overlaps what is written).
//!
//! A merge that failed *rests*: its tables are left alone for a pause that doubles with each failure, while others go on. If it met damage, only
//! the damaged table is left alone, for much longer, as no second look mends it: merges of the others go on, and nobody who flushes or
//! frees space has it tried again.

use super::picker::{Facts, Pick};
use crate::types::{FileId, KeyspaceId};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// What one merge keeps others from.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    keyspace: KeyspaceId,
    /// Sorted.
    tables: Vec<FileId>,
    from_level: usize,
    output_level: usize,
    smallest: Bytes,
    largest: Bytes,
}

impl Claim {
    pub(super) fn of<T: Facts>(keyspace: KeyspaceId, pick: &Pick<T>) -> Self {
        let mut tables: Vec<_> = pick.tables().map(|table| table.id()).collect();
        tables.sort_unstable();
        let (smallest, largest) = pick.key_range();
        let from_level = pick.source_level();
        Self { keyspace, tables, from_level, output_level: pick.output_level, smallest, largest }
    }

    fn shares_a_table_with(&self, other: &Self) -> bool {
        self.keyspace == other.keyspace && self.tables.iter().any(|id| other.tables.binary_search(id).is_ok())
    }

    fn conflicts_with(&self, other: &Self) -> bool {
        let both_from_top = self.from_level == 0 && other.from_level == 0;
        let overlap = self.smallest <= other.largest && other.smallest <= self.largest;
        let same_target = self.output_level == other.output_level && overlap;
        self.keyspace == other.keyspace && (both_from_top || same_target || self.shares_a_table_with(other))
    }
}

/// How a merge failed.
pub(super) struct Failed {
    pub at_us: u64,
    /// `None`: it may go the next time.
    pub damage: Option<Damage>,
}

/// Bytes on disk are not what was written.
pub(super) struct Damage {
    /// The table that they are in, if it is one.
    pub table: Option<FileId>,
    pub message: String,
}

struct Resting {
    claim: Claim,
    damage: Option<Damage>,
    pause_us: u64,
    until_us: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Claims {
    running: BTreeMap<u64, Claim>,
    next: u64,
    resting: Vec<Resting>,
}

const PAUSE_MIN_US: u64 = 50_000;
const PAUSE_MAX_US: u64 = 5_000_000;
const DAMAGE_PAUSE_MAX_US: u64 = 3_600_000_000;
/// Merges that may rest at once; the one that failed first is forgotten before that.
const RESTING_MAX: usize = 64;

impl Claims {
    /// Whether a merge would get into the way of one that runs.
    pub(crate) fn blocks(&self, claim: &Claim) -> bool {
        self.running.values().any(|running| running.conflicts_with(claim))
    }

    /// Whether a running merge may write a table of this level across a key range.
    pub(crate) fn writes_across(
        &self,
        keyspace: KeyspaceId,
        level: usize,
        smallest: &[u8],
        largest: &[u8],
    ) -> bool {
        self.running.values().any(|claim| {
            let overlaps = claim.smallest <= largest && smallest <= &claim.largest[..];
            claim.keyspace == keyspace && claim.output_level == level && overlaps
        })
    }

    /// Whether a merge has failed so lately that it is not to be tried again yet.
    pub(crate) fn rests(&self, claim: &Claim, now_us: u64) -> bool {
        let is_resting = |resting: &Resting| now_us < resting.until_us;
        self.resting.iter().any(|resting| is_resting(resting) && resting.claim.shares_a_table_with(claim))
    }

    /// Whether a merge that takes from level 0 of a keyspace runs.
    pub(super) fn takes_from_top(&self, keyspace: KeyspaceId) -> bool {
        self.running.values().any(|claim| claim.keyspace == keyspace && claim.from_level == 0)
    }

    /// The tables of a keyspace that running merges read, each with the level that it goes to.
    pub(super) fn tables(&self, keyspace: KeyspaceId) -> HashMap<FileId, usize> {
        let claims = self.running.values().filter(|claim| claim.keyspace == keyspace);
        claims.flat_map(|claim| claim.tables.iter().map(|id| (*id, claim.output_level))).collect()
    }

    /// Begins a merge; the number ends it.
    pub(super) fn begin(&mut self, claim: Claim) -> u64 {
        debug_assert!(!self.blocks(&claim), "two merges in each other's way");
        self.next += 1;
        self.running.insert(self.next, claim);
        self.next
    }

    /// Ends a merge. If it did what it should, its tables are gone, and with them the reason to rest. Else gives for how long it rests.
    pub(super) fn end(&mut self, number: u64, failed: Option<Failed>) -> Option<u64> {
        let mut claim = self.running.remove(&number)?;
        let before = self.resting.iter().filter(|resting| resting.claim.shares_a_table_with(&claim));
        let pause_us = before.map(|resting| resting.pause_us * 2).max().unwrap_or(PAUSE_MIN_US);
        self.resting.retain(|resting| !resting.claim.shares_a_table_with(&claim));
        let Failed { at_us, damage } = failed?;
        let pause_us = pause_us.min(if damage.is_some() { DAMAGE_PAUSE_MAX_US } else { PAUSE_MAX_US });
        if let Some(table) =
            damage.as_ref().and_then(|damage| damage.table).filter(|id| claim.tables.contains(id))
        {
            claim.tables = vec![table];
        }
        if self.resting.len() >= RESTING_MAX {
            self.resting.remove(0);
        }
        self.resting.push(Resting { claim, damage, pause_us, until_us: at_us.saturating_add(pause_us) });
        Some(pause_us)
    }

    /// Lets all that rests be tried again at once, but what met damage.
    pub(crate) fn wake(&mut self) {
        self.resting.retain(|resting| resting.damage.is_some());
    }

    /// The tables in which merges met damage.
    pub(crate) fn damaged_tables(&self) -> Vec<FileId> {
        self.resting.iter().filter_map(|resting| resting.damage.as_ref()?.table).collect()
    }

    /// What keeps merges from going on, if nothing runs and damage is why.
    pub(crate) fn stopped_by(&self) -> Option<&str> {
        let mut damages = self.resting.iter().filter_map(|resting| resting.damage.as_ref());
        damages.next().filter(|_| self.running.is_empty()).map(|damage| &damage.message[..])
    }

    /// When the next of those that rest may be tried again.
    pub(crate) fn next_retry_us(&self, now_us: u64) -> Option<u64> {
        self.resting.iter().map(|resting| resting.until_us).filter(|until_us| *until_us > now_us).min()
    }

    /// Whether nothing runs, and nothing waits for another try.
    pub(crate) fn is_idle(&self, now_us: u64) -> bool {
        self.running.is_empty() && self.next_retry_us(now_us).is_none()
    }
}
