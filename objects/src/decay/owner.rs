//! What becomes of each record of a blob file: the owner that storage's bin compaction asks.
//!
//! A content may belong to many objects under many policies. So a record is judged in one snapshot with all that refer
//! to it: those that move share one transform for each distinct goal, those that stay keep the content alive.
//!
//! ```text
//! judge   snapshot → referrers, rows, pending reads → bytes → transform once a goal → new blobs + plan      (several threads)
//! (storage makes the new blobs durable and reads them back)
//! commit  see `commit`
//! ```
//!
//! Invariants: a transform runs once for each goal, however many objects share it; equal outputs are stored once; a
//! content that nothing refers to any more is removed, one whose referrers cannot be read is kept. What stays is never read, and
//! what is too large for a codec is read in pieces. For a budget's sake all that refer to a content move or none does. A judgement rests on the record's snapshot, so it is the same on any thread.

use super::commit::{Move, MoveResult, Plan, Told};
use super::round::{Mode, Round};
use crate::error::{Error, Result};
use crate::plan::{Forced, Verdict};
use crate::policy::{Policy, PolicySet};
use crate::rows::ObjectRow;
use crate::store::{Versioned, compression_of};
use crate::types::{ContentHash, ObjectId, Stage};
use bytes::Bytes;
use patina_codecs::{Content, Degraded, Depth, MediaType, Params};
use patina_storage::{
    Bin, BinOwner, BinReport, Compression, Judgement, LiveRecord, NewBlob, NewValue, PendingBlob,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A transform that was run for this record, with what it was asked.
struct Goal {
    depth: Depth,
    media_type: String,
    params: Params,
    result: std::result::Result<Transformed, String>,
}

/// What a transform left, and what it said.
#[derive(Clone)]
struct Transformed {
    /// The content afterwards: the same as before if it kept the bytes, none for a trace.
    content: Option<ContentHash>,
    content_len: u64,
    /// The bytes of a new content.
    bytes: Option<Bytes>,
    trace: Option<String>,
    media_type: String,
    fidelity: f64,
    told: Arc<Told>,
}

/// The bytes of a record, as far as they are needed.
enum Value {
    NotRead,
    Whole(Bytes),
    /// More than a codec may be given: never in memory as a whole.
    Large,
    Damaged(String),
}

/// The work on one record.
struct Judge<'r, 'a> {
    round: &'r Round<'a>,
    record: &'r LiveRecord<'r>,
    value: Value,
    content: ContentHash,
    policies: &'r PolicySet,
    goals: Vec<Goal>,
    outputs: Vec<NewBlob>,
}

impl<'a> BinOwner for Round<'a> {
    type Plan = Plan<'a>;

    fn wants(&self, key: &[u8]) -> bool {
        self.wants_content(key)
    }

    fn judge(&self, record: &LiveRecord<'_>) -> patina_storage::Result<Judgement<Plan<'a>>> {
        self.judge_record(record).map_err(Error::into_storage)
    }

    fn commit(&self, plan: Plan<'a>, blobs: &[PendingBlob]) -> patina_storage::Result<bool> {
        self.commit_plan(plan, blobs).map_err(Error::into_storage)
    }

    fn is_cancelled(&self) -> bool {
        self.is_stopped()
    }

    fn progress(&self, _: &BinReport) {
        self.tell_progress();
    }
}

impl<'a> Round<'a> {
    fn judge_record(&self, record: &LiveRecord<'_>) -> Result<Judgement<Plan<'a>>> {
        let damaged = || Error::corruption("a content's key is no SHA-256; restore from a copy");
        let content = ContentHash::from_slice(&record.key).ok_or_else(damaged)?;
        let snapshot = record.snapshot();
        let referrers = self.inner.referrers(snapshot, content)?;
        // From here on every read is seen: first watch, then look at what was read before.
        let watch = self.inner.touches.watch(referrers.clone());
        let policies = Arc::clone(&self.inner.policies.read());
        let mut judge = Judge {
            round: self,
            record,
            value: Value::NotRead,
            content,
            policies: &policies,
            goals: Vec::new(),
            outputs: Vec::new(),
        };
        let (mut moves, mut stayers, mut unreadable) = (Vec::new(), Vec::new(), 0);
        let mut movers = Vec::new();
        for id in referrers {
            let Some(before) = self.load(snapshot, id)? else {
                unreadable += 1;
                continue;
            };
            match judge.target(id, &before) {
                Some(target) => movers.push((id, before, target)),
                None => stayers.push((id, before)),
            }
        }
        if self.moves_all_or_none() && stayers.len() + unreadable > 0 {
            stayers.extend(movers.drain(..).map(|(id, before, _)| (id, before)));
        }
        for (id, before, (to, progress)) in movers {
            judge.read_value()?;
            match judge.transition(id, &before, to, progress) {
                Ok((after, result)) => moves.push(Move { id, before, after, result }),
                Err(message) => {
                    self.fail(id, before.row.generation, message);
                    stayers.push((id, before));
                }
            }
        }
        if self.moves_all_or_none() {
            judge.let_go_together(&mut moves, &mut stayers);
        }
        if moves.is_empty() && stayers.len() + unreadable > 0 {
            return Ok(Judgement::Keep {
                bin: judge.bin_of(record.bin.class, stayers.iter().map(|(_, row)| &row.row)),
            });
        }
        let repacks = judge.repack(&moves, &stayers);
        let outputs = judge.outputs;
        let plan = Plan {
            content,
            stored_bytes: record.blob.stored_len,
            seqno: record.seqno,
            snapshot: snapshot.clone(),
            policies_epoch: policies.epoch(),
            watch,
            moves,
            stayers,
            unreadable,
            repacks,
        };
        Ok(Judgement::Rewrite { outputs, plan })
    }
}

impl Judge<'_, '_> {
    /// Takes moves back if others that share the content turn out not to move: nothing would be freed by theirs. What stops those
    /// is noted, so that the next plan knows.
    fn let_go_together(&mut self, moves: &mut Vec<Move>, stayers: &mut Vec<(ObjectId, Versioned)>) {
        if stayers.is_empty() && moves.iter().all(Move::is_done) {
            return;
        }
        let (done, rest): (Vec<Move>, Vec<Move>) = moves.drain(..).partition(Move::is_done);
        *moves = rest;
        stayers.extend(done.into_iter().map(|step| (step.id, step.before)));
        self.outputs.clear();
    }

    /// The stage an object goes to now, with its progress after; `None` if it stays. Purging is not done here.
    fn target(&self, id: ObjectId, before: &Versioned) -> Option<(Stage, f64)> {
        let (round, row) = (self.round, &before.row);
        if round.is_settled(id) || row.content() != Some(self.content) {
            return None;
        }
        let policy = self.policies.of(&row.policy, row.kind());
        let subject = round.inner.subject(id, row, &policy);
        let (to, progress) = match round.mode {
            Mode::Natural => match subject.verdict(round.now) {
                Verdict::Move { to, .. } if to != Stage::Purged && round.may_go(id) => (to, row.progress),
                _ => return None,
            },
            Mode::Budget => match round.chosen_stage(id, &subject) {
                Some(to) if round.may_go(id) => (to, row.progress),
                _ => return None,
            },
            Mode::Forced { .. } => match subject.forced(round.now) {
                Forced::Move { to, progress } if round.may_advance(before.seqno) => (to, progress),
                _ => return None,
            },
        };
        (to != Stage::Purged).then_some((to, progress))
    }

    /// The row of an object after its transition. The stage of the result may be an earlier one than `to`, when that
    /// would go below the policy's floor.
    fn transition(
        &mut self,
        id: ObjectId,
        before: &Versioned,
        to: Stage,
        progress: f64,
    ) -> std::result::Result<(ObjectRow, MoveResult), String> {
        let round = self.round;
        let policy = self.policies.of(&before.row.policy, before.row.kind());
        let stages = round.inner.subject(id, &before.row, &policy).fallbacks(to);
        let mut after = before.row.clone();
        for stage in stages {
            let Some(depth) = depth_of(stage) else { continue };
            let transformed = self.run(depth, &before.row.media_type, &policy)?;
            let fidelity = before.row.fidelity * transformed.fidelity;
            if fidelity < policy.fidelity_floor {
                continue;
            }
            after.enter(stage, round.now);
            after.progress = progress;
            after.fidelity = fidelity;
            after.media_type.clone_from(&transformed.media_type);
            after.content_hash = transformed.content.map(|content| content.0.to_vec());
            after.content_len = transformed.content_len;
            after.keep_original_of(&before.row, &policy, round.now);
            if let Some(summary) = &transformed.trace {
                after.set_form_stored(summary.len() as u64);
                after.trace = Some(summary.clone());
            }
            round.inner.schedule(&mut after, self.policies, round.now);
            self.output(&transformed, &after)?;
            return Ok((after, MoveResult::Done { content: transformed.content, told: transformed.told }));
        }
        after.at_floor = true;
        round.inner.schedule(&mut after, self.policies, round.now);
        Ok((after, MoveResult::Floor))
    }

    /// Runs a transform, once for each goal. The bytes it gives become an output only when an object takes them.
    fn run(
        &mut self,
        depth: Depth,
        media_type: &str,
        policy: &Policy,
    ) -> std::result::Result<Transformed, String> {
        let asked = |goal: &&Goal| {
            goal.depth == depth && goal.media_type == media_type && goal.params == policy.params
        };
        if let Some(goal) = self.goals.iter().find(asked) {
            return goal.result.clone();
        }
        // A transform holds nothing of ours, so nothing half changed can be seen after a panic.
        let degraded = catch_unwind(AssertUnwindSafe(|| self.degrade(depth, media_type, &policy.params)));
        let degraded = degraded.unwrap_or_else(|_| Err("the transform panicked".to_owned()));
        let result = degraded.and_then(|degraded| self.check(depth, degraded));
        let (media_type, params) = (media_type.to_owned(), policy.params.clone());
        self.goals.push(Goal { depth, media_type, params, result: result.clone() });
        result
    }

    /// Reads the bytes, once. Bytes that are damaged are the failure of the objects that they belong to, and of nobody else.
    fn read_value(&mut self) -> Result<()> {
        if !matches!(self.value, Value::NotRead) {
            return Ok(());
        }
        self.value = if self.record.blob.len > self.round.inner.options.limits.input_bytes {
            Value::Large
        } else {
            match self.record.read().map_err(Error::from) {
                Ok(bytes) => Value::Whole(bytes),
                Err(error) if error.is_damage() => Value::Damaged(error.to_string()),
                Err(error) => return Err(error),
            }
        };
        Ok(())
    }

    fn degrade(
        &self,
        depth: Depth,
        media_type: &str,
        params: &Params,
    ) -> std::result::Result<Degraded, String> {
        let options = &self.round.inner.options;
        let (transform, limits) = (&options.transform, &options.limits);
        match &self.value {
            Value::Whole(bytes) => transform.degrade(bytes, media_type, depth, params, limits),
            Value::Large => {
                let mut reader = self.record.reader().map_err(|error| error.to_string())?;
                transform.degrade_large(&mut reader, self.record.blob.len, media_type, depth, limits)
            }
            Value::Damaged(message) => Err(message.clone()),
            Value::NotRead => Err("its bytes were not read".to_owned()),
        }
    }

    fn check(&self, depth: Depth, degraded: Degraded) -> std::result::Result<Transformed, String> {
        if !(0.0..=1.0).contains(&degraded.fidelity) {
            return Err(format!("the codec {} gave the fidelity {}", degraded.codec, degraded.fidelity));
        }
        let mut transformed = Transformed {
            content: Some(self.content),
            content_len: self.record.blob.len,
            bytes: None,
            trace: None,
            media_type: degraded.media_type,
            fidelity: degraded.fidelity,
            told: Arc::new(Told {
                metric: degraded.metric,
                codec: format!("{}@{}", degraded.codec, degraded.version),
                params: degraded.params,
                note: degraded.note.unwrap_or_default(),
            }),
        };
        match (degraded.content, depth) {
            (Content::Trace(summary), Depth::Trace) => {
                transformed.trace = Some(summary);
                (transformed.content, transformed.content_len) = (None, 0);
            }
            (Content::Bytes(bytes), Depth::Warm | Depth::Cold) => {
                let content = ContentHash::of(&bytes);
                (transformed.content, transformed.content_len) = (Some(content), bytes.len() as u64);
                transformed.bytes = Some(bytes.into()).filter(|_| content != self.content);
            }
            (Content::Same, Depth::Warm | Depth::Cold) => {}
            (Content::Trace(_), _) | (_, Depth::Trace) => {
                return Err(format!("the codec {} gave the wrong kind of answer", degraded.codec));
            }
        }
        Ok(transformed)
    }

    /// Adds the bytes of a transform to the outputs, unless they are there or in the store already.
    fn output(&mut self, transformed: &Transformed, after: &ObjectRow) -> std::result::Result<(), String> {
        let (Some(bytes), Some(content)) = (&transformed.bytes, transformed.content) else { return Ok(()) };
        let known = |output: &NewBlob| output.key[..] == content.0;
        if self.outputs.iter().any(known) || self.exists(content)? {
            return Ok(());
        }
        let media = MediaType::from_mime(&after.media_type);
        self.outputs.push(NewBlob {
            key: content.0.to_vec().into(),
            value: bytes.clone().into(),
            bin: self.bin_of(after.stage().number(), [after]),
            compression: compression_of(media.kind, &media.mime, Compression::Strong),
        });
        Ok(())
    }

    /// Whether a content is in the store. When that changes until the commit, the commit decides. Good bytes are not
    /// given up for a content that cannot be read.
    fn exists(&self, content: ContentHash) -> std::result::Result<bool, String> {
        let found = self.record.snapshot().get(&self.round.inner.spaces.contents, &content.0);
        found.map(|found| found.is_some()).map_err(|error| format!("equal bytes cannot be read: {error}"))
    }

    /// Adds the content itself to the outputs, compressed harder, if it leaves the hot bins unchanged.
    fn repack(&mut self, moves: &[Move], stayers: &[(ObjectId, Versioned)]) -> bool {
        let unchanged = moves.iter().filter(|step| step.after.content() == Some(self.content));
        let rows: Vec<&ObjectRow> = unchanged.filter(|step| step.is_done()).map(|step| &step.after).collect();
        let Some(first) = rows.first() else { return false };
        let media = MediaType::from_mime(&first.media_type);
        let compression = compression_of(media.kind, &media.mime, Compression::Strong);
        if self.record.bin.class != Stage::Hot.number() || compression == Compression::None {
            return false;
        }
        let class = first.stage().number();
        let bin = self.bin_of(class, rows.into_iter().chain(stayers.iter().map(|(_, found)| &found.row)));
        let key = self.content.0.to_vec().into();
        self.outputs.push(NewBlob { key, value: NewValue::Same, bin, compression });
        true
    }

    /// The bin of what is due when the first of the rows is.
    fn bin_of<'x>(&self, class: u8, rows: impl IntoIterator<Item = &'x ObjectRow>) -> Bin {
        let due_ms = rows.into_iter().filter_map(|row| row.due_ms).min().unwrap_or(u64::MAX);
        Bin::for_due(class, self.round.now.0, due_ms)
    }
}

fn depth_of(stage: Stage) -> Option<Depth> {
    match stage {
        Stage::Warm => Some(Depth::Warm),
        Stage::Cold => Some(Depth::Cold),
        Stage::Trace => Some(Depth::Trace),
        Stage::Hot | Stage::Purged => None,
    }
}
