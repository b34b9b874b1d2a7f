//! The pool of threads that flushes memtables and merges tables.
//!
//! Each thread, whenever it is free, does the first of these that there is: a flush (one at a time), a part of a merge that another
//! thread leads, the most urgent merge, a step of collecting blobs' garbage. A flush does not wait for a thread to become free either: a merge looks for one between
//! entries, and lets it go first. Without work the threads sleep until woken, or until something that failed is to be tried again.
//!
//! What failed is tried again after a pause that doubles: a flush as such (a call to flush ends the pause), a merge by its tables
//! (`compaction/claims.rs`), up to 5 s, or up to an hour if it met damage. Meanwhile the error is what a writer that must wait for it gets, instead of waiting for ever. When the database
//! has failed (`fatal`) or closes, nothing is begun any more, and a merge that runs ends as failed between two entries.
//!
//! A thread that panics (a bug of ours, or of a file system or clock that was given) makes the database read-only (`panics.rs`): with one thread
//! less, or none, whoever waits for the pool would wait for ever.
//!
//! With no threads at all, whoever waits does the work: then a given order of calls gives the same files each time.

use super::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::memtable::Memtable;
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
    /// Numbers what is tried.
    tries: u64,
    /// Why each [`Job`] failed last, until it is done with success, or tried again by request.
    failures: [Option<Failure>; 2],
}

#[derive(Clone)]
struct Failure {
    /// Which try it was.
    number: u64,
    kind: ErrorKind,
    message: String,
    pause_us: u64,
    retry_at_us: u64,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Flush,
    Compact,
}

const RETRY_PAUSE_MIN_US: u64 = 50_000;
const RETRY_PAUSE_MAX_US: u64 = 5_000_000;
/// Between looks for deletions that have come of age.
const AGE_LOOK_MIN_US: u64 = 50_000;
const AGE_LOOK_MAX_US: u64 = 60_000_000;
/// A wait for the budget is cut into pieces, between which a flush may go first.
const PACE_STEP_US: u64 = 20_000;

impl Background {
    /// There may be work, or something that a waiter waits for.
    pub(super) fn wake(&self) {
        self.signals.lock().wakes += 1;
        self.changed.notify_all();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Sleeps; `false` as soon as the database is closing.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        let mut signals = self.signals.lock();
        self.changed.wait_while_for(&mut signals, |_| !self.is_closing(), time);
        !self.is_closing()
    }

    /// Sleeps unless woken since the wakes were counted; at most so long.
    fn sleep_unless_woken(&self, wakes: u64, at_most: Option<Duration>) {
        let mut signals = self.signals.lock();
        if signals.wakes != wakes || self.is_closing() {
            return;
        }
        match at_most {
            Some(at_most) => drop(self.changed.wait_for(&mut signals, at_most)),
            None => self.changed.wait(&mut signals),
        }
    }

    /// Numbers a try that begins.
    fn begin(&self) -> u64 {
        let mut signals = self.signals.lock();
        signals.tries += 1;
        signals.tries
    }

    fn set_failure(&self, job: Job, number: u64, error: Option<&Error>, now_us: u64) {
        let mut signals = self.signals.lock();
        let failure = &mut signals.failures[job as usize];
        *failure = error.map(|error| {
            let pause_us = failure.as_ref().map_or(RETRY_PAUSE_MIN_US, |before| before.pause_us * 2);
            let pause_us = pause_us.min(RETRY_PAUSE_MAX_US);
            let retry_at_us = now_us.saturating_add(pause_us);
            Failure { number, kind: error.kind(), message: error.to_string(), pause_us, retry_at_us }
        });
        signals.wakes += 1;
        self.changed.notify_all();
    }

    fn failure(&self, job: Job) -> Option<Failure> {
        self.signals.lock().failures[job as usize].clone()
    }
}

impl Inner {
    pub(crate) fn wake_background(&self) {
        self.background.wake();
    }

