//! Appends records to a log, with room ahead of them. See the module above for the framing.

use super::format::{
    BLOCK_BYTES, CHUNK_HEADER_BYTES, ChunkType, FILE_HEADER_BYTES, encode_chunk, encode_file_header,
};
use crate::error::{Error, Result};
use crate::group_sync::GroupSync;
use crate::reserve::Reserve;
use crate::types::FileId;
use crate::vfs::{Vfs, VfsFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One writer at a time; syncing may go on beside it through [`LogFile`].
pub(crate) struct LogWriter {
    log: Arc<LogFile>,
    /// Where the buffer will go.
    position: u64,
    /// Framed bytes that are not written yet.
    buffer: Vec<u8>,
    reserve: Reserve,
}

/// Framed bytes are written when there are this many: a large record is not held in memory a second time.
const WRITE_BYTES: usize = 1 << 20;

/// The part of a log that any thread may use.
pub(crate) struct LogFile {
    pub id: FileId,
    path: PathBuf,
    file: Box<dyn VfsFile>,
    /// Bytes written.
    written: AtomicU64,
    synced: GroupSync,
}

impl LogFile {
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.synced()
    }

    /// Makes durable what was written before the call; all that it refers to must be durable already.
    pub(crate) fn sync(&self) -> Result<()> {
        self.sync_through(self.written(), || Ok(()))
    }

    /// Makes the first `end` bytes durable, waiting for a sync that runs already, and then, if that one began too early, syncing for
    /// all who wait. `prepare` makes durable what the records refer to. The log vouches for no more than what was written before it was
    /// called: what a later record refers to may not be durable.
    ///
    /// # Errors
    /// Once a sync or a `prepare` has failed, every later one fails.
    pub(crate) fn sync_through(&self, end: u64, prepare: impl FnOnce() -> Result<()>) -> Result<()> {
        let sync = || self.file.sync().map_err(|source| Error::io("sync", &self.path, source));
        self.synced.sync_through(end, || self.written(), || prepare().and_then(|()| sync()))
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
            LogFile { id, path, file, written: AtomicU64::new(position), synced: GroupSync::new(position) };
        Ok(Self { log: Arc::new(log), position, buffer: Vec::new(), reserve: Reserve::Off })
    }

    /// Keeps room ahead of the records from now on, while they are synced in small portions.
    pub(crate) fn reserving(mut self) -> Self {
        self.reserve = Reserve::on(self.position);
        self
    }

    pub(crate) fn file(&self) -> &Arc<LogFile> {
        &self.log
    }

    /// Appends one record with one write (a large one with several); gives the log's length after it.
    ///
    /// # Errors
    /// The log is as it was before, or, if even that failed, not [`AppendError::usable`]: it must not be written to again.
    pub(crate) fn append(&mut self, record: &[u8]) -> std::result::Result<u64, AppendError> {
        self.append_all([record])
    }

    /// As [`Self::append`], with several records as one: all of them or none.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(crate) fn append_all<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a [u8]>,
    ) -> std::result::Result<u64, AppendError> {
        let end = self.append_unreserved(records)?;
        self.reserve.keep(&*self.log.file, end, self.log.synced());
        Ok(end)
    }

    fn append_unreserved<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a [u8]>,
    ) -> std::result::Result<u64, AppendError> {
        let begin = self.position;
        let mut records = records.into_iter();
        let written = records.try_for_each(|record| self.frame(record)).and_then(|()| self.write_buffer());
        if let Err(source) = written {
            self.buffer.clear();
            self.position = begin;
            // What was reserved is cut off, too; and a disk that refuses records has no room to set aside.
            self.reserve = Reserve::Off;
            // Synced: what was refused must not come back with a power loss, in front of what is written next.
            let usable = self.log.file.truncate(begin).and_then(|()| self.log.file.sync()).is_ok();
            return Err(AppendError { usable, error: Error::io("write", &self.log.path, source) });
        }
        self.log.written.store(self.position, Ordering::Release);
        Ok(self.position)
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.log.file.write_all_at(&self.buffer, self.position)?;
        self.position += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn frame(&mut self, mut record: &[u8]) -> io::Result<()> {
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
            if self.buffer.len() >= WRITE_BYTES {
                self.write_buffer()?;
            }
            if rest.is_empty() {
                return Ok(());
            }
            record = rest;
            first = false;
        }
    }

    /// Syncs, gives reserved room back, and ends the log with an empty record that says so. More may be appended nevertheless.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(crate) fn finish(&mut self) -> std::result::Result<(), AppendError> {
        let unusable = |error| AppendError { usable: false, error };
        self.log.sync().map_err(unusable)?;
        self.reserve.give_back(&*self.log.file, self.position);
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
