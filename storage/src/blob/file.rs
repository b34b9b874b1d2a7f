//! One blob file: appending while it is open, reading at any time, sealing. Recovery after a crash is in [`super::recovery`], records
//! that are written in pieces in [`super::stream`].

use super::format::*;
use crate::compress::{Encoding, decompress};
use crate::error::{Error, Result};
use crate::group_sync::GroupSync;
use crate::manifest::BlobOrigin;
use crate::open_files::OpenFiles;
use crate::reserve::Reserve;
use crate::types::{Bin, BlobLayout, BlobRef, FileId, KeyspaceId};
use crate::vfs::{Vfs, VfsFile};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct BlobFile {
    pub id: FileId,
    /// Whose values all its records are.
    pub keyspace: KeyspaceId,
    pub bin: Bin,
    pub origin: BlobOrigin,
    pub(super) path: PathBuf,
    /// Who appends or seals holds it.
    pub(super) tail: Mutex<Tail>,
    /// The handle while the file is open for writing; readers hold it for moments, never across I/O.
    pub(super) writing: RwLock<Option<Arc<dyn VfsFile>>>,
    /// Where the next record goes; the length of the records' part once sealed.
    pub(super) position: AtomicU64,
    pub(super) records: AtomicU64,
    /// Bytes known to be durable.
    synced: GroupSync,
    /// Records appended whose reference is neither committed nor given up.
    pub(super) pending: AtomicU64,
}

/// What only one may change at a time.
#[derive(Default)]
pub(super) struct Tail {
    /// The index of the records so far.
    pub index: Vec<u8>,
    /// Room for the next records.
    pub reserve: Reserve,
    /// A record is being written in pieces: nothing else can be appended.
    pub streaming: bool,
}

/// What is allocated for a read on the word of a reference and the manifest alone: most records are read without asking for the file's size.
const TRUSTED_BYTES: u64 = 1 << 20;

/// Which file it is, and what belongs into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub id: FileId,
    pub keyspace: KeyspaceId,
    pub bin: Bin,
    pub origin: BlobOrigin,
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
        let len = usize::try_from(self.len).ok().filter(|len| *len <= WHOLE_BYTES_MAX)?;
        match self.encoding {
            Encoding::Raw => (self.payload.len() == len).then_some(self.payload),
            encoding => decompress(encoding, &self.payload, len).map(Bytes::from),
        }
    }
}

impl BlobFile {
    fn new(of: Identity, path: PathBuf, (position, records): (u64, u64)) -> Self {
        let Identity { id, keyspace, bin, origin } = of;
        Self {
            id,
            keyspace,
            bin,
            origin,
            path,
            tail: Mutex::default(),
            writing: RwLock::default(),
            position: AtomicU64::new(position),
            records: AtomicU64::new(records),
            synced: GroupSync::new(0),
            pending: AtomicU64::new(0),
        }
    }

    /// An open file with these records already in it.
    pub(super) fn open_for_writing(
        of: Identity,
        path: PathBuf,
        size: (u64, u64),
        file: Arc<dyn VfsFile>,
        index: Vec<u8>,
    ) -> Self {
        let tail = Mutex::new(Tail { index, ..Tail::default() });
        Self { tail, writing: RwLock::new(Some(file)), ..Self::new(of, path, size) }
    }

