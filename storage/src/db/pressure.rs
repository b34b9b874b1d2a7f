//! Back-pressure: writers must not outrun flushing and merging, nor the memory that they were given.
//!
//! Three things pile up when they do: sealed memtables (memory, and logs to replay), tables in level 0 (each read asks them all), and
//! bytes over the limits of the levels (space, and merges that grow). Each has a bound from which writers are slowed and one at which
//! they stop; `p` is how far the worst of them is from the one to the other, and writers together get
//!
//! ```text
//! rate = 2 · (1 - p) · measured rate of the job that is behind
//! ```
//!
//! So half-way they write just as fast as the job works off, and the pile stays where it is: writers slow down smoothly instead of being
//! stopped now and again for long. A writer pays for its bytes by sleeping until those of all before it are paid for; what is under a
//! millisecond is put on the account. Example: flushing does 100 MiB/s, one of one allowed memtables is sealed, so p = ½: a batch of 1
//! MiB is paid for with 10 ms.
//!
//! A stopped writer sleeps on the background's condition: no spinning. If the job that it waits for fails, it gets that error.

use super::Inner;
use super::background::Job;
use crate::batch::WriteBatch;
use crate::compaction::debt_bytes;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::memtable::Memtable;
use crate::options::Options;
use crate::version::ReadState;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How long writers were held up since the database was opened, and by what.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// assert_eq!(db.stats().stalls, StallStats::default());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StallStats {
    /// Writes that were slowed down.
    pub delays: u64,
    /// How long these slept, together, in microseconds.
    pub delayed_us: u64,
    /// Writes that were stopped until a flush or a merge had made room.
    pub stops: u64,
    /// How long these waited, together, in microseconds.
    pub stopped_us: u64,
    /// Writers that are slowed down or stopped now.
    pub waiting: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Pressure {
    /// Of the keyspace that has most.
    l0_tables: AtomicUsize,
    /// Of all keyspaces.
    debt_bytes: AtomicU64,
    /// Bytes of memtables that were flushed, and how long that took.
    flushed_bytes: AtomicU64,
    flushing_us: AtomicU64,
    /// Until when the bytes of delayed writers are paid for, in the clock's microseconds.
    paid_until_us: Mutex<u64>,
    /// Bytes of batches that are on their way into a memtable.
    admitted_bytes: AtomicUsize,
    waiting: AtomicUsize,
    delays: AtomicU64,
    delayed_us: AtomicU64,
    stops: AtomicU64,
    stopped_us: AtomicU64,
}

/// What has piled up.
#[derive(Clone, Copy, Debug)]
struct Load {
    sealed: usize,
    l0_tables: usize,
    debt_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Go,
    /// How far from slow (0) to stop (1), and the job that is behind.
    Delay(f64, Job),
    Stop(Job),
}

/// Assumed until a flush or a merge has been measured.
const RATE_BYTES_PER_S: u64 = 32 << 20;
const RATE_BYTES_PER_S_MIN: u64 = 64 << 10;
/// Shorter sleeps cost more than they last.
const SLEEP_MIN_US: u64 = 1000;
/// A writer is not held for longer, so that it notices when the pressure is gone.
const SLEEP_MAX_US: u64 = 1_000_000;

/// How far a pile is from where writers are slowed to where they stop, at `from` a first step, at `to` 1.
fn share(pile: u64, from: u64, to: u64) -> f64 {
    let steps = to.saturating_sub(from).saturating_add(1);
    pile.saturating_add(1).saturating_sub(from) as f64 / steps as f64
}

fn judge(load: Load, options: &Options) -> Verdict {
    let sealed_max = options.sealed_memtables_max as u64;
    let (l0, debt) = (options.l0_tables_slowdown as u64, options.debt_slowdown_bytes);
    let flush = share(load.sealed as u64, sealed_max, sealed_max + 1);
    let merge = share(load.l0_tables as u64, l0, l0.saturating_mul(2)).max(share(
        load.debt_bytes,
        debt,
        debt.saturating_mul(2),
    ));
    let (worst, job) = if flush >= merge { (flush, Job::Flush) } else { (merge, Job::Compact) };
    match worst {
        1.0.. => Verdict::Stop(job),
        p if p > 0.0 => Verdict::Delay(p, job),
        _ => Verdict::Go,
    }
}

fn rate(bytes: u64, us: u64) -> u64 {
    let measured = u128::from(bytes) * 1_000_000 / u128::from(us.max(1));
    if bytes == 0 { RATE_BYTES_PER_S } else { u64::try_from(measured).unwrap_or(u64::MAX) }
}

