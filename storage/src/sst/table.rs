//! An open table: point look-ups, and the blocks for its iterator.

use super::block::{BlockCache, BlockIter, open_block};
use super::filter::{TableFilter, hash_key};
use super::format::{BlockHandle, FOOTER_BYTES, Footer, HEADER_BYTES, Properties, check_header};
use crate::error::{Error, Result};
use crate::types::{FileId, Seqno, Tag};
use crate::vfs::{Vfs, VfsFile};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct Table {
    pub id: FileId,
    pub bytes: u64,
    pub properties: Properties,
    path: PathBuf,
    file: Box<dyn VfsFile>,
    cache: Arc<BlockCache>,
    top_index: Bytes,
    filter: Option<TableFilter>,
}

/// Whether the blocks of a read are worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Looked up in the block cache, and kept there.
    Use,
    /// Read past the cache: a compaction reads everything once.
    Bypass,
}

impl Table {
    pub(crate) fn open(vfs: &dyn Vfs, path: &Path, id: FileId, cache: Arc<BlockCache>) -> Result<Self> {
        let file = vfs.open(path).map_err(|source| Error::io("open", path, source))?;
        let bytes = file.size().map_err(|source| Error::io("read", path, source))?;
        let corrupt = |offset, what: &str| Error::corruption(path, offset, what);
        let mut header = [0; HEADER_BYTES];
        let mut footer = [0; FOOTER_BYTES];
        let footer_at = bytes
            .checked_sub(FOOTER_BYTES as u64)
            .filter(|at| *at >= HEADER_BYTES as u64)
            .ok_or_else(|| corrupt(0, "it is too short for a table"))?;
        file.read_exact_at(&mut header, 0).map_err(|source| Error::io("read", path, source))?;
        check_header(&header).map_err(|what| corrupt(0, &what))?;
        file.read_exact_at(&mut footer, footer_at).map_err(|source| Error::io("read", path, source))?;
        let footer =
            Footer::decode(&footer, id).ok_or_else(|| corrupt(footer_at, "its footer does not hold"))?;
        let mut table = Self {
            id,
            bytes,
            properties: Properties::default(),
            path: path.to_owned(),
            file,
            cache,
            top_index: Bytes::new(),
            filter: None,
        };
        let properties = table.read_block(footer.properties)?;
        table.properties = Properties::decode(&properties)
            .ok_or_else(|| corrupt(footer.properties.offset, "its properties make no sense"))?;
        table.top_index = table.read_block(footer.top_index)?;
        if footer.filter.len > 0 {
            let filter = TableFilter::open(table.read_block(footer.filter)?)
                .ok_or_else(|| corrupt(footer.filter.offset, "its filter makes no sense"))?;
            table.filter = Some(filter);
        }
        Ok(table)
    }

    fn read_block(&self, handle: BlockHandle) -> Result<Bytes> {
        let end = handle.offset.checked_add(u64::from(handle.len));
        if end.is_none_or(|end| end > self.bytes) {
            return Err(self.corruption(handle.offset, "an index refers to a block outside the file"));
        }
        let mut bytes = vec![0; handle.len as usize];
        self.file
            .read_exact_at(&mut bytes, handle.offset)
            .map_err(|source| Error::io("read", &self.path, source))?;
        open_block(self.id, handle, bytes).map_err(|what| self.corruption(handle.offset, what))
    }

    fn block(&self, handle: BlockHandle, caching: Caching) -> Result<Bytes> {
        if caching == Caching::Bypass {
            return self.read_block(handle);
        }
        if let Some(block) = self.cache.get(&(self.id, handle.offset)) {
            return Ok(block);
        }
        let block = self.read_block(handle)?;
        self.cache.insert((self.id, handle.offset), block.clone());
        Ok(block)
    }

    pub(super) fn corruption(&self, offset: u64, what: &str) -> Error {
        Error::corruption(&self.path, offset, what)
    }

    pub(super) fn top_index(&self) -> BlockIter {
        BlockIter::new(self.top_index.clone())
    }

    /// The block that the index entry under the cursor names.
    pub(super) fn child(&self, index: &BlockIter, caching: Caching) -> Result<BlockIter> {
        let handle = BlockHandle::decode(&index.value())
            .ok_or_else(|| self.corruption(0, "an index entry makes no sense"))?;
        Ok(BlockIter::new(self.block(handle, caching)?))
    }

    /// An error if the cursor stopped because its block makes no sense.
    pub(super) fn check(&self, iter: &BlockIter) -> Result<()> {
        if iter.is_broken() {
            return Err(self.corruption(0, "a block's entries make no sense although its checksum holds"));
        }
        Ok(())
    }

    /// Whether the table's key range has this key.
    pub(crate) fn covers(&self, user_key: &[u8]) -> bool {
        &self.properties.smallest[..] <= user_key && user_key <= &self.properties.largest[..]
    }

    /// The newest version of a key that a reader at `seqno` may see: at most one index partition and one data block are read.
    pub(crate) fn get(&self, user_key: &[u8], seqno: Seqno) -> Result<Option<(Tag, Bytes)>> {
        if self.filter.as_ref().is_some_and(|filter| !filter.may_contain(hash_key(user_key))) {
            return Ok(None);
        }
        let tag = Tag::seek(seqno);
        let mut top = self.top_index();
        top.seek(user_key, tag);
        self.check(&top)?;
        if top.key().is_none() {
            return Ok(None);
        }
        let mut partition = self.child(&top, Caching::Use)?;
        partition.seek(user_key, tag);
        self.check(&partition)?;
        if partition.key().is_none() {
            return Ok(None);
        }
        let mut data = self.child(&partition, Caching::Use)?;
        data.seek(user_key, tag);
        self.check(&data)?;
        Ok(data.key().filter(|(found, _)| *found == user_key).map(|(_, tag)| (tag, data.value())))
    }
}
