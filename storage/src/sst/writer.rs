//! Writes a table, entry by entry, in internal-key order.

use super::block::{BlockBuilder, seal_block};
use super::filter::{build_filter, hash_key};
use super::format::{BlockHandle, Footer, HEADER_BYTES, Properties, encode_header};
use crate::error::{Error, Result};
use crate::options::TableCompression;
use crate::ranges::{Fragments, RangeTombstone};
use crate::types::{BlobRef, FileId, KeyspaceId, Kind, Seqno, Tag};
use crate::vfs::{Vfs, VfsFile};
use bytes::Bytes;
use std::path::PathBuf;

pub(crate) struct TableWriterOptions {
    pub block_bytes: usize,
    pub compression: TableCompression,
    /// Number and name of the keyspace.
    pub keyspace: (KeyspaceId, Bytes),
    /// Wall time.
    pub created_ms: u64,
    /// When the oldest tombstone that may be added was written, at the earliest.
    pub oldest_tombstone_ms: u64,
}

pub(crate) struct TableWriter {
    id: FileId,
    path: PathBuf,
    file: Box<dyn VfsFile>,
    options: TableWriterOptions,
    position: u64,
    /// Sealed blocks not yet written: few large writes instead of many small ones.
    pending: Vec<u8>,
    data: BlockBuilder,
    partition: BlockBuilder,
    /// Last key and handle of each finished data block of the open partition, and of each finished partition.
    partitions: Vec<(Vec<u8>, Tag, Vec<u8>)>,
    last: Option<(Vec<u8>, Tag)>,
    hashes: Vec<u64>,
    properties: Properties,
}

impl Properties {
    /// Of a table without entries.
    pub(super) fn counting() -> Self {
        Self { seqno_min: Seqno::MAX, ..Self::default() }
    }

    /// Adds an entry to the counts.
    pub(super) fn count(&mut self, user_key: &[u8], tag: Tag, value: &[u8]) {
        self.entries += 1;
        self.seqno_min = self.seqno_min.min(tag.seqno());
        self.seqno_max = self.seqno_max.max(tag.seqno());
        self.raw_key_bytes += user_key.len() as u64;
        self.raw_value_bytes += value.len() as u64;
        match tag.kind() {
            Some(Kind::Tombstone) => self.tombstones += 1,
            Some(Kind::BlobRef) => {
                if let Some(blob) = BlobRef::decode(value) {
                    let bytes = crate::blob::record_bytes(user_key.len(), blob.stored_len);
                    *self.blob_bytes.entry(blob.file).or_default() += bytes;
                }
            }
            Some(Kind::Value | Kind::RangeTombstone) | None => {}
        }
    }

    /// Adds range tombstones to the counts, and widens the table's range by theirs. Called once, after the entries.
    pub(super) fn count_ranges(&mut self, ranges: &Fragments) {
        let mut tombstones = ranges.iter();
        let (Some(first), Some(end)) = (tombstones.next(), ranges.end()) else { return };
        if self.entries == 0 || first.start < self.smallest {
            self.smallest = first.start.clone();
        }
        if self.entries == 0 || *end > self.largest {
            self.largest = end.clone();
            self.largest_is_end = true;
        }
        for tombstone in std::iter::once(first).chain(tombstones) {
            self.range_tombstones += 1;
            self.seqno_min = self.seqno_min.min(tombstone.seqno);
            self.seqno_max = self.seqno_max.max(tombstone.seqno);
        }
    }
}

const WRITE_BYTES: usize = 256 << 10;

impl TableWriter {
    pub(crate) fn create(
        vfs: &dyn Vfs,
        path: PathBuf,
        id: FileId,
        options: TableWriterOptions,
    ) -> Result<Self> {
        let file = vfs.create(&path).map_err(|source| Error::io("create", &path, source))?;
        Ok(Self {
            id,
            path,
            file,
            options,
            position: HEADER_BYTES as u64,
            pending: encode_header().to_vec(),
            data: BlockBuilder::default(),
            partition: BlockBuilder::default(),
            partitions: Vec::new(),
            last: None,
            hashes: Vec::new(),
            properties: Properties::counting(),
        })
    }

