//! Merging what can be read of a keyspace, and writing it to the new database.

use super::super::verify::{VerifyProgress, show_key};
use super::super::{Db, Keyspace};
use super::SalvageReport;
use super::source::{Source, SourceKeyspace};
use crate::batch::WriteBatch;
use crate::blob::BlobFile;
use crate::compress::Encoding;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::BlobOrigin;
use crate::memtable::MemtableIter;
use crate::options::Options;
use crate::ranges::Fragments;
use crate::sst::{Gap, Remains};
use crate::types::{BlobLayout, BlobRef, Compression, Durability, KeyspaceId, Kind, Seqno, Tag};
use crate::vfs::Vfs;
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::Path;
use std::sync::Arc;

const BATCH_BYTES: usize = 1 << 20;
const BATCH_OPS: usize = 1000;

pub(super) struct Copy<'a> {
    db: Db,
    report: &'a mut SalvageReport,
    progress: &'a mut dyn FnMut(&VerifyProgress<'_>),
    bytes_total: u64,
    batch: WriteBatch,
    batch_bytes: usize,
}

/// A keyspace being copied.
struct Target {
    id: KeyspaceId,
    name: String,
    keyspace: Keyspace,
    /// What range deletions hide.
    hidden: Fragments,
    /// The key ranges in which entries are lost; `None`: up to the end.
    gaps: Vec<(Bytes, Option<Bytes>)>,
    /// Keys in a gap that were deleted as far as can be read.
    deleted: BTreeSet<Bytes>,
}

impl Target {
    fn is_in_gap(&self, key: &[u8]) -> bool {
        self.gaps.iter().any(|(from, to)| &from[..] <= key && to.as_ref().is_none_or(|to| key <= &to[..]))
    }
}

/// Where entries come from.
enum Entries {
    Table { remains: Box<Remains>, ingested: Option<Seqno> },
    Log(MemtableIter),
}

impl Entries {
    fn next(&mut self) -> Option<(Bytes, Tag, Bytes)> {
        match self {
            Self::Table { remains, ingested } => {
                let (key, tag, value) = remains.next()?;
                let kind = tag.kind().unwrap_or(Kind::Tombstone);
                Some((key, ingested.map_or(tag, |seqno| Tag::new(seqno, kind)), value))
            }
            Self::Log(iter) => {
                let (key, tag) = iter.key()?;
                let entry = (Bytes::copy_from_slice(key), tag, iter.value());
                iter.next();
                Some(entry)
            }
        }
    }
}