impl Pressure {
    pub(super) fn stats(&self) -> StallStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StallStats {
            delays: read(&self.delays),
            delayed_us: read(&self.delayed_us),
            stops: read(&self.stops),
            stopped_us: read(&self.stopped_us),
            waiting: self.waiting.load(Ordering::SeqCst),
        }
    }

    /// Puts bytes on the account of all delayed writers; gives how long this one is to sleep.
    fn charge(&self, now_us: u64, bytes: usize, rate_bytes_per_s: u64) -> u64 {
        let price_us = bytes as u64 * 1_000_000 / rate_bytes_per_s.max(RATE_BYTES_PER_S_MIN);
        let mut paid_until_us = self.paid_until_us.lock();
        let until_us = (*paid_until_us).max(now_us).saturating_add(price_us);
        *paid_until_us = until_us.min(now_us.saturating_add(SLEEP_MAX_US));
        let sleep_us = *paid_until_us - now_us;
        if sleep_us < SLEEP_MIN_US { 0 } else { sleep_us }
    }
}

impl Inner {
    /// Looks at what is to be merged; called when the tables have changed. O(tables).
    pub(super) fn measure_debt(&self, state: &ReadState) {
        let live = || state.version.values().filter(|tree| tree.dropped_at.is_none());
        let l0_tables = live().map(|tree| tree.levels[0].len()).max().unwrap_or(0);
        let debt_bytes = live().map(|tree| debt_bytes(self, tree)).fold(0, u64::saturating_add);
        self.pressure.l0_tables.store(l0_tables, Ordering::Relaxed);
        self.pressure.debt_bytes.store(debt_bytes, Ordering::Relaxed);
    }

    /// A memtable of this size was flushed.
    pub(crate) fn measure_flush(&self, memtable_bytes: usize, us: u64) {
        self.pressure.flushed_bytes.fetch_add(memtable_bytes as u64, Ordering::Relaxed);
        self.pressure.flushing_us.fetch_add(us, Ordering::Relaxed);
    }

    fn verdict(&self) -> Verdict {
        let load = Load {
            sealed: self.read_state().sealed.len(),
            l0_tables: self.pressure.l0_tables.load(Ordering::Relaxed),
            debt_bytes: self.pressure.debt_bytes.load(Ordering::Relaxed),
        };
        judge(load, &self.options)
    }

    /// Bytes that a job works off in a second.
    fn drain_rate(&self, job: Job) -> u64 {
        match job {
            Job::Flush => {
                let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                rate(read(&self.pressure.flushed_bytes), read(&self.pressure.flushing_us))
            }
            Job::Compact => {
                let levels = self.traffic.levels();
                let merges = levels.get(1..).unwrap_or_default();
                rate(merges.iter().map(|l| l.read_bytes).sum(), merges.iter().map(|l| l.busy_us).sum())
            }
        }
    }

