//! Reading values piece by piece.

use super::read::decode_ref;
use super::snapshot::Reading;
use super::{Inner, Keyspace, Snapshot};
use crate::blob::{BlobFile, Chunks};
use crate::error::{Error, Result};
use crate::types::{BlobLayout, KeyspaceId, Kind};
use bytes::Bytes;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

/// A value, read piece by piece and at any place, as of a snapshot that it holds.
///
/// A value that was streamed is read a chunk at a time (256 KiB): verified, decompressed, and forgotten. A smaller one is read at once.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let files = db.keyspace("files", KeyspaceOptions::default())?;
/// let bin = Bin { class: 0, due_ms: u64::MAX };
/// let blob = db.append_blob(&files, bin, b"key", &[7; 1_000_000], Compression::Dense)?;
/// let mut batch = db.batch();
/// batch.put_blob(&files, "key", &blob);
/// db.write(batch, Durability::Sync)?;
///
/// let mut reader = files.reader(b"key")?.unwrap();
/// assert_eq!(reader.len(), 1_000_000);
/// assert_eq!(reader.read_range(999_998..1_000_000)?, [7, 7][..]);
/// # Ok::<(), Error>(())
/// ```
pub struct ValueReader {
    source: Source,
    len: u64,
    position: u64,
    /// Keeps the blob's file.
    reading: Reading,
}

enum Source {
    Whole(Bytes),
    Chunked {
        file: Arc<BlobFile>,
        chunks: Chunks,
        /// The chunk that was read last.
        current: Option<(usize, Bytes)>,
    },
}

impl Keyspace {
    /// A reader of the value of a key, as of now; `None` if there is none.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// use std::io::Read;
    ///
    /// users.put("alice", "thirty")?;
    /// let mut text = String::new();
    /// users.reader(b"alice")?.unwrap().read_to_string(&mut text).unwrap();
    /// assert_eq!(text, "thirty");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`] with file and offset if what it must read first is not what was written.
    pub fn reader(&self, key: &[u8]) -> Result<Option<ValueReader>> {
        self.db().snapshot().reader(self, key)
    }
}

impl Snapshot {
    /// As [`Keyspace::reader`], as of the snapshot.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// let before = db.snapshot();
    /// users.delete("alice")?;
    /// assert_eq!(before.reader(&users, b"alice")?.unwrap().len(), 2);
    /// assert!(users.reader(b"alice")?.is_none());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::reader`].
    pub fn reader(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<ValueReader>> {
        let inner = self.inner(keyspace)?;
        let reading = Reading { snapshot: self.clone(), inner: inner.clone() };
        let found = inner.open_value(keyspace.id(), key, self)?;
        Ok(found.map(|(source, len)| ValueReader { source, len, position: 0, reading }))
    }
}

impl Inner {
    fn open_value(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        snapshot: &Snapshot,
    ) -> Result<Option<(Source, u64)>> {
        let Some((tag, value)) = self.look_up(keyspace, key, Some(snapshot.seqno()))? else {
            return Ok(None);
        };
        let whole = |value: Bytes| {
            let len = value.len() as u64;
            Some((Source::Whole(value), len))
        };
        if tag.kind() != Some(Kind::BlobRef) {
            return Ok(whole(value));
        }
        let blob = decode_ref(&value)?;
        // The snapshot keeps the file.
        let file = self.blobs.file(blob.file).ok_or_else(super::read::blob_file_is_missing)?;
        if blob.layout == BlobLayout::Whole {
            return Ok(whole(file.read(&self.blobs.handles, key, blob)?));
        }
        let chunks = file.chunks(&self.blobs.handles, key, blob)?;
        Ok(Some((Source::Chunked { file, chunks, current: None }, blob.len)))
    }
}

impl ValueReader {
    /// Bytes of the value.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// assert_eq!(users.reader(b"alice")?.unwrap().len(), 2);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the value has no bytes.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("nobody", "")?;
    /// assert!(users.reader(b"nobody")?.unwrap().is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of a range, cut off at the end of the value. The position of [`Read`] stays where it is.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "0123456789")?;
    /// let mut reader = users.reader(b"alice")?.unwrap();
    /// assert_eq!(reader.read_range(3..5)?, "34");
    /// assert_eq!(reader.read_range(8..100)?, "89");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`] with file and offset if the bytes are not what was written.
    pub fn read_range(&mut self, range: Range<u64>) -> Result<Bytes> {
        let (from, to) = (range.start.min(self.len), range.end.min(self.len));
        let mut out = Vec::new();
        let mut at = from;
        while at < to {
            let piece = self.piece_at(at)?;
            let piece = piece.slice(..piece.len().min((to - at) as usize));
            if from + piece.len() as u64 == to && out.is_empty() {
                return Ok(piece);
            }
            at += piece.len() as u64;
            out.extend_from_slice(&piece);
        }
        Ok(out.into())
    }

    /// What is at hand from a position on, which is before the end: something.
    fn piece_at(&mut self, at: u64) -> Result<Bytes> {
        let piece = match &mut self.source {
            Source::Whole(bytes) => bytes.get(at as usize..).map(|rest| bytes.slice_ref(rest)),
            Source::Chunked { file, chunks, current } => {
                let chunk_bytes = u64::from(chunks.chunk_bytes);
                let n = (at / chunk_bytes) as usize;
                let chunk = match current {
                    Some((number, chunk)) if *number == n => chunk.clone(),
                    _ => {
                        let handles = &self.reading.inner.blobs().handles;
                        let chunk = file.read_chunk(handles, chunks, n)?;
                        current.insert((n, chunk)).1.clone()
                    }
                };
                let skip = (at % chunk_bytes) as usize;
                (skip < chunk.len()).then(|| chunk.slice(skip..))
            }
        };
        piece.ok_or_else(|| Error::invalid("a position is past the end of the value"))
    }
}

impl Read for ValueReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.len || buf.is_empty() {
            return Ok(0);
        }
        let piece = self.piece_at(self.position)?;
        let len = piece.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), piece.get(..len)) {
            to.copy_from_slice(from);
        }
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for ValueReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.len.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
