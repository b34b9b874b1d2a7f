//! Merging tables: finds what may be merged now, claims it, and has it done.

use super::claims::{Claim, Claims, Damage, Failed};
use super::collect::{collect_all, collect_one};
use super::job::Job;
use super::picker::{Limits, Pick, View, pick_range};
use crate::db::Inner;
use crate::error::{ErrorKind, Result};
use crate::events::Event;
use crate::manifest::{Edit, TableEdit};
use crate::sst::Table;
use crate::types::{FileId, KeyspaceId};
use crate::version::{ReadState, Tree};
use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

/// Does a part of a merge that another thread leads, or else the most urgent merge that may run, or else a step of collecting blobs'
/// garbage; `false` if there is nothing of these.
pub(crate) fn compact_one(inner: &Inner) -> Result<bool> {
    inner.unlink_retired();
    inner.purge_dropped();
    if inner.is_disk_full() && drop_buried(inner)? {
        return Ok(true);
    }
    if help(inner) {
        return Ok(true);
    }
    match claim_most_urgent(inner) {
        Some((job, claimed)) => claimed.end(job.run(inner)).map(|()| true),
        None => collect_one(inner),
    }
}

fn help(inner: &Inner) -> bool {
    let merges = inner.merges.lock().clone();
    merges.iter().any(|merge| merge.do_part(inner))
}

/// Merges each keyspace into its last level, and collects the garbage of separated values.
pub(crate) fn compact_all(inner: &Inner) -> Result<()> {
    let keyspaces: Vec<_> = live(&inner.read_state()).map(|(keyspace, _)| *keyspace).collect();
    let all = (Bound::Unbounded, Bound::Unbounded);
    keyspaces.into_iter().try_for_each(|keyspace| compact_range(inner, keyspace, &all))?;
    // What the merges have let go.
    collect_all(inner)
}

/// Merges what a keyspace has of a range into its last level. Waits for merges that are in the way.
pub(crate) fn compact_range(
    inner: &Inner,
    keyspace: KeyspaceId,
    range: &(Bound<Vec<u8>>, Bound<Vec<u8>>),
) -> Result<()> {
    // First what frees space without taking any.
    drop_buried(inner)?;
    let mut claimed = None;
    inner.wait_for_background(|| {
        claimed = try_claim(inner, keyspace, |tree| pick_range(&tree.levels, range));
        !matches!(claimed, Some(Err(InTheWay)))
    })?;
    match claimed {
        Some(Ok((job, claimed))) => claimed.end(job.merge(inner)),
        _ => Ok(()),
    }
}

/// Drops the tables of which nobody can see anything, as newer range tombstones are over all of them, by an edit alone; `false` if there are
/// none. What such a table deletes itself is deleted by the newer tombstone too. O(tables × log range tombstones).
fn drop_buried(inner: &Inner) -> Result<bool> {
    // Held to the end: no merge begins.
    let claims = inner.claims.lock();
    let state = inner.read_state();
    // A snapshot that comes later sees the tombstones: they are in tables.
    let snapshots = inner.snapshot_seqnos();
    let mut buried: Vec<(KeyspaceId, Arc<Table>)> = Vec::new();
    for (keyspace, tree) in live(&state) {
        let (taken, ranges) = (claims.tables(*keyspace), tree.ranges());
        let is_buried = |table: &&Arc<Table>| {
            let of = &table.properties;
            let seqnos = (of.seqno_min, of.seqno_max);
            !taken.contains_key(&table.id) && ranges.buries((&of.smallest, &of.largest), seqnos, &snapshots)
        };
        buried.extend(tree.tables().filter(is_buried).map(|table| (*keyspace, table.clone())));
    }
    if buried.is_empty() {
        return Ok(false);
    }
    let removed =
        buried.iter().map(|(keyspace, table)| TableEdit::Remove { keyspace: *keyspace, id: table.id });
    inner.apply(Edit { tables: removed.collect(), ..Edit::default() }, |state| {
        for (keyspace, table) in &buried {
            if let Some(tree) = state.tree_mut(*keyspace) {
                tree.remove(table);
            }
        }
    })?;
    buried.iter().for_each(|(_, table)| table.mark_obsolete());
    Ok(true)
}

