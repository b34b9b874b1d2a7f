//! Writing a whole blob file at once: what a flush or a rewrite of tables separates, in key order.
//!
//! The file is nobody's before the edit that names it, already sealed, so it has neither lock nor recovery: an unfinished one is an
//! orphan. Records gather in a buffer: many small values cost few writes.

use super::file::{BlobFile, Identity};
use super::format::*;
use crate::compress::Encoding;
use crate::error::{Error, Result};
use crate::types::{BlobLayout, BlobRef};
use crate::vfs::{Vfs, VfsFile};
use bytes::Bytes;
use std::path::{Path, PathBuf};

pub(crate) struct BlobFileWriter {
    identity: Identity,
    path: PathBuf,
    file: Box<dyn VfsFile>,
    /// Bytes of the file so far, the buffer included.
    position: u64,
    buffer: Vec<u8>,
    index: Vec<u8>,
    records: u64,
}

const WRITE_BYTES: usize = 256 << 10;

impl BlobFileWriter {
    pub(crate) fn create(vfs: &dyn Vfs, path: PathBuf, identity: Identity) -> Result<Self> {
        let file = vfs.create(&path).map_err(|source| Error::io("create", &path, source))?;
        let buffer = encode_header(identity.id, identity.keyspace, identity.bin).to_vec();
        let position = buffer.len() as u64;
        Ok(Self { identity, path, file, position, buffer, index: Vec::new(), records: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file so far, without its index.
    pub(crate) fn bytes(&self) -> u64 {
        self.position
    }

    pub(crate) fn append(
        &mut self,
        key: &[u8],
        (encoding, payload): (Encoding, &[u8]),
        len: u64,
    ) -> Result<BlobRef> {
        let Identity { id, keyspace, .. } = self.identity;
        let offset = self.position;
        let bytes = encode_record(id, offset, (keyspace, key), (encoding, payload), len);
        let (key, stored_len) = (Bytes::copy_from_slice(key), payload.len() as u64);
        let record = Record { offset, key, stored_len, len, layout: BlobLayout::Whole };
        encode_index_entry(&mut self.index, &record);
        self.position += bytes.len() as u64;
        self.records += 1;
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.write_buffer()?;
        }
        Ok(record.blob_ref(id))
    }

    fn write_buffer(&mut self) -> Result<()> {
        let at = self.position - self.buffer.len() as u64;
        self.file.write_all_at(&self.buffer, at).map_err(|source| Error::io("write", &self.path, source))?;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the file and makes it durable (its name is not yet: the caller syncs the directory). The result counts as pending until
    /// [`BlobFile::settle`]: an edit has still to name it.
    pub(crate) fn finish(mut self) -> Result<BlobFile> {
        self.write_buffer()?;
        let mut end = std::mem::take(&mut self.index);
        let trailer = encode_trailer(self.identity.id, self.position, &end, self.records);
        end.extend_from_slice(&trailer);
        let written = self.file.write_all_at(&end, self.position);
        written.map_err(|source| Error::io("write", &self.path, source))?;
        self.file.sync().map_err(|source| Error::io("sync", &self.path, source))?;
        let file = BlobFile::sealed(self.path, self.identity, self.position, self.records);
        file.hold();
        Ok(file)
    }
}
