//! One round: which objects to visit, and what it knows of itself.
//!
//! A natural round walks the due index in chunks until nothing that is due moves any more: an object that came to its
//! trace may be due for its purge at once if its policy gives no grace, which is a step of its own. So the stages after
//! one late round are those after many punctual ones.
//!
//! Invariants: an object that cannot move leaves the index, or gets a later entry, so no visit is for nothing twice; an
//! object that somebody changed meanwhile is looked at once more at most, then left for the next round.

mod chosen;
mod files;
mod forced;
mod outcome;

use crate::clock::Timestamp;
use crate::decay::by_budget::Task;
use crate::error::{Error, Result};
use crate::keys;
use crate::model::{TickOptions, TickProgress, TickReport};
use crate::plan::Verdict;
use crate::policy::PolicySet;
use crate::rows::ObjectRow;
use crate::store::{Inner, Versioned};
use crate::types::{ContentHash, ObjectId, Reason, Stage};
use files::Files;
use parking_lot::Mutex;
use patina_storage::{Durability, Seqno, Snapshot};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// Entries of the due index, or rows, that are visited before the files they lead to are compacted.
const VISITS_PER_CHUNK: usize = 4096;

/// What brings an object up.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    Natural,
    /// Only rows no younger than this, so that none advances twice.
    Forced {
        since: Seqno,
    },
    /// What a budget chose, see [`super::by_budget`].
    Budget,
}

#[derive(Default)]
struct State {
    report: TickReport,
    /// Not to be looked at again in this round.
    settled: HashSet<ObjectId>,
    /// Of those that were visited last, the ones that may spend of the hour's bytes; see [`Round::may_go`].
    granted: HashSet<ObjectId>,
    /// Lost against another writer, to be looked at once more.
    again: Vec<ObjectId>,
    /// What of the files that are being compacted has to be looked at; everything if it is none.
    wanted: Option<HashSet<ContentHash>>,
    /// With the generation that failed.
    failures: Vec<(ObjectId, u64, String)>,
    /// What a full disk had no room for, the first of it.
    no_space: Option<Error>,
    task: Task,
}

pub(super) struct Round<'a> {
    pub inner: &'a Inner,
    pub now: Timestamp,
    pub mode: Mode,
    progress: Option<&'a (dyn Fn(TickProgress) + Sync)>,
    stop: Option<&'a AtomicBool>,
    state: Mutex<State>,
}

impl<'a> Round<'a> {
    pub(super) fn new(inner: &'a Inner, now: Timestamp, mode: Mode, options: &TickOptions<'a>) -> Self {
        let forced = matches!(mode, Mode::Forced { .. });
        let report = TickReport { now, forced, ..TickReport::default() };
        let state = Mutex::new(State { report, ..State::default() });
        Self { inner, now, mode, progress: options.progress, stop: options.stop, state }
    }

    pub(super) fn moved(&self) -> u64 {
        self.state.lock().report.moved
    }

    /// A full disk stops what it has no room for, and not what frees space.
    ///
    /// # Errors
    /// Any other.
    pub(super) fn pass_if_full(&self, error: Error) -> Result<()> {
        if !error.is_no_space() {
            return Err(error);
        }
        self.state.lock().no_space.get_or_insert(error);
        Ok(())
    }

    /// What was passed over since the last call.
    pub(super) fn take_no_space(&self) -> Option<Error> {
        self.state.lock().no_space.take()
    }

    /// Whether it left something undone because somebody wanted it to end.
    pub(super) fn is_at_an_early_end(&self) -> bool {
        self.state.lock().report.stopped
    }

    pub(super) fn into_report(self) -> TickReport {
        self.state.into_inner().report
    }

    pub(super) fn reason(&self) -> Reason {
        match self.mode {
            Mode::Natural => Reason::Due,
            Mode::Forced { .. } => Reason::Forced,
            Mode::Budget => Reason::Budget,
        }
    }

    /// Moves everything that is due.
    pub(super) fn natural(&self) -> Result<()> {
        loop {
            let before = self.moved();
            self.pass()?;
            if self.moved() == before {
                return Ok(());
            }
        }
    }

    fn pass(&self) -> Result<()> {
        self.for_each_due(|ids, is_rest| self.visit_due(ids, is_rest))
    }

    /// The object that an entry of the due index is of. An entry that no row knows of is removed: nothing would ever do so
    /// otherwise, and every round would walk over it.
    fn owner_of_due(&self, key: &[u8]) -> Result<Option<ObjectId>> {
        let inner = self.inner;
        let id = keys::last_number(key).map(ObjectId);
        let found = match id.map(|id| inner.row(None, id)).transpose() {
            // Whether a damaged row knows of it cannot be told: it is counted where it is visited.
            Err(error) if error.is_damage() => return Ok(id),
            found => found?.flatten(),
        };
        let due_ms = keys::due_of(key);
        if found.as_ref().is_some_and(|found| found.row.due_ms.is_some() && found.row.due_ms == due_ms) {
            return Ok(id);
        }
        let mut batch = inner.db.batch();
        if let Some(id) = id {
            match &found {
                Some(found) => batch.require_version(&inner.spaces.objects, keys::object(id), found.seqno),
                None => batch.require_absent(&inner.spaces.objects, keys::object(id)),
            }
        }
        batch.delete(&inner.spaces.due, key.to_vec());
        match inner.db.write(batch, Durability::Buffered).map_err(Error::from) {
            // Somebody is changing the object: what it has in the index then is right.
            Err(error) if error.is_conflict() => {}
            done => drop(done?),
        }
        Ok(None)
    }

