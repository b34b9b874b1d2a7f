//! Keeping budgets: after what is due, a natural round takes the least wanted bytes of who exceeds theirs.
//!
//! ```text
//! count → fill the victim index → plan → compact the files that hold the planned ones → plan the rest → count
//! ```
//!
//! The planned objects go through the same judge and commit as everything else that decays; a plan only says which and how
//! far. What they really free is what counts, so a transform that leaves more than was expected is made up for by the next
//! plan, and one that leaves less ends the work earlier. Tenants' budgets come first: what they free counts for the
//! database's as well.
//!
//! Invariants: nothing protected moves; objects that share a content move together or not at all; no more moves once enough is freed; an object whose step did not come about is not
//! planned again in the round.

use super::dry_run;
use super::round::{Mode, Round};
use crate::budget::{
    Budget, BudgetPlace, BudgetReport, BudgetStatus, Judged, Left, NextStep, PlanLimits, Scene, Survey,
    VICTIMS_MAX, Victims, Walk, plan,
};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::policy::Policy;
use crate::rows::ObjectRow;
use crate::store::Inner;
use crate::types::{ObjectId, Stage};
use std::collections::{BTreeMap, HashMap};

/// Objects of one plan.
const VICTIMS_PER_PLAN: usize = 4096;

/// A plan takes objects of at most so many times the missing bytes: usual steps free half of an object and more.
const OVER_PLAN: u64 = 2;

/// What a round does for one budget.
#[derive(Default)]
pub(super) struct Task {
    chosen: HashMap<ObjectId, Stage>,
    need_bytes: u64,
    /// May be below zero: a transform can leave more than there was.
    freed_bytes: i64,
}

impl Task {
    pub(super) fn missing_bytes(&self) -> u64 {
        let freed = self.freed_bytes;
        if freed >= 0 { self.need_bytes.saturating_sub(freed.unsigned_abs()) } else { self.need_bytes }
    }

    /// Counts what a commit has freed: bytes of contents that are gone and of traces, less those that came.
    pub(super) fn count_freed(&mut self, bytes: i64) {
        self.freed_bytes += bytes;
    }

    /// The stage that an object is planned for. Whether bytes are still missing is asked at the commit, whose order is given.
    pub(super) fn stage_of(&self, id: ObjectId) -> Option<Stage> {
        self.chosen.get(&id).copied()
    }
}

