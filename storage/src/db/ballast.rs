//! Room that is kept for a full disk.
//!
//! Problem: here space is freed by writing. A deletion goes to the log, a memtable of deletions to a table, and tables are merged into new
//! ones before the old ones go; on a disk without a free byte none of that begins, and the database could never get smaller again. So a file
//! of no use, the *ballast*, keeps room. When a call that frees space finds the disk full, the ballast is unlinked and the call made
//! again; from then on the disk counts as full: what only adds data is refused with `NoSpace` before it is tried, so that it does not eat the
//! room up, while deletions, flushes, merges, manifest edits and bin compactions go on in it. When the ballast can be made again as a
//! whole the disk has room, and everything is taken again.
//!
//! The ballast grows with the database, up to `Options::ballast_bytes`: a 32nd of its tables and blob files, in steps, after flushes and merges. A
//! small database has none, and needs none: what its deletions take is small too. It is the file itself that says how much of it there is, so
//! nothing about it is in the manifest. Opening releases it as well, if the disk is too full for what opening writes; it must flush what was
//! not flushed, so a database with more in its logs than it has ballast needs room made by others.
//!
//! Example: 3.2 GiB of data and 64 MiB of ballast fill a disk. A put is refused. A deletion is refused by the disk, the ballast goes, the
//! deletion is written; puts are refused at once now. The deletions are flushed and merged, 100 MiB become free, 64 MiB of them become
//! ballast again, and puts are taken.

use super::Inner;
use super::open::take_lock;
use crate::batch::WriteBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::version::LEVELS;
use crate::vfs::Vfs;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) const BALLAST_NAME: &str = "BALLAST";
/// Of the bytes of tables and blob files, one in so many.
const SHARE: u64 = 32;
/// The ballast has a multiple of this. Below it there is none.
const UNIT_BYTES: u64 = 64 << 10;
/// Grown at a time, so that nobody waits long for it.
const STEP_BYTES: u64 = 1 << 20;
/// Between two tries to make it again: each writes until the disk is full.
const PAUSE_MIN_US: u64 = 500_000;
const PAUSE_MAX_US: u64 = 30_000_000;

#[derive(Default)]
pub(super) struct Ballast {
    bytes: AtomicU64,
    is_full: AtomicBool,
    /// How often it was given up.
    releases: AtomicU64,
    /// Held by whoever changes the file.
    retry: Mutex<Retry>,
}

#[derive(Default)]
struct Retry {
    at_us: u64,
    pause_us: u64,
}

