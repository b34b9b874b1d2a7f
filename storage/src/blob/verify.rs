//! Checks a whole blob file: every record's checksums, that it decompresses, and that index, trailer and manifest agree.
//!
//! A sealed file is read by its index, so that one damaged record hides no other. If the index itself is damaged, and in a file that is
//! still open, the records are read from the front, as far as each tells where the next begins.

use super::file::BlobFile;
use super::format::{HEADER_BYTES, RECORD_HEAD_BYTES, Record, check_head, check_header, decode_head};
use super::recovery::record_at;
use crate::error::{Error, Result};
use crate::open_files::OpenFiles;
use crate::types::{BlobLayout, BlobRef};

impl BlobFile {
    /// Reads all of it; gives the number of records that hold. Memory: O(records), and the largest record in one piece.
    pub(crate) fn verify(&self, handles: &OpenFiles, problem: &mut dyn FnMut(Error)) -> u64 {
        if let Err(error) = self.verify_header(handles) {
            problem(error);
        }
        if !self.is_sealed() {
            return self.verify_from_front(handles, problem);
        }
        match self.index(handles) {
            Ok(records) => {
                self.verify_index(&records, problem);
                let read = records
                    .iter()
                    .map(|record| self.verify_record(handles, &record.key, record.blob_ref(self.id)));
                read.filter_map(|whole| whole.map_err(&mut *problem).ok()).count() as u64
            }
            Err(error) => {
                problem(error);
                self.verify_from_front(handles, problem)
            }
        }
    }

    fn verify_header(&self, handles: &OpenFiles) -> Result<()> {
        let mut header = [0; HEADER_BYTES];
        let file = self.handle(handles)?;
        file.read_exact_at(&mut header, 0).map_err(|source| Error::read(self.path(), 0, source))?;
        check_header(&header, self.id).map_err(|what| self.corruption(0, what))
    }

    /// The records must fill the file from its header to where the manifest says that they end.
    fn verify_index(&self, records: &[Record], problem: &mut dyn FnMut(Error)) {
        let (end, count) = self.size();
        let mut position = HEADER_BYTES as u64;
        for record in records {
            if record.offset != position {
                let what = "its index leaves a gap between two records, or lets them overlap";
                return problem(self.corruption(position.min(record.offset), what));
            }
            position = position.saturating_add(record.total_bytes());
        }
        if (position, records.len() as u64) != (end, count) {
            problem(self.corruption(position, "its index is not of the length that the manifest says"));
        }
    }

    fn verify_from_front(&self, handles: &OpenFiles, problem: &mut dyn FnMut(Error)) -> u64 {
        let (end, _) = self.size();
        let mut position = HEADER_BYTES as u64;
        let mut whole = 0;
        let read = |position| -> Result<Option<Record>> {
            let failed = |source| Error::read(self.path(), position, source);
            let file = self.handle(handles)?;
            let len = file.size().map_err(failed)?.min(end);
            if position >= len { Ok(None) } else { record_at(&*file, self.id, position, len).map_err(failed) }
        };
        while position < end {
            match read(position) {
                Ok(Some(record)) => {
                    position += record.total_bytes();
                    whole += 1;
                }
                Ok(None) => {
                    let what = "a record does not hold, and what follows it cannot be found";
                    problem(self.corruption(position, what));
                    break;
                }
                Err(error) => {
                    problem(error);
                    break;
                }
            }
        }
        whole
    }

    /// Whether a reference names a record of this file, by the record's head or table alone: its bytes are [`Self::verify`]'s to read.
    pub(crate) fn verify_reference(&self, handles: &OpenFiles, key: &[u8], blob: BlobRef) -> Result<()> {
        if blob.layout == BlobLayout::Chunked {
            return self.chunks(handles, key, blob).map(drop);
        }
        let offset = blob.offset;
        let total = super::record_bytes(key.len(), blob.stored_len);
        if offset.checked_add(total).is_none_or(|end| end > self.size().0) {
            return Err(self.corruption(offset, "a reference reaches past the last record"));
        }
        let mut bytes = vec![0; RECORD_HEAD_BYTES + key.len()];
        let file = self.handle(handles)?;
        file.read_exact_at(&mut bytes, offset).map_err(|source| Error::read(self.path(), offset, source))?;
        let head = decode_head(&bytes).filter(|head| {
            usize::from(head.key_len) == key.len() && check_head(head, self.id, offset, &bytes)
        });
        let is_named = head.is_some_and(|head| (head.stored_len, head.len) == (blob.stored_len, blob.len))
            && bytes.get(RECORD_HEAD_BYTES..) == Some(key);
        if is_named {
            Ok(())
        } else {
            Err(self.corruption(offset, "a record is not the one that its reference names"))
        }
    }
}
