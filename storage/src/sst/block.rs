//! Blocks: building them, reading them from a file through the cache, searching them.

use super::format::{BLOCK_TRAILER_BYTES, BlockHandle, RESTART_INTERVAL};
use crate::coding::{Decoder, put_varint, seeded_crc, u32_at};
use crate::compress::{Encoding, compress_block, decompress};
use crate::options::TableCompression;
use crate::types::{FileId, Tag, cmp_internal};
use bytes::Bytes;
use std::cmp::Ordering;

/// Decoded blocks by file and offset, weighted by their bytes.
pub(crate) type BlockCache = quick_cache::sync::Cache<(FileId, u64), Bytes, BlockWeighter>;

#[derive(Clone)]
pub(crate) struct BlockWeighter;

impl quick_cache::Weighter<(FileId, u64), Bytes> for BlockWeighter {
    fn weight(&self, _: &(FileId, u64), block: &Bytes) -> u64 {
        block.len() as u64 + 64
    }
}

/// What a shard of the cache holds at least, if the budget allows one shard of that: the filter of a table of many small entries must
/// fit into one.
const SHARD_BYTES_MIN: usize = 4 << 20;
const SHARDS_MAX: usize = 64;

/// A cache of so many bytes.
pub(crate) fn block_cache(bytes: usize) -> BlockCache {
    let mut options = quick_cache::OptionsBuilder::new();
    options.estimated_items_capacity((bytes / 4096).max(16)).weight_capacity(bytes as u64);
    // Rounded up to a power of two by the cache.
    options.shards((bytes / (2 * SHARD_BYTES_MIN)).clamp(1, SHARDS_MAX));
    #[expect(clippy::expect_used, reason = "it refuses only options that are not set, or are no fraction")]
    let options = options.build().expect("both capacities are set");
    BlockCache::with_options(options, BlockWeighter, Default::default(), Default::default())
}

/// Collects entries in key order into the payload of a block.
#[derive(Default)]
pub(super) struct BlockBuilder {
    payload: Vec<u8>,
    restarts: Vec<u32>,
    last_key: Vec<u8>,
    entries: usize,
}

impl BlockBuilder {
    pub(super) fn add(&mut self, user_key: &[u8], tag: Tag, value: &[u8]) {
        let mut key = Vec::with_capacity(user_key.len() + Tag::LEN);
        key.extend_from_slice(user_key);
        key.extend_from_slice(&tag.0.to_le_bytes());
        let shared = if self.entries.is_multiple_of(RESTART_INTERVAL) {
            self.restarts.push(self.payload.len() as u32);
            0
        } else {
            key.iter().zip(&self.last_key).take_while(|(a, b)| a == b).count()
        };
        put_varint(&mut self.payload, shared as u64);
        put_varint(&mut self.payload, (key.len() - shared) as u64);
        put_varint(&mut self.payload, value.len() as u64);
        self.payload.extend_from_slice(&key[shared..]);
        self.payload.extend_from_slice(value);
        self.last_key = key;
        self.entries += 1;
    }

    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + 4 * self.restarts.len() + 4
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The payload; the builder is empty again.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut payload = std::mem::take(&mut self.payload);
        for restart in &self.restarts {
            payload.extend_from_slice(&restart.to_le_bytes());
        }
        payload.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        *self = Self::default();
        payload
    }
}

