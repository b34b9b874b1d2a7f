//! The blob files of a database: which there are, which are open for writing, which are retired.
//!
//! A file's life: *open* (named by the manifest before its first record), *sealed* (when it is full, when too many are open, before
//! it is compacted, at close), *retired* (no live record; dropped from the manifest at a sequence number), *unlinked* (once
//! no snapshot is older than that number). All retired files go at the next opening.

use super::{Db, Inner, Keyspace};
use crate::batch::PendingBlob;
use crate::blob::{BlobFile, SealError, StoredRecord};
use crate::compress::{Encoding, compress_blob};
use crate::error::{Error, Result};
use crate::manifest::{BlobEdit, Edit};
use crate::open_files::OpenFiles;
use crate::types::{Bin, BlobRef, Compression, FileId, Seqno};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

pub(crate) struct Blobs {
    pub handles: Arc<OpenFiles>,
    files: RwLock<BTreeMap<FileId, Arc<BlobFile>>>,
    /// The open file of each bin, in the order of opening (file ids grow).
    open: Mutex<HashMap<Bin, Arc<BlobFile>>>,
    pub(super) retired: Mutex<Vec<(Seqno, Arc<BlobFile>)>>,
}

impl Blobs {
    pub(super) fn new(handles: Arc<OpenFiles>, files: BTreeMap<FileId, Arc<BlobFile>>) -> Self {
        Self { handles, files: RwLock::new(files), open: Mutex::default(), retired: Mutex::default() }
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
    pub(super) fn all_current(&self) -> Vec<Arc<BlobFile>> {
        let retired = self.retired.lock();
        let is_retired = |file: &&Arc<BlobFile>| retired.iter().any(|(_, other)| other.id == file.id);
        self.files.read().values().filter(|file| !is_retired(file)).cloned().collect()
    }

    /// Makes all appended bytes durable.
    pub(crate) fn sync_open(&self) -> Result<()> {
        let open: Vec<_> = self.open.lock().values().filter(|file| !file.is_durable()).cloned().collect();
        open.iter().try_for_each(|file| file.sync())
    }
}

impl Inner {
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub(crate) fn append_blob(
        &self,
        keyspace: &Keyspace,
        bin: Bin,
        key: &[u8],
        bytes: &[u8],
        compression: Compression,
    ) -> Result<PendingBlob> {
        if key.len() > crate::KEY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a key has {} bytes; the limit is {}",
                key.len(),
                crate::KEY_BYTES_MAX
            )));
        }
        if bytes.len() as u64 > self.options.blob_bytes_max {
            let (len, max) = (bytes.len(), self.options.blob_bytes_max);
            return Err(Error::invalid(format!(
                "a blob has {len} bytes; the limit is {max} (blob_bytes_max)"
            )));
        }
        self.read_state().check_readable(keyspace.id(), None)?;
        let (encoding, payload) = compress_blob(bytes, compression);
        self.append_record(keyspace, bin, key, (encoding, &payload), bytes.len() as u64)
    }

    /// Appends a record as it lies in another file, without decoding it.
    pub(crate) fn append_stored(
        &self,
        keyspace: &Keyspace,
        bin: Bin,
        key: &[u8],
        record: &StoredRecord,
    ) -> Result<PendingBlob> {
        self.append_record(keyspace, bin, key, (record.encoding, &record.payload), record.len)
    }

    fn append_record(
        &self,
        keyspace: &Keyspace,
        bin: Bin,
        key: &[u8],
        (encoding, payload): (Encoding, &[u8]),
        len: u64,
    ) -> Result<PendingBlob> {
        loop {
            self.check_writable()?;
            let file = self.open_bin(bin)?;
            // Sealed between the two calls: take the bin's next file.
            let Some(blob) = file.append(keyspace.id(), key, encoding, payload, len)? else { continue };
            self.counters.blob(len, crate::blob::record_bytes(key.len(), blob.stored_len));
            let pending = PendingBlob::new(file.clone(), keyspace.id(), Bytes::copy_from_slice(key), blob);
            if file.size().0 >= self.options.blob_file_bytes {
                self.seal_if_open(&file)?;
            }
            return Ok(pending);
        }
    }

    /// The open file of a bin, made if there is none; the oldest open file of the class is sealed if there would be too many.
    fn open_bin(&self, bin: Bin) -> Result<Arc<BlobFile>> {
        let mut open = self.blobs.open.lock();
        if let Some(file) = open.get(&bin).cloned() {
            if !file.is_sealed() {
                return Ok(file);
            }
            // Its end is written, but the edit that says so failed.
            self.seal_bin(&file)?;
            open.remove(&bin);
        }
        let same_class = open.values().filter(|file| file.bin.class == bin.class);
        if same_class.clone().count() >= self.options.open_bins_max
            && let Some(oldest) = same_class.min_by_key(|file| file.id).cloned()
        {
            self.seal_bin(&oldest)?;
            open.remove(&oldest.bin);
        }
        let id = self.new_file_id();
        let path = self.dir.join(super::open::file_name(id, super::open::BLOB_SUFFIX));
        let file = self.create_blob_file(&path, id, bin).inspect_err(|_| {
            // If nobody knows whether the edit counts, the file stays.
            if self.fatal.get().is_none() {
                let _ = self.vfs.remove(&path);
            }
        })?;
        self.blobs.files.write().insert(id, file.clone());
        open.insert(bin, file.clone());
        Ok(file)
    }

    fn create_blob_file(&self, path: &Path, id: FileId, bin: Bin) -> Result<Arc<BlobFile>> {
        let file = Arc::new(BlobFile::create(&*self.vfs, path.to_owned(), id, bin)?);
        self.sync_dir()?;
        self.apply(Edit { blobs: vec![BlobEdit::Open { id, bin }], ..Edit::default() }, |_| {})?;
        Ok(file)
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

    /// Seals a file that may be the open one of its bin.
    pub(crate) fn seal_if_open(&self, file: &BlobFile) -> Result<()> {
        let mut open = self.blobs.open.lock();
        if open.get(&file.bin).is_some_and(|other| other.id == file.id) {
            self.seal_bin(file)?;
            open.remove(&file.bin);
        }
        Ok(())
    }

    pub(super) fn seal_all_bins(&self) -> Result<()> {
        if self.fatal.get().is_some() {
            return Ok(());
        }
        let mut open = self.blobs.open.lock();
        let files: Vec<_> = open.values().cloned().collect();
        files.iter().try_for_each(|file| {
            self.seal_bin(file)?;
            open.remove(&file.bin);
            Ok(())
        })
    }

    /// Drops a file without live records from the manifest. What committed the records' end must be durable already.
    pub(crate) fn retire(&self, file: &Arc<BlobFile>) -> Result<()> {
        self.apply(Edit { blobs: vec![BlobEdit::Retire { id: file.id }], ..Edit::default() }, |_| {})?;
        self.blobs.retired.lock().push((self.visible(), file.clone()));
        self.unlink_retired();
        Ok(())
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

    /// Called when a snapshot goes: the background removes what only it could see.
    pub(super) fn remove_unseen_soon(&self) {
        if !self.blobs.retired.lock().is_empty() || !self.dropped.lock().is_empty() {
            self.background.wake();
        }
    }
}

/// One blob file, as [`Db::blob_files`] reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobFileInfo {
    /// Its number.
    pub id: FileId,
    /// Its class and due time.
    pub bin: Bin,
    /// Whether it takes no more records.
    pub sealed: bool,
    /// Records written to it, dead ones included.
    pub records: u64,
    /// Bytes of its records, dead ones included.
    pub bytes: u64,
    /// Bytes of the records that the LSM refers to.
    pub live_bytes: u64,
    /// The rest: what a compaction of the file would free.
    pub garbage_bytes: u64,
}

