//! Settings of a database and of a keyspace: plain structs with a default and a `validate` that lists every problem.

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::events::EventListener;
use crate::version::LEVELS;
use std::sync::Arc;

/// How a database is opened. Sizes are in bytes.
///
/// ```
/// let options = patina_storage::Options { memtable_bytes: 8 << 20, ..Default::default() };
/// options.validate().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// Make the database when the directory is empty or missing; otherwise that is an error.
    pub create_if_missing: bool,
    /// A memtable is sealed and flushed when it holds this much.
    pub memtable_bytes: usize,
    /// Sealed memtables that may wait for their flush before writers wait too.
    pub sealed_memtables_max: usize,
    /// Memory of all memtables together, and of the batches on their way into one. A batch that does not fit waits for a flush; one
    /// that could never fit is refused.
    pub write_buffer_bytes_max: usize,
    /// What was written is synced at least this often, so that [`crate::Durability::Buffered`] writes are safe against power loss
    /// within this many milliseconds, and the time of a sync. `None`: only when asked.
    pub sync_interval_ms: Option<u64>,
    /// The block cache's budget: data, indexes and filters of tables, decompressed.
    pub block_cache_bytes: usize,
    /// Handles of tables and blob files that are kept open; others are opened again when they are read. Files that are being
    /// written come on top.
    pub open_files_max: usize,
    /// A data block is closed when it holds this much, uncompressed.
    pub block_bytes: usize,
    /// A compaction's output table is closed when it holds this much.
    pub table_bytes: u64,
    /// Level 0 is compacted when it has this many tables.
    pub l0_tables_trigger: usize,
    /// Writers are slowed from this many tables in level 0 of a keyspace, and stopped at twice as many.
    pub l0_tables_slowdown: usize,
    /// Writers are slowed from this many bytes of tables over the limits of their levels, and stopped at twice as many.
    pub debt_slowdown_bytes: u64,
    /// The most that the first level below level 0 holds; each deeper one holds ten times more, the last one nine tenths of all.
    pub level1_bytes: u64,
    /// Deletions are carried out, and the space of what they deleted freed, within this time, as far as no snapshot keeps it; `None`: when
    /// merges come by.
    pub tombstone_age_max_ms: Option<u64>,
    /// A blob file is sealed when it holds this much.
    pub blob_file_bytes: u64,
    /// Blob files that may be open for writing at once, a class. As many blobs of a class may be streamed at once; one more is refused.
    pub open_bins_max: usize,
    /// The largest value that [`crate::WriteBatch::put`] takes; larger ones are blobs.
    pub inline_value_bytes_max: usize,
    /// The largest blob. One that is streamed is never held in memory as a whole.
    pub blob_bytes_max: u64,
    /// Threads that flush memtables and merge tables. With none, whoever must wait for such work does it.
    pub background_threads: usize,
    /// Bytes a second that merging tables and compacting bins may write together; `None`: as many as the disk takes. Too small a
    /// budget slows writers down to it.
    pub compaction_bytes_per_s_max: Option<u64>,
    /// What becomes of damage in the logs when the database is opened.
    pub log_recovery: LogRecovery,
    /// Room that is kept for a full disk, at most, so that space can be freed there: a file of a 32nd of what tables and blob files hold,
    /// in units of 64 KiB. A database of less than 2 MiB has none. 0: none at all. Should be at least what the memtables take, which opening
    /// flushes.
    pub ballast_bytes: u64,
    /// Threads that judge the records of a bin that is compacted: the caller if it is one, else so many beside it, as it writes and
    /// waits for the disk meanwhile. The outcome is the same for any number.
    pub transform_threads: usize,
    /// Memory for the values that a bin compaction is at, as they are read and as they come out. A value that needs more by itself is
    /// judged alone.
    pub transform_bytes_max: u64,
    /// Where the database learns the time.
    pub clock: Arc<dyn Clock>,
    /// Who is told what happens: flushes, merges, stalls, files, failures. See [`EventListener`].
    pub listener: Option<Arc<dyn EventListener>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create_if_missing: true,
            memtable_bytes: 32 << 20,
            sealed_memtables_max: 2,
            write_buffer_bytes_max: 160 << 20,
            sync_interval_ms: None,
            block_cache_bytes: 64 << 20,
            open_files_max: 512,
            block_bytes: 4 << 10,
            table_bytes: 16 << 20,
            l0_tables_trigger: 4,
            l0_tables_slowdown: 12,
            debt_slowdown_bytes: 4 << 30,
            level1_bytes: 64 << 20,
            tombstone_age_max_ms: None,
            blob_file_bytes: 64 << 20,
            open_bins_max: 32,
            inline_value_bytes_max: 1 << 20,
            blob_bytes_max: 64 << 30,
            background_threads: 2,
            compaction_bytes_per_s_max: None,
            log_recovery: LogRecovery::Strict,
            ballast_bytes: 128 << 20,
            transform_threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            transform_bytes_max: 64 << 20,
            clock: Arc::new(SystemClock::default()),
            listener: None,
        }
    }
}

