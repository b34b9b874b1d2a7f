//! What has no bytes to transform: purging, forgetting, dropping kept originals. Each is a plain conditional batch.
//!
//! Invariant: a purge is as careful of readers as a transform is. The object is watched before it is judged, so a read is seen in
//! one of two ways: its mark counts in the judgement, or the watch has noted it when the batch is written, and then nothing is.

use super::round::Round;
use crate::error::Result;
use crate::plan::{Forced, Subject, Verdict};
use crate::store::Versioned;
use crate::types::{ObjectId, Reason, Stage};
use patina_storage::{Seqno, Snapshot};

impl Round<'_> {
    /// Drops the kept originals whose time has come, and does nothing else.
    pub(super) fn drop_originals(&self) -> Result<()> {
        self.for_each_due(|ids, _| {
            for id in ids.iter().copied() {
                if self.is_stopped() {
                    break;
                }
                let snapshot = self.inner.db.snapshot();
                if let Some(found) = self.load(&snapshot, id)? {
                    self.without_late_original(snapshot, id, found)?;
                }
            }
            Ok(())
        })
    }

    /// Drops the kept original of an object if its time has come. Gives the object as it is then, and a snapshot that shows
    /// it; `None` if somebody else changed it.
    pub(super) fn without_late_original(
        &self,
        snapshot: Snapshot,
        id: ObjectId,
        found: Versioned,
    ) -> Result<Option<(Snapshot, Versioned)>> {
        if found.row.original_goes_at(self.now).is_none_or(|at| at > self.now) {
            return Ok(Some((snapshot, found)));
        }
        match self.inner.drop_original(&snapshot, id, &found, self.now) {
            Err(error) if error.is_conflict() => {
                self.leave_alone(id);
                Ok(None)
            }
            done => {
                done?;
                self.count_dropped_original();
                let snapshot = self.inner.db.snapshot();
                Ok(self.load(&snapshot, id)?.map(|found| (snapshot, found)))
            }
        }
    }

    /// Purges an object whose purge is due.
    pub(super) fn purge_due(&self, id: ObjectId) -> Result<()> {
        self.purge_if(id, |subject, _| {
            let is_due = matches!(subject.verdict(self.now), Verdict::Move { to: Stage::Purged, .. });
            is_due.then_some(subject.row.progress)
        })
    }

    /// Purges an object if a forced round's next step for it is that.
    pub(super) fn purge_forced(&self, id: ObjectId) -> Result<()> {
        self.purge_if(id, |subject, seqno| match subject.forced(self.now) {
            Forced::Move { to: Stage::Purged, progress } if self.may_advance(seqno) => Some(progress),
            _ => None,
        })
    }

    /// Purges an object that a budget's plan chose.
    pub(super) fn purge_chosen(&self, id: ObjectId) -> Result<()> {
        self.purge_if(id, |subject, _| {
            let is_chosen = !self.is_enough_freed()
                && self.chosen_stage(id, subject) == Some(Stage::Purged)
                && self.may_spend(subject.row);
            is_chosen.then_some(subject.row.progress)
        })
    }

    /// Takes away what is left of an object but its row, and its original if that is to be kept. `judge` gives its progress
    /// afterwards; `None` if it stays.
    fn purge_if(&self, id: ObjectId, judge: impl Fn(&Subject<'_>, Seqno) -> Option<f64>) -> Result<()> {
        let watch = self.inner.touches.watch(vec![id]);
        let snapshot = self.inner.db.snapshot();
        let Some(before) = self.load(&snapshot, id)? else { return Ok(()) };
        let policies = self.inner.policies.read();
        let policy = policies.of(&before.row.policy, before.row.kind());
        let subject = self.inner.subject(id, &before.row, &policy);
        let Some(progress) = judge(&subject, before.seqno) else { return Ok(()) };
        let mut after = before.row.clone();
        after.lose_bytes(self.now);
        after.progress = progress;
        after.keep_original_of(&before.row, &policy, self.now);
        after.set_form_stored(0);
        self.inner.schedule(&mut after, &policies, self.now);
        let mut batch = self.inner.db.batch();
        batch.use_reserve();
        self.inner.put_row(&mut batch, id, Some(&before), &after);
        let mut is_freed = before.row.content().is_none();
        for content in before.row.contents().filter(|content| !after.refers_to(*content)) {
            let is_gone = self.inner.drop_reference(&mut batch, &snapshot, content, id)?;
            is_freed |= is_gone && before.row.content() == Some(content);
        }
        self.inner.guard.note_spent(&mut batch, &self.inner.spaces, &self.inner.options);
        let record = self.inner.record(id, Some(&before.row), Some(&after), self.reason(), self.now);
        match self.inner.commit_unless(batch, vec![record], || watch.saw_a_read_of(id)) {
            Err(error) if error.is_conflict() => self.leave_alone(id),
            done => {
                if done? {
                    self.count_move(&before.row, &after);
                    let freed = if is_freed { before.row.form_stored() } else { 0 };
                    self.with_task(|task| task.count_freed(freed as i64));
                } else {
                    self.leave_alone(id);
                }
            }
        }
        Ok(())
    }

    /// Removes the row of a purged object.
    pub(super) fn forget(&self, snapshot: &Snapshot, id: ObjectId, before: &Versioned) -> Result<()> {
        match self.inner.remove(snapshot, id, before, Reason::Forget, self.now) {
            Err(error) if error.is_conflict() => self.leave_alone(id),
            done => {
                done?;
                self.inner.touches.forget(id);
                self.count_forgotten();
            }
        }
        Ok(())
    }
}
