//! Judging records on several threads: jobs in, judgements out, in file order.
//!
//! The thread that compacts hands jobs in and asks for the judgements of a range. If it is alone it does the jobs then; else threads of
//! their own do, as many as are wanted, while it writes and waits for the disk. What a judgement is to write is compressed here too.

use super::record::LiveRecord;
use super::{BinOwner, Judgement, NewBlob, NewValue};
use crate::blob::BlobFile;
use crate::db::{Db, EncodedValue, Keyspace, Snapshot};
use crate::error::{ErrorKind, Result};
use crate::types::{Bin, BlobRef, Compression, Seqno};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A record to be judged; `at` is its place in the file.
pub(super) struct Job {
    pub at: usize,
    pub key: Bytes,
    pub blob: BlobRef,
    pub seqno: Seqno,
    pub snapshot: Snapshot,
}

pub(super) enum Judged<P> {
    Keep(Bin),
    Carry(Bin),
    Rewrite {
        outputs: Vec<Output>,
        plan: P,
    },
    /// It cannot be read, or judging it panicked.
    Failed,
    /// The owner wants to end.
    Cancelled,
}

/// A blob that is to be appended.
pub(super) struct Output {
    pub key: Bytes,
    pub bin: Bin,
    pub value: OutputValue,
}

pub(super) enum OutputValue {
    Encoded(EncodedValue),
    /// The record's own, too large to be held: to be copied chunk by chunk.
    Same(Compression),
}

/// What the threads share.
pub(super) struct Judges<'a, O: BinOwner> {
    pub db: &'a Db,
    pub contents: &'a Keyspace,
    pub owner: &'a O,
    pub file: &'a Arc<BlobFile>,
    /// The largest value that is held in memory to be compressed anew.
    pub same_bytes_max: u64,
    queue: Mutex<Queue<O::Plan>>,
    changed: Condvar,
}

struct Queue<P> {
    /// In file order.
    waiting: VecDeque<Job>,
    done: BTreeMap<usize, Result<Judged<P>>>,
    closed: bool,
}

impl<'a, O: BinOwner> Judges<'a, O> {
    pub(super) fn new(
        db: &'a Db,
        contents: &'a Keyspace,
        owner: &'a O,
        file: &'a Arc<BlobFile>,
        same_bytes_max: u64,
    ) -> Self {
        let queue = Queue { waiting: VecDeque::new(), done: BTreeMap::new(), closed: false };
        let (queue, changed) = (Mutex::new(queue), Condvar::new());
        Self { db, contents, owner, file, same_bytes_max, queue, changed }
    }

    pub(super) fn submit(&self, jobs: Vec<Job>) {
        self.queue.lock().waiting.extend(jobs);
        self.changed.notify_all();
    }

    /// The judgements of the jobs of a range, in file order; these must have been submitted. `is_alone`: no thread is at [`Self::work`].
    pub(super) fn finish(
        &self,
        range: &Range<usize>,
        count: usize,
        is_alone: bool,
    ) -> Vec<(usize, Result<Judged<O::Plan>>)> {
        let mut queue = self.queue.lock();
        loop {
            if queue.done.range(range.clone()).count() == count {
                let later = queue.done.split_off(&range.end);
                return std::mem::replace(&mut queue.done, later).into_iter().collect();
            }
            if is_alone && queue.waiting.front().is_some_and(|job| job.at < range.end) {
                self.do_first(&mut queue);
            } else {
                self.changed.wait(&mut queue);
            }
        }
    }

    /// Does jobs until there will be no more.
    pub(super) fn work(&self) {
        let mut queue = self.queue.lock();
        while !queue.closed {
            if queue.waiting.is_empty() {
                self.changed.wait(&mut queue);
            } else {
                self.do_first(&mut queue);
            }
        }
    }

    /// Lets the threads go; what nobody has begun is not done any more.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }

    fn do_first(&self, queue: &mut MutexGuard<'_, Queue<O::Plan>>) {
        let Some(job) = queue.waiting.pop_front() else { return };
        let at = job.at;
        let judged = MutexGuard::unlocked(queue, || {
            // The owner is told to expect that a call of its own never came to its end.
            catch_unwind(AssertUnwindSafe(|| self.judge(job))).unwrap_or(Ok(Judged::Failed))
        });
        queue.done.insert(at, judged);
        self.changed.notify_all();
    }

    fn judge(&self, job: Job) -> Result<Judged<O::Plan>> {
        self.db.inner.check_writable()?;
        if self.owner.is_cancelled() {
            return Ok(Judged::Cancelled);
        }
        let Job { key, blob, seqno, snapshot, .. } = job;
        let record = LiveRecord {
            key,
            bin: self.file.bin,
            blob,
            seqno,
            contents: self.contents,
            file: self.file,
            handles: &self.db.inner.blobs().handles,
            snapshot: &snapshot,
        };
        let encoded = self.owner.judge(&record).and_then(|judgement| {
            Ok(match judgement {
                Judgement::Keep { bin } => Judged::Keep(bin),
                Judgement::Carry { bin } => Judged::Carry(bin),
                Judgement::Rewrite { outputs, plan } => {
                    let outputs = outputs.into_iter().map(|blob| self.encode(&record, blob));
                    Judged::Rewrite { outputs: outputs.collect::<Result<_>>()?, plan }
                }
            })
        });
        match encoded {
            Err(error) if error.kind() == ErrorKind::Corruption => Ok(Judged::Failed),
            encoded => encoded,
        }
    }

    fn encode(&self, record: &LiveRecord<'_>, blob: NewBlob) -> Result<Output> {
        let NewBlob { key, value, bin, compression } = blob;
        let value = match value {
            NewValue::Bytes(bytes) => OutputValue::Encoded(EncodedValue::new(&bytes, compression)),
            NewValue::Same if record.blob.len > self.same_bytes_max => OutputValue::Same(compression),
            NewValue::Same => OutputValue::Encoded(EncodedValue::new(&record.read()?, compression)),
        };
        Ok(Output { key, bin, value })
    }
}

/// Lets the threads go when the thread that compacts is done, or panics.
pub(super) struct CloseAtEnd<'j, 'a, O: BinOwner>(pub &'j Judges<'a, O>);

impl<O: BinOwner> Drop for CloseAtEnd<'_, '_, O> {
    fn drop(&mut self) {
        self.0.close();
    }
}