impl Round<'_> {
    /// Brings down what exceeds its budget.
    pub(super) fn keep_budgets(&mut self) -> Result<()> {
        let wanted = self.inner.budgets.wanting_a_round(self.now);
        self.mode = Mode::Budget;
        for (tenant, budget) in wanted {
            if self.is_stopped() || self.is_at_limit() {
                return Ok(());
            }
            self.keep_budget(tenant, budget)?;
        }
        Ok(())
    }

    fn keep_budget(&self, tenant: Option<String>, budget: Budget) -> Result<()> {
        let whose = tenant.as_deref();
        let (scene, survey) = self.inner.count_used(self.now)?;
        let used = survey.used_bytes(whose);
        if used <= budget.starts_above_bytes() {
            return Ok(());
        }
        let moved_before = self.moved();
        let need_bytes = used - budget.stops_at_bytes();
        self.with_task(|task| *task = Task { need_bytes, ..Task::default() });
        let mut victims = fill(&scene, &survey, whose, &|id| self.is_settled(id))?;
        drop(scene);
        loop {
            let moved = self.moved();
            self.take(&mut victims, &survey, whose)?;
            let is_over = self.with_task(|task| task.missing_bytes()) == 0 || !victims.is_truncated();
            if is_over || self.is_stopped() || self.is_at_limit() || self.moved() == moved {
                break;
            }
            let scene = Scene::present(self.inner, self.now);
            victims = fill(&scene, &survey, whose, &|id| self.is_settled(id))?;
        }
        let (scene, survey) = self.inner.count_used(self.now)?;
        let used_after = survey.used_bytes(whose);
        let was_ended = self.is_stopped() || self.is_at_limit();
        let missing = used_after.saturating_sub(budget.stops_at_bytes());
        let short_by_bytes =
            if was_ended || self.with_task(|task| task.missing_bytes()) == 0 { 0 } else { missing };
        let after = match short_by_bytes {
            0 => BudgetStatus {
                tenant,
                budget,
                used_bytes: used_after,
                blocked: Vec::new(),
                largest_blocked: Vec::new(),
            },
            _ => {
                self.inner.budgets.note_short(&tenant, self.now);
                survey.status(&scene, whose, budget)?
            }
        };
        let moved = self.moved() - moved_before;
        self.report_budget(BudgetReport { after, used_bytes_before: used, moved, short_by_bytes });
        Ok(())
    }

    /// Plans and moves until enough is freed, or nobody is left.
    fn take(&self, victims: &mut Victims, survey: &Survey, tenant: Option<&str>) -> Result<()> {
        while !self.is_stopped() && !self.is_at_limit() {
            let missing = self.with_task(|task| task.missing_bytes());
            let scene = Scene::present(self.inner, self.now);
            let load = |id| {
                let candidate = scene.candidate(survey, id, tenant)?;
                Ok(candidate.filter(|candidate| !candidate.objects().any(|id| self.is_settled(id))))
            };
            let bytes_max = missing.saturating_mul(OVER_PLAN);
            let limits = PlanLimits { objects_max: VICTIMS_PER_PLAN, bytes_max };
            let planned = plan(victims, self.now, missing, limits, load)?;
            drop(scene);
            if planned.moves.is_empty() {
                return Ok(());
            }
            let moved = self.moved();
            self.move_planned(&planned.moves)?;
            if self.moved() == moved {
                return Ok(());
            }
        }
        Ok(())
    }

    fn move_planned(&self, moves: &[(ObjectId, Left)]) -> Result<()> {
        self.with_task(|task| task.chosen = moves.iter().map(|(id, left)| (*id, left.stage)).collect());
        let (purged, degraded): (Vec<_>, Vec<_>) =
            moves.iter().copied().partition(|(_, left)| left.stage == Stage::Purged);
        self.move_chosen(degraded.into_iter().map(|(id, _)| id))?;
        for (id, _) in purged {
            self.purge_chosen(id)?;
        }
        Ok(())
    }
}

/// Everybody who may go for a budget, in an index.
fn fill(
    scene: &Scene<'_>,
    survey: &Survey,
    tenant: Option<&str>,
    is_left_out: &dyn Fn(ObjectId) -> bool,
) -> Result<Victims> {
    let mut victims = Victims::new(VICTIMS_MAX, scene.now);
    let mut walk = Walk::new(survey, scene, tenant);
    scene.for_each(|id, row, policy| {
        if tenant.is_some_and(|tenant| tenant != row.tenant) {
            return Ok(());
        }
        let Judged::May(candidate) = walk.judge(id, row, policy)? else { return Ok(()) };
        if let Some((_, step)) = candidate.next_step(None).filter(|_| !candidate.objects().any(is_left_out)) {
            victims.add(candidate.id, &step);
        }
        Ok(())
    })?;
    Ok(victims)
}

