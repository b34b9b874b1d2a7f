//! Optimistic transactions: snapshot isolation without locks.
//!
//! A transaction reads from a snapshot taken when it began, with its own writes laid over it, and keeps these in memory. Nobody waits for it.
//! At the commit all its writes become one batch, which requires that none of the keys that it writes was written by another since the
//! snapshot: the first to commit wins, the other gets [`ErrorKind::Conflict`] with the keyspace and the key, and begins anew. So no
//! update is lost, whatever was read in between.
//!
//! What snapshot isolation does not see is *write skew*: two transactions read the same keys and each writes another of them. Example: of
//! two doctors on duty each may go if the other stays; both look, both go. A key whose reading matters to what is written is read with
//! [`Transaction::get_for_update`]: the commit requires it, too, to be as it was. With all such reads the transactions are serializable.
//!
//! The snapshot lives until the end of the commit, so that compaction keeps the deletions which the check must see.
//!
//! Savepoints are positions in a list of what each write replaced; rolling back puts these back, last first.

use super::entry::Entry;
use super::read::after_prefix;
use super::snapshot::Reading;
use super::transaction_iter::TransactionIter;
use super::{Db, Keyspace, Snapshot};
use crate::batch::{PendingBlob, Requirement, WriteBatch};
use crate::error::{Error, Result};
use crate::types::{Durability, KeyspaceId, Seqno};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};

#[cfg(doc)]
use crate::ErrorKind;

/// What a transaction does to a key.
#[derive(Clone)]
pub(super) enum Change {
    Put(Bytes),
    PutBlob(PendingBlob),
    Delete,
}

type Changes = BTreeMap<Bytes, (Keyspace, Change)>;

/// What was there before a change.
struct Undo {
    keyspace: KeyspaceId,
    key: Bytes,
    before: Option<(Keyspace, Change)>,
}

/// Reads and writes that commit as one, on what the database held when it began. Made by [`Db::transaction`]. Dropped, it leaves no trace.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let counters = db.keyspace("counters", KeyspaceOptions::default())?;
/// counters.put("visits", "1")?;
/// loop {
///     let mut tx = db.transaction();
///     let visits: u64 = String::from_utf8_lossy(&tx.get(&counters, b"visits")?.unwrap()).parse().unwrap();
///     tx.put(&counters, "visits", (visits + 1).to_string());
///     match tx.commit(Durability::Sync) {
///         Err(error) if error.kind() == ErrorKind::Conflict => continue,
///         other => break other.map(drop)?,
///     }
/// }
/// assert_eq!(counters.get(b"visits")?.unwrap(), "2");
/// # Ok::<(), Error>(())
/// ```
pub struct Transaction {
    db: Db,
    snapshot: Snapshot,
    changes: BTreeMap<KeyspaceId, Changes>,
    /// Keys that must be as they were although they are not written.
    required: BTreeSet<(KeyspaceId, Bytes)>,
    /// What each change replaced, since the first savepoint.
    undo: Vec<Undo>,
    /// Number and position in `undo` of each savepoint.
    savepoints: Vec<(u64, usize)>,
    savepoints_made: u64,
}

/// A moment in a [`Transaction`] that it can go back to. Made by [`Transaction::savepoint`].
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// let mut tx = db.transaction();
/// let beginning = tx.savepoint();
/// tx.put(&users, "alice", "30");
/// tx.rollback_to(beginning)?;
/// assert_eq!(tx.get(&users, b"alice")?, None);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint(u64);

impl Db {
    /// Begins a transaction on what the database holds now. Compaction keeps what it may read for as long as it lives.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let accounts = db.keyspace("accounts", KeyspaceOptions::default())?;
    /// let (mut first, mut second) = (db.transaction(), db.transaction());
    /// first.put(&accounts, "alice", "30");
    /// second.put(&accounts, "alice", "40");
    /// first.commit(Durability::Sync)?;
    /// let late = second.commit(Durability::Sync).unwrap_err();
    /// assert_eq!(late.conflict(), Some(("accounts", &b"alice"[..])));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn transaction(&self) -> Transaction {
        Transaction {
            db: self.clone(),
            snapshot: self.snapshot(),
            changes: BTreeMap::new(),
            required: BTreeSet::new(),
            undo: Vec::new(),
            savepoints: Vec::new(),
            savepoints_made: 0,
        }
    }
}

