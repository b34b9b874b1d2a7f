//! A blob between its bin and its batch: written, but seen by nobody.

use crate::blob::BlobFile;
use crate::types::{BlobRef, KeyspaceId};
use bytes::Bytes;
use std::sync::Arc;

/// A blob that was appended to a bin and waits for the batch that makes it visible; see [`crate::Db::append_blob`].
///
/// While one is alive its blob file cannot be compacted. Dropped without a batch, the bytes become garbage.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// # let bin = Bin { class: 0, due_ms: u64::MAX };
/// let blob = db.append_blob(&users, bin, b"picture", &[7; 5000], Compression::Dense)?;
/// assert_eq!(users.get(b"picture")?, None);
/// let mut batch = db.batch();
/// batch.put_blob(&users, "picture", &blob);
/// db.write(batch, Durability::Sync)?;
/// assert_eq!(users.get(b"picture")?.unwrap().len(), 5000);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct PendingBlob {
    pub(crate) inner: Arc<PendingInner>,
}

pub(crate) struct PendingInner {
    pub file: Arc<BlobFile>,
    pub keyspace: KeyspaceId,
    pub key: Bytes,
    pub blob: BlobRef,
}

impl Drop for PendingInner {
    fn drop(&mut self) {
        self.file.settle();
    }
}

impl PendingBlob {
    pub(crate) fn new(file: Arc<BlobFile>, keyspace: KeyspaceId, key: Bytes, blob: BlobRef) -> Self {
        Self { inner: Arc::new(PendingInner { file, keyspace, key, blob }) }
    }

    /// Where the blob is.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let blob = db.append_blob(&users, bin, b"picture", &[7; 5000], Compression::None)?;
    /// assert_eq!(blob.blob_ref().len, 5000);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn blob_ref(&self) -> BlobRef {
        self.inner.blob
    }

    /// The key that it was appended under.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let blob = db.append_blob(&users, bin, b"picture", b"bytes", Compression::None)?;
    /// assert_eq!(blob.key(), "picture");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn key(&self) -> &Bytes {
        &self.inner.key
    }
}
