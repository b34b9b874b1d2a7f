//! Write batches: what is committed as one, and what must hold for it.
//!
//! A batch is atomic: after a crash all of its writes are there or none. Its *requirements* hold under the commit lock, so between the check and the commit nothing can come: compare-and-commit, the basis of everything above that must
//! not overtake a writer.

mod format;
mod pending_blob;

pub(crate) use format::{Record, decode_batch};
pub use pending_blob::PendingBlob;

use crate::db::{Inner, Keyspace, Snapshot};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::types::{KeyspaceId, Kind, Seqno};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

/// The longest key, in bytes.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// users.put(vec![7; KEY_BYTES_MAX], "longest")?;
/// assert_eq!(users.put(vec![7; KEY_BYTES_MAX + 1], "").unwrap_err().kind(), ErrorKind::InvalidArgument);
/// # Ok::<(), Error>(())
/// ```
pub const KEY_BYTES_MAX: usize = (64 << 10) - 1;

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub kind: Kind,
    pub keyspace: KeyspaceId,
    pub key: Bytes,
    pub value: Bytes,
}

/// What must hold at commit.
pub(crate) enum Requirement {
    Absent {
        keyspace: KeyspaceId,
        key: Bytes,
    },
    Version {
        keyspace: KeyspaceId,
        key: Bytes,
        seqno: Seqno,
    },
    Unchanged {
        keyspace: KeyspaceId,
        prefix: Bytes,
        since: Snapshot,
    },
    /// The snapshot is kept so that compaction keeps the deletions that the check must see.
    NotWritten {
        keyspace: KeyspaceId,
        key: Bytes,
        since: Snapshot,
    },
}

/// Writes that commit as one, with requirements. Made by [`crate::Db::batch`].
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let users = db.keyspace("users", KeyspaceOptions::default())?;
/// users.put("alice", "30")?;
/// let (_, version) = users.get_versioned(b"alice")?.unwrap();
///
/// let mut batch = db.batch();
/// batch.require_version(&users, "alice", version);
/// batch.put(&users, "alice", "31");
/// db.write(batch, Durability::Sync)?;
///
/// let mut late = db.batch();
/// late.require_version(&users, "alice", version);
/// late.delete(&users, "alice");
/// assert_eq!(db.write(late, Durability::Sync).unwrap_err().kind(), ErrorKind::Conflict);
/// # Ok::<(), Error>(())
/// ```
#[derive(Default)]
pub struct WriteBatch {
    pub(crate) ops: Vec<Op>,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) blobs: Vec<PendingBlob>,
    /// The database that all keyspaces and snapshots so far belong to.
    db: Option<Weak<Inner>>,
    /// They belong to several.
    is_mixed: bool,
    uses_reserve: bool,
}

impl WriteBatch {
    /// The keyspace's number; remembers its database.
    fn id(&mut self, keyspace: &Keyspace) -> KeyspaceId {
        let db = &keyspace.db().inner;
        match &self.db {
            Some(first) => self.is_mixed |= !std::ptr::eq(first.as_ptr(), Arc::as_ptr(db)),
            None => self.db = Some(Arc::downgrade(db)),
        }
        keyspace.id()
    }

    /// Whether all that it names belongs to this database. A blob does if its file is one of the database's: while the blob waits, the
    /// file stays.
    pub(crate) fn is_of(&self, db: &Inner) -> bool {
        let has = |blob: &PendingBlob| {
            let file = db.blobs().file(blob.inner.file.id);
            file.is_some_and(|file| Arc::ptr_eq(&file, &blob.inner.file))
        };
        let is_own = self.db.as_ref().is_none_or(|own| std::ptr::eq(own.as_ptr(), db));
        is_own && !self.is_mixed && self.blobs.iter().all(has)
    }

