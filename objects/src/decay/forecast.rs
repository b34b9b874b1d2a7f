//! What the next days bring, and why an object is where it is.

use super::by_budget;
use super::course::{self, Step, follow};
use crate::clock::{Timestamp, days, millis};
use crate::due::due_times;
use crate::error::{Error, Result};
use crate::keys;
use crate::model::{Explanation, Forecast, ForecastDay, PlannedMove, StageMoves};
use crate::plan::{Block, Subject, Verdict};
use crate::policy::Policy;
use crate::rows::ObjectRow;
use crate::store::{Inner, ObjectStore, decode_row};
use crate::types::{ObjectId, Stage};
use std::sync::Arc;

/// A forecast has a row a day, so its length is bounded: a hundred years.
const DAYS_MAX: u32 = 36_500;

impl ObjectStore {
    /// What each of the next days brings if there is a tick a day and nobody reads or changes anything; `under` puts every
    /// object under another policy for that. Only a transform can tell whether it fails or goes below a fidelity floor, and
    /// bytes are estimated, so [`Forecast`] is exact about when an object comes to a stage, and about the rest it is not.
    ///
    /// Complexity: every row once, and once more for each of its stages that falls into the days.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for more than a hundred years or a bad policy; storage's.
    pub fn forecast(&self, count: u32, under: Option<&Policy>) -> Result<Forecast> {
        if count == 0 || count > DAYS_MAX {
            return Err(Error::invalid(format!("a forecast is for 1 to {DAYS_MAX} days, not {count}")));
        }
        under.map_or(Ok(()), Policy::validate)?;
        let inner = &*self.inner;
        let now = inner.now();
        let snapshot = inner.db.snapshot();
        let policies = Arc::clone(&inner.policies.read());
        let first = now.after(days(1));
        let course = |id, row, own: &Policy| {
            course::tick(id, inner.with_waiting_accesses(id, row, own), under.unwrap_or(own), first, |_| {})
        };
        // Nothing is added in this forecast, so after the first tick every budget is kept, or cannot be.
        let for_budgets = by_budget::foretold(inner, first, &course)?;
        let mut forecast = Forecast { stored_now: 0, days: empty_days(now, count) };
        for entry in snapshot.range(&inner.spaces.objects, ..) {
            let entry = entry?;
            let Some(id) = keys::last_number(entry.key()).map(ObjectId) else { continue };
            let Ok(row) = decode_row(id, &entry.value()?) else { continue };
            forecast.stored_now += row.stored;
            let own = policies.of(&row.policy, row.kind());
            let row = inner.with_waiting_accesses(id, row, &own);
            let policy = under.unwrap_or(&own);
            let tick_at = |at: Timestamp| tick_on(now, at, count).map(|day| now.after(days(day.into())));
            let Some(goal) = for_budgets.get(&id) else {
                follow(id, row, policy, now, tick_at, |at, step| forecast.add(now, at, step));
                continue;
            };
            let Some(row) = course::tick(id, row, policy, first, |step| forecast.add(now, first, step))
            else {
                continue;
            };
            let (planned, row) = by_budget::foretold_move(id, row, goal, policy, first);
            forecast.add_for_budget(&planned);
            forecast.add(now, first, Step::Move(planned));
            follow(id, row, policy, first, tick_at, |at, step| forecast.add(now, at, step));
        }
        forecast.add_up();
        Ok(forecast)
    }

    /// Why an object is where it is, and what becomes of it if nobody reads it. Complexity: one row, but with budgets every
    /// reference once, and every row once and once more for each budget.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; storage's.
    pub fn explain_decay(&self, tenant: &str, name: &str) -> Result<Explanation> {
        let inner = &*self.inner;
        let now = inner.now();
        let (id, found) = inner.find(&inner.db.snapshot(), tenant, name)?;
        let policies = Arc::clone(&inner.policies.read());
        let policy = policies.of(&found.row.policy, found.row.kind());
        let info = inner.info(id, &found.row, &policies, now);
        let row = inner.with_waiting_accesses(id, found.row, &policy);
        let subject = Subject { row: &row, policy: &policy, effective: row.effective() };
        let dues = due_times(&policy, &row.life(row.effective()));
        let blocked_by = blocks(&subject, now);
        let mut course = Vec::new();
        follow(id, row.clone(), &policy, now, Some, |at, step| {
            if let Step::Move(planned) = step {
                course.push((at, planned));
            }
        });
        let budgets = by_budget::places(inner, now, id, &row)?;
        Ok(Explanation { info, half_life: policy.half_life, dues, blocked_by, course, budgets })
    }
}

