//! Blocks: building them, reading them from a file through the cache, searching them.

use super::format::{BLOCK_TRAILER_BYTES, BlockHandle, RESTART_INTERVAL};
use crate::coding::{Decoder, put_varint, seeded_crc, u32_at};
use crate::compress::{Encoding, compress_block, decompress};
use crate::options::TableCompression;
use crate::types::{FileId, Tag, cmp_internal};
use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::Range;

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
        let shared = if self.entries.is_multiple_of(RESTART_INTERVAL) {
            self.restarts.push(self.payload.len() as u32);
            0
        } else {
            common_prefix(user_key, &self.last_key)
        };
        put_varint(&mut self.payload, shared as u64);
        put_varint(&mut self.payload, (user_key.len() - shared) as u64);
        put_varint(&mut self.payload, value.len() as u64);
        self.payload.extend_from_slice(&user_key[shared..]);
        self.payload.extend_from_slice(&tag.0.to_le_bytes());
        self.payload.extend_from_slice(value);
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&user_key[shared..]);
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

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The two parts of a payload: entries, and where those that are stored whole begin.
#[derive(Clone, Copy)]
struct Payload<'a> {
    entries: &'a [u8],
    restarts: &'a [u8],
}

/// An entry as it lies in a payload; positions count from the payload's beginning.
struct RawEntry<'a> {
    shared: usize,
    suffix: &'a [u8],
    tag: Tag,
    value: Range<usize>,
}

impl<'a> Payload<'a> {
    /// `None` if the payload makes no sense.
    fn new(block: &'a [u8]) -> Option<Self> {
        let (rest, count) = block.split_at_checked(block.len().checked_sub(4)?)?;
        let restarts_bytes = (u32_at(count, 0)? as usize).checked_mul(4).filter(|bytes| *bytes > 0)?;
        let (entries, restarts) = rest.split_at_checked(rest.len().checked_sub(restarts_bytes)?)?;
        Some(Self { entries, restarts })
    }

    fn restarts(self) -> usize {
        self.restarts.len() / 4
    }

    fn restart(self, n: usize) -> Option<usize> {
        u32_at(self.restarts, 4 * n).map(|at| at as usize)
    }

    fn entry(self, at: usize) -> Option<RawEntry<'a>> {
        let mut decoder = Decoder::new(self.entries.get(at..)?);
        let shared = usize::try_from(decoder.varint()?).ok()?;
        let unshared = usize::try_from(decoder.varint()?).ok()?;
        let value_len = usize::try_from(decoder.varint()?).ok()?;
        let suffix = decoder.take(unshared)?;
        let tag = Tag(decoder.u64()?);
        decoder.take(value_len)?;
        let end = self.entries.len() - decoder.remaining();
        Some(RawEntry { shared, suffix, tag, value: end - value_len..end })
    }

    /// Where the last whole entry before an internal key begins, or the first entry if there is none. O(log n).
    fn restart_before(self, user_key: &[u8], tag: Tag) -> Option<usize> {
        let (mut low, mut high) = (0, self.restarts());
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(self.restart(middle)?)?;
            match cmp_internal((entry.suffix, entry.tag), (user_key, tag)) {
                Ordering::Less => low = middle,
                _ => high = middle,
            }
        }
        self.restart(low)
    }
}

/// A block's entries make no sense although its checksum held: a bug, or a format that this program does not know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What [`find`] found: the first entry at or after an internal key.
pub(super) struct Hit {
    /// Whether it is of the user key that was asked for.
    pub same_key: bool,
    pub tag: Tag,
    pub value: Range<usize>,
}

/// The first entry of a payload at or after an internal key, without a copy of any key: halves the restarts, then walks at most
/// 16 entries.
///
/// While walking, `matched` is how much of the user key the entry before begins with; it is less than what is looked for. An entry that
/// shares more than that with it is less at the same byte; else its suffix is compared with the rest.
pub(super) fn find(block: &[u8], user_key: &[u8], tag: Tag) -> Result<Option<Hit>, Broken> {
    let payload = Payload::new(block).ok_or(Broken)?;
    let mut at = payload.restart_before(user_key, tag).ok_or(Broken)?;
    let mut matched = 0;
    while at < payload.entries.len() {
        let entry = payload.entry(at).ok_or(Broken)?;
        at = entry.value.end;
        if entry.shared > matched {
            continue;
        }
        let rest = user_key.get(entry.shared..).ok_or(Broken)?;
        matched = entry.shared + common_prefix(entry.suffix, rest);
        let order = entry.suffix.cmp(rest);
        if order.then_with(|| tag.cmp(&entry.tag)) != Ordering::Less {
            let same_key = order == Ordering::Equal;
            return Ok(Some(Hit { same_key, tag: entry.tag, value: entry.value }));
        }
    }
    Ok(None)
}

