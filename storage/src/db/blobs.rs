//! The blob files of a database: which there are, which are open for writing, which are retired.
//!
//! A file's life: *open* (named by the manifest before its first record), *sealed* (when it is full, when too many are open, before
//! it is compacted, at close), *retired* (no live record; dropped from the manifest at a sequence number), *unlinked* (once
//! no snapshot is older than that number). All retired files go at the next opening.
//!
//! A file belongs to one keyspace and bin. A stream takes the open file of its bin *aside* for itself, so that others go on
//! in another one meanwhile, and gives it back at its end; the bin that has got a new file by then seals the old one.

use super::{Db, Inner, Keyspace};
use crate::batch::PendingBlob;
use crate::blob::{BlobFile, Identity, SealError, StreamAppend};
use crate::compress::Encoding;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{BlobEdit, BlobOrigin, Edit};
use crate::open_files::OpenFiles;
use crate::types::{Bin, Compression, FileId, KeyspaceId, Seqno};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// The files that are not sealed.
#[derive(Default)]
struct OpenBins {
    /// Which takes the next record of a bin.
    by_bin: BTreeMap<(KeyspaceId, Bin), Arc<BlobFile>>,
    /// Those that take none: a stream writes them, or they could not be sealed when they should have been.
    aside: Vec<Arc<BlobFile>>,
}

impl OpenBins {
    fn all(&self) -> impl Iterator<Item = &Arc<BlobFile>> {
        self.by_bin.values().chain(&self.aside)
    }

    /// How many files of a class streams write.
    fn streams(&self, class: u8) -> usize {
        self.aside.iter().filter(|file| file.bin.class == class && file.is_streaming()).count()
    }

    fn remove(&mut self, file: &BlobFile) {
        let home = (file.keyspace, file.bin);
        if self.by_bin.get(&home).is_some_and(|other| other.id == file.id) {
            self.by_bin.remove(&home);
        }
        self.aside.retain(|other| other.id != file.id);
    }
}

pub(crate) struct Blobs {
    pub handles: Arc<OpenFiles>,
    files: RwLock<BTreeMap<FileId, Arc<BlobFile>>>,
    open: Mutex<OpenBins>,
    pub(super) retired: Mutex<Vec<(Seqno, Arc<BlobFile>)>>,
    /// Files with a record that cannot be read: they are not collected, until the next opening.
    given_up: Mutex<HashSet<FileId>>,
}

impl Blobs {
    pub(super) fn new(handles: Arc<OpenFiles>, files: BTreeMap<FileId, Arc<BlobFile>>) -> Self {
        Self {
            handles,
            files: RwLock::new(files),
            open: Mutex::default(),
            retired: Mutex::default(),
            given_up: Mutex::default(),
        }
    }

    pub(crate) fn file(&self, id: FileId) -> Option<Arc<BlobFile>> {
        self.files.read().get(&id).cloned()
    }

    pub(super) fn count(&self) -> usize {
        self.files.read().len()
    }

    /// A file that is part of the database: neither unlinked nor waiting for it.
    pub(crate) fn current(&self, id: FileId) -> Option<Arc<BlobFile>> {
        let retired = self.retired.lock();
        self.file(id).filter(|_| !retired.iter().any(|(_, file)| file.id == id))
    }

    /// All of them, also those that are retired but kept for a snapshot.
    pub(super) fn all(&self) -> Vec<Arc<BlobFile>> {
        self.files.read().values().cloned().collect()
    }

    /// All that [`Self::current`] would find. The lock keeps unlinking from coming between the two lists.
    pub(crate) fn all_current(&self) -> Vec<Arc<BlobFile>> {
        let retired = self.retired.lock();
        let retired_ids: HashSet<FileId> = retired.iter().map(|(_, file)| file.id).collect();
        let is_current = |file: &&Arc<BlobFile>| !retired_ids.contains(&file.id);
        self.files.read().values().filter(is_current).cloned().collect()
    }

    /// Lets readers find files that an edit is about to name.
    pub(crate) fn add(&self, files: &[Arc<BlobFile>]) {
        self.files.write().extend(files.iter().map(|file| (file.id, file.clone())));
    }

    /// The edit did not count.
    pub(crate) fn take_back(&self, file: &BlobFile) {
        self.files.write().remove(&file.id);
    }

    /// Leaves a file with a damaged record as it is.
    pub(crate) fn give_up(&self, id: FileId) {
        self.given_up.lock().insert(id);
    }