impl Inner {
    /// The row as it will be when the accesses that wait in memory are written.
    pub(super) fn with_waiting_accesses(&self, id: ObjectId, row: ObjectRow, policy: &Policy) -> ObjectRow {
        let effective_ms = self.subject(id, &row, policy).effective.to_row();
        ObjectRow { effective_ms, ..row }
    }
}

fn empty_days(now: Timestamp, count: u32) -> Vec<ForecastDay> {
    (1..=count)
        .map(|day| ForecastDay { day, at: now.after(days(day.into())), ..ForecastDay::default() })
        .collect()
}

/// The first day from now, counted from 1, whose tick comes at or after `at`.
fn tick_on(now: Timestamp, at: Timestamp, count: u32) -> Option<u32> {
    let day = millis(at.since(now)).div_ceil(millis(days(1))).max(1);
    u32::try_from(day).ok().filter(|day| *day <= count)
}

impl Forecast {
    fn add(&mut self, now: Timestamp, at: Timestamp, step: Step) {
        let day = millis(at.since(now)) / millis(days(1));
        let place = usize::try_from(day).ok().and_then(|day| day.checked_sub(1));
        let Some(day) = place.and_then(|place| self.days.get_mut(place)) else { return };
        let planned = match step {
            Step::Forget => return day.forgotten += 1,
            Step::Move(planned) => planned,
        };
        if planned.from == planned.to {
            day.originals_dropped += 1;
        } else if let Some(StageMoves { objects, bytes_before, bytes_after }) =
            day.by_stage.get_mut(planned.to.index())
        {
            *objects += 1;
            *bytes_before += planned.bytes_before;
            *bytes_after += planned.bytes_after_estimate;
        }
        day.bytes_added += planned.bytes_after_estimate as i64 - planned.bytes_before as i64;
    }

    /// A move of the first day.
    fn add_for_budget(&mut self, planned: &PlannedMove) {
        let first = self.days.first_mut();
        if let Some(objects) = first.and_then(|day| day.for_budgets.get_mut(planned.to.index())) {
            *objects += 1;
        }
    }

    fn add_up(&mut self) {
        let mut left = self.stored_now;
        for day in &mut self.days {
            left = left.saturating_add_signed(day.bytes_added);
            day.stored_after = left;
        }
    }
}

/// Every reason for which nothing happens now, for a person.
fn blocks(subject: &Subject<'_>, now: Timestamp) -> Vec<String> {
    let row = subject.row;
    let mut reasons: Vec<String> = row
        .standing_holds(now)
        .map(|hold| match hold.until {
            Some(until) => format!("hold {} ({}) until {until}", hold.id, hold.reason),
            None => format!("hold {} ({}) until it is released", hold.id, hold.reason),
        })
        .collect();
    if row.pinned {
        reasons.push("it is pinned".to_owned());
    }
    if Timestamp(row.retry_at_ms) > now {
        reasons
            .push(format!("its last transition failed; the next try is at {}", Timestamp(row.retry_at_ms)));
    }
    match subject.verdict(now) {
        Verdict::Blocked(Block::Floor) => {
            reasons.push("the next stage is below the policy's fidelity floor".to_owned())
        }
        Verdict::Blocked(Block::Failing) => {
            reasons.push(
                "its transitions failed too often: change the object or its policy to try anew".to_owned(),
            );
        }
        Verdict::Blocked(Block::LastStage) if row.stage() == Stage::Purged => {
            reasons.push("it is purged, and the policy never forgets its row".to_owned());
        }
        Verdict::Blocked(Block::LastStage) => reasons.push("the policy has no further stage".to_owned()),
        _ => {}
    }
    reasons
}
