//! Requirements of a batch: compare-and-commit.
//!
//! They are looked at twice. Once before the commit lock, on whatever is there then: this may read tables, and most conflicts end here.
//! And once under the lock, when all earlier commits are in place: there it is enough that nothing has been written to their keys
//! since the first look, which the memtables can tell. If a flush or a merge came in between, all is looked at anew: a deletion may have come
//! and gone, together with what it deleted.
//!
//! Example: `require_version(k, 7)`. The first look, at visible 20, finds version 7 in a table. Under the lock the memtables have no `k`
//! newer than 20: it holds. Had they one, at 21, all would be looked at anew, and found not to hold.

use super::Inner;
use super::read::after_prefix;
use crate::batch::{Requirement, WriteBatch};
use crate::error::{Error, Result};
use crate::merge::{MergeIter, sources};
use crate::types::{FileId, KeyspaceId, Seqno, Tag};
use crate::version::{ReadState, Tree, Version};
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;

impl Inner {
    /// The first look; gives what the second needs.
    pub(super) fn check_early(&self, batch: &WriteBatch) -> Result<Early> {
        // Taken first: what is visible now is in the state that is taken next.
        let since = self.visible();
        let state = self.read_state();
        if !batch.requirements.is_empty() {
            batch.keyspaces().iter().try_for_each(|keyspace| state.check_readable(*keyspace, None))?;
            for requirement in &batch.requirements {
                self.require(requirement, holds(&state, requirement)?)?;
            }
        }
        Ok(Early { since, tables: state.version.clone(), oldest_log: state.oldest_log() })
    }

    /// The second look, under the commit lock.
    pub(super) fn check_again(&self, state: &ReadState, batch: &WriteBatch, early: &Early) -> Result<()> {
        let since = early.since;
        // A flush of which nothing is left makes no table.
        let nothing_moved =
            Arc::ptr_eq(&state.version, &early.tables) && state.oldest_log() == early.oldest_log;
        for requirement in &batch.requirements {
            let still_holds = match requirement {
                Requirement::Absent { keyspace, key } | Requirement::Version { keyspace, key, .. } => {
                    let is_as_before = nothing_moved && !is_rewritten(state, *keyspace, key, since)?;
                    is_as_before || holds(state, requirement)?
                }
                Requirement::Unchanged { keyspace, prefix, .. } => {
                    is_unchanged(state, *keyspace, prefix, since)?
                }
                Requirement::NotWritten { keyspace, key, .. } => !is_rewritten(state, *keyspace, key, since)?,
            };
            self.require(requirement, still_holds)?;
        }
        Ok(())
    }

    fn require(&self, requirement: &Requirement, holds: bool) -> Result<()> {
        if holds {
            return Ok(());
        }
        let (keyspace, key) = match requirement {
            Requirement::Absent { keyspace, key }
            | Requirement::Version { keyspace, key, .. }
            | Requirement::Unchanged { keyspace, prefix: key, .. }
            | Requirement::NotWritten { keyspace, key, .. } => (keyspace, key),
        };
        let name = self.manifest.lock().state.keyspaces.get(keyspace).map(|(name, _)| name.clone());
        Err(Error::conflicting(name.unwrap_or_default(), key.clone()))
    }
}

/// What the first look saw.
pub(super) struct Early {
    /// The sequence number up to which the requirements are known to hold.
    since: Seqno,
    tables: Arc<Version>,
    oldest_log: FileId,
}

/// Whether a requirement holds, on all that is in the state.
fn holds(state: &ReadState, requirement: &Requirement) -> Result<bool> {
    match requirement {
        Requirement::Absent { keyspace, key } => Ok(state.get(*keyspace, key, Seqno::MAX)?.is_none()),
        Requirement::Version { keyspace, key, seqno } => {
            let found = state.get(*keyspace, key, Seqno::MAX)?;
            Ok(found.is_some_and(|(tag, _)| tag.seqno() == *seqno))
        }
        Requirement::Unchanged { keyspace, prefix, since } => {
            is_unchanged(state, *keyspace, prefix, since.seqno())
        }
        Requirement::NotWritten { keyspace, key, since } => {
            Ok(!is_rewritten(state, *keyspace, key, since.seqno())?)
        }
    }
}

/// Whether a key has a version newer than `since`, or a range deletion over it is. Only memtables and tables that have something newer
/// are looked at.
fn is_rewritten(state: &ReadState, keyspace: KeyspaceId, key: &Bytes, since: Seqno) -> Result<bool> {
    if state.range_over(keyspace, key, Seqno::MAX).is_some_and(|seqno| seqno > since) {
        return Ok(true);
    }
    let in_memory = state.memtables().find_map(|memtable| memtable.get(keyspace, key, Seqno::MAX));
    if let Some((tag, _)) = in_memory {
        return Ok(tag.seqno() > since);
    }
    let Some(tree) = state.tree(keyspace) else { return Ok(false) };
    for table in tree.tables().filter(|table| table.properties.seqno_max > since && table.covers(key)) {
        if table.get(key, Seqno::MAX)?.is_some_and(|(tag, _)| tag.seqno() > since) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether nothing under the prefix is newer than `since`, no range deletion either. Only memtables and tables that have something newer are
/// looked at.
fn is_unchanged(state: &ReadState, keyspace: KeyspaceId, prefix: &Bytes, since: Seqno) -> Result<bool> {
    let end = after_prefix(prefix);
    if state.range_view(keyspace).changed_since(prefix, end.as_deref(), since) {
        return Ok(false);
    }
    let mut young = state.clone();
    if let Some(tree) = state.tree(keyspace) {
        let mut tree = Tree::clone(tree);
        for level in &mut tree.levels {
            level.retain(|table| table.properties.seqno_max > since);
        }
        young.version = Arc::new([(keyspace, Arc::new(tree))].into());
    }
    let range = (Bound::Included(&prefix[..]), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
    let mut merged = MergeIter::new(sources(&young, keyspace, range, None));
    merged.seek(prefix, Tag(u64::MAX))?;
    while let Some((key, tag)) = merged.key() {
        if end.as_ref().is_some_and(|end| key >= &end[..]) {
            break;
        }
        if tag.seqno() > since {
            return Ok(false);
        }
        merged.next()?;
    }
    Ok(true)
}
