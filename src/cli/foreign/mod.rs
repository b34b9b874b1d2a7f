//! Other stores that `patina import --from` reads. They are never written to, and every record is checked before it
//! is handed on: one that does not agree with its own hash or framing is a line on stderr, never an object.
//!
//! - [`container`]: the content-addressed containers of `disk-objectstore` (Python) and `rsdos` (Rust), one format;
//!   an object is named by its hash key.
//! - [`offset_log`]: the append-only logs of `flumelog-offset`; a record is named by the log and its offset.

mod container;
mod offset_log;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::ZlibDecoder;
use sha2::{Digest, Sha256};

use super::check::FILE_BYTES_MAX;

/// Which kind of store an import reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// A disk-objectstore container: the folder with config.json in it
    Dostore,
    /// An rsdos container: the same format
    Rsdos,
    /// A flumelog-offset file
    Flume,
}

/// A record of another store: where its bytes lie and what must be true of them.
#[derive(Debug)]
pub struct Record {
    /// What its object will be called.
    pub name: String,
    /// Its length once it is read.
    pub bytes: u64,
    /// Where it is; a second place holds another copy, for when the first is damaged.
    places: Vec<Place>,
    sha256: Option<[u8; 32]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    file: Arc<PathBuf>,
    offset: u64,
    /// Bytes in the file.
    stored: u64,
    is_zlib: bool,
}

/// Every record of the stores at `paths`, in the order in which reading them is sequential.
///
/// # Errors
/// A line for the user if a path holds no store of this kind. What is wrong with one record comes as an item.
pub fn records<'a>(
    store: Store,
    paths: &'a [PathBuf],
    prefix: &'a str,
) -> Result<impl Iterator<Item = Result<Record, String>> + 'a, String> {
    let mut all: Vec<Box<dyn Iterator<Item = Result<Record, String>> + 'a>> = Vec::new();
    for path in paths {
        all.push(match store {
            Store::Dostore | Store::Rsdos => Box::new(container::records(path, prefix)?),
            Store::Flume => Box::new(offset_log::records(path, prefix)?),
        });
    }
    Ok(all.into_iter().flatten())
}

impl Record {
    /// Whether two records of this name are the same bytes.
    pub fn is_named_by_content(&self) -> bool {
        self.sha256.is_some()
    }

    /// Reads it from the first of its places that is right.
    ///
    /// # Errors
    /// A line that names the record and what is wrong with it.
    pub fn load(&self) -> Result<Vec<u8>, String> {
        if self.bytes > FILE_BYTES_MAX {
            return Err(format!(
                "{} is larger than 1 GiB, the most one object can hold; left out",
                self.name
            ));
        }
        if self.bytes == 0 {
            return Err(format!("{} is empty: there is nothing to store; left out", self.name));
        }
        let mut wrong = String::new();
        for place in &self.places {
            match self.load_from(place) {
                Ok(bytes) => return Ok(bytes),
                Err(why) => wrong = format!("{}: {}: {why}; left out", self.name, place.file.display()),
            }
        }
        Err(wrong)
    }

    fn load_from(&self, place: &Place) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        // One byte more than it may have: a stream that goes on is as wrong as one that ends early.
        let read = place.open().and_then(|reader| reader.take(self.bytes + 1).read_to_end(&mut bytes));
        read.map_err(|error| format!("at offset {}: {error}", place.offset))?;
        if bytes.len() as u64 != self.bytes {
            return Err(format!("it has {} bytes where {} were announced", bytes.len(), self.bytes));
        }
        match self.sha256 {
            Some(hash) if Sha256::digest(&bytes)[..] != hash => {
                Err("its bytes do not hash to its name: it is damaged".to_owned())
            }
            _ => Ok(bytes),
        }
    }
}

impl Place {
    fn open(&self) -> io::Result<Box<dyn Read>> {
        let mut file = open(&self.file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let stored = BufReader::new(file.take(self.stored));
        Ok(if self.is_zlib { Box::new(ZlibDecoder::new(stored)) } else { Box::new(stored) })
    }
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the files it is given")]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}
