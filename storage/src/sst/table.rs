//! An open table: point look-ups, and the blocks for its iterator.

use super::block::{BlockBuilder, BlockCache, BlockIter, Broken, Hit, find, open_block};
use super::filter::{TableFilter, hash_key};
use super::format::{BlockHandle, FOOTER_BYTES, Footer, HEADER_BYTES, Properties, check_header};
use crate::error::{Error, Result};
use crate::open_files::OpenFiles;
use crate::ranges::{Fragments, RangeTombstone};
use crate::types::{FileId, Kind, Seqno, Tag};
use crate::vfs::VfsFile;
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A table of a version. Its handle, filter and top index are in the caches, not in here: what stays in memory a table is its properties.
///
/// The file is unlinked when the last holder lets go, if an edit has dropped it from the manifest by then ([`Table::mark_obsolete`]).
pub(crate) struct Table {
    pub id: FileId,
    pub bytes: u64,
    pub properties: Properties,
    /// What it deletes by ranges.
    pub ranges: Arc<Fragments>,
    path: PathBuf,
    files: Arc<OpenFiles>,
    cache: Arc<BlockCache>,
    pub(super) footer: Footer,
    /// The number that all entries count as, if they were ingested with number 0.
    ingested: Option<Seqno>,
    obsolete: AtomicBool,
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            self.files.remove(self.id, &self.path);
        }
    }
}

/// Whether the blocks of a read are worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Looked up in the block cache, and kept there.
    Use,
    /// Nothing is put into the cache for it: a compaction reads everything once.
    Bypass,
}

/// Header and footer of a table of `bytes` bytes, checked.
fn read_footer(file: &dyn VfsFile, path: &Path, id: FileId, bytes: u64) -> Result<Footer> {
    let corrupt = |offset, what: &str| Error::corruption(path, offset, what);
    let mut header = [0; HEADER_BYTES];
    let mut footer = [0; FOOTER_BYTES];
    let footer_at = bytes
        .checked_sub(FOOTER_BYTES as u64)
        .filter(|at| *at >= HEADER_BYTES as u64)
        .ok_or_else(|| corrupt(0, "it is too short for a table"))?;
    file.read_exact_at(&mut header, 0).map_err(|source| Error::read(path, 0, source))?;
    check_header(&header).map_err(|what| corrupt(0, &what))?;
    file.read_exact_at(&mut footer, footer_at).map_err(|source| Error::read(path, footer_at, source))?;
    Footer::decode(&footer, id).ok_or_else(|| corrupt(footer_at, "its footer does not hold"))
}

impl Table {
    pub(crate) fn open(
        files: Arc<OpenFiles>,
        path: &Path,
        id: FileId,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let file = files.open(id, path)?;
        let bytes = file.size().map_err(|source| Error::io("read", path, source))?;
        let footer = read_footer(&*file, path, id, bytes)?;
        let mut table = Self {
            id,
            bytes,
            properties: Properties::default(),
            ranges: Arc::default(),
            path: path.to_owned(),
            files,
            cache,
            footer,
            ingested: None,
            obsolete: AtomicBool::new(false),
        };
        table.properties = table.read_properties()?;
        table.ranges = Arc::new(table.read_ranges(footer.ranges)?);
        Ok(table)
    }

    /// The properties as they are on disk now, with the number that ingested entries count as.
    pub(super) fn read_properties(&self) -> Result<Properties> {
        let handle = self.footer.properties;
        let mut properties = Properties::decode(&self.read_block(handle)?)
            .ok_or_else(|| self.corruption(handle.offset, "its properties make no sense"))?;
        if let Some(seqno) = self.ingested {
            (properties.seqno_min, properties.seqno_max) = (seqno, seqno);
        }
        Ok(properties)
    }

