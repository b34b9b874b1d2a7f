//! Logs of `flumelog-offset`: records one after the other, framed so that they can be read both ways.
//!
//! ```text
//! record := length u32 | bytes | length u32 | length of the file after this record       (big-endian)
//! ```
//!
//! The last field has 4, 6 or 8 bytes, which the log does not say: the first record tells, as only one width gives its
//! own end. A record of zero bytes only was deleted. A record whose two lengths or whose end disagree ends the
//! log: what a crash left half written, or damage, behind which nothing can be found.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Place, Record};
use crate::cli::sources;

const END_WIDTHS: [u64; 3] = [4, 6, 8];

struct OffsetLog {
    path: Arc<PathBuf>,
    file: BufReader<File>,
    file_bytes: u64,
    /// Where the next record begins.
    offset: u64,
    end_width: u64,
    /// What the name of each record begins with.
    name: String,
}

/// The records of the log at `path`, oldest first.
pub(super) fn records(
    path: &Path,
    prefix: &str,
) -> Result<impl Iterator<Item = Result<Record, String>> + use<>, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("{shown}: {error}; check the path");
    let file = super::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a folder: name the log file in it (often `log.offset`)"));
    }
    let name = sources::object_name(path, path, prefix)
        .ok_or_else(|| format!("{shown}: no object name can be made of this path; rename the file"))?;
    let mut log = OffsetLog {
        path: Arc::new(path.to_owned()),
        file: BufReader::new(file),
        file_bytes: metadata.len(),
        offset: 0,
        end_width: 0,
        name,
    };
    if log.file_bytes > 0 {
        log.end_width = log.find_width().ok_or_else(|| {
            format!("{shown} is no flumelog-offset log: its first record's framing does not agree")
        })?;
    }
    Ok(log)
}

impl OffsetLog {
    fn find_width(&mut self) -> Option<u64> {
        END_WIDTHS.into_iter().find(|width| self.framed_bytes(*width).is_some())
    }

    /// The length of the record at `offset`, if its frame agrees.
    fn framed_bytes(&mut self, end_width: u64) -> Option<u64> {
        let bytes = self.number_at(self.offset, 4)?;
        let end = self.offset + 8 + bytes + end_width;
        let agrees = end <= self.file_bytes
            && self.number_at(self.offset + 4 + bytes, 4)? == bytes
            && self.number_at(self.offset + 8 + bytes, end_width)? == end;
        agrees.then_some(bytes)
    }

    /// A big-endian number of up to eight bytes.
    fn number_at(&mut self, offset: u64, width: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        let digits = bytes.get_mut(8 - width as usize..)?;
        self.file.seek(SeekFrom::Start(offset)).ok()?;
        self.file.read_exact(digits).ok()?;
        Some(u64::from_be_bytes(bytes))
    }

    fn is_deleted(&mut self, offset: u64, bytes: u64) -> bool {
        if self.file.seek(SeekFrom::Start(offset)).is_err() {
            return false;
        }
        // A living record of JSON differs in its first byte; only a deleted one is read to its end.
        (&mut self.file).take(bytes).bytes().all(|byte| byte.is_ok_and(|byte| byte == 0))
    }
}

impl Iterator for OffsetLog {
    type Item = Result<Record, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.offset < self.file_bytes {
            let at = self.offset;
            let Some(bytes) = self.framed_bytes(self.end_width) else {
                let left = self.file_bytes - at;
                self.offset = self.file_bytes;
                let shown = self.path.display();
                return Some(Err(format!(
                    "{shown}: the record at offset {at} is torn or damaged; it and the {left} bytes from there are left out"
                )));
            };
            self.offset = at + 8 + bytes + self.end_width;
            if self.is_deleted(at + 4, bytes) {
                continue;
            }
            let place = Place { file: self.path.clone(), offset: at + 4, stored: bytes, is_zlib: false };
            let name = format!("{}/{at:016}", self.name);
            return Some(Ok(Record { name, bytes, places: vec![place], sha256: None }));
        }
        None
    }
}