    /// Sets a key.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut batch = db.batch();
    /// batch.put(&users, "alice", "30");
    /// batch.put(&users, "bob", "25");
    /// db.write(batch, Durability::Sync)?;
    /// assert_eq!(users.get(b"bob")?.unwrap(), "25");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn put(&mut self, keyspace: &Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (keyspace, key, value) = (self.id(keyspace), key.into(), value.into());
        self.ops.push(Op { kind: Kind::Value, keyspace, key, value });
    }

    /// Sets a key to a blob that was appended under that key of that keyspace.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let blob = db.append_blob(&users, bin, b"picture", b"bytes", Compression::None)?;
    /// let mut batch = db.batch();
    /// batch.put_blob(&users, "picture", &blob);
    /// db.write(batch, Durability::Sync)?;
    /// assert_eq!(users.get(b"picture")?.unwrap(), "bytes");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn put_blob(&mut self, keyspace: &Keyspace, key: impl Into<Bytes>, blob: &PendingBlob) {
        let value = blob.inner.blob.encode().into();
        let keyspace = self.id(keyspace);
        self.ops.push(Op { kind: Kind::BlobRef, keyspace, key: key.into(), value });
        self.blobs.push(blob.clone());
    }

    /// Removes a key; it need not be there.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// let mut batch = db.batch();
    /// batch.delete(&users, "alice");
    /// db.write(batch, Durability::Sync)?;
    /// assert_eq!(users.get(b"alice")?, None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete(&mut self, keyspace: &Keyspace, key: impl Into<Bytes>) {
        let (keyspace, key) = (self.id(keyspace), key.into());
        self.ops.push(Op { kind: Kind::Tombstone, keyspace, key, value: Bytes::new() });
    }

    /// Has the batch written on a full disk, too, in the room that `Options::ballast_bytes` keeps. For what frees more than it takes although it
    /// puts something, such as a deletion that notes that it was; deletions alone are written there in any case.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut batch = db.batch();
    /// batch.delete(&users, "alice");
    /// batch.put(&users, "last deleted", "alice");
    /// batch.use_reserve();
    /// db.write(batch, Durability::Sync)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn use_reserve(&mut self) {
        self.uses_reserve = true;
    }

    /// Whether a full disk is no reason to refuse it.
    pub(crate) fn frees_space(&self) -> bool {
        let deletes = |op: &Op| matches!(op.kind, Kind::Tombstone | Kind::RangeTombstone);
        self.uses_reserve || self.ops.iter().all(deletes)
    }

    /// Removes all keys from `start` up to but not including `end`, at the cost of one write, however many there are. What the batch puts
    /// into the range after this stays. A range that does not begin before it ends has no keys.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let logs = db.keyspace("logs", KeyspaceOptions::default())?;
    /// for day in ["2024-05-01", "2024-05-02", "2024-06-01"] {
    ///     logs.put(day, "…")?;
    /// }
    /// let mut batch = db.batch();
    /// batch.delete_range(&logs, "2024-05", "2024-06");
    /// db.write(batch, Durability::Sync)?;
    /// assert_eq!(logs.range(..).next().unwrap()?.key(), "2024-06-01");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete_range(&mut self, keyspace: &Keyspace, start: impl Into<Bytes>, end: impl Into<Bytes>) {
        let (keyspace, key, value) = (self.id(keyspace), start.into(), end.into());
        if key < value {
            self.ops.push(Op { kind: Kind::RangeTombstone, keyspace, key, value });
        }
    }

    /// Commits only if the key is not there.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let insert = |age: &'static str| {
    ///     let mut batch = db.batch();
    ///     batch.require_absent(&users, "alice");
    ///     batch.put(&users, "alice", age);
    ///     db.write(batch, Durability::Sync)
    /// };
    /// insert("30")?;
    /// assert_eq!(insert("31").unwrap_err().kind(), ErrorKind::Conflict);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn require_absent(&mut self, keyspace: &Keyspace, key: impl Into<Bytes>) {
        let keyspace = self.id(keyspace);
        self.requirements.push(Requirement::Absent { keyspace, key: key.into() });
    }

    /// Commits only if the key is there, and was last written at `seqno`.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let version = users.put("alice", "30")?;
    /// let mut batch = db.batch();
    /// batch.require_version(&users, "alice", version);
    /// batch.put(&users, "alice", "31");
    /// db.write(batch, Durability::Sync)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn require_version(&mut self, keyspace: &Keyspace, key: impl Into<Bytes>, seqno: Seqno) {
        let keyspace = self.id(keyspace);
        self.requirements.push(Requirement::Version { keyspace, key: key.into(), seqno });
    }

    /// Commits only if no key under `prefix` was written or removed after the snapshot was taken.
    ///
    /// Complexity: the entries under the prefix that are in memtables and tables younger than the snapshot.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let before = db.snapshot();
    /// users.put("team/alice", "30")?;
    /// let mut batch = db.batch();
    /// batch.require_unchanged(&users, "team/", &before);
    /// assert_eq!(db.write(batch, Durability::Sync).unwrap_err().kind(), ErrorKind::Conflict);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn require_unchanged(&mut self, keyspace: &Keyspace, prefix: impl Into<Bytes>, since: &Snapshot) {
        let (keyspace, prefix) = (self.id(keyspace), prefix.into());
        self.is_mixed |= !self.db.as_ref().is_some_and(|db| db.ptr_eq(since.db()));
        self.requirements.push(Requirement::Unchanged { keyspace, prefix, since: since.clone() });
    }

    /// Writes in the batch.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut batch = db.batch();
    /// batch.put(&users, "alice", "30");
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether it writes nothing.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// assert!(db.batch().is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The keyspaces that it writes to or makes requirements of.
    pub(crate) fn keyspaces(&self) -> BTreeSet<KeyspaceId> {
        let required = self.requirements.iter().map(|requirement| match requirement {
            Requirement::Absent { keyspace, .. }
            | Requirement::Version { keyspace, .. }
            | Requirement::Unchanged { keyspace, .. }
            | Requirement::NotWritten { keyspace, .. } => *keyspace,
        });
        self.ops.iter().map(|op| op.keyspace).chain(required).collect()
    }

    /// Refuses what could not be stored or read back.
    pub(crate) fn validate(&self, options: &Options) -> Result<()> {
        for op in &self.ops {
            // The end of a range may be just after the longest key.
            let (longest_key, longest_key_max) = match op.kind {
                Kind::RangeTombstone => (op.key.len().max(op.value.len()), KEY_BYTES_MAX + 1),
                _ => (op.key.len(), KEY_BYTES_MAX),
            };
            if longest_key > longest_key_max {
                return Err(Error::invalid(format!(
                    "a key has {longest_key} bytes; the limit is {KEY_BYTES_MAX}"
                )));
            }
            if op.kind != Kind::RangeTombstone && op.value.len() > options.inline_value_bytes_max {
                return Err(Error::invalid(format!(
                    "a value has {} bytes; the limit is {}: append it as a blob",
                    op.value.len(),
                    options.inline_value_bytes_max
                )));
            }
        }
        let blob_ops = self.ops.iter().filter(|op| op.kind == Kind::BlobRef);
        let is_elsewhere = |(op, blob): (&Op, &PendingBlob)| {
            (op.keyspace, &op.key) != (blob.inner.keyspace, &blob.inner.key)
        };
        if blob_ops.zip(&self.blobs).any(is_elsewhere) {
            return Err(Error::invalid(
                "a blob must be put under the key and keyspace that it was appended under",
            ));
        }
        Ok(())
    }
}