    pub(crate) fn is_given_up(&self, id: FileId) -> bool {
        self.given_up.lock().contains(&id)
    }

    /// How much of each open file is durable: for the edit after which tables rest on it.
    pub(crate) fn durable_open(&self) -> Vec<BlobEdit> {
        let open = self.open.lock();
        open.all().map(|file| BlobEdit::Durable { id: file.id, bytes: file.durable_bytes() }).collect()
    }

    /// Makes all appended bytes durable.
    pub(crate) fn sync_open(&self) -> Result<()> {
        let open: Vec<_> = self.open.lock().all().filter(|file| !file.is_durable()).cloned().collect();
        open.iter().try_for_each(|file| file.sync())
    }
}

impl Inner {
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub(crate) fn check_blob_key(&self, key: &[u8]) -> Result<()> {
        let (len, max) = (key.len(), crate::KEY_BYTES_MAX);
        if len > max {
            return Err(Error::invalid(format!("a key has {len} bytes; the limit is {max}")));
        }
        Ok(())
    }

    pub(crate) fn check_blob_len(&self, len: u64) -> Result<()> {
        let max = self.options.blob_bytes_max;
        if len > max {
            return Err(Error::invalid(format!(
                "a blob has {len} bytes or more; the limit is {max} (blob_bytes_max)"
            )));
        }
        Ok(())
    }

    /// Appends a record in one piece, compressed as `encoding` says.
    pub(crate) fn append_record(
        &self,
        (keyspace, bin): (KeyspaceId, Bin),
        key: &[u8],
        (encoding, payload): (Encoding, &[u8]),
        len: u64,
    ) -> Result<PendingBlob> {
        self.read_state().check_readable(keyspace, None)?;
        loop {
            self.check_writable()?;
            self.check_room_for_blob()?;
            let file = self.open_bin(keyspace, bin)?;
            // Sealed or taken aside between the two calls: take the bin's next file.
            let Some(blob) = file.append(key, encoding, payload, len)? else { continue };
            self.counters.blob(len, crate::blob::record_bytes(key.len(), blob.stored_len));
            let pending = PendingBlob::new(file.clone(), keyspace, Bytes::copy_from_slice(key), blob);
            if file.size().0 >= self.options.blob_file_bytes {
                self.seal_if_open(&file)?;
                self.tend_ballast();
            }
            return Ok(pending);
        }
    }

    /// The open file of a bin, made if there is none.
    fn open_bin(&self, keyspace: KeyspaceId, bin: Bin) -> Result<Arc<BlobFile>> {
        let mut open = self.blobs.open.lock();
        if let Some(file) = self.usable_file(&mut open, keyspace, bin)? {
            return Ok(file);
        }
        self.close_oldest(&mut open, bin)?;
        let file = self.make_blob_file(keyspace, bin)?;
        open.by_bin.insert((keyspace, bin), file.clone());
        Ok(file)
    }

    /// The bin's open file, unless there is none or its end is written already.
    fn usable_file(
        &self,
        open: &mut OpenBins,
        keyspace: KeyspaceId,
        bin: Bin,
    ) -> Result<Option<Arc<BlobFile>>> {
        let Some(file) = open.by_bin.get(&(keyspace, bin)).cloned() else { return Ok(None) };
        if !file.is_sealed() {
            return Ok(Some(file));
        }
        // Its end is written, but the edit that says so failed.
        self.seal_open(open, &file)?;
        Ok(None)
    }

    /// Seals the oldest open file of the class if one more would be too many; those that streams write count, but are not sealed.
    fn close_oldest(&self, open: &mut OpenBins, bin: Bin) -> Result<()> {
        let same_class = open.by_bin.values().filter(|file| file.bin.class == bin.class);
        if same_class.clone().count() + open.streams(bin.class) >= self.options.open_bins_max
            && let Some(oldest) = same_class.min_by_key(|file| file.id).cloned()
        {
            self.seal_open(open, &oldest)?;
        }
        Ok(())
    }

    /// Refuses one stream too many.
    fn check_streams(&self, open: &OpenBins, bin: Bin) -> Result<()> {
        let (streams, max) = (open.streams(bin.class), self.options.open_bins_max);
        if streams < max {
            return Ok(());
        }
        let class = bin.class;
        Err(Error::invalid(format!(
            "{streams} blobs of class {class} are being streamed; the limit is {max} (open_bins_max): finish or drop one first"
        )))
    }

