//! What a tick would move, by the same planner, on copies of the rows.

use crate::clock::Timestamp;
use crate::error::Result;
use crate::keys;
use crate::model::PlannedMove;
use crate::plan::{Forced, Verdict};
use crate::policy::{Policy, PolicySet};
use crate::rows::ObjectRow;
use crate::store::{Inner, decode_row};
use crate::types::{ObjectId, Stage};
use patina_codecs::Kind;
use std::sync::Arc;

/// The usual share of the hot bytes that is left at warm and at cold, in percent, by type. A trace has about
/// [`TRACE_BYTES`]. Types without a codec of their own keep their bytes until the trace.
const fn usual_percent(kind: Kind) -> [u64; 2] {
    match kind {
        Kind::Image => [35, 8],
        Kind::Text | Kind::Code | Kind::Log | Kind::Json => [35, 8],
        Kind::Table | Kind::Document | Kind::Tensor | Kind::Audio | Kind::Archive | Kind::Other => [95, 95],
    }
}

const TRACE_BYTES: u64 = 400;

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
        let mut row = found.row;
        if row.original_goes_at(now).is_some_and(|at| at <= now) {
            let (planned, next) = without_original(id, row);
            moves.push(planned);
            row = next;
        }
        while let Some((planned, next)) = next_move(inner, &policies, id, row, now) {
            moves.push(planned);
            row = next;
        }
    }
    Ok(moves)
}

fn next_move(
    inner: &Inner,
    policies: &PolicySet,
    id: ObjectId,
    row: ObjectRow,
    now: Timestamp,
) -> Option<(PlannedMove, ObjectRow)> {
    let policy = policies.of(&row.policy, row.kind());
    let Verdict::Move { to, due } = inner.subject(id, &row, &policy).verdict(now) else { return None };
    Some(due_move(id, row, to, due, &policy, now))
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
fn planned(
    id: ObjectId,
    row: ObjectRow,
    to: Stage,
    reason: String,
    policy: &Policy,
    now: Timestamp,
) -> (PlannedMove, ObjectRow) {
    let form_after = estimate(&row, to);
    let mut next = row.clone();
    next.enter(to, now);
    if form_after < row.form_stored() {
        // What the content will be is not known, only that it will be another one.
        next.content_hash = None;
        next.keep_original_of(&row, policy, now);
    }
    next.set_form_stored(form_after);
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
        reason,
    }
}

fn estimate(row: &ObjectRow, to: Stage) -> u64 {
    let share = |stage: Stage| match (stage, usual_percent(row.kind())) {
        (Stage::Warm, [warm, _]) => warm,
        (Stage::Cold, [_, cold]) => cold,
        _ => 100,
    };
    match to {
        Stage::Purged => 0,
        Stage::Trace => row.form_stored().min(TRACE_BYTES),
        Stage::Hot | Stage::Warm | Stage::Cold => {
            row.form_stored().saturating_mul(share(to)) / share(row.stage()).max(1)
        }
    }
}