/// A cursor over the entries of a payload, forward and backward. Stops at the ends, or at the first entry that makes no sense; the latter
/// sets [`BlockIter::is_broken`].
///
/// Entries can only be read forward from one that is stored whole. So the first step back reads the run that the cursor is in from its
/// beginning and remembers its entries; the following steps take them from there.
pub(super) struct BlockIter {
    block: Bytes,
    /// Where the entries end.
    end: usize,
    /// Where the current entry begins (`end`: past the last), and where the one after it does.
    at: usize,
    next: usize,
    key: Vec<u8>,
    tag: Tag,
    value: Range<usize>,
    valid: bool,
    broken: bool,
    /// Entries before the current one, up to a whole one, and their keys one after the other.
    behind: Vec<Behind>,
    behind_keys: Vec<u8>,
}

struct Behind {
    at: usize,
    key_at: usize,
    tag: Tag,
    value: Range<usize>,
}

impl BlockIter {
    /// Not yet anywhere: seek first.
    pub(super) fn new(block: Bytes) -> Self {
        let end = Payload::new(&block).map(|payload| payload.entries.len());
        Self {
            broken: end.is_none(),
            end: end.unwrap_or(0),
            block,
            at: 0,
            next: 0,
            key: Vec::new(),
            tag: Tag::default(),
            value: 0..0,
            valid: false,
            behind: Vec::new(),
            behind_keys: Vec::new(),
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) fn key(&self) -> Option<(&[u8], Tag)> {
        self.valid.then_some((&self.key[..], self.tag))
    }

    pub(super) fn value(&self) -> Bytes {
        self.block.slice(self.value.clone())
    }

    /// Memory of the block and of the keys beside it.
    pub(super) fn held_bytes(&self) -> usize {
        let behind = self.behind.capacity() * size_of::<Behind>() + self.behind_keys.capacity();
        self.block.len() + self.key.capacity() + behind
    }

    pub(super) fn seek_to_first(&mut self) {
        self.go_to(0);
    }

    pub(super) fn seek_to_last(&mut self) {
        self.forget_behind();
        self.at = self.end;
        self.prev();
    }

    /// Goes to the first entry at or after an internal key: halves the restarts, then walks at most 16 entries.
    pub(super) fn seek(&mut self, user_key: &[u8], tag: Tag) {
        match Payload::new(&self.block).and_then(|payload| payload.restart_before(user_key, tag)) {
            Some(at) => self.go_to(at),
            None => (self.broken, self.valid) = (true, false),
        }
        while self.key().is_some_and(|key| cmp_internal(key, (user_key, tag)) == Ordering::Less) {
            self.next();
        }
    }

    /// Goes to the last entry before an internal key.
    pub(super) fn seek_before(&mut self, user_key: &[u8], tag: Tag) {
        self.seek(user_key, tag);
        self.prev();
    }

    /// To an entry that is stored whole.
    fn go_to(&mut self, at: usize) {
        self.next = at;
        self.key.clear();
        self.next();
    }

    pub(super) fn next(&mut self) {
        self.forget_behind();
        self.at = self.next;
        self.valid = false;
        if !self.broken && self.at < self.end {
            self.valid = self.read().is_some();
            self.broken = !self.valid;
        }
    }

    pub(super) fn prev(&mut self) {
        self.valid = false;
        if self.broken {
            return;
        }
        if self.behind.is_empty() && self.at > 0 && self.look_behind().is_none() {
            self.broken = true;
            return;
        }
        let Some(entry) = self.behind.pop() else { return };
        self.key.clear();
        self.key.extend(self.behind_keys.drain(entry.key_at..));
        self.next = entry.value.end;
        (self.at, self.tag, self.value) = (entry.at, entry.tag, entry.value);
        self.valid = true;
    }

    fn forget_behind(&mut self) {
        self.behind.clear();
        self.behind_keys.clear();
    }

    /// Reads the entry at `at`; `key` is that of the entry before.
    fn read(&mut self) -> Option<()> {
        let entry = Payload::new(&self.block)?.entry(self.at)?;
        if entry.shared > self.key.len() {
            return None;
        }
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(entry.suffix);
        self.next = entry.value.end;
        (self.tag, self.value) = (entry.tag, entry.value);
        Some(())
    }

    /// Remembers the entries from the last whole one before `at` up to it.
    fn look_behind(&mut self) -> Option<()> {
        let end = self.at;
        let payload = Payload::new(&self.block)?;
        let (mut low, mut high) = (0, payload.restarts());
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if payload.restart(middle)? < end { low = middle } else { high = middle }
        }
        self.next = payload.restart(low)?;
        self.key.clear();
        while self.next < end {
            self.at = self.next;
            self.read()?;
            let key_at = self.behind_keys.len();
            self.behind_keys.extend_from_slice(&self.key);
            self.behind.push(Behind { at: self.at, key_at, tag: self.tag, value: self.value.clone() });
        }
        (self.next == end).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Kind, Seqno};
    use proptest::prelude::*;
    use std::cmp::Reverse;
    use std::collections::BTreeMap;

