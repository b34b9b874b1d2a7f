//! Committing: requirements, sequence numbers, log, memtable, visibility, durability; sealing memtables.
//!
//! What is under the commit lock is short: the second look at the requirements (`require.rs`), sealing a full memtable, sequence numbers, a
//! place in the queues. Writing the log, inserting and becoming visible go on beside others (`pipeline.rs`), syncing after that (`sync.rs`).
//!
//! Rules that hold whatever fails:
//! - The log is written before the memtable: what a reader sees, recovery finds. A write that fails (a full disk) leaves all as it was.
//! - A batch's entries are in the memtable that goes with the log of its record: sealing waits until the pipeline is empty.
//! - A batch is acknowledged as `Sync` only when the log is durable up to its record, with all blobs that are referred to by then.
//! - After a failed sync nothing is written until reopening: nobody knows what the system forgot.
//! - Memory is bounded: a batch is admitted (`pressure.rs`) when it fits into `write_buffer_bytes_max` beside the memtables and the
//!   batches on their way into one. One that is larger than a memtable gets a memtable of its own.

use super::background::Job;
use super::pipeline::{Place, Written};
use super::require::Early;
use super::{Commit, Inner};
use crate::batch::{Op, WriteBatch};
use crate::error::{Error, Result};
use crate::log::LogWriter;
use crate::manifest::Edit;
use crate::memtable::Memtable;
use crate::types::{Durability, FileId, Seqno, Tag};
use crate::version::ReadState;
use std::sync::Arc;

/// A batch that has its sequence numbers.
struct Assigned {
    first: Seqno,
    last: Seqno,
    slot: u64,
    place: Place,
    memtable: Arc<Memtable>,
}

impl Inner {
    pub(super) fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<Seqno> {
        self.check_writable()?;
        if !batch.is_of(self) {
            return Err(Error::foreign());
        }
        batch.validate(&self.options)?;
        self.check_room_for(batch)?;
        let early = self.check_early(batch).or_else(|error| {
            // Whoever reads again after a conflict must see what it lost against, and that may not be visible yet.
            let _nobody_comes = self.commit.lock();
            self.publisher.wait_for_all().and(Err(error))
        })?;
        let admitted = self.admit(batch)?;
        if durability == Durability::Sync {
            // The log's sync does this too; here nobody else waits for it.
            for blob in &batch.blobs {
                blob.inner.file.sync().map_err(|error| self.fail(error))?;
            }
        }
        let commit = || self.commit(batch, &early, admitted.bytes);
        let committed = if batch.frees_space() { self.freeing_space(commit) } else { commit() };
        drop(admitted);
        let (seqno, written) = committed?;
        match (durability, written) {
            (Durability::Buffered, _) => {}
            (Durability::Sync, Some((log, end))) => self.sync_log(&log, end)?,
            // It wrote nothing, but what it required is to last.
            (Durability::Sync, None) => self.sync()?,
        }
        Ok(seqno)
    }

    /// All but durability: when this returns, the batch is visible. Gives the sequence number of its last write.
    fn commit(&self, batch: &WriteBatch, early: &Early, bytes: usize) -> Result<(Seqno, Option<Written>)> {
        let keyspaces = batch.keyspaces();
        let record = (!batch.is_empty()).then(|| batch.encode());
        let assigned = {
            let mut commit = self.commit.lock();
            self.check_writable()?;
            if !batch.requirements.is_empty() {
                self.publisher.wait_for_all()?;
            }
            let state = self.read_state();
            keyspaces.iter().try_for_each(|keyspace| state.check_readable(*keyspace, None))?;
            self.check_again(&state, batch, early)?;
            let Some(mut record) = record else {
                return Ok((Seqno(commit.next_seqno.0 - 1), None));
            };
            // Before the append: if the disk is too full for a new log, nothing was written, and the batch may be tried again.
            let is_full = commit.memtable_bytes + bytes > self.options.memtable_bytes;
            if is_full && commit.memtable_bytes > 0 {
                self.seal_memtable(&mut commit)?;
            }
            let first = commit.next_seqno;
            let last = Seqno(first.0 + batch.len() as u64 - 1);
            record.number(first);
            commit.next_seqno = Seqno(last.0 + 1);
            commit.memtable_bytes += bytes;
            let memtable = self.read_state().active.clone();
            Assigned {
                first,
                last,
                slot: self.publisher.enter(last),
                place: self.queue.join(record),
                memtable,
            }
        };
        let written = self.telling_panics_of(&assigned.place, || {
            let written = self.write_log(&assigned.place);
            if written.is_ok() {
                insert(&assigned.memtable, assigned.first, &batch.ops);
            }
            written
        });
        self.publisher.leave(assigned.slot);
        let written = written?;
        self.counters.user(batch.ops.iter().map(|op| (op.key.len() + op.value.len()) as u64).sum());
        self.publisher.wait_for(assigned.slot)?;
        Ok((assigned.last, Some(written)))
    }

