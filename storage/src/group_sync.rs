//! Syncing one file for many threads: one sync serves all who wait for it, and none is begun after one has failed.
//!
//! Whoever comes while a sync runs waits for it; if it began too early for some, one of these begins the next, for all of them. The system
//! may forget what it could not write, and call the next sync a success. So a failure is remembered: whoever waited, or comes
//! later, gets an error, whatever another sync would say.

use crate::error::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of a file is durable, and who makes it so.
pub(crate) struct GroupSync {
    /// Bytes known to be durable.
    synced: AtomicU64,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    running: bool,
    /// Why a sync failed.
    failed: Option<String>,
}

impl GroupSync {
    /// For a file of which so many bytes are durable.
    pub(crate) fn new(synced: u64) -> Self {
        Self { synced: AtomicU64::new(synced), state: Mutex::default(), ended: Condvar::new() }
    }

    /// Bytes known to be durable.
    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Returns when the first `end` bytes are durable. Whoever syncs for all asks what is `written` first; what is written while it syncs
    /// does not count.
    ///
    /// # Errors
    /// Once a sync has failed, every later call fails.
    pub(crate) fn sync_through(
        &self,
        end: u64,
        written: impl FnOnce() -> u64,
        sync: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if self.synced() >= end {
            return Ok(());
        }
        let mut state = self.state.lock();
        loop {
            if self.synced() >= end {
                return Ok(());
            }
            if let Some(cause) = &state.failed {
                return Err(Error::new(ErrorKind::ReadOnly, cause.clone()));
            }
            if !state.running {
                break;
            }
            self.ended.wait(&mut state);
        }
        state.running = true;
        drop(state);
        let mut turn = Turn { of: self, outcome: Err("a thread panicked while it synced".to_owned()) };
        let written = written();
        let outcome = sync();
        turn.outcome = outcome.as_ref().map(|()| written).map_err(ToString::to_string);
        outcome
    }
}

/// A sync that runs. It ends also if it panics: those who wait for it would wait for ever.
struct Turn<'a> {
    of: &'a GroupSync,
    /// How many bytes are durable now, or why nobody knows.
    outcome: std::result::Result<u64, String>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        state.running = false;
        match &self.outcome {
            Ok(written) => drop(self.of.synced.fetch_max(*written, Ordering::AcqRel)),
            Err(error) => state.failed = Some(error.clone()),
        }
        self.of.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    /// Eight threads come while a sync runs that began before their bytes; gives how many syncs there were, and what each got.
    fn eight_wait(first_fails: bool) -> (usize, Vec<Result<()>>) {
        let (file, syncs, begun) = (GroupSync::new(0), AtomicUsize::new(0), Mutex::new(false));
        let sync = || {
            syncs.fetch_add(1, Ordering::SeqCst);
            *begun.lock() = true;
            std::thread::sleep(Duration::from_millis(50));
            if first_fails { Err(Error::new(ErrorKind::Io, "injected fault")) } else { Ok(()) }
        };
        let outcomes = std::thread::scope(|scope| {
            let first = scope.spawn(|| file.sync_through(1, || 1, sync));
            while !*begun.lock() {
                std::thread::yield_now();
            }
            let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| file.sync_through(9, || 9, sync))).collect();
            std::iter::once(first).chain(waiting).map(|thread| thread.join().unwrap()).collect()
        });
        (syncs.into_inner(), outcomes)
    }

    #[test]
    fn one_sync_serves_all_who_came_while_another_ran() {
        let (syncs, outcomes) = eight_wait(false);
        assert_eq!(syncs, 2);
        assert!(outcomes.iter().all(Result::is_ok));
    }

    #[test]
    fn after_a_failure_nobody_syncs_again() {
        let (syncs, outcomes) = eight_wait(true);
        assert_eq!(syncs, 1);
        let kinds: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap_err().kind()).collect();
        assert_eq!(kinds[0], ErrorKind::Io);
        assert!(kinds[1..].iter().all(|kind| *kind == ErrorKind::ReadOnly));
    }
}
