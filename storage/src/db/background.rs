//! The two threads: one flushes sealed memtables, one compacts tables.
//!
//! Both sleep on one condition and look for work when woken. A failed job is tried again after a pause that doubles (a call to
//! flush ends it); meanwhile its error is what a writer that must wait for it gets, instead of waiting for ever. A job that
//! finds the database failed (`fatal`) or closing does nothing.

use super::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Background {
    signals: Mutex<Signals>,
    changed: Condvar,
    closing: AtomicBool,
}

#[derive(Default)]
struct Signals {
    /// Counts wakes, so that none is missed between looking for work and going to sleep.
    wakes: u64,
    /// Why each [`Job`] failed last, until it is tried again with success, or by request.
    errors: [Option<(ErrorKind, String)>; 2],
    /// Counts requests to try again at once.
    retries: u64,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Flush,
    Compact,
}

impl Job {
    /// `false` if there is nothing to do.
    fn run(self, inner: &Inner) -> Result<bool> {
        match self {
            Self::Flush => crate::compaction::flush_one(inner),
            Self::Compact => crate::compaction::compact_one(inner),
        }
    }
}

const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

impl Background {
    /// There may be work, or something that a waiter waits for.
    pub(super) fn wake(&self) {
        self.signals.lock().wakes += 1;
        self.changed.notify_all();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Sleeps until `done`, or until `check` finds that it will not come.
    pub(super) fn wait_until(&self, done: impl Fn() -> bool, check: impl Fn() -> Result<()>) -> Result<()> {
        loop {
            let wakes = self.signals.lock().wakes;
            if done() {
                return Ok(());
            }
            check()?;
            let mut signals = self.signals.lock();
            if signals.wakes == wakes {
                self.changed.wait(&mut signals);
            }
        }
    }

    /// Sleeps; `false` as soon as the database is closing.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        let mut signals = self.signals.lock();
        self.changed.wait_while_for(&mut signals, |_| !self.is_closing(), time);
        !self.is_closing()
    }

    fn set_error(&self, job: Job, error: Option<&Error>) {
        self.signals.lock().errors[job as usize] = error.map(|error| (error.kind(), error.to_string()));
        self.wake();
    }

    /// Forgets why a job failed, and lets it be tried again without a pause.
    pub(super) fn retry(&self, job: Job) {
        let mut signals = self.signals.lock();
        if signals.errors[job as usize].take().is_some() {
            signals.retries += 1;
            signals.wakes += 1;
            self.changed.notify_all();
        }
    }
}

impl Inner {
    /// The error that keeps a job from being done.
    pub(super) fn check_background(&self, job: Job) -> Result<()> {
        self.check_writable()?;
        match &self.background.signals.lock().errors[job as usize] {
            Some((kind, message)) => Err(Error::new(*kind, message.clone())),
            None => Ok(()),
        }
    }
}

/// Ends the threads and closes the database when the last handle goes.
pub(super) struct Closer {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Closer {
    /// Idempotent: the second call finds nothing to do.
    pub(super) fn close(&self) -> Result<()> {
        self.inner.background.closing.store(true, Ordering::Release);
        self.inner.background.wake();
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return Ok(());
        }
        for thread in threads {
            // A panic of the thread was reported by the panic hook; closing goes on.
            let _ = thread.join();
        }
        // A bin that cannot be sealed is recovered by the next opening; the log must be durable all the same.
        let sealed = self.inner.seal_all_bins();
        let finished = self.inner.finish_log();
        self.inner.events.end();
        finished.and(sealed)
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        // Whoever wants to know calls `Db::close`; what was acknowledged is safe either way.
        let _ = self.close();
    }
}

/// Starts the threads of an opened database.
pub(super) fn start(inner: &Arc<Inner>) -> Result<Closer> {
    let closer = Closer { inner: inner.clone(), threads: Mutex::new(Vec::new()) };
    for (name, job) in [("patina-flush", Job::Flush), ("patina-compact", Job::Compact)] {
        let inner = inner.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&inner, job))
            .map_err(|source| Error::io("start a thread for", &closer.inner.dir, source))?;
        closer.threads.lock().push(thread);
    }
    if let Some(interval_ms) = inner.options.sync_interval_ms {
        let inner = inner.clone();
        let thread = std::thread::Builder::new()
            .name("patina-sync".to_owned())
            .spawn(move || inner.sync_at_intervals(Duration::from_millis(interval_ms)))
            .map_err(|source| Error::io("start a thread for", &closer.inner.dir, source))?;
        closer.threads.lock().push(thread);
    }
    Ok(closer)
}

/// Does jobs while there are any (`Ok(true)`), then sleeps until woken.
fn run(inner: &Inner, job: Job) {
    let background = &inner.background;
    let mut pause = RETRY_PAUSE_MIN;
    loop {
        let Signals { wakes, retries, .. } = *background.signals.lock();
        if background.is_closing() {
            return;
        }
        let outcome = if inner.fatal.get().is_some() { Ok(false) } else { job.run(inner) };
        match outcome {
            Ok(more) => {
                pause = RETRY_PAUSE_MIN;
                if more || background.signals.lock().errors[job as usize].is_some() {
                    background.set_error(job, None);
                    continue;
                }
                let mut signals = background.signals.lock();
                if signals.wakes == wakes && !background.is_closing() {
                    background.changed.wait(&mut signals);
                }
            }
            Err(error) => {
                background.set_error(job, Some(&error));
                let (kind, message) = (error.kind(), error.to_string());
                inner.events.emit(|| Event::BackgroundError { kind, message });
                // Not ended by a mere wake: two failing threads would wake each other without end.
                let is_waiting =
                    |signals: &mut Signals| signals.retries == retries && !background.is_closing();
                let mut signals = background.signals.lock();
                background.changed.wait_while_for(&mut signals, is_waiting, pause);
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
    }
}