impl Db {
    /// Appends a blob to the open file of a bin, compressed if that pays. It is invisible, and after a crash gone, until a batch
    /// puts the result under the same key.
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
        self.inner.append_blob(keyspace, bin, key, bytes, compression)
    }

    /// Seals all open blob files, so that they can be compacted.
    ///
    /// # Errors
    /// What the file system refused.
    pub fn seal_bins(&self) -> Result<()> {
        self.inner.check_writable()?;
        self.inner.seal_all_bins()
    }

    /// The blob files, with the live bytes of each counted from the references in `contents`.
    ///
    /// Complexity: one pass over the keys of `contents`; no blob is read.
    ///
    /// # Errors
    /// Corruption in a table.
    pub fn blob_files(&self, contents: &Keyspace) -> Result<Vec<BlobFileInfo>> {
        let files = self.inner.blobs.all_current();
        let mut live: HashMap<FileId, u64> = HashMap::new();
        for entry in contents.range(..) {
            let entry = entry?;
            if let Some(BlobRef { file, stored_len, .. }) = entry.blob_ref() {
                *live.entry(file).or_default() += crate::blob::record_bytes(entry.key().len(), stored_len);
            }
        }
        Ok(files
            .iter()
            .map(|file| {
                let (position, records) = file.size();
                let bytes = position.saturating_sub(crate::blob::FILE_HEADER_BYTES);
                let live_bytes = live.get(&file.id).copied().unwrap_or(0).min(bytes);
                let garbage_bytes = bytes - live_bytes;
                BlobFileInfo {
                    id: file.id,
                    bin: file.bin,
                    sealed: file.is_sealed(),
                    records,
                    bytes,
                    live_bytes,
                    garbage_bytes,
                }
            })
            .collect())
    }
}
