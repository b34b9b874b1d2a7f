//! What can still be read of a table, whatever of it is damaged.
//!
//! A data block needs nothing but itself: its checksum is seeded with its offset. So if the index names it, it is read, and a damaged one is a gap
//! between its neighbours' last keys. Where the index is damaged the blocks are *walked*: they lie one behind the other, and where one
//! begins its end is the first place at which four bytes are the checksum of all before them (by chance with 2⁻³² a byte; what such a
//! block holds must make sense, too). A damaged block stops the walk, until the next one that a readable part of the index names. Behind the data
//! come the index's partitions, whose entries look like data: their keys begin again, so the first block that does not ascend ends the data.
//!
//! Complexity: O(bytes), where nothing of the index is left with a checksum step a byte. Memory: 16 bytes a data block, and a part that is
//! walked as a whole.

use super::block::{BlockIter, open_block};
use super::format::{BlockHandle, FOOTER_BYTES, Footer, HEADER_BYTES, Properties, check_header};
use crate::coding::u32_at;
use crate::compress::Encoding;
use crate::error::{Error, Result};
use crate::ranges::RangeTombstone;
use crate::types::{FileId, Kind, Tag, cmp_internal};
use crate::vfs::{Vfs, VfsFile};
use bytes::Bytes;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// Entries that cannot be read.
pub(crate) struct Gap {
    pub error: Error,
    /// All of them have keys greater or equal, as far as is known.
    pub from: Bytes,
    /// All of them have keys less or equal; `None` if that is not known.
    pub to: Option<Bytes>,
}

/// Of what the index says, in the order of the file.
enum Part {
    Block {
        handle: BlockHandle,
        last_key: Bytes,
    },
    /// Blocks up to this key (`None`: to the end), which nothing names.
    Unnamed {
        last_key: Option<Bytes>,
        cause: Error,
    },
}

/// The rest of a table; its entries are read with [`Self::next`].
pub(crate) struct Remains {
    path: PathBuf,
    id: FileId,
    file: Box<dyn VfsFile>,
    len: u64,
    pub properties: Option<Properties>,
    pub ranges: Vec<RangeTombstone>,
    /// What is damaged and costs no entry.
    pub notes: Vec<Error>,
    pub gaps: Vec<Gap>,
    blocks: std::vec::IntoIter<(BlockHandle, Bytes)>,
    current: Option<BlockIter>,
    last_key: Bytes,
}

impl Remains {
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn of(vfs: &dyn Vfs, path: &Path, id: FileId) -> Result<Self> {
        let file = vfs.open(path).map_err(|source| Error::io("open", path, source))?;
        let len = file.size().map_err(|source| Error::io("read", path, source))?;
        let mut remains = Self {
            path: path.to_owned(),
            id,
            file,
            len,
            properties: None,
            ranges: Vec::new(),
            notes: Vec::new(),
            gaps: Vec::new(),
            blocks: Vec::new().into_iter(),
            current: None,
            last_key: Bytes::new(),
        };
        remains.look_round();
        Ok(remains)
    }

    fn look_round(&mut self) {
        let mut header = [0; HEADER_BYTES];
        let checked =
            self.file.read_exact_at(&mut header, 0).map_err(|source| Error::read(&self.path, 0, source));
        let checked = checked.and_then(|()| check_header(&header).map_err(|what| self.corruption(0, &what)));
        self.notes.extend(checked.err());
        match self.footer() {
            Ok(footer) => self.follow(&footer),
            Err(error) => self.walk_all(error),
        }
    }

    fn corruption(&self, offset: u64, what: &str) -> Error {
        Error::corruption(&self.path, offset, what)
    }

    fn footer(&self) -> Result<Footer> {
        let at = self.len.checked_sub(FOOTER_BYTES as u64);
        let at = at.ok_or_else(|| self.corruption(0, "it is too short for a table"))?;
        let mut footer = [0; FOOTER_BYTES];
        self.file.read_exact_at(&mut footer, at).map_err(|source| Error::read(&self.path, at, source))?;
        Footer::decode(&footer, self.id).ok_or_else(|| self.corruption(at, "its footer does not hold"))
    }

    fn block(&self, handle: BlockHandle) -> Result<Bytes> {
        let end = handle.offset.checked_add(u64::from(handle.len));
        if end.is_none_or(|end| end > self.len) {
            return Err(self.corruption(handle.offset, "a block reaches past the end of the file"));
        }
        let mut bytes = vec![0; handle.len as usize];
        let read = self.file.read_exact_at(&mut bytes, handle.offset);
        read.map_err(|source| Error::read(&self.path, handle.offset, source))?;
        open_block(self.id, handle, bytes).map_err(|what| self.corruption(handle.offset, what))
    }