    /// Brings a record into the log, with all that wait by then; or waits for whoever does it.
    fn write_log(&self, place: &Place) -> Result<Written> {
        if !place.leads {
            return place.group.wait();
        }
        let mut log = self.log.lock();
        let records = self.queue.take();
        let appended = self.check_not_failed().and_then(|()| {
            let appended =
                self.telling_panics(|| log.append_all(records.iter().map(|record| record.bytes())));
            appended.map_err(|failed| self.fail_append(failed))
        });
        let written = appended.map(|end| (log.file().clone(), end));
        drop(log);
        if written.is_ok() {
            self.counters.log(records.iter().map(|record| record.bytes().len() as u64).sum());
        }
        place.group.tell(&written);
        written
    }

    /// Puts a new memtable and a new log in place; the old ones wait for their flush. If the disk is too full for that, all is as it
    /// was before.
    pub(super) fn seal_memtable(&self, commit: &mut Commit) -> Result<()> {
        self.publisher.wait_for_all()?;
        self.telling_panics(|| self.seal_empty_pipeline(commit))
    }

    fn seal_empty_pipeline(&self, commit: &mut Commit) -> Result<()> {
        self.check_not_failed()?;
        let id = self.new_file_id();
        let path = self.dir.join(super::open::file_name(id, super::open::LOG_SUFFIX));
        // A log that a newer one follows must be whole, with all the blobs that it refers to: recovery takes anything else for
        // corruption.
        self.blobs.sync_open().map_err(|error| self.fail(error))?;
        let mut log = self.log.lock();
        log.finish().map_err(|failed| self.fail_append(failed))?;
        *log = LogWriter::create(&*self.vfs, &self.dir, path, id)?.reserving();
        drop(log);
        self.name_log(id)?;
        commit.memtable_bytes = 0;
        let mut state = self.state.write();
        let mut next = ReadState::clone(&state);
        let sealed =
            std::mem::replace(&mut next.active, Arc::new(Memtable::new(id, self.options.clock.now_ms())));
        let _ = sealed.newest.set(self.visible());
        next.sealed.insert(0, sealed);
        *state = Arc::new(next);
        drop(state);
        self.background.wake();
        Ok(())
    }

    /// Lets the manifest name a log before anything is written to it. On a full disk the log is used all the same: then only its loss
    /// would not be noticed.
    fn name_log(&self, id: FileId) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let named = self.append_edit(&mut manifest, Edit { logs: vec![id], ..Edit::default() });
        named.or_else(|error| if self.is_certain() { Ok(()) } else { Err(error) })
    }

    pub(super) fn flush_and_wait(&self) -> Result<()> {
        let until = {
            let mut commit = self.commit.lock();
            self.check_writable()?;
            if commit.memtable_bytes > 0 {
                self.seal_memtable(&mut commit)?;
            }
            self.read_state().active.log
        };
        // What failed before may go now.
        let tries = self.retry();
        self.wait_until(
            // Others may seal more meanwhile; those are not waited for.
            || self.read_state().sealed.iter().all(|memtable| memtable.log >= until),
            || self.check_background_since(Job::Flush, tries),
        )
    }

    /// Ends log and manifest for a clean close, after the bins were sealed: what was written is durable when this returns.
    pub(super) fn finish_log(&self) -> Result<()> {
        let _no_more_commits = self.commit.lock();
        self.publisher.wait_for_all()?;
        self.check_not_failed()?;
        self.blobs.sync_open()?;
        let mut log = self.log.lock();
        log.finish().map_err(|failed| failed.error)?;
        let log = log.file();
        self.manifest.lock().close(log.id, log.synced())
    }
}

fn insert(memtable: &Memtable, first: Seqno, ops: &[Op]) {
    for (n, op) in (0u64..).zip(ops) {
        let tag = Tag::new(Seqno(first.0 + n), op.kind);
        memtable.insert(op.keyspace, &op.key, tag, &op.value);
    }
}