    /// The same table, with entries that count as written at `seqno`. They were ingested with number 0: when the table was written, nobody
    /// knew which write it would be. Each block is rewritten as it is read.
    pub(crate) fn counted_as(&self, seqno: Seqno) -> Self {
        Self {
            id: self.id,
            bytes: self.bytes,
            properties: Properties { seqno_min: seqno, seqno_max: seqno, ..self.properties.clone() },
            ranges: self.ranges.clone(),
            path: self.path.clone(),
            files: self.files.clone(),
            cache: self.cache.clone(),
            footer: self.footer,
            ingested: Some(seqno),
            obsolete: AtomicBool::new(false),
        }
    }

    /// The range tombstones, cut at each other's ends as they were when they were written.
    pub(super) fn read_ranges(&self, handle: BlockHandle) -> Result<Fragments> {
        if handle.len == 0 {
            return Ok(Fragments::default());
        }
        let mut iter = BlockIter::new(self.read_block(handle)?);
        let mut tombstones = Vec::new();
        iter.seek_to_first();
        while let Some((start, tag)) = iter.key() {
            let (start, end) = (Bytes::copy_from_slice(start), Bytes::copy_from_slice(&iter.value()));
            if start >= end || tag.kind() != Some(Kind::RangeTombstone) {
                return Err(self.corruption(handle.offset, "a range tombstone makes no sense"));
            }
            tombstones.push(RangeTombstone { start, end, seqno: tag.seqno() });
            iter.next();
        }
        self.check(&iter)?;
        Ok(Fragments::new(tombstones))
    }

