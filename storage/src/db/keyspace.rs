//! The handle of a keyspace: what is read and written through it, one key, one range, at a time.

use super::Db;
use crate::batch::WriteBatch;
use crate::error::Result;
use crate::ranges::AFTER_ALL_KEYS;
use crate::types::{Durability, KeyspaceId, Seqno};
use bytes::Bytes;
use std::ops::{Bound, RangeBounds};

#[cfg(doc)]
use crate::ErrorKind;

/// A keyspace of a database: an ordered map of its own, committed together with the others.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// users.put("alice", "30")?;
/// assert_eq!(users.get(b"alice")?.unwrap(), "30");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Keyspace {
    pub(super) id: KeyspaceId,
    pub(super) db: Db,
}

impl Keyspace {
    pub(crate) fn id(&self) -> KeyspaceId {
        self.id
    }

    /// The database that it belongs to.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.db().flush()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The value of a key. A blob is read, checked and decompressed.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// assert_eq!(users.get(b"alice")?.unwrap(), "30");
    /// assert_eq!(users.get(b"bob")?, None);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`] with file and offset if the bytes are not what was written.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.get_versioned(key)?.map(|(value, _)| value))
    }

    /// The value of a key, and the sequence number that wrote it, for [`WriteBatch::require_version`].
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let seqno = users.put("alice", "30")?;
    /// assert_eq!(users.get_versioned(b"alice")?.unwrap(), ("30".into(), seqno));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn get_versioned(&self, key: &[u8]) -> Result<Option<(Bytes, Seqno)>> {
        self.db.inner.get(self.id, key, None)
    }

    /// Where the blob of a key is, without reading it; `None` if there is none, or the value is no blob.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// assert_eq!(users.blob_ref(b"alice")?, None);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn blob_ref(&self, key: &[u8]) -> Result<Option<(crate::BlobRef, Seqno)>> {
        self.db.inner.blob_ref(self.id, key, None)
    }

    /// Sets a key, durably.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// assert_eq!(users.get(b"alice")?.unwrap(), "30");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::write`].
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<Seqno> {
        let mut batch = WriteBatch::default();
        batch.put(self, key, value);
        self.db.write(batch, Durability::Sync)
    }

    /// Removes a key, durably; it need not be there.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// users.delete("alice")?;
    /// assert_eq!(users.get(b"alice")?, None);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::write`].
    pub fn delete(&self, key: impl Into<Bytes>) -> Result<Seqno> {
        let mut batch = WriteBatch::default();
        batch.delete(self, key);
        self.db.write(batch, Durability::Sync)
    }

    /// Flushes, then merges the tables that have keys of a range into the last level, with what they overlap, dropping what no snapshot
    /// can see.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// users.delete("alice")?;
    /// users.compact_range(b"a".to_vec()..b"b".to_vec())?;
    /// assert_eq!(db.stats().keyspaces[0].entries, 0);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::KeyspaceDropped`]; what the file system refused, or corruption in a table.
    pub fn compact_range<R: RangeBounds<Vec<u8>>>(&self, range: R) -> Result<()> {
        let inner = &self.db.inner;
        inner.read_state().check_readable(self.id, None)?;
        inner.flush_and_wait()?;
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        let merged = inner.freeing_space(|| crate::compaction::compact_range(inner, self.id, &range));
        inner.tend_ballast_now();
        merged
    }

    /// Removes all keys of a range, durably, at the cost of one write, however many there are. Their space is freed as compaction
    /// comes by; tables of which nothing is left are dropped without being read.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// for name in ["alice", "bob", "carol"] {
    ///     users.put(name, "")?;
    /// }
    /// users.delete_range(b"b".to_vec()..)?;
    /// assert_eq!(users.range(..).count(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::write`].
    pub fn delete_range<R: RangeBounds<Vec<u8>>>(&self, range: R) -> Result<Seqno> {
        // The least key after another is that with a zero at its end.
        let after = |key: &Vec<u8>| Bytes::from([key, &[0][..]].concat());
        let start = match range.start_bound() {
            Bound::Included(start) => Bytes::copy_from_slice(start),
            Bound::Excluded(start) => after(start),
            Bound::Unbounded => Bytes::new(),
        };
        let end = match range.end_bound() {
            Bound::Included(end) => after(end),
            Bound::Excluded(end) => Bytes::copy_from_slice(end),
            Bound::Unbounded => Bytes::from_static(AFTER_ALL_KEYS),
        };
        let mut batch = WriteBatch::default();
        batch.delete_range(self, start, end);
        self.db.write(batch, Durability::Sync)
    }
}
