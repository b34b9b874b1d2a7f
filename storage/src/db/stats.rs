//! Figures about the database for people and tests.

use super::{Db, Inner, StallStats};
use crate::compaction::LevelTraffic;
use crate::types::{FileId, Seqno};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a database holds now. Sizes are in bytes.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// users.put("alice", "30")?;
/// let stats = db.stats();
/// assert!(stats.memtable_bytes > 0 && stats.read_only.is_none());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The newest committed write.
    pub seqno: Seqno,
    /// Memory of the memtables, sealed ones included.
    pub memtable_bytes: usize,
    /// Sealed memtables that wait for their flush.
    pub sealed_memtables: usize,
    /// Memory of the block cache: data, indexes and filters.
    pub block_cache_bytes: u64,
    /// Memory of what is known of every table without reading it, the one part that grows with their number.
    pub table_memory_bytes: usize,
    /// Handles of tables and blob files that are kept open.
    pub open_files: usize,
    /// Look-ups of blocks that the cache answered.
    pub block_cache_hits: u64,
    /// Look-ups of blocks that went to a file.
    pub block_cache_misses: u64,
    /// Keys and values as they were given, blobs in full.
    pub user_bytes_written: u64,
    /// Records of the write-ahead log.
    pub log_bytes_written: u64,
    /// Records that were written to blob files, heads and keys included, carried ones too.
    pub blob_bytes_written: u64,
    /// Live snapshots.
    pub snapshots: usize,
    /// Live iterators.
    pub iterators: usize,
    /// Memory that the live iterators keep: the blocks and keys under their cursors, as of their last seek (blocks may be in the cache
    /// too), and memtables that were flushed since they began.
    pub iterator_bytes: usize,
    /// Memory that a bin compaction allows for the values that it is at, as read and as transformed: at most
    /// `Options::transform_bytes_max`, or as much as one larger value takes.
    pub transform_bytes: u64,
    /// Merges that rewrite tables now.
    pub running_merges: usize,
    /// Tables in which merges met damage: those that need one of them are tried again after a pause that doubles up to an hour, others go on.
    /// Restore the database from a copy, or salvage it.
    pub damaged_tables: Vec<FileId>,
    /// Blob files, retired ones that a snapshot still sees included.
    pub blob_files: usize,
    /// Room that is kept for a full disk.
    pub ballast_bytes: u64,
    /// The disk is full: only what frees space is written.
    pub is_disk_full: bool,
    /// Why the database takes no more writes, if so.
    pub read_only: Option<String>,
    /// How writers were held back.
    pub stalls: StallStats,
    /// What flushing and merging wrote into each level since the database was opened.
    pub traffic: Vec<LevelTraffic>,
    /// Each keyspace, in the order of their making.
    pub keyspaces: Vec<KeyspaceStats>,
}

/// The tables of one keyspace.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// users.put("alice", "30")?;
/// db.flush()?;
/// let stats = db.stats();
/// assert_eq!((stats.keyspaces[0].name.as_str(), stats.keyspaces[0].levels[0].0), ("users", 1));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceStats {
    /// Its name.
    pub name: String,
    /// Tables and their bytes, a level each.
    pub levels: Vec<(usize, u64)>,
    /// Entries in the tables, deletions and old versions included.
    pub entries: u64,
    /// Deletions among them.
    pub tombstones: u64,
    /// Range deletions in the tables; one that several tables have a part of counts for each.
    pub range_tombstones: u64,
    /// Bytes of tables over the limits of their levels: what compaction has still to merge.
    pub debt_bytes: u64,
}

impl Stats {
    /// Bytes written to files for each byte that was given, since the database was opened: log, flushes, merges and blob files. 0 before
    /// the first write.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", vec![7; 1000])?;
    /// assert!(db.stats().write_amplification() >= 1.0); // the log
    /// # Ok::<(), Error>(())
    /// ```
    pub fn write_amplification(&self) -> f64 {
        let tables: u64 = self.traffic.iter().map(|level| level.written_bytes).sum();
        ratio(self.log_bytes_written + self.blob_bytes_written + tables, self.user_bytes_written)
    }
}

impl KeyspaceStats {
    /// Places on disk that a look-up may have to ask: the tables of level 0, and each deeper level that has tables.
    ///
    /// ```
    /// let keyspace = patina_storage::KeyspaceStats { levels: vec![(3, 300), (0, 0), (5, 500)], ..Default::default() };
    /// assert_eq!(keyspace.read_amplification(), 4);
    /// ```
    pub fn read_amplification(&self) -> usize {
        let top = self.levels.first().map_or(0, |(tables, _)| *tables);
        top + self.levels.iter().skip(1).filter(|(tables, _)| *tables > 0).count()
    }

