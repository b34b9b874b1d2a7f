//! Records that are written, and read, in pieces.
//!
//! Problem: a value of gigabytes must be stored once, and be held in memory neither when it is written nor when it is read; its
//! length, and its key if that is a hash of it, are known only when its last byte has come. So it is cut into chunks, each
//! compressed and checksummed by itself, written one after the other as they come, and a table of the chunks with key and
//! length follows at the end. The record counts once its end is written: until then it is a torn tail like any other.
//!
//! A stream has the end of its file for itself: whoever else appends to the bin meanwhile takes another file (see `db/blobs.rs`).
//! Given up before it is finished it is cut off again, so a writer that changes its mind leaves no garbage.

use super::file::BlobFile;
use super::stream_format::*;
use crate::compress::{Encoding, decompress};
use crate::error::{Error, Result};
use crate::open_files::OpenFiles;
use crate::types::BlobRef;
use crate::vfs::VfsFile;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A record being written in pieces.
pub(crate) struct StreamAppend {
    file: Arc<BlobFile>,
    handle: Arc<dyn VfsFile>,
    /// Where the record begins, and where its next frame goes.
    offset: u64,
    position: u64,
    synced: u64,
    len: u64,
    chunk_bytes: u32,
    chunks: Vec<u32>,
    /// What the next write begins with: at first the record's head.
    frame: Vec<u8>,
    /// Finished or given up.
    ended: bool,
}

/// Unsynced bytes of a stream after which it is synced: the last sync of a large object must not keep others waiting.
const SYNC_BYTES: u64 = 16 << 20;

impl BlobFile {
    /// Begins a record of chunks of `chunk_bytes`; `None` if the file is sealed, or another stream writes it. Nothing is written yet.
    pub(crate) fn begin_stream(self: &Arc<Self>, chunk_bytes: u32) -> Option<StreamAppend> {
        let mut tail = self.tail.lock();
        let handle = self.writing.read().clone().filter(|_| !tail.streaming)?;
        tail.streaming = true;
        let offset = self.position.load(Ordering::Acquire);
        Some(StreamAppend {
            file: self.clone(),
            handle,
            offset,
            position: offset,
            synced: offset,
            len: 0,
            chunk_bytes,
            chunks: Vec::new(),
            frame: encode_stream_head(self.id, offset, self.keyspace).to_vec(),
            ended: false,
        })
    }

    pub(crate) fn is_streaming(&self) -> bool {
        self.tail.lock().streaming
    }
}

impl StreamAppend {
    pub(crate) fn file(&self) -> &Arc<BlobFile> {
        &self.file
    }

    /// Appends a chunk: `chunk_bytes` of the value, fewer only in the last.
    ///
    /// # Errors
    /// The record is given up.
    pub(crate) fn append_chunk(&mut self, encoding: Encoding, payload: &[u8], len: u32) -> Result<()> {
        debug_assert!(self.len.is_multiple_of(self.chunk_bytes.into()) && len <= self.chunk_bytes);
        let at = (self.file.id, self.position + self.frame.len() as u64);
        encode_frame(&mut self.frame, at, FrameKind::Chunk, (encoding, payload), len);
        self.write_frame()?;
        self.chunks.push(payload.len() as u32);
        self.len += u64::from(len);
        Ok(())
    }

    fn write_frame(&mut self) -> Result<()> {
        if self.ended {
            return Err(Error::invalid("an earlier write of this blob failed; drop it and begin again"));
        }
        if let Err(source) = self.handle.write_all_at(&self.frame, self.position) {
            self.abort();
            return Err(Error::io("write", self.file.path(), source));
        }
        self.position += self.frame.len() as u64;
        self.frame.clear();
        Ok(())
    }

    /// Makes durable what was written, if that is much.
    ///
    /// # Errors
    /// Nobody knows what of the file is durable.
    pub(crate) fn sync_if_due(&mut self) -> Result<()> {
        if self.position - self.synced >= SYNC_BYTES {
            self.file.sync_anyway(&*self.handle)?;
            self.synced = self.position;
        }
        Ok(())
    }