impl Options {
    /// Checks the options against each other.
    ///
    /// ```
    /// use patina_storage::Options;
    /// Options::default().validate().unwrap();
    /// let bad = Options { block_bytes: 1, open_files_max: 0, ..Options::default() };
    /// let message = bad.validate().unwrap_err().to_string();
    /// assert!(message.contains("block_bytes") && message.contains("open_files_max"));
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with every problem in the message.
    pub fn validate(&self) -> Result<()> {
        let rules = [
            (self.memtable_bytes >= 4 << 10, "memtable_bytes must be at least 4 KiB"),
            (self.sealed_memtables_max >= 1, "sealed_memtables_max must be at least 1"),
            (
                self.write_buffer_bytes_max / 2 >= self.memtable_bytes,
                "write_buffer_bytes_max must be at least twice memtable_bytes: one is filled while another is flushed",
            ),
            (self.sync_interval_ms != Some(0), "sync_interval_ms must be at least 1, or None"),
            (self.open_files_max >= 1, "open_files_max must be at least 1"),
            (self.block_bytes >= 256, "block_bytes must be at least 256"),
            (self.block_bytes <= 1 << 20, "block_bytes must be at most 1 MiB"),
            (self.table_bytes >= self.block_bytes as u64, "table_bytes must be at least block_bytes"),
            (self.l0_tables_trigger >= 1, "l0_tables_trigger must be at least 1"),
            (
                self.l0_tables_slowdown > self.l0_tables_trigger,
                "l0_tables_slowdown must be greater than l0_tables_trigger",
            ),
            (
                self.debt_slowdown_bytes >= self.level1_bytes,
                "debt_slowdown_bytes must be at least level1_bytes: levels fill before they are merged",
            ),
            (self.level1_bytes >= self.table_bytes, "level1_bytes must be at least table_bytes"),
            (self.blob_file_bytes >= 4 << 10, "blob_file_bytes must be at least 4 KiB"),
            (self.open_bins_max >= 1, "open_bins_max must be at least 1"),
            (self.inline_value_bytes_max <= 64 << 20, "inline_value_bytes_max must be at most 64 MiB"),
            (self.blob_bytes_max <= 1 << 40, "blob_bytes_max must be at most 1 TiB"),
            (
                self.tombstone_age_max_ms.is_none_or(|age| age >= 1000),
                "tombstone_age_max_ms must be at least 1000, or None",
            ),
            (self.background_threads <= 64, "background_threads must be at most 64"),
            (
                self.compaction_bytes_per_s_max.is_none_or(|rate| rate >= 64 << 10),
                "compaction_bytes_per_s_max must be at least 64 KiB, or None",
            ),
            (
                self.ballast_bytes == 0 || (64 << 10..=1 << 40).contains(&self.ballast_bytes),
                "ballast_bytes must be at least 64 KiB and at most 1 TiB, or 0",
            ),
            ((1..=64).contains(&self.transform_threads), "transform_threads must be from 1 to 64"),
            (self.transform_bytes_max >= 64 << 10, "transform_bytes_max must be at least 64 KiB"),
        ];
        report("bad options", &rules)
    }
}

/// What becomes of damage in the logs, which hold what was not flushed yet. A torn end is no damage: what a crash left of a write that nobody
/// was told is durable is cut off in every mode, and reported ([`crate::Event::Recovered`]).
///
/// With the modes that go on, a log of which something was given up stays beside the database as `….log.damaged`, and each damage is
/// reported as an [`crate::Event::LogGivenUp`]. Damage in other files is not theirs: see [`crate::Db::salvage`].
///
/// ```
/// # use patina_storage::*;
/// # use std::path::Path;
/// # use std::sync::Arc;
/// # let vfs = MemVfs::new();
/// # let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default())?;
/// let users = db.keyspace("users", KeyspaceOptions::default())?;
/// for name in ["alice", "bob", "carol"] {
///     users.put(name, "")?;
/// }
/// # let killed = vfs.kill();
/// # let log = killed.list(Path::new("db")).unwrap().into_iter().find(|name| name.ends_with(".log")).unwrap();
/// # let log = Path::new("db").join(log);
/// # let at = killed.bytes(&log).unwrap().windows(3).position(|bytes| bytes == b"bob").unwrap();
/// // Killed, and a bit of "bob" has rotted.
/// killed.damage(&log, |bytes| bytes[at] ^= 1).unwrap();
/// let open = |log_recovery| {
///     let options = Options { log_recovery, ..Options::default() };
///     Db::open_with(Arc::new(killed.kill()), Path::new("db"), options)
/// };
/// assert_eq!(open(LogRecovery::Strict).err().unwrap().kind(), ErrorKind::Corruption);
/// let names = |db: Db| Ok(db.keyspace("users", KeyspaceOptions::default())?.range(..).count());
/// assert_eq!(names(open(LogRecovery::UpToDamage)?)?, 1);
/// assert_eq!(names(open(LogRecovery::SkipDamaged)?)?, 2);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogRecovery {
    /// The database is not opened; the error names file and offset.
    #[default]
    Strict,
    /// What comes before the damage, in the order of the writes: a state that the database once had. The rest is given up.
    UpToDamage,
    /// Every whole batch, also after damage: the most that can be had, and in general no state that the database ever had.
    SkipDamaged,
}

