//! The budget: keep what matters within a limit of bytes.
//!
//! # Problem
//!
//! Policies say when objects get smaller, not how much they take together. An owner who pays for a number of bytes wants
//! the least wanted things to go first when there are more, and everything else to stay as good as it can.
//!
//! # Model
//!
//! Minimise `Σ weight · rate of use · (1 − fidelity)` subject to the bytes. With the half-life τ and the effective access
//! time `e`, the rate of use is in proportion to `2^((e − t)/τ) / τ`. A *step* takes an object to a later stage and frees Δb
//! bytes for Δf of its fidelity; greedy takes the steps in the order of what they lose a byte:
//!
//! ```text
//! log2(loss a byte) = log2 weight + (e − t)/τ − log2 τ + log2(Δf / Δb)
//! ```
//!
//! All but `t/τ` does not change with time, so among objects of one τ the order stands until somebody reads one of them:
//! one ordered index a τ class, whose heads are merged at the time of asking ([`Victims`]).
//!
//! Of an object with several stages ahead the step is the one that loses least a byte, so that a stage which frees next
//! to nothing is passed over; the steps of one object then lose ever more a byte, which is what makes greedy near to the
//! best. What greedy takes last may be too much of it: the last objects and the next ones are tried in all combinations
//! ([`choice`]).
//!
//! # What counts
//!
//! Used are the bytes on disk of the distinct contents, kept originals included, and of the traces. What several objects share
//! is freed when all of them get smaller, so they go together or not at all ([`sharing`]). Garbage of blob files is not
//! counted: it is freed without any loss, and counting it would have more degraded than is needed; nor is what only a
//! snapshot still sees, because degrading more would not free that either.
//!
//! Worked example: two photographs of 1000 bytes, warm would leave 350 of each with fidelity 0.95. One has heat 2^-1, the other
//! 2^-6, both τ = 30 d. Their steps lose the same a byte but for the heat, so the second goes first: it is read 32 times as
//! rarely. A weight of 64 in its policy would turn that round.
//!
//! # Complexity and memory
//!
//! The index is built when a round finds the use above the mark, from two sequential reads of all rows and one of the
//! references, and kept for that round. It holds at most [`VICTIMS_MAX`] of the best entries of 24 bytes. A round frees at
//! least a twentieth of the budget, so the reads are shared by all that it takes; a victim then costs O(log n + τ classes)
//! and one read of its row, by which an entry that a read has made too early is put right (*lazy correction*). Puts and
//! reads write nothing for it. In between, a counter of what was added since the last count says when to count again.

pub(crate) mod choice;
mod settings;
mod sharing;
mod survey;
pub(crate) mod usual;
#[cfg(test)]
mod utility;
mod victims;

pub(crate) use choice::{Candidate, Left, PlanLimits, plan};
pub(crate) use settings::Budgets;
pub(crate) use sharing::{Judged, Walk};
pub(crate) use survey::{Scene, Survey};
pub use victims::{Step, Victims};

use crate::types::Stage;
use std::fmt;

/// Entries of the victim index; beyond them, only the best are kept, and it is built anew when they are used up.
pub(crate) const VICTIMS_MAX: usize = 1 << 18;

/// How many bytes the objects of the database, or of a tenant, may take.
///
/// ```
/// use patina_objects::Budget;
/// let budget = Budget { bytes: 1000, refuse_writes: false };
/// // Decay for the budget's sake starts above the one and stops at the other.
/// assert_eq!((budget.starts_above_bytes(), budget.stops_at_bytes()), (950, 900));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes on disk of the distinct contents and the traces, at least 1.
    pub bytes: u64,
    /// Whether puts are refused that would go beyond the budget. Otherwise they are always taken, and decay has to follow.
    pub refuse_writes: bool,
}

impl Budget {
    /// Above so many bytes, a round takes the least wanted: 95% of the budget.
    pub const fn starts_above_bytes(&self) -> u64 {
        self.bytes - self.bytes / 20
    }

