//! The database handle and the state behind it.
//!
//! Locks, in the order in which they may be taken: `cut` (what a checkpoint takes along) → `commit` (sequence numbers) → `log` (who
//! writes to it) → `bins` (which blob files are open) → `claims` (which merges run) → `manifest` → `state` (the read state's pointer, held
//! for moments). Reading takes only `state`, shared, and never across I/O. What a thread of the pool does takes none that somebody holds
//! who waits for the pool: `cut` not at all, `commit` by trying.
//!
//! Threads: a pool flushes and merges tables (`background.rs`); a bin compaction runs on its caller's thread, and has records judged on
//! threads that live as long as it does.

mod background;
mod ballast;
mod blob_usage;
mod blob_writer;
mod blobs;
mod checkpoint;
mod entry;
mod ingest;
mod iter;
mod iterators;
mod keyspace;
mod keyspaces;
mod multi_get;
mod open;
mod panics;
mod pipeline;
mod pressure;
mod read;
mod replay;
mod require;
mod salvage;
mod snapshot;
mod stats;
mod sync;
mod transaction;
mod transaction_iter;
mod value_reader;
mod verify;
mod write;

pub use blob_usage::BlobFileInfo;
pub use blob_writer::BlobWriter;
pub(crate) use blob_writer::EncodedValue;
pub use checkpoint::CheckpointReport;
pub use entry::Entry;
pub use ingest::{Ingest, IngestReport};
pub use iter::Iter;
pub use keyspace::Keyspace;
pub use pressure::StallStats;
pub use salvage::{Loss, SalvageReport};
pub use snapshot::Snapshot;
pub(crate) use stats::InFlight;
pub use stats::{KeyspaceStats, Stats};
pub use transaction::{Savepoint, Transaction};
pub use transaction_iter::TransactionIter;
pub use value_reader::ValueReader;
pub use verify::{Problem, VerifyProgress, VerifyReport};

use crate::batch::WriteBatch;
use crate::compaction::{Claims, Merge, Pacer, Traffic};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, Events, file_events};
use crate::log::{AppendError, LogWriter};
use crate::manifest::{Edit, Manifest};
use crate::open_files::OpenFiles;
use crate::options::{KeyspaceOptions, Options};
use crate::sst::{BlockCache, Table};
use crate::types::{Durability, FileId, KeyspaceId, Seqno};
use crate::version::ReadState;
use crate::vfs::{StdVfs, Vfs, VfsLock};
use background::Background;
use ballast::Ballast;
pub(crate) use blobs::Blobs;
use iterators::Iterators;
use parking_lot::{Mutex, RwLock};
use pipeline::{LogQueue, Publisher};
use pressure::Pressure;
use stats::Counters;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

/// An open database. Clones are cheap and share it; it closes when the last is dropped, those in a [`Keyspace`] or a [`Transaction`]
/// included (or by [`Db::close`]). Its directory is locked until also every [`Iter`], [`Entry`], [`ValueReader`], [`BlobWriter`] is gone.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let clone = db.clone();
/// clone.keyspace("users", KeyspaceOptions::default())?;
/// assert_eq!(db.keyspaces(), ["users"]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Db {
    pub(crate) inner: Arc<Inner>,
    /// The last clone to go ends the threads and closes the files.
    _closer: Arc<background::Closer>,
}

/// What the commit lock guards.
pub(crate) struct Commit {
    next_seqno: Seqno,
    /// Bytes of memory of what was given to the active memtable, inserted or not yet.
    memtable_bytes: usize,
}

pub(crate) struct Inner {
    pub vfs: Arc<dyn Vfs>,
    pub dir: PathBuf,
    pub options: Options,
    pub cache: Arc<BlockCache>,
    pub files: Arc<OpenFiles>,
    pub state: RwLock<Arc<ReadState>>,
    pub manifest: Mutex<Manifest>,
    /// Held by a checkpoint from its flush until it knows its files, and by what changes them without going through a memtable, which
    /// the checkpoint would have without the writes before it.
    cut: Mutex<()>,
    commit: Mutex<Commit>,
    /// Records that are to be written to the log, and who is at it.
    queue: LogQueue,
    log: Mutex<LogWriter>,
    /// What is visible, and what will be.
    publisher: Publisher,
    pressure: Pressure,
    /// Live snapshots: how many at each sequence number.
    snapshots: Mutex<BTreeMap<Seqno, usize>>,
    /// Live iterators.
    iterators: Iterators,
    /// Dropped keyspaces that a snapshot may still see, and since when they are dropped.
    dropped: Mutex<Vec<(Seqno, KeyspaceId)>>,
    blobs: Blobs,
    background: Background,
    /// Room for a full disk.
    ballast: Ballast,
    /// One flush at a time.
    pub flushing: Mutex<()>,
    /// The merges that run. Taken before `manifest` and `state`.
    pub claims: Mutex<Claims>,
    /// One step of collecting separated values' garbage at a time. Taken before `claims`.
    pub collecting: Mutex<()>,
    /// The merges that have parts to give away.
    pub merges: Mutex<Vec<Arc<Merge>>>,
    pub pacer: Pacer,
    pub traffic: Traffic,
    pub events: Events,
    pub counters: Counters,
    /// One bin compaction at a time.
    pub bin_compaction: Mutex<()>,
    /// Why the database takes no more writes.
    fatal: OnceLock<String>,
    _lock: Box<dyn VfsLock>,
}

