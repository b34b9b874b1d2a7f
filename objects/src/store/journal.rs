//! The head of the history, and the one way to commit what belongs in it.
//!
//! A history row holds the hash of the row before, so the order of commits must be the order of rows: whoever commits
//! holds the journal's lock from taking the head to the end of the write. The write is buffered; making it durable
//! happens outside of the lock, where many wait for one sync.
//!
//! `meta` keeps `head` (rows, hash of the last, next object id), `decay clock` and `clock seen` (ms, big-endian),
//! `degraded bytes` (see `guard`), `budgets`, `decay paused` and, while a policy's change is being carried to its objects, `reindex`.

use super::{Inner, Spaces};
use crate::chain::{self, GENESIS, RowHash};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::keys;
use crate::rows::{self, HeadRow, HistoryRecord, ObjectRow};
use crate::types::{ObjectId, Reason};
use patina_storage::{Durability, WriteBatch};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) const HEAD: &[u8] = b"head";
const DECAY_CLOCK: &[u8] = b"decay clock";

/// How many rows the history has, and the hash of the last.
#[derive(Clone, Copy)]
pub(crate) struct Journal {
    pub rows: u64,
    pub hash: RowHash,
}

/// What opening finds.
pub(super) struct Start {
    pub journal: Journal,
    pub next_object_id: u64,
    pub decay_clock_ms: u64,
}

pub(super) fn load(spaces: &Spaces) -> Result<Start> {
    let (journal, next_object_id) = match spaces.meta.get(HEAD)? {
        Some(bytes) => read_head(&bytes)?,
        None => (Journal { rows: 0, hash: GENESIS }, 1),
    };
    let decay_clock_ms =
        spaces.meta.get(DECAY_CLOCK)?.and_then(|bytes| keys::last_number(&bytes)).unwrap_or(0);
    Ok(Start { journal, next_object_id, decay_clock_ms })
}

pub(super) fn read_head(bytes: &[u8]) -> Result<(Journal, u64)> {
    let head: HeadRow = rows::decode(bytes, "the history's head")?;
    let hash = head.history_hash.as_slice().try_into();
    let hash = hash.map_err(|_| Error::corruption("the history's head is damaged; restore from a copy"))?;
    Ok((Journal { rows: head.history_rows, hash }, head.next_object_id))
}

impl Inner {
    /// Commits a batch together with its history rows. Not durable before the next sync.
    pub(crate) fn commit(&self, batch: WriteBatch, records: Vec<HistoryRecord>) -> Result<()> {
        self.commit_unless(batch, records, || false).map(drop)
    }

    /// As [`Inner::commit`], unless `is_void`, which is asked last: `false`, and then nothing was written.
    pub(crate) fn commit_unless(
        &self,
        mut batch: WriteBatch,
        records: Vec<HistoryRecord>,
        is_void: impl FnOnce() -> bool,
    ) -> Result<bool> {
        let spaces = &self.spaces;
        let mut journal = self.journal.lock();
        let mut head = *journal;
        let growth = self.budgets.growth(&records);
        let is_followed = !self.subscribers.is_empty();
        let mut rows = Vec::new();
        for mut record in records {
            head.rows += 1;
            record.seq = head.rows;
            record.prev_hash = head.hash.to_vec();
            let object = ObjectId(record.object);
            let bytes = rows::encode(&record);
            head.hash = chain::hash_of(&bytes);
            if is_followed {
                rows.push(Arc::new(chain::read(head.rows, &bytes)?));
            }
            batch.put(&spaces.history, keys::sequence(head.rows), bytes);
            batch.put(&spaces.history_by_object, keys::history_by_object(object, head.rows), Vec::new());
        }
        let row = HeadRow {
            history_rows: head.rows,
            history_hash: head.hash.to_vec(),
            next_object_id: self.next_object_id.load(Ordering::SeqCst),
        };
        batch.put(&spaces.meta, HEAD.to_vec(), rows::encode(&row));
        let noted = self.guard.note(&mut batch, spaces, &self.options, self.clock.now(), self.reached());
        if is_void() {
            return Ok(false);
        }
        self.db.write(batch, Durability::Buffered)?;
        if let Some(now) = noted {
            self.guard.trust(now);
        }
        *journal = head;
        self.budgets.committed(&growth);
        // Queued under the lock, so that everybody hears of rows in their order.
        rows.iter().for_each(|row| self.subscribers.tell(row));
        Ok(true)
    }