/// Bytes of tables over the limits of their levels: what is still to be merged.
pub(crate) fn debt_bytes(inner: &Inner, tree: &Tree) -> u64 {
    Limits::new(&inner.options).debt_bytes(&tree.levels)
}

/// The keyspaces that are not dropped: what a snapshot alone sees is not worth a merge.
fn live(state: &ReadState) -> impl Iterator<Item = (&KeyspaceId, &Arc<Tree>)> {
    state.version.iter().filter(|(_, tree)| tree.dropped_at.is_none())
}

/// A running merge's claim; it ends with this.
pub(super) struct Claimed<'a> {
    inner: &'a Inner,
    number: u64,
}

impl Claimed<'_> {
    pub(super) fn end(self, outcome: Result<()>) -> Result<()> {
        let inner = self.inner;
        let failed = outcome.as_ref().err().map(|error| Failed {
            at_us: inner.options.clock.monotonic_us(),
            damage: (error.kind() == ErrorKind::Corruption)
                .then(|| Damage { table: inner.table_of(error), message: error.to_string() }),
        });
        let is_damage = failed.as_ref().is_some_and(|failed| failed.damage.is_some());
        let pause_us = inner.claims.lock().end(self.number, failed);
        if let (Err(error), Some(pause_us), true) = (&outcome, pause_us, is_damage) {
            let file = error.location().map(|(path, _)| path.to_owned());
            inner.events.emit(|| Event::MergePutOff { file, message: error.to_string(), pause_us });
        }
        outcome
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        self.inner.claims.lock().end(self.number, None);
        self.inner.wake_background();
    }
}

/// The state is read, and the choice made, under the lock of the claims: whatever merge ended before has changed the state already.
fn claim_most_urgent(inner: &Inner) -> Option<(Job, Claimed<'_>)> {
    let mut claims = inner.claims.lock();
    let limits = Limits::new(&inner.options);
    let state = inner.read_state();
    let (now_us, now_ms) = (inner.options.clock.monotonic_us(), inner.options.clock.now_ms());
    let oldest_snapshot = inner.oldest_snapshot();
    let picks = live(&state).filter_map(|(keyspace, tree)| {
        let (keyspace, levels, claims) = (*keyspace, &tree.levels, &*claims);
        let view = View { keyspace, levels, limits, claims, oldest_snapshot, now_us, now_ms };
        let (score, pick) = view.pick()?;
        Some((score, keyspace, tree, pick))
    });
    let (_, keyspace, tree, pick) = picks.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(begin(inner, &mut claims, (keyspace, tree), pick, Arc::default()))
}

struct InTheWay;

fn try_claim<'a>(
    inner: &'a Inner,
    keyspace: KeyspaceId,
    choose: impl FnOnce(&Tree) -> Option<Pick<Table>>,
) -> Option<std::result::Result<(Job, Claimed<'a>), InTheWay>> {
    let mut claims = inner.claims.lock();
    let state = inner.read_state();
    let tree = state.tree(keyspace)?;
    let pick = choose(tree)?;
    if claims.blocks(&Claim::of(keyspace, &pick)) {
        return Some(Err(InTheWay));
    }
    Some(Ok(begin(inner, &mut claims, (keyspace, tree), pick, Arc::default())))
}

/// Claims a merge that nothing blocks.
pub(super) fn begin<'a>(
    inner: &'a Inner,
    claims: &mut Claims,
    (keyspace, tree): (KeyspaceId, &Arc<Tree>),
    pick: Pick<Table>,
    emptied: Arc<HashSet<FileId>>,
) -> (Job, Claimed<'a>) {
    let number = claims.begin(Claim::of(keyspace, &pick));
    (Job { keyspace, tree: tree.clone(), pick, emptied }, Claimed { inner, number })
}
