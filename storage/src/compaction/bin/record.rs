//! A live record as its owner sees it: what the reference says is at hand, the value is read when asked for.

use crate::blob::BlobFile;
use crate::db::{Keyspace, Snapshot, ValueReader};
use crate::error::{Error, Result};
use crate::open_files::OpenFiles;
use crate::types::{Bin, BlobRef, Seqno};
use bytes::Bytes;

/// A record that the LSM refers to. Its value is read only when it is asked for.
///
/// ```
/// use patina_storage::*;
///
/// /// Only what is large is worth a second look.
/// fn judge(record: &LiveRecord<'_>) -> Result<Judgement<()>> {
///     if record.blob.stored_len > 64 << 10 && record.read()?.starts_with(b"raw") {
///         return Ok(Judgement::Carry { bin: Bin { class: 1, ..record.bin } });
///     }
///     Ok(Judgement::Keep { bin: record.bin })
/// }
/// ```
pub struct LiveRecord<'a> {
    /// Its key.
    pub key: Bytes,
    /// The bin of the file that it is in.
    pub bin: Bin,
    /// Where it is; [`BlobRef::len`] are the bytes of its value.
    pub blob: BlobRef,
    /// The write that refers to it.
    pub seqno: Seqno,
    pub(super) contents: &'a Keyspace,
    pub(super) file: &'a BlobFile,
    pub(super) handles: &'a OpenFiles,
    pub(super) snapshot: &'a Snapshot,
}

impl LiveRecord<'_> {
    /// Its value, decompressed and verified.
    ///
    /// ```
    /// # use patina_storage::*;
    /// fn is_text(record: &LiveRecord<'_>) -> Result<bool> {
    ///     Ok(std::str::from_utf8(&record.read()?).is_ok())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`] with file and offset if it is not what was written.
    pub fn read(&self) -> Result<Bytes> {
        self.file.read(self.handles, &self.key, self.blob)
    }

    /// Its value, to be read piece by piece.
    ///
    /// ```
    /// # use patina_storage::*;
    /// fn head(record: &LiveRecord<'_>) -> Result<bytes::Bytes> {
    ///     record.reader()?.read_range(0..16)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`LiveRecord::read`].
    pub fn reader(&self) -> Result<ValueReader> {
        let found = self.snapshot.reader(self.contents, &self.key)?;
        found.ok_or_else(|| {
            Error::corruption(self.file.path(), self.blob.offset, "a live record has no value")
        })
    }

    /// What the database held when the record's turn came: the same for the same calls, whatever the number of threads.
    ///
    /// ```
    /// # use patina_storage::*;
    /// fn note_of(record: &LiveRecord<'_>, notes: &Keyspace) -> Result<Option<bytes::Bytes>> {
    ///     record.snapshot().get(notes, &record.key)
    /// }
    /// ```
    pub fn snapshot(&self) -> &Snapshot {
        self.snapshot
    }
}
