//! One round: which objects to visit, and what has no bytes to transform.
//!
//! A natural round walks the due index in chunks until nothing that is due moves any more: an object that came to its
//! trace may be due for its purge at once if its policy gives no grace, which is a step of its own. So the stages after
//! one late round are those after many punctual ones.
//!
//! Invariants: an object that cannot move leaves the index, or gets a later entry, so no visit is for nothing twice; an
//! object that somebody changed meanwhile is looked at once more at most, then left for the next round.

use super::by_budget::Task;
use crate::budget::BudgetReport;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::keys;
use crate::model::{TickOptions, TickProgress, TickReport};
use crate::plan::{Forced, Subject, Verdict};
use crate::policy::PolicySet;
use crate::rows::ObjectRow;
use crate::store::{Inner, Versioned};
use crate::types::{ObjectId, Reason, Stage};
use parking_lot::Mutex;
use patina_storage::{Durability, FileId, Seqno, Snapshot};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Entries of the due index, or rows, that are visited before the files they lead to are compacted.
const VISITS_PER_CHUNK: usize = 4096;

/// The pause after a first failure; doubled with each further one.
const BACKOFF_MS: u64 = 3_600_000;

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

/// The blob files that hold the bytes of objects that are to move.
type Files = BTreeSet<FileId>;

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
        self.for_each_due(|ids| self.visit_due(ids))
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

    /// Walks the due index up to now, in chunks.
    pub(super) fn for_each_due(&self, visit: impl Fn(&[ObjectId]) -> Result<()>) -> Result<()> {
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
            visit(&ids)?;
        }
        Ok(())
    }

    fn visit_due(&self, ids: &[ObjectId]) -> Result<()> {
        self.state.lock().granted.clear();
        let mut files = Files::new();
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

    /// Advances every unprotected object.
    pub(super) fn forced(&self) -> Result<()> {
        let snapshot = self.inner.db.snapshot();
        let mut chunk = Vec::with_capacity(VISITS_PER_CHUNK);
        for entry in snapshot.range(&self.inner.spaces.objects, ..) {
            chunk.extend(keys::last_number(entry?.key()).map(ObjectId));
            if chunk.len() == VISITS_PER_CHUNK {
                self.visit_forced(&chunk)?;
                chunk.clear();
                if self.is_stopped() {
                    return Ok(());
                }
            }
        }
        self.visit_forced(&chunk)
    }

    fn visit_forced(&self, ids: &[ObjectId]) -> Result<()> {
        let mut files = Files::new();
        let mut gaining = Vec::new();
        for id in ids.iter().copied() {
            if self.is_stopped() {
                break;
            }
            let snapshot = self.inner.db.snapshot();
            let Some(found) = self.load(&snapshot, id)? else { continue };
            if !self.may_advance(found.seqno) {
                continue;
            }
            let policies = self.inner.policies.read();
            let policy = policies.of(&found.row.policy, found.row.kind());
            match self.inner.subject(id, &found.row, &policy).forced(self.now) {
                Forced::Stay => self.state.lock().report.blocked += 1,
                Forced::Gain { .. } => gaining.push(id),
                Forced::Move { to, .. } => {
                    drop(policies);
                    if to == Stage::Purged {
                        self.purge_forced(id)?;
                    } else {
                        self.note_file(&snapshot, id, &found.row, &mut files)?;
                    }
                }
            }
        }
        let policies = self.inner.policies.read();
        let gained = self.inner.update_rows(&gaining, |id, row, seqno| {
            let policy = policies.of(&row.policy, row.kind());
            match self.inner.subject(id, row, &policy).forced(self.now) {
                Forced::Gain { progress } if self.may_advance(seqno) => {
                    row.progress = progress;
                    true
                }
                _ => false,
            }
        });
        gained.or_else(|error| self.pass_if_full(error))?;
        drop(policies);
        self.compact(files)
    }

    /// In a forced round, whether a row of this version has not advanced in it yet, nor been written by anybody else.
    pub(super) fn may_advance(&self, seqno: Seqno) -> bool {
        match self.mode {
            Mode::Natural | Mode::Budget => true,
            Mode::Forced { since } => seqno <= since,
        }
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

    fn note_file(&self, snapshot: &Snapshot, id: ObjectId, row: &ObjectRow, files: &mut Files) -> Result<()> {
        let found = match row.content() {
            Some(content) => snapshot.blob_ref(&self.inner.spaces.contents, &content.0)?,
            None => None,
        };
        match found {
            Some((blob, _)) => drop(files.insert(blob.file)),
            None => {
                self.fail(id, row.generation, "its bytes are missing".to_owned());
                self.write_failures()?;
            }
        }
        Ok(())
    }

    fn compact(&self, files: Files) -> Result<()> {
        self.compact_files(files)?;
        // Two contents of one file may become equal, and then the second plan sees the first one's reference. That is
        // nobody's access: those objects get a second look.
        let again = std::mem::take(&mut self.state.lock().again);
        let mut files = Files::new();
        for id in again {
            let snapshot = self.inner.db.snapshot();
            if let Some(found) = self.load(&snapshot, id)? {
                self.note_file(&snapshot, id, &found.row, &mut files)?;
            }
        }
        self.compact_files(files)?;
        let rest = std::mem::take(&mut self.state.lock().again);
        rest.into_iter().for_each(|id| self.leave_alone(id));
        Ok(())
    }

    fn compact_files(&self, files: Files) -> Result<()> {
        for file in files {
            if self.is_stopped() {
                return Ok(());
            }
            match self.inner.db.compact_bin(&self.inner.spaces.contents, file, self) {
                Ok(_) => self.state.lock().report.files_compacted += 1,
                // Others may be smaller.
                Err(error) => self.pass_if_full(error.into())?,
            }
            self.write_failures().or_else(|error| self.pass_if_full(error))?;
            self.tell_progress();
        }
        Ok(())
    }

    pub(super) fn count_move(&self, before: &ObjectRow, after: &ObjectRow) {
        self.state.lock().report.count_move(before, after);
    }

    pub(super) fn with_task<T>(&self, act: impl FnOnce(&mut Task) -> T) -> T {
        act(&mut self.state.lock().task)
    }

    pub(super) fn report_budget(&self, report: BudgetReport) {
        self.state.lock().report.budgets.push(report);
    }

    /// Whether objects that share a content move together or not at all.
    pub(super) fn moves_all_or_none(&self) -> bool {
        matches!(self.mode, Mode::Budget)
    }

    /// Whether a budget's round is at its goal.
    pub(super) fn is_enough_freed(&self) -> bool {
        matches!(self.mode, Mode::Budget) && self.with_task(|task| task.missing_bytes()) == 0
    }

    /// The stage that a budget's plan takes an object to, if it still may.
    pub(super) fn chosen_stage(&self, id: ObjectId, subject: &Subject<'_>) -> Option<Stage> {
        let to = self.with_task(|task| task.stage_of(id)).filter(|to| *to > subject.row.stage())?;
        let allowed = subject.stages_for_budget(self.now).is_ok_and(|stages| stages.contains(&to));
        (allowed && subject.protection(self.now).is_none()).then_some(to)
    }

    /// Moves what a budget's plan chose and has bytes.
    pub(super) fn move_chosen(&self, ids: impl Iterator<Item = ObjectId>) -> Result<()> {
        self.state.lock().granted.clear();
        let mut files = Files::new();
        let mut last = None;
        for id in ids {
            let snapshot = self.inner.db.snapshot();
            let Some(found) = self.load(&snapshot, id)? else { continue };
            // Those that share a content come one after the other, and its bytes are degraded once.
            if found.row.content() == last || self.may_spend(&found.row) {
                last = found.row.content();
                self.state.lock().granted.insert(id);
                self.note_file(&snapshot, id, &found.row, &mut files)?;
            }
        }
        self.compact(files)
    }

    pub(super) fn count_blocked(&self) {
        self.state.lock().report.blocked += 1;
    }

    pub(super) fn count_dropped_original(&self) {
        self.state.lock().report.originals_dropped += 1;
    }

    pub(super) fn count_forgotten(&self) {
        self.state.lock().report.forgotten += 1;
    }

    /// Somebody was quicker: the object is theirs for this round.
    pub(super) fn leave_alone(&self, id: ObjectId) {
        let mut state = self.state.lock();
        if state.settled.insert(id) {
            state.report.left_alone += 1;
        }
    }

    pub(super) fn look_again(&self, id: ObjectId) {
        self.state.lock().again.push(id);
    }

    /// Notes a failed transition, to be written when no compaction is on the way.
    pub(super) fn fail(&self, id: ObjectId, generation: u64, message: String) {
        let mut state = self.state.lock();
        if state.settled.insert(id) {
            state.report.failed += 1;
            state.failures.push((id, generation, message));
        }
    }

    fn write_failures(&self) -> Result<()> {
        let noted = std::mem::take(&mut self.state.lock().failures);
        let failures: BTreeMap<ObjectId, (u64, String)> =
            noted.into_iter().map(|(id, generation, message)| (id, (generation, message))).collect();
        let ids: Vec<ObjectId> = failures.keys().copied().collect();
        let policies = self.inner.policies.read();
        self.inner.update_rows(&ids, |id, row, _| {
            // What was overwritten meanwhile has not failed.
            let Some((_, message)) =
                failures.get(&id).filter(|(generation, _)| *generation == row.generation)
            else {
                return false;
            };
            let pause_ms = BACKOFF_MS << row.attempts.min(16);
            row.attempts += 1;
            row.retry_at_ms = self.now.0.saturating_add(pause_ms);
            row.error = Some(message.clone());
            self.inner.schedule(row, &policies, self.now);
            true
        })
    }
}
