//! Which iterators live, and what memory they keep.
//!
//! An iterator keeps what it reads from, and nothing bounds how long: a forgotten one may hold memtables that were flushed long ago, which
//! nothing else counts. So each is registered while it lives; what all of them keep is added up only when somebody asks.

use super::Inner;
use crate::version::ReadState;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The live iterators of a database.
#[derive(Default)]
pub(crate) struct Iterators(Mutex<Live>);

#[derive(Default)]
struct Live {
    last: u64,
    held: BTreeMap<u64, Arc<Held>>,
}

/// What an iterator keeps.
struct Held {
    state: Arc<ReadState>,
    /// Of each of its ends, as of the last seek of that.
    cursor_bytes: [AtomicUsize; 2],
}

/// An end of an iterator.
#[derive(Clone, Copy)]
pub(super) enum End {
    Front = 0,
    Back = 1,
}

/// An iterator's entry among the live ones.
pub(super) struct Registered {
    // Before the database: this may be the last to hold tables that are to be unlinked.
    held: Arc<Held>,
    number: u64,
    inner: Arc<Inner>,
}

impl Registered {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        let held = Arc::new(Held { state: inner.read_state(), cursor_bytes: Default::default() });
        let mut live = inner.iterators.0.lock();
        live.last += 1;
        let number = live.last;
        live.held.insert(number, held.clone());
        drop(live);
        Self { held, number, inner: inner.clone() }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(super) fn state(&self) -> &Arc<ReadState> {
        &self.held.state
    }

    /// The cursors of an end keep so much from here on.
    pub(super) fn keeps(&self, end: End, bytes: usize) {
        let [front, back] = &self.held.cursor_bytes;
        let cursor_bytes = match end {
            End::Front => front,
            End::Back => back,
        };
        cursor_bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.inner.iterators.0.lock().held.remove(&self.number);
    }
}

impl Iterators {
    /// How many live, and what they keep that is not `now` part of the database. O(iterators).
    pub(super) fn measure(&self, now: &ReadState) -> (usize, usize) {
        let live = self.0.lock();
        let current: BTreeSet<_> = now.memtables().map(Arc::as_ptr).collect();
        let memtables = live.held.values().flat_map(|held| held.state.memtables());
        let flushed: BTreeMap<_, _> =
            memtables.map(|memtable| (Arc::as_ptr(memtable), memtable.bytes())).collect();
        let flushed = flushed.iter().filter(|(memtable, _)| !current.contains(*memtable));
        let cursors = live.held.values().flat_map(|held| &held.cursor_bytes);
        let bytes = flushed.map(|(_, bytes)| bytes).sum::<usize>()
            + cursors.map(|bytes| bytes.load(Ordering::Relaxed)).sum::<usize>();
        (live.held.len(), bytes)
    }
}
