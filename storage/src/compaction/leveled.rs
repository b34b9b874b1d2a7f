//! Merging tables: looks for the most urgent merge of all keyspaces, and does it.

use super::collect::{collect_all, collect_one};
use super::job::Job;
use super::picker::{Limits, pick_all, pick_from};
use crate::db::Inner;
use crate::error::Result;
use crate::types::KeyspaceId;
use crate::version::{ReadState, Tree};
use std::sync::Arc;

/// Does the most urgent merge, or else a step of collecting blobs' garbage; `false` if nothing is due.
pub(crate) fn compact_one(inner: &Inner) -> Result<bool> {
    inner.unlink_retired();
    inner.purge_dropped();
    let _one_at_a_time = inner.table_compaction.lock();
    let Some(job) = pick(inner) else { return collect_one(inner) };
    job.run(inner)?;
    Ok(true)
}

/// Merges each keyspace into its deepest level, and collects the garbage of separated values.
pub(crate) fn compact_all(inner: &Inner) -> Result<()> {
    let _one_at_a_time = inner.table_compaction.lock();
    let state = inner.read_state();
    for (keyspace, tree) in live(&state) {
        if let Some(pick) = pick_all(&tree.levels) {
            let (keyspace, tree) = (*keyspace, tree.clone());
            Job { keyspace, tree, pick, emptied: Arc::default() }.merge(inner)?;
        }
    }
    // What the merges have let go.
    collect_all(inner)
}

/// Bytes of tables over the limits of their levels: what is still to be merged.
pub(crate) fn debt_bytes(inner: &Inner, tree: &Tree) -> u64 {
    Limits::new(&inner.options).debt_bytes(&tree.levels)
}

/// The keyspaces that are not dropped: what a snapshot alone sees is not worth a merge.
fn live(state: &ReadState) -> impl Iterator<Item = (&KeyspaceId, &Arc<Tree>)> {
    state.version.iter().filter(|(_, tree)| tree.dropped_at.is_none())
}

fn pick(inner: &Inner) -> Option<Job> {
    let limits = Limits::new(&inner.options);
    let state = inner.read_state();
    let due = live(&state).filter_map(|(keyspace, tree)| {
        let (score, level) = limits.most_urgent(&tree.levels)?;
        Some((score, *keyspace, tree, level))
    });
    let (_, keyspace, tree, level) = due.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let pick = pick_from(&tree.levels, level)?;
    Some(Job { keyspace, tree: tree.clone(), pick, emptied: Arc::default() })
}
