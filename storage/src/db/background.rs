//! The two threads: one flushes sealed memtables, one compacts tables.
//!
//! Both sleep on one condition and look for work when woken. A failed job is tried again after a pause that doubles; meanwhile
//! its error is what a writer that must wait for it gets, instead of waiting for ever. A job that finds the database
//! failed (`fatal`) or closing does nothing.

use super::Inner;
use crate::error::{Error, ErrorKind, Result};
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
    error: Option<(ErrorKind, String)>,
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

    fn set_error(&self, error: Option<&Error>) {
        self.signals.lock().error = error.map(|error| (error.kind(), error.to_string()));
        self.wake();
    }
}

impl Inner {
    /// The error that keeps the background from making room.
    pub(super) fn check_background(&self) -> Result<()> {
        self.check_writable()?;
        match &self.background.signals.lock().error {
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
        self.inner.seal_all_bins()?;
        self.inner.finish_log()
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        // Whoever wants to know calls `Db::close`; what was acknowledged is safe either way.
        let _ = self.close();
    }
}

type Job = fn(&Inner) -> Result<bool>;

/// Starts the threads of an opened database.
pub(super) fn start(inner: &Arc<Inner>) -> Result<Closer> {
    let closer = Closer { inner: inner.clone(), threads: Mutex::new(Vec::new()) };
    let jobs: [(&str, Job); 2] =
        [("patina-flush", crate::compaction::flush_one), ("patina-compact", crate::compaction::compact_one)];
    for (name, job) in jobs {
        let inner = inner.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&inner, job))
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
        let wakes = background.signals.lock().wakes;
        if background.is_closing() {
            return;
        }
        let outcome = if inner.fatal.get().is_some() { Ok(false) } else { job(inner) };
        let mut retry = None;
        match outcome {
            Ok(true) => {
                pause = RETRY_PAUSE_MIN;
                background.set_error(None);
                continue;
            }
            Ok(false) => {}
            Err(error) => {
                background.set_error(Some(&error));
                retry = Some(pause);
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
        let mut signals = background.signals.lock();
        match retry {
            _ if background.is_closing() => return,
            Some(pause) => drop(background.changed.wait_for(&mut signals, pause)),
            None if signals.wakes == wakes => background.changed.wait(&mut signals),
            None => {}
        }
    }
}