    /// No edit names it any more: the file goes with the last who holds it.
    pub(crate) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// Memory that an open table takes whether it is read or not, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let keys = self.properties.smallest.len() + self.properties.largest.len();
        self.ranges.memory_bytes()
            + size_of::<Self>()
            + self.path.as_os_str().len()
            + keys
            + self.properties.blob_bytes.len() * 32
    }

    /// Header and footer as they are on disk now.
    pub(super) fn read_footer(&self) -> Result<Footer> {
        read_footer(&*self.files.open(self.id, &self.path)?, &self.path, self.id, self.bytes)
    }

    pub(super) fn read_block(&self, handle: BlockHandle) -> Result<Bytes> {
        let end = handle.offset.checked_add(u64::from(handle.len));
        if end.is_none_or(|end| end > self.bytes) {
            return Err(self.corruption(handle.offset, "an index refers to a block outside the file"));
        }
        let mut bytes = vec![0; handle.len as usize];
        let file = self.files.open(self.id, &self.path)?;
        file.read_exact_at(&mut bytes, handle.offset)
            .map_err(|source| Error::read(&self.path, handle.offset, source))?;
        open_block(self.id, handle, bytes).map_err(|what| self.corruption(handle.offset, what))
    }

    /// As [`Self::read_block`]; entries have the numbers that they count as.
    pub(super) fn read_entries(&self, handle: BlockHandle) -> Result<Bytes> {
        let block = self.read_block(handle)?;
        let Some(seqno) = self.ingested.filter(|_| handle != self.footer.filter) else { return Ok(block) };
        let mut iter = BlockIter::new(block);
        let mut counted = BlockBuilder::default();
        iter.seek_to_first();
        while let Some((key, tag)) = iter.key() {
            counted.add(key, Tag::new(seqno, tag.kind().unwrap_or(Kind::Value)), &iter.value());
            iter.next();
        }
        self.check(&iter)?;
        Ok(counted.finish().into())
    }

    fn block(&self, handle: BlockHandle, caching: Caching) -> Result<Bytes> {
        let key = (self.id, handle.offset);
        if caching == Caching::Bypass {
            return self.cache.peek(&key).map_or_else(|| self.read_entries(handle), Ok);
        }
        if let Some(block) = self.cache.get(&key) {
            return Ok(block);
        }
        let block = self.read_entries(handle)?;
        self.cache.insert(key, block.clone());
        Ok(block)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn corruption(&self, offset: u64, what: &str) -> Error {
        Error::corruption(&self.path, offset, what)
    }

    /// Not there if the table has range tombstones only.
    pub(super) fn top_index(&self, caching: Caching) -> Result<Option<BlockIter>> {
        Ok(self.top_block(caching)?.map(BlockIter::new))
    }

    fn top_block(&self, caching: Caching) -> Result<Option<Bytes>> {
        let handle = self.footer.top_index;
        if handle.len == 0 { Ok(None) } else { self.block(handle, caching).map(Some) }
    }

    /// The filter, unless the cache could not keep it: to read all of it for each look-up costs more than the one block that it
    /// may save.
    pub(super) fn filter(&self) -> Result<Option<TableFilter>> {
        let handle = self.footer.filter;
        if handle.len == 0 || u64::from(handle.len) > self.cache.shard_capacity() / 2 {
            return Ok(None);
        }
        let filter = TableFilter::open(self.block(handle, Caching::Use)?);
        filter.map(Some).ok_or_else(|| self.corruption(handle.offset, "its filter makes no sense"))
    }

    /// The last user key of each index partition: keys between which about the same number of bytes lies.
    pub(crate) fn anchors(&self) -> Result<Vec<Bytes>> {
        let mut keys = Vec::new();
        let Some(mut top) = self.top_index(Caching::Bypass)? else { return Ok(keys) };
        top.seek_to_first();
        while let Some((key, _)) = top.key() {
            keys.push(Bytes::copy_from_slice(key));
            top.next();
        }
        self.check(&top)?;
        Ok(keys)
    }

    /// The block that the index entry under the cursor names.
    pub(super) fn child(&self, index: &BlockIter, caching: Caching) -> Result<BlockIter> {
        self.child_block(index, caching).map(BlockIter::new)
    }

    pub(super) fn child_block(&self, index: &BlockIter, caching: Caching) -> Result<Bytes> {
        let handle = BlockHandle::decode(&index.value())
            .ok_or_else(|| self.corruption(0, "an index entry makes no sense"))?;
        self.block(handle, caching)
    }

    /// An error if the cursor stopped because its block makes no sense.
    pub(super) fn check(&self, iter: &BlockIter) -> Result<()> {
        if iter.is_broken() { Err(self.broken()) } else { Ok(()) }
    }

    fn broken(&self) -> Error {
        self.corruption(0, "a block's entries make no sense although its checksum holds")
    }

    /// Whether the table's key range has this key.
    pub(crate) fn covers(&self, user_key: &[u8]) -> bool {
        self.properties.covers(user_key)
    }

    /// The newest version of a key that a reader at `seqno` may see: at most one index partition and one data block are read. Of
    /// what is in the cache nothing is allocated but the value.
    pub(crate) fn get(&self, user_key: &[u8], seqno: Seqno) -> Result<Option<(Tag, Bytes)>> {
        if self.filter()?.is_some_and(|filter| !filter.may_contain(hash_key(user_key))) {
            return Ok(None);
        }
        let tag = Tag::seek(seqno);
        let Some(top) = self.top_block(Caching::Use)? else { return Ok(None) };
        let Some(partition) = self.find_child(&top, user_key, tag)? else { return Ok(None) };
        let partition = self.block(partition, Caching::Use)?;
        let Some(data) = self.find_child(&partition, user_key, tag)? else { return Ok(None) };
        self.get_in(&self.block(data, Caching::Use)?, user_key, tag)
    }

    fn find_child(&self, index: &Bytes, user_key: &[u8], tag: Tag) -> Result<Option<BlockHandle>> {
        let Some(hit) = find(index, user_key, tag).map_err(|Broken| self.broken())? else { return Ok(None) };
        let handle = index.get(hit.value).and_then(BlockHandle::decode);
        handle.map(Some).ok_or_else(|| self.corruption(0, "an index entry makes no sense"))
    }

    /// The version in a data block. A value that is a small part of its block is copied, lest it keep all of it in memory.
    pub(super) fn get_in(&self, data: &Bytes, user_key: &[u8], tag: Tag) -> Result<Option<(Tag, Bytes)>> {
        let hit = find(data, user_key, tag).map_err(|Broken| self.broken())?;
        Ok(hit.filter(|hit| hit.same_key).map(|Hit { tag, value, .. }| {
            let is_small = value.len() < data.len() / 2;
            let value = data.slice(value);
            (tag, if is_small { Bytes::copy_from_slice(&value) } else { value })
        }))
    }
}
