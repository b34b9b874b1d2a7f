//! Collecting the garbage of separated values, beside readers and writers.
//!
//! A record of a separated file is garbage when no table refers to it: merges drop references as they drop versions, and each table's
//! properties say how many bytes of each file it refers to. So the live bytes of a file are a sum over the tables, which no crash
//! can let drift. When more than [`GARBAGE_PERCENT_MAX`] of a keyspace's separated bytes are garbage, the files with the largest share
//! of it are *emptied*: table after table that refers to them is rewritten, its records copied to a new file (`separate.rs`). A file that
//! nothing refers to any more is retired.
//!
//! References in level 0 hide garbage: what they replace is in deeper tables until a merge. Tables of references are small beside
//! their values, so level 0 is merged as soon as it refers to more than [`TOP_PERCENT_MAX`] of the bytes.
//!
//! Example: 100 MB in files A and B, of which a third was overwritten. The merge drops the old references; A is 60% garbage, B 10%. A is
//! emptied: 20 MB are copied, A goes; 13% garbage is left. Space at rest is thus bounded by 1 / (1 - 0.2), times what the shape of the
//! levels lets hide.
//!
//! Files of many small flushes are merged by the same means: when a keyspace has many that are small, the tables that refer to several of
//! them are rewritten, so that each refers to one. A table that refers to one is left: its next file would be as small.

use super::claims::Claim;
use super::job::Job;
use super::leveled::{Claimed, begin};
use super::picker::{Limits, Pick, Reason};
use crate::blob::{BlobFile, FILE_HEADER_BYTES};
use crate::db::Inner;
use crate::error::Result;
use crate::manifest::BlobOrigin;
use crate::options::Options;
use crate::sst::Table;
use crate::types::{FileId, KeyspaceId};
use crate::version::{ReadState, Tree};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Of a keyspace's separated bytes, how much may be garbage.
const GARBAGE_PERCENT_MAX: u64 = 20;
/// Of the bytes that tables refer to, how much level 0 may refer to.
const TOP_PERCENT_MAX: u64 = 15;
/// Files of less than this share of `blob_file_bytes` are small, and so many of them may be.
const SMALL_SHARE: u64 = 8;
const SMALL_FILES_MAX: usize = 16;

/// A separated file, and what tables refer to of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use {
    id: FileId,
    bytes: u64,
    live: u64,
}

impl Use {
    fn garbage(&self) -> u64 {
        self.bytes.saturating_sub(self.live)
    }
}

/// What is to be done next.
enum Step<'a> {
    Retire(Vec<Arc<BlobFile>>),
    Rewrite(Job, Claimed<'a>),
    /// A merge that runs is in the way of all that is to be done.
    Wait,
    Nothing,
}

/// Does the next step, if there is one that may be done now: retires files, merges level 0, or rewrites a table. O(tables + blob files).
pub(super) fn collect_one(inner: &Inner) -> Result<bool> {
    let Some(_one_at_a_time) = inner.collecting.try_lock() else { return Ok(false) };
    next(inner, false).done(inner)
}

/// Does all steps that there are, after merges that are in the way; but no more than the tables and files of the beginning call for:
/// writers may make garbage as fast as it is collected, and this is to end.
pub(super) fn collect_all(inner: &Inner) -> Result<()> {
    let _one_at_a_time = inner.collecting.lock();
    let tables: usize = inner.read_state().version.values().map(|tree| tree.tables().count()).sum();
    let steps_max = 2 * (tables + inner.blobs().separated().len()) + 16;
    for _ in 0..steps_max {
        let mut step = Step::Nothing;
        inner.wait_for_background(|| {
            step = next(inner, true);
            !matches!(step, Step::Wait)
        })?;
        if !step.done(inner)? {
            break;
        }
    }
    Ok(())
}

impl Step<'_> {
    fn done(self, inner: &Inner) -> Result<bool> {
        match self {
            Self::Retire(files) => inner.retire_unreferenced(files).map(|()| true),
            Self::Rewrite(job, claimed) => claimed.end(job.merge(inner)).map(|()| true),
            Self::Wait | Self::Nothing => Ok(false),
        }
    }
}