    /// The head as a snapshot sees it.
    pub(super) fn head_at(&self, snapshot: &patina_storage::Snapshot) -> Result<Journal> {
        match snapshot.get(&self.spaces.meta, HEAD)? {
            Some(bytes) => Ok(read_head(&bytes)?.0),
            None => Ok(Journal { rows: 0, hash: GENESIS }),
        }
    }

    /// A history row of what happened to an object, all but its place in the chain.
    pub(crate) fn record(
        &self,
        id: ObjectId,
        before: Option<&ObjectRow>,
        after: Option<&ObjectRow>,
        reason: Reason,
        at: Timestamp,
    ) -> HistoryRecord {
        let named = after.or(before);
        HistoryRecord {
            object: id.0,
            tenant: named.map(|row| row.tenant.clone()).unwrap_or_default(),
            name: named.map(|row| row.name.clone()).unwrap_or_default(),
            at_ms: at.0,
            from: before.map(|row| row.stage().number().into()),
            to: after.map(|row| row.stage().number().into()),
            reason: reason.as_str().to_owned(),
            bytes_before: before.map_or(0, |row| row.stored),
            bytes_after: after.map_or(0, |row| row.stored),
            fidelity: after.map_or(0.0, |row| row.fidelity),
            actor: self.options.actor.clone(),
            ..HistoryRecord::default()
        }
    }

    /// The latest time that decay was told.
    fn reached(&self) -> Timestamp {
        Timestamp(self.decay_clock_ms.load(Ordering::SeqCst))
    }

    /// Refuses to decay by a clock that jumped.
    pub(crate) fn check_clock(&self) -> Result<()> {
        self.guard.check(&self.options, self.clock.now(), self.reached())
    }

    /// Trusts the clock as it stands.
    pub(crate) fn confirm_clock(&self) -> Result<()> {
        let now = self.clock.now();
        let mut batch = self.db.batch();
        // Decay waits for it, and frees space.
        batch.use_reserve();
        self.guard.confirm(&mut batch, &self.spaces, now);
        self.db.write(batch, Durability::Buffered)?;
        self.guard.trust(now);
        Ok(())
    }

    /// Moves the decay clock to `now`, or to the clock's time. It never goes back.
    pub(crate) fn advance_decay_clock(&self, now: Option<Timestamp>) -> Result<Timestamp> {
        let now = self.tick_time(now)?;
        if now.0 > self.decay_clock_ms.load(Ordering::SeqCst) {
            let mut batch = self.db.batch();
            // What follows frees space.
            batch.use_reserve();
            batch.put(&self.spaces.meta, DECAY_CLOCK.to_vec(), now.0.to_be_bytes().to_vec());
            self.db.write(batch, Durability::Buffered)?;
            self.decay_clock_ms.store(now.0, Ordering::SeqCst);
        }
        Ok(now)
    }

    /// The time that a tick told `now` would decay up to.
    pub(crate) fn tick_time(&self, now: Option<Timestamp>) -> Result<Timestamp> {
        let reached = self.reached().min(Timestamp::LAST);
        match now {
            Some(now) if now > Timestamp::LAST => Err(Error::invalid(format!(
                "a tick at {now} is beyond the year 9999; give the time in milliseconds since 1970"
            ))),
            Some(now) if now < reached => Err(Error::invalid(format!(
                "a tick at {now} is in the past: decay has already reached {reached}; give a later time or none"
            ))),
            Some(now) => Ok(now),
            None => Ok(self.now()),
        }
    }
}
