//! Ticks: rounds of decay, and their dry run.
//!
//! A round first writes the accesses that wait in memory, then moves the decay clock, then visits objects: those whose
//! entry of the due index has come, or all of them when it is forced. What has bytes is moved by compacting the blob
//! file it lies in (see [`owner`]); purging and forgetting are plain batches. A natural round then takes the least wanted of
//! who exceeds a budget (see [`by_budget`]). Last, blob files that are mostly garbage are compacted.
//!
//! One round at a time. Reads and writes go on meanwhile, and win: whatever changed under a transition is left alone.

mod by_budget;
mod commit;
mod course;
mod dry_run;
mod forecast;
mod garbage;
mod owner;
mod report;
mod round;

use crate::error::Result;
use crate::model::{PlannedMove, TickOptions, TickReport};
use crate::store::ObjectStore;
use round::{Mode, Round};

impl ObjectStore {
    /// One round of decay; everything it did is durable when it returns.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] if `now` is before an earlier tick; [`crate::ErrorKind::ClockJump`] if the time is
    /// the clock's and that is under suspicion; storage's, when they are not those of
    /// single objects: what was moved before such an error stays moved. An object whose own bytes are damaged, or whose
    /// transform fails, is counted in the report and stops nobody else.
    pub fn tick(&self, options: &TickOptions<'_>) -> Result<TickReport> {
        let inner = &*self.inner;
        let _alone = inner.ticking.lock();
        inner.tick_time(options.now)?;
        if options.confirm_clock {
            inner.confirm_clock()?;
        }
        if options.now.is_none() {
            inner.check_clock()?;
        }
        inner.flush_touches()?;
        let now = inner.advance_decay_clock(options.now)?;
        let snapshot = inner.db.snapshot();
        let mode = if options.force { Mode::Forced { since: snapshot.seqno() } } else { Mode::Natural };
        let mut round = Round::new(inner, now, mode, options);
        if options.force {
            round.forced(&snapshot)?;
            round.drop_originals()?
        } else {
            round.natural()?;
            round.keep_budgets()?
        }
        drop(snapshot);
        garbage::collect(inner, now, round.moved())?;
        inner.db.sync()?;
        Ok(round.into_report())
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
