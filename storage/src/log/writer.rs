//! Appends records to a log. See the module above for the framing.

use super::format::{
    BLOCK_BYTES, CHUNK_HEADER_BYTES, ChunkType, FILE_HEADER_BYTES, encode_chunk, encode_file_header,
};
use crate::error::{Error, Result};
use crate::types::FileId;
use crate::vfs::{Vfs, VfsFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One writer at a time; syncing may go on beside it through [`LogFile`].
pub(crate) struct LogWriter {
    log: Arc<LogFile>,
    position: u64,
    buffer: Vec<u8>,
}

/// The part of a log that any thread may use.
pub(crate) struct LogFile {
    pub id: FileId,
    path: PathBuf,
    file: Box<dyn VfsFile>,
    /// Bytes written, and bytes known to be durable.
    written: AtomicU64,
    synced: AtomicU64,
}

impl LogFile {
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Makes durable what was written before the call.
    pub(crate) fn sync(&self) -> Result<()> {
        self.sync_through(self.written())
    }

    /// As [`Self::sync`], but vouches for no more than the first `written` bytes: of what follows, the caller does not know whether
    /// all that it refers to is durable too.
    pub(crate) fn sync_through(&self, written: u64) -> Result<()> {
        if self.synced() >= written {
            return Ok(());
        }
        self.file.sync().map_err(|source| Error::io("sync", &self.path, source))?;
        self.synced.fetch_max(written, Ordering::AcqRel);
        Ok(())
    }
}

impl LogWriter {
    /// Makes the log and its name durable before anything is written to it.
    pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, path: PathBuf, id: FileId) -> Result<Self> {
        let created = Self::create_durably(vfs, dir, path.clone(), id);
        if created.is_err() {
            // A failure leaves a log without records, which recovery ignores.
            let _ = vfs.remove(&path);
        }
        created
    }

    fn create_durably(vfs: &dyn Vfs, dir: &Path, path: PathBuf, id: FileId) -> Result<Self> {
        let file = vfs.create(&path).map_err(|source| Error::io("create", &path, source))?;
        let header = encode_file_header(id.0 as u32);
        file.write_all_at(&header, 0).map_err(|source| Error::io("write", &path, source))?;
        file.sync().map_err(|source| Error::io("sync", &path, source))?;
        vfs.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))?;
        let position = FILE_HEADER_BYTES as u64;
        let log =
            LogFile { id, path, file, written: AtomicU64::new(position), synced: AtomicU64::new(position) };
        Ok(Self { log: Arc::new(log), position, buffer: Vec::new() })
    }

    pub(crate) fn file(&self) -> &Arc<LogFile> {
        &self.log
    }

    /// Appends one record with one write; gives the log's length after it.
    ///
    /// # Errors
    /// The log is as it was before, or, if even that failed, not [`AppendError::usable`]: it must not be written to again.
    pub(crate) fn append(&mut self, record: &[u8]) -> std::result::Result<u64, AppendError> {
        self.encode(record);
        if let Err(source) = self.log.file.write_all_at(&self.buffer, self.position) {
            let usable = self.log.file.truncate(self.position).is_ok();
            return Err(AppendError { usable, error: Error::io("write", &self.log.path, source) });
        }
        self.position += self.buffer.len() as u64;
        self.log.written.store(self.position, Ordering::Release);
        Ok(self.position)
    }

    fn encode(&mut self, mut record: &[u8]) {
        self.buffer.clear();
        let synced = self.log.synced();
        let number = self.log.id.0 as u32;
        let mut first = true;
        loop {
            let position = self.position + self.buffer.len() as u64;
            let left = (BLOCK_BYTES - position % BLOCK_BYTES) as usize;
            if left < CHUNK_HEADER_BYTES {
                self.buffer.resize(self.buffer.len() + left, 0);
                continue;
            }
            let (payload, rest) = record.split_at(record.len().min(left - CHUNK_HEADER_BYTES));
            let kind = match (first, rest.is_empty()) {
                (true, true) => ChunkType::Full,
                (true, false) => ChunkType::First,
                (false, false) => ChunkType::Middle,
                (false, true) => ChunkType::Last,
            };
            encode_chunk(&mut self.buffer, kind, number, synced, payload);
            if rest.is_empty() {
                return;
            }
            record = rest;
            first = false;
        }
    }

    /// Syncs, then ends the log with an empty record that says so. More may be appended nevertheless.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(crate) fn finish(&mut self) -> std::result::Result<(), AppendError> {
        let unusable = |error| AppendError { usable: false, error };
        self.log.sync().map_err(unusable)?;
        self.append(&[])?;
        self.log.sync().map_err(unusable)
    }
}

/// A failed append.
#[derive(Debug)]
pub(crate) struct AppendError {
    /// The log was restored to what it was, and may be appended to.
    pub usable: bool,
    pub error: Error,
}