    /// Holds a writer back as the module says, and counts its batch's memory until the guard goes: then its entries are counted by their
    /// memtable.
    pub(super) fn admit(&self, batch: &WriteBatch) -> Result<Admitted<'_>> {
        let bytes = batch.ops.iter().map(Memtable::entry_bytes).sum();
        let max = self.options.write_buffer_bytes_max;
        if bytes > max {
            return Err(Error::invalid(format!(
                "a batch takes {bytes} bytes of memory; the limit is {max} (write_buffer_bytes_max): commit it in parts"
            )));
        }
        if let Verdict::Stop(_) = self.verdict() {
            self.stall(&self.pressure.stops, &self.pressure.stopped_us, || {
                let stopping = || match self.verdict() {
                    Verdict::Stop(job) => Some(job),
                    _ => None,
                };
                self.wait_until(
                    || stopping().is_none(),
                    || stopping().map_or(Ok(()), |job| self.check_background(job)),
                )
            })?;
        }
        if let Verdict::Delay(p, job) = self.verdict() {
            let rate = (self.drain_rate(job) as f64 * 2.0 * (1.0 - p)) as u64;
            let sleep_us = self.pressure.charge(self.options.clock.monotonic_us(), bytes, rate);
            if sleep_us > 0 {
                self.stall(&self.pressure.delays, &self.pressure.delayed_us, || {
                    self.background.sleep(Duration::from_micros(sleep_us));
                    Ok(())
                })?;
            }
        }
        if !self.fits(bytes) {
            self.stall(&self.pressure.stops, &self.pressure.stopped_us, || {
                self.wait_until(|| self.fits(bytes), || self.make_room())
            })?;
        }
        Ok(Admitted { bytes, inner: self })
    }

    /// Memory of the memtables. Added up under the lock: one that is flushed meanwhile must not be counted beside what took its room.
    pub(super) fn memtable_bytes(&self) -> usize {
        self.state.read().memtables().map(|memtable| memtable.bytes()).sum()
    }

    /// Counts the bytes if they fit beside the memtables and the other batches.
    fn fits(&self, bytes: usize) -> bool {
        let admitted = self.pressure.admitted_bytes.fetch_add(bytes, Ordering::SeqCst);
        let used = self.memtable_bytes();
        let fits = used.saturating_add(admitted).saturating_add(bytes) <= self.options.write_buffer_bytes_max;
        if !fits {
            self.pressure.admitted_bytes.fetch_sub(bytes, Ordering::SeqCst);
        }
        fits
    }

    /// Only what is sealed is flushed.
    fn make_room(&self) -> Result<()> {
        if self.read_state().sealed.is_empty() {
            let mut commit = self.commit.lock();
            self.check_writable()?;
            if commit.memtable_bytes > 0 && self.read_state().sealed.is_empty() {
                self.seal_memtable(&mut commit)?;
            }
        }
        self.check_background(Job::Flush)
    }

    fn stall(
        &self,
        count: &AtomicU64,
        total_us: &AtomicU64,
        wait: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let begun_us = self.options.clock.monotonic_us();
        self.pressure.waiting.fetch_add(1, Ordering::SeqCst);
        self.events.emit(|| Event::StallBegun);
        let waited = wait();
        self.pressure.waiting.fetch_sub(1, Ordering::SeqCst);
        count.fetch_add(1, Ordering::Relaxed);
        let us = self.options.clock.monotonic_us().saturating_sub(begun_us);
        total_us.fetch_add(us, Ordering::Relaxed);
        self.events.emit(|| Event::StallEnded { elapsed_us: us });
        waited
    }
}

/// Bytes of a batch on its way into a memtable.
pub(super) struct Admitted<'a> {
    pub bytes: usize,
    inner: &'a Inner,
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let pressure = &self.inner.pressure;
        pressure.admitted_bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        if pressure.waiting.load(Ordering::SeqCst) > 0 {
            self.inner.background.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_slowed_in_proportion_and_then_stopped() {
        let options = Options {
            sealed_memtables_max: 2,
            l0_tables_slowdown: 9,
            debt_slowdown_bytes: 1000,
            ..Options::default()
        };
        let verdict =
            |sealed, l0_tables, debt_bytes| match judge(Load { sealed, l0_tables, debt_bytes }, &options) {
                Verdict::Go => "go".to_owned(),
                Verdict::Delay(p, job) => format!("{p:.1} {job:?}"),
                Verdict::Stop(job) => format!("stop {job:?}"),
            };
        let cases = [
            ((0, 0, 0), "go"),
            ((1, 8, 998), "go"),
            ((2, 0, 0), "0.5 Flush"),
            ((3, 0, 0), "stop Flush"),
            ((0, 9, 0), "0.1 Compact"),
            ((0, 13, 0), "0.5 Compact"),
            ((0, 18, 0), "stop Compact"),
            ((0, 0, 1100), "0.1 Compact"),
            ((0, 0, 1500), "0.5 Compact"),
            ((0, 0, 2000), "stop Compact"),
            // The worst decides.
            ((2, 9, 1100), "0.5 Flush"),
            ((2, 17, 0), "0.9 Compact"),
            ((2, 0, u64::MAX), "stop Compact"),
        ];
        for ((sealed, l0_tables, debt_bytes), expected) in cases {
            assert_eq!(verdict(sealed, l0_tables, debt_bytes), expected, "{sealed} {l0_tables} {debt_bytes}");
        }
    }

    #[test]
    fn writers_pay_for_their_bytes_together() {
        let pressure = Pressure::default();
        let rate = 1 << 20;
        // Under a millisecond stays on the account.
        assert_eq!(pressure.charge(0, 512, rate), 0);
        assert_eq!(pressure.charge(0, 512, rate), 0);
        assert_eq!(pressure.charge(0, 1 << 10, rate), 1952);
        assert_eq!(pressure.charge(1000, 1 << 10, rate), 1928);
        // Paid in full: the account is empty.
        assert_eq!(pressure.charge(50_000, 512, rate), 0);
        // Nobody sleeps for ever.
        assert_eq!(pressure.charge(50_000, usize::MAX >> 24, rate), SLEEP_MAX_US);
        assert_eq!(pressure.charge(50_000, 1 << 30, 0), SLEEP_MAX_US);
    }
}