    /// Walks the due index up to now, in chunks; the visit is told whether a chunk is the last.
    pub(super) fn for_each_due(&self, visit: impl Fn(&[ObjectId], bool) -> Result<()>) -> Result<()> {
        let last = keys::due(self.now.0, ObjectId(u64::MAX));
        let mut from = Vec::new();
        while from <= last && !self.is_at_limit() && !self.is_stopped() {
            let entries = self.inner.spaces.due.range(from.clone()..=last.clone()).take(VISITS_PER_CHUNK);
            let mut chunk = Vec::new();
            for entry in entries {
                chunk.push(entry?.key().clone());
            }
            let Some(end) = chunk.last() else { return Ok(()) };
            from = [end, &b"\0"[..]].concat();
            let mut ids = Vec::with_capacity(chunk.len());
            for key in &chunk {
                ids.extend(self.owner_of_due(key)?);
            }
            visit(&ids, chunk.len() < VISITS_PER_CHUNK)?;
        }
        Ok(())
    }

    /// If there is more to come, whatever is due in the files that a chunk leads to goes along: else each chunk would lead to them again.
    fn visit_due(&self, ids: &[ObjectId], is_rest: bool) -> Result<()> {
        self.state.lock().granted.clear();
        let mut files = if is_rest { Files::with_wanted() } else { Files::whole() };
        let mut later = Vec::new();
        for id in ids.iter().copied().filter(|id| !self.is_settled(*id)) {
            if self.is_stopped() {
                break;
            }
            let snapshot = self.inner.db.snapshot();
            let Some(found) = self.load(&snapshot, id)? else { continue };
            let Some((snapshot, found)) = self.without_late_original(snapshot, id, found)? else { continue };
            let policies = self.inner.policies.read();
            let policy = policies.of(&found.row.policy, found.row.kind());
            match self.inner.subject(id, &found.row, &policy).verdict(self.now) {
                Verdict::Wait(_) => {
                    self.state.lock().report.postponed += 1;
                    later.push(id);
                }
                Verdict::Blocked(_) => {
                    self.state.lock().report.blocked += 1;
                    later.push(id);
                }
                Verdict::Forget { .. } => self.forget(&snapshot, id, &found)?,
                Verdict::Move { .. } if self.is_at_limit() => {}
                Verdict::Move { to, .. } => {
                    drop(policies);
                    if !self.may_spend(&found.row) {
                        continue;
                    }
                    if to == Stage::Purged {
                        self.purge_due(id)?;
                    } else {
                        self.state.lock().granted.insert(id);
                        self.note_file(&snapshot, id, &found.row, &mut files)?;
                    }
                }
            }
        }
        let policies = self.inner.policies.read();
        let rescheduled = self.inner.update_rows(&later, |_, row, _| self.rescheduled(row, &policies));
        rescheduled.or_else(|error| self.pass_if_full(error))?;
        drop(policies);
        self.compact(files)
    }

    /// Takes an object's bytes from what may be degraded in this hour, unless somebody forces it.
    pub(super) fn may_spend(&self, row: &ObjectRow) -> bool {
        let is_allowed = match self.mode {
            Mode::Natural | Mode::Budget => {
                self.inner.guard.spend(&self.inner.options, self.now, row.form_stored())
            }
            Mode::Forced { .. } => true,
        };
        if !is_allowed {
            self.state.lock().report.limit_reached = true;
        }
        is_allowed
    }

    /// Whether an object that is found due in a file that is compacted goes. Any does, as the file is at hand, unless the bytes of an
    /// hour are limited: these were given out in due order, and not as threads come to judge.
    pub(super) fn may_go(&self, id: ObjectId) -> bool {
        self.inner.options.degraded_bytes_per_hour_max.is_none() || self.state.lock().granted.contains(&id)
    }

    pub(super) fn tell_progress(&self) {
        if let Some(progress) = self.progress {
            let so_far = self.state.lock().report.progress();
            progress(so_far);
        }
    }

    /// Whether somebody wants the round to end; what it has begun is brought to its end. Whoever asks has more to do, so the
    /// report says it was stopped.
    pub(super) fn is_stopped(&self) -> bool {
        let is_stopped = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        if is_stopped {
            self.state.lock().report.stopped = true;
        }
        is_stopped
    }

    pub(super) fn is_at_limit(&self) -> bool {
        self.state.lock().report.limit_reached
    }

    pub(super) fn is_settled(&self, id: ObjectId) -> bool {
        self.state.lock().settled.contains(&id)
    }

    /// The row of an object; a damaged one is counted and passed over.
    pub(super) fn load(&self, snapshot: &Snapshot, id: ObjectId) -> Result<Option<Versioned>> {
        match self.inner.row(Some(snapshot), id) {
            Err(error) if error.is_damage() => {
                let mut state = self.state.lock();
                state.report.failed += u64::from(state.settled.insert(id));
                Ok(None)
            }
            found => found,
        }
    }

    fn rescheduled(&self, row: &mut ObjectRow, policies: &PolicySet) -> bool {
        let before = row.due_ms;
        self.inner.schedule(row, policies, self.now);
        row.due_ms != before
    }
}