    /// By the footer's word.
    fn follow(&mut self, footer: &Footer) {
        let properties = self.block(footer.properties).and_then(|bytes| {
            let decoded = Properties::decode(&bytes);
            decoded.ok_or_else(|| self.corruption(footer.properties.offset, "its properties make no sense"))
        });
        match properties {
            Ok(properties) => self.properties = Some(properties),
            Err(error) => self.notes.push(error),
        }
        if footer.ranges.len > 0 {
            match self.block(footer.ranges) {
                Ok(block) => self.ranges = range_tombstones(block),
                // What they deleted may come back: that is no gap of entries, but no note either.
                Err(error) => self.gaps.push(Gap { error, from: Bytes::new(), to: None }),
            }
        }
        if footer.top_index.len > 0 {
            let parts = self.parts(footer.top_index);
            let mut end = footer.properties.offset;
            // The first partition, if it is known, is where the data ends.
            if let Ok(top) = self.block(footer.top_index) {
                let mut iter = BlockIter::new(top);
                iter.seek_to_first();
                end = BlockHandle::decode(&iter.value()).map_or(end, |first| first.offset);
            }
            self.resolve(parts, end);
        }
    }

    fn parts(&self, top: BlockHandle) -> Vec<Part> {
        let top = match self.block(top) {
            Ok(top) => top,
            Err(cause) => return vec![Part::Unnamed { last_key: None, cause }],
        };
        let mut parts = Vec::new();
        for (partition_key, partition) in handles(top) {
            match self.block(partition) {
                Ok(partition) => parts.extend(
                    handles(partition).into_iter().map(|(last_key, handle)| Part::Block { handle, last_key }),
                ),
                Err(cause) => parts.push(Part::Unnamed { last_key: Some(partition_key), cause }),
            }
        }
        parts
    }

    /// Walks through what is not named, up to the next block that is, or to `end`.
    fn resolve(&mut self, parts: Vec<Part>, end: u64) {
        let mut blocks: Vec<(BlockHandle, Bytes)> = Vec::new();
        let mut parts = parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Block { handle, last_key } => blocks.push((handle, last_key)),
                Part::Unnamed { last_key, cause } => {
                    let (from, key) = match blocks.last() {
                        Some((last, key)) => (last.offset + u64::from(last.len), key.clone()),
                        None => (HEADER_BYTES as u64, Bytes::new()),
                    };
                    let to = match parts.peek() {
                        Some(Part::Block { handle, .. }) => handle.offset,
                        _ => end,
                    };
                    let (found, stopped, entries) = self.walk(from, to, key);
                    let is_all = blocks.is_empty()
                        && self.properties.as_ref().is_some_and(|said| said.entries == entries);
                    blocks.extend(found);
                    if stopped < to && !is_all {
                        let from = blocks.last().map(|(_, key)| key.clone()).unwrap_or_default();
                        self.gaps.push(Gap { error: cause, from, to: last_key });
                    } else {
                        self.notes.push(cause);
                    }
                }
            }
        }
        self.blocks = blocks.into_iter();
    }

    /// Without a footer: the data from the front; what follows as far as it can be told.
    fn walk_all(&mut self, cause: Error) {
        let end = self.len.saturating_sub(FOOTER_BYTES as u64);
        let (blocks, stopped, entries) = self.walk(HEADER_BYTES as u64, end, Bytes::new());
        let mut at = stopped;
        let mut last = None;
        while let Some(handle) = self.block_at(at, end) {
            if let Ok(block) = self.block(handle) {
                let ranges = range_tombstones(block.clone());
                self.ranges.extend(ranges);
                last = Some(block);
            }
            at = handle.offset + u64::from(handle.len);
        }
        self.properties = last.filter(|_| at == end).and_then(|block| Properties::decode(&block));
        let from = blocks.last().map(|(_, key)| key.clone()).unwrap_or_default();
        if self.properties.as_ref().is_some_and(|said| said.entries == entries) {
            self.notes.push(cause);
        } else {
            self.gaps.push(Gap { error: cause, from, to: None });
        }
        self.blocks = blocks.into_iter();
    }

    /// The data blocks from `from` on, each with its last key; where they end: at `to`, before a damaged block, or where what follows
    /// is no data; and their entries. Their keys come after `after`.
    fn walk(&self, from: u64, to: u64, after: Bytes) -> (Vec<(BlockHandle, Bytes)>, u64, u64) {
        let (mut found, mut entries) = (Vec::new(), 0);
        let (mut at, mut last) = (from, (after, Tag(0)));
        while at < to
            && let Some(handle) = self.block_at(at, to)
            && let Ok(block) = self.block(handle)
            && let Some((key, in_block)) = ascending_data(block, &last)
        {
            entries += in_block;
            at = handle.offset + u64::from(handle.len);
            found.push((handle, key.0.clone()));
            last = key;
        }
        (found, at, entries)
    }

    /// The block that begins at a place, by its checksum alone.
    fn block_at(&self, offset: u64, to: u64) -> Option<BlockHandle> {
        let len = usize::try_from(to.checked_sub(offset)?).ok()?;
        let mut bytes = Vec::new();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.id.0.to_le_bytes());
        crc.update(&offset.to_le_bytes());
        let mut at = 0;
        while at + 4 < len {
            if at + 5 > bytes.len() {
                let have = bytes.len();
                bytes.resize((have + (64 << 10)).min(len), 0);
                let piece = bytes.get_mut(have..)?;
                self.file.read_exact_at(piece, offset + have as u64).ok()?;
            }
            let byte = bytes.get(at)?;
            crc.update(std::slice::from_ref(byte));
            at += 1;
            let ends_here = Encoding::from_u8(*byte).is_some() && at > 1;
            if ends_here && u32_at(&bytes, at) == Some(crc.clone().finalize()) {
                return Some(BlockHandle { offset, len: u32::try_from(at + 4).ok()? });
            }
        }
        None
    }

    /// The next entry that can be read; what is found damaged on the way is added to [`Self::gaps`].
    pub(crate) fn next(&mut self) -> Option<(Bytes, Tag, Bytes)> {
        loop {
            if let Some(iter) = &mut self.current {
                if let Some((key, tag)) = iter.key() {
                    let entry = (Bytes::copy_from_slice(key), tag, iter.value());
                    iter.next();
                    return Some(entry);
                }
                self.current = None;
            }
            let (handle, last_key) = self.blocks.next()?;
            match self.block(handle) {
                Ok(block) => {
                    let mut iter = BlockIter::new(block);
                    iter.seek_to_first();
                    self.current = Some(iter);
                }
                Err(error) => {
                    let (from, to) = (self.last_key.clone(), Some(last_key.clone()));
                    self.gaps.push(Gap { error, from, to });
                }
            }
            self.last_key = last_key;
        }
    }
}