    /// Sleeps until `done`, or until `check` finds that it will not come. Without threads it does the work that it waits for.
    pub(super) fn wait_until(
        &self,
        mut done: impl FnMut() -> bool,
        check: impl Fn() -> Result<()>,
    ) -> Result<()> {
        loop {
            let wakes = self.background.signals.lock().wakes;
            if done() {
                return Ok(());
            }
            check()?;
            if self.options.background_threads > 0 || !self.do_one_job() {
                self.background.sleep_unless_woken(wakes, None);
            }
        }
    }

    /// Sleeps until `done`, or until the database takes no more work.
    pub(crate) fn wait_for_background(&self, done: impl FnMut() -> bool) -> Result<()> {
        self.wait_until(done, || self.check_writable())
    }

    /// The error that keeps a job from being done.
    pub(super) fn check_background(&self, job: Job) -> Result<()> {
        self.check_background_since(job, 0)
    }

    /// As [`Self::check_background`], but what was begun by the time of a [`Self::retry`] does not count: it may have met what is mended
    /// by now.
    pub(super) fn check_background_since(&self, job: Job, tries: u64) -> Result<()> {
        self.check_writable()?;
        if let Some(failure) = self.background.failure(job).filter(|failure| failure.number > tries) {
            return Err(Error::new(failure.kind, failure.message));
        }
        // Another merge went well since, but this one will not for long.
        match self.claims.lock().stopped_by().filter(|_| job == Job::Compact) {
            Some(message) => Err(Error::new(ErrorKind::Corruption, message)),
            None => Ok(()),
        }
    }

    /// Forgets what failed, so that it is tried again without a pause. Gives the number of tries that were begun so far.
    pub(super) fn retry(&self) -> u64 {
        self.claims.lock().wake();
        let mut signals = self.background.signals.lock();
        signals.failures = [None, None];
        let tries = signals.tries;
        drop(signals);
        self.background.wake();
        tries
    }

    /// Flushes if something waits for it, is not to be tried later, and no other thread is at it.
    pub(crate) fn flush_first(&self) {
        if !self.read_state().sealed.is_empty() {
            self.do_job(Job::Flush);
        }
    }

    /// Waits until so many bytes more are within the budget of merges; meanwhile flushes may go first.
    ///
    /// # Errors
    /// If the database closes meanwhile, or takes no more writes.
    pub(crate) fn pace(&self, bytes: u64) -> Result<()> {
        let mut wait_us = self.pacer.book(bytes, self.options.clock.monotonic_us());
        while wait_us > 0 {
            self.check_writable()?;
            self.flush_first();
            let step_us = wait_us.min(PACE_STEP_US);
            self.background.sleep(Duration::from_micros(step_us));
            wait_us -= step_us;
        }
        Ok(())
    }

    /// `false` if there is nothing to do, or nothing that may be tried now.
    fn do_one_job(&self) -> bool {
        if self.fatal.get().is_some() {
            return false;
        }
        self.seal_aged_memtable();
        if self.do_job(Job::Flush) || self.do_job(Job::Compact) {
            return true;
        }
        if self.ballast.is_full() {
            self.tend_ballast();
        }
        false
    }

    /// Has the memtable flushed when deletions in it may have used up their share of `tombstone_age_max_ms`.
    fn seal_aged_memtable(&self) {
        let Some(age_max_ms) = self.options.tombstone_age_max_ms else { return };
        let age_ms = |memtable: &Memtable| self.options.clock.now_ms().saturating_sub(memtable.born_ms);
        let is_due = |memtable: &Memtable| !memtable.is_empty() && age_ms(memtable) >= age_max_ms / 8;
        if is_due(&self.read_state().active) {
            // Whoever holds the lock writes, or waits for a flush that it has begun: the next look does as well.
            let Some(mut commit) = self.commit.try_lock() else { return };
            if is_due(&self.read_state().active) && self.check_writable().is_ok() {
                // A disk too full for a new log is so for a table as well; the next look tries again.
                let _ = self.seal_memtable(&mut commit);
            }
        }
    }

