//! Doing a merge: tables in, tables out, one edit.
//!
//! Outputs are cut only between user keys, so that all versions of a key are in one table of a level. Range tombstones are cut there too:
//! each output has what of them lies from its first key (the first output: from their beginning) to before the next output's. Until the edit nothing of a
//! merge counts: an error, a cancellation or a crash leaves the tree as it was, and files that nobody names.

use super::Survivors;
use super::flush::Output;
use super::picker::Pick;
use super::separate::NewBlobFiles;
use crate::db::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Told;
use crate::manifest::{Edit, TableEdit};
use crate::merge::{LevelIter, MergeIter, Source};
use crate::ranges::Fragments;
use crate::sst::{Caching, Table, TableIter};
use crate::types::{FileId, KeyspaceId, Tag};
use crate::version::Tree;
use std::collections::HashSet;
use std::sync::Arc;

/// A merge of tables of one keyspace into one level.
pub(super) struct Job {
    pub keyspace: KeyspaceId,
    /// The tree that the tables were picked from: what lies below them.
    pub tree: Arc<Tree>,
    pub pick: Pick<Table>,
    /// Blob files whose records move to another file where a reference to them passes.
    pub emptied: Arc<HashSet<FileId>>,
}

/// Whether to stop is looked at once in this many entries.
const CANCEL_INTERVAL: u64 = 64;

impl Job {
    fn inputs(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.pick.inputs.iter().flat_map(|(_, tables)| tables)
    }

    /// Does it. A table that overlaps with nothing below is moved by the edit alone.
    pub(super) fn run(&self, inner: &Inner) -> Result<()> {
        match self.pick.only_table().cloned() {
            Some(table) if table_level(self) != self.pick.output_level => {
                self.install(inner, vec![table], NewBlobFiles::none(inner))?;
                inner.traffic.moved(self.pick.output_level);
                Ok(())
            }
            _ => self.merge(inner),
        }
    }

    /// Rewrites all inputs.
    pub(super) fn merge(&self, inner: &Inner) -> Result<()> {
        let begun_us = inner.options.clock.monotonic_us();
        let read_bytes = self.inputs().map(|table| table.bytes).sum();
        let told =
            Told::merge(inner, self.keyspace, self.pick.output_level, self.inputs().count(), read_bytes);
        let mut outputs = Vec::new();
        let written = self.write_outputs(inner, &mut outputs);
        let written = written.and_then(|blobs| inner.sync_dir().map(|()| blobs));
        let blobs = written.inspect_err(|_| outputs.iter().for_each(|table| table.mark_obsolete()))?;
        let written_bytes = blobs.bytes() + outputs.iter().map(|table| table.bytes).sum::<u64>();
        self.install(inner, outputs.clone(), blobs).inspect_err(|_| inner.discard_outputs(&outputs))?;
        self.inputs().for_each(|table| table.mark_obsolete());
        let busy_us = inner.options.clock.monotonic_us().saturating_sub(begun_us);
        inner.traffic.merged(self.pick.output_level, read_bytes, written_bytes, busy_us);
        told.done(outputs.len(), written_bytes);
        Ok(())
    }

    /// The inputs, but for those of which nothing survives: these are not even read.
    fn sources(&self, survivors: &Survivors) -> Vec<Source> {
        let mut sources = Vec::new();
        for (level, tables) in &self.pick.inputs {
            let tables: Vec<_> =
                tables.iter().filter(|table| !survivors.buries(&table.properties)).cloned().collect();
            if *level == 0 {
                let single = tables.into_iter().map(|table| TableIter::new(table, Caching::Bypass));
                sources.extend(single.map(Source::Table));
            } else {
                sources.push(Source::Level(LevelIter::new(tables, Caching::Bypass)));
            }
        }
        sources
    }

    fn write_outputs<'a>(&self, inner: &'a Inner, outputs: &mut Vec<Arc<Table>>) -> Result<NewBlobFiles<'a>> {
        let output_level = self.pick.output_level;
        let ranges = Fragments::new(self.inputs().flat_map(|table| table.ranges.iter()));
        let mut survivors = Survivors::new(inner.snapshot_seqnos(), ranges);
        let ranges = survivors.ranges(|start, end| self.tree.is_bottom_for_range(output_level, start, end));
        // Where the range tombstones of the open output begin.
        let mut begin = Vec::new();
        let mut merged = MergeIter::new(self.sources(&survivors));
        merged.seek(b"", Tag(u64::MAX))?;
        let mut output = Output::separating(inner, self.keyspace, output_level, self.emptied.clone());
        let mut last_key: Option<Vec<u8>> = None;
        let mut seen = 0u64;
        while let Some((key, tag)) = merged.key() {
            seen += 1;
            if seen.is_multiple_of(CANCEL_INTERVAL) && inner.is_closing() {
                return Err(Error::new(ErrorKind::Closed, "the database is closing"));
            }
            if survivors.keeps(key, tag, || self.tree.is_bottom_for(output_level, key)) {
                if output.bytes() >= inner.options.table_bytes && last_key.as_deref() != Some(key) {
                    outputs.extend(output.finish(&ranges.clipped(&begin, Some(key)))?);
                    begin = key.to_vec();
                }
                output.add(key, tag, &merged.value())?;
                let last = last_key.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
            }
            merged.next()?;
        }
        outputs.extend(output.finish(&ranges.clipped(&begin, None))?);
        output.finish_blobs()
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

/// The level that the first input is in.
fn table_level(job: &Job) -> usize {
    job.pick.inputs.first().map_or(0, |(level, _)| *level)
}