/// `insists`: also on what has failed lately.
fn next(inner: &Inner, insists: bool) -> Step<'_> {
    // Before the state: a file that is not pending has its references in a state that comes later.
    let files: Vec<_> = inner.blobs().separated();
    if files.is_empty() {
        return Step::Nothing;
    }
    let mut claims = inner.claims.lock();
    let state = inner.read_state();
    let live = live_bytes(&state);
    let (unused, used): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| live.get(&file.id).is_none_or(|bytes| *bytes == 0));
    if !unused.is_empty() {
        return Step::Retire(unused);
    }
    let mut by_keyspace: BTreeMap<KeyspaceId, Vec<Use>> = BTreeMap::new();
    for file in used.iter().filter(|file| !inner.blobs().is_given_up(file.id)) {
        let live = live.get(&file.id).copied().unwrap_or(0);
        let bytes = file.size().0.saturating_sub(FILE_HEADER_BYTES);
        by_keyspace.entry(file.keyspace).or_default().push(Use { id: file.id, bytes, live });
    }
    let mut blocked = Step::Nothing;
    for (keyspace, files) in by_keyspace {
        let Some(tree) = state.tree(keyspace).filter(|tree| tree.dropped_at.is_none()) else { continue };
        let Some((pick, emptied)) = next_step(tree, files, &inner.options) else { continue };
        let claim = Claim::of(keyspace, &pick);
        if claims.blocks(&claim) {
            blocked = Step::Wait;
        } else if insists || !claims.rests(&claim, inner.options.clock.monotonic_us()) {
            let (job, claimed) = begin(inner, &mut claims, (keyspace, tree), pick, Arc::new(emptied));
            return Step::Rewrite(job, claimed);
        }
    }
    blocked
}

/// Bytes of each blob file that tables refer to.
pub(crate) fn live_bytes(state: &ReadState) -> HashMap<FileId, u64> {
    let mut live = HashMap::new();
    for table in state.version.values().flat_map(|tree| tree.tables()) {
        for (file, bytes) in &table.properties.blob_bytes {
            *live.entry(*file).or_default() += bytes;
        }
    }
    live
}

/// The tables to be rewritten next, and the files that this is to empty.
fn next_step(tree: &Tree, files: Vec<Use>, options: &Options) -> Option<(Pick<Table>, HashSet<FileId>)> {
    let ids: HashSet<FileId> = files.iter().map(|file| file.id).collect();
    let refers = |table: &Arc<Table>, ids: &HashSet<FileId>| {
        let bytes = table.properties.blob_bytes.iter().filter(|(id, _)| ids.contains(id));
        bytes.map(|(_, bytes)| *bytes).sum::<u64>()
    };
    let [top, deeper @ ..] = &tree.levels;
    let live: u64 = files.iter().map(|file| file.live).sum();
    let on_top: u64 = top.iter().map(|table| refers(table, &ids)).sum();
    let tables = deeper.iter().map(Vec::len).sum();
    let chosen = choose(files, tables, options.blob_file_bytes);
    let emptied: HashSet<FileId> = chosen.garbage.union(&chosen.small).copied().collect();
    let only_on_top = !emptied.is_empty() && deeper.iter().flatten().all(|t| refers(t, &emptied) == 0);
    let may_hide = top.len() > 1 || (!top.is_empty() && tables > 0);
    if only_on_top || (may_hide && on_top * 100 > live * TOP_PERCENT_MAX) {
        let shape = Limits::new(options).shape(&tree.levels);
        return Some((Pick::of_top(&tree.levels, &shape, Reason::Request)?, emptied));
    }
    for (level, tables) in (1..).zip(deeper) {
        let blobs = |table: &Arc<Table>| table.properties.blob_bytes.keys().copied().collect::<Vec<_>>();
        if let Some(table) = tables.iter().find(|table| chosen.is_reached_by(&blobs(table))) {
            let inputs = vec![(level, vec![table.clone()])];
            let pick = Pick { inputs, output_level: level, reason: Reason::Request };
            return Some((pick, emptied));
        }
    }
    None
}

