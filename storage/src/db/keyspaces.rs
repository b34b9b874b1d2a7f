//! Keyspaces: making, listing, changing and dropping them.
//!
//! Which keyspaces there are is in the manifest; each also has a tree in the read state, empty at first. Dropping one takes a sequence
//! number D of its own: whoever reads at a snapshot before D goes on as if nothing had happened, whoever reads now or at a later snapshot
//! gets [`ErrorKind::KeyspaceDropped`]. The manifest forgets the keyspace and its tables at once, in one edit; in memory its tree stays
//! until no snapshot before D is left, is flushed into and compacted as before (edits do not mention it any more), and is then
//! purged. After a crash nobody can have such a snapshot: the tables are files that nothing names, and replay skips the writes.
//!
//! Example: write at 7, snapshot at 7, drop at 8. `get` fails; the snapshot reads the write; when it goes, tables and blob files go too.
//!
//! Numbers of keyspaces are never used twice, so a log record of the dropped one cannot be taken for the new one of that name.

use super::{Db, Inner, Keyspace};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::manifest::{Edit, State};
use crate::options::KeyspaceOptions;
use crate::types::{KeyspaceId, Seqno};
use crate::version::ReadState;
use std::sync::Arc;

#[cfg(doc)]
use crate::ErrorKind;

const NAME_BYTES_MAX: usize = 255;

impl State {
    fn keyspace_named(&self, name: &str) -> Option<KeyspaceId> {
        self.keyspaces.iter().find(|(_, (other, _))| other == name).map(|(id, _)| *id)
    }
}

impl Db {
    /// Opens a keyspace, making it if it is not there. The options count when it is made; [`Db::set_keyspace_options`] changes them.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// assert_eq!(db.keyspaces(), ["users"]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the name is empty or has over 255 bytes, or for bad options.
    pub fn keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::invalid(format!("a keyspace's name must have 1 to {NAME_BYTES_MAX} bytes")));
        }
        self.inner.check_keyspace_options(&options)?;
        let mut manifest = self.inner.manifest.lock();
        let id = match manifest.state.keyspace_named(name) {
            Some(id) => id,
            None => {
                self.inner.check_writable()?;
                let id = KeyspaceId(manifest.state.next_keyspace);
                let edit = Edit { keyspaces: vec![(id, name.to_owned(), options)], ..Edit::default() };
                self.inner.apply_locked(&mut manifest, edit, |state| {
                    Arc::make_mut(&mut state.version).insert(id, Arc::default());
                })?;
                id
            }
        };
        drop(manifest);
        Ok(Keyspace { id, db: self.clone() })
    }

    /// The clock of its options.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::sync::Arc;
    /// let clock = Arc::new(ManualClock::new(7));
    /// let options = Options { clock: clock.clone(), ..Options::default() };
    /// let db = Db::open_with(Arc::new(MemVfs::new()), "db".as_ref(), options)?;
    /// assert_eq!(db.clock().now_ms(), 7);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.options.clock
    }

    /// The names of the keyspaces, in the order of their making.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// assert_eq!(db.keyspaces(), ["users"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn keyspaces(&self) -> Vec<String> {
        self.inner.manifest.lock().state.keyspaces.values().map(|(name, _)| name.clone()).collect()
    }

    /// Changes how a keyspace is stored, durably. It counts for tables and blob files written from now on; [`Db::compact`] rewrites
    /// the others.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let logs = db.keyspace("logs", KeyspaceOptions::default())?;
    /// let dense = KeyspaceOptions { compression: [TableCompression::Zstd; 7], ..logs.options()? };
    /// db.set_keyspace_options(&logs, dense)?;
    /// assert_eq!(logs.options()?, dense);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for bad options, [`ErrorKind::KeyspaceDropped`].
    pub fn set_keyspace_options(&self, keyspace: &Keyspace, options: KeyspaceOptions) -> Result<()> {
        self.check_own(keyspace)?;
        self.inner.check_keyspace_options(&options)?;
        self.inner.check_writable()?;
        let mut manifest = self.inner.manifest.lock();
        self.inner.read_state().check_readable(keyspace.id, None)?;
        let Some((name, _)) = manifest.state.keyspaces.get(&keyspace.id).cloned() else { return Ok(()) };
        let edit = Edit { keyspaces: vec![(keyspace.id, name, options)], ..Edit::default() };
        self.inner.append_edit(&mut manifest, edit)
    }

    /// Removes a keyspace and all that is in it. Handles to it give [`ErrorKind::KeyspaceDropped`] from here on; snapshots and iterators
    /// made before go on to their end, and the space is freed when the last of them goes. A keyspace made later under the same name
    /// has nothing to do with it.
    ///
    /// Complexity: one edit; freeing, O(files of the database) in the background.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let drafts = db.keyspace("drafts", KeyspaceOptions::default())?;
    /// drafts.put("k", "v")?;
    /// let before = db.snapshot();
    /// db.drop_keyspace(&drafts)?;
    /// assert_eq!(drafts.get(b"k").unwrap_err().kind(), ErrorKind::KeyspaceDropped);
    /// assert_eq!(before.get(&drafts, b"k")?.unwrap(), "v");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::KeyspaceDropped`] if it was dropped before; what the file system refused: then it is there as before.
    pub fn drop_keyspace(&self, keyspace: &Keyspace) -> Result<()> {
        self.inner.freeing_space(|| self.drop_now(keyspace))
    }

    fn drop_now(&self, keyspace: &Keyspace) -> Result<()> {
        self.check_own(keyspace)?;
        let inner = &self.inner;
        // Most of what must be durable is made so before the locks are taken.
        self.sync()?;
        inner.seal_all_bins()?;
        let _no_checkpoint = inner.cut.lock();
        let mut commit = inner.commit.lock();
        inner.check_writable()?;
        inner.read_state().check_readable(keyspace.id, None)?;
        inner.publisher.wait_for_all()?;
        // The drop is durable when it returns; what was written before must not be outlived by it.
        inner.sync()?;
        let dropped_at = commit.next_seqno;
        let edit = Edit { dropped: vec![keyspace.id], last_seqno: Some(dropped_at), ..Edit::default() };
        inner.apply(edit, |state| {
            if let Some(tree) = state.tree_mut(keyspace.id) {
                tree.dropped_at = Some(dropped_at);
            }
        })?;
        commit.next_seqno = Seqno(dropped_at.0 + 1);
        inner.publisher.leave(inner.publisher.enter(dropped_at));
        drop(commit);
        inner.dropped.lock().push((dropped_at, keyspace.id));
        inner.purge_dropped();
        Ok(())
    }
}