    /// Bytes of all tables for each byte of the deepest level, which is what would be left if all were merged (a little less, if
    /// there are deletions above). 0 without tables.
    ///
    /// ```
    /// let keyspace = patina_storage::KeyspaceStats { levels: vec![(1, 10), (0, 0), (5, 100)], ..Default::default() };
    /// assert_eq!(keyspace.space_amplification(), 1.1);
    /// ```
    pub fn space_amplification(&self) -> f64 {
        let bytes = || self.levels.iter().map(|(_, bytes)| *bytes);
        ratio(bytes().sum(), bytes().rfind(|bytes| *bytes > 0).unwrap_or(0))
    }
}

fn ratio(bytes: u64, for_each_of: u64) -> f64 {
    if for_each_of == 0 { 0.0 } else { bytes as f64 / for_each_of as f64 }
}

/// What is counted as it happens.
#[derive(Default)]
pub(crate) struct Counters {
    user_bytes: AtomicU64,
    log_bytes: AtomicU64,
    blob_bytes: AtomicU64,
    transform_bytes: AtomicU64,
}

/// Memory that is taken for transforms, until it is dropped.
pub(crate) struct InFlight<'a> {
    counter: &'a AtomicU64,
    bytes: u64,
}

impl<'a> InFlight<'a> {
    pub(crate) fn new(inner: &'a Inner, bytes: u64) -> Self {
        let counter = &inner.counters.transform_bytes;
        counter.fetch_add(bytes, Ordering::Relaxed);
        Self { counter, bytes }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Counters {
    /// Keys and values of a committed batch.
    pub(super) fn user(&self, bytes: u64) {
        self.user_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn log(&self, bytes: u64) {
        self.log_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A blob of so many bytes as given, in a record of so many.
    pub(super) fn blob(&self, given_bytes: u64, record_bytes: u64) {
        self.user(given_bytes);
        self.blob_bytes.fetch_add(record_bytes, Ordering::Relaxed);
    }
}

impl Db {
    /// What the database holds now. O(tables, and live iterators).
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let seqno = users.put("alice", "30")?;
    /// assert_eq!(db.stats().seqno, seqno);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = inner.read_state();
        let keyspaces = inner.manifest.lock().state.keyspaces.clone();
        let keyspaces = keyspaces.into_iter().map(|(id, (name, _))| {
            let mut stats = KeyspaceStats { name, ..KeyspaceStats::default() };
            if let Some(tree) = state.tree(id) {
                stats.levels =
                    (0..tree.levels.len()).map(|l| (tree.levels[l].len(), tree.level_bytes(l))).collect();
                stats.entries = tree.tables().map(|table| table.properties.entries).sum();
                stats.tombstones = tree.tables().map(|table| table.properties.tombstones).sum();
                stats.range_tombstones = tree.tables().map(|table| table.properties.range_tombstones).sum();
                stats.debt_bytes = crate::compaction::debt_bytes(inner, tree);
            }
            stats
        });
        let mut damaged_tables = inner.claims.lock().damaged_tables();
        damaged_tables
            .retain(|id| state.version.values().flat_map(|tree| tree.tables()).any(|t| t.id == *id));
        let (iterators, iterator_bytes) = inner.iterators.measure(&state);
        Stats {
            seqno: inner.visible(),
            memtable_bytes: inner.memtable_bytes(),
            sealed_memtables: state.sealed.len(),
            block_cache_bytes: inner.cache.weight(),
            table_memory_bytes: state
                .version
                .values()
                .flat_map(|tree| tree.tables())
                .map(|t| t.memory_bytes())
                .sum(),
            open_files: inner.files.count(),
            block_cache_hits: inner.cache.hits(),
            block_cache_misses: inner.cache.misses(),
            user_bytes_written: read(&inner.counters.user_bytes),
            log_bytes_written: read(&inner.counters.log_bytes),
            blob_bytes_written: read(&inner.counters.blob_bytes),
            snapshots: inner.snapshots.lock().values().sum(),
            iterators,
            iterator_bytes,
            transform_bytes: read(&inner.counters.transform_bytes),
            running_merges: inner.traffic.running_merges(),
            damaged_tables,
            blob_files: inner.blobs.count(),
            ballast_bytes: inner.ballast.bytes(),
            is_disk_full: inner.ballast.is_full(),
            read_only: inner.fatal.get().cloned(),
            stalls: inner.pressure.stats(),
            traffic: inner.traffic.levels(),
            keyspaces: keyspaces.collect(),
        }
    }
}
