//! Reading: point look-ups and iterators.
//!
//! A reader takes the read state, then looks; it holds no lock across I/O. If what it finds is a blob reference, the file may have been
//! retired and unlinked between the two steps (only if the reader has no snapshot): the key was then rewritten, so it
//! looks again with the newer state. Each retry needs another bin compaction to have finished, hence the small bound.

use super::{Inner, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::merge::{MergeIter, sources};
use crate::types::{BlobRef, KeyspaceId, Kind, Seqno, Tag};
use bytes::Bytes;
use std::ops::Bound;

const LOOKUPS_MAX: usize = 8;

impl Inner {
    /// The value that a reader at `at` (now, if `None`) sees, with the sequence number that wrote it.
    pub(super) fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        at: Option<Seqno>,
    ) -> Result<Option<(Bytes, Seqno)>> {
        let key = Bytes::copy_from_slice(key);
        for _ in 0..LOOKUPS_MAX {
            let Some((tag, value)) = self.look_up(keyspace, &key, at)? else { return Ok(None) };
            if tag.kind() != Some(Kind::BlobRef) {
                return Ok(Some((value, tag.seqno())));
            }
            if let Some(value) = self.read_blob(&key, &value)? {
                return Ok(Some((value, tag.seqno())));
            }
        }
        Err(blob_file_is_missing())
    }

    /// The newest version that a reader at `at` (now, if `None`) sees. For now the state must be taken before the number: the newest
    /// version of a state may be the only one left of its key, and must not be newer than the number.
    fn look_up(&self, keyspace: KeyspaceId, key: &Bytes, at: Option<Seqno>) -> Result<Option<(Tag, Bytes)>> {
        let state = self.read_state();
        state.check_readable(keyspace, at)?;
        state.get(keyspace, key, at.unwrap_or_else(|| self.visible()))
    }

    pub(super) fn blob_ref(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        at: Option<Seqno>,
    ) -> Result<Option<(BlobRef, Seqno)>> {
        let found = self.look_up(keyspace, &Bytes::copy_from_slice(key), at)?;
        let Some((tag, value)) = found.filter(|(tag, _)| tag.kind() == Some(Kind::BlobRef)) else {
            return Ok(None);
        };
        Ok(Some((decode_ref(&value)?, tag.seqno())))
    }

    /// The bytes behind an encoded reference; `None` if its file is gone.
    fn read_blob(&self, key: &[u8], reference: &[u8]) -> Result<Option<Bytes>> {
        let blob = decode_ref(reference)?;
        let Some(file) = self.blobs.file(blob.file) else { return Ok(None) };
        let read = file.read(&self.blobs.handles, key, blob);
        if self.blobs.file(blob.file).is_none() {
            // Unlinked since the look-up: no failure of the disk, and a handle left behind would keep its space.
            self.blobs.handles.forget(blob.file);
            return Ok(read.ok());
        }
        read.map(Some)
    }
}

fn blob_file_is_missing() -> Error {
    Error::new(ErrorKind::Corruption, "a key refers to a blob file that is not part of the database")
}

fn decode_ref(bytes: &[u8]) -> Result<BlobRef> {
    BlobRef::decode(bytes).ok_or_else(|| Error::new(ErrorKind::Corruption, "a blob reference makes no sense"))
}

/// The least key that is greater than every key with this prefix; `None` if there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix.get(..=last)?.to_vec();
    if let Some(byte) = after.last_mut() {
        *byte += 1;
    }
    Some(after)
}

/// The entries of a range, ascending, as of a snapshot. Values of blobs are read only when asked for.
///
/// After an error it ends.
pub struct Iter {
    /// Before the snapshot, which keeps the database locked: the tables that this is the last to hold are unlinked first.
    merged: MergeIter,
    snapshot: Snapshot,
    end: Bound<Vec<u8>>,
    /// Where to begin; taken by the first step.
    start: Option<Bound<Vec<u8>>>,
    last_key: Option<Vec<u8>>,
    /// Why there is nothing to iterate over; told by the first step.
    refused: Option<Error>,
    done: bool,
}

/// One entry of an [`Iter`].
#[derive(Clone)]
pub struct Entry {
    key: Bytes,
    seqno: Seqno,
    value: Bytes,
    /// Present if `value` is a blob reference; the snapshot keeps the blob's file.
    blob: Option<(BlobRef, Snapshot)>,
}

impl Iter {
    pub(super) fn new(
        snapshot: Snapshot,
        keyspace: KeyspaceId,
        start: Bound<Vec<u8>>,
        end: Bound<Vec<u8>>,
    ) -> Self {
        let state = snapshot.inner().read_state();
        let refused = state.check_readable(keyspace, Some(snapshot.seqno())).err();
        let merged = MergeIter::new(sources(&state, keyspace));
        Self { merged, snapshot, end, start: Some(start), last_key: None, refused, done: false }
    }

    pub(super) fn prefix(snapshot: Snapshot, keyspace: KeyspaceId, prefix: &[u8]) -> Self {
        let end = after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        Self::new(snapshot, keyspace, Bound::Included(prefix.to_vec()), end)
    }

    fn begin(&mut self) -> Result<()> {
        match self.start.take() {
            Some(Bound::Included(key)) => self.merged.seek(&key, Tag(u64::MAX)),
            // Tag 0 comes after every version of the key.
            Some(Bound::Excluded(key)) => self.merged.seek(&key, Tag(0)),
            Some(Bound::Unbounded) => self.merged.seek(b"", Tag(u64::MAX)),
            None => Ok(()),
        }
    }

    fn step(&mut self) -> Result<Option<Entry>> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        self.begin()?;
        loop {
            let Some((key, tag)) = self.merged.key() else { return Ok(None) };
            let past_end = match &self.end {
                Bound::Included(end) => key > &end[..],
                Bound::Excluded(end) => key >= &end[..],
                Bound::Unbounded => false,
            };
            if past_end {
                return Ok(None);
            }
            if tag.seqno() > self.snapshot.seqno() || self.last_key.as_deref() == Some(key) {
                self.merged.next()?;
                continue;
            }
            let key = Bytes::copy_from_slice(key);
            let last = self.last_key.get_or_insert_default();
            last.clear();
            last.extend_from_slice(&key);
            if tag.kind() == Some(Kind::Tombstone) {
                self.merged.next()?;
                continue;
            }
            let value = self.merged.value();
            self.merged.next()?;
            let blob = match tag.kind() {
                Some(Kind::BlobRef) => Some((decode_ref(&value)?, self.snapshot.clone())),
                _ => None,
            };
            return Ok(Some(Entry { key, seqno: tag.seqno(), value, blob }));
        }
    }
}

impl Iterator for Iter {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

impl Entry {
    /// The key.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The sequence number that wrote it.
    pub fn seqno(&self) -> Seqno {
        self.seqno
    }

    /// Where the value is, if it is a blob.
    pub fn blob_ref(&self) -> Option<BlobRef> {
        self.blob.as_ref().map(|(blob, _)| *blob)
    }

    /// The value; a blob is read, checked and decompressed.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`] with file and offset if the bytes are not what was written.
    pub fn value(&self) -> Result<Bytes> {
        let Some((_, snapshot)) = &self.blob else { return Ok(self.value.clone()) };
        snapshot.inner().read_blob(&self.key, &self.value)?.ok_or_else(blob_file_is_missing)
    }
}
