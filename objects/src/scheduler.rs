//! The thread that decays by itself.
//!
//! It sleeps until the next entry of the due index comes, runs a round, and sleeps again. What comes into the index
//! meanwhile may be due sooner, so it never sleeps longer than [`SchedulerOptions::look_every`]; a clock that is moved by
//! hand is followed by [`Scheduler::wake`]. What is due but could not be moved (the hour's limit, somebody who was
//! quicker, a file that is being written) is looked at again after `look_every`, not at once.
//!
//! For work that took a time t, by storage's monotonic clock, it rests for t · (1 / `busy_share` − 1): whenever a group of records or a file is done,
//! if that comes to [`REST_MIN`], and after the round. Nobody waits for such a rest: a stop, a pause, a wake and a tick that somebody asks for
//! end it, the last two for the rest of the round.
//!
//! A budget that puts may have exceeded is reason for a round too, though nothing is due.
//!
//! An error does not end it: it is kept for [`Scheduler::status`], and the pause doubles with each further one. A clock
//! under suspicion is such an error, so decay stays paused until the clock is confirmed.
//!
//! Decay can wait, and who reads and writes cannot: on Linux its thread, and the threads that transform for it, yield to others by
//! their niceness. They still take what nobody else wants.
//!
//! Invariants: one round at a time; nothing is begun after a stop or a pause, and what was begun is brought to its end;
//! the thread never outlives its [`Scheduler`].

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::keys;
use crate::model::{TickOptions, TickReport};
use crate::store::ObjectStore;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a scheduler behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerOptions {
    /// The longest sleep.
    pub look_every: Duration,
    /// The share of its time that the thread may work, above 0 to 1: the rest of it it rests, within a round too.
    pub busy_share: f64,
    /// The longest pause after errors; the first is `look_every`.
    pub pause_max: Duration,
    /// How far decay gives way to other threads that want a processor, 0 (not at all) to 19, on Linux; other systems decide by
    /// themselves.
    pub niceness: u8,
}

/// Rests within a round are not shorter.
const REST_MIN: Duration = Duration::from_millis(10);
/// The highest that Linux has.
const NICENESS_MAX: u8 = 19;

impl Default for SchedulerOptions {
    fn default() -> Self {
        let (look_every, pause_max) = (Duration::from_secs(60), Duration::from_secs(3600));
        Self { look_every, busy_share: 0.5, pause_max, niceness: 10 }
    }
}

impl SchedulerOptions {
    /// Checks every field.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with every problem in the message.
    pub fn validate(&self) -> Result<()> {
        let mut problems = Vec::new();
        if self.look_every.is_zero() {
            problems.push("look_every must be above zero");
        }
        if self.pause_max < self.look_every {
            problems.push("pause_max must not be below look_every");
        }
        if self.busy_share.is_nan() || self.busy_share <= 0.0 || self.busy_share > 1.0 {
            problems.push("busy_share must be above 0 and at most 1");
        }
        if self.niceness > NICENESS_MAX {
            problems.push("niceness must be at most 19");
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!("a scheduler cannot be started so: {}", problems.join("; "))))
    }
}

/// What a scheduler has done and is about to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedulerStatus {
    /// Whether somebody paused it, or decay for everybody ([`ObjectStore::set_decay_paused`]).
    pub paused: bool,
    /// Whether a round is under way.
    pub working: bool,
    /// Rounds that came to their end.
    pub rounds: u64,
    /// What the last of them did.
    pub last: Option<TickReport>,
    /// Why the last round failed; `None` once one succeeds.
    pub error: Option<String>,
    /// Rounds that failed since the last that did not.
    pub failures: u32,
    /// When it looks next; `None` while it works or is paused.
    pub next_look_at: Option<Timestamp>,
}

#[derive(Default)]
struct State {
    status: SchedulerStatus,
    stopped: bool,
    woken: bool,
}

/// What a scheduler and those who want something of it share.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    changed: Condvar,
    /// Ends the round that is under way.
    stop_round: AtomicBool,
}