    fn make_blob_file(&self, keyspace: KeyspaceId, bin: Bin) -> Result<Arc<BlobFile>> {
        let id = self.new_file_id();
        let path = self.blob_path(id);
        let identity = Identity { id, keyspace, bin, origin: BlobOrigin::User };
        let file = self.create_blob_file(&path, identity).inspect_err(|_| {
            // If nobody knows whether the edit counts, the file stays.
            if self.fatal.get().is_none() {
                let _ = self.vfs.remove(&path);
            }
        })?;
        self.blobs.files.write().insert(id, file.clone());
        Ok(file)
    }

    fn create_blob_file(&self, path: &Path, identity: Identity) -> Result<Arc<BlobFile>> {
        let file = Arc::new(BlobFile::create(&*self.vfs, path.to_owned(), identity)?);
        self.sync_dir()?;
        let Identity { id, keyspace, bin, origin } = identity;
        let opened = BlobEdit::Open { id, keyspace, bin, origin };
        self.apply(Edit { blobs: vec![opened], ..Edit::default() }, |_| {})?;
        Ok(file)
    }

    /// Begins a streamed record in the open file of a bin, which nobody else gets until [`Self::end_stream`].
    pub(crate) fn begin_stream(
        &self,
        keyspace: KeyspaceId,
        bin: Bin,
        chunk_bytes: u32,
    ) -> Result<StreamAppend> {
        self.check_writable()?;
        self.check_room_for_blob()?;
        self.read_state().check_readable(keyspace, None)?;
        let mut open = self.blobs.open.lock();
        self.check_streams(&open, bin)?;
        let file = match self.usable_file(&mut open, keyspace, bin)? {
            Some(file) => file,
            None => {
                self.close_oldest(&mut open, bin)?;
                self.make_blob_file(keyspace, bin)?
            }
        };
        // From here on only the stream's end, or a sealing, takes it from there.
        open.by_bin.remove(&(keyspace, bin));
        open.aside.push(file.clone());
        let stream = file.begin_stream(chunk_bytes);
        stream.ok_or_else(|| Error::new(ErrorKind::Closed, "the blob file was sealed meanwhile; try again"))
    }

    /// Gives the file of a stream that was finished or dropped back to its bin, or seals it if it is full or the bin has another.
    ///
    /// # Errors
    /// It stays aside, and is sealed later; the record counts nevertheless.
    pub(crate) fn end_stream(&self, file: &Arc<BlobFile>) -> Result<()> {
        let mut open = self.blobs.open.lock();
        let home = (file.keyspace, file.bin);
        if file.size().0 >= self.options.blob_file_bytes || open.by_bin.contains_key(&home) {
            self.check_writable()?;
            return self.seal_open(&mut open, file);
        }
        self.close_oldest(&mut open, file.bin)?;
        open.aside.retain(|other| other.id != file.id);
        open.by_bin.insert(home, file.clone());
        Ok(())
    }

    pub(super) fn seal_bin(&self, file: &BlobFile) -> Result<()> {
        // A file that cannot be sealed stays open in the manifest: the next try, or the next opening, seals it.
        let (bytes, records) = file.seal().map_err(|failed| match failed {
            SealError::Write(error) => error,
            SealError::Sync(error) => self.fail(error),
        })?;
        self.apply(
            Edit { blobs: vec![BlobEdit::Seal { id: file.id, bytes, records }], ..Edit::default() },
            |_| {},
        )
    }

    fn seal_open(&self, open: &mut OpenBins, file: &BlobFile) -> Result<()> {
        self.seal_bin(file)?;
        open.remove(file);
        Ok(())
    }

    /// Seals a file if it is open, and no stream writes it.
    pub(crate) fn seal_if_open(&self, file: &BlobFile) -> Result<()> {
        let mut open = self.blobs.open.lock();
        if open.all().any(|other| other.id == file.id) && !file.is_streaming() {
            self.seal_open(&mut open, file)?;
        }
        Ok(())
    }

    /// Seals all open files but those that streams write.
    pub(super) fn seal_all_bins(&self) -> Result<()> {
        if self.fatal.get().is_some() {
            return Ok(());
        }
        let mut open = self.blobs.open.lock();
        let files: Vec<_> = open.all().filter(|file| !file.is_streaming()).cloned().collect();
        files.iter().try_for_each(|file| self.seal_open(&mut open, file))
    }

