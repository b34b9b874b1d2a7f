//! The two queues of a commit: records on their way into the log, and batches on their way to being visible.
//!
//! Problem: many threads commit at once. If each wrote to the log and the memtable under one lock, all would wait for each other's
//! system calls and look-ups. So only what must be in one order is under the commit lock: requirements, sequence numbers, and a
//! place in these queues. The rest goes on outside, in this order for each batch:
//!
//! 1. *Log.* Records that wait are written as one [`Group`] with one write. Whoever is first in a group leads it: it waits for the
//!    group before to be written, then takes all that have joined, writes, and tells the others. A group is whole in the log, or
//!    absent: if the write fails, none of its batches counts, and each of its threads gets the error.
//! 2. *Memtable.* Each thread inserts its own entries; nobody sees them yet, as they are newer than what is visible.
//! 3. *Visibility.* What readers may see moves on in the order of the sequence numbers ([`Publisher`]): a batch is visible when it and
//!    all before it are in the memtable. A thread returns when its own batch is visible, so it reads what it wrote.
//!
//! Example: A (5), B (6, 7) and C (8) commit at once. A leads a group of its own; while it writes, B and C join the next, which B leads.
//! C is inserted before B: visible stays at 5, and C waits. When B is in, visible goes from 5 to 8, and both return.
//!
//! What needs all earlier commits in place (a requirement, sealing a memtable, dropping a keyspace) holds the commit lock, so that none
//! joins, and waits until the pipeline is empty ([`Publisher::wait_for_all`]). Nothing in the pipeline takes the commit lock.

use crate::batch::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::log::LogFile;
use crate::types::Seqno;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a record came to lie: its log, and where the log ended after it or after a later one of its group.
pub(super) type Written = (Arc<LogFile>, u64);

/// Records that go to the log together.
#[derive(Default)]
pub(super) struct Group {
    outcome: Mutex<Option<std::result::Result<Written, (ErrorKind, String)>>>,
    written: Condvar,
}

impl Group {
    /// Called by the leader. What was told once stands.
    pub(super) fn tell(&self, outcome: &Result<Written>) {
        self.outcome.lock().get_or_insert_with(|| match outcome {
            Ok(written) => Ok(written.clone()),
            Err(error) => Err((error.kind(), error.to_string())),
        });
        self.written.notify_all();
    }

    /// Called by all others.
    pub(super) fn wait(&self) -> Result<Written> {
        let mut outcome = self.outcome.lock();
        loop {
            match &*outcome {
                Some(Ok(written)) => return Ok(written.clone()),
                Some(Err((kind, message))) => return Err(Error::new(*kind, message.clone())),
                None => self.written.wait(&mut outcome),
            }
        }
    }
}

/// The group that records join now.
#[derive(Default)]
pub(super) struct LogQueue(Mutex<Joining>);

#[derive(Default)]
struct Joining {
    records: Vec<Record>,
    group: Arc<Group>,
}

/// A record's place in the queue.
pub(super) struct Place {
    pub group: Arc<Group>,
    /// Whether its thread writes the group.
    pub leads: bool,
}

impl LogQueue {
    /// Called under the commit lock, so that records are in the order of their sequence numbers.
    pub(super) fn join(&self, record: Record) -> Place {
        let mut joining = self.0.lock();
        joining.records.push(record);
        Place { group: joining.group.clone(), leads: joining.records.len() == 1 }
    }

    /// Ends the group, whose leader calls this while it holds the log; later records join the next.
    pub(super) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.0.lock()).records
    }
}

/// Batches that have sequence numbers but are not visible yet, in order.
pub(super) struct Publisher {
    visible: AtomicU64,
    slots: Mutex<Slots>,
    advanced: Condvar,
}

#[derive(Default)]
struct Slots {
    /// The number of the first of `waiting`; those before are visible.
    first: u64,
    waiting: VecDeque<Slot>,
    /// A thread panicked on the way of its batch: nothing that is not visible yet will be.
    is_stopped: bool,
}

struct Slot {
    last: Seqno,
    done: bool,
}

impl Publisher {
    pub(super) fn new(visible: Seqno) -> Self {
        Self { visible: AtomicU64::new(visible.0), slots: Mutex::default(), advanced: Condvar::new() }
    }

