//! What a tick would move, by the same planner, on copies of the rows.

use super::by_budget;
use super::course::{self, Step};
use crate::budget::usual::Usual;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::keys;
use crate::model::PlannedMove;
use crate::plan::Forced;
use crate::policy::Policy;
use crate::rows::ObjectRow;
use crate::store::{Inner, decode_row};
use crate::types::{ObjectId, Stage};
use std::sync::Arc;

pub(super) fn natural(inner: &Inner, now: Timestamp) -> Result<Vec<PlannedMove>> {
    let snapshot = inner.db.snapshot();
    let policies = Arc::clone(&inner.policies.read());
    let mut moves = Vec::new();
    for entry in snapshot.range(&inner.spaces.due, ..=keys::due(now.0, ObjectId(u64::MAX))) {
        let Some(id) = keys::last_number(entry?.key()).map(ObjectId) else { continue };
        let found = match inner.row(Some(&snapshot), id) {
            Err(error) if error.is_damage() => continue,
            found => found?,
        };
        let Some(found) = found else { continue };
        let policy = policies.of(&found.row.policy, found.row.kind());
        let row = inner.with_waiting_accesses(id, found.row, &policy);
        course::tick(id, row, &policy, now, |step| {
            if let Step::Move(planned) = step {
                moves.push(planned);
            }
        });
    }
    let course = |id, row, policy: &Policy| {
        course::tick(id, inner.with_waiting_accesses(id, row, policy), policy, now, |_| {})
    };
    for (id, goal) in by_budget::foretold(inner, now, &course)? {
        let Some(found) = inner.row(Some(&snapshot), id)? else { continue };
        let policy = policies.of(&found.row.policy, found.row.kind());
        if let Some(row) = course(id, found.row, &policy) {
            moves.push(by_budget::foretold_move(id, row, &goal, &policy, now).0);
        }
    }
    Ok(moves)
}

/// The move to a stage that is due since `due`, and the row after it.
pub(super) fn due_move(
    id: ObjectId,
    row: ObjectRow,
    to: Stage,
    due: Timestamp,
    policy: &Policy,
    now: Timestamp,
) -> (PlannedMove, ObjectRow) {
    let days = now.since(due).as_secs() / 86_400;
    let reason = format!("{to} is due for {days} days by policy '{}'", policy.name);
    planned(id, row, to, reason, policy, now)
}

pub(super) fn forced(inner: &Inner, now: Timestamp) -> Result<Vec<PlannedMove>> {
    let snapshot = inner.db.snapshot();
    let policies = Arc::clone(&inner.policies.read());
    let mut moves = Vec::new();
    for entry in snapshot.range(&inner.spaces.objects, ..) {
        let entry = entry?;
        let Some(id) = keys::last_number(entry.key()).map(ObjectId) else { continue };
        let Ok(row) = decode_row(id, &entry.value()?) else { continue };
        let policy: Arc<Policy> = policies.of(&row.policy, row.kind());
        if let Forced::Move { to, .. } = inner.subject(id, &row, &policy).forced(now) {
            moves.push(planned(id, row, to, "forced".to_owned(), &policy, now).0);
        }
    }
    Ok(moves)
}

/// The move and the row after it.
pub(super) fn planned(
    id: ObjectId,
    row: ObjectRow,
    to: Stage,
    reason: String,
    policy: &Policy,
    now: Timestamp,
) -> (PlannedMove, ObjectRow) {
    let (form_after, fidelity) = Usual::default().left(&row, to);
    let mut next = row.clone();
    next.enter(to, now);
    if form_after < row.form_stored() {
        // What the content will be is not known, only that it will be another one.
        next.content_hash = None;
        next.keep_original_of(&row, policy, now);
    }
    next.set_form_stored(form_after);
    next.fidelity = fidelity;
    (describe(id, &row, &next, reason), next)
}

/// The end of a restore window, and the row after it.
pub(super) fn without_original(id: ObjectId, row: ObjectRow) -> (PlannedMove, ObjectRow) {
    let mut next = row.clone();
    next.forget_original();
    (describe(id, &row, &next, "its kept original goes: the restore window has passed".to_owned()), next)
}

fn describe(id: ObjectId, before: &ObjectRow, after: &ObjectRow, reason: String) -> PlannedMove {
    PlannedMove {
        object: id,
        name: before.name.clone(),
        tenant: before.tenant.clone(),
        from: before.stage(),
        to: after.stage(),
        bytes_before: before.stored,
        bytes_after_estimate: after.stored,
        fidelity_after_estimate: after.fidelity,
        reason,
    }
}
