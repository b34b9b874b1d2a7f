//! Checkpoints: a second database that holds what this one held, and shares the bytes with it.
//!
//! Tables and sealed blob files never change, so a hard link to each is as good as a copy, and costs nothing. What still changes is not
//! taken along: the memtable is flushed first, so that no log is needed, and open blob files are sealed; one that was opened
//! meanwhile is copied up to its last record, never linked, as both databases would write to it. The checkpoint gets a manifest of its
//! own; until that is durable its directory is no database.
//!
//! The *cut* is what the tables hold after the flush: every write before some sequence number `S`, and none after. What gets into the
//! tables without a memtable (`db/ingest.rs`), or out of them (dropping a keyspace), waits meanwhile: with it would come something
//! newer than writes that are still in memory. Tables stay while the read state is held. Blob files need care: one that the tables of
//! the cut refer to may be retired as soon as newer writes, which are not in the cut, have replaced its last reference; the
//! manifest does not name it any more then. A snapshot taken before the flush keeps it (it is older than the retirement), so not the
//! manifest but the list of files at hand says what is linked. A file that is gone all the same was retired before the snapshot:
//! everything in it had been replaced by writes that are in the cut.

use super::open::{BLOB_SUFFIX, TABLE_SUFFIX, file_name};
use super::{Db, Inner};
use crate::blob::BlobFile;
use crate::error::{Error, Result};
use crate::manifest::{BlobState, Manifest, State};
use crate::types::Seqno;
use crate::version::ReadState;
use crate::vfs::Vfs;
use crate::vfs::make_dir;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`Db::checkpoint`] made.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// db.keyspace("users", KeyspaceOptions::default())?.put("alice", "30")?;
/// let report = db.checkpoint("copy")?;
/// assert_eq!((report.files_linked, report.files_copied), (1, 0));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Every write up to this one is in it.
    pub seqno: Seqno,
    /// Files that both databases share.
    pub files_linked: u64,
    /// Files that had to be copied: they were still being written, or the file system has no hard links.
    pub files_copied: u64,
    /// Bytes of all these files.
    pub bytes: u64,
}

const COPY_BYTES: usize = 1 << 20;

impl Db {
    /// Makes a database in `dest` that holds what this one holds now, by hard links: fast, and without space of its own until one of the
    /// two changes. `dest` must be missing or empty, and on the same file system, else the files are copied.
    ///
    /// Every write that was acknowledged before the call is in it, and no batch in part. Reads and writes go on meanwhile.
    /// Complexity: one flush, and a call of the file system for each table and blob file.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let vfs = std::sync::Arc::new(MemVfs::new());
    /// # let db = Db::open_with(vfs.clone(), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// db.checkpoint("copy")?;
    /// users.delete("alice")?;
    ///
    /// let copy = Db::open_with(vfs, "copy".as_ref(), Options::default())?;
    /// assert_eq!(copy.keyspace("users", KeyspaceOptions::default())?.get(b"alice")?.unwrap(), "30");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] if `dest` holds something; [`crate::ErrorKind::NoSpace`] and what else the file system
    /// refused: what was made in `dest` is removed then.
    pub fn checkpoint(&self, dest: impl AsRef<Path>) -> Result<CheckpointReport> {
        let (inner, dest) = (&*self.inner, dest.as_ref());
        inner.check_writable()?;
        prepare(&*inner.vfs, dest)?;
        let _keeps_blob_files = self.snapshot();
        self.seal_bins()?;
        let no_short_cuts = inner.cut.lock();
        self.flush()?;
        let cut = Cut::of(inner);
        drop(no_short_cuts);
        let mut made = Made { inner, dest, files: Vec::new(), report: CheckpointReport::default() };
        let result = cut.write(&mut made);
        if result.is_err() {
            made.files.iter().for_each(|path| drop(inner.vfs.remove(path)));
        }
        result
    }
}

/// Refuses a directory that holds something; makes one that is missing. Its name is durable then.
pub(super) fn prepare(vfs: &dyn Vfs, dest: &Path) -> Result<()> {
    match vfs.list(dest) {
        Ok(names) => match names.first() {
            None => make_dir(vfs, dest),
            Some(name) => {
                let shown = dest.display();
                let message = format!("{shown} is not empty (it holds {name}); name a new directory");
                Err(Error::invalid(message))
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => make_dir(vfs, dest),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(Error::invalid(format!("{} is a file; name a new directory", dest.display())))
        }
        Err(error) => Err(Error::io("list", dest, error)),
    }
}

struct Cut {
    state: State,
    /// Keeps the tables' files.
    tables: Arc<ReadState>,
    blobs: Vec<Arc<BlobFile>>,
}

impl Cut {
    fn of(inner: &Inner) -> Self {
        // Manifest and read state change together under this lock.
        let manifest = inner.manifest.lock();
        Self { state: manifest.state.clone(), tables: inner.read_state(), blobs: inner.blobs.all() }
    }

    fn write(mut self, made: &mut Made<'_>) -> Result<CheckpointReport> {
        let live = self.tables.version.values().filter(|tree| tree.dropped_at.is_none());
        for table in live.flat_map(|tree| tree.tables()) {
            made.link_or_copy(table.path(), &file_name(table.id, TABLE_SUFFIX), table.bytes)?;
        }
        let named = std::mem::take(&mut self.state.blobs);
        let keyspaces = &self.state.keyspaces;
        for file in self.blobs.iter().filter(|file| keyspaces.contains_key(&file.keyspace)) {
            // Until the manifest says that it is sealed, the next opening may cut its index off and write it again.
            let is_open = named.get(&file.id).is_some_and(|blob| blob.sealed.is_none());
            if let Some(state) = made.blob_file(file, is_open)? {
                self.state.blobs.insert(file.id, state);
            }
        }
        self.state.needs_no_log();
        self.state.closed = None;
        made.report.seqno = self.state.last_seqno;
        made.publish(self.state)?;
        Ok(made.report)
    }
}

/// What was made in the destination so far.
struct Made<'a> {
    inner: &'a Inner,
    dest: &'a Path,
    files: Vec<PathBuf>,
    report: CheckpointReport,
}