/// What a round would do for budgets once everything else that is due has moved, as far as estimates tell: the goal of each
/// object and why. `course` gives a row as it is then.
pub(super) fn foretold(
    inner: &Inner,
    now: Timestamp,
    course: &dyn Fn(ObjectId, ObjectRow, &Policy) -> Option<ObjectRow>,
) -> Result<BTreeMap<ObjectId, (Stage, String)>> {
    let mut moves = BTreeMap::new();
    let budgets = inner.budgets.all();
    if budgets.is_empty() {
        return Ok(moves);
    }
    let scene = Scene { course: Some(course), ..Scene::present(inner, now) };
    let survey = Survey::of(&scene)?;
    let mut freed_bytes = 0;
    for (tenant, budget) in budgets {
        let mut used = survey.used_bytes(tenant.as_deref());
        if tenant.is_none() {
            used = used.saturating_sub(freed_bytes);
        }
        if used <= budget.starts_above_bytes() {
            continue;
        }
        let mut victims = fill(&scene, &survey, tenant.as_deref(), &|id| moves.contains_key(&id))?;
        let load = |id| {
            let candidate = scene.candidate(&survey, id, tenant.as_deref())?;
            Ok(candidate.filter(|candidate| !candidate.objects().any(|id| moves.contains_key(&id))))
        };
        let planned = plan(&mut victims, now, used - budget.stops_at_bytes(), PlanLimits::NONE, load)?;
        freed_bytes += planned.freed_bytes;
        let whose = tenant.map_or_else(String::new, |tenant| format!(" of tenant '{tenant}'"));
        let reason = format!("{used} bytes are used of the budget{whose} of {}", budget.bytes);
        moves.extend(planned.moves.into_iter().map(|(id, left)| (id, (left.stage, reason.clone()))));
    }
    Ok(moves)
}

/// Where an object stands in the queues of the budgets that concern it.
pub(super) fn places(
    inner: &Inner,
    now: Timestamp,
    id: ObjectId,
    row: &ObjectRow,
) -> Result<Vec<BudgetPlace>> {
    let mut budgets = inner.budgets.all();
    budgets.retain(|(tenant, _)| tenant.as_ref().is_none_or(|tenant| *tenant == row.tenant));
    if budgets.is_empty() {
        return Ok(Vec::new());
    }
    let scene = Scene::present(inner, now);
    let survey = Survey::of(&scene)?;
    let policy = scene.policies.of(&row.policy, row.kind());
    let mut places = Vec::new();
    for (tenant, budget) in budgets {
        let own = survey.judge(&scene, id, row, &policy, tenant.as_deref())?;
        let step = own.as_ref().ok().and_then(|candidate| candidate.next_step(None));
        let (mut objects_before, mut bytes_before) = (0, 0);
        let mut walk = Walk::new(&survey, &scene, tenant.as_deref());
        scene.for_each(|other, row, policy| {
            let is_elsewhere = tenant.as_ref().is_some_and(|tenant| *tenant != row.tenant);
            let Some((_, own)) = step.filter(|_| !is_elsewhere) else { return Ok(()) };
            let Judged::May(candidate) = walk.judge(other, row, policy)? else { return Ok(()) };
            let theirs = candidate.next_step(None).filter(|_| !candidate.objects().any(|other| other == id));
            if let Some((_, theirs)) = theirs.filter(|(_, theirs)| theirs.score(now) < own.score(now)) {
                objects_before += candidate.objects().count() as u64;
                bytes_before += theirs.bytes_freed;
            }
            Ok(())
        })?;
        let next = own.as_ref().ok().zip(step).and_then(|(candidate, (at, _))| {
            let left = candidate.ahead.get(at)?;
            Some(NextStep {
                to: left.stage,
                bytes_after_estimate: left.bytes,
                fidelity_after_estimate: left.fidelity,
            })
        });
        let used_bytes = survey.used_bytes(tenant.as_deref());
        let blocked_by = own.as_ref().err().copied();
        places.push(BudgetPlace {
            tenant,
            budget,
            used_bytes,
            blocked_by,
            objects_before,
            bytes_before,
            next,
        });
    }
    Ok(places)
}

/// The row of an object after a move for a budget's sake, and what to tell of it.
pub(super) fn foretold_move(
    id: ObjectId,
    row: ObjectRow,
    (to, reason): &(Stage, String),
    policy: &Policy,
    now: Timestamp,
) -> (crate::model::PlannedMove, ObjectRow) {
    dry_run::planned(id, row, *to, reason.clone(), policy, now)
}
