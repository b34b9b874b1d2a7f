//! An insert-only skiplist in an arena: the inside of the memtable.
//!
//! What costs in a skiplist is the layout of its nodes: a search touches some twenty of them, and each touch of memory that is not in
//! the processor's cache is a wait. So a node is one run of words: links, lengths, tag, key and value side by side (Pebble's `arenaskl`).
//! The arena is made of `AtomicU64`: a word is written before the link that leads to it is published (release), and read after the
//! link was (acquire); plain loads and stores on the usual processors, and no `unsafe`.
//!
//! ```text
//! node := link of level h-1 … link of level 0 | keyspace u32, key length u32 | tag | key words | value length | value words
//!                                              ▲ a node's reference points here: chunk number u32, word in the chunk u32
//! ```
//!
//! Key words are big-endian and padded with zeros: comparing them as numbers compares the keys as bytes, up to the padding; if all words
//! that both have are equal, the shorter key is the lesser. Example: `a` < `a\0` < `b` are `61 00…`, `61 00…`, `62 00…`: the first two differ
//! in length only.
//!
//! Nodes are linked from the bottom up, each level with one compare-and-swap; a thread that loses one looks again from where it was, as
//! nothing is ever removed. A search gives the nodes before and after a key, so cursors can go both ways. Keys are unique (the tag holds the sequence number), so equal nodes need no thought. The height of a node
//! comes from a hash of its tag.

use crate::types::{KeyspaceId, Tag};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::cmp::Ordering;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};

/// Half the nodes of a level are in the next one, too: enough for 2²⁰ entries, and no wrong for more. A quarter would save a tenth of the
/// links and visit a quarter more nodes.
const HEIGHT_MAX: usize = 20;
const CHUNK_WORDS_MIN: usize = 512;
/// A new chunk has at least an eighth of all words so far, so this many hold more than any memory.
const CHUNKS_MAX: usize = 256;
/// Lengths, keyspace and tag.
const HEAD_WORDS: usize = 2;
const WORD_BYTES: usize = 8;
/// From here on copying a value out of words at every read costs more than a buffer of its own does.
const LARGE_VALUE_BYTES: usize = 1024;
/// In the place of a value's length: the rest is its number among the large ones.
const IS_LARGE: u64 = 1 << 63;

type Chunk = Box<[AtomicU64]>;

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeRef(u64);

impl NodeRef {
    /// Word 0 of chunk 0 is a link of the list's head.
    const NONE: Self = Self(0);
    /// Where the links of all levels begin.
    const HEAD: Self = Self(HEIGHT_MAX as u64);

    fn new(chunk: usize, word: usize) -> Self {
        Self((chunk as u64) << 32 | word as u64)
    }

    fn chunk(self) -> usize {
        (self.0 >> 32) as usize
    }

    fn word(self) -> usize {
        self.0 as u32 as usize
    }

    fn present(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// An internal key, cut into words for comparing.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    keyspace: KeyspaceId,
    tag: Tag,
    key_len: usize,
    whole: &'a [[u8; WORD_BYTES]],
    /// The rest of the key, padded.
    tail: Option<u64>,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(keyspace: KeyspaceId, user_key: &'a [u8], tag: Tag) -> Self {
        let (whole, rest) = user_key.as_chunks();
        let tail = (!rest.is_empty()).then(|| u64::from_be_bytes(padded(rest)));
        Self { keyspace, tag, key_len: user_key.len(), whole, tail }
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.whole.iter().map(|word| u64::from_be_bytes(*word)).chain(self.tail)
    }
}

fn padded(rest: &[u8]) -> [u8; WORD_BYTES] {
    let mut word = [0; WORD_BYTES];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    word
}

/// See the module.
pub(crate) struct Skiplist {
    chunks: Box<[OnceLock<Chunk>]>,
    /// Where the next node goes: chunk number, word in the chunk.
    free: AtomicU64,
    /// Words of all chunks; who makes a new one holds it.
    allocated_words: Mutex<usize>,
    used_bytes: AtomicUsize,
    /// Levels that have nodes. May lag behind: who sees too few searches longer, and finds the same.
    levels: AtomicUsize,
    /// Values of at least [`LARGE_VALUE_BYTES`], which a node refers to by number.
    large: RwLock<Vec<Bytes>>,
}

impl Skiplist {
    pub(crate) fn new() -> Self {
        let list = Self {
            chunks: (0..CHUNKS_MAX).map(|_| OnceLock::new()).collect(),
            free: AtomicU64::new(HEIGHT_MAX as u64),
            allocated_words: Mutex::new(CHUNK_WORDS_MIN),
            used_bytes: AtomicUsize::new(0),
            levels: AtomicUsize::new(1),
            large: RwLock::default(),
        };
        if let Some(first) = list.chunks.first() {
            first.get_or_init(|| new_chunk(CHUNK_WORDS_MIN));
        }
        list
    }