    /// At so many bytes it stops: 90% of the budget.
    pub const fn stops_at_bytes(&self) -> u64 {
        self.bytes - self.bytes / 10
    }
}

/// Why an object's bytes cannot go for the sake of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// A hold stands.
    Held,
    /// It is pinned.
    Pinned,
    /// It is younger than its policy's `min_retention`.
    Retention,
    /// It has not been in its stage for `min_dwell`, or in its last stage for the `grace` before a purge.
    Dwell,
    /// The next stage is below the policy's fidelity floor.
    Floor,
    /// Its transitions fail.
    Failing,
    /// Its original is kept, or would be, so that its next stage frees nothing of it before the restore window ends.
    Original,
    /// Other objects have the same content, and not all of them may go, so that nothing would be freed.
    Shared,
    /// Its policy has no further stage that would free anything.
    LastStage,
}

impl Protection {
    /// What stops it, for a person: "held", "pinned", "min_retention", "min_dwell", "fidelity floor", "failing",
    /// "restore window", "shared content" or "last stage".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Pinned => "pinned",
            Self::Retention => "min_retention",
            Self::Dwell => "min_dwell",
            Self::Floor => "fidelity floor",
            Self::Failing => "failing",
            Self::Original => "restore window",
            Self::Shared => "shared content",
            Self::LastStage => "last stage",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one kind of protection keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Which.
    pub by: Protection,
    /// Objects.
    pub objects: u64,
    /// Bytes of them on disk, shared contents counted for each.
    pub bytes: u64,
}

/// An object that keeps a budget from being met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedObject {
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant: String,
    /// Its bytes on disk.
    pub bytes: u64,
    /// What stops it.
    pub by: Protection,
    /// Objects that have its content, itself included.
    pub holders: u64,
}

/// A budget and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    /// Whose; `None` is the whole database.
    pub tenant: Option<String>,
    /// The limit.
    pub budget: Budget,
    /// Bytes used.
    pub used_bytes: u64,
    /// What cannot go now, the most first. An object is counted under the first thing that stops it.
    pub blocked: Vec<Blocked>,
    /// The largest of the objects that cannot go, at most ten.
    pub largest_blocked: Vec<BlockedObject>,
}

impl BudgetStatus {
    /// Bytes above the mark at which decay for its sake starts; 0 if there is nothing to do.
    pub const fn excess_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(self.budget.starts_above_bytes())
    }
}

/// What a round did for one budget that was exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetReport {
    /// How it stands after the round, with what blocks it if it is still exceeded.
    pub after: BudgetStatus,
    /// Bytes used before.
    pub used_bytes_before: u64,
    /// Objects that went a stage further for it.
    pub moved: u64,
    /// Bytes above the mark at which decay stops, with nothing left that may go. 0 if the budget was met.
    pub short_by_bytes: u64,
}

/// Where an object stands in the queue of a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetPlace {
    /// Whose budget; `None` is the whole database's.
    pub tenant: Option<String>,
    /// The limit.
    pub budget: Budget,
    /// Bytes used now.
    pub used_bytes: u64,
    /// What stops it; then it has no place.
    pub blocked_by: Option<Protection>,
    /// Objects that would go before it.
    pub objects_before: u64,
    /// Bytes that their next steps would free.
    pub bytes_before: u64,
    /// Its own next step.
    pub next: Option<NextStep>,
}

impl BudgetPlace {
    /// How many more bytes have to come until its turn does, if nobody reads; `None` if it has no place. 0: the next round
    /// takes it.
    pub fn bytes_until_its_turn(&self) -> Option<u64> {
        self.next?;
        let stops_at = self.budget.stops_at_bytes();
        let goes_above = stops_at.saturating_add(self.bytes_before).max(self.budget.starts_above_bytes());
        Some(goes_above.saturating_add(1).saturating_sub(self.used_bytes))
    }
}

/// What a budget would make of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NextStep {
    /// The stage.
    pub to: Stage,
    /// Bytes that would be left, as estimated.
    pub bytes_after_estimate: u64,
    /// Fidelity that would be left, as estimated.
    pub fidelity_after_estimate: f64,
}
