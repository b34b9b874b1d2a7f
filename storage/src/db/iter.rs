//! Iterators over a range of keys as of a snapshot, from both ends.
//!
//! An iterator has a merge for each end, made when that end is first asked. What each gives narrows the range that is left, so that they
//! meet without knowing of each other: after `next` gave `c`, what is left begins after `c`; after `next_back` gave `x`, it ends before `x`.
//!
//! A merge gives all versions of a key. Going forward the newest comes first: the first that the snapshot may see decides, the others are passed
//! over. Going backward the oldest comes first: the last that the snapshot may see decides. Example, snapshot at 20, versions `a@10 b@30 b@15
//! b@5`: forward `b@30` is too new, `b@15` decides, `b@5` is passed over; backward `b@5`, then `b@15` are candidates, `b@30` is too new, and so
//! `b@15` decided. If a range tombstone that the snapshot may see is newer than the version that decided, there is no such key. Of a key that has many versions only some are walked; then a seek goes past the others.

use super::entry::Entry;
use super::iterators::{End, Registered};
use super::read::after_prefix;
use super::snapshot::Reading;
use super::{Keyspace, Snapshot};
use crate::error::{Error, Result};
use crate::merge::{MergeIter, sources};
use crate::ranges::RangeView;
use crate::types::{KeyspaceId, Tag};
use bytes::Bytes;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

/// After passing over so many entries one by one, a seek costs less than going on.
const STEPS_MAX: usize = 16;

/// The entries of a range, as of a snapshot, ascending; from the other end with [`Iterator::rev`] or [`DoubleEndedIterator::next_back`].
/// Values of blobs are read only when asked for.
///
/// After an error it ends. It keeps what it reads from, memory and files, until it is dropped.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let users = db.keyspace("users", KeyspaceOptions::default())?;
/// for name in ["alice", "bob", "carol", "dave"] {
///     users.put(name, "")?;
/// }
/// let mut iter = users.range(b"b".to_vec()..);
/// assert_eq!(iter.next().unwrap()?.key(), "bob");
/// assert_eq!(iter.next_back().unwrap()?.key(), "dave");
/// assert_eq!(iter.next().unwrap()?.key(), "carol");
/// assert!(iter.next().is_none() && iter.next_back().is_none());
///
/// let newest = users.prefix(b"").rev().next().unwrap()?;
/// assert_eq!(newest.key(), "dave");
/// # Ok::<(), Error>(())
/// ```
pub struct Iter {
    // Before the database, which `registered` keeps open and locked: the tables that this is the last to hold are unlinked first.
    front: Option<MergeIter>,
    back: Option<MergeIter>,
    registered: Registered,
    keyspace: KeyspaceId,
    /// The range tombstones as of the snapshot, and maybe newer ones; `None` if there are none.
    ranges: Option<Arc<RangeView>>,
    snapshot: Snapshot,
    /// Where the range begins that was asked for.
    start: Bound<Vec<u8>>,
    /// What is left of the range.
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
    /// Why there is nothing to iterate over; told by the first step.
    refused: Option<Error>,
    done: bool,
    failed: bool,
}

fn is_below(key: &[u8], low: &Bound<Vec<u8>>) -> bool {
    match low {
        Bound::Included(low) => key < &low[..],
        Bound::Excluded(low) => key <= &low[..],
        Bound::Unbounded => false,
    }
}

fn is_above(key: &[u8], high: &Bound<Vec<u8>>) -> bool {
    match high {
        Bound::Included(high) => key > &high[..],
        Bound::Excluded(high) => key >= &high[..],
        Bound::Unbounded => false,
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &key[..])
}

/// Makes a bound exclude a key, in the memory that it has.
fn exclude(bound: &mut Bound<Vec<u8>>, key: &[u8]) {
    let mut memory = match std::mem::replace(bound, Bound::Unbounded) {
        Bound::Included(memory) | Bound::Excluded(memory) => memory,
        Bound::Unbounded => Vec::new(),
    };
    memory.clear();
    memory.extend_from_slice(key);
    *bound = Bound::Excluded(memory);
}

impl Iter {
    pub(super) fn new(
        snapshot: Snapshot,
        keyspace: &Keyspace,
        start: Bound<Vec<u8>>,
        end: Bound<Vec<u8>>,
    ) -> Self {
        let is_own = snapshot.inner(keyspace).map(drop);
        let registered = Registered::new(&keyspace.db().inner);
        let (keyspace, state) = (keyspace.id(), registered.state());
        let refused = is_own.and_then(|()| state.check_readable(keyspace, Some(snapshot.seqno()))).err();
        let ranges = Some(state.range_view(keyspace)).filter(|ranges| !ranges.is_empty()).map(Arc::new);
        Self {
            front: None,
            back: None,
            ranges,
            registered,
            keyspace,
            snapshot,
            low: start.clone(),
            start,
            high: end,
            refused,
            done: false,
            failed: false,
        }
    }

