//! What should happen to an object, decided from its row, its policy and the time alone.
//!
//! Everything that moves objects asks here: the natural tick, the forced one, the dry run, the judge inside a bin
//! compaction and its commit. So they cannot disagree.
//!
//! Invariants: what is pinned, held, in its minimum retention, at its floor or quarantined gives no move, in a forced
//! tick either; stages only rise; a late object goes to its deepest due stage at once, but to purged only when no other
//! stage is left before it.

use crate::budget::Protection;
use crate::clock::Timestamp;
use crate::due::{DueTime, due_times};
use crate::heat::Effective;
use crate::policy::Policy;
use crate::rows::ObjectRow;
use crate::types::Stage;

/// A transition that failed so often is not tried again until somebody changes the object or its policy.
pub(crate) const ATTEMPTS_MAX: u32 = 5;

/// Progress of a forced tick is a sum of rates such as 0.1; ten of them must make one.
const PROGRESS_SLACK: f64 = 1e-9;

/// An object as the planner sees it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub row: &'a ObjectRow,
    pub policy: &'a Policy,
    /// With the accesses that still wait in memory.
    pub effective: Effective,
}

/// Why nothing may move an object until somebody changes it or its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Pinned,
    Held,
    Floor,
    Failing,
    LastStage,
}

/// What the natural course of time wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The deepest due stage, and since when it is due.
    Move {
        to: Stage,
        due: Timestamp,
    },
    /// The row of a purged object may go, and since when.
    Forget {
        due: Timestamp,
    },
    /// Nothing before this time.
    Wait(Timestamp),
    Blocked(Block),
}

/// What a forced tick wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Forced {
    Stay,
    /// Not yet a whole stage: only the progress changes.
    Gain {
        progress: f64,
    },
    Move {
        to: Stage,
        progress: f64,
    },
}