    /// Appends an entry, which must come after the one before in internal-key order.
    pub(crate) fn add(&mut self, user_key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        debug_assert!(self.last.as_ref().is_none_or(|(key, last)| {
            crate::types::cmp_internal((key, *last), (user_key, tag)) == std::cmp::Ordering::Less
        }));
        if self.last.as_ref().is_none_or(|(key, _)| key != user_key) {
            self.hashes.push(hash_key(user_key));
        }
        if self.last.is_none() {
            self.properties.smallest = Bytes::copy_from_slice(user_key);
        }
        self.data.add(user_key, tag, value);
        let (key, last) = self.last.get_or_insert_default();
        key.clear();
        key.extend_from_slice(user_key);
        *last = tag;
        self.properties.count(user_key, tag, value);
        if self.data.bytes() >= self.options.block_bytes {
            self.finish_data_block()?;
        }
        Ok(())
    }

    /// Bytes of the file so far, without the open block and the index.
    pub(crate) fn bytes(&self) -> u64 {
        self.position
    }

    fn finish_data_block(&mut self) -> Result<()> {
        let payload = self.data.finish();
        let handle = self.write_block(&payload, self.options.compression)?;
        if let Some((key, tag)) = &self.last {
            self.partition.add(key, *tag, &handle.encode());
        }
        if self.partition.bytes() >= self.options.block_bytes {
            self.finish_partition();
        }
        Ok(())
    }

    /// Index partitions are kept until the end, to stand together after the data.
    fn finish_partition(&mut self) {
        let payload = self.partition.finish();
        if let Some((key, tag)) = &self.last {
            self.partitions.push((key.clone(), *tag, payload));
        }
    }

    fn write_ranges(&mut self, ranges: &Fragments) -> Result<BlockHandle> {
        if ranges.is_empty() {
            return Ok(BlockHandle::default());
        }
        let mut block = BlockBuilder::default();
        for RangeTombstone { start, end, seqno } in ranges.iter() {
            block.add(&start, Tag::new(seqno, Kind::RangeTombstone), &end);
        }
        self.write_block(&block.finish(), self.options.compression)
    }

    fn write_block(&mut self, payload: &[u8], compression: TableCompression) -> Result<BlockHandle> {
        let block = seal_block(self.id, self.position, payload, compression);
        let handle = BlockHandle { offset: self.position, len: block.len() as u32 };
        self.position += block.len() as u64;
        self.pending.extend_from_slice(&block);
        if self.pending.len() >= WRITE_BYTES {
            self.write_pending()?;
        }
        Ok(handle)
    }

    fn write_pending(&mut self) -> Result<()> {
        let at = self.position - self.pending.len() as u64;
        self.file.write_all_at(&self.pending, at).map_err(|source| Error::io("write", &self.path, source))?;
        self.pending.clear();
        Ok(())
    }

    /// Ends the table and makes it durable (its name is not yet: the caller syncs the directory). It must have an entry or a range
    /// tombstone.
    pub(crate) fn finish(mut self, ranges: &Fragments) -> Result<(Properties, u64)> {
        if !self.data.is_empty() {
            self.finish_data_block()?;
        }
        if !self.partition.is_empty() {
            self.finish_partition();
        }
        let mut top = BlockBuilder::default();
        for (key, tag, payload) in std::mem::take(&mut self.partitions) {
            let handle = self.write_block(&payload, self.options.compression)?;
            top.add(&key, tag, &handle.encode());
        }
        let filter = match build_filter(std::mem::take(&mut self.hashes)) {
            Some(filter) => self.write_block(&filter, TableCompression::None)?,
            None => BlockHandle::default(),
        };
        if let Some((key, _)) = self.last.take() {
            self.properties.largest = key.into();
        }
        self.properties.count_ranges(ranges);
        let ranges = self.write_ranges(ranges)?;
        let top_index = match top.is_empty() {
            true => BlockHandle::default(),
            false => self.write_block(&top.finish(), TableCompression::None)?,
        };
        self.properties.created_ms = self.options.created_ms;
        self.properties.keyspace = Some(self.options.keyspace.clone());
        if self.properties.tombstones + self.properties.range_tombstones > 0 {
            self.properties.oldest_tombstone_ms = self.options.oldest_tombstone_ms;
        }
        let properties = self.write_block(&self.properties.encode(), TableCompression::None)?;
        let footer = Footer { top_index, properties, filter, ranges }.encode(self.id);
        self.pending.extend_from_slice(&footer);
        self.position += footer.len() as u64;
        self.write_pending()?;
        self.file.sync().map_err(|source| Error::io("sync", &self.path, source))?;
        Ok((self.properties, self.position))
    }
}