impl Inner {
    pub(crate) fn read_state(&self) -> Arc<ReadState> {
        self.state.read().clone()
    }

    pub(crate) fn visible(&self) -> Seqno {
        self.publisher.visible()
    }

    pub(crate) fn table_path(&self, id: FileId) -> PathBuf {
        self.dir.join(open::file_name(id, open::TABLE_SUFFIX))
    }

    /// The table of which an error says that it is damaged.
    pub(crate) fn table_of(&self, error: &Error) -> Option<FileId> {
        let name = error.location()?.0.file_name()?.to_str()?;
        open::parse_name(name).filter(|(_, suffix)| *suffix == open::TABLE_SUFFIX).map(|(id, _)| id)
    }

    pub(crate) fn blob_path(&self, id: FileId) -> PathBuf {
        self.dir.join(open::file_name(id, open::BLOB_SUFFIX))
    }

    /// Whether it is known which edits count; if not, nothing that one may name can be removed.
    pub(crate) fn is_certain(&self) -> bool {
        self.fatal.get().is_none()
    }

    pub(crate) fn keyspace_options(&self, id: KeyspaceId) -> KeyspaceOptions {
        self.manifest.lock().state.keyspaces.get(&id).map(|(_, options)| *options).unwrap_or_default()
    }

    pub(crate) fn keyspace_name(&self, id: KeyspaceId) -> String {
        self.manifest.lock().state.keyspaces.get(&id).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    pub(crate) fn new_file_id(&self) -> FileId {
        self.manifest.lock().new_file_id()
    }

    /// Makes an edit durable, then lets readers see what it means.
    ///
    /// # Errors
    /// The edit does not count, unless the database is read-only now: then only the next opening knows.
    pub(crate) fn apply(&self, edit: Edit, change: impl FnOnce(&mut ReadState)) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let is_listening = self.events.is_listening();
        let told = if is_listening { file_events(&edit, &manifest.state) } else { Vec::new() };
        let before = self.apply_locked(&mut manifest, edit, change)?;
        // Under the lock: in the order of the edits. It never waits.
        told.into_iter().for_each(|event| self.events.emit(|| event));
        drop(manifest);
        // There may be something to merge now, or less that holds writers back.
        self.background.wake();
        // Outside the locks: what nobody else holds is freed and unlinked now.
        drop(before);
        Ok(())
    }

    /// Gives the state before.
    fn apply_locked(
        &self,
        manifest: &mut Manifest,
        edit: Edit,
        change: impl FnOnce(&mut ReadState),
    ) -> Result<Arc<ReadState>> {
        self.append_edit(manifest, edit)?;
        let mut state = self.state.write();
        let mut next = ReadState::clone(&state);
        change(&mut next);
        self.measure_debt(&next);
        Ok(std::mem::replace(&mut *state, Arc::new(next)))
    }

    fn append_edit(&self, manifest: &mut Manifest, edit: Edit) -> Result<()> {
        // Whoever had it before may have panicked.
        self.check_not_failed()?;
        let appended = self.telling_panics(|| manifest.append(edit));
        appended.map_err(|error| if manifest.is_usable() { error } else { self.fail(error) })
    }

    /// Remembers that the state on disk is unknown since `error`; from here on only reading goes.
    pub(crate) fn fail(&self, error: Error) -> Error {
        if self.fatal.set(error.to_string()).is_ok() {
            self.events.emit(|| Event::ReadOnly { cause: error.to_string() });
        }
        self.background.wake();
        error
    }

    /// As [`Self::fail`], unless the log is as it was before.
    fn fail_append(&self, failed: AppendError) -> Error {
        if failed.usable { failed.error } else { self.fail(failed.error) }
    }

    fn check_not_failed(&self) -> Result<()> {
        let Some(cause) = self.fatal.get() else { return Ok(()) };
        let message =
            format!("the database is read-only since a write failed ({cause}); close and reopen it");
        Err(Error::new(ErrorKind::ReadOnly, message))
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_not_failed()?;
        if self.background.is_closing() {
            return Err(Error::new(ErrorKind::Closed, "the database was closed"));
        }
        Ok(())
    }

