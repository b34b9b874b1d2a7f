//! Committing: requirements, log, memtable, visibility; group commit; back-pressure.
//!
//! Under the commit lock a batch's requirements are checked, a full memtable is sealed, the batch gets its sequence numbers, its
//! record goes to the log (one write, no sync) and its entries to the memtable; then it is visible. Syncing happens after the
//! lock: whoever gets the sync lock first syncs for all whose records were written by then; the others find their bytes
//! durable and return.
//!
//! A record counts as synced only when the blobs that it *and all records before it* refer to are durable too: recovery ends a log
//! at the first record whose blobs are not there. Example: A (`Buffered`) refers to a blob, B (`Sync`) to none; if B were
//! acknowledged with A's blob still in memory, a power loss would take A for a torn tail, and B with it. After the sync of the
//! blobs other `Buffered` records may come before that of the log; they may be torn, and so the log does not call them synced.

use super::background::Job;
use super::read::after_prefix;
use super::{Commit, Inner};
use crate::batch::{Requirement, WriteBatch};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogFile, LogWriter};
use crate::memtable::Memtable;
use crate::merge::{MergeIter, sources};
use crate::types::{Durability, KeyspaceId, Seqno, Tag};
use crate::version::{ReadState, Tree};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Inner {
    pub(super) fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<Seqno> {
        self.check_writable()?;
        batch.validate(&self.options)?;
        let keyspaces = batch.keyspaces();
        self.wait_for_room()?;
        if durability == Durability::Sync {
            for blob in &batch.blobs {
                blob.inner.file.sync().map_err(|error| self.fail(error))?;
            }
        }
        let (seqno, log, end) = {
            let mut commit = self.commit.lock();
            self.check_writable()?;
            let state = self.read_state();
            keyspaces.iter().try_for_each(|keyspace| state.check_readable(*keyspace, None))?;
            self.check_requirements(&state, batch)?;
            // Before the append: if the disk is too full for a new log, nothing was written, and the batch may be tried again.
            if self.read_state().active.bytes() >= self.options.memtable_bytes {
                self.seal_memtable(&mut commit)?;
            }
            let seqno = self.append(&mut commit, batch)?;
            let log = commit.log.file().clone();
            let end = log.written();
            (seqno, log, end)
        };
        if durability == Durability::Sync {
            self.sync_log(&log, end)?;
        }
        Ok(seqno)
    }

    /// Makes a log durable up to `end`, and before that the blobs that its records refer to.
    fn sync_log(&self, log: &LogFile, end: u64) -> Result<()> {
        if log.synced() >= end {
            return Ok(());
        }
        let _one_sync_for_all = self.log_sync.lock();
        if log.synced() >= end {
            return Ok(());
        }
        // Taken first: a record appended after this may refer to blobs that are not synced here.
        let written = log.written();
        let synced = self.blobs.sync_open().and_then(|()| log.sync_through(written));
        synced.map_err(|error| self.fail(error))
    }

    /// Log, memtable, visibility. Gives the sequence number of the batch's last write.
    fn append(&self, commit: &mut Commit, batch: &WriteBatch) -> Result<Seqno> {
        let first = commit.next_seqno;
        if batch.is_empty() {
            return Ok(Seqno(first.0 - 1));
        }
        commit.log.append(&batch.encode(first)).map_err(|failed| self.fail_append(failed))?;
        let memtable = self.read_state().active.clone();
        for (n, op) in (0u64..).zip(&batch.ops) {
            let tag = Tag::new(Seqno(first.0 + n), op.kind);
            memtable.insert(op.keyspace, &op.key, tag, &op.value);
        }
        commit.next_seqno = Seqno(first.0 + batch.len() as u64);
        let last = Seqno(commit.next_seqno.0 - 1);
        self.visible.store(last.0, Ordering::Release);
        Ok(last)
    }

    fn check_requirements(&self, state: &ReadState, batch: &WriteBatch) -> Result<()> {
        for requirement in &batch.requirements {
            let holds = match requirement {
                Requirement::Absent { keyspace, key } => state.get(*keyspace, key, Seqno::MAX)?.is_none(),
                Requirement::Version { keyspace, key, seqno } => {
                    state.get(*keyspace, key, Seqno::MAX)?.is_some_and(|(tag, _)| tag.seqno() == *seqno)
                }
                Requirement::Unchanged { keyspace, prefix, since } => {
                    is_unchanged(state, *keyspace, prefix, since.seqno())?
                }
            };
            if !holds {
                let message = "what the batch requires has changed meanwhile; read again and retry";
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        Ok(())
    }

    /// Puts a new memtable and a new log in place; the old ones wait for their flush. If the disk is too full for that, all is as it
    /// was before.
    pub(super) fn seal_memtable(&self, commit: &mut Commit) -> Result<()> {
        let id = self.new_file_id();
        let path = self.dir.join(super::open::file_name(id, super::open::LOG_SUFFIX));
        // A log that a newer one follows must be whole, with all the blobs that it refers to: recovery takes anything else for
        // corruption.
        self.blobs.sync_open().map_err(|error| self.fail(error))?;
        commit.log.finish().map_err(|failed| self.fail_append(failed))?;
        commit.log = LogWriter::create(&*self.vfs, &self.dir, path, id)?;
        let mut state = self.state.write();
        let mut next = ReadState::clone(&state);
        let sealed = std::mem::replace(&mut next.active, Arc::new(Memtable::new(id)));
        next.sealed.insert(0, sealed);
        *state = Arc::new(next);
        drop(state);
        self.background.wake();
        Ok(())
    }

    pub(super) fn flush_and_wait(&self) -> Result<()> {
        let until = {
            let mut commit = self.commit.lock();
            self.check_writable()?;
            if !self.read_state().active.is_empty() {
                self.seal_memtable(&mut commit)?;
            }
            commit.log.file().id
        };
        // What failed before may go now.
        self.background.retry(Job::Flush);
        self.background.wait_until(
            // Others may seal more meanwhile; those are not waited for.
            || self.read_state().sealed.iter().all(|memtable| memtable.log >= until),
            || self.check_background(Job::Flush),
        )
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.check_writable()?;
        let log = self.commit.lock().log.file().clone();
        self.sync_log(&log, log.written())
    }

    /// Slows the writer down in proportion to the tables waiting in level 0, and stops it while too much waits for a flush.
    fn wait_for_room(&self) -> Result<()> {
        let state = self.read_state();
        let slowdown = self.options.l0_tables_slowdown;
        let level0 = |state: &ReadState| {
            let live = state.version.values().filter(|tree| tree.dropped_at.is_none());
            live.map(|tree| tree.levels[0].len()).max().unwrap_or(0)
        };
        let missing = |state: &ReadState| {
            let waits_for_flush = state.sealed.len() > self.options.sealed_memtables_max;
            let waits_for_merge = level0(state) >= 2 * slowdown;
            if waits_for_flush { Some(Job::Flush) } else { waits_for_merge.then_some(Job::Compact) }
        };
        if missing(&state).is_some() {
            return self.background.wait_until(
                || missing(&self.read_state()).is_none(),
                || missing(&self.read_state()).map_or(Ok(()), |job| self.check_background(job)),
            );
        }
        let debt = level0(&state).saturating_sub(slowdown);
        if debt > 0 {
            std::thread::sleep(Duration::from_micros(200 * debt as u64));
        }
        Ok(())
    }

    /// Ends log and manifest for a clean close, after the bins were sealed: what was written is durable when this returns.
    pub(super) fn finish_log(&self) -> Result<()> {
        let mut commit = self.commit.lock();
        self.check_not_failed()?;
        self.blobs.sync_open()?;
        commit.log.finish().map_err(|failed| failed.error)?;
        let log = commit.log.file();
        self.manifest.lock().close(log.id, log.synced())
    }
}

/// Whether nothing under the prefix is newer than `since`. Only memtables and tables that have something newer are looked at.
fn is_unchanged(state: &ReadState, keyspace: KeyspaceId, prefix: &Bytes, since: Seqno) -> Result<bool> {
    let mut young = state.clone();
    if let Some(tree) = state.tree(keyspace) {
        let mut tree = Tree::clone(tree);
        for level in &mut tree.levels {
            level.retain(|table| table.properties.seqno_max > since);
        }
        young.version = Arc::new([(keyspace, Arc::new(tree))].into());
    }
    let mut merged = MergeIter::new(sources(&young, keyspace));
    merged.seek(prefix, Tag(u64::MAX))?;
    let end = after_prefix(prefix);
    while let Some((key, tag)) = merged.key() {
        if end.as_ref().is_some_and(|end| key >= &end[..]) {
            break;
        }
        if tag.seqno() > since {
            return Ok(false);
        }
        merged.next()?;
    }
    Ok(true)
}
