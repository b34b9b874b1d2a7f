//! Freeing the bytes of blob files that are mostly garbage.
//!
//! Overwriting, deleting and degrading leave garbage behind in files that also hold what is still wanted. A file of which
//! more than half is garbage is compacted with an owner that keeps everything: storage carries what is live to other files. Small files
//! of one bin, as many short sessions leave them, are merged.
//!
//! What has the least to be carried goes first: on a full disk a file without anything live makes room for others.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::store::Inner;
use crate::types::ContentHash;
use patina_storage::{Bin, BinOwner, BlobFileInfo, Judgement, LiveRecord, PendingBlob};
use std::sync::atomic::Ordering;

/// Compacts what is worth it. `moved`: objects that the round moved.
pub(super) fn collect(inner: &Inner, now: Timestamp, moved: u64) -> Result<()> {
    let made = inner.garbage_made.swap(false, Ordering::Relaxed);
    if made || moved > 0 {
        // What an error leaves behind is for the next round.
        compact_files(inner, now).inspect_err(|_| inner.garbage_made.store(true, Ordering::Relaxed))?;
    }
    // It only makes files fewer: nothing to spend a full disk's last room on.
    if !inner.db.stats().is_disk_full {
        inner.db.merge_blob_files(&inner.spaces.contents)?;
    }
    Ok(())
}

/// Leaves what there is for the next round.
pub(super) fn leave(inner: &Inner, moved: u64) {
    inner.garbage_made.fetch_or(moved > 0, Ordering::Relaxed);
}

fn compact_files(inner: &Inner, now: Timestamp) -> Result<()> {
    let contents = &inner.spaces.contents;
    let keeper = Keeper { inner, now };
    let mut files = inner.db.blob_files(contents)?;
    files.retain(is_mostly_garbage);
    files.sort_by_key(|file| file.live_bytes);
    for file in files {
        inner.db.compact_bin(contents, file.id, &keeper)?;
    }
    Ok(())
}

fn is_mostly_garbage(file: &BlobFileInfo) -> bool {
    file.garbage_bytes > file.live_bytes
}

struct Keeper<'a> {
    inner: &'a Inner,
    now: Timestamp,
}

impl Keeper<'_> {
    fn bin_of(&self, record: &LiveRecord<'_>) -> Result<Bin> {
        let Some(content) = ContentHash::from_slice(&record.key) else { return Ok(record.bin) };
        let mut due_ms = u64::MAX;
        for id in self.inner.referrers(record.snapshot(), content)? {
            let row = match self.inner.row(Some(record.snapshot()), id) {
                // When its object falls due nobody can tell; that is no matter of the others.
                Err(error) if error.is_damage() => continue,
                found => found?,
            };
            let row_due_ms = row.and_then(|found| found.row.due_ms);
            due_ms = due_ms.min(row_due_ms.unwrap_or(u64::MAX));
        }
        Ok(Bin::for_due(record.bin.class, self.now.0, due_ms))
    }
}

impl BinOwner for Keeper<'_> {
    type Plan = ();

    fn judge(&self, record: &LiveRecord<'_>) -> patina_storage::Result<Judgement<()>> {
        Ok(Judgement::Keep { bin: self.bin_of(record).map_err(Error::into_storage)? })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> patina_storage::Result<bool> {
        Ok(false)
    }
}