    /// Lets tables go that an edit would have named, had it not failed; if nobody knows whether it counts, they stay.
    pub(crate) fn discard_outputs<'a>(&self, tables: impl IntoIterator<Item = &'a Arc<Table>>) {
        if self.fatal.get().is_none() {
            tables.into_iter().for_each(|table| table.mark_obsolete());
        }
    }
}

impl Db {
    /// Opens a database of the operating system's file system, making it if the directory is empty or missing.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = Db::open(dir.path().join("data"), Options::default())?;
    /// db.close()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotADatabase`] if the directory holds something else, [`ErrorKind::Locked`] if another process has it
    /// open, [`ErrorKind::Corruption`] if its files are damaged, [`ErrorKind::InvalidArgument`] for bad options.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::open_with(Arc::new(StdVfs), dir.as_ref(), options)
    }

    /// As [`Db::open`], on any file system.
    ///
    /// ```
    /// use patina_storage::{Db, MemVfs, Options};
    /// use std::path::Path;
    /// use std::sync::Arc;
    ///
    /// let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), Options::default())?;
    /// assert!(db.keyspaces().is_empty());
    /// # Ok::<(), patina_storage::Error>(())
    /// ```
    pub fn open_with(vfs: Arc<dyn Vfs>, dir: &Path, options: Options) -> Result<Self> {
        let inner = Arc::new(open::open(vfs, dir, options)?);
        let closer = background::start(&inner)?;
        Ok(Self { inner, _closer: Arc::new(closer) })
    }

    /// An empty batch.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut batch = db.batch();
    /// batch.put(&users, "alice", "30");
    /// db.write(batch, Durability::Sync)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn batch(&self) -> WriteBatch {
        WriteBatch::default()
    }

    /// Commits a batch: all of its writes or, on an error, none. Gives the sequence number of its last write.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut batch = db.batch();
    /// batch.put(&users, "alice", "30");
    /// let seqno = db.write(batch, Durability::Buffered)?;
    /// assert_eq!(users.get_versioned(b"alice")?.unwrap().1, seqno);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if a requirement does not hold; [`ErrorKind::InvalidArgument`] for a key or value over the
    /// limits; [`ErrorKind::NoSpace`], [`ErrorKind::Io`], [`ErrorKind::ReadOnly`] from below.
    pub fn write(&self, batch: WriteBatch, durability: Durability) -> Result<Seqno> {
        self.inner.write(&batch, durability)
    }

    /// Makes every write so far durable against power loss. Many threads may wait on one sync.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut batch = db.batch();
    /// batch.put(&users, "alice", "30");
    /// db.write(batch, Durability::Buffered)?;
    /// db.sync()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// After a failed sync the database is read-only until it is opened again.
    pub fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    /// What the database holds now, for as long as the snapshot lives.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let before = db.snapshot();
    /// users.put("alice", "30")?;
    /// assert_eq!(before.get(&users, b"alice")?, None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(&self.inner)
    }

    /// Writes the memtable out as tables, and waits for it.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// db.flush()?;
    /// assert_eq!(db.stats().keyspaces[0].entries, 1);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// What the file system refused.
    pub fn flush(&self) -> Result<()> {
        let flushed = self.inner.flush_and_wait();
        self.inner.tend_ballast_now();
        flushed
    }

    /// Flushes, then merges each keyspace into its last level, dropping what no snapshot can see. Merges of level 0 wait meanwhile.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// users.delete("alice")?;
    /// db.compact()?;
    /// assert_eq!(db.stats().keyspaces[0].entries, 0);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// What the file system refused, or corruption in a table.
    pub fn compact(&self) -> Result<()> {
        self.flush()?;
        let merged = self.inner.freeing_space(|| crate::compaction::compact_all(&self.inner));
        self.inner.tend_ballast_now();
        merged
    }

    /// Closes the database: waits for what its threads are doing, makes all that was written durable, and reports what dropping it could
    /// not. From here on whatever other clones, keyspaces, transactions and writers would change gives [`ErrorKind::Closed`]. What only
    /// reads goes on: the files stay as they are, and nobody else can open them, until the last of these is dropped. A second
    /// call, through another clone, does nothing.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// db.close()?;
    /// assert_eq!(users.put("alice", "30").unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the last writes could not be made durable.
    pub fn close(self) -> Result<()> {
        self._closer.close()
    }
}

#[cfg(test)]
mod amplification_tests;
#[cfg(test)]
mod merge_tests;
#[cfg(test)]
mod range_tests;
#[cfg(test)]
mod tests;
