//! Reads the records of a log back, and judges its end. See the module above.

use super::format::{
    BLOCK_BYTES, CHUNK_HEADER_BYTES, Chunk, ChunkType, FILE_HEADER_BYTES, check_file_header, decode_chunk,
};
use crate::error::{Error, Result};
use crate::types::FileId;
use crate::vfs::{Vfs, VfsFile};
use std::path::{Path, PathBuf};

/// How a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// With a whole record, and perhaps zeros.
    Clean,
    /// With bytes that were never synced and do not make a whole record, from this offset on.
    Torn { offset: u64 },
}

pub(crate) struct LogReader {
    path: PathBuf,
    file: Box<dyn VfsFile>,
    number: u32,
    len: u64,
    /// From here to the end there are only zeros: room that was reserved, a block's padding, the end of a record.
    zeros_from: u64,
    block: Vec<u8>,
    block_start: u64,
    /// The next chunk's offset in the file.
    position: u64,
    records_end: u64,
    tail: Option<Tail>,
}

impl LogReader {
    pub(crate) const HEADER_BYTES: u64 = FILE_HEADER_BYTES as u64;

    /// # Errors
    /// Corruption if a header that must be whole is not: a log is synced with its header before it is used.
    pub(crate) fn open(vfs: &dyn Vfs, path: &Path, id: FileId) -> Result<Self> {
        let reader = Self::open_unchecked(vfs, path, id)?;
        reader.check_header()?;
        Ok(reader)
    }

    /// As [`Self::open`], whatever the header says: chunks tell their log themselves.
    pub(crate) fn open_unchecked(vfs: &dyn Vfs, path: &Path, id: FileId) -> Result<Self> {
        let file = vfs.open(path).map_err(|source| Error::io("open", path, source))?;
        let len = file.size().map_err(|source| Error::io("read", path, source))?;
        let mut reader = Self {
            path: path.to_owned(),
            file,
            number: id.0 as u32,
            len,
            zeros_from: len,
            block: Vec::new(),
            block_start: 0,
            position: FILE_HEADER_BYTES as u64,
            records_end: FILE_HEADER_BYTES as u64,
            tail: None,
        };
        reader.find_zeros()?;
        reader.load(0)?;
        Ok(reader)
    }

    fn find_zeros(&mut self) -> Result<()> {
        while self.zeros_from > 0 {
            let start = (self.zeros_from - 1) / BLOCK_BYTES * BLOCK_BYTES;
            self.load(start)?;
            let zeros = self.block.iter().rev().take_while(|byte| **byte == 0).count();
            self.zeros_from = start + (self.block.len() - zeros) as u64;
            if zeros < self.block.len() {
                break;
            }
        }
        Ok(())
    }

    /// The header, before the first record was read.
    pub(crate) fn check_header(&self) -> Result<()> {
        check_file_header(self.block.get(..FILE_HEADER_BYTES).unwrap_or_default(), self.number)
            .map_err(|what| Error::corruption(&self.path, 0, what))
    }

    fn load(&mut self, start: u64) -> Result<()> {
        let bytes = self.len.saturating_sub(start).min(BLOCK_BYTES);
        self.block.resize(bytes as usize, 0);
        self.block_start = start;
        self.file
            .read_exact_at(&mut self.block, start)
            .map_err(|source| Error::read(&self.path, start, source))
    }

    /// The next record, with the offset at which it ends; `None` at the end, which [`Self::tail`] then describes.
    pub(crate) fn next_record(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        let start = self.position;
        let mut record = Vec::new();
        let mut inside = false;
        while self.tail.is_none() {
            let Some((kind, end)) = self.next_chunk(&mut record)? else {
                return self.end_at(start).map(|()| None);
            };
            if inside != matches!(kind, ChunkType::Middle | ChunkType::Last) {
                return self.end_at(start).map(|()| None);
            }
            inside = true;
            if matches!(kind, ChunkType::Full | ChunkType::Last) {
                self.records_end = end;
                return Ok(Some((record, end)));
            }
        }
        Ok(None)
    }

    /// Appends the next chunk's payload to `record`; `None` if there is no good chunk at the position.
    fn next_chunk(&mut self, record: &mut Vec<u8>) -> Result<Option<(ChunkType, u64)>> {
        let block_end = self.block_start + BLOCK_BYTES;
        if block_end - self.position < CHUNK_HEADER_BYTES as u64 {
            self.position = block_end;
        }
        if self.position >= block_end {
            self.load(self.position)?;
        }
        let at = (self.position - self.block_start) as usize;
        let rest = self.block.get(at..).unwrap_or_default();
        let Some(Chunk { kind, payload, .. }) = decode_chunk(rest, self.number) else {
            return Ok(None);
        };
        record.extend_from_slice(payload);
        self.position += (CHUNK_HEADER_BYTES + payload.len()) as u64;
        Ok(Some((kind, self.position)))
    }

