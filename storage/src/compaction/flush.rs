//! Flushing: the oldest sealed memtable becomes one table of level 0 in each keyspace that it has entries of.

use super::Survivors;
use super::separate::{NewBlobFiles, Separator};
use crate::db::Inner;
use crate::error::{Error, Result};
use crate::events::Told;
use crate::manifest::{Edit, TableEdit};
use crate::memtable::{Memtable, MemtableIter};
use crate::options::TableCompression;
use crate::ranges::Fragments;
use crate::sst::{Table, TableWriter, TableWriterOptions};
use crate::types::{FileId, KeyspaceId, Tag};
use crate::version::{ReadState, Tree};
use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

/// Flushes one memtable; `false` if none waits, or another thread is flushing.
pub(crate) fn flush_one(inner: &Inner) -> Result<bool> {
    let Some(_one_at_a_time) = inner.flushing.try_lock() else { return Ok(false) };
    let state = inner.read_state();
    let Some(memtable) = state.sealed.last().cloned() else { return Ok(false) };
    let begun_us = inner.options.clock.monotonic_us();
    let told = Told::flush(inner, memtable.bytes());
    // The tables will refer to blobs whose log records go away with the log.
    inner.blobs().sync_open().map_err(|error| inner.fail(error))?;
    let durable = inner.blobs().durable_open();
    let (mut tables, mut blobs) = (Vec::new(), NewBlobFiles::none(inner));
    let flushed = memtable
        .keyspaces()
        .into_iter()
        .try_for_each(|keyspace| {
            let (table, separated) = write_table(inner, &state, &memtable, keyspace)?;
            tables.extend(table.map(|table| (keyspace, table)));
            blobs.append(separated);
            Ok(())
        })
        .and_then(|()| inner.sync_dir());
    let outputs: Vec<_> = tables.iter().map(|(_, table)| table.clone()).collect();
    flushed.inspect_err(|_| outputs.iter().for_each(|table| table.mark_obsolete()))?;
    let newer =
        state.sealed.len().checked_sub(2).and_then(|at| state.sealed.get(at)).unwrap_or(&state.active);
    let first_log = newer.log;
    let edit = Edit {
        first_log: Some(first_log),
        // Not what is visible: of that the log may lose what is newer with the power, and the next opening must not count it as there.
        last_seqno: memtable.newest.get().copied(),
        tables: tables
            .iter()
            .map(|(keyspace, table)| TableEdit::Add { keyspace: *keyspace, id: table.id, level: 0 })
            .collect(),
        blobs: durable.into_iter().chain(blobs.edits()).collect(),
        ..Edit::default()
    };
    let written_bytes = blobs.bytes() + tables.iter().map(|(_, table)| table.bytes).sum::<u64>();
    let busy_us = inner.options.clock.monotonic_us().saturating_sub(begun_us);
    // Before the edit: who waits for it may ask for the figures.
    inner.traffic.merged(0, 0, written_bytes, busy_us);
    let applied = blobs.install(|| {
        inner.apply(edit, |state: &mut ReadState| {
            state.sealed.retain(|other| !Arc::ptr_eq(other, &memtable));
            for (keyspace, table) in tables {
                match state.tree_mut(keyspace) {
                    Some(tree) => tree.add(0, table),
                    // The keyspace was dropped meanwhile.
                    None => table.mark_obsolete(),
                }
            }
        })
    });
    applied.inspect_err(|_| inner.discard_outputs(&outputs))?;
    inner.remove_logs_before(first_log);
    inner.measure_flush(memtable.bytes(), busy_us);
    told.done(outputs.len(), written_bytes);
    Ok(true)
}

/// `None` if nothing of the keyspace survives. Of a dropped keyspace a table is written for as long as a snapshot sees it; the
/// manifest does not hear of it.
fn write_table<'a>(
    inner: &'a Inner,
    state: &ReadState,
    memtable: &Arc<Memtable>,
    keyspace: KeyspaceId,
) -> Result<(Option<Arc<Table>>, NewBlobFiles<'a>)> {
    let Some(tree) = state.tree(keyspace) else { return Ok((None, NewBlobFiles::none(inner))) };
    let mut output = Output::separating(inner, (keyspace, 0), Arc::default(), memtable.born_ms);
    let ranges = memtable.range_lists(keyspace);
    let ranges = Fragments::new(ranges.iter().flat_map(|list| list.iter()));
    let mut survivors = Survivors::new(inner.snapshot_seqnos(), ranges);
    let mut iter = MemtableIter::new(memtable.clone(), keyspace);
    iter.seek(b"", Tag(u64::MAX));
    while let Some((key, tag)) = iter.key() {
        let nothing_below = || !tree.tables().any(|table| table.covers(key));
        if survivors.keeps(key, tag, nothing_below) {
            output.add(key, tag, &iter.value())?;
        }
        iter.next();
    }
    let nothing_below = |start: &[u8], end: &[u8]| {
        let range = (Bound::Included(start), Bound::Excluded(end));
        !tree.tables().any(|table| table.properties.meets(range))
    };
    // First: a table that is finished goes only if it is marked, blob files that nobody takes go by themselves.
    let blobs = output.finish_blobs()?;
    Ok((output.finish(&survivors.ranges(nothing_below))?, blobs))
}

