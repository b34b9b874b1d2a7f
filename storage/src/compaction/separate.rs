//! Key-value separation: values that leave the tables for blob files, and blob records that move to other files.
//!
//! Problem: a large value that stays in the tables is written again by every merge that its key goes through. So a flush puts the
//! values of at least `KeyspaceOptions::separate_bytes` into a blob file, in key order, and the tables keep references; merges then move
//! the references alone (WiscKey; in this shape Titan and BlobDB). A merge separates too, for values that were written before the option.
//!
//! The garbage that this leaves is collected by rewriting tables (`collect.rs`): a reference into a file that is to be emptied is
//! replaced, where it passes, by one to a copy of the record. Its key and sequence number stay, so nobody notices: no requirement
//! fails, no snapshot changes, nothing goes through the log.
//!
//! The new blob files count with the edit that adds the tables, and not before.

use crate::blob::{BlobFile, BlobFileWriter, Identity};
use crate::compress::compress_block;
use crate::db::Inner;
use crate::error::{ErrorKind, Result};
use crate::manifest::{BlobEdit, BlobOrigin};
use crate::options::TableCompression;
use crate::types::{Bin, BlobLayout, BlobRef, FileId, KeyspaceId, Kind, Tag};
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;

/// Decides what of an entry goes into a table, and writes what does not.
pub(super) struct Separator<'a> {
    inner: &'a Inner,
    keyspace: KeyspaceId,
    /// Values of at least so many bytes leave; `None`: none does.
    separate_bytes: Option<u32>,
    bin: Bin,
    compression: TableCompression,
    /// Files whose records are copied where a reference to them passes.
    emptied: Arc<HashSet<FileId>>,
    open: Option<BlobFileWriter>,
    outputs: NewBlobFiles<'a>,
}

/// Blob files that no edit names yet: removed again unless one does.
pub(super) struct NewBlobFiles<'a> {
    inner: &'a Inner,
    files: Vec<Arc<BlobFile>>,
}

impl<'a> Separator<'a> {
    pub(super) fn new(
        inner: &'a Inner,
        keyspace: KeyspaceId,
        compression: TableCompression,
        emptied: Arc<HashSet<FileId>>,
    ) -> Self {
        let options = inner.keyspace_options(keyspace);
        Self {
            inner,
            keyspace,
            separate_bytes: options.separate_bytes,
            bin: Bin { class: options.blob_class, due_ms: 0 },
            compression,
            emptied,
            open: None,
            outputs: NewBlobFiles::none(inner),
        }
    }

    /// What the table gets in place of this entry, if not itself.
    pub(super) fn place(&mut self, user_key: &[u8], tag: Tag, value: &[u8]) -> Result<Option<(Tag, Bytes)>> {
        let blob = match tag.kind() {
            Some(Kind::Value) if self.separate_bytes.is_some_and(|least| value.len() >= least as usize) => {
                let (encoding, payload) = compress_block(value, self.compression);
                Some(self.file()?.append(user_key, (encoding, &payload), value.len() as u64)?)
            }
            Some(Kind::BlobRef) => self.copy(user_key, value)?,
            _ => None,
        };
        if self.open.as_ref().is_some_and(|file| file.bytes() >= self.inner.options.blob_file_bytes) {
            self.finish_file()?;
        }
        Ok(blob.map(|blob| (Tag::new(tag.seqno(), Kind::BlobRef), blob.encode().into())))
    }

    /// Copies a record, as it is stored, if its file is to be emptied.
    fn copy(&mut self, user_key: &[u8], reference: &[u8]) -> Result<Option<BlobRef>> {
        let blob = BlobRef::decode(reference).filter(|blob| self.emptied.contains(&blob.file));
        let Some(blob) = blob.filter(|blob| blob.layout == BlobLayout::Whole) else { return Ok(None) };
        // Gone: the reference is an old version that no reader asks for any more.
        let Some(file) = self.inner.blobs().file(blob.file) else { return Ok(None) };
        match file.read_stored(&self.inner.blobs().handles, user_key, blob) {
            Ok(stored) => {
                let copied = self.file()?.append(user_key, (stored.encoding, &stored.payload), stored.len)?;
                Ok(Some(copied))
            }
            // The reference stays, and says so to whoever reads it; the rest of the job need not suffer.
            Err(error) if error.kind() == ErrorKind::Corruption => {
                self.inner.blobs().give_up(blob.file);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn file(&mut self) -> Result<&mut BlobFileWriter> {
        let file = match self.open.take() {
            Some(file) => file,
            None => {
                let id = self.inner.new_file_id();
                let origin = BlobOrigin::Separated;
                let identity = Identity { id, keyspace: self.keyspace, bin: self.bin, origin };
                BlobFileWriter::create(&*self.inner.vfs, self.inner.blob_path(id), identity)?
            }
        };
        Ok(self.open.insert(file))
    }

    fn finish_file(&mut self) -> Result<()> {
        if let Some(file) = self.open.take() {
            let path = file.path().to_owned();
            let finished = file.finish().inspect_err(|_| drop(self.inner.vfs.remove(&path)))?;
            self.outputs.files.push(Arc::new(finished));
        }
        Ok(())
    }

    /// Bytes of the files so far.
    pub(super) fn bytes(&self) -> u64 {
        self.outputs.bytes() + self.open.as_ref().map_or(0, BlobFileWriter::bytes)
    }

    /// Ends what is open; gives the new files, durable but for their names.
    pub(super) fn finish(&mut self) -> Result<NewBlobFiles<'a>> {
        self.finish_file()?;
        Ok(std::mem::replace(&mut self.outputs, NewBlobFiles::none(self.inner)))
    }
}

impl Drop for Separator<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.open.take() {
            let _ = self.inner.vfs.remove(file.path());
        }
    }
}

impl<'a> NewBlobFiles<'a> {
    pub(super) fn new(inner: &'a Inner, files: Vec<Arc<BlobFile>>) -> Self {
        Self { inner, files }
    }

    pub(super) fn none(inner: &'a Inner) -> Self {
        Self::new(inner, Vec::new())
    }

    /// For [`Self::new`], on the thread that will install them.
    pub(super) fn into_files(mut self) -> Vec<Arc<BlobFile>> {
        std::mem::take(&mut self.files)
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.files.append(&mut other.files);
    }

    pub(super) fn edits(&self) -> Vec<BlobEdit> {
        let edits = self.files.iter().flat_map(|file| {
            let (bytes, records) = file.size();
            let BlobFile { id, keyspace, bin, origin, .. } = **file;
            [BlobEdit::Open { id, keyspace, bin, origin }, BlobEdit::Seal { id, bytes, records }]
        });
        edits.collect()
    }

    /// Bytes of the files' records.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size().0).sum()
    }

    /// Lets readers find the files, while an edit names them and installs the tables that refer to them. On an error of the edit they
    /// are removed again, unless nobody knows whether it counts.
    pub(super) fn install(mut self, apply: impl FnOnce() -> Result<()>) -> Result<()> {
        let files = std::mem::take(&mut self.files);
        self.inner.blobs().add(&files);
        let applied = apply();
        if applied.is_err() && self.inner.is_certain() {
            files.iter().for_each(|file| self.inner.blobs().take_back(file));
            self.files = files;
        } else {
            files.iter().for_each(|file| file.settle());
        }
        applied
    }
}

impl Drop for NewBlobFiles<'_> {
    fn drop(&mut self) {
        for file in &self.files {
            self.inner.blobs().handles.remove(file.id, file.path());
        }
    }
}