impl Subject<'_> {
    /// What is due at `now`.
    pub(crate) fn verdict(&self, now: Timestamp) -> Verdict {
        if let Some(block) = self.block(now) {
            return Verdict::Blocked(block);
        }
        let Some(opens) = self.opens_at(now) else { return Verdict::Blocked(Block::Held) };
        if self.row.stage() == Stage::Purged {
            return match self.policy.forget_after {
                None => Verdict::Blocked(Block::LastStage),
                Some(after) => {
                    let mut due = Timestamp(self.row.stage_entered_ms).after(after).max(opens);
                    if self.row.original().is_some() {
                        // The row leads to the kept original: it goes after it.
                        due = due.max(self.row.original_goes_at(now).unwrap_or(Timestamp::NEVER));
                    }
                    if due <= now { Verdict::Forget { due } } else { Verdict::Wait(due) }
                }
            };
        }
        let dues = due_times(self.policy, &self.row.life(self.effective));
        let Some(first) = dues.first() else { return Verdict::Blocked(Block::LastStage) };
        if opens > now || first.at > now {
            return Verdict::Wait(first.at.max(opens));
        }
        let deepest = dues.iter().rev().find(|due| due.at <= now && due.stage != Stage::Purged);
        match deepest {
            Some(due) => Verdict::Move { to: due.stage, due: due.at },
            None => self.purge(first),
        }
    }

    /// When the due index should bring the object up again; `None` if only a change of something else can.
    ///
    /// Not later than the verdict changes by itself, whatever is read meanwhile: reading only puts things off.
    pub(crate) fn next_visit(&self, now: Timestamp) -> Option<Timestamp> {
        [self.next_decay(now), self.row.original_goes_at(now)].into_iter().flatten().min()
    }

    /// When the object's next stage comes; `None` if none comes by itself.
    pub(crate) fn next_decay(&self, now: Timestamp) -> Option<Timestamp> {
        match self.verdict(now) {
            Verdict::Wait(until) => Some(until).filter(|until| *until < Timestamp::NEVER),
            Verdict::Move { due, .. } | Verdict::Forget { due } => Some(due),
            Verdict::Blocked(_) => None,
        }
    }

    /// What a forced tick does with it.
    pub(crate) fn forced(&self, now: Timestamp) -> Forced {
        let retained = Timestamp(self.row.created_at_ms).after(self.policy.min_retention) > now;
        let stage = self.row.stage();
        if self.block(now).is_some() || self.row.standing_holds(now).next().is_some() || retained {
            return Forced::Stay;
        }
        let has = |stage: &Stage| self.policy.after(*stage).is_some();
        let ahead: Vec<Stage> = Stage::ALL.into_iter().filter(|next| *next > stage && has(next)).collect();
        let kept: Vec<Stage> = ahead.iter().copied().filter(|next| *next != Stage::Purged).collect();
        // The purge is a step of its own, after all others.
        let path = if kept.is_empty() { ahead } else { kept };
        let purges_below_floor = path.first() == Some(&Stage::Purged) && self.policy.fidelity_floor > 0.0;
        if path.is_empty() || purges_below_floor {
            return Forced::Stay;
        }
        let progress = self.row.progress + self.row.rate;
        let steps = ((progress + PROGRESS_SLACK).floor() as usize).min(path.len());
        match steps.checked_sub(1).and_then(|last| path.get(last)) {
            None => Forced::Gain { progress },
            Some(&to) => Forced::Move { to, progress: (progress - steps as f64).max(0.0) },
        }
    }

    /// What keeps the object from getting smaller for a budget's sake.
    pub(crate) fn protection(&self, now: Timestamp) -> Option<Protection> {
        let (row, policy) = (self.row, self.policy);
        let would_keep = (row.keep_original || policy.keep_original) && !policy.restore_window.is_zero();
        if row.standing_holds(now).next().is_some() {
            Some(Protection::Held)
        } else if row.pinned {
            Some(Protection::Pinned)
        } else if Timestamp(row.created_at_ms).after(policy.min_retention) > now {
            Some(Protection::Retention)
        } else if row.at_floor {
            Some(Protection::Floor)
        } else if row.attempts >= ATTEMPTS_MAX || Timestamp(row.retry_at_ms) > now {
            Some(Protection::Failing)
        } else if Timestamp(row.stage_entered_ms).after(policy.min_dwell) > now {
            Some(Protection::Dwell)
        } else if row.is_original() && row.original().is_none() && would_keep {
            Some(Protection::Original)
        } else {
            None
        }
    }

    /// Why a budget cannot take the object anywhere, whatever would be freed.
    pub(crate) fn budget_block(&self, now: Timestamp) -> Option<Protection> {
        self.protection(now).or_else(|| self.stages_for_budget(now).err())
    }

    /// The stages that a budget may take an unprotected object to: those of its policy that are still ahead. The purge is a
    /// step of its own, after all others and after the grace.
    pub(crate) fn stages_for_budget(&self, now: Timestamp) -> Result<Vec<Stage>, Protection> {
        let stage = self.row.stage();
        let mut ahead: Vec<Stage> = Stage::ALL.into_iter().filter(|next| *next > stage).collect();
        ahead.retain(|next| self.policy.after(*next).is_some());
        if ahead.first() != Some(&Stage::Purged) {
            ahead.retain(|next| *next != Stage::Purged);
            return if ahead.is_empty() { Err(Protection::LastStage) } else { Ok(ahead) };
        }
        if self.policy.fidelity_floor > 0.0 {
            return Err(Protection::Floor);
        }
        let dwell = self.policy.min_dwell.max(self.policy.grace);
        if Timestamp(self.row.stage_entered_ms).after(dwell) > now {
            return Err(Protection::Dwell);
        }
        Ok(ahead)
    }

    /// The stages that a move to `to` may fall back to when `to` would go below the fidelity floor: those of the policy
    /// between here and there, deepest first, `to` itself included.
    pub(crate) fn fallbacks(&self, to: Stage) -> Vec<Stage> {
        let between =
            |stage: &Stage| *stage > self.row.stage() && *stage <= to && self.policy.after(*stage).is_some();
        Stage::ALL.into_iter().rev().filter(between).collect()
    }

    fn purge(&self, due: &DueTime) -> Verdict {
        if due.stage != Stage::Purged {
            return Verdict::Wait(due.at);
        }
        if self.policy.fidelity_floor > 0.0 {
            return Verdict::Blocked(Block::Floor);
        }
        Verdict::Move { to: Stage::Purged, due: due.at }
    }

    fn block(&self, now: Timestamp) -> Option<Block> {
        let row = self.row;
        if row.standing_holds(now).any(|hold| hold.until.is_none()) {
            Some(Block::Held)
        } else if row.pinned {
            Some(Block::Pinned)
        } else if row.at_floor {
            Some(Block::Floor)
        } else if row.attempts >= ATTEMPTS_MAX {
            Some(Block::Failing)
        } else {
            None
        }
    }

    /// When the last hold that has an end ends, and a failed transition may be tried again.
    fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let holds = self.row.standing_holds(now).map(|hold| hold.until);
        let ends = holds.collect::<Option<Vec<Timestamp>>>()?;
        let retry = Timestamp(self.row.retry_at_ms);
        Some(ends.into_iter().max().unwrap_or_default().max(retry))
    }
}

#[cfg(test)]
mod tests;