/// The entries of an index.
fn handles(block: Bytes) -> Vec<(Bytes, BlockHandle)> {
    let mut iter = BlockIter::new(block);
    let mut found = Vec::new();
    iter.seek_to_first();
    while let Some((key, _)) = iter.key() {
        let key = Bytes::copy_from_slice(key);
        found.extend(BlockHandle::decode(&iter.value()).map(|handle| (key, handle)));
        iter.next();
    }
    found
}

/// The range tombstones of a block, if it is one of these.
fn range_tombstones(block: Bytes) -> Vec<RangeTombstone> {
    let mut iter = BlockIter::new(block);
    let mut found = Vec::new();
    iter.seek_to_first();
    while let Some((start, tag)) = iter.key() {
        if tag.kind() != Some(Kind::RangeTombstone) {
            return Vec::new();
        }
        let (start, end) = (Bytes::copy_from_slice(start), Bytes::copy_from_slice(&iter.value()));
        found.push(RangeTombstone { start, end, seqno: tag.seqno() });
        iter.next();
    }
    if iter.is_broken() { Vec::new() } else { found }
}

/// The last key of a block of data, and its entries; `None` if it is something else, or does not come after the one before.
fn ascending_data(block: Bytes, (key, tag): &(Bytes, Tag)) -> Option<((Bytes, Tag), u64)> {
    let mut iter = BlockIter::new(block);
    let (mut last, mut entries): (Option<(Bytes, Tag)>, u64) = (None, 0);
    iter.seek_to_first();
    while let Some((next, next_tag)) = iter.key() {
        let (before, before_tag) = last.as_ref().map_or((&key[..], *tag), |(key, tag)| (key, *tag));
        // Before the first of a walk only its key is known.
        let follows = match before_tag {
            Tag(0) => before <= next,
            _ => cmp_internal((before, before_tag), (next, next_tag)) == Ordering::Less,
        };
        if !follows || matches!(next_tag.kind(), None | Some(Kind::RangeTombstone)) {
            return None;
        }
        last = Some((Bytes::copy_from_slice(next), next_tag));
        entries += 1;
        iter.next();
    }
    last.filter(|_| !iter.is_broken()).map(|last| (last, entries))
}
