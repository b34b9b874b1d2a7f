//! Doing a merge: tables in, tables out, one edit.
//!
//! A big merge is split into parts by key ranges. Whoever began it, its *leader*, does part after part; meanwhile idle threads of the
//! pool take parts too. The leader never waits for a part that nobody has begun, so a merge comes to its end whatever the pool does.
//! When all parts are done the leader makes one edit for the whole merge.
//!
//! Outputs are cut only between user keys, so that all versions of a key are in one table of a level. Range tombstones are cut there too:
//! each output has what of them lies from its first key (the first output of a part: from the part's beginning) to before the next output's
//! (the last one: to the part's end). Until the edit nothing of a merge counts: an error in one part ends the others, and an error, a cancellation or a crash leaves the tree as it was, and
//! files that nobody names.

use super::Survivors;
use super::flush::Output;
use super::picker::Pick;
use super::separate::NewBlobFiles;
use super::split::{Part, split};
use crate::blob::BlobFile;
use crate::db::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Told;
use crate::manifest::{Edit, TableEdit};
use crate::merge::{LevelIter, MergeIter, Source};
use crate::ranges::Fragments;
use crate::sst::{Caching, Table, TableIter};
use crate::types::{FileId, KeyspaceId, Seqno, Tag};
use crate::version::Tree;
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A merge of tables of one keyspace into one level.
pub(super) struct Job {
    pub keyspace: KeyspaceId,
    /// The tree that the tables were picked from: what lies below them.
    pub tree: Arc<Tree>,
    pub pick: Pick<Table>,
    /// Blob files whose records move to another file where a reference to them passes.
    pub emptied: Arc<HashSet<FileId>>,
}

/// Whether to stop, to flush or to wait is looked at once in this many entries.
const CHECK_INTERVAL: u64 = 64;
/// A part has at least this many output tables' worth of input: below that, threads cost more than they gain.
const PART_TABLES_MIN: u64 = 2;
/// An output ends when it overlaps so many tables' worth of bytes in the level below its own: it will have to be merged with these.
const GRANDPARENT_TABLES_MAX: u64 = 10;

impl Job {
    fn inputs(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.pick.tables()
    }

    /// Does it. Tables that overlap with nothing where they go are moved by the edit alone, if they are compressed as they should be there.
    pub(super) fn run(self, inner: &Inner) -> Result<()> {
        let options = inner.keyspace_options(self.keyspace);
        let (from, to) = (self.pick.source_level(), self.pick.output_level);
        let same_compression = options.compression_at(from) == options.compression_at(to);
        if !self.pick.is_move() || !same_compression {
            return self.merge(inner);
        }
        self.install(inner, self.inputs().cloned().collect(), NewBlobFiles::none(inner))?;
        inner.traffic.moved(self.pick.output_level);
        Ok(())
    }

    /// Rewrites all inputs.
    pub(super) fn merge(self, inner: &Inner) -> Result<()> {
        let begun_us = inner.options.clock.monotonic_us();
        let read_bytes = self.inputs().map(|table| table.bytes).sum();
        let told =
            Told::merge(inner, self.keyspace, self.pick.output_level, self.inputs().count(), read_bytes);
        let merge = Arc::new(Merge::new(self, inner)?);
        let (outputs, blobs, written) = merge.run(inner);
        let job = &merge.job;
        let written = written.and_then(|()| inner.sync_dir());
        written.inspect_err(|_| outputs.iter().for_each(|table| table.mark_obsolete()))?;
        let written_bytes = blobs.bytes() + outputs.iter().map(|table| table.bytes).sum::<u64>();
        job.install(inner, outputs.clone(), blobs).inspect_err(|_| inner.discard_outputs(&outputs))?;
        job.inputs().for_each(|table| table.mark_obsolete());
        let busy_us = inner.options.clock.monotonic_us().saturating_sub(begun_us);
        inner.traffic.merged(job.pick.output_level, read_bytes, written_bytes, busy_us);
        told.done(outputs.len(), written_bytes);
        Ok(())
    }

    fn parts(&self, inner: &Inner) -> Result<Vec<Part>> {
        let total: u64 = self.inputs().map(|table| table.bytes).sum();
        let worth = total / inner.options.table_bytes.saturating_mul(PART_TABLES_MIN).max(1);
        let count = worth.min(inner.options.background_threads as u64);
        if count < 2 {
            return Ok(vec![Part::default()]);
        }
        let mut anchors = Vec::new();
        for table in self.inputs() {
            let keys = table.anchors()?;
            let bytes = table.bytes / keys.len().max(1) as u64;
            anchors.extend(keys.into_iter().map(|key| (key, bytes)));
        }
        Ok(split(anchors, count))
    }