impl Transaction {
    /// The newest write of others that it sees.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let seen = users.put("alice", "30")?;
    /// let tx = db.transaction();
    /// users.put("bob", "25")?;
    /// assert_eq!(tx.seqno(), seen);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn seqno(&self) -> Seqno {
        self.snapshot.seqno()
    }

    /// The value of a key: as the transaction wrote it, else as of its beginning.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// let mut tx = db.transaction();
    /// tx.put(&users, "bob", "25");
    /// users.put("alice", "31")?;
    /// assert_eq!(tx.get(&users, b"alice")?.unwrap(), "30");
    /// assert_eq!(tx.get(&users, b"bob")?.unwrap(), "25");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        match self.changes.get(&keyspace.id()).and_then(|changes| changes.get(key)) {
            Some((_, Change::Put(value))) => Ok(Some(value.clone())),
            Some((_, Change::PutBlob(blob))) => {
                self.snapshot.inner(keyspace)?;
                self.own_blob(blob).value().map(Some)
            }
            Some((_, Change::Delete)) => Ok(None),
            None => self.snapshot.get(keyspace, key),
        }
    }

    /// As [`Transaction::get`]; the commit fails if another has written the key meanwhile, even if this transaction does not write it. Rolling
    /// back does not take that away.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let duty = db.keyspace("duty", KeyspaceOptions::default())?;
    /// duty.put("bob", "on")?;
    /// let mut tx = db.transaction();
    /// if tx.get_for_update(&duty, b"bob")?.is_some() {
    ///     tx.delete(&duty, "alice");
    /// }
    /// duty.delete("bob")?;
    /// assert_eq!(tx.commit(Durability::Sync).unwrap_err().kind(), ErrorKind::Conflict);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn get_for_update(&mut self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.get(keyspace, key)?;
        self.required.insert((keyspace.id(), Bytes::copy_from_slice(key)));
        Ok(value)
    }

    /// The entries of a range, ascending, or descending with [`Iterator::rev`]: its own writes over what there was when it began. [`Entry::seqno`] of an own write is that of the
    /// transaction's snapshot, as it has none yet.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// users.put("bob", "25")?;
    /// let mut tx = db.transaction();
    /// tx.delete(&users, "alice");
    /// tx.put(&users, "carol", "41");
    /// let keys: Vec<_> = tx.range(&users, ..).map(|entry| Ok(entry?.key().clone())).collect::<Result<_>>()?;
    /// assert_eq!(keys, ["bob", "carol"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn range<R: RangeBounds<Vec<u8>>>(&self, keyspace: &Keyspace, range: R) -> TransactionIter<'_> {
        self.iter(keyspace, range.start_bound().cloned(), range.end_bound().cloned())
    }

    /// The entries whose keys begin with `prefix`, as [`Transaction::range`].
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("eu/alice", "30")?;
    /// let mut tx = db.transaction();
    /// tx.put(&users, "eu/bob", "25");
    /// tx.put(&users, "us/carol", "41");
    /// assert_eq!(tx.prefix(&users, b"eu/").count(), 2);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn prefix(&self, keyspace: &Keyspace, prefix: &[u8]) -> TransactionIter<'_> {
        let end = after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        self.iter(keyspace, Bound::Included(prefix.to_vec()), end)
    }

    fn iter(&self, keyspace: &Keyspace, start: Bound<Vec<u8>>, end: Bound<Vec<u8>>) -> TransactionIter<'_> {
        let changes = self.changes.get(&keyspace.id()).filter(|_| !is_empty(&start, &end));
        let as_slice = |bound| Bound::map(bound, |key: &Vec<u8>| &key[..]);
        let own = changes
            .map(|changes| changes.range::<[u8], _>((as_slice(start.as_ref()), as_slice(end.as_ref()))));
        let base = self.snapshot.range(keyspace, (start, end));
        TransactionIter::new(self, base, own)
    }

    pub(super) fn own_blob(&self, blob: &PendingBlob) -> Entry {
        Entry::of_blob(blob, Reading { snapshot: self.snapshot.clone(), inner: self.db.inner.clone() })
    }

    fn change(&mut self, keyspace: &Keyspace, key: Bytes, change: Change) {
        let changes = self.changes.entry(keyspace.id()).or_default();
        let before = changes.insert(key.clone(), (keyspace.clone(), change));
        if !self.savepoints.is_empty() {
            self.undo.push(Undo { keyspace: keyspace.id(), key, before });
        }
    }

    /// Sets a key, at the commit.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut tx = db.transaction();
    /// tx.put(&users, "alice", "30");
    /// assert_eq!(users.get(b"alice")?, None);
    /// tx.commit(Durability::Sync)?;
    /// assert_eq!(users.get(b"alice")?.unwrap(), "30");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn put(&mut self, keyspace: &Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.change(keyspace, key.into(), Change::Put(value.into()));
    }

    /// Sets a key to a blob that was appended under that key of that keyspace, at the commit.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let blob = db.append_blob(&files, bin, b"key", b"its bytes", Compression::Dense)?;
    /// let mut tx = db.transaction();
    /// tx.put_blob(&files, "key", &blob);
    /// tx.commit(Durability::Sync)?;
    /// assert_eq!(files.get(b"key")?.unwrap(), "its bytes");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn put_blob(&mut self, keyspace: &Keyspace, key: impl Into<Bytes>, blob: &PendingBlob) {
        self.change(keyspace, key.into(), Change::PutBlob(blob.clone()));
    }

    /// Removes a key, at the commit; it need not be there.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// let mut tx = db.transaction();
    /// tx.delete(&users, "alice");
    /// tx.commit(Durability::Sync)?;
    /// assert_eq!(users.get(b"alice")?, None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete(&mut self, keyspace: &Keyspace, key: impl Into<Bytes>) {
        self.change(keyspace, key.into(), Change::Delete);
    }

    /// Removes the keys of a range that the transaction sees, at the commit, each as by [`Transaction::delete`]; gives their number. A key
    /// that another inserts into the range meanwhile stays.
    ///
    /// Complexity: the entries of the range, and memory for their keys.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// users.put("bob", "25")?;
    /// let mut tx = db.transaction();
    /// tx.put(&users, "carol", "41");
    /// assert_eq!(tx.delete_range(&users, b"b".to_vec()..)?, 2);
    /// tx.commit(Durability::Sync)?;
    /// assert_eq!(users.range(..).count(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Corruption in a table.
    pub fn delete_range<R: RangeBounds<Vec<u8>>>(&mut self, keyspace: &Keyspace, range: R) -> Result<usize> {
        let entries = self.range(keyspace, range);
        let keys: Vec<Bytes> = entries.map(|entry| Ok(entry?.key().clone())).collect::<Result<_>>()?;
        keys.iter().for_each(|key| self.delete(keyspace, key.clone()));
        Ok(keys.len())
    }

    /// Marks this moment for [`Transaction::rollback_to`].
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut tx = db.transaction();
    /// tx.put(&users, "alice", "30");
    /// let before = tx.savepoint();
    /// tx.delete(&users, "alice");
    /// tx.rollback_to(before)?;
    /// assert_eq!(tx.get(&users, b"alice")?.unwrap(), "30");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn savepoint(&mut self) -> Savepoint {
        self.savepoints_made += 1;
        self.savepoints.push((self.savepoints_made, self.undo.len()));
        Savepoint(self.savepoints_made)
    }

    /// Takes back all writes since a savepoint. The savepoint stays, those made after it are gone.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut tx = db.transaction();
    /// let first = tx.savepoint();
    /// let second = tx.savepoint();
    /// tx.rollback_to(first)?;
    /// assert_eq!(tx.rollback_to(second).unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the savepoint is gone itself: the transaction was rolled back to an earlier one.
    pub fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        let Some(at) = self.savepoints.iter().rposition(|(number, _)| *number == savepoint.0) else {
            return Err(Error::invalid(
                "this savepoint is gone: the transaction was rolled back to an earlier one",
            ));
        };
        self.savepoints.truncate(at + 1);
        let position = self.savepoints.last().map_or(0, |(_, position)| *position);
        while self.undo.len() > position
            && let Some(Undo { keyspace, key, before }) = self.undo.pop()
        {
            let changes = self.changes.entry(keyspace).or_default();
            match before {
                Some(before) => drop(changes.insert(key, before)),
                None => drop(changes.remove(&key)),
            }
        }
        Ok(())
    }

    /// Commits: all of its writes or, on an error, none. Gives the sequence number of its last write.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut tx = db.transaction();
    /// tx.put(&users, "alice", "30");
    /// let seqno = tx.commit(Durability::Sync)?;
    /// assert_eq!(users.get_versioned(b"alice")?.unwrap().1, seqno);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if another has written a key that it writes or read for update since it began: [`Error::conflict`] tells
    /// which; begin anew. Else as [`Db::write`].
    pub fn commit(self, durability: Durability) -> Result<Seqno> {
        let mut batch = WriteBatch::default();
        let since = &self.snapshot;
        let mut required = self.required;
        for (id, changes) in self.changes {
            for (key, (keyspace, change)) in changes {
                required.insert((id, key.clone()));
                match change {
                    Change::Put(value) => batch.put(&keyspace, key, value),
                    Change::PutBlob(blob) => batch.put_blob(&keyspace, key, &blob),
                    Change::Delete => batch.delete(&keyspace, key),
                }
            }
        }
        let requirements = required.into_iter().map(|(keyspace, key)| Requirement::NotWritten {
            keyspace,
            key,
            since: since.clone(),
        });
        batch.requirements.extend(requirements);
        self.db.write(batch, durability)
    }
}

/// Whether no key is in a range; a map refuses to be asked for such a one.
fn is_empty(start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> bool {
    match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start >= end
        }
        _ => false,
    }
}