    /// Ends the record: from here on it counts, as pending like any appended one.
    pub(crate) fn finish(&mut self, key: &[u8]) -> Result<BlobRef> {
        let id = self.file.id;
        let table = StreamTable {
            key: Bytes::copy_from_slice(key),
            len: self.len,
            chunk_bytes: self.chunk_bytes,
            chunks: std::mem::take(&mut self.chunks),
        };
        let payload = table.encode();
        let table_at = self.position + self.frame.len() as u64;
        let raw = (Encoding::Raw, &payload[..]);
        encode_frame(&mut self.frame, (id, table_at), FrameKind::Table, raw, payload.len() as u32);
        let end_at = self.position + self.frame.len() as u64;
        self.frame.extend_from_slice(&encode_stream_end(id, end_at, table_at - self.offset));
        self.write_frame()?;
        let record = table.record(self.offset, self.position - self.offset);
        let mut tail = self.file.tail.lock();
        self.ended = true;
        tail.streaming = false;
        Ok(self.file.count(&mut tail, &record))
    }

    /// Cuts off what was written, unless the record was finished; the file may be appended to again.
    pub(crate) fn abort(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        // What stays in the way of the next record is written over; sealing and recovery cut off the rest.
        let _ = self.handle.truncate(self.offset);
        self.file.tail.lock().streaming = false;
    }
}

/// Where the chunks of a record are. Memory: 8 bytes a chunk.
pub(crate) struct Chunks {
    pub len: u64,
    pub chunk_bytes: u32,
    /// Where each frame begins in the file, and where the last one ends.
    starts: Vec<u64>,
}

impl Chunks {
    pub(crate) fn count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Bytes of the value in the n-th chunk.
    fn len_of(&self, n: usize) -> u64 {
        let chunk_bytes = u64::from(self.chunk_bytes);
        self.len.saturating_sub(n as u64 * chunk_bytes).min(chunk_bytes)
    }
}

/// Memory for a value that is taken because its table says how long it is.
const ALLOCATE_AHEAD_BYTES: u64 = 64 << 20;
/// Read from the end of a record at first: the tables of values up to some gigabytes fit.
const END_READ_BYTES: u64 = 16 << 10;

impl BlobFile {
    /// The table of the record that a reference names, checked against it. One read, two for a large table.
    pub(crate) fn chunks(&self, handles: &OpenFiles, key: &[u8], blob: BlobRef) -> Result<Chunks> {
        let (end, total) = self.extent(key, blob)?;
        let broken = |what| self.corruption(blob.offset, what);
        let read = |from: u64, to: u64| {
            let mut bytes = vec![0; self.bytes_to_read(handles, from, to.saturating_sub(from))?];
            let read = self.handle(handles)?.read_exact_at(&mut bytes, from);
            read.map_err(|source| Error::read(self.path(), from, source))?;
            Ok::<_, Error>(bytes)
        };
        let from = end - total.min(END_READ_BYTES);
        let mut bytes = read(from, end)?;
        let end_at = end.saturating_sub(STREAM_END_BYTES as u64);
        let tail = bytes.len().checked_sub(STREAM_END_BYTES).and_then(|at| bytes.get(at..));
        let table_at = tail
            .and_then(|tail| decode_stream_end(self.id, end_at, tail))
            .and_then(|at| blob.offset.checked_add(at))
            .filter(|at| (blob.offset + STREAM_HEAD_BYTES as u64..end_at).contains(at))
            .ok_or_else(|| broken("the end of a streamed record does not hold"))?;
        let frame = match table_at.checked_sub(from) {
            Some(at) => bytes.split_off(at as usize),
            None => read(table_at, end)?,
        };
        let head = decode_frame_head(self.id, table_at, &frame);
        let payload = frame.get(FRAME_HEAD_BYTES..frame.len().saturating_sub(STREAM_END_BYTES));
        let (Some(head), Some(payload)) = (head, payload) else {
            return Err(broken("the table of a streamed record does not hold"));
        };
        if head.kind != FrameKind::Table || !head.holds(self.id, table_at, payload) {
            return Err(broken("the table of a streamed record does not hold"));
        }
        let table = StreamTable::decode(payload).ok_or_else(|| broken("its table makes no sense"))?;
        if table.key != key || table.len != blob.len {
            return Err(broken("a record is not the one that its reference names"));
        }
        let mut starts = vec![blob.offset + STREAM_HEAD_BYTES as u64];
        let mut at = blob.offset + STREAM_HEAD_BYTES as u64;
        for stored_len in &table.chunks {
            at = at.saturating_add(FRAME_HEAD_BYTES as u64 + u64::from(*stored_len));
            starts.push(at);
        }
        if at != table_at {
            return Err(broken("the chunks of a record do not fill it"));
        }
        Ok(Chunks { len: table.len, chunk_bytes: table.chunk_bytes, starts })
    }