/// How a keyspace is stored. It is part of the database: given when the keyspace is made, read back at every opening, and changed by
/// [`crate::Db::set_keyspace_options`] for what is written from then on.
///
/// ```
/// use patina_storage::{KeyspaceOptions, TableCompression};
/// let options = KeyspaceOptions { compression: [TableCompression::None; 7], ..Default::default() };
/// options.validate().unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyspaceOptions {
    /// Compression of the tables of each level, level 0 first. By default LZ4 in levels 0 and 1, as flushing must be fast, and zstd
    /// below, where most of the bytes are.
    pub compression: [TableCompression; LEVELS],
    /// Values of at least this many bytes leave the tables for blob files when they are flushed; `None`: never.
    pub separate_bytes: Option<u32>,
    /// The [`crate::Bin::class`] of the blob files that such values go to.
    pub blob_class: u8,
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        let (top, below) = (TableCompression::Lz4, TableCompression::Zstd);
        Self {
            compression: [top, top, below, below, below, below, below],
            separate_bytes: None,
            blob_class: 0,
        }
    }
}

impl KeyspaceOptions {
    /// The least [`Self::separate_bytes`]: a smaller value takes less room than its record in a blob file and the reference to it.
    ///
    /// ```
    /// use patina_storage::KeyspaceOptions;
    /// let least = Some(KeyspaceOptions::SEPARATE_BYTES_MIN);
    /// KeyspaceOptions { separate_bytes: least, ..Default::default() }.validate().unwrap();
    /// ```
    pub const SEPARATE_BYTES_MIN: u32 = 64;

    /// Checks the options against each other.
    ///
    /// ```
    /// use patina_storage::KeyspaceOptions;
    /// KeyspaceOptions::default().validate().unwrap();
    /// let bad = KeyspaceOptions { separate_bytes: Some(3), ..Default::default() };
    /// assert!(bad.validate().unwrap_err().to_string().contains("separate_bytes"));
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with every problem in the message.
    pub fn validate(&self) -> Result<()> {
        let separates = self.separate_bytes.is_some();
        report(
            "bad keyspace options",
            &[
                (
                    self.separate_bytes.is_none_or(|bytes| bytes >= Self::SEPARATE_BYTES_MIN),
                    "separate_bytes must be at least 64, or None",
                ),
                (separates || self.blob_class == 0, "blob_class has no meaning without separate_bytes"),
            ],
        )
    }

    /// The compression of the tables of a level.
    pub(crate) fn compression_at(&self, level: usize) -> TableCompression {
        let [.., deepest] = self.compression;
        self.compression.get(level).copied().unwrap_or(deepest)
    }
}

/// One error that names every rule that does not hold.
fn report(what: &str, rules: &[(bool, &str)]) -> Result<()> {
    let problems: Vec<&str> = rules.iter().filter(|(holds, _)| !holds).map(|(_, text)| *text).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!("{what}: {}", problems.join("; "))))
}

/// Compression of a table's blocks. A block that would not shrink by 12% stays raw.
///
/// ```
/// use patina_storage::{KeyspaceOptions, TableCompression};
/// let small = KeyspaceOptions { compression: [TableCompression::Zstd; 7], ..Default::default() };
/// small.validate().unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TableCompression {
    /// None.
    None = 0,
    /// LZ4.
    Lz4 = 1,
    /// zstd level 3.
    Zstd = 2,
}

impl TableCompression {
    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Options::default().validate().unwrap();
    }

    #[test]
    fn every_problem_is_listed() {
        let options = Options { memtable_bytes: 0, block_bytes: 0, open_bins_max: 0, ..Options::default() };
        let message = options.validate().unwrap_err().to_string();
        for name in ["memtable_bytes", "block_bytes", "open_bins_max"] {
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn every_problem_of_a_keyspace_is_listed() {
        KeyspaceOptions::default().validate().unwrap();
        let options = KeyspaceOptions { separate_bytes: Some(3), ..Default::default() };
        assert!(options.validate().unwrap_err().to_string().contains("separate_bytes"));
        let options = KeyspaceOptions { blob_class: 3, ..Default::default() };
        assert!(options.validate().unwrap_err().to_string().contains("blob_class"));
    }
}