impl Bell {
    /// Lets it look at once what there is to do, or end what it does if decay is `paused`.
    pub(crate) fn ring(&self, paused: bool) {
        self.state.lock().woken = true;
        if paused {
            self.stop_round.store(true, Ordering::Relaxed);
        }
        self.changed.notify_all();
    }
}

/// Decays by itself until it is stopped or dropped. See [`ObjectStore::start_scheduler`].
pub struct Scheduler {
    shared: Arc<Bell>,
    paused_for_all: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ObjectStore {
    /// Starts a thread that runs a round of decay whenever something is due. It keeps the store open: stop it before the
    /// database is closed.
    ///
    /// ```
    /// use patina_objects::{ManualClock, ObjectStore, PutOptions, SchedulerOptions, StoreOptions, Timestamp, days};
    /// use std::sync::Arc;
    /// # use patina_storage::{Db, MemVfs, Options};
    /// # let db = Db::open_with(Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let clock = ManualClock::new(Timestamp(0));
    /// let store = ObjectStore::open(db, Arc::new(clock.clone()), StoreOptions::default())?;
    /// store.put("notes.txt", "The lighthouse warns ships. ".repeat(200).as_bytes(), &PutOptions::default())?;
    ///
    /// let scheduler = store.start_scheduler(SchedulerOptions::default())?;
    /// clock.advance(days(61));
    /// scheduler.wake();
    /// while scheduler.status().rounds == 0 {
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(scheduler.status().last.map(|report| report.moved), Some(1));
    /// scheduler.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with every problem of the options; the system's, if it gives no thread.
    pub fn start_scheduler(&self, options: SchedulerOptions) -> Result<Scheduler> {
        options.validate()?;
        let shared = Arc::new(Bell::default());
        self.inner.schedulers.lock().push(Arc::downgrade(&shared));
        let worker = Worker { store: self.clone(), options, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new().name("patina-decay".to_owned()).spawn(move || worker.run());
        let thread = thread
            .map_err(|error| Error::invalid(format!("the system gives no thread to decay on: {error}")))?;
        let paused_for_all = Arc::clone(&self.inner.paused);
        Ok(Scheduler { shared, paused_for_all, thread: Some(thread) })
    }

    /// When the due index has its next entry: nothing decays by itself before.
    ///
    /// # Errors
    /// Storage's.
    pub fn next_due_at(&self) -> Result<Option<Timestamp>> {
        let first = self.inner.spaces.due.range(..).next().transpose()?;
        Ok(first.and_then(|entry| keys::due_of(entry.key())).map(Timestamp))
    }
}

impl Scheduler {
    /// Begins nothing more until [`Scheduler::resume`]. A round that is under way ends early.
    pub fn pause(&self) {
        self.shared.state.lock().status.paused = true;
        self.shared.stop_round.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.shared.state.lock().status.paused = false;
        self.wake();
    }

    /// Looks at once what is due: after a clock was moved or confirmed.
    pub fn wake(&self) {
        self.shared.ring(false);
    }

    /// What it has done and is about to do.
    pub fn status(&self) -> SchedulerStatus {
        let mut status = self.shared.state.lock().status.clone();
        status.paused |= self.paused_for_all.load(Ordering::SeqCst);
        status
    }

    /// Ends it and waits until what it had begun is done. Dropping does the same.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.stop_round.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to wait for.
            let _ = thread.join();
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.end();
    }
}

/// On Linux niceness belongs to a thread, and the threads that it starts inherit it. A process that is nicer by itself stays so. A
/// system that refuses leaves it as it is: then decay is in the way, and nothing worse.
#[cfg(target_os = "linux")]
fn give_way(niceness: u8) {
    use rustix::process::{getpriority_process, setpriority_process};
    let niceness = i32::from(niceness);
    if getpriority_process(None).is_ok_and(|own| own < niceness) {
        let _ = setpriority_process(None, niceness);
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way(_: u8) {}

struct Worker {
    store: ObjectStore,
    options: SchedulerOptions,
    shared: Arc<Bell>,
}

impl Worker {
    fn run(self) {
        give_way(self.options.niceness);
        let mut nap = Duration::ZERO;
        while self.sleep(nap) {
            nap = match self.look() {
                Ok(nap) => nap,
                Err(error) => self.failed(&error),
            };
        }
    }

    /// Sleeps so long, or until woken, and as long as it is paused. `false`: it is to end.
    fn sleep(&self, nap: Duration) -> bool {
        let mut state = self.shared.state.lock();
        state.status.next_look_at = Some(self.store.now().after(nap)).filter(|_| !state.status.paused);
        if !state.woken && !state.stopped && !nap.is_zero() {
            self.shared.changed.wait_for(&mut state, nap);
        }
        while state.status.paused && !state.stopped {
            state.status.next_look_at = None;
            self.shared.changed.wait(&mut state);
        }
        (state.woken, state.status.next_look_at) = (false, None);
        if !state.stopped {
            self.shared.stop_round.store(false, Ordering::Relaxed);
        }
        !state.stopped
    }

    /// Runs a round if something is due. Gives how long to sleep.
    fn look(&self) -> Result<Duration> {
        if self.store.is_decay_paused() {
            return Ok(self.options.look_every);
        }
        let due = self.store.next_due_at()?.unwrap_or(Timestamp::NEVER);
        let before = self.store.now();
        if due > before && !self.store.wants_a_round_for_budgets() {
            return Ok(due.since(before).min(self.options.look_every));
        }
        self.shared.state.lock().status.working = true;
        let working_since_us = AtomicU64::new(self.now_us());
        let rest_a_little = |_| self.rest(&working_since_us);
        let options = TickOptions {
            stop: Some(&self.shared.stop_round),
            progress: Some(&rest_a_little),
            ..TickOptions::default()
        };
        let result = self.store.tick(&options);
        let mut state = self.shared.state.lock();
        state.status.working = false;
        let report = result?;
        state.status.rounds += 1;
        state.status.last = Some(report);
        (state.status.error, state.status.failures) = (None, 0);
        drop(state);
        let after = self.store.now();
        let rest = self.owed_rest(&working_since_us);
        let until_due = match self.store.next_due_at()? {
            // The round has left it: that it is looked at again at once would help nobody.
            Some(due) if due <= after => self.options.look_every,
            Some(due) => due.since(after),
            None => self.options.look_every,
        };
        Ok(rest.max(until_due).min(self.options.look_every.max(rest)))
    }

    fn now_us(&self) -> u64 {
        self.store.db().clock().monotonic_us()
    }

    /// How long to do nothing for what was done since.
    fn owed_rest(&self, working_since_us: &AtomicU64) -> Duration {
        let worked_us = self.now_us().saturating_sub(working_since_us.load(Ordering::Relaxed));
        Duration::from_micros((worked_us as f64 * (1.0 / self.options.busy_share - 1.0)) as u64)
    }

    /// Rests within a round as long as is owed, if that is worth it, and unless somebody waits for the round's end.
    fn rest(&self, working_since_us: &AtomicU64) {
        let owed = self.owed_rest(working_since_us);
        if owed < REST_MIN {
            return;
        }
        let until_us = self.now_us().saturating_add(u64::try_from(owed.as_micros()).unwrap_or(u64::MAX));
        let mut state = self.shared.state.lock();
        while !state.woken && !state.stopped && !state.status.paused && !self.store.is_decay_paused() {
            let left_us = until_us.saturating_sub(self.now_us());
            if left_us == 0 {
                break;
            }
            // A clock that is moved by hand may stand still meanwhile.
            if self.shared.changed.wait_for(&mut state, Duration::from_micros(left_us)).timed_out() {
                break;
            }
        }
        working_since_us.store(self.now_us(), Ordering::Relaxed);
    }

    fn failed(&self, error: &Error) -> Duration {
        let mut state = self.shared.state.lock();
        state.status.error = Some(error.to_string());
        let doublings = state.status.failures.min(16);
        state.status.failures = state.status.failures.saturating_add(1);
        self.options.look_every.saturating_mul(1 << doublings).min(self.options.pause_max)
    }
}