    /// Makes an empty open file; its name is not durable until the caller has synced the directory.
    pub(crate) fn create(vfs: &dyn Vfs, path: PathBuf, of: Identity) -> Result<Self> {
        let file = vfs.create(&path).map_err(|source| Error::io("create", &path, source))?;
        let failed = |source| Error::io("write", &path, source);
        file.write_all_at(&encode_header(of.id, of.keyspace, of.bin), 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        let size = (HEADER_BYTES as u64, 0);
        let created = Self::open_for_writing(of, path, size, Arc::from(file), Vec::new());
        created.tail.lock().reserve = Reserve::on(size.0);
        Ok(created)
    }

    /// A file that the manifest says is sealed. Not opened until it is read.
    pub(crate) fn sealed(path: PathBuf, of: Identity, position: u64, records: u64) -> Self {
        Self::new(of, path, (position, records))
    }

    /// Appends a record; `None` if the file has been sealed meanwhile, or taken for a stream.
    pub(crate) fn append(
        &self,
        key: &[u8],
        encoding: Encoding,
        payload: &[u8],
        len: u64,
    ) -> Result<Option<BlobRef>> {
        let mut tail = self.tail.lock();
        let Some(file) = self.writing.read().clone().filter(|_| !tail.streaming) else { return Ok(None) };
        let offset = self.position.load(Ordering::Acquire);
        let record = encode_record(self.id, offset, (self.keyspace, key), (encoding, payload), len);
        if let Err(source) = file.write_all_at(&record, offset) {
            // What follows is written over the same place; recovery stops at a record that is not whole. A disk that refuses records has no room
            // to set aside.
            let _ = file.truncate(offset);
            tail.reserve = Reserve::Off;
            return Err(Error::io("write", &self.path, source));
        }
        let stored_len = payload.len() as u64;
        let key = Bytes::copy_from_slice(key);
        let record = Record { offset, key, stored_len, len, layout: BlobLayout::Whole };
        let blob = self.count(&mut tail, &record);
        tail.reserve.keep(&*file, self.position.load(Ordering::Acquire), self.synced.synced());
        Ok(Some(blob))
    }

    /// Takes up a record that was written whole at the end of the file.
    pub(super) fn count(&self, tail: &mut Tail, record: &Record) -> BlobRef {
        encode_index_entry(&mut tail.index, record);
        self.position.fetch_add(record.total_bytes(), Ordering::AcqRel);
        self.records.fetch_add(1, Ordering::AcqRel);
        self.pending.fetch_add(1, Ordering::AcqRel);
        record.blob_ref(self.id)
    }

    /// Keeps the file from being compacted or collected until [`Self::settle`].
    pub(super) fn hold(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
    }

    /// A record that [`Self::append`] counted as pending is committed or given up.
    pub(crate) fn settle(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.synced.synced() >= self.position.load(Ordering::Acquire)
    }

    /// Bytes of whole records that are durable.
    pub(crate) fn durable_bytes(&self) -> u64 {
        self.synced.synced().min(self.position.load(Ordering::Acquire))
    }

    /// Makes durable what was appended before the call.
    pub(crate) fn sync(&self) -> Result<()> {
        let Some(file) = self.writing.read().clone() else { return Ok(()) };
        let position = || self.position.load(Ordering::Acquire);
        let sync = || file.sync().map_err(|source| Error::io("sync", &self.path, source));
        self.synced.sync_through(position(), position, sync)
    }

    /// Makes durable what a stream has written behind the last record, too. If that fails, nothing of the file counts as durable any more:
    /// whose bytes the system could not write it does not say.
    pub(super) fn sync_anyway(&self, file: &dyn VfsFile) -> Result<()> {
        let position = || self.position.load(Ordering::Acquire);
        let sync = || file.sync().map_err(|source| Error::io("sync", &self.path, source));
        self.synced.sync_through(u64::MAX, position, sync)
    }

    /// Writes the index, makes the file durable and closes it; gives the length of the records' part and their number. Nothing happens
    /// if it is sealed.
    ///
    /// # Errors
    /// [`SealError::Write`]: it is open as before. [`SealError::Sync`]: nobody knows what of it is durable.
    pub(crate) fn seal(&self) -> std::result::Result<(u64, u64), SealError> {
        let mut tail = self.tail.lock();
        debug_assert!(!tail.streaming, "a file that a stream writes is not among the open ones of its bin");
        let (position, records) = self.size();
        let file = self.writing.read().clone();
        if let Some(file) = file {
            let mut end = tail.index.clone();
            end.extend_from_slice(&encode_trailer(self.id, position, &tail.index, records));
            // What a failed append left behind, or room, would hide the trailer, which is looked for at the end.
            tail.reserve = Reserve::Off;
            let written = file.truncate(position).and_then(|()| file.write_all_at(&end, position));
            written.map_err(|source| SealError::Write(Error::io("write", &self.path, source)))?;
            let len = position + end.len() as u64;
            let sync = || file.sync().map_err(|source| Error::io("sync", &self.path, source));
            self.synced.sync_through(len, || len, sync).map_err(SealError::Sync)?;
            *self.writing.write() = None;
            // From here on it is read from the file; the memory would stay as long as the database.
            tail.index = Vec::new();
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

    /// Where the record that a reference names ends, and how many bytes it has.
    pub(super) fn extent(&self, key: &[u8], blob: BlobRef) -> Result<(u64, u64)> {
        let total = total_bytes(key.len(), blob.stored_len);
        let end = blob.offset.checked_add(total).filter(|end| *end <= self.size().0);
        let past_end = || self.corruption(blob.offset, "a reference reaches past the last record");
        Ok((end.ok_or_else(past_end)?, total))
    }

    /// `bytes` from `offset`, to be allocated. The length comes from a reference, and where the records end from the manifest: what is
    /// large is first compared with what the file has.
    pub(super) fn bytes_to_read(&self, handles: &OpenFiles, offset: u64, bytes: u64) -> Result<usize> {
        let reaches_past = || -> Result<bool> {
            let size =
                self.handle(handles)?.size().map_err(|source| Error::io("read", &self.path, source))?;
            Ok(offset.checked_add(bytes).is_none_or(|end| end > size))
        };
        if bytes > TRUSTED_BYTES && reaches_past()? {
            return Err(self.corruption(offset, "it ends before that"));
        }
        usize::try_from(bytes).map_err(|_| self.corruption(offset, "a record is too long for this machine"))
    }

    /// The record in one piece that a reference names, checked against key, lengths and checksums, not decompressed. One read.
    pub(crate) fn read_stored(&self, handles: &OpenFiles, key: &[u8], blob: BlobRef) -> Result<StoredRecord> {
        let (offset, (_, total)) = (blob.offset, self.extent(key, blob)?);
        if blob.stored_len > WHOLE_BYTES_MAX as u64 {
            return Err(self.corruption(offset, "a record in one piece is longer than any can be"));
        }
        let mut bytes = vec![0; self.bytes_to_read(handles, offset, total)?];
        self.handle(handles)?
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| Error::read(&self.path, offset, source))?;
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
        if blob.layout == BlobLayout::Chunked {
            return self.read_chunked(handles, key, blob);
        }
        self.read_stored(handles, key, blob)?
            .decode()
            .ok_or_else(|| self.corruption(blob.offset, "a record does not decompress"))
    }

    /// Reads a record and checks all that can be checked, a chunk at a time if it has chunks.
    pub(crate) fn verify_record(&self, handles: &OpenFiles, key: &[u8], blob: BlobRef) -> Result<()> {
        if blob.layout == BlobLayout::Whole {
            return self.read(handles, key, blob).map(drop);
        }
        self.verify_stream_head(handles, blob.offset)?;
        let chunks = self.chunks(handles, key, blob)?;
        (0..chunks.count()).try_for_each(|n| self.read_chunk(handles, &chunks, n).map(drop))
    }

    /// The index of a sealed file, in file order. Memory: O(records).
    pub(crate) fn index(&self, handles: &OpenFiles) -> Result<Vec<Record>> {
        let file = self.handle(handles)?;
        let failed = |source| Error::io("read", &self.path, source);
        let len = file.size().map_err(failed)?;
        let at = len.saturating_sub(TRAILER_BYTES as u64);
        let mut trailer_bytes = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer_bytes, at).map_err(|source| Error::read(&self.path, at, source))?;
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
