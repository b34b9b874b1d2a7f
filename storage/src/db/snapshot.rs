//! Snapshots: a sequence number, registered so that nothing it can see is dropped.
//!
//! Compaction keeps, for each key, the newest version in each stripe between two registered numbers; a retired blob file is
//! unlinked only when no registered number is older than its retirement.
//!
//! A snapshot alone cannot read: whoever does brings a keyspace, and with it the database. So a forgotten snapshot keeps versions, but it
//! does not keep the database open, nor its directory locked. What goes on reading by itself (an iterator, an entry, a reader) does:
//! it has a [`Reading`].

use super::{Inner, Keyspace};
use crate::error::{Error, Result};
use crate::types::{BlobRef, Seqno};
use bytes::Bytes;
use std::sync::{Arc, Weak};

/// What the database held when it was taken, until it is dropped. Clones are cheap. It does not keep the database open: that closes when
/// the last [`crate::Db`] and [`Keyspace`] are gone.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// users.put("alice", "30")?;
/// let before = db.snapshot();
/// users.delete("alice")?;
/// db.compact()?;
/// assert_eq!(before.get(&users, b"alice")?.unwrap(), "30");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    registered: Arc<Registered>,
}

struct Registered {
    inner: Weak<Inner>,
    seqno: Seqno,
}

/// A snapshot that keeps the database open, for what goes on reading without a keyspace.
#[derive(Clone)]
pub(super) struct Reading {
    // Before the database, which it tells that it goes.
    pub snapshot: Snapshot,
    pub inner: Arc<Inner>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut snapshots = inner.snapshots.lock();
        if let Some(count) = snapshots.get_mut(&self.seqno) {
            *count -= 1;
            if *count == 0 {
                snapshots.remove(&self.seqno);
            }
        }
        drop(snapshots);
        inner.remove_unseen_soon();
    }
}

impl Inner {
    /// The registered sequence numbers, ascending.
    pub(crate) fn snapshot_seqnos(&self) -> Vec<Seqno> {
        self.snapshots.lock().keys().copied().collect()
    }

    /// The oldest registered sequence number.
    pub(crate) fn oldest_snapshot(&self) -> Option<Seqno> {
        self.snapshots.lock().keys().next().copied()
    }
}

impl Snapshot {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        let mut snapshots = inner.snapshots.lock();
        // Read under the lock: whoever asks for the oldest snapshot later cannot miss one between reading and registering.
        let seqno = inner.visible();
        *snapshots.entry(seqno).or_default() += 1;
        drop(snapshots);
        Self { registered: Arc::new(Registered { inner: Arc::downgrade(inner), seqno }) }
    }

    /// Its database.
    pub(crate) fn db(&self) -> &Weak<Inner> {
        &self.registered.inner
    }

    /// Its database, by way of a keyspace.
    ///
    /// # Errors
    /// The keyspace is one of another database.
    pub(super) fn inner<'a>(&self, keyspace: &'a Keyspace) -> Result<&'a Arc<Inner>> {
        let inner = &keyspace.db.inner;
        if std::ptr::eq(self.db().as_ptr(), Arc::as_ptr(inner)) { Ok(inner) } else { Err(Error::foreign()) }
    }

    /// The newest write that it sees.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let seqno = users.put("alice", "30")?;
    /// assert_eq!(db.snapshot().seqno(), seqno);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn seqno(&self) -> Seqno {
        self.registered.seqno
    }

    /// As [`Keyspace::get`], as of the snapshot.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// let before = db.snapshot();
    /// users.put("alice", "31")?;
    /// assert_eq!(before.get(&users, b"alice")?.unwrap(), "30");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.get_versioned(keyspace, key)?.map(|(value, _)| value))
    }

    /// As [`Keyspace::get_versioned`], as of the snapshot.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let seqno = users.put("alice", "30")?;
    /// assert_eq!(db.snapshot().get_versioned(&users, b"alice")?.unwrap().1, seqno);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn get_versioned(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<(Bytes, Seqno)>> {
        self.inner(keyspace)?.get(keyspace.id(), key, Some(self.seqno()))
    }

    /// As [`Keyspace::blob_ref`], as of the snapshot.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// assert_eq!(db.snapshot().blob_ref(&users, b"alice")?, None);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn blob_ref(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<(BlobRef, Seqno)>> {
        self.inner(keyspace)?.blob_ref(keyspace.id(), key, Some(self.seqno()))
    }
}