impl Made<'_> {
    /// `None` if the file was unlinked meanwhile.
    fn blob_file(&mut self, file: &BlobFile, is_open: bool) -> Result<Option<BlobState>> {
        let name = file_name(file.id, BLOB_SUFFIX);
        let is_sealed = !is_open && file.is_sealed();
        let (bytes, records) = file.size();
        let done = if is_sealed {
            self.link_or_copy(file.path(), &name, bytes)
        } else {
            self.copy(file.path(), &name, Some(bytes))
        };
        match done {
            Ok(()) => {
                let BlobFile { keyspace, bin, origin, .. } = *file;
                let sealed = is_sealed.then_some((bytes, records));
                // What was copied is synced.
                Ok(Some(BlobState { keyspace, bin, origin, durable: bytes, sealed }))
            }
            Err(_) if self.inner.blobs.file(file.id).is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn link_or_copy(&mut self, from: &Path, name: &str, bytes: u64) -> Result<()> {
        let to = self.dest.join(name);
        match self.inner.vfs.hard_link(from, &to) {
            Ok(()) => {
                self.files.push(to);
                self.report.files_linked += 1;
                self.report.bytes += bytes;
                Ok(())
            }
            Err(error) if cannot_link(&error) => self.copy(from, name, None),
            Err(error) => Err(Error::io("link", from, error)),
        }
    }

    /// Copies a file, or as many bytes of its front, and makes them durable.
    fn copy(&mut self, from: &Path, name: &str, bytes: Option<u64>) -> Result<()> {
        let to = self.dest.join(name);
        let failed = |source| Error::io("copy", from, source);
        let source = self.inner.vfs.open(from).map_err(failed)?;
        let bytes = bytes.map_or_else(|| source.size(), Ok).map_err(failed)?;
        let failed = |source| Error::io("write", &to, source);
        let target = self.inner.vfs.create(&to).map_err(failed)?;
        self.files.push(to.clone());
        let mut buffer = vec![0; bytes.min(COPY_BYTES as u64) as usize];
        let mut position = 0;
        while position < bytes {
            buffer.truncate((bytes - position) as usize);
            source.read_exact_at(&mut buffer, position).map_err(|source| Error::io("copy", from, source))?;
            target.write_all_at(&buffer, position).map_err(failed)?;
            position += buffer.len() as u64;
        }
        target.sync().map_err(failed)?;
        self.report.files_copied += 1;
        self.report.bytes += bytes;
        Ok(())
    }

    /// Makes the files' names durable, then the manifest that names them.
    fn publish(&mut self, state: State) -> Result<()> {
        let vfs = &self.inner.vfs;
        vfs.sync_dir(self.dest).map_err(|source| Error::io("sync", self.dest, source))?;
        let created = Manifest::create(vfs.clone(), self.dest, state);
        if created.is_err() {
            // Whatever of the manifest was made goes too.
            let names = vfs.list(self.dest).unwrap_or_default();
            self.files = names.iter().map(|name| self.dest.join(name)).collect();
        }
        created.map(drop)
    }
}

/// Whether a link failed because here, or to there, there are none.
fn cannot_link(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported
            | ErrorKind::CrossesDevices
            | ErrorKind::PermissionDenied
            | ErrorKind::TooManyLinks
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{KeyspaceOptions, Options};
    use crate::types::{Bin, Compression};
    use crate::vfs::MemVfs;

    /// The end of a blob file is written before the manifest says so. If it never does, the next opening takes the file for one that was
    /// still being written, and cuts it off.
    #[test]
    fn a_blob_file_is_shared_only_when_the_manifest_says_that_it_is_sealed() {
        let vfs = Arc::new(MemVfs::new());
        let db = Db::open_with(vfs.clone(), "db".as_ref(), Options::default()).unwrap();
        let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
        let bin = Bin { class: 0, due_ms: 7 };
        let blob = db.append_blob(&keyspace, bin, b"key", b"value", Compression::None).unwrap();
        let mut batch = db.batch();
        batch.put_blob(&keyspace, "key", &blob);
        db.write(batch, crate::Durability::Sync).unwrap();
        db.flush().unwrap();
        blob.inner.file.seal().unwrap();
        vfs.create_dir_all("copy".as_ref()).unwrap();
        let dest = Path::new("copy");
        let mut made =
            Made { inner: &db.inner, dest, files: Vec::new(), report: CheckpointReport::default() };
        let report = Cut::of(&db.inner).write(&mut made).unwrap();
        assert_eq!((report.files_linked, report.files_copied), (1, 1), "the table, and the blob file");
        let copy = Db::open_with(vfs, dest, Options::default()).unwrap();
        let copied = copy.keyspace("k", KeyspaceOptions::default()).unwrap();
        assert_eq!(copied.get(b"key").unwrap().unwrap(), "value");
    }
}