    /// Drops a file without live records from the manifest. What committed the records' end must be durable already.
    pub(crate) fn retire(&self, file: &Arc<BlobFile>) -> Result<()> {
        self.apply(Edit { blobs: vec![BlobEdit::Retire { id: file.id }], ..Edit::default() }, |_| {})?;
        self.blobs.retired.lock().push((self.visible(), file.clone()));
        self.unlink_retired();
        Ok(())
    }

    /// As [`Self::retire`], for separated files that no table refers to any more. Their records moved without a new version of
    /// their keys, so a reader as of now may still be in the tables from before. The retirement therefore takes a sequence
    /// number of its own, and whoever reads as of an earlier one keeps the files.
    pub(crate) fn retire_unreferenced(&self, files: Vec<Arc<BlobFile>>) -> Result<()> {
        let blobs = files.iter().map(|file| BlobEdit::Retire { id: file.id }).collect();
        self.apply(Edit { blobs, ..Edit::default() }, |_| {})?;
        let retired_at = self.pass_seqno();
        self.blobs.retired.lock().extend(files.into_iter().map(|file| (retired_at, file)));
        self.unlink_retired();
        Ok(())
    }

    /// Takes a sequence number that no write has. If the lock is not free, the next write's number does as well: who holds it is about to
    /// write, and may be waiting for this very thread to flush (an ingestion does).
    fn pass_seqno(&self) -> Seqno {
        let Some(mut commit) = self.commit.try_lock() else { return Seqno(self.visible().0 + 1) };
        let seqno = commit.next_seqno;
        commit.next_seqno = Seqno(seqno.0 + 1);
        self.publisher.leave(self.publisher.enter(seqno));
        seqno
    }

    /// Unlinks the retired files that no snapshot can see.
    pub(crate) fn unlink_retired(&self) {
        let mut retired = self.blobs.retired.lock();
        // Read under the lock: a file that was retired after a look at the snapshots may be seen by one that came after that look.
        let oldest = self.oldest_snapshot();
        let free = |retired_at: &Seqno| oldest.is_none_or(|oldest| oldest >= *retired_at);
        for (_, file) in retired.extract_if(.., |(retired_at, _)| free(retired_at)) {
            self.blobs.files.write().remove(&file.id);
            self.blobs.handles.forget(file.id);
            // A failure leaves an orphan for the next opening.
            let _ = self.vfs.remove(file.path());
        }
    }

    /// Called when a snapshot or a bin compaction goes: the background removes what only that could see.
    pub(crate) fn remove_unseen_soon(&self) {
        if !self.blobs.retired.lock().is_empty() || !self.dropped.lock().is_empty() {
            self.background.wake();
        }
    }
}

impl Db {
    /// Appends a blob to the open file of a bin, compressed if that pays. It is invisible, and after a crash gone, until a batch
    /// puts the result under the same key. What does not lie in memory already is streamed by [`Db::blob_writer`].
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let blob = db.append_blob(&files, bin, b"key", b"its bytes", Compression::Dense)?;
    /// let mut batch = db.batch();
    /// batch.put_blob(&files, "key", &blob);
    /// db.write(batch, Durability::Sync)?;
    ///
    /// assert_eq!(files.get(b"key")?.unwrap(), "its bytes");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] if key or bytes are over the limits, else what the file system refused.
    pub fn append_blob(
        &self,
        keyspace: &Keyspace,
        bin: Bin,
        key: &[u8],
        bytes: &[u8],
        compression: Compression,
    ) -> Result<PendingBlob> {
        let mut writer = self.blob_writer(keyspace, bin, compression);
        writer.append(bytes)?;
        writer.finish(key)
    }

    /// Seals all open blob files, so that they can be compacted.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let blob = db.append_blob(&files, bin, b"key", b"its bytes", Compression::Dense)?;
    /// let mut batch = db.batch();
    /// batch.put_blob(&files, "key", &blob);
    /// db.write(batch, Durability::Sync)?;
    ///
    /// db.seal_bins()?;
    /// assert!(db.blob_files(&files)?[0].sealed);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// What the file system refused.
    pub fn seal_bins(&self) -> Result<()> {
        self.inner.check_writable()?;
        self.inner.freeing_space(|| self.inner.seal_all_bins())
    }
}