impl Db {
    /// # Errors
    /// The keyspace is one of another database, where its number means another keyspace.
    pub(crate) fn check_own(&self, keyspace: &Keyspace) -> Result<()> {
        if Arc::ptr_eq(&self.inner, &keyspace.db.inner) { Ok(()) } else { Err(Error::foreign()) }
    }
}

impl Keyspace {
    /// How it is stored.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// assert_eq!(users.options()?, KeyspaceOptions::default());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::KeyspaceDropped`].
    pub fn options(&self) -> Result<KeyspaceOptions> {
        let inner = &self.db.inner;
        inner.read_state().check_readable(self.id, None)?;
        Ok(inner.keyspace_options(self.id))
    }
}

impl Inner {
    fn check_keyspace_options(&self, options: &KeyspaceOptions) -> Result<()> {
        options.validate()?;
        let limit = self.options.inline_value_bytes_max;
        if options.separate_bytes.is_some_and(|bytes| bytes as usize > limit) {
            let message = format!(
                "separate_bytes must be at most inline_value_bytes_max ({limit}): no larger value is put"
            );
            return Err(Error::invalid(message));
        }
        Ok(())
    }

    /// Removes the dropped keyspaces that no snapshot sees: trees, tables and blob files.
    pub(crate) fn purge_dropped(&self) {
        if self.dropped.lock().is_empty() {
            return;
        }
        // A bin compaction may hold what would be retired here: it is looked at again when the background wakes next.
        let Some(_no_bin_compaction) = self.bin_compaction.try_lock() else { return };
        let oldest = self.oldest_snapshot();
        let is_unseen = |dropped_at: &Seqno| oldest.is_none_or(|oldest| oldest >= *dropped_at);
        let unseen: Vec<_> =
            self.dropped.lock().extract_if(.., |(dropped_at, _)| is_unseen(dropped_at)).collect();
        if unseen.is_empty() {
            return;
        }
        let mut state = self.state.write();
        let mut next = ReadState::clone(&state);
        let version = Arc::make_mut(&mut next.version);
        let trees: Vec<_> = unseen.iter().filter_map(|(_, id)| version.remove(id)).collect();
        *state = Arc::new(next);
        drop(state);
        trees.iter().flat_map(|tree| tree.tables()).for_each(|table| table.mark_obsolete());
        self.retire_blobs_of_dropped();
    }

    /// Retires the sealed blob files of keyspaces that are gone. A file that cannot be retired now stays as garbage. O(blob files).
    fn retire_blobs_of_dropped(&self) {
        let state = self.read_state();
        let files =
            self.blobs.all_current().into_iter().filter(|file| file.is_sealed() && file.pending() == 0);
        for file in files.filter(|file| state.tree(file.keyspace).is_none()) {
            if self.retire(&file).is_err() {
                return;
            }
        }
    }
}
