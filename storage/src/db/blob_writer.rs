//! Writing blobs piece by piece.
//!
//! A writer holds at most one chunk. What fits into one becomes a record in one piece, in the open file of the bin; as soon as more
//! comes, the bin's file is taken aside and the chunks are written one after the other (`blob/stream.rs`).

use super::{Db, Inner, Keyspace};
use crate::batch::PendingBlob;
use crate::blob::{BlobFile, CHUNK_BYTES, StreamAppend};
use crate::compress::{Encoding, compress_blob};
use crate::error::{Error, Result};
use crate::types::{Bin, BlobLayout, BlobRef, Compression, KeyspaceId};
use bytes::Bytes;
use std::borrow::Cow;
use std::io;
use std::sync::Arc;

/// A blob on its way to a bin, written piece by piece: neither its length nor its key need be known before its end.
///
/// It is invisible, and after a crash gone, until [`BlobWriter::finish`] has given it a key and a batch has put it. Dropped before, it
/// leaves no bytes behind. Holds a chunk (256 KiB) in memory, whatever the length.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let files = db.keyspace("files", KeyspaceOptions::default())?;
/// let bin = Bin { class: 0, due_ms: u64::MAX };
/// let mut writer = db.blob_writer(&files, bin, Compression::Dense);
/// for piece in ["as it ", "comes, "] {
///     writer.append(piece.as_bytes())?;
/// }
/// let blob = writer.finish(b"key")?;
/// let mut batch = db.batch();
/// batch.put_blob(&files, "key", &blob);
/// db.write(batch, Durability::Sync)?;
/// assert_eq!(files.get(b"key")?.unwrap(), "as it comes, ");
/// # Ok::<(), Error>(())
/// ```
pub struct BlobWriter {
    inner: Arc<Inner>,
    home: (KeyspaceId, Bin),
    compression: Compression,
    /// The chunk that is being filled.
    buffer: Vec<u8>,
    len: u64,
    stream: Option<OpenStream>,
    /// A piece was refused, or could not be written or had from its reader: it is missing.
    is_broken: bool,
    /// The keyspace is not of this database.
    is_foreign: bool,
}

/// A stream that gives its file back however it ends.
struct OpenStream {
    inner: Arc<Inner>,
    append: StreamAppend,
}

impl OpenStream {
    fn begin(inner: &Arc<Inner>, (keyspace, bin): (KeyspaceId, Bin), chunk_bytes: u32) -> Result<Self> {
        let append = inner.begin_stream(keyspace, bin, chunk_bytes)?;
        Ok(Self { inner: inner.clone(), append })
    }

    fn append(&mut self, (encoding, payload): (Encoding, &[u8]), len: usize) -> Result<()> {
        self.inner.check_room_for_blob()?;
        self.append.append_chunk(encoding, payload, len as u32)?;
        self.append.sync_if_due().map_err(|error| self.inner.fail(error))
    }

    fn finish(mut self, key: &[u8]) -> Result<PendingBlob> {
        let blob = self.append.finish(key)?;
        let file = self.append.file().clone();
        let keyspace = file.keyspace;
        self.inner.counters.blob(blob.len, crate::blob::record_bytes(key.len(), blob.stored_len));
        Ok(PendingBlob::new(file, keyspace, Bytes::copy_from_slice(key), blob))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.append.abort();
        // A file that cannot be sealed now stays aside, and is sealed later; that is no failure of its records.
        let _ = self.inner.end_stream(self.append.file());
        self.inner.tend_ballast();
    }
}