    /// Bytes that the entries take, all that belongs to them included. The arena itself may be an eighth larger.
    pub(crate) fn bytes(&self) -> usize {
        self.used_bytes.load(Relaxed)
    }

    /// What an entry will take, if its height is 4: half of all nodes have 1, one in sixteen has more than 4.
    pub(crate) fn entry_bytes(key_len: usize, value_len: usize) -> usize {
        let words = 4 + HEAD_WORDS + key_len.div_ceil(WORD_BYTES) + 1 + value_len.div_ceil(WORD_BYTES);
        words * WORD_BYTES + if value_len < LARGE_VALUE_BYTES { 0 } else { size_of::<Bytes>() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.after(NodeRef::HEAD).is_none()
    }

    /// Adds an entry; its internal key must not be there. O(log n).
    pub(crate) fn insert(&self, key: &Probe, value: &[u8]) {
        let height = height(key.tag);
        let node = self.write_node(key, value, height);
        self.levels.fetch_max(height, Relaxed);
        let mut around = [(NodeRef::HEAD, NodeRef::NONE); HEIGHT_MAX];
        self.search(key, |level, before, after| {
            if let Some(place) = around.get_mut(level) {
                *place = (before, after);
            }
        });
        for (level, (before, after)) in around.into_iter().enumerate().take(height) {
            let (mut before, mut after) = (before, after);
            loop {
                self.link(node, level).store(after.0, Relaxed);
                if self.link(before, level).compare_exchange(after.0, node.0, Release, Relaxed).is_ok() {
                    break;
                }
                (before, after) = self.walk(key, level, before, NodeRef::NONE);
            }
        }
    }

    /// The first entry at or after a key. O(log n).
    pub(crate) fn at_or_after(&self, key: &Probe) -> Option<NodeRef> {
        let mut found = NodeRef::NONE;
        self.search(key, |_, _, after| found = after);
        found.present()
    }

    /// The last entry before a key. O(log n).
    pub(crate) fn before(&self, key: &Probe) -> Option<NodeRef> {
        let mut found = NodeRef::HEAD;
        self.search(key, |_, before, _| found = before);
        (found != NodeRef::HEAD).then_some(found)
    }

    /// The entry after another. O(1).
    pub(crate) fn after(&self, node: NodeRef) -> Option<NodeRef> {
        NodeRef(self.link(node, 0).load(Acquire)).present()
    }

    pub(crate) fn keyspace(&self, node: NodeRef) -> KeyspaceId {
        KeyspaceId((self.load(node, 0) >> 32) as u32)
    }

    pub(crate) fn tag(&self, node: NodeRef) -> Tag {
        Tag(self.load(node, 1))
    }

    /// Whether the entry is of this keyspace and user key.
    pub(crate) fn is_of(&self, node: NodeRef, key: &Probe) -> bool {
        cmp_user_key(self.words(node, 0), key) == Ordering::Equal
    }

    /// Puts the user key in place of what `out` held.
    pub(crate) fn copy_key(&self, node: NodeRef, out: &mut Vec<u8>) {
        let len = self.load(node, 0) as u32 as usize;
        out.clear();
        out.resize(len, 0);
        copy_words(self.words(node, HEAD_WORDS), out, u64::to_be_bytes);
    }

    /// The value: one allocation for a small one, none for a large one.
    pub(crate) fn value(&self, node: NodeRef) -> Bytes {
        let key_words = (self.load(node, 0) as u32 as usize).div_ceil(WORD_BYTES);
        let Some((len, words)) = self.words(node, HEAD_WORDS + key_words).split_first() else {
            return Bytes::new();
        };
        let len = len.load(Relaxed);
        if len & IS_LARGE != 0 {
            return self.large.read().get((len & !IS_LARGE) as usize).cloned().unwrap_or_default();
        }
        let mut out = vec![0; len as usize];
        copy_words(words, &mut out, u64::to_le_bytes);
        out.into()
    }

    /// Tells `visit`, from the top level down, between which two nodes a key belongs.
    fn search(&self, key: &Probe, mut visit: impl FnMut(usize, NodeRef, NodeRef)) {
        let (mut before, mut after) = (NodeRef::HEAD, NodeRef::NONE);
        for level in (0..self.levels.load(Relaxed)).rev() {
            (before, after) = self.walk(key, level, before, after);
            visit(level, before, after);
        }
    }

    /// From `before` along a level to where a key belongs. `known` is a node that is not less than the key, as found a level above.
    #[inline]
    fn walk(&self, key: &Probe, level: usize, mut before: NodeRef, known: NodeRef) -> (NodeRef, NodeRef) {
        let mut link = self.link(before, level);
        loop {
            let next = NodeRef(link.load(Acquire));
            if next == known || next == NodeRef::NONE {
                return (before, next);
            }
            // The chunk is looked up once a node: this loop is where the time goes.
            let chunk = self.chunk(next);
            if cmp_internal(chunk.get(next.word()..).unwrap_or_default(), key) != Ordering::Less {
                return (before, next);
            }
            link = link_in(chunk, next, level);
            before = next;
        }
    }

    fn write_node(&self, key: &Probe, value: &[u8], height: usize) -> NodeRef {
        let (len, inline) = match value.len() {
            LARGE_VALUE_BYTES.. => (self.keep_large(value), &[][..]),
            len => (len as u64, value),
        };
        let (whole, rest) = inline.as_chunks();
        let tail = (!rest.is_empty()).then(|| u64::from_le_bytes(padded(rest)));
        let key_words = key.key_len.div_ceil(WORD_BYTES);
        let (chunk, at) =
            self.allocate(height + HEAD_WORDS + key_words + 1 + inline.len().div_ceil(WORD_BYTES));
        let node = NodeRef::new(chunk, at + height);
        let head = [u64::from(key.keyspace.0) << 32 | key.key_len as u64, key.tag.0];
        let value = whole.iter().map(|word| u64::from_le_bytes(*word)).chain(tail);
        let places = self.words(node, 0);
        for (place, word) in places.iter().zip(head.into_iter().chain(key.words()).chain([len])) {
            place.store(word, Relaxed);
        }
        let places = places.get(HEAD_WORDS + key_words + 1..).unwrap_or_default();
        for (place, word) in places.iter().zip(value) {
            place.store(word, Relaxed);
        }
        node
    }

    /// Copies a large value, so that no more than it is held, and gives what stands for it in a node.
    fn keep_large(&self, value: &[u8]) -> u64 {
        let value = Bytes::copy_from_slice(value);
        self.used_bytes.fetch_add(value.len() + size_of::<Bytes>(), Relaxed);
        let mut large = self.large.write();
        large.push(value);
        IS_LARGE | (large.len() - 1) as u64
    }

    /// A run of words that nobody else writes to.
    fn allocate(&self, words: usize) -> (usize, usize) {
        self.used_bytes.fetch_add(words * WORD_BYTES, Relaxed);
        loop {
            let free = NodeRef(self.free.load(Acquire));
            let end = free.word() + words;
            if end <= self.chunk(free).len() {
                let next = NodeRef::new(free.chunk(), end);
                if self.free.compare_exchange_weak(free.0, next.0, Release, Relaxed).is_ok() {
                    return (free.chunk(), free.word());
                }
            } else {
                self.add_chunk(free.chunk(), words);
            }
        }
    }

    /// Puts a chunk for at least `words` after the one that is full, unless another thread did.
    fn add_chunk(&self, full: usize, words: usize) {
        let mut allocated = self.allocated_words.lock();
        if NodeRef(self.free.load(Acquire)).chunk() != full {
            return;
        }
        let words = words.max(*allocated / 8).max(CHUNK_WORDS_MIN);
        let next = self.chunks.get(full + 1);
        assert!(next.is_some(), "256 chunks, each an eighth larger than the last, hold more than any memory");
        if let Some(next) = next {
            next.get_or_init(|| new_chunk(words));
        }
        *allocated += words;
        self.free.store(NodeRef::new(full + 1, 0).0, Release);
    }

    fn chunk(&self, at: NodeRef) -> &[AtomicU64] {
        self.chunks.get(at.chunk()).and_then(OnceLock::get).map_or(&[], |chunk| chunk)
    }

    /// The words of a node from its reference on, without its links; what follows the node is not cut off.
    fn words(&self, node: NodeRef, from: usize) -> &[AtomicU64] {
        self.chunk(node).get(node.word() + from..).unwrap_or_default()
    }

    fn load(&self, node: NodeRef, word: usize) -> u64 {
        self.words(node, word).first().map_or(0, |word| word.load(Relaxed))
    }

    fn link(&self, node: NodeRef, level: usize) -> &AtomicU64 {
        link_in(self.chunk(node), node, level)
    }
}

fn link_in(chunk: &[AtomicU64], node: NodeRef, level: usize) -> &AtomicU64 {
    /// For a level that a node does not have; nobody asks.
    static NOWHERE: AtomicU64 = AtomicU64::new(0);
    chunk.get(node.word().wrapping_sub(level + 1)).unwrap_or(&NOWHERE)
}

/// The order of a node and a key.
#[inline]
fn cmp_internal(node: &[AtomicU64], key: &Probe) -> Ordering {
    let tag = || node.get(1).map_or(0, |tag| tag.load(Relaxed));
    cmp_user_key(node, key).then_with(|| key.tag.0.cmp(&tag()))
}

/// The order of a node and a key, whatever their tags.
#[inline]
fn cmp_user_key(node: &[AtomicU64], key: &Probe) -> Ordering {
    let Some((lengths, [_tag, words @ ..])) = node.split_first() else { return Ordering::Less };
    let lengths = lengths.load(Relaxed);
    let keyspace = ((lengths >> 32) as u32).cmp(&key.keyspace.0);
    if keyspace != Ordering::Equal {
        return keyspace;
    }
    let key_len = lengths as u32 as usize;
    let words = words.get(..key_len.div_ceil(WORD_BYTES)).unwrap_or_default();
    for (word, whole) in words.iter().zip(key.whole) {
        let order = word.load(Relaxed).cmp(&u64::from_be_bytes(*whole));
        if order != Ordering::Equal {
            return order;
        }
    }
    if let (Some(word), Some(tail)) = (words.get(key.whole.len()), key.tail) {
        let order = word.load(Relaxed).cmp(&tail);
        if order != Ordering::Equal {
            return order;
        }
    }
    key_len.cmp(&key.key_len)
}

fn new_chunk(words: usize) -> Chunk {
    std::iter::repeat_with(AtomicU64::default).take(words).collect()
}

/// Fills `out` from words; the last may be cut.
fn copy_words(words: &[AtomicU64], out: &mut [u8], to_bytes: fn(u64) -> [u8; WORD_BYTES]) {
    let (whole, rest) = out.as_chunks_mut();
    for (to, word) in whole.iter_mut().zip(words) {
        *to = to_bytes(word.load(Relaxed));
    }
    if let Some(word) = words.get(whole.len()) {
        for (to, byte) in rest.iter_mut().zip(to_bytes(word.load(Relaxed))) {
            *to = byte;
        }
    }
}

/// 1 with one chance in two, 2 with one in four, and so on. From the tag, through the finaliser of splitmix64.
fn height(tag: Tag) -> usize {
    let mut hash = tag.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    (1 + hash.trailing_zeros() as usize).min(HEIGHT_MAX)
}

#[cfg(test)]
mod tests;
