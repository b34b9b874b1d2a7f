//! Making the log durable: for those who wait for it, on request, and at an interval.
//!
//! One sync serves all whose records were written when it began (`group_sync.rs`); whoever comes while it runs waits for it, and
//! the first of those that it did not serve begins the next. So n threads that wait for each write need about two syncs for n commits.
//!
//! A record counts as synced only when the blobs that it *and all records before it* refer to are durable too: recovery ends a log
//! at the first record whose blobs are not there. Example: A (`Buffered`) refers to a blob, B (`Sync`) to none; if B were
//! acknowledged with A's blob still in memory, a power loss would take A for a torn tail, and B with it. After the sync of the
//! blobs other `Buffered` records may come before that of the log; they may be torn, and so the log does not call them synced.

use super::Inner;
use crate::error::Result;
use crate::log::LogFile;
use std::time::Duration;

impl Inner {
    /// Makes a log durable up to `end`, and before that the blobs that its records refer to.
    pub(super) fn sync_log(&self, log: &LogFile, end: u64) -> Result<()> {
        let synced = self.telling_panics(|| log.sync_through(end, || self.blobs.sync_open()));
        synced.map_err(|error| self.fail(error))
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.check_writable()?;
        self.sync_written()
    }

    fn sync_written(&self) -> Result<()> {
        let log = self.log.lock().file().clone();
        self.sync_log(&log, log.written())
    }

    /// Until closing: syncs what was written, if anything was, each time the interval has passed.
    pub(super) fn sync_at_intervals(&self, interval: Duration) {
        while self.background.sleep(interval) {
            if self.check_writable().is_ok() {
                // A failure makes the database read-only: the next write, or `close`, says so.
                let _ = self.sync_written();
            }
        }
    }
}