/// The files to be emptied.
#[derive(Default)]
struct Chosen {
    /// Those with the largest share of garbage, as many as it takes until little enough would be left.
    garbage: HashSet<FileId>,
    /// All small ones, if they are too many, and not only because the tables that refer to them are.
    small: HashSet<FileId>,
}

impl Chosen {
    /// Whether rewriting a table that refers to these files brings the emptying forward. A table of one small file would only swap it
    /// for another: chosen again and again, it would keep the thread for ever.
    fn is_reached_by(&self, files: &[FileId]) -> bool {
        files.iter().any(|id| self.garbage.contains(id))
            || files.iter().filter(|id| self.small.contains(id)).count() > 1
    }
}

fn choose(mut files: Vec<Use>, tables: usize, blob_file_bytes: u64) -> Chosen {
    let mut chosen = Chosen::default();
    let is_small = |file: &&Use| file.bytes < blob_file_bytes / SMALL_SHARE;
    chosen.small = files.iter().filter(is_small).map(|file| file.id).collect();
    if chosen.small.len() <= SMALL_FILES_MAX.max(2 * tables) {
        chosen.small.clear();
    }
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let mut garbage: u64 = files.iter().map(Use::garbage).sum();
    // By share of garbage, without division: a.garbage / a.bytes against b's.
    files.sort_by_key(|file| std::cmp::Reverse(file.garbage().saturating_mul(1 << 16) / file.bytes.max(1)));
    for file in files {
        if garbage * 100 <= bytes * GARBAGE_PERCENT_MAX {
            break;
        }
        garbage -= file.garbage();
        bytes -= file.garbage();
        chosen.garbage.insert(file.id);
    }
    chosen
}

impl crate::db::Blobs {
    /// The separated files that are part of the database, and that no job is about to install.
    fn separated(&self) -> Vec<Arc<BlobFile>> {
        let mut files = self.all_current();
        files.retain(|file| file.origin == BlobOrigin::Separated && file.pending() == 0);
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[(u64, u64)], tables: usize) -> Vec<u64> {
        let files =
            (1..).zip(files).map(|(id, (bytes, live))| Use { id: FileId(id), bytes: *bytes, live: *live });
        let Chosen { garbage, small } = choose(files.collect(), tables, 800);
        let mut chosen: Vec<u64> = garbage.union(&small).map(|id| id.0).collect();
        chosen.sort_unstable();
        chosen
    }

    #[test]
    fn the_worst_files_are_emptied_until_little_garbage_is_left() {
        assert_eq!(chosen(&[(500, 500), (500, 450)], 1), [0u64; 0]);
        assert_eq!(chosen(&[(500, 200), (500, 450)], 1), [1]);
        assert_eq!(chosen(&[(500, 350), (500, 200), (500, 400)], 1), [1, 2]);
        assert_eq!(chosen(&[(500, 100), (500, 200), (500, 100)], 1), [1, 2, 3]);
        // Nothing refers to more than a file has, but an estimate must not underflow.
        assert_eq!(chosen(&[(500, 600), (100, 0)], 1), [0u64; 0]);
    }

    #[test]
    fn many_small_files_are_merged_but_not_for_ever() {
        let small = [(90, 90); 20];
        assert_eq!(chosen(&small, 1).len(), 20);
        assert_eq!(chosen(&small[..16], 1), [0u64; 0]);
        assert_eq!(chosen(&small, 10), [0u64; 0], "each table has files of its own");
        assert_eq!(chosen(&[(100, 100); 20], 1), [0u64; 0], "they are not small");
    }

    /// Each table of several had one small file of its own, and the first one was rewritten for ever.
    #[test]
    fn a_table_is_rewritten_only_if_that_leaves_fewer_files() {
        let ids = |ids: &[u64]| ids.iter().map(|id| FileId(*id)).collect::<Vec<_>>();
        let chosen =
            Chosen { garbage: ids(&[1]).into_iter().collect(), small: ids(&[2, 3]).into_iter().collect() };
        for (files, expected) in [
            (&[1][..], true),
            (&[2], false),
            (&[2, 4], false),
            (&[2, 3], true),
            (&[4, 5], false),
            (&[], false),
        ] {
            assert_eq!(chosen.is_reached_by(&ids(files)), expected, "{files:?}");
        }
    }
}
