//! One blob file: appending while it is open, reading at any time, sealing, and recovery after a crash.

use super::format::*;
use crate::compress::{Encoding, decompress};
use crate::error::{Error, Result};
use crate::open_files::OpenFiles;
use crate::types::{Bin, BlobRef, FileId, KeyspaceId};
use crate::vfs::{Vfs, VfsFile};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct BlobFile {
    pub id: FileId,
    pub bin: Bin,
    path: PathBuf,
    /// The index so far; who appends or seals holds it.
    index: Mutex<Vec<u8>>,
    /// The handle while the file is open for writing; readers hold it for moments, never across I/O.
    writing: RwLock<Option<Arc<dyn VfsFile>>>,
    /// Where the next record goes; the length of the records' part once sealed.
    position: AtomicU64,
    records: AtomicU64,
    /// Bytes known to be durable.
    synced: AtomicU64,
    /// Records appended whose reference is neither committed nor given up.
    pending: AtomicU64,
}

/// Why a file could not be sealed.
#[derive(Debug)]
pub(crate) enum SealError {
    Write(Error),
    Sync(Error),
}

/// A record as it lies in the file, checked but not decompressed.
pub(crate) struct StoredRecord {
    pub encoding: Encoding,
    pub payload: Bytes,
    pub len: u64,
}

impl StoredRecord {
    fn decode(self) -> Option<Bytes> {
        let len = usize::try_from(self.len).ok()?;
        match self.encoding {
            Encoding::Raw => (self.payload.len() == len).then_some(self.payload),
            encoding => decompress(encoding, &self.payload, len).map(Bytes::from),
        }
    }
}

impl BlobFile {
    fn new(id: FileId, bin: Bin, path: PathBuf, (position, records): (u64, u64)) -> Self {
        Self {
            id,
            bin,
            path,
            index: Mutex::default(),
            writing: RwLock::default(),
            position: AtomicU64::new(position),
            records: AtomicU64::new(records),
            synced: AtomicU64::new(0),
            pending: AtomicU64::new(0),
        }
    }

    fn open_for_writing(self, file: Arc<dyn VfsFile>, index: Vec<u8>) -> Self {
        Self { index: Mutex::new(index), writing: RwLock::new(Some(file)), ..self }
    }

    /// Makes an empty open file; its name is not durable until the caller has synced the directory.
    pub(crate) fn create(vfs: &dyn Vfs, path: PathBuf, id: FileId, bin: Bin) -> Result<Self> {
        let file = vfs.create(&path).map_err(|source| Error::io("create", &path, source))?;
        let failed = |source| Error::io("write", &path, source);
        file.write_all_at(&encode_header(id, bin), 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        Ok(Self::new(id, bin, path, (HEADER_BYTES as u64, 0)).open_for_writing(Arc::from(file), Vec::new()))
    }

    /// A file that the manifest says is sealed. Not opened until it is read.
    pub(crate) fn sealed(path: PathBuf, id: FileId, bin: Bin, position: u64, records: u64) -> Self {
        Self::new(id, bin, path, (position, records))
    }

    /// A file that was open when the process ended: reads it from the front, and cuts it off after the last whole record. It is
    /// open again, for [`Self::seal`].
    pub(crate) fn recover(vfs: &dyn Vfs, path: PathBuf, id: FileId, bin: Bin) -> Result<Self> {
        let file = Self::scan(vfs, path, id, bin)?;
        let handle = file.writing.read().clone();
        if let Some(handle) = handle {
            let position = file.size().0;
            let failed = |source| Error::io("truncate", &file.path, source);
            if handle.size().map_err(failed)? > position {
                handle.truncate(position).map_err(failed)?;
            }
        }
        Ok(file)
    }

    /// As [`Self::recover`], without changing anything: the file is known up to its last whole record.
    pub(crate) fn scan(vfs: &dyn Vfs, path: PathBuf, id: FileId, bin: Bin) -> Result<Self> {
        let failed = |source| Error::io("read", &path, source);
        let file: Arc<dyn VfsFile> = vfs.open(&path).map_err(failed)?.into();
        let len = file.size().map_err(failed)?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(failed)?;
        check_header(&header, id).map_err(|what| Error::corruption(&path, 0, what))?;
        let (mut position, mut records, mut index) = (HEADER_BYTES as u64, 0, Vec::new());
        while let Some(record) = Self::whole_record_at(&*file, id, position, len).map_err(failed)? {
            position += record.total_bytes();
            records += 1;
            encode_index_entry(&mut index, &record);
        }
        Ok(Self::new(id, bin, path, (position, records)).open_for_writing(file, index))
    }

    pub(super) fn whole_record_at(
        file: &dyn VfsFile,
        id: FileId,
        offset: u64,
        len: u64,
    ) -> std::io::Result<Option<Record>> {
        let left = len - offset;
        if left < RECORD_HEAD_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; left.min(RECORD_HEAD_BYTES as u64 + u64::from(u16::MAX)) as usize];
        file.read_exact_at(&mut bytes, offset)?;
        let Some(head) = decode_head(&bytes).filter(|head| check_head(head, id, offset, &bytes)) else {
            return Ok(None);
        };
        let key_end = RECORD_HEAD_BYTES + usize::from(head.key_len);
        if total_bytes(usize::from(head.key_len), head.stored_len) > left {
            return Ok(None);
        }
        let mut payload = vec![0; head.stored_len as usize];
        file.read_exact_at(&mut payload, offset + key_end as u64)?;
        if !check_payload(&head, id, offset, &payload) {
            return Ok(None);
        }
        let key = Bytes::copy_from_slice(bytes.get(RECORD_HEAD_BYTES..key_end).unwrap_or_default());
        Ok(Some(Record { offset, keyspace: head.keyspace, key, stored_len: head.stored_len, len: head.len }))
    }

