//! Merging small blob files of one bin.
//!
//! A bin has one open file, which is sealed when it is full, and when the database closes. So many short sessions leave many small files,
//! each with a handle, an index and a retirement of its own, and they stay until they fall due. Here their live records are copied,
//! as they are stored, into the bin's open file.
//!
//! Merging all small files each time would copy the first one's records with every few sessions. So files are taken by *tiers* of about
//! the same size, each four times the one before: a record is copied once a tier. Example: sessions that leave 10 KiB each; after four
//! of them one file of 40 KiB, after sixteen one of 160 KiB; with blob files of 64 MiB, what has 8 MiB is left alone. So a bin keeps at
//! most three files a tier, some twenty, and each byte is copied six times at most.

use super::{BinOwner, BinReport, Judgement, LiveRecord};
use crate::batch::PendingBlob;
use crate::db::{Db, Keyspace};
use crate::error::Result;
use crate::manifest::BlobOrigin;
use crate::types::{Bin, FileId};
use std::collections::BTreeMap;

/// Files of less than this share of `blob_file_bytes` are small.
const SMALL_SHARE: u64 = 8;
/// So many files of a tier are merged.
const TIER_FILES: usize = 4;

/// Carries everything to where it is.
struct Stays;

impl BinOwner for Stays {
    type Plan = ();

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
        Ok(Judgement::Carry { bin: record.bin })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
        Ok(true)
    }
}

impl Db {
    /// Merges blob files of `contents` that belong to one bin and are much smaller than `Options::blob_file_bytes`, as many short sessions
    /// leave them, if there are at least four of about the same size. Gives the sum of what was done.
    ///
    /// Complexity: O(blob files), and the bytes of those that are merged.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// let bin = Bin { class: 0, due_ms: u64::MAX };
    /// for number in 0..4 {
    ///     let blob = db.append_blob(&files, bin, &[number], b"bytes", Compression::None)?;
    ///     let mut batch = db.batch();
    ///     batch.put_blob(&files, vec![number], &blob);
    ///     db.write(batch, Durability::Sync)?;
    ///     db.seal_bins()?;
    /// }
    /// assert_eq!(db.merge_blob_files(&files)?.carried, 4);
    /// assert_eq!(db.blob_files(&files)?.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// What the file system refused; what was copied before stays so.
    pub fn merge_blob_files(&self, contents: &Keyspace) -> Result<BinReport> {
        self.check_own(contents)?;
        let small_bytes = self.inner.options.blob_file_bytes / SMALL_SHARE;
        let mut files = self.inner.blobs().all_current();
        files.retain(|file| {
            file.keyspace == contents.id() && file.origin == BlobOrigin::User && file.is_sealed()
        });
        let sizes = files.iter().map(|file| (file.id, file.bin, file.size().0));
        let mut sum = BinReport::default();
        for id in choose(sizes, small_bytes) {
            sum.add(&self.compact_bin(contents, id, &Stays)?);
        }
        Ok(sum)
    }
}

/// The files that are to be merged, of each bin together, in the order of their making.
fn choose(files: impl Iterator<Item = (FileId, Bin, u64)>, small_bytes: u64) -> Vec<FileId> {
    let mut tiers: BTreeMap<(Bin, u32), Vec<FileId>> = BTreeMap::new();
    for (id, bin, bytes) in files.filter(|(_, _, bytes)| *bytes < small_bytes) {
        tiers.entry((bin, bytes.max(1).ilog2() / 2)).or_default().push(id);
    }
    tiers.into_values().filter(|files| files.len() >= TIER_FILES).flatten().collect()
}

impl BinReport {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.live += other.live;
        self.carried += other.carried;
        self.conflicts += other.conflicts;
        self.failed += other.failed;
        self.bytes += other.bytes;
        self.bytes_written += other.bytes_written;
        self.retired |= other.retired;
        self.busy |= other.busy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_of_a_size_and_a_bin_are_merged() {
        let bins = [Bin { class: 0, due_ms: 1 }, Bin { class: 0, due_ms: 2 }];
        let chosen = |files: &[(usize, u64)]| -> Vec<u64> {
            let files = (1..).zip(files).map(|(id, (bin, bytes))| (FileId(id), bins[*bin], *bytes));
            choose(files, 8000).iter().map(|id| id.0).collect()
        };
        assert_eq!(chosen(&[(0, 300), (0, 400), (1, 300), (0, 500), (0, 600)]), [1, 2, 4, 5]);
        assert_eq!(chosen(&[(0, 300), (0, 400), (1, 300), (0, 500)]), [0u64; 0]);
        assert_eq!(chosen(&[(0, 300), (0, 1100), (0, 1200), (0, 1300)]), [0u64; 0], "of different sizes");
        assert_eq!(chosen(&[(0, 9000); 5]), [0u64; 0], "large enough");
    }
}
