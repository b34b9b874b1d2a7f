//! What an iterator gives: a key and its value, which is read only when asked for if it is a blob.

use super::read::{blob_file_is_missing, decode_ref};
use super::snapshot::Reading;
use crate::batch::PendingBlob;
use crate::error::Result;
use crate::types::{BlobRef, Kind, Seqno, Tag};
use bytes::Bytes;

/// One entry of an [`Iter`](super::Iter).
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let users = db.keyspace("users", KeyspaceOptions::default())?;
/// let seqno = users.put("alice", "30")?;
/// let entry = users.range(..).next().unwrap()?;
/// assert_eq!((entry.key(), entry.seqno()), (&"alice".into(), seqno));
/// assert_eq!(entry.value()?, "30");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Entry {
    key: Bytes,
    seqno: Seqno,
    value: Bytes,
    /// Present if `value` is a blob reference; the snapshot keeps the blob's file.
    blob: Option<(BlobRef, Reading)>,
}

impl Entry {
    /// What a merge gives. `reading` is asked for where the value is a blob's.
    pub(super) fn of_merge(
        key: Bytes,
        tag: Tag,
        value: Bytes,
        reading: impl FnOnce() -> Reading,
    ) -> Result<Self> {
        let blob = match tag.kind() {
            Some(Kind::BlobRef) => Some((decode_ref(&value)?, reading())),
            _ => None,
        };
        Ok(Self { key, seqno: tag.seqno(), value, blob })
    }

    /// What a transaction wrote.
    pub(super) fn of_value(key: Bytes, value: Bytes, seqno: Seqno) -> Self {
        Self { key, seqno, value, blob: None }
    }

    /// What a transaction wrote as a blob.
    pub(super) fn of_blob(blob: &PendingBlob, reading: Reading) -> Self {
        let (key, value) = (blob.key().clone(), blob.inner.blob.encode().into());
        Self { key, seqno: reading.snapshot.seqno(), value, blob: Some((blob.inner.blob, reading)) }
    }

    /// The key.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// assert_eq!(users.range(..).next().unwrap()?.key(), "alice");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The sequence number that wrote it.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let seqno = users.put("alice", "30")?;
    /// assert_eq!(users.range(..).next().unwrap()?.seqno(), seqno);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn seqno(&self) -> Seqno {
        self.seqno
    }

    /// Where the value is, if it is a blob.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// assert_eq!(users.range(..).next().unwrap()?.blob_ref(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn blob_ref(&self) -> Option<BlobRef> {
        self.blob.as_ref().map(|(blob, _)| *blob)
    }

    /// The value; a blob is read, checked and decompressed.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// assert_eq!(users.range(..).next().unwrap()?.value()?, "30");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`](crate::ErrorKind) with file and offset if the bytes are not what was written.
    pub fn value(&self) -> Result<Bytes> {
        let Some((_, reading)) = &self.blob else { return Ok(self.value.clone()) };
        reading.inner.read_blob(&self.key, &self.value)?.ok_or_else(blob_file_is_missing)
    }
}