    /// Appends a record; `None` if the file has been sealed meanwhile.
    pub(crate) fn append(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        encoding: Encoding,
        payload: &[u8],
        len: u64,
    ) -> Result<Option<BlobRef>> {
        let mut index = self.index.lock();
        let Some(file) = self.writing.read().clone() else { return Ok(None) };
        let offset = self.position.load(Ordering::Acquire);
        let record = encode_record(self.id, offset, (keyspace, key), (encoding, payload), len);
        if let Err(source) = file.write_all_at(&record, offset) {
            // What follows is written over the same place; recovery stops at a record that is not whole.
            let _ = file.truncate(offset);
            return Err(Error::io("write", &self.path, source));
        }
        let stored_len = payload.len() as u64;
        let key = Bytes::copy_from_slice(key);
        encode_index_entry(&mut index, &Record { offset, keyspace, key, stored_len, len });
        self.position.fetch_add(record.len() as u64, Ordering::AcqRel);
        self.records.fetch_add(1, Ordering::AcqRel);
        self.pending.fetch_add(1, Ordering::AcqRel);
        Ok(Some(BlobRef { file: self.id, offset, stored_len, len }))
    }

    /// A record that [`Self::append`] counted as pending is committed or given up.
    pub(crate) fn settle(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.synced.load(Ordering::Acquire) >= self.position.load(Ordering::Acquire)
    }

    /// Makes durable what was appended before the call.
    pub(crate) fn sync(&self) -> Result<()> {
        let Some(file) = self.writing.read().clone() else { return Ok(()) };
        let position = self.position.load(Ordering::Acquire);
        if self.synced.load(Ordering::Acquire) >= position {
            return Ok(());
        }
        file.sync().map_err(|source| Error::io("sync", &self.path, source))?;
        self.synced.fetch_max(position, Ordering::AcqRel);
        Ok(())
    }