/// A payload as it goes to the file: compressed if that pays, with its trailer.
pub(super) fn seal_block(
    file: FileId,
    offset: u64,
    payload: &[u8],
    compression: TableCompression,
) -> Vec<u8> {
    let (encoding, bytes) = compress_block(payload, compression);
    let mut out = Vec::with_capacity(bytes.len() + 4 + BLOCK_TRAILER_BYTES);
    if encoding != Encoding::Raw {
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(&bytes);
    out.push(encoding as u8);
    let crc = seeded_crc(file, offset, &[&out]);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The payload of a block as read from the file, or what is wrong with it.
pub(super) fn open_block(file: FileId, handle: BlockHandle, bytes: Vec<u8>) -> Result<Bytes, &'static str> {
    let body_len = bytes.len().checked_sub(4).ok_or("a block is too short")?;
    let (body, crc) = bytes.split_at(body_len);
    if u32_at(crc, 0) != Some(seeded_crc(file, handle.offset, &[body])) {
        return Err("a block's checksum does not hold");
    }
    let (encoding, stored) = body.split_last().ok_or("a block is too short")?;
    let encoding = Encoding::from_u8(*encoding).ok_or("a block has an unknown compression")?;
    if encoding == Encoding::Raw {
        let len = stored.len();
        return Ok(Bytes::from(bytes).slice(..len));
    }
    let len = u32_at(stored, 0).ok_or("a block is too short")? as usize;
    let compressed = stored.get(4..).unwrap_or_default();
    decompress(encoding, compressed, len).map(Bytes::from).ok_or("a block does not decompress")
}

/// A cursor over the entries of a payload. Stops at the end, or at the first entry that makes no sense; the latter sets
/// [`BlockIter::is_broken`], which can only be a bug or an unknown format, as the checksum held.
pub(super) struct BlockIter {
    block: Bytes,
    restarts_at: usize,
    restarts: usize,
    /// Where the entry after the current one begins.
    next: usize,
    key: Vec<u8>,
    value: (usize, usize),
    valid: bool,
    broken: bool,
}

impl BlockIter {
    pub(super) fn new(block: Bytes) -> Self {
        let restarts = block.len().checked_sub(4).and_then(|at| u32_at(&block, at)).map_or(0, |n| n as usize);
        let restarts_at =
            restarts.checked_mul(4).and_then(|bytes| block.len().checked_sub(4)?.checked_sub(bytes));
        Self {
            broken: restarts_at.is_none() || restarts == 0,
            restarts_at: restarts_at.unwrap_or(0),
            restarts,
            block,
            next: 0,
            key: Vec::new(),
            value: (0, 0),
            valid: false,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) fn key(&self) -> Option<(&[u8], Tag)> {
        if self.valid { split_key(&self.key) } else { None }
    }

    pub(super) fn value(&self) -> Bytes {
        self.block.slice(self.value.0..self.value.1)
    }

    pub(super) fn seek_to_first(&mut self) {
        self.next = 0;
        self.key.clear();
        self.next();
    }

    pub(super) fn next(&mut self) {
        self.valid = false;
        if self.broken || self.next >= self.restarts_at {
            return;
        }
        let parsed = self.parse();
        self.valid = parsed.is_some();
        self.broken = parsed.is_none();
    }

    fn parse(&mut self) -> Option<()> {
        let entries = self.block.get(..self.restarts_at)?;
        let mut decoder = Decoder::new(entries.get(self.next..)?);
        let shared = usize::try_from(decoder.varint()?).ok()?;
        let unshared = usize::try_from(decoder.varint()?).ok()?;
        let value_len = usize::try_from(decoder.varint()?).ok()?;
        let suffix = decoder.take(unshared)?;
        decoder.take(value_len)?;
        if shared > self.key.len() || shared + unshared < Tag::LEN {
            return None;
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        let end = self.restarts_at - decoder.remaining();
        self.value = (end - value_len, end);
        self.next = end;
        Some(())
    }

    /// Goes to the first entry at or after an internal key: halves the restarts, then walks at most 16 entries.
    pub(super) fn seek(&mut self, user_key: &[u8], tag: Tag) {
        let (mut low, mut high) = (0, self.restarts);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match self.restart_is_before(middle, user_key, tag) {
                Some(true) => low = middle,
                Some(false) => high = middle,
                None => {
                    self.broken = true;
                    self.valid = false;
                    return;
                }
            }
        }
        self.next = u32_at(&self.block, self.restarts_at + 4 * low).map_or(0, |at| at as usize);
        self.key.clear();
        self.next();
        while self.key().is_some_and(|key| cmp_internal(key, (user_key, tag)) == Ordering::Less) {
            self.next();
        }
    }

    fn restart_is_before(&self, restart: usize, user_key: &[u8], tag: Tag) -> Option<bool> {
        let at = u32_at(&self.block, self.restarts_at + 4 * restart)? as usize;
        let mut decoder = Decoder::new(self.block.get(at..self.restarts_at)?);
        let _shared = decoder.varint()?;
        let unshared = usize::try_from(decoder.varint()?).ok()?;
        let _value_len = decoder.varint()?;
        let key = split_key(decoder.take(unshared)?)?;
        Some(cmp_internal(key, (user_key, tag)) == Ordering::Less)
    }
}

fn split_key(key: &[u8]) -> Option<(&[u8], Tag)> {
    let (user_key, tag) = key.split_at_checked(key.len().checked_sub(Tag::LEN)?)?;
    Some((user_key, Tag(u64::from_le_bytes(tag.try_into().ok()?))))
}