    /// The inputs of a part, but for those of which nothing survives: these are not even read.
    fn sources(&self, part: &Part, survivors: &Survivors) -> Vec<Source> {
        let sources = self.pick.inputs.iter().flat_map(|(level, tables)| {
            let is_in = |table: &&Arc<Table>| {
                let properties = &table.properties;
                part.overlaps(&properties.smallest, &properties.largest) && !survivors.buries(properties)
            };
            let tables: Vec<_> = tables.iter().filter(is_in).cloned().collect();
            match level {
                0 => tables.into_iter().map(|t| Source::Table(TableIter::new(t, Caching::Bypass))).collect(),
                _ => vec![Source::Level(LevelIter::new(tables, Caching::Bypass))],
            }
        });
        sources.collect()
    }

    /// The edit: inputs out, outputs in.
    fn install(&self, inner: &Inner, outputs: Vec<Arc<Table>>, blobs: NewBlobFiles<'_>) -> Result<()> {
        let keyspace = self.keyspace;
        let output_level = self.pick.output_level;
        let level = output_level as u8;
        let removed = self.inputs().map(|table| TableEdit::Remove { keyspace, id: table.id });
        let added = outputs.iter().map(|table| TableEdit::Add { keyspace, id: table.id, level });
        let edit = Edit { tables: removed.chain(added).collect(), blobs: blobs.edits(), ..Edit::default() };
        blobs.install(|| {
            inner.apply(edit, |state| {
                let Some(tree) = state.tree_mut(keyspace) else {
                    // Dropped and purged while this ran.
                    return outputs.iter().for_each(|table| table.mark_obsolete());
                };
                self.inputs().for_each(|table| tree.remove(table));
                outputs.into_iter().for_each(|table| tree.add(output_level, table));
            })
        })
    }
}

/// A merge under way, shared by the threads that do its parts.
pub(crate) struct Merge {
    job: Job,
    parts: Vec<Part>,
    /// One for all parts: versions that a snapshot of now needs.
    snapshots: Vec<Seqno>,
    oldest_tombstone_ms: u64,
    progress: Mutex<Progress>,
    changed: Condvar,
    /// A part failed: the others need not go on.
    stopped: AtomicBool,
}

#[derive(Default)]
struct Progress {
    begun: usize,
    running: usize,
    /// Outputs of the parts, in no order: they are disjoint, and sorted by whoever installs them.
    outputs: Vec<Arc<Table>>,
    /// Of the parts that are done.
    blobs: Vec<Arc<BlobFile>>,
    done: usize,
    error: Option<Error>,
}

impl Merge {
    fn new(job: Job, inner: &Inner) -> Result<Self> {
        Ok(Self {
            parts: job.parts(inner)?,
            snapshots: inner.snapshot_seqnos(),
            // That of an output may be younger: whose deletions went where is not known.
            oldest_tombstone_ms: job
                .inputs()
                .map(|t| t.properties.oldest_tombstone_ms)
                .filter(|ms| *ms > 0)
                .min()
                .unwrap_or(0),
            progress: Mutex::default(),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
            job,
        })
    }

