//! Committing what was judged: one atomic batch for a content and all objects that refer to it.
//!
//! Between judging and committing the new blobs were written, synced and read back, which takes time in which anybody
//! may have done anything. So the batch requires that every row, the set of references and the content's place are as
//! judged; and nothing is written if a policy changed or somebody read one of the objects since.
//!
//! Invariants: a plan holds no bytes; a commit that finds anything changed writes nothing. Commits come in file order, on one thread:
//! whether a budget's round has freed enough is therefore decided here, and not as threads come to judge.

use super::round::Round;
use crate::error::Result;
use crate::keys;
use crate::rows::{HistoryRecord, ObjectRow};
use crate::store::Versioned;
use crate::touches::Watch;
use crate::types::{ContentHash, ObjectId, Reason};
use patina_storage::{PendingBlob, Seqno, Snapshot, WriteBatch};
use std::sync::Arc;

/// What to commit for one record, and what must not have changed until then.
pub(super) struct Plan<'a> {
    pub content: ContentHash,
    /// Its bytes on disk.
    pub stored_bytes: u64,
    /// The write that put the content where it was read.
    pub seqno: Seqno,
    pub snapshot: Snapshot,
    pub policies_epoch: u64,
    pub watch: Watch<'a>,
    pub moves: Vec<Move>,
    pub stayers: Vec<(ObjectId, Versioned)>,
    /// Referrers whose rows cannot be read; they keep the content.
    pub unreadable: usize,
    /// Whether the content itself is among the outputs, to be stored anew for its next stage.
    pub repacks: bool,
}

/// One object's transition.
pub(super) struct Move {
    pub id: ObjectId,
    pub before: Versioned,
    pub after: ObjectRow,
    pub result: MoveResult,
}

pub(super) enum MoveResult {
    /// The next stage is below the fidelity floor; the row only learns that.
    Floor,
    Done {
        /// The content it refers to afterwards.
        content: Option<ContentHash>,
        told: Arc<Told>,
    },
}

/// What the history says about a transform.
pub(super) struct Told {
    pub metric: &'static str,
    pub codec: String,
    pub params: String,
    pub note: String,
}

impl<'a> Round<'a> {
    /// Writes what was planned; `false` if anything changed meanwhile, and then nothing is written.
    pub(super) fn commit_plan(&self, plan: Plan<'a>, blobs: &[PendingBlob]) -> Result<bool> {
        if self.is_enough_freed() {
            return Ok(false);
        }
        let policies = self.inner.policies.read();
        if policies.epoch() != plan.policies_epoch {
            plan.moves.iter().for_each(|step| self.leave_alone(step.id));
            return Ok(false);
        }
        let (batch, records) = (self.inner.db.batch(), Vec::new());
        let mut commit =
            Commit { round: self, plan: &plan, blobs, batch, records, placed: Vec::new(), freed_bytes: 0 };
        let Some(rows) = commit.build()? else {
            plan.moves.iter().for_each(|step| self.look_again(step.id));
            return Ok(false);
        };
        let (mut batch, records, freed_bytes) = (commit.batch, commit.records, commit.freed_bytes);
        batch.use_reserve();
        self.inner.guard.note_spent(&mut batch, &self.inner.spaces, &self.inner.options);
        let was_read = || plan.moves.iter().any(|step| plan.watch.saw_a_read_of(step.id));
        match self.inner.commit_unless(batch, records, was_read) {
            Err(error) if error.is_conflict() => {
                plan.moves.iter().for_each(|step| self.look_again(step.id));
                Ok(false)
            }
            done => {
                if !done? {
                    plan.moves.iter().for_each(|step| self.leave_alone(step.id));
                    return Ok(false);
                }
                self.with_task(|task| task.count_freed(freed_bytes));
                for (step, after) in plan.moves.iter().zip(&rows) {
                    match step.result {
                        MoveResult::Floor => self.count_blocked(),
                        MoveResult::Done { .. } => self.count_move(&step.before.row, after),
                    }
                }
                Ok(true)
            }
        }
    }
}

impl Move {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.result, MoveResult::Done { .. })
    }
}

/// The batch of one plan.
struct Commit<'c, 'a> {
    round: &'c Round<'a>,
    plan: &'c Plan<'a>,
    blobs: &'c [PendingBlob],
    batch: WriteBatch,
    records: Vec<HistoryRecord>,
    /// Our own outputs that the batch has: as many as there are ways to a stage.
    placed: Vec<ContentHash>,
    /// Bytes of contents that go, less those of contents and traces that come.
    freed_bytes: i64,
}

