//! Ticks: rounds of decay, and their dry run.
//!
//! A round first writes the accesses that wait in memory, then moves the decay clock, then visits objects: those whose
//! entry of the due index has come, or all of them when it is forced. What has bytes is moved by compacting the blob
//! file it lies in (see [`owner`]); purging and forgetting are plain batches (see [`ends`]). A natural round then takes the least wanted of
//! who exceeds a budget (see [`by_budget`]). Last, blob files that are mostly garbage are compacted.
//!
//! On a full disk a round does what it has room for, which frees some, and goes on with the rest as long as that helps.
//!
//! One round at a time. Reads and writes go on meanwhile, and win: whatever changed under a transition is left alone.

mod by_budget;
mod commit;
mod course;
mod dry_run;
mod ends;
mod forecast;
mod garbage;
mod owner;
mod report;
mod round;

use crate::error::Result;
use crate::model::{PlannedMove, TickOptions, TickReport};
use crate::store::ObjectStore;
use round::{Mode, Round};

/// A round that has written so much of the log flushes it: until then the log takes up what the round has freed, and with many small
/// objects it takes more.
const LOG_BYTES_KEPT: u64 = 2 << 20;

impl ObjectStore {
    /// One round of decay; everything it did is durable when it returns.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] if `now` is before an earlier tick or beyond the year 9999; [`crate::ErrorKind::ClockJump`] if the time is
    /// the clock's and that is under suspicion; storage's, when they are not those of
    /// single objects: what was moved before such an error stays moved. On a full disk all is moved that there is room for
    /// before the call says so. An object whose own bytes are damaged, or whose
    /// transform fails, is counted in the report and stops nobody else.
    pub fn tick(&self, options: &TickOptions<'_>) -> Result<TickReport> {
        let inner = &*self.inner;
        let _alone = inner.ticking.try_lock().unwrap_or_else(|| {
            // A scheduler's round that rests now and then need not do so while somebody waits for its end.
            inner.ring_schedulers();
            inner.ticking.lock()
        });
        inner.tick_time(options.now)?;
        if options.confirm_clock {
            inner.confirm_clock()?;
        }
        if options.now.is_none() {
            inner.check_clock()?;
        }
        match inner.flush_touches() {
            // They wait in memory, where they count as well.
            Err(error) if error.is_no_space() => {}
            flushed => flushed?,
        }
        let now = inner.advance_decay_clock(options.now)?;
        let mode =
            if options.force { Mode::Forced { since: inner.db.snapshot().seqno() } } else { Mode::Natural };
        let mut round = Round::new(inner, now, mode, options);
        let logged_bytes = inner.db.stats().log_bytes_written;
        loop {
            let moved = round.moved();
            round.mode = mode;
            go(&mut round).or_else(|error| round.pass_if_full(error))?;
            if round.is_at_an_early_end() {
                garbage::leave(inner, round.moved());
            } else {
                let collected = garbage::collect(inner, now, round.moved());
                collected.or_else(|error| round.pass_if_full(error))?;
            }
            let stats = inner.db.stats();
            let logs_much = stats.log_bytes_written.saturating_sub(logged_bytes) >= LOG_BYTES_KEPT;
            if stats.is_disk_full || (logs_much && round.moved() > moved) {
                // Logs go with a flush, and storage looks whether there is room again.
                inner.db.flush().or_else(|error| round.pass_if_full(error.into()))?;
            }
            inner.db.sync()?;
            match round.take_no_space() {
                None => return Ok(round.into_report()),
                Some(error) if round.moved() == moved => return Err(error),
                Some(_) if round.is_at_an_early_end() => return Ok(round.into_report()),
                // What has moved may have made room for the rest.
                Some(_) => {}
            }
        }
    }

    /// What [`ObjectStore::tick`] with the same options would move. Writes nothing at all.
    ///
    /// Bytes after are estimated from the usual ratio of the type and stage. Whether a transform would fail, or go below
    /// a policy's fidelity floor, is only known by running it, so the list may be longer than what a tick does.
    ///
    /// A clock that is under suspicion is taken at its word: looking harms nobody.
    ///
    /// # Errors
    /// As [`ObjectStore::tick`].
    pub fn dry_run(&self, options: &TickOptions<'_>) -> Result<Vec<PlannedMove>> {
        let inner = &*self.inner;
        let now = inner.tick_time(options.now)?;
        if options.force { dry_run::forced(inner, now) } else { dry_run::natural(inner, now) }
    }
}

/// Moves what is due, or all that may if it is forced.
fn go(round: &mut Round<'_>) -> Result<()> {
    if matches!(round.mode, Mode::Forced { .. }) {
        round.forced()?;
        round.drop_originals()
    } else {
        round.natural()?;
        round.keep_budgets()
    }
}
