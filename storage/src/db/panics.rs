//! What a panic interrupts.
//!
//! Problem: file system and clock are given from outside, and may panic; so may a bug of ours. A thread that dies so, in the middle of something
//! that others rely on or wait for, must not leave them to it: half of a record lies in a buffer, half of an edit in the manifest, a
//! group of commits has lost its leader. Nobody can tell how much of it came about, which is what a failed sync leaves, too: so the
//! database becomes read-only with a reason, whoever waits gets the error, reading goes on, and the next opening finds what there is.
//!
//! Invariant: what was interrupted is known to be so *before* a lock is let go under which it happened. A call is therefore guarded inside
//! of its locks, and whoever takes these next looks first (`Inner::check_not_failed`).
//!
//! A guard does not ask `std::thread::panicking`: a caller may well use the database in a destructor while another panic of its own
//! unwinds.

use super::Inner;
use super::pipeline::Place;
use crate::error::{Error, ErrorKind};

/// Until [`Self::over`] is called, the thread is in the middle of something.
struct Interruptible<'a> {
    inner: &'a Inner,
    /// Its place in the queue for the log, if it commits.
    place: Option<&'a Place>,
    is_over: bool,
}

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let message = "a thread panicked while it was at work on the database, which is a bug, of the database or of a file system or clock \
                       that was given to it: please report it with the panic's message";
        let error = self.inner.fail(Error::new(ErrorKind::ReadOnly, message));
        if let Some(place) = self.place {
            if place.leads {
                place.group.tell(&Err(error));
            }
            self.inner.publisher.stop();
        }
    }
}

impl Inner {
    /// Calls; if that panics, the database is read-only from there on.
    pub(super) fn telling_panics<T>(&self, call: impl FnOnce() -> T) -> T {
        self.guarded(None, call)
    }

    /// As [`Self::telling_panics`], for a commit between its place in the queues and its end: those who share its group, and those behind it,
    /// get an error.
    pub(super) fn telling_panics_of<T>(&self, place: &Place, call: impl FnOnce() -> T) -> T {
        self.guarded(Some(place), call)
    }

    fn guarded<T>(&self, place: Option<&Place>, call: impl FnOnce() -> T) -> T {
        let mut guard = Interruptible { inner: self, place, is_over: false };
        let outcome = call();
        guard.is_over = true;
        outcome
    }
}
