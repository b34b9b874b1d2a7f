//! Objects from readers and to readers: no more than a piece of one is in memory, whatever its size.
//!
//! A stream is written to its bin while it is hashed. Only its end tells whether the content is in the store already; then the
//! writer is dropped, which takes back what it wrote. The first bytes and the name decide type, policy and bin; the policy is chosen
//! again at the end, when the size is known, and only the bin, which need not be exact, is that of the beginning.

use super::put::{Body, Incoming};
use super::{Inner, ObjectStore};
use crate::error::{Error, Result};
use crate::model::{Access, PutOptions};
use crate::types::{ContentHash, ObjectId, Stage};
use bytes::Bytes;
use patina_storage::ValueReader;
use sha2::{Digest, Sha256};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

/// What fits into this is put from memory.
const MEMORY_BYTES_MAX: usize = 256 << 10;

impl ObjectStore {
    /// As [`ObjectStore::put`], with all that a reader gives. The object is written once, and a MiB of it is in memory at most,
    /// whatever its size.
    ///
    /// ```
    /// # use patina_objects::*;
    /// # let dir = tempfile::tempdir()?;
    /// # let db = patina_storage::Db::open(dir.path(), patina_storage::Options::default())?;
    /// # let store = ObjectStore::open(db, std::sync::Arc::new(ManualClock::new(Timestamp(0))), StoreOptions::default())?;
    /// use std::io::Read;
    ///
    /// let film = std::io::repeat(7).take(5_000_000);
    /// store.put_reader("film.raw", &mut { film }, &PutOptions::default())?;
    /// let mut reader = store.get_reader("default", "film.raw")?;
    /// assert_eq!((reader.len(), &reader.read_range(4_999_998..5_000_000)?[..]), (5_000_000, &[7, 7][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`ObjectStore::put`]; storage's with the reader's error, and then nothing is stored.
    pub fn put_reader(&self, name: &str, reader: &mut dyn Read, options: &PutOptions) -> Result<ObjectId> {
        let id = self.inner.put_reader(name, reader, options)?;
        self.sync()?;
        Ok(id)
    }

    /// As [`ObjectStore::get`], as a reader, which goes on reading the bytes of now whatever happens to the object. Counts as one
    /// access.
    ///
    /// # Errors
    /// As [`ObjectStore::get`]; damage may show only where it is read.
    pub fn get_reader(&self, tenant: &str, name: &str) -> Result<ObjectReader> {
        self.reader(tenant, name, Access::Read)
    }

    /// As [`ObjectStore::get_reader`], counting as much as `access` says.
    ///
    /// # Errors
    /// As [`ObjectStore::get_reader`].
    pub fn reader(&self, tenant: &str, name: &str, access: Access) -> Result<ObjectReader> {
        let inner = &self.inner;
        let snapshot = inner.db.snapshot();
        let (id, found) = inner.find(&snapshot, tenant, name)?;
        let row = found.row;
        let source = match (row.stage(), row.content()) {
            (Stage::Hot | Stage::Warm | Stage::Cold, Some(content)) => {
                let missing =
                    || Error::corruption(format!("the bytes of '{name}' (object {id}) are missing"));
                let value = snapshot.reader(&inner.spaces.contents, &content.0)?;
                Source::Content(value.ok_or_else(missing)?)
            }
            _ => Source::Summary(Cursor::new(inner.bytes_of(&snapshot, id, &row)?)),
        };
        // As for `read`: the bytes are there, whether or not the mark can be written.
        let _ = inner.note_read(id, &row, access);
        Ok(ObjectReader {
            id,
            stage: row.stage(),
            fidelity: row.fidelity,
            media_type: row.media_type,
            source,
        })
    }
}

impl Inner {
    fn put_reader(&self, name: &str, reader: &mut dyn Read, options: &PutOptions) -> Result<ObjectId> {
        let mut head = Vec::new();
        // One byte more tells whether there is more.
        let begun = (&mut *reader).take(MEMORY_BYTES_MAX as u64 + 1).read_to_end(&mut head);
        begun.map_err(Error::reader)?;
        let incoming = Incoming::new(name, &head, options, self.options.transform.as_ref())?;
        if head.len() <= MEMORY_BYTES_MAX {
            return self.put_incoming(&incoming, Body::Memory(&head));
        }
        let mut writer = self.writer_for(&incoming)?;
        let mut hashing = Hashing { reader: Cursor::new(&head).chain(reader), hash: Sha256::new() };
        writer.append_from(&mut hashing)?;
        let content = ContentHash(hashing.hash.finalize().into());
        let incoming = incoming.streamed(writer.len(), content);
        self.put_incoming(&incoming, Body::Streamed(writer))
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    reader: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(buf)?;
        self.hash.update(buf.get(..len).unwrap_or_default());
        Ok(len)
    }
}

/// An object's bytes as they were when it was made, read piece by piece and from any place.
pub struct ObjectReader {
    id: ObjectId,
    stage: Stage,
    fidelity: f64,
    media_type: String,
    source: Source,
}

enum Source {
    Content(ValueReader),
    /// That of the trace stage, as JSON.
    Summary(Cursor<Bytes>),
}

impl ObjectReader {
    /// Its number.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// How many bytes there are; at the trace stage, of the summary.
    pub fn len(&self) -> u64 {
        match &self.source {
            Source::Content(value) => value.len(),
            Source::Summary(summary) => summary.get_ref().len() as u64,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of these bytes.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// How much is left.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// 1 for the original bytes, falling with each transform.
    pub fn fidelity(&self) -> f64 {
        self.fidelity
    }

    /// The bytes of a range, cut off at the end. The position of [`Read`] stays where it is.
    ///
    /// # Errors
    /// Storage's, with file and offset if the bytes are not what was written.
    pub fn read_range(&mut self, range: Range<u64>) -> Result<Bytes> {
        match &mut self.source {
            Source::Content(value) => Ok(value.read_range(range)?),
            Source::Summary(summary) => {
                let bytes = summary.get_ref();
                let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(at(range.start).min(at(range.end))..at(range.end)))
            }
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Content(value) => value.read(buf),
            Source::Summary(summary) => summary.read(buf),
        }
    }
}

impl Seek for ObjectReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.source {
            Source::Content(value) => value.seek(to),
            Source::Summary(summary) => summary.seek(to),
        }
    }
}
