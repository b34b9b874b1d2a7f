//! How much of each blob file lives, as its owner wants to know before compacting it. Tables know the bytes that they refer to in each file;
//! what memtables and level 0 refer to is counted entry by entry.

use super::{Db, Keyspace};
use crate::error::Result;
use crate::manifest::BlobOrigin;
use crate::merge::{MergeIter, sources};
use crate::types::{Bin, BlobRef, FileId, KeyspaceId, Kind, Tag};
use crate::version::{ReadState, Tree};
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

/// One blob file, as [`Db::blob_files`] reports it.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let files = db.keyspace("files", KeyspaceOptions::default())?;
/// # let bin = Bin { class: 0, due_ms: u64::MAX };
/// let blob = db.append_blob(&files, bin, b"key", b"its bytes", Compression::Dense)?;
/// let mut batch = db.batch();
/// batch.put_blob(&files, "key", &blob);
/// db.write(batch, Durability::Sync)?;
///
/// let info = db.blob_files(&files)?[0];
/// assert_eq!((info.bin, info.records, info.separated), (bin, 1, false));
/// assert_eq!(info.live_bytes + info.garbage_bytes, info.bytes);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobFileInfo {
    /// Its number.
    pub id: FileId,
    /// Its class and due time.
    pub bin: Bin,
    /// Whether it takes no more records.
    pub sealed: bool,
    /// Whether the database separated its records from the tables (see [`crate::KeyspaceOptions::separate_bytes`]), and collects their
    /// garbage by itself.
    pub separated: bool,
    /// Records written to it, dead ones included.
    pub records: u64,
    /// Bytes of its records, dead ones included.
    pub bytes: u64,
    /// Bytes of the records that the LSM refers to.
    pub live_bytes: u64,
    /// The rest: what a compaction of the file would free.
    pub garbage_bytes: u64,
}

impl Db {
    /// The blob files of `contents`, with the live bytes of each.
    ///
    /// Live is what the newest versions of the keys refer to; and, until the next merges drop them, what older versions below level 0 and
    /// versions that a range deletion hides do. So garbage may be underestimated, and is not overestimated but for a snapshot's sake.
    ///
    /// Complexity: O(tables, and entries in memtables and level 0); no blob is read.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// let blob = db.append_blob(&files, Bin { class: 0, due_ms: 7 }, b"key", &[7; 5000], Compression::None)?;
    /// let mut batch = db.batch();
    /// batch.put_blob(&files, "key", &blob);
    /// db.write(batch, Durability::Sync)?;
    /// let listed = db.blob_files(&files)?;
    /// assert_eq!((listed[0].records, listed[0].garbage_bytes), (1, 0));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Corruption in a table; [`ErrorKind::KeyspaceDropped`](crate::ErrorKind::KeyspaceDropped).
    pub fn blob_files(&self, contents: &Keyspace) -> Result<Vec<BlobFileInfo>> {
        self.check_own(contents)?;
        let mut files = self.inner.blobs.all_current();
        files.retain(|file| file.keyspace == contents.id());
        let state = self.inner.read_state();
        state.check_readable(contents.id(), None)?;
        let live = live_bytes(&state, contents.id())?;
        Ok(files
            .iter()
            .map(|file| {
                let (position, records) = file.size();
                let bytes = position.saturating_sub(crate::blob::FILE_HEADER_BYTES);
                let live_bytes = live.get(&file.id).copied().unwrap_or(0).min(bytes);
                let garbage_bytes = bytes - live_bytes;
                BlobFileInfo {
                    id: file.id,
                    bin: file.bin,
                    sealed: file.is_sealed(),
                    separated: file.origin == BlobOrigin::Separated,
                    records,
                    bytes,
                    live_bytes,
                    garbage_bytes,
                }
            })
            .collect())
    }
}

/// Bytes of each blob file that the keyspace's entries refer to. Deep tables say by their properties; the entries of memtables and level 0
/// are looked at one by one, as there may be many versions of a key, and each may hide one below.
fn live_bytes(state: &ReadState, keyspace: KeyspaceId) -> Result<HashMap<FileId, u64>> {
    let mut live: HashMap<FileId, u64> = HashMap::new();
    let Some(tree) = state.tree(keyspace) else { return Ok(live) };
    for (file, bytes) in tree.levels.iter().skip(1).flatten().flat_map(|table| &table.properties.blob_bytes) {
        *live.entry(*file).or_default() += bytes;
    }
    let record = |key: &[u8], (tag, value): (Tag, &[u8])| {
        let blob =
            Some(tag.kind()).filter(|kind| *kind == Some(Kind::BlobRef)).and(BlobRef::decode(value))?;
        Some((blob.file, crate::blob::record_bytes(key.len(), blob.stored_len)))
    };
    let mut young = state.clone();
    let mut top = Tree::clone(tree);
    top.levels.iter_mut().skip(1).for_each(Vec::clear);
    young.version = Arc::new([(keyspace, Arc::new(top))].into());
    let mut merged = MergeIter::new(sources(&young, keyspace, (Bound::Unbounded, Bound::Unbounded), None));
    merged.seek(b"", Tag(u64::MAX))?;
    let mut last: Option<Vec<u8>> = None;
    while let Some((key, tag)) = merged.key() {
        if last.as_deref() != Some(key) {
            if let Some((file, bytes)) = record(key, (tag, &merged.value())) {
                *live.entry(file).or_default() += bytes;
            }
            let hidden = tree.get_below_top(key)?;
            if let Some((file, bytes)) = hidden.and_then(|(tag, value)| record(key, (tag, &value))) {
                let counted = live.entry(file).or_default();
                *counted = counted.saturating_sub(bytes);
            }
            last.get_or_insert_default().clear();
            last.get_or_insert_default().extend_from_slice(key);
        }
        merged.next()?;
    }
    Ok(live)
}