/// A table being written, and the blob files that its values leave for; removed again if it is not finished.
pub(crate) struct Output<'a> {
    inner: &'a Inner,
    keyspace: KeyspaceId,
    compression: TableCompression,
    separator: Option<Separator<'a>>,
    oldest_tombstone_ms: u64,
    writer: Option<(FileId, TableWriter)>,
    finished_bytes: u64,
}

impl<'a> Output<'a> {
    /// Values stay in the table, whatever their length; tombstones must not come.
    pub(crate) fn new(inner: &'a Inner, keyspace: KeyspaceId, compression: TableCompression) -> Self {
        Self {
            inner,
            keyspace,
            compression,
            separator: None,
            oldest_tombstone_ms: 0,
            writer: None,
            finished_bytes: 0,
        }
    }

    /// For a level of a keyspace: long values leave for blob files. `emptied`: blob files whose records move to another one. No tombstone
    /// that is added may be older than `oldest_tombstone_ms`.
    pub(super) fn separating(
        inner: &'a Inner,
        (keyspace, level): (KeyspaceId, usize),
        emptied: Arc<HashSet<FileId>>,
        oldest_tombstone_ms: u64,
    ) -> Self {
        let compression = inner.keyspace_options(keyspace).compression_at(level);
        let separator = Separator::new(inner, keyspace, compression, emptied);
        let separator = Some(separator);
        Self { inner, keyspace, compression, separator, oldest_tombstone_ms, writer: None, finished_bytes: 0 }
    }

    pub(crate) fn add(&mut self, user_key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        let placed = match &mut self.separator {
            Some(separator) => separator.place(user_key, tag, value)?,
            None => None,
        };
        let (tag, value) = placed.as_ref().map_or((tag, value), |(tag, value)| (*tag, value));
        self.writer()?.add(user_key, tag, value)
    }

    /// Of the open table, which is begun if there is none.
    fn writer(&mut self) -> Result<&mut TableWriter> {
        let (id, writer) = match self.writer.take() {
            Some(open) => open,
            None => {
                let id = self.inner.new_file_id();
                let options = TableWriterOptions {
                    block_bytes: self.inner.options.block_bytes,
                    compression: self.compression,
                    keyspace: (self.keyspace, self.inner.keyspace_name(self.keyspace).into()),
                    created_ms: self.inner.options.clock.now_ms(),
                    oldest_tombstone_ms: self.oldest_tombstone_ms,
                };
                let path = self.inner.table_path(id);
                (id, TableWriter::create(&*self.inner.vfs, path, id, options)?)
            }
        };
        Ok(&mut self.writer.insert((id, writer)).1)
    }

    /// Ends the blob files; after the last entry.
    pub(super) fn finish_blobs(&mut self) -> Result<NewBlobFiles<'a>> {
        match &mut self.separator {
            Some(separator) => separator.finish(),
            None => Ok(NewBlobFiles::none(self.inner)),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |(_, writer)| writer.bytes())
    }

    /// Bytes of all tables and blob files so far.
    pub(super) fn total_bytes(&self) -> u64 {
        self.finished_bytes + self.bytes() + self.separator.as_ref().map_or(0, Separator::bytes)
    }

    /// Ends the open table, with the range tombstones that belong to it, and opens it for reading; the next entry begins another. `None`
    /// if it has neither entries nor range tombstones.
    pub(crate) fn finish(&mut self, ranges: &Fragments) -> Result<Option<Arc<Table>>> {
        if !ranges.is_empty() {
            self.writer()?;
        }
        let Some((id, writer)) = self.writer.take() else { return Ok(None) };
        let opened = writer.finish(ranges).and_then(|_| {
            Table::open(self.inner.files.clone(), &self.inner.table_path(id), id, self.inner.cache.clone())
        });
        if opened.is_err() {
            self.inner.files.remove(id, &self.inner.table_path(id));
        }
        let table = opened?;
        self.finished_bytes += table.bytes;
        Ok(Some(Arc::new(table)))
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if let Some((id, _)) = self.writer.take() {
            self.inner.files.remove(id, &self.inner.table_path(id));
        }
    }
}

impl Inner {
    /// Makes the names of new files durable.
    pub(crate) fn sync_dir(&self) -> Result<()> {
        self.vfs.sync_dir(&self.dir).map_err(|source| Error::io("sync", &self.dir, source))
    }
}

impl Tree {
    /// Whether no table below `level` has keys around this one.
    pub(super) fn is_bottom_for(&self, level: usize, user_key: &[u8]) -> bool {
        (level + 1..crate::version::LEVELS)
            .all(|deeper| self.overlapping(deeper, user_key, user_key).is_empty())
    }

    /// Whether no table below `level` has keys from `start` to before `end`.
    pub(super) fn is_bottom_for_range(&self, level: usize, start: &[u8], end: &[u8]) -> bool {
        (level + 1..crate::version::LEVELS).all(|deeper| self.overlapping(deeper, start, end).is_empty())
    }
}