    /// The records end at `offset`, for want of a good one there: a clean end, a torn tail, or corruption.
    fn end_at(&mut self, offset: u64) -> Result<()> {
        if offset >= self.zeros_from {
            self.tail = Some(Tail::Clean);
            return Ok(());
        }
        if self.synced_beyond(offset)? {
            return Err(Error::corruption(
                &self.path,
                offset,
                "a record that had been synced cannot be read",
            ));
        }
        self.tail = Some(Tail::Torn { offset });
        Ok(())
    }

    /// After an error of [`Self::next_record`], or a torn tail: goes to the next place where records begin again, and gives it. `false` if there is
    /// none.
    ///
    /// A length in a damaged chunk is not to be believed, and what looks like a chunk in the middle of a block may be a copy of one inside a
    /// value. So a place counts only if good chunks lead from it to the end of its block, or of the log; else the next block, where a chunk
    /// must begin, is the next place. Of a record that begins before the place nothing is given.
    pub(crate) fn skip_damage(&mut self) -> Result<Option<u64>> {
        let mut from = self.position.max(FILE_HEADER_BYTES as u64);
        self.tail = None;
        while from < self.len {
            let start = from / BLOCK_BYTES * BLOCK_BYTES;
            self.load(start)?;
            let first = (from - start) as usize;
            if let Some(at) = (first..self.block.len()).find(|at| self.begins_records(*at)) {
                self.position = start + at as u64;
                return Ok(Some(self.position));
            }
            from = start + BLOCK_BYTES;
        }
        self.position = self.len;
        self.tail = Some(Tail::Clean);
        Ok(None)
    }

    /// Whether a record begins at a place of the loaded block, and nothing but good chunks comes from there to its end.
    fn begins_records(&self, at: usize) -> bool {
        let mut begins = None;
        let mut at = at;
        loop {
            let rest = self.block.get(at..).unwrap_or_default();
            if rest.len() < CHUNK_HEADER_BYTES || self.block_start + at as u64 >= self.zeros_from {
                return begins.is_some();
            }
            let Some(chunk) = decode_chunk(rest, self.number) else { return false };
            begins.get_or_insert(matches!(chunk.kind, ChunkType::Full | ChunkType::First));
            if begins == Some(false) {
                return false;
            }
            at += CHUNK_HEADER_BYTES + chunk.payload.len();
        }
    }

    /// Treats the record that begins before `end` as torn although it could be read: what it refers to is missing.
    ///
    /// # Errors
    /// Corruption if it had been synced.
    pub(crate) fn reject_record_ending_at(&mut self, end: u64) -> Result<()> {
        if self.synced_beyond(end - 1)? {
            let what = "a synced record refers to blob bytes that are not there";
            return Err(Error::corruption(&self.path, end, what));
        }
        self.tail = Some(Tail::Torn { offset: end });
        Ok(())
    }

    /// Whether any good chunk after `offset` says that the log was synced beyond it.
    fn synced_beyond(&mut self, offset: u64) -> Result<bool> {
        let mut start = offset / BLOCK_BYTES * BLOCK_BYTES;
        let mut at = (offset - start) as usize;
        while start < self.len {
            self.load(start)?;
            // Within the damaged block chunk borders are unknown: try each byte. Elsewhere follow the chunks.
            while let Some(rest) = self.block.get(at..).filter(|rest| rest.len() >= CHUNK_HEADER_BYTES) {
                match decode_chunk(rest, self.number) {
                    Some(chunk) if chunk.synced_offset > offset => return Ok(true),
                    Some(chunk) => at += CHUNK_HEADER_BYTES + chunk.payload.len(),
                    None => at += 1,
                }
            }
            start += BLOCK_BYTES;
            at = 0;
        }
        Ok(false)
    }

    /// Where the last whole record ends, once the end was reached: zeros may follow, or a torn tail.
    pub(crate) fn records_end(&self) -> u64 {
        self.records_end
    }

    /// The file's length.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Where the first record begins.
    pub(crate) fn first_record(&self) -> u64 {
        FILE_HEADER_BYTES as u64
    }

    /// How the log ended; clean until the end was reached.
    pub(crate) fn tail(&self) -> Tail {
        self.tail.unwrap_or(Tail::Clean)
    }
}
