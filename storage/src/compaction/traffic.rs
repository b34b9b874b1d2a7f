//! What flushing and merging have read and written since the database was opened, a level each.

use crate::version::LEVELS;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What went into one level since the database was opened.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// users.put("alice", "30")?;
/// db.flush()?;
/// let top = db.stats().traffic[0];
/// assert!(top.jobs == 1 && top.read_bytes == 0 && top.written_bytes > 0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelTraffic {
    /// Flushes (level 0) and merges that wrote into the level.
    pub jobs: u64,
    /// Tables moved into the level without being rewritten.
    pub moves: u64,
    /// Bytes of the tables that these merges read.
    pub read_bytes: u64,
    /// Bytes of the tables that these flushes and merges wrote.
    pub written_bytes: u64,
    /// How long they took together, in microseconds.
    pub busy_us: u64,
}

#[derive(Default)]
struct Counters {
    jobs: AtomicU64,
    moves: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    busy_us: AtomicU64,
}

/// Counts for [`LevelTraffic`].
#[derive(Default)]
pub(crate) struct Traffic {
    levels: [Counters; LEVELS],
    running_merges: AtomicUsize,
}

impl Traffic {
    pub(super) fn merged(&self, level: usize, read_bytes: u64, written_bytes: u64, busy_us: u64) {
        let Some(counters) = self.levels.get(level) else { return };
        counters.jobs.fetch_add(1, Ordering::Relaxed);
        counters.read_bytes.fetch_add(read_bytes, Ordering::Relaxed);
        counters.written_bytes.fetch_add(written_bytes, Ordering::Relaxed);
        counters.busy_us.fetch_add(busy_us, Ordering::Relaxed);
    }

    pub(super) fn moved(&self, level: usize) {
        if let Some(counters) = self.levels.get(level) {
            counters.moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn merge_begun(&self) {
        self.running_merges.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn merge_ended(&self) {
        self.running_merges.fetch_sub(1, Ordering::Relaxed);
    }

    /// Merges that rewrite tables now.
    pub(crate) fn running_merges(&self) -> usize {
        self.running_merges.load(Ordering::Relaxed)
    }

    pub(crate) fn levels(&self) -> Vec<LevelTraffic> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let level = |counters: &Counters| LevelTraffic {
            jobs: read(&counters.jobs),
            moves: read(&counters.moves),
            read_bytes: read(&counters.read_bytes),
            written_bytes: read(&counters.written_bytes),
            busy_us: read(&counters.busy_us),
        };
        self.levels.iter().map(level).collect()
    }
}