impl<'a> Copy<'a> {
    pub(super) fn begin(
        vfs: Arc<dyn Vfs>,
        dest: &Path,
        report: &'a mut SalvageReport,
        progress: &'a mut dyn FnMut(&VerifyProgress<'_>),
    ) -> Result<Self> {
        // Whatever the old one's limits were.
        let options =
            Options { inline_value_bytes_max: 64 << 20, blob_bytes_max: 1 << 40, ..Options::default() };
        let db = Db::open_with(vfs, dest, options)?;
        Ok(Self { batch: db.batch(), db, report, progress, bytes_total: 0, batch_bytes: 0 })
    }

    pub(super) fn run(&mut self, source: Source) -> Result<()> {
        self.bytes_total = source.bytes;
        for (id, keyspace) in &source.keyspaces {
            self.keyspace(&source, *id, keyspace)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.write_batch()?;
        self.db.flush()?;
        self.db.close()
    }

    fn keyspace(&mut self, source: &Source, id: KeyspaceId, from: &SourceKeyspace) -> Result<()> {
        let taken = self.db.keyspaces().contains(&from.name);
        let name = if taken { format!("{}-{}", from.name, id.0) } else { from.name.clone() };
        let keyspace = self.db.keyspace(&name, from.options)?;
        self.report.keyspaces += 1;
        let gaps = Vec::new();
        let mut target =
            Target { id, name, keyspace, hidden: Fragments::default(), gaps, deleted: BTreeSet::new() };
        let mut ranges = Vec::new();
        let mut sources = Vec::new();
        for table in &from.tables {
            self.tell(&table.path);
            match Remains::of(&*source.vfs, &table.path, table.id) {
                Ok(mut remains) => {
                    ranges.append(&mut remains.ranges);
                    self.report.notes.extend(remains.notes.drain(..).map(|note| note.to_string()));
                    sources.push(Entries::Table { remains: Box::new(remains), ingested: table.ingested });
                }
                Err(error) => self.lose_range(&mut target, Gap { error, from: Bytes::new(), to: None }),
            }
        }
        let logs = source.memtable.range_lists(id);
        target.hidden = Fragments::new(ranges.into_iter().chain(logs.iter().flat_map(|list| list.iter())));
        let mut in_logs = MemtableIter::new(source.memtable.clone(), id);
        in_logs.seek(b"", Tag(u64::MAX));
        sources.push(Entries::Log(in_logs));
        self.merge(source, &mut target, sources)?;
        self.write_batch()?;
        self.without_references(source, &target)?;
        self.write_batch()
    }

    fn lose_range(&mut self, target: &mut Target, gap: Gap) {
        let keys = gap.to.as_ref().map(|to| (gap.from.clone(), to.clone()));
        self.report.lose(&gap.error, Some(&target.name), keys);
        target.gaps.push((gap.from, gap.to));
    }

    /// Takes the newest version of each key. O(log sources) an entry.
    fn merge(&mut self, source: &Source, target: &mut Target, mut sources: Vec<Entries>) -> Result<()> {
        let mut heap = BinaryHeap::new();
        let mut values: Vec<Bytes> = vec![Bytes::new(); sources.len()];
        let refill =
            |at: usize, heap: &mut BinaryHeap<_>, values: &mut Vec<Bytes>, sources: &mut Vec<Entries>| {
                if let Some((key, tag, value)) = sources.get_mut(at).and_then(Entries::next)
                    && let Some(slot) = values.get_mut(at)
                {
                    *slot = value;
                    heap.push((Reverse(key), tag, at));
                }
            };
        for at in 0..sources.len() {
            refill(at, &mut heap, &mut values, &mut sources);
        }
        let mut last: Option<Bytes> = None;
        while let Some((Reverse(key), tag, at)) = heap.pop() {
            let value = values.get_mut(at).map(std::mem::take).unwrap_or_default();
            refill(at, &mut heap, &mut values, &mut sources);
            // Gaps are found as the entries before them are passed.
            if let Some(Entries::Table { remains, .. }) = sources.get_mut(at) {
                for gap in std::mem::take(&mut remains.gaps) {
                    self.lose_range(target, gap);
                }
            }
            if last.as_ref() == Some(&key) {
                continue;
            }
            let is_hidden =
                target.hidden.newest_over(&key, Seqno::MAX).is_some_and(|over| over > tag.seqno());
            if is_hidden || tag.is_deletion() {
                if target.is_in_gap(&key) {
                    target.deleted.insert(key.clone());
                }
            } else {
                self.value(source, target, &key, tag, value)?;
            }
            last = Some(key);
        }
        // Of tables that no entry could be read of.
        for entries in &mut sources {
            if let Entries::Table { remains, .. } = entries {
                for gap in std::mem::take(&mut remains.gaps) {
                    self.lose_range(target, gap);
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, source: &Source, target: &Target, key: &Bytes, tag: Tag, value: Bytes) -> Result<()> {
        if tag.kind() == Some(Kind::Value) {
            return self.put(target, key, value);
        }
        let Some(blob) = BlobRef::decode(&value) else {
            let error = Error::new(
                ErrorKind::Corruption,
                format!("the blob reference of key {} makes no sense", show_key(key)),
            );
            self.lose_key(target, key, &error);
            return Ok(());
        };
        match source.blobs.get(&blob.file) {
            Some(file) => self.blob(source, target, key, file, blob).map(drop),
            None => {
                let message =
                    format!("key {} refers to blob file {}, which is not there", show_key(key), blob.file);
                self.lose_key(target, key, &Error::new(ErrorKind::Corruption, message));
                Ok(())
            }
        }
    }

    fn lose_key(&mut self, target: &Target, key: &Bytes, error: &Error) {
        self.report.lose(error, Some(&target.name), Some((key.clone(), key.clone())));
    }

    fn put(&mut self, target: &Target, key: &Bytes, value: Bytes) -> Result<()> {
        self.count(key.len() + value.len());
        self.batch.put(&target.keyspace, key.clone(), value);
        self.write_full_batch()
    }

    fn count(&mut self, bytes: usize) {
        self.report.keys += 1;
        self.report.bytes += bytes as u64;
        self.batch_bytes += bytes;
    }

    fn write_full_batch(&mut self) -> Result<()> {
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_OPS {
            self.write_batch()
        } else {
            Ok(())
        }
    }

    fn write_batch(&mut self) -> Result<()> {
        let batch = std::mem::replace(&mut self.batch, self.db.batch());
        self.batch_bytes = 0;
        self.db.write(batch, Durability::Buffered).map(drop)
    }

    /// Copies a blob, or says that it is lost. Whether it was copied.
    fn blob(
        &mut self,
        source: &Source,
        target: &Target,
        key: &Bytes,
        file: &Arc<BlobFile>,
        blob: BlobRef,
    ) -> Result<bool> {
        self.tell(file.path());
        match self.try_blob(source, target, key, file, blob) {
            Ok(()) => Ok(true),
            // Of what is read, or of what is written?
            Err(error) if error.location().is_some_and(|(path, _)| path == file.path()) => {
                self.lose_key(target, key, &error);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn try_blob(
        &mut self,
        source: &Source,
        target: &Target,
        key: &Bytes,
        file: &Arc<BlobFile>,
        blob: BlobRef,
    ) -> Result<()> {
        let handles = &source.handles;
        if file.origin == BlobOrigin::Separated && blob.layout == BlobLayout::Whole {
            let value = file.read(handles, key, blob)?;
            return self.put(target, key, value);
        }
        let compression =
            |encoding| if encoding == Encoding::Raw { Compression::None } else { Compression::Dense };
        let pending = match blob.layout {
            BlobLayout::Whole => {
                let encoding = file.read_stored(handles, key, blob)?.encoding;
                let value = file.read(handles, key, blob)?;
                let mut writer = self.db.blob_writer(&target.keyspace, file.bin, compression(encoding));
                writer.append(&value)?;
                writer.finish(key)?
            }
            BlobLayout::Chunked => {
                let chunks = file.chunks(handles, key, blob)?;
                let (encoding, ..) = file.read_stored_chunk(handles, &chunks, 0)?;
                let mut writer = self.db.blob_writer(&target.keyspace, file.bin, compression(encoding));
                for n in 0..chunks.count() {
                    writer.append(&file.read_chunk(handles, &chunks, n)?)?;
                }
                writer.finish(key)?
            }
        };
        self.count(key.len());
        self.report.bytes += blob.len;
        self.batch_bytes += usize::try_from(blob.len).unwrap_or(usize::MAX).min(BATCH_BYTES);
        self.batch.put_blob(&target.keyspace, key.clone(), &pending);
        self.write_full_batch()
    }

    /// Where entries are lost, blob files are asked for the keys that are missing: the last record of each.
    fn without_references(&mut self, source: &Source, target: &Target) -> Result<()> {
        if target.gaps.is_empty() {
            return Ok(());
        }
        let mut found = BTreeMap::new();
        for file in source.blobs.values().filter(|file| file.keyspace == target.id) {
            for record in file.find_records(&source.handles) {
                let is_missing = target.is_in_gap(&record.key)
                    && !target.deleted.contains(&record.key)
                    && target.hidden.newest_over(&record.key, Seqno::MAX).is_none();
                if is_missing {
                    found.insert(record.key.clone(), (file, record.blob_ref(file.id)));
                }
            }
        }
        for (key, (file, blob)) in found {
            if target.keyspace.get(&key)?.is_none() && self.blob(source, target, &key, file, blob)? {
                self.report.keys_without_reference += 1;
            }
        }
        Ok(())
    }

    fn tell(&mut self, file: &Path) {
        let bytes_done = self.report.bytes.min(self.bytes_total);
        (self.progress)(&VerifyProgress { bytes_done, bytes_total: self.bytes_total, file });
    }
}
