//! Other stores that `patina import --from` reads. They are never written to, and every record is checked before it
//! is handed on: one that does not agree with its own hash or framing is a line on stderr, never an object.
//!
//! - [`container`]: the content-addressed containers of `disk-objectstore` (Python) and `rsdos` (Rust), one format;
//!   an object is named by its hash key.
//! - [`offset_log`]: the append-only logs of `flumelog-offset`; a record is named by the log and its offset.

mod container;
mod offset_log;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::ZlibDecoder;
use sha2::{Digest, Sha256};

use super::check::{Contents, Stream, WHOLE_BYTES_MAX};

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

    /// Reads it from the first of its places that is right. A large one is a stream instead, which fails at its end if
    /// it is not what it should be; only to choose between two places is it read more than once.
    ///
    /// # Errors
    /// A line that names the record and what is wrong with it.
    pub fn load(&self) -> Result<Contents, String> {
        if self.bytes == 0 {
            return Err(format!("{} is empty: there is nothing to store; left out", self.name));
        }
        let mut wrong = String::new();
        let mut places = self.places.iter().peekable();
        while let Some(place) = places.next() {
            match self.load_from(place, places.peek().is_none()) {
                Ok(contents) => return Ok(contents),
                Err(why) => wrong = format!("{}: {why}; left out", self.name),
            }
        }
        Err(wrong)
    }

    fn load_from(&self, place: &Place, is_last: bool) -> io::Result<Contents> {
        if self.bytes <= WHOLE_BYTES_MAX {
            let mut bytes = Vec::with_capacity(self.bytes as usize);
            self.checked(place)?.read_to_end(&mut bytes)?;
            return Ok(Contents::Whole(bytes));
        }
        if !is_last {
            io::copy(&mut self.checked(place)?, &mut io::sink())?;
        }
        let reader = Box::new(self.checked(place)?);
        Ok(Contents::Stream(Stream { reader, bytes: Some(self.bytes) }))
    }

    fn checked(&self, place: &Place) -> io::Result<Checked> {
        let failed = |error| place.failed(&error);
        let hash = self.sha256.map(|expected| (Sha256::new(), expected));
        let reader = place.open().map_err(failed)?;
        Ok(Checked { place: place.clone(), reader, done: 0, bytes: self.bytes, hash })
    }
}

/// A record as it is read: fails where it shows that it is not what was announced, at its end at the latest.
struct Checked {
    place: Place,
    reader: Box<dyn Read>,
    done: u64,
    bytes: u64,
    hash: Option<(Sha256, [u8; 32])>,
}

impl Checked {
    fn check(&self, is_end: bool) -> io::Result<()> {
        let (done, bytes) = (self.done, self.bytes);
        let is_wrong = |why: String| Err(self.place.failed(&why));
        if done > bytes {
            return is_wrong(format!("it has more than the {bytes} bytes that were announced"));
        }
        if is_end && done < bytes {
            return is_wrong(format!("it has {done} bytes where {bytes} were announced"));
        }
        match &self.hash {
            Some((hash, expected)) if is_end && hash.clone().finalize()[..] != *expected => {
                is_wrong("its bytes do not hash to its name: it is damaged".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = match self.reader.read(buf) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(self.place.failed(&error));
            }
            read => read?,
        };
        self.done += len as u64;
        if let Some((hash, _)) = &mut self.hash {
            hash.update(buf.get(..len).unwrap_or_default());
        }
        self.check(len == 0 && !buf.is_empty())?;
        Ok(len)
    }
}

impl Place {
    fn open(&self) -> io::Result<Box<dyn Read>> {
        let mut file = open(&self.file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let stored = BufReader::new(file.take(self.stored));
        Ok(if self.is_zlib { Box::new(ZlibDecoder::new(stored)) } else { Box::new(stored) })
    }

    fn failed(&self, why: &dyn Display) -> io::Error {
        io::Error::other(format!("{} at offset {}: {why}", self.file.display(), self.offset))
    }
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the files it is given")]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}
