//! What becomes of an object if nobody reads or changes it: the planner asked again and again, on copies of its row.
//!
//! The forecast runs it for every object with a tick a day, EXPLAIN DECAY for one object with a tick at each due time.
//! Neither knows what only a transform can tell: whether it fails, or would go below a fidelity floor. Bytes are estimated as
//! a dry run does.

use super::dry_run;
use crate::clock::Timestamp;
use crate::model::PlannedMove;
use crate::plan::{Subject, Verdict};
use crate::policy::Policy;
use crate::rows::ObjectRow;
use crate::types::ObjectId;

/// One thing that happens to an object.
pub(super) enum Step {
    /// It moves, or its kept original goes.
    Move(PlannedMove),
    /// Its row goes.
    Forget,
}

/// Follows an object from `now` on. `tick_at` gives the time of the first tick at or after a moment, `None` if that is beyond
/// what is looked at; `see` gets each step with its time. The row must have every access that waits in memory.
pub(super) fn follow(
    id: ObjectId,
    mut row: ObjectRow,
    policy: &Policy,
    now: Timestamp,
    tick_at: impl Fn(Timestamp) -> Option<Timestamp>,
    mut see: impl FnMut(Timestamp, Step),
) {
    let mut reached = now;
    loop {
        let subject = Subject { row: &row, policy, effective: row.effective() };
        let Some(next) = subject.next_visit(reached) else { return };
        let Some(at) = tick_at(next.max(reached)) else { return };
        let mut is_still = true;
        let after = tick(id, row, policy, at, |step| {
            is_still = false;
            see(at, step);
        });
        let Some(after) = after else { return };
        row = after;
        if is_still && at <= reached {
            return;
        }
        reached = at;
    }
}

/// What a tick at `at` makes of an object; `None` if its row goes. `see` gets each step.
pub(super) fn tick(
    id: ObjectId,
    mut row: ObjectRow,
    policy: &Policy,
    at: Timestamp,
    mut see: impl FnMut(Step),
) -> Option<ObjectRow> {
    if row.original_goes_at(at).is_some_and(|goes_at| goes_at <= at) {
        let (planned, after) = dry_run::without_original(id, row);
        see(Step::Move(planned));
        row = after;
    }
    loop {
        match (Subject { row: &row, policy, effective: row.effective() }).verdict(at) {
            Verdict::Move { to, due } => {
                let (planned, after) = dry_run::due_move(id, row, to, due, policy, at);
                see(Step::Move(planned));
                row = after;
            }
            Verdict::Forget { .. } => {
                see(Step::Forget);
                return None;
            }
            Verdict::Wait(_) | Verdict::Blocked(_) => return Some(row),
        }
    }
}