    fn do_job(&self, job: Job) -> bool {
        let now_us = || self.options.clock.monotonic_us();
        let is_flush = job == Job::Flush;
        let failure = self.background.failure(job);
        if is_flush && failure.as_ref().is_some_and(|failure| now_us() < failure.retry_at_us) {
            return false;
        }
        let number = self.background.begin();
        let releases = self.ballast.releases();
        let outcome = match job {
            Job::Flush => crate::compaction::flush_one(self),
            Job::Compact => crate::compaction::compact_one(self),
        };
        match &outcome {
            Ok(true) => {
                self.background.set_failure(job, number, None, now_us());
                self.tend_ballast();
            }
            Ok(false) if failure.is_some() && self.is_idle(job) => {
                self.background.set_failure(job, number, None, now_us());
            }
            Ok(false) => {}
            Err(error) => {
                let (kind, message) = (error.kind(), error.to_string());
                self.events.emit(|| Event::BackgroundError { kind, message });
                // If there is room now, at once, and before a writer that waits for it hears of a failure.
                if self.has_made_room(error, releases) {
                    self.retry();
                } else {
                    self.background.set_failure(job, number, Some(error), now_us());
                }
            }
        }
        !matches!(outcome, Ok(false))
    }

    /// Whether nothing of the kind is going on or waits for another try.
    fn is_idle(&self, job: Job) -> bool {
        match job {
            Job::Flush => self.read_state().sealed.is_empty(),
            Job::Compact => self.claims.lock().is_idle(self.options.clock.monotonic_us()),
        }
    }

    /// How long until something that failed is to be tried again, or deletions may have come of age.
    fn next_look(&self) -> Option<Duration> {
        let now_us = self.options.clock.monotonic_us();
        let flush = self.background.failure(Job::Flush).map(|failure| failure.retry_at_us);
        let merge = self.claims.lock().next_retry_us(now_us);
        let age = self.options.tombstone_age_max_ms.map(|age_ms| {
            let step_us = (age_ms.saturating_mul(1000) / 16).clamp(AGE_LOOK_MIN_US, AGE_LOOK_MAX_US);
            now_us.saturating_add(step_us)
        });
        let ballast = self.ballast.retry_at_us();
        let at_us = flush.into_iter().chain(merge).chain(age).chain(ballast).min()?;
        Some(Duration::from_micros(at_us.saturating_sub(now_us).max(1_000)))
    }
}

/// Ends the threads and closes the database when the last handle goes.
pub(super) struct Closer {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    closed: AtomicBool,
}

impl Closer {
    /// Idempotent: the second call finds nothing to do.
    pub(super) fn close(&self) -> Result<()> {
        self.inner.background.closing.store(true, Ordering::Release);
        self.inner.background.wake();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A panic of the thread was reported by the panic hook; closing goes on.
            let _ = thread.join();
        }
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
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
    let closer =
        Closer { inner: inner.clone(), threads: Mutex::new(Vec::new()), closed: AtomicBool::new(false) };
    for number in 0..inner.options.background_threads {
        let inner = inner.clone();
        let thread = std::thread::Builder::new()
            .name(format!("patina-pool-{number}"))
            .spawn(move || inner.telling_panics(|| run(&inner)))
            .map_err(|source| Error::io("start a thread for", &closer.inner.dir, source))?;
        closer.threads.lock().push(thread);
    }
    if let Some(interval_ms) = inner.options.sync_interval_ms {
        let inner = inner.clone();
        let thread = std::thread::Builder::new()
            .name("patina-sync".to_owned())
            .spawn(move || {
                inner.telling_panics(|| inner.sync_at_intervals(Duration::from_millis(interval_ms)));
            })
            .map_err(|source| Error::io("start a thread for", &closer.inner.dir, source))?;
        closer.threads.lock().push(thread);
    }
    Ok(closer)
}

/// Does jobs while there are any, then sleeps until woken.
fn run(inner: &Inner) {
    let background = &inner.background;
    while !background.is_closing() {
        let wakes = background.signals.lock().wakes;
        if inner.do_one_job() {
            continue;
        }
        let at_most = if inner.fatal.get().is_some() { None } else { inner.next_look() };
        background.sleep_unless_woken(wakes, at_most);
    }
}
