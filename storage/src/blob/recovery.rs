//! Recovery of a blob file that was open when the process ended: its records are read from the front, up to the first that is not
//! whole. What follows was never acknowledged: a record that was being written, or a stream that had not come to its end. If the manifest or a log
//! knows of more, the file is damaged, and the opening says so.

use super::file::{BlobFile, Identity};
use super::format::*;
use super::stream_format::*;
use crate::error::{Error, Result};
use crate::manifest::BlobOrigin;
use crate::open_files::OpenFiles;
use crate::types::{BlobLayout, FileId};
use crate::vfs::{Vfs, VfsFile};
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

impl BlobFile {
    /// A file that was open when the process ended: reads it from the front, up to its last whole record. What follows stays until
    /// [`Self::seal`] cuts it off: only the manifest and the logs can tell whether it is torn or damaged.
    pub(crate) fn scan(vfs: &dyn Vfs, path: PathBuf, of: Identity) -> Result<Self> {
        let id = of.id;
        let failed = |source| Error::io("read", &path, source);
        let file: Arc<dyn VfsFile> = vfs.open(&path).map_err(failed)?.into();
        let len = file.size().map_err(failed)?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(|source| Error::read(&path, 0, source))?;
        check_header(&header, id).map_err(|what| Error::corruption(&path, 0, what))?;
        let (mut position, mut records, mut index) = (HEADER_BYTES as u64, 0, Vec::new());
        while let Some(record) = record_at(&*file, id, position, len).map_err(failed)? {
            position += record.total_bytes();
            records += 1;
            encode_index_entry(&mut index, &record);
        }
        Ok(Self::open_for_writing(of, path, (position, records), file, index))
    }
}

impl BlobFile {
    /// A file of which nobody says anything but itself. A reference is believed as far as its record holds.
    pub(crate) fn alone(vfs: &dyn Vfs, path: PathBuf, id: FileId) -> Result<Self> {
        let file = vfs.open(&path).map_err(|source| Error::io("open", &path, source))?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(|source| Error::read(&path, 0, source))?;
        let checked = check_header(&header, id).map_err(|what| Error::corruption(&path, 0, what));
        let (keyspace, bin) = checked.and_then(|()| {
            decode_header(&header).ok_or_else(|| Error::corruption(&path, 0, "its header is cut"))
        })?;
        Ok(Self::sealed(path, Identity { id, keyspace, bin, origin: BlobOrigin::User }, u64::MAX, 0))
    }

    /// The records that can be found without references: by the index, or, where there is none, from the front up to the first that does not
    /// hold.
    pub(crate) fn find_records(&self, handles: &OpenFiles) -> Vec<Record> {
        if let Ok(records) = self.index(handles) {
            return records;
        }
        let mut records = Vec::new();
        let mut position = HEADER_BYTES as u64;
        let opened = self.handle(handles).ok().and_then(|file| Some((file.size().ok()?, file)));
        let Some((len, file)) = opened else { return records };
        while position < len
            && let Ok(Some(record)) = record_at(&*file, self.id, position, len)
        {
            position += record.total_bytes();
            records.push(record);
        }
        records
    }
}

/// The record at `offset` of a file of `len` bytes, if it is whole.
pub(super) fn record_at(file: &dyn VfsFile, id: FileId, offset: u64, len: u64) -> io::Result<Option<Record>> {
    let left = len.saturating_sub(offset);
    let mut bytes = vec![0; left.min(RECORD_HEAD_BYTES as u64 + u64::from(u16::MAX)) as usize];
    file.read_exact_at(&mut bytes, offset)?;
    if bytes.starts_with(STREAM_MAGIC) {
        return streamed_record_at(file, id, offset, len);
    }
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
    let (stored_len, len, layout) = (head.stored_len, head.len, BlobLayout::Whole);
    Ok(Some(Record { offset, key, stored_len, len, layout }))
}

/// As [`record_at`], for a streamed record: frame by frame, so that memory is that of one chunk.
fn streamed_record_at(file: &dyn VfsFile, id: FileId, offset: u64, len: u64) -> io::Result<Option<Record>> {
    let mut head = [0; STREAM_HEAD_BYTES];
    if len - offset < STREAM_HEAD_BYTES as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut head, offset)?;
    if !check_stream_head(id, offset, &head) {
        return Ok(None);
    }
    let mut at = offset + STREAM_HEAD_BYTES as u64;
    let mut stored = Vec::new();
    loop {
        let Some((frame, payload)) = frame_at(file, id, at, len)? else { return Ok(None) };
        let next = at + (FRAME_HEAD_BYTES + payload.len()) as u64;
        match frame.kind {
            FrameKind::Chunk => stored.push(frame.stored_len),
            FrameKind::Table => {
                let Some(table) = StreamTable::decode(&payload).filter(|table| table.chunks == stored) else {
                    return Ok(None);
                };
                let mut end = [0; STREAM_END_BYTES];
                if len - next < STREAM_END_BYTES as u64 {
                    return Ok(None);
                }
                file.read_exact_at(&mut end, next)?;
                let is_whole = decode_stream_end(id, next, &end) == Some(at - offset);
                let total = next + STREAM_END_BYTES as u64 - offset;
                return Ok(is_whole.then(|| table.record(offset, total)));
            }
        }
        at = next;
    }
}

/// The frame at `at`, if it is whole.
fn frame_at(file: &dyn VfsFile, id: FileId, at: u64, len: u64) -> io::Result<Option<(FrameHead, Vec<u8>)>> {
    let left = len.saturating_sub(at);
    if left < FRAME_HEAD_BYTES as u64 {
        return Ok(None);
    }
    let mut head = [0; FRAME_HEAD_BYTES];
    file.read_exact_at(&mut head, at)?;
    let Some(frame) = decode_frame_head(id, at, &head) else { return Ok(None) };
    if u64::from(frame.stored_len) > left - FRAME_HEAD_BYTES as u64 {
        return Ok(None);
    }
    let mut payload = vec![0; frame.stored_len as usize];
    file.read_exact_at(&mut payload, at + FRAME_HEAD_BYTES as u64)?;
    Ok(frame.holds(id, at, &payload).then_some((frame, payload)))
}
