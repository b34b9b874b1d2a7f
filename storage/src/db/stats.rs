//! Figures about the database for people and tests.

use super::{Db, StallStats};
use crate::compaction::LevelTraffic;
use crate::types::Seqno;

/// What a database holds now. Sizes are in bytes.
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
    /// Live snapshots.
    pub snapshots: usize,
    /// Blob files, retired ones that a snapshot still sees included.
    pub blob_files: usize,
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

impl Db {
    /// What the database holds now. O(tables).
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
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
        Stats {
            seqno: inner.visible(),
            memtable_bytes: state.memtables().map(|memtable| memtable.bytes()).sum(),
            sealed_memtables: state.sealed.len(),
            block_cache_bytes: inner.cache.weight(),
            table_memory_bytes: state
                .version
                .values()
                .flat_map(|tree| tree.tables())
                .map(|t| t.memory_bytes())
                .sum(),
            open_files: inner.files.count(),
            snapshots: inner.snapshots.lock().values().sum(),
            blob_files: inner.blobs.count(),
            read_only: inner.fatal.get().cloned(),
            stalls: inner.pressure.stats(),
            traffic: inner.traffic.levels(),
            keyspaces: keyspaces.collect(),
        }
    }
}