impl Db {
    /// Begins a blob of a bin, to be written piece by piece. Many may be written at once, also to one bin.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let mut writer = db.blob_writer(&files, bin, Compression::Fast);
    /// writer.append(b"some bytes")?;
    /// assert_eq!(writer.finish(b"key")?.blob_ref().len, 10);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn blob_writer(&self, keyspace: &Keyspace, bin: Bin, compression: Compression) -> BlobWriter {
        let is_foreign = self.check_own(keyspace).is_err();
        BlobWriter { is_foreign, ..BlobWriter::new(&self.inner, (keyspace.id(), bin), compression) }
    }

    /// Appends all that a reader gives, as [`Db::append_blob`] does with bytes; no more than a chunk is held in memory.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let mut source = &b"from a file or a socket"[..];
    /// let blob = db.append_blob_from(&files, bin, b"key", &mut source, Compression::Dense)?;
    /// let mut batch = db.batch();
    /// batch.put_blob(&files, "key", &blob);
    /// db.write(batch, Durability::Sync)?;
    /// assert_eq!(files.get(b"key")?.unwrap(), "from a file or a socket");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::append_blob`]; [`crate::ErrorKind::Io`] with the reader's error.
    pub fn append_blob_from(
        &self,
        keyspace: &Keyspace,
        bin: Bin,
        key: &[u8],
        reader: &mut dyn io::Read,
        compression: Compression,
    ) -> Result<PendingBlob> {
        self.inner.check_blob_key(key)?;
        let mut writer = self.blob_writer(keyspace, bin, compression);
        writer.append_from(reader)?;
        writer.finish(key)
    }
}

impl BlobWriter {
    fn new(inner: &Arc<Inner>, home: (KeyspaceId, Bin), compression: Compression) -> Self {
        let (inner, buffer) = (inner.clone(), Vec::new());
        Self { inner, home, compression, buffer, len: 0, stream: None, is_broken: false, is_foreign: false }
    }