impl Commit<'_, '_> {
    /// Fills the batch and gives the rows after, in the order of the moves; `None` if a content that was to be shared is
    /// gone.
    fn build(&mut self) -> Result<Option<Vec<ObjectRow>>> {
        let (plan, spaces) = (self.plan, &self.round.inner.spaces);
        self.batch.require_version(&spaces.contents, plan.content.0.to_vec(), plan.seqno);
        self.batch.require_unchanged(&spaces.refs, plan.content.0.to_vec(), &plan.snapshot);
        let repacked = self.repack();
        let mut rows = Vec::with_capacity(plan.moves.len());
        let mut remaining = plan.stayers.len() + plan.unreadable;
        for step in &plan.moves {
            let mut after = step.after.clone();
            match &step.result {
                MoveResult::Done { content: Some(content), .. } if *content != plan.content => {
                    let Some(stored) = self.refer(*content, step.id)? else { return Ok(None) };
                    after.set_form_stored(stored);
                }
                MoveResult::Done { content: None, .. } => self.freed_bytes -= after.form_stored() as i64,
                MoveResult::Done { .. } | MoveResult::Floor => {}
            }
            if let Some(stored) = repacked {
                after.content_is_stored_in(plan.content, stored);
            }
            if after.refers_to(plan.content) {
                remaining += 1;
            } else {
                self.batch.delete(&spaces.refs, keys::reference(plan.content, step.id));
            }
            self.write(step, &after);
            rows.push(after);
        }
        if remaining == 0 {
            self.freed_bytes += plan.stored_bytes as i64;
            self.batch.delete(&spaces.contents, plan.content.0.to_vec());
        }
        if let Some(stored) = repacked {
            self.note_repack(stored);
        }
        Ok(Some(rows))
    }

    fn blob_of(&self, content: ContentHash) -> Option<&PendingBlob> {
        self.blobs.iter().find(|blob| blob.key()[..] == content.0)
    }

    /// Puts the content's own new blob, if there is one. Gives its bytes on disk.
    fn repack(&mut self) -> Option<u64> {
        let plan = self.plan;
        let blob = self.blob_of(plan.content).filter(|_| plan.repacks)?.clone();
        self.batch.put_blob(&self.round.inner.spaces.contents, plan.content.0.to_vec(), &blob);
        let stored = blob.blob_ref().stored_len;
        self.freed_bytes += plan.stored_bytes as i64 - stored as i64;
        Some(stored)
    }

    /// Adds a reference to a content: one that the store has by now, or else our own output. Gives its bytes on disk;
    /// `None` if it is in neither place.
    fn refer(&mut self, content: ContentHash, id: ObjectId) -> Result<Option<u64>> {
        let spaces = &self.round.inner.spaces;
        let key = content.0.to_vec();
        let stored = if let Some((blob, seqno)) = spaces.contents.blob_ref(&content.0)? {
            self.batch.require_version(&spaces.contents, key, seqno);
            blob.stored_len
        } else if let Some(blob) = self.blob_of(content).cloned() {
            let stored = blob.blob_ref().stored_len;
            if !self.placed.contains(&content) {
                self.batch.require_absent(&spaces.contents, key.clone());
                self.batch.put_blob(&spaces.contents, key, &blob);
                self.freed_bytes -= stored as i64;
                self.placed.push(content);
            }
            stored
        } else {
            return Ok(None);
        };
        self.batch.put(&spaces.refs, keys::reference(content, id), Vec::new());
        Ok(Some(stored))
    }

    fn write(&mut self, step: &Move, after: &ObjectRow) {
        let inner = self.round.inner;
        inner.put_row(&mut self.batch, step.id, Some(&step.before), after);
        let MoveResult::Done { told, .. } = &step.result else {
            if after.stored != step.before.row.stored {
                self.record_repack(step.id, &step.before, after);
            }
            return;
        };
        let reason = self.round.reason();
        let mut record = inner.record(step.id, Some(&step.before.row), Some(after), reason, self.round.now);
        record.metric = told.metric.to_owned();
        record.codec.clone_from(&told.codec);
        record.params.clone_from(&told.params);
        record.note.clone_from(&told.note);
        self.records.push(record);
    }

    /// Tells those that stay how many bytes their content has now.
    fn note_repack(&mut self, stored: u64) {
        let (inner, plan) = (self.round.inner, self.plan);
        for (id, before) in &plan.stayers {
            let mut after = before.row.clone();
            after.content_is_stored_in(plan.content, stored);
            if after == before.row {
                continue;
            }
            inner.put_row(&mut self.batch, *id, Some(before), &after);
            self.record_repack(*id, before, &after);
        }
    }

    fn record_repack(&mut self, id: ObjectId, before: &Versioned, after: &ObjectRow) {
        let (inner, now) = (self.round.inner, self.round.now);
        let mut record = inner.record(id, Some(&before.row), Some(after), Reason::Repack, now);
        record.note = "the content it shares was compressed harder for another object".to_owned();
        self.records.push(record);
    }
}