impl Ballast {
    /// What the file says that there is.
    pub(super) fn of(vfs: &dyn Vfs, dir: &Path) -> Self {
        let bytes = vfs.open(&dir.join(BALLAST_NAME)).and_then(|file| file.size()).unwrap_or(0);
        Self { bytes: bytes.into(), ..Self::default() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether the disk counts as full.
    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// Changes whenever it is given up: who saw the disk full before may try again.
    pub(super) fn releases(&self) -> u64 {
        self.releases.load(Ordering::Acquire)
    }

    /// When it is to be tried again.
    pub(super) fn retry_at_us(&self) -> Option<u64> {
        self.is_full().then(|| self.retry.lock().at_us)
    }

    /// The next look tries again, whatever has failed.
    fn retry_soon(&self) {
        *self.retry.lock() = Retry::default();
    }
}

impl Retry {
    fn later(&mut self, now_us: u64) {
        self.pause_us = (self.pause_us * 2).clamp(PAUSE_MIN_US, PAUSE_MAX_US);
        self.at_us = now_us.saturating_add(self.pause_us);
    }
}

/// For an opening that found the disk full: whether there was a ballast, which is gone then.
pub(super) fn release_closed(vfs: &dyn Vfs, dir: &Path) -> Result<bool> {
    let _lock = take_lock(vfs, dir)?;
    Ok(vfs.remove(&dir.join(BALLAST_NAME)).is_ok())
}

/// Bytes that no file system stores in fewer.
fn filler(from: u64, len: usize) -> Vec<u8> {
    let mut state = from | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}

impl Inner {
    fn ballast_path(&self) -> PathBuf {
        self.dir.join(BALLAST_NAME)
    }

    /// How large it should be. O(tables and blob files).
    fn ballast_target(&self) -> u64 {
        let state = self.read_state();
        let tables = state.version.values().flat_map(|tree| (0..LEVELS).map(|level| tree.level_bytes(level)));
        let blobs = self.blobs.all().iter().map(|file| file.size().0).sum::<u64>();
        let share = tables.fold(blobs, u64::saturating_add) / SHARE;
        share.min(self.options.ballast_bytes) / UNIT_BYTES * UNIT_BYTES
    }

    /// Whether only what frees space is written.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.ballast.is_full()
    }

    /// Calls what frees space; if the disk is too full even for that, again without the ballast.
    pub(crate) fn freeing_space<T>(&self, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        let releases = self.ballast.releases();
        match call() {
            Err(error) if self.has_made_room(&error, releases) => call(),
            outcome => outcome,
        }
    }

    /// Whether there is room that a call with this error did not find: the ballast is given up for it, or another thread has done
    /// so since the call saw so many releases.
    pub(super) fn has_made_room(&self, error: &Error, releases: u64) -> bool {
        self.release_ballast(error)
            || (error.kind() == ErrorKind::NoSpace && self.ballast.releases() != releases)
    }

    /// Gives the ballast up if this is what a full disk says; whether that made room.
    pub(super) fn release_ballast(&self, error: &Error) -> bool {
        if error.kind() != ErrorKind::NoSpace {
            return false;
        }
        let (mut retry, had_to_wait) = match self.ballast.retry.try_lock() {
            Some(retry) => (retry, false),
            None => (self.ballast.retry.lock(), true),
        };
        let bytes = self.ballast.bytes();
        if bytes == 0 || self.vfs.remove(&self.ballast_path()).is_err() {
            // It was being made again, which took all there was, in vain: now there is room.
            return had_to_wait && bytes == 0;
        }
        self.ballast.bytes.store(0, Ordering::Release);
        self.ballast.releases.fetch_add(1, Ordering::AcqRel);
        self.call_full(&mut retry, bytes);
        true
    }

    fn call_full(&self, retry: &mut Retry, ballast_bytes: u64) {
        retry.later(self.options.clock.monotonic_us());
        if !self.ballast.is_full.swap(true, Ordering::AcqRel) {
            self.events.emit(|| Event::DiskFull { ballast_bytes });
        }
        self.background.wake();
    }

    /// Brings the ballast nearer to what it should be; called when files have come or gone. Does nothing while another thread is at it, or a
    /// try that failed rests.
    pub(super) fn tend_ballast(&self) {
        let Some(mut retry) = self.ballast.retry.try_lock() else { return };
        let (bytes, is_full) = (self.ballast.bytes(), self.ballast.is_full());
        if !self.is_certain() || (is_full && self.options.clock.monotonic_us() < retry.at_us) {
            return;
        }
        let target = self.ballast_target();
        let goal = if is_full { target } else { target.min(bytes + STEP_BYTES) };
        // Some room for the database to breathe: else it would be made anew after each merge.
        let shrinks = target < bytes / 2;
        let made = if goal > bytes || shrinks { self.resize_ballast(bytes, goal) } else { Ok(()) };
        match made {
            Ok(()) => {
                self.ballast.bytes.store(if shrinks { goal } else { bytes.max(goal) }, Ordering::Release);
                *retry = Retry::default();
                if is_full {
                    self.ballast.is_full.store(false, Ordering::Release);
                    self.events.emit(|| Event::DiskHasRoom { ballast_bytes: goal });
                    drop(retry);
                    self.background.wake();
                }
            }
            Err(error) if error.kind() == ErrorKind::NoSpace => self.call_full(&mut retry, 0),
            // It is of no use to anybody but as room: no reason to fail for.
            Err(_) => retry.later(self.options.clock.monotonic_us()),
        }
    }

    /// On an error it is as large as before.
    fn resize_ballast(&self, from: u64, to: u64) -> Result<()> {
        let path = self.ballast_path();
        let failed = |source| Error::io("write", &path, source);
        if to == 0 {
            return self.vfs.remove(&path).map_err(failed);
        }
        let open = if from == 0 { self.vfs.create(&path) } else { self.vfs.open(&path) };
        let file = open.map_err(failed)?;
        let mut written = (from..to).step_by(UNIT_BYTES as usize).try_for_each(|at| {
            // A power loss may leave a file of this length with nothing in it. So much of it does no harm.
            if (at - from).is_multiple_of(STEP_BYTES) {
                file.sync()?;
            }
            file.write_all_at(&filler(at, (to - at).min(UNIT_BYTES) as usize), at)
        });
        if to < from {
            written = file.truncate(to);
        }
        let written = written.and_then(|()| file.sync());
        if written.is_err() {
            let _ = if from == 0 { self.vfs.remove(&path) } else { file.truncate(from) };
        }
        written.map_err(failed)
    }

    /// As [`Self::tend_ballast`], without a rest: something was freed, or somebody asks.
    pub(super) fn tend_ballast_now(&self) {
        if self.ballast.is_full() {
            self.ballast.retry_soon();
        }
        self.tend_ballast();
    }

    /// Refuses what adds data to a full disk, but for a look whether it has room again.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`].
    pub(super) fn check_room(&self) -> Result<()> {
        if !self.ballast.is_full() {
            return Ok(());
        }
        self.tend_ballast();
        if !self.ballast.is_full() {
            return Ok(());
        }
        let message = format!(
            "the disk is full: only what frees space is written in {} until {} bytes are free; delete something and compact, or make room \
             otherwise",
            self.dir.display(),
            self.ballast_target()
        );
        Err(Error::new(ErrorKind::NoSpace, message))
    }

    /// As [`Self::check_room`], for the bytes of a blob. A bin compaction writes some to free more.
    pub(super) fn check_room_for_blob(&self) -> Result<()> {
        if self.bin_compaction.is_locked() { Ok(()) } else { self.check_room() }
    }

    /// As [`Self::check_room`], for a batch.
    pub(super) fn check_room_for(&self, batch: &WriteBatch) -> Result<()> {
        if batch.frees_space() { Ok(()) } else { self.check_room() }
    }
}