    /// Bytes appended so far.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let mut writer = db.blob_writer(&files, bin, Compression::Fast);
    /// writer.append(b"some bytes")?;
    /// assert_eq!(writer.len(), 10);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was appended.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// assert!(db.blob_writer(&files, bin, Compression::Fast).is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a piece of any length.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let mut writer = db.blob_writer(&files, bin, Compression::Fast);
    /// for piece in [&b"some "[..], b"", b"bytes"] {
    ///     writer.append(piece)?;
    /// }
    /// assert_eq!(writer.len(), 10);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] if the blob gets longer than `Options::blob_bytes_max`, else what the file system
    /// refused. After an error the blob can only be dropped.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.check_whole()?;
        self.append_piece(bytes).inspect_err(|_| self.is_broken = true)
    }

    fn append_piece(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.inner.check_blob_len(self.len.saturating_add(bytes.len() as u64))?;
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.buffer.len() == CHUNK_BYTES {
                self.write_chunk()?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Appends all that a reader gives. An interrupted read is tried again.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let mut writer = db.blob_writer(&files, bin, Compression::Fast);
    /// writer.append(b"a head, ")?;
    /// writer.append_from(&mut &b"then a stream"[..])?;
    /// assert_eq!(writer.len(), 21);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`BlobWriter::append`]; [`crate::ErrorKind::Io`] with the reader's error.
    pub fn append_from(&mut self, reader: &mut dyn io::Read) -> Result<()> {
        let mut piece = vec![0; 64 << 10];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(len) => self.append(piece.get(..len).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_broken = true;
                    return Err(Error::reader(error));
                }
            }
        }
    }

    fn check_whole(&self) -> Result<()> {
        if self.is_foreign {
            return Err(Error::foreign());
        }
        if self.is_broken {
            return Err(Error::invalid("an earlier write of this blob failed; drop it and begin again"));
        }
        Ok(())
    }

    fn write_chunk(&mut self) -> Result<()> {
        self.inner.check_writable()?;
        if self.stream.is_none() {
            self.stream = Some(OpenStream::begin(&self.inner, self.home, CHUNK_BYTES as u32)?);
        }
        let (encoding, payload) = compress_blob(&self.buffer, self.compression);
        if let Some(stream) = &mut self.stream {
            stream.append((encoding, &payload), self.buffer.len())?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Ends the blob and gives it its key, under which a batch must put it.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// let mut writer = db.blob_writer(&files, bin, Compression::Fast);
    /// writer.append(b"some bytes")?;
    /// // The key may be known only now: a hash of what was written, say.
    /// let blob = writer.finish(b"key")?;
    /// assert_eq!(blob.key(), "key");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for a key over the limit, else what the file system refused.
    pub fn finish(mut self, key: &[u8]) -> Result<PendingBlob> {
        self.check_whole()?;
        self.inner.check_blob_key(key)?;
        self.inner.check_writable()?;
        if self.stream.is_some() && !self.buffer.is_empty() {
            self.write_chunk()?;
        }
        match self.stream.take() {
            Some(stream) => stream.finish(key),
            None => {
                let (encoding, payload) = compress_blob(&self.buffer, self.compression);
                self.inner.append_record(self.home, key, (encoding, &payload), self.len)
            }
        }
    }
}

impl io::Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    /// Does nothing: what was written becomes durable with the batch that puts the blob.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value as it will be stored, cut into pieces of a chunk: what can be done without the file is done.
pub(crate) struct EncodedValue {
    len: u64,
    /// At least one.
    pieces: Vec<Piece>,
}

struct Piece {
    encoding: Encoding,
    payload: Bytes,
    len: usize,
}

impl EncodedValue {
    pub(crate) fn new(value: &Bytes, compression: Compression) -> Self {
        let cut = |from: usize| value.slice(from..value.len().min(from + CHUNK_BYTES));
        let starts = (0..value.len().max(1)).step_by(CHUNK_BYTES);
        let pieces = starts.map(|from| {
            let bytes = cut(from);
            let (encoding, payload) = compress_blob(&bytes, compression);
            let payload = match payload {
                Cow::Owned(payload) => payload.into(),
                Cow::Borrowed(_) => bytes.clone(),
            };
            Piece { encoding, payload, len: bytes.len() }
        });
        Self { len: value.len() as u64, pieces: pieces.collect() }
    }
}

impl Inner {
    /// Appends a value that is encoded already, as [`BlobWriter`] would have.
    pub(crate) fn append_encoded(
        self: &Arc<Self>,
        home: (KeyspaceId, Bin),
        key: &[u8],
        value: &EncodedValue,
    ) -> Result<PendingBlob> {
        self.check_blob_key(key)?;
        self.check_blob_len(value.len)?;
        if let [Piece { encoding, payload, .. }] = &value.pieces[..] {
            return self.append_record(home, key, (*encoding, payload), value.len);
        }
        let mut stream = OpenStream::begin(self, home, CHUNK_BYTES as u32)?;
        for Piece { encoding, payload, len } in &value.pieces {
            stream.append((*encoding, payload), *len)?;
        }
        stream.finish(key)
    }

    /// Copies a value to another bin and key, compressed anew. If it has chunks it is not held as a whole.
    pub(crate) fn compress_record(
        self: &Arc<Self>,
        from: &BlobFile,
        (old_key, blob): (&[u8], BlobRef),
        home: (KeyspaceId, Bin),
        key: &[u8],
        compression: Compression,
    ) -> Result<PendingBlob> {
        let handles = &self.blobs.handles;
        let mut writer = BlobWriter::new(self, home, compression);
        if blob.layout == BlobLayout::Whole {
            writer.append(&from.read(handles, old_key, blob)?)?;
            return writer.finish(key);
        }
        let chunks = from.chunks(handles, old_key, blob)?;
        for n in 0..chunks.count() {
            writer.append(&from.read_chunk(handles, &chunks, n)?)?;
        }
        writer.finish(key)
    }

    /// Copies a record to another bin as it is stored: verified, but neither decompressed nor, if it has chunks, held as a whole.
    pub(crate) fn copy_record(
        self: &Arc<Self>,
        from: &BlobFile,
        key: &[u8],
        blob: BlobRef,
        bin: Bin,
    ) -> Result<PendingBlob> {
        let (handles, home) = (&self.blobs.handles, (from.keyspace, bin));
        if blob.layout == BlobLayout::Whole {
            let stored = from.read_stored(handles, key, blob)?;
            return self.append_record(home, key, (stored.encoding, &stored.payload), stored.len);
        }
        let chunks = from.chunks(handles, key, blob)?;
        let mut stream = OpenStream::begin(self, home, chunks.chunk_bytes)?;
        for n in 0..chunks.count() {
            let (encoding, payload, len) = from.read_stored_chunk(handles, &chunks, n)?;
            stream.append((encoding, &payload), len as usize)?;
        }
        stream.finish(key)
    }
}