    /// Leads it to its end. The tables are there on an error too: to be removed. The blob files are removed unless they are installed.
    fn run<'a>(self: &Arc<Self>, inner: &'a Inner) -> (Vec<Arc<Table>>, NewBlobFiles<'a>, Result<()>) {
        let is_shared = self.parts.len() > 1;
        if is_shared {
            inner.merges.lock().push(self.clone());
            inner.wake_background();
        }
        while self.do_part(inner) {}
        if is_shared {
            inner.merges.lock().retain(|other| !Arc::ptr_eq(other, self));
        }
        let mut progress = self.progress.lock();
        while progress.running > 0 {
            self.changed.wait(&mut progress);
        }
        let outputs = std::mem::take(&mut progress.outputs);
        let blobs = NewBlobFiles::new(inner, std::mem::take(&mut progress.blobs));
        let outcome = match progress.error.take() {
            Some(error) => Err(error),
            None if progress.done == self.parts.len() => Ok(()),
            None => Err(Error::new(ErrorKind::Closed, "a part of a merge was given up")),
        };
        (outputs, blobs, outcome)
    }

    /// Does one part that nobody has begun; `false` if there is none.
    pub(super) fn do_part(&self, inner: &Inner) -> bool {
        let part = {
            let mut progress = self.progress.lock();
            if self.stopped.load(Ordering::Acquire) {
                return false;
            }
            let Some(part) = self.parts.get(progress.begun) else { return false };
            progress.begun += 1;
            progress.running += 1;
            part
        };
        let running = Running(self);
        let mut outputs = Vec::new();
        let written = self.write_part(inner, part, &mut outputs);
        let mut progress = self.progress.lock();
        progress.outputs.append(&mut outputs);
        match written {
            Ok(mut blobs) => {
                progress.blobs.append(&mut blobs);
                progress.done += 1;
            }
            Err(error) => {
                self.stopped.store(true, Ordering::Release);
                progress.error.get_or_insert(error);
            }
        }
        drop(progress);
        drop(running);
        true
    }

    fn write_part(
        &self,
        inner: &Inner,
        part: &Part,
        outputs: &mut Vec<Arc<Table>>,
    ) -> Result<Vec<Arc<BlobFile>>> {
        let output_level = self.job.pick.output_level;
        let job = &self.job;
        let ranges = Fragments::new(job.inputs().flat_map(|table| table.ranges.iter()));
        let mut survivors = Survivors::new(self.snapshots.clone(), ranges);
        let ranges = survivors.ranges(|start, end| job.tree.is_bottom_for_range(output_level, start, end));
        // Where the range tombstones of the open output begin.
        let mut begin = part.from.to_vec();
        let mut merged = MergeIter::new(job.sources(part, &survivors));
        merged.seek(&part.from, Tag(u64::MAX))?;
        let tombstones_ms = self.oldest_tombstone_ms;
        let mut output =
            Output::separating(inner, (job.keyspace, output_level), job.emptied.clone(), tombstones_ms);
        let mut grandparents = Grandparents::new(&job.tree, output_level + 1);
        let grandparents_bytes_max = inner.options.table_bytes.saturating_mul(GRANDPARENT_TABLES_MAX);
        let mut last_key: Option<Vec<u8>> = None;
        let (mut seen, mut paced_bytes) = (0u64, 0u64);
        while let Some((key, tag)) = merged.key() {
            if part.ends_before(key) {
                break;
            }
            seen += 1;
            if seen.is_multiple_of(CHECK_INTERVAL) {
                self.pause(inner, output.total_bytes() - paced_bytes)?;
                paced_bytes = output.total_bytes();
            }
            if survivors.keeps(key, tag, || job.tree.is_bottom_for(output_level, key)) {
                let overlaps_enough = grandparents.advance(key) >= grandparents_bytes_max;
                let is_full = output.bytes() >= inner.options.table_bytes || overlaps_enough;
                match &last_key {
                    None => grandparents.begin_output(),
                    Some(last) if is_full && &last[..] != key => {
                        outputs.extend(output.finish(&ranges.clipped(&begin, Some(key)))?);
                        begin = key.to_vec();
                        grandparents.begin_output();
                    }
                    Some(_) => {}
                }
                output.add(key, tag, &merged.value())?;
                let last = last_key.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
            }
            merged.next()?;
        }
        outputs.extend(output.finish(&ranges.clipped(&begin, part.before.as_deref()))?);
        Ok(output.finish_blobs()?.into_files())
    }

    /// Between two entries: ends if it should, lets a flush go first, keeps to the budget.
    fn pause(&self, inner: &Inner, written_bytes: u64) -> Result<()> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "another part of the merge failed"));
        }
        inner.check_writable()?;
        inner.flush_first();
        inner.pace(written_bytes)
    }
}

/// Says that a part is over, even if it panicked: then the merge fails.
struct Running<'a>(&'a Merge);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.progress.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

/// How much of the level below the output level the open output overlaps.
struct Grandparents<'a> {
    tables: &'a [Arc<Table>],
    bytes: u64,
}

impl<'a> Grandparents<'a> {
    fn new(tree: &'a Tree, level: usize) -> Self {
        Self { tables: tree.levels.get(level).map_or(&[], |tables| &tables[..]), bytes: 0 }
    }

    /// Bytes of the tables between the beginning of the output and a key, which must not go back. Amortized O(1).
    fn advance(&mut self, user_key: &[u8]) -> u64 {
        while let Some((first, rest)) = self.tables.split_first() {
            if &first.properties.largest[..] >= user_key {
                break;
            }
            self.bytes += first.bytes;
            self.tables = rest;
        }
        self.bytes
    }

    fn begin_output(&mut self) {
        self.bytes = 0;
    }
}