    pub(super) fn prefix(snapshot: Snapshot, keyspace: &Keyspace, prefix: &[u8]) -> Self {
        let end = after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        Self::new(snapshot, keyspace, Bound::Included(prefix.to_vec()), end)
    }

    /// Lets [`Iterator::next`] go on with the first key at or after `key`, before or after where it was; never outside of the range, and
    /// never with what the other end has given.
    ///
    /// Complexity: at the next step, O(log entries) for each table and memtable that can have the key.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// for name in ["alice", "bob", "carol", "dave"] {
    ///     users.put(name, "")?;
    /// }
    /// let mut iter = users.range(..);
    /// iter.seek(b"bz");
    /// assert_eq!(iter.next().unwrap()?.key(), "carol");
    /// iter.seek(b"");
    /// assert_eq!(iter.next().unwrap()?.key(), "alice");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn seek(&mut self, key: &[u8]) {
        self.low =
            if is_below(key, &self.start) { self.start.clone() } else { Bound::Included(key.to_vec()) };
        self.front = None;
        self.done = self.failed;
    }

    fn merge(&self, low: &Bound<Vec<u8>>) -> MergeIter {
        let hidden = self.ranges.clone().map(|ranges| (ranges, self.snapshot.seqno()));
        MergeIter::new(sources(
            self.registered.state(),
            self.keyspace,
            (as_slice(low), as_slice(&self.high)),
            hidden,
        ))
    }

    /// Whether the version of a key that decides says that there is no such key.
    fn is_deleted(&self, key: &[u8], tag: Tag) -> bool {
        let hides = |ranges: &Arc<RangeView>| ranges.hides(key, tag.seqno(), self.snapshot.seqno());
        tag.is_deletion() || self.ranges.as_ref().is_some_and(hides)
    }

    fn begin_front(&self) -> Result<MergeIter> {
        let mut merged = self.merge(&self.low);
        match &self.low {
            Bound::Included(key) => merged.seek(key, Tag(u64::MAX))?,
            // Tag 0 comes after every version of the key.
            Bound::Excluded(key) => merged.seek(key, Tag(0))?,
            Bound::Unbounded => merged.seek(b"", Tag(u64::MAX))?,
        }
        self.registered.keeps(End::Front, merged.held_bytes());
        Ok(merged)
    }

    fn begin_back(&self) -> Result<MergeIter> {
        // Not `low`: a seek of the front may lower it again.
        let mut merged = self.merge(&self.start);
        match &self.high {
            Bound::Included(key) => merged.seek_before(Some((key, Tag(0))))?,
            Bound::Excluded(key) => merged.seek_before(Some((key, Tag(u64::MAX))))?,
            Bound::Unbounded => merged.seek_before(None)?,
        }
        self.registered.keeps(End::Back, merged.held_bytes());
        Ok(merged)
    }

    fn step_forward(&mut self) -> Result<Option<Entry>> {
        let mut merged = match self.front.take() {
            Some(merged) => merged,
            None => self.begin_front()?,
        };
        let entry = self.next_visible(&mut merged);
        self.front = Some(merged);
        entry
    }

    fn next_visible(&mut self, merged: &mut MergeIter) -> Result<Option<Entry>> {
        let mut steps = 0;
        loop {
            let Some((key, tag)) = merged.key() else { return Ok(None) };
            if is_above(key, &self.high) {
                return Ok(None);
            }
            let is_too_new = tag.seqno() > self.snapshot.seqno();
            if is_too_new || is_below(key, &self.low) {
                steps += 1;
                if steps < STEPS_MAX {
                    merged.next()?;
                } else {
                    steps = 0;
                    let key = Bytes::copy_from_slice(key);
                    let is_passed = is_below(&key, &self.low);
                    merged.seek(&key, if is_passed { Tag(0) } else { Tag::seek(self.snapshot.seqno()) })?;
                }
                continue;
            }
            exclude(&mut self.low, key);
            if self.is_deleted(key, tag) {
                merged.next()?;
                continue;
            }
            let (key, value) = (Bytes::copy_from_slice(key), merged.value());
            merged.next()?;
            return Entry::of_merge(key, tag, value, || self.reading()).map(Some);
        }
    }

    fn step_backward(&mut self) -> Result<Option<Entry>> {
        let mut merged = match self.back.take() {
            Some(merged) => merged,
            None => self.begin_back()?,
        };
        let entry = self.prev_visible(&mut merged);
        self.back = Some(merged);
        entry
    }

    fn prev_visible(&mut self, merged: &mut MergeIter) -> Result<Option<Entry>> {
        let mut steps = 0;
        loop {
            let Some((key, tag)) = merged.key() else { return Ok(None) };
            if is_below(key, &self.low) {
                return Ok(None);
            }
            if tag.seqno() > self.snapshot.seqno() {
                steps += 1;
                if steps < STEPS_MAX {
                    merged.prev()?;
                } else {
                    // All that is left of this key is newer still.
                    steps = 0;
                    let key = Bytes::copy_from_slice(key);
                    merged.seek_before(Some((&key, Tag(u64::MAX))))?;
                }
                continue;
            }
            let key = Bytes::copy_from_slice(key);
            let newest = self.newest_going_back(merged, &key)?;
            exclude(&mut self.high, &key);
            if let Some((tag, value)) = newest.filter(|(tag, _)| !self.is_deleted(&key, *tag)) {
                return Entry::of_merge(key, tag, value, || self.reading()).map(Some);
            }
        }
    }

    /// The newest version of the key under the cursor that the snapshot may see. The cursor goes to what is left of the key, or before it.
    fn newest_going_back(&self, merged: &mut MergeIter, user_key: &[u8]) -> Result<Option<(Tag, Bytes)>> {
        let seqno = self.snapshot.seqno();
        let mut newest = None;
        for _ in 0..STEPS_MAX {
            match merged.key() {
                Some((key, tag)) if key == user_key && tag.seqno() <= seqno => {
                    newest = Some((tag, merged.value()))
                }
                _ => return Ok(newest),
            }
            merged.prev()?;
        }
        merged.seek_before(Some((user_key, Tag(u64::MAX))))?;
        self.registered.state().get_version(self.keyspace, user_key, seqno)
    }

    pub(super) fn reading(&self) -> Reading {
        Reading { snapshot: self.snapshot.clone(), inner: self.registered.inner().clone() }
    }

    fn give(&mut self, step: impl FnOnce(&mut Self) -> Result<Option<Entry>>) -> Option<Result<Entry>> {
        if self.done {
            return None;
        }
        let entry = match self.refused.take() {
            Some(refused) => Err(refused),
            None => step(self),
        };
        self.failed = entry.is_err();
        let entry = entry.transpose();
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }
}