    type Entries = BTreeMap<(Vec<u8>, Reverse<Tag>), Vec<u8>>;

    fn entries() -> impl Strategy<Value = Entries> {
        let key = prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0xff)], 0..7);
        let tag = (0u64..6).prop_map(|seqno| Reverse(Tag::new(Seqno(seqno), Kind::Value)));
        prop::collection::btree_map((key, tag), prop::collection::vec(any::<u8>(), 0..5), 1..120)
    }

    fn build(entries: &Entries) -> Bytes {
        let mut builder = BlockBuilder::default();
        entries.iter().for_each(|((key, tag), value)| builder.add(key, tag.0, value));
        builder.finish().into()
    }

    proptest! {
        #[test]
        fn a_block_answers_like_a_map(
            entries in entries(),
            key in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0xff)], 0..7),
            seqno in 0u64..7,
        ) {
            let block = build(&entries);
            let tag = Tag::seek(Seqno(seqno));
            let mut iter = BlockIter::new(block.clone());
            let at = |iter: &BlockIter| iter.key().map(|(key, tag)| ((key.to_vec(), Reverse(tag)), iter.value().to_vec()));
            let pairs = |entry: (&(Vec<u8>, Reverse<Tag>), &Vec<u8>)| (entry.0.clone(), entry.1.clone());
            let target = (key.clone(), Reverse(tag));

            iter.seek(&key, tag);
            for expected in entries.range(target.clone()..) {
                prop_assert_eq!(at(&iter), Some(pairs(expected)));
                iter.next();
            }
            prop_assert_eq!(at(&iter), None);

            iter.seek_before(&key, tag);
            for expected in entries.range(..target.clone()).rev() {
                prop_assert_eq!(at(&iter), Some(pairs(expected)));
                iter.prev();
            }
            prop_assert_eq!(at(&iter), None);

            iter.seek_to_last();
            prop_assert_eq!(at(&iter), entries.last_key_value().map(pairs));
            iter.seek_to_first();
            prop_assert_eq!(at(&iter), entries.first_key_value().map(pairs));
            prop_assert!(!iter.is_broken());

            let hit = find(&block, &key, tag).unwrap();
            let expected = entries.range(target..).next();
            let found = hit.map(|hit| (hit.same_key, hit.tag, block[hit.value].to_vec()));
            prop_assert_eq!(found, expected.map(|((k, t), value)| (*k == key, t.0, value.clone())));
        }

        #[test]
        fn a_cursor_turns_round(entries in entries(), steps: Vec<bool>) {
            let mut iter = BlockIter::new(build(&entries));
            let all: Vec<_> = entries.keys().collect();
            iter.seek_to_first();
            let mut at = 0usize;
            for forward in steps {
                at = if forward { (at + 1).min(all.len()) } else { at.saturating_sub(1) };
                if forward {
                    iter.next();
                } else if at > 0 || iter.at > 0 {
                    iter.prev();
                }
                let found = iter.key().map(|(key, tag)| (key.to_vec(), Reverse(tag)));
                prop_assert_eq!(found.as_ref(), all.get(at).copied());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, key: Vec<u8>) {
            let _ = find(&bytes, &key, Tag(7));
            let mut iter = BlockIter::new(bytes.into());
            iter.seek(&key, Tag(7));
            (0..50).for_each(|_| iter.next());
            iter.seek_before(&key, Tag(7));
            (0..50).for_each(|_| iter.prev());
            iter.seek_to_last();
        }
    }
}