    /// Checks the head of a streamed record, which no reader needs: recovery goes by it.
    pub(super) fn verify_stream_head(&self, handles: &OpenFiles, offset: u64) -> Result<()> {
        let mut head = [0; STREAM_HEAD_BYTES];
        let read = self.handle(handles)?.read_exact_at(&mut head, offset);
        read.map_err(|source| Error::read(self.path(), offset, source))?;
        if check_stream_head(self.id, offset, &head) {
            Ok(())
        } else {
            Err(self.corruption(offset, "the head of a streamed record does not hold"))
        }
    }

    /// The n-th chunk as it is stored, verified: how it is encoded, and how long it is decoded.
    pub(crate) fn read_stored_chunk(
        &self,
        handles: &OpenFiles,
        chunks: &Chunks,
        n: usize,
    ) -> Result<(Encoding, Bytes, u32)> {
        let (Some(&from), Some(&to)) = (chunks.starts.get(n), chunks.starts.get(n + 1)) else {
            return Err(self.corruption(0, "a record has fewer chunks than its length needs"));
        };
        let mut frame = vec![0; self.bytes_to_read(handles, from, to.saturating_sub(from))?];
        let read = self.handle(handles)?.read_exact_at(&mut frame, from);
        read.map_err(|source| Error::read(self.path(), from, source))?;
        let head = decode_frame_head(self.id, from, &frame)
            .filter(|head| head.kind == FrameKind::Chunk && u64::from(head.len) == chunks.len_of(n))
            .ok_or_else(|| self.corruption(from, "the head of a chunk does not hold"))?;
        let payload = Bytes::from(frame).slice(FRAME_HEAD_BYTES..);
        if payload.len() != head.stored_len as usize || !head.holds(self.id, from, &payload) {
            return Err(self.corruption(from, "the bytes of a chunk do not hold"));
        }
        Ok((head.encoding, payload, head.len))
    }

    /// The n-th chunk of the value.
    pub(crate) fn read_chunk(&self, handles: &OpenFiles, chunks: &Chunks, n: usize) -> Result<Bytes> {
        let (encoding, payload, len) = self.read_stored_chunk(handles, chunks, n)?;
        let len = len as usize;
        let decoded = match encoding {
            Encoding::Raw => (payload.len() == len).then_some(payload),
            encoding => decompress(encoding, &payload, len).map(Bytes::from),
        };
        let at = chunks.starts.get(n).copied().unwrap_or_default();
        decoded.ok_or_else(|| self.corruption(at, "a chunk does not decompress"))
    }

    pub(super) fn read_chunked(&self, handles: &OpenFiles, key: &[u8], blob: BlobRef) -> Result<Bytes> {
        let chunks = self.chunks(handles, key, blob)?;
        // Compressed chunks are shorter than what they claim to hold, so beyond this nothing is allocated before a chunk was decoded.
        let mut value = Vec::with_capacity(chunks.len.min(ALLOCATE_AHEAD_BYTES) as usize);
        for n in 0..chunks.count() {
            value.extend_from_slice(&self.read_chunk(handles, &chunks, n)?);
        }
        Ok(value.into())
    }
}