impl Iterator for Iter {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        self.give(Self::step_forward)
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Result<Entry>> {
        self.give(Self::step_backward)
    }
}

impl std::iter::FusedIterator for Iter {}

impl Snapshot {
    /// As [`Keyspace::range`], as of the snapshot.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// let before = db.snapshot();
    /// users.put("bob", "25")?;
    /// assert_eq!(before.range(&users, ..).count(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn range<R: RangeBounds<Vec<u8>>>(&self, keyspace: &Keyspace, range: R) -> Iter {
        Iter::new(self.clone(), keyspace, range.start_bound().cloned(), range.end_bound().cloned())
    }

    /// As [`Keyspace::prefix`], as of the snapshot.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("eu/alice", "30")?;
    /// let before = db.snapshot();
    /// users.put("eu/bob", "25")?;
    /// assert_eq!(before.prefix(&users, b"eu/").count(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn prefix(&self, keyspace: &Keyspace, prefix: &[u8]) -> Iter {
        Iter::prefix(self.clone(), keyspace, prefix)
    }
}

impl Keyspace {
    /// The entries with keys in a range, ascending, as of now. An empty range, also one that ends before it begins, has none.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// users.put("bob", "25")?;
    /// let last = users.range(..b"b".to_vec()).rev().next().unwrap()?;
    /// assert_eq!(last.key(), "alice");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn range<R: RangeBounds<Vec<u8>>>(&self, range: R) -> Iter {
        self.db().snapshot().range(self, range)
    }

    /// The entries whose keys begin with `prefix`, ascending, as of now.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let tags = db.keyspace("tags", KeyspaceOptions::default())?;
    /// tags.put("red/1", "")?;
    /// tags.put("red/2", "")?;
    /// tags.put("reds", "")?;
    /// assert_eq!(tags.prefix(b"red/").count(), 2);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn prefix(&self, prefix: &[u8]) -> Iter {
        self.db().snapshot().prefix(self, prefix)
    }
}