    /// Writes the index, makes the file durable and closes it; gives the length of the records' part and their number. Nothing happens
    /// if it is sealed.
    ///
    /// # Errors
    /// [`SealError::Write`]: it is open as before. [`SealError::Sync`]: nobody knows what of it is durable.
    pub(crate) fn seal(&self) -> std::result::Result<(u64, u64), SealError> {
        let mut index = self.index.lock();
        let (position, records) = self.size();
        let file = self.writing.read().clone();
        if let Some(file) = file {
            let mut tail = index.clone();
            tail.extend_from_slice(&encode_trailer(self.id, position, &index, records));
            // What a failed append left behind would hide the trailer, which is looked for at the end.
            let written = file.truncate(position).and_then(|()| file.write_all_at(&tail, position));
            written.map_err(|source| SealError::Write(Error::io("write", &self.path, source)))?;
            file.sync().map_err(|source| SealError::Sync(Error::io("sync", &self.path, source)))?;
            *self.writing.write() = None;
            // From here on it is read from the file; the memory would stay as long as the database.
            *index = Vec::new();
        }
        Ok((position, records))
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.writing.read().is_none()
    }

    /// Length of the records' part, and their number.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.position.load(Ordering::Acquire), self.records.load(Ordering::Acquire))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn handle(&self, handles: &OpenFiles) -> Result<Arc<dyn VfsFile>> {
        let writing = self.writing.read().clone();
        writing.map_or_else(|| handles.open(self.id, &self.path), Ok)
    }

    pub(super) fn corruption(&self, offset: u64, what: &str) -> Error {
        Error::corruption(&self.path, offset, what)
    }

    /// The record that a reference names, checked against key, lengths and checksums, not decompressed. One read.
    pub(crate) fn read_stored(&self, handles: &OpenFiles, key: &[u8], blob: BlobRef) -> Result<StoredRecord> {
        let (offset, total) = (blob.offset, total_bytes(key.len(), blob.stored_len));
        let end = offset.checked_add(total).filter(|end| *end <= self.size().0);
        if end.is_none() {
            return Err(self.corruption(offset, "a reference reaches past the last record"));
        }
        let mut bytes = vec![0; total as usize];
        self.handle(handles)?
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| Error::io("read", &self.path, source))?;
        let head = decode_head(&bytes)
            .filter(|head| check_head(head, self.id, offset, &bytes))
            .ok_or_else(|| self.corruption(offset, "a record's head does not hold"))?;
        let key_end = RECORD_HEAD_BYTES + usize::from(head.key_len);
        let matches = bytes.get(RECORD_HEAD_BYTES..key_end) == Some(key)
            && (head.stored_len, head.len) == (blob.stored_len, blob.len);
        if !matches {
            return Err(self.corruption(offset, "a record is not the one that its reference names"));
        }
        let payload = Bytes::from(bytes).slice(key_end..);
        if !check_payload(&head, self.id, offset, &payload) {
            return Err(self.corruption(offset, "a record's bytes do not hold"));
        }
        Ok(StoredRecord { encoding: head.encoding, payload, len: head.len })
    }

    /// The value that a reference names.
    pub(crate) fn read(&self, handles: &OpenFiles, key: &[u8], blob: BlobRef) -> Result<Bytes> {
        self.read_stored(handles, key, blob)?
            .decode()
            .ok_or_else(|| self.corruption(blob.offset, "a record does not decompress"))
    }

    /// The index of a sealed file, in file order. Memory: O(records).
    pub(crate) fn index(&self, handles: &OpenFiles) -> Result<Vec<Record>> {
        let file = self.handle(handles)?;
        let failed = |source| Error::io("read", &self.path, source);
        let len = file.size().map_err(failed)?;
        let at = len.saturating_sub(TRAILER_BYTES as u64);
        let mut trailer_bytes = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer_bytes, at).map_err(failed)?;
        let broken = |what| self.corruption(at, what);
        let trailer = decode_trailer(&trailer_bytes).ok_or_else(|| broken("its trailer does not hold"))?;
        if trailer.index_offset.checked_add(trailer.index_len) != Some(at) {
            return Err(broken("its trailer does not hold"));
        }
        let mut index = vec![0; trailer.index_len as usize];
        file.read_exact_at(&mut index, trailer.index_offset).map_err(failed)?;
        if !check_index(&trailer, self.id, &index, &trailer_bytes) {
            return Err(broken("its index does not hold"));
        }
        decode_index(&index, trailer.records).ok_or_else(|| broken("its index makes no sense"))
    }
}