    /// The newest sequence number that readers may see.
    pub(super) fn visible(&self) -> Seqno {
        Seqno(self.visible.load(Ordering::Acquire))
    }

    /// A slot for a batch whose last sequence number is `last`. Called under the commit lock.
    pub(super) fn enter(&self, last: Seqno) -> u64 {
        let mut slots = self.slots.lock();
        slots.waiting.push_back(Slot { last, done: false });
        slots.first + slots.waiting.len() as u64 - 1
    }

    /// The batch is in the memtable, or will never be.
    pub(super) fn leave(&self, number: u64) {
        let mut slots = self.slots.lock();
        let at = number.checked_sub(slots.first).and_then(|at| usize::try_from(at).ok());
        if let Some(slot) = at.and_then(|at| slots.waiting.get_mut(at)) {
            slot.done = true;
        }
        while !slots.is_stopped
            && let Some(slot) = slots.waiting.pop_front_if(|slot| slot.done)
        {
            slots.first += 1;
            self.visible.store(slot.last.0, Ordering::Release);
        }
        drop(slots);
        self.advanced.notify_all();
    }

    /// A batch was given up on its way, perhaps half of it in the memtable: neither it nor what comes after it becomes visible, and nobody
    /// waits for that.
    pub(super) fn stop(&self) {
        self.slots.lock().is_stopped = true;
        self.advanced.notify_all();
    }

    /// Until the batch of a slot is visible.
    ///
    /// # Errors
    /// It never will be.
    pub(super) fn wait_for(&self, number: u64) -> Result<()> {
        self.wait_until(|slots| slots.first > number)
    }

    /// Until all batches that have a slot are visible. Called under the commit lock, which keeps others from coming.
    ///
    /// # Errors
    /// They never will be.
    pub(super) fn wait_for_all(&self) -> Result<()> {
        self.wait_until(|slots| slots.waiting.is_empty())
    }

    fn wait_until(&self, is_there: impl Fn(&Slots) -> bool) -> Result<()> {
        let mut slots = self.slots.lock();
        while !is_there(&slots) {
            if slots.is_stopped {
                let message = "the database is read-only since a thread panicked in the middle of a commit; close and reopen it";
                return Err(Error::new(ErrorKind::ReadOnly, message));
            }
            self.advanced.wait(&mut slots);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visibility_advances_in_order_whoever_is_done_first() {
        let publisher = Publisher::new(Seqno(4));
        let slots: Vec<u64> = [5, 7, 8].map(|last| publisher.enter(Seqno(last))).into();
        publisher.leave(slots[2]);
        assert_eq!(publisher.visible(), Seqno(4));
        publisher.leave(slots[0]);
        assert_eq!(publisher.visible(), Seqno(5));
        publisher.wait_for(slots[0]).unwrap();
        publisher.leave(slots[1]);
        assert_eq!(publisher.visible(), Seqno(8));
        publisher.wait_for_all().unwrap();
        assert_eq!(publisher.enter(Seqno(9)), slots[2] + 1);
    }

    #[test]
    fn nothing_behind_a_batch_that_was_given_up_becomes_visible_and_nobody_waits_for_it() {
        let publisher = Publisher::new(Seqno(4));
        let slots: Vec<u64> = [5, 6, 7].map(|last| publisher.enter(Seqno(last))).into();
        publisher.leave(slots[0]);
        publisher.stop();
        publisher.leave(slots[2]);
        assert_eq!(publisher.visible(), Seqno(5));
        assert!(publisher.wait_for(slots[0]).is_ok(), "it was visible before");
        assert_eq!(publisher.wait_for(slots[2]).unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(publisher.wait_for_all().unwrap_err().kind(), ErrorKind::ReadOnly);
    }

    #[test]
    fn whoever_is_first_leads_and_a_taken_group_is_closed() {
        let queue = LogQueue::default();
        let record = || Record::new(b"x");
        let (first, second) = (queue.join(record()), queue.join(record()));
        assert!(first.leads && !second.leads && Arc::ptr_eq(&first.group, &second.group));
        assert_eq!(queue.take().len(), 2);
        let third = queue.join(record());
        assert!(third.leads && !Arc::ptr_eq(&first.group, &third.group));
        first.group.tell(&Err(Error::new(ErrorKind::NoSpace, "full")));
        assert_eq!(second.group.wait().err().unwrap().kind(), ErrorKind::NoSpace);
    }
}
