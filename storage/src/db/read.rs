//! Reading: point look-ups.
//!
//! A reader takes the read state, then looks; it holds no lock across I/O. If what it finds is a blob reference, the file may have been
//! retired and unlinked between the two steps (only if the reader has no snapshot): the key was then rewritten, so it
//! looks again with the newer state. Each retry needs another bin compaction to have finished, hence the small bound.

use super::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{BlobRef, KeyspaceId, Kind, Seqno, Tag};
use bytes::Bytes;

const LOOKUPS_MAX: usize = 8;

impl Inner {
    /// The value that a reader at `at` (now, if `None`) sees, with the sequence number that wrote it.
    pub(super) fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        at: Option<Seqno>,
    ) -> Result<Option<(Bytes, Seqno)>> {
        for _ in 0..LOOKUPS_MAX {
            let Some((tag, value)) = self.look_up(keyspace, key, at)? else { return Ok(None) };
            if tag.kind() != Some(Kind::BlobRef) {
                return Ok(Some((value, tag.seqno())));
            }
            if let Some(value) = self.read_blob(key, &value)? {
                return Ok(Some((value, tag.seqno())));
            }
        }
        Err(blob_file_is_missing())
    }

    /// The newest version that a reader at `at` (now, if `None`) sees. For now the state must be taken before the number: the newest
    /// version of a state may be the only one left of its key, and must not be newer than the number.
    pub(super) fn look_up(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        at: Option<Seqno>,
    ) -> Result<Option<(Tag, Bytes)>> {
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
        let found = self.look_up(keyspace, key, at)?;
        let Some((tag, value)) = found.filter(|(tag, _)| tag.kind() == Some(Kind::BlobRef)) else {
            return Ok(None);
        };
        Ok(Some((decode_ref(&value)?, tag.seqno())))
    }

    /// The bytes behind an encoded reference; `None` if its file is gone.
    pub(super) fn read_blob(&self, key: &[u8], reference: &[u8]) -> Result<Option<Bytes>> {
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

pub(super) fn blob_file_is_missing() -> Error {
    Error::new(ErrorKind::Corruption, "a key refers to a blob file that is not part of the database")
}

pub(super) fn decode_ref(bytes: &[u8]) -> Result<BlobRef> {
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
