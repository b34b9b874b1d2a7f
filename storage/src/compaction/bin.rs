//! Bin compaction: reading one blob file in sequence and asking its owner what becomes of each live record.
//!
//! A record is *live* if the LSM's newest version of its key refers to it. For each live record the owner says *keep*
//! (it is not due), *carry* (it belongs elsewhere) or *rewrite* (into no, one or several new blobs, with a plan that it will
//! commit). New blobs are appended to their bins, made durable and read back; only then the owner commits its plan, conditional on
//! what it judged being as it was. A plan that conflicts is dropped: its new blobs become garbage, and the record stays as the user
//! made it.
//!
//! An owner may know beforehand which few records of a file have to move ([`BinOwner::wants`]). Then the others are not looked at: a
//! visit costs what moves, and one pass over the file's index.
//!
//! At the end, if no record is live, the file is retired. If less than half of its bytes were kept, they are carried to the
//! bins that the owner named, and then it is retired. Otherwise it stays: rewriting what is not due would cost more than the
//! garbage it frees.
//!
//! Judging may cost seconds of a processor a record, so records are judged by several threads at once, in *groups* of bounded
//! memory (`run.rs`):
//!
//! ```text
//! group 1:  judge (threads)  → append, sync, read back, commit (caller, in file order)
//! group 2:                     judge (threads)                 → append, …
//! ```
//!
//! What a group is depends on the file alone, and its records are judged as of a snapshot taken at a fixed place in the order of
//! commits. So the same calls give the same bytes, whatever the number of threads.
//!
//! A crash anywhere leaves each record either as it was or wholly rewritten: new blobs without a committed reference are garbage of
//! their file, and the old file goes only after the commits are durable. A record that cannot be read, or whose judging panics, is
//! left where it is and stops no other.

mod judges;
mod record;
mod run;
mod small;

pub use record::LiveRecord;

use crate::batch::PendingBlob;
use crate::db::{Db, Keyspace};
use crate::error::{Error, Result};
use crate::manifest::BlobOrigin;
use crate::types::{Bin, Compression, FileId};
use bytes::Bytes;

/// Decides the fate of the records of a bin. Records are judged by several threads at once (`Options::transform_threads`); plans are
/// committed on the thread that compacts, in file order.
///
/// ```
/// use patina_storage::*;
/// use std::sync::Arc;
///
/// /// Cuts what falls due before a moment down to its first bytes.
/// struct Shortens {
///     db: Db,
///     files: Keyspace,
///     now_ms: u64,
/// }
///
/// impl BinOwner for Shortens {
///     /// The version that was judged.
///     type Plan = Seqno;
///
///     fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Seqno>> {
///         if record.bin.due_ms > self.now_ms {
///             return Ok(Judgement::Keep { bin: record.bin });
///         }
///         let short = NewBlob {
///             key: record.key.clone(),
///             value: record.read()?.slice(..4).into(),
///             bin: Bin { class: 1, due_ms: u64::MAX },
///             compression: Compression::None,
///         };
///         Ok(Judgement::Rewrite { outputs: vec![short], plan: record.seqno })
///     }
///
///     fn commit(&self, judged: Seqno, blobs: &[PendingBlob]) -> Result<bool> {
///         let mut batch = self.db.batch();
///         for blob in blobs {
///             batch.require_version(&self.files, blob.key().clone(), judged);
///             batch.put_blob(&self.files, blob.key().clone(), blob);
///         }
///         match self.db.write(batch, Durability::Buffered) {
///             Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
///             other => other.map(|_| true),
///         }
///     }
/// }
///
/// let db = Db::open_with(Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let files = db.keyspace("files", KeyspaceOptions::default())?;
/// let due = Bin { class: 0, due_ms: 100 };
/// let blob = db.append_blob(&files, due, b"key", b"long ago", Compression::None)?;
/// let mut batch = db.batch();
/// batch.put_blob(&files, "key", &blob);
/// db.write(batch, Durability::Sync)?;
/// drop(blob);
/// db.seal_bins()?;
///
/// let owner = Shortens { db: db.clone(), files: files.clone(), now_ms: 200 };
/// let file = db.blob_files(&files)?[0].id;
/// let report = db.compact_bin(&files, file, &owner)?;
/// assert!(report.committed == 1 && report.retired);
/// assert_eq!(files.get(b"key")?.unwrap(), "long");
/// # Ok::<(), Error>(())
/// ```
pub trait BinOwner: Sync {
    /// What a judgement hands to its commit.
    type Plan: Send;

    /// Whether the record of a key may have to be judged. The others stay as they are, without a look at the LSM, unless those that
    /// are wanted are more than half of the file's bytes: then all are judged, so that the rest can be carried and the file can go.
    /// Asked once for each record of the file, live or not, on the thread that compacts, before the first judgement.
    fn wants(&self, _key: &[u8]) -> bool {
        true
    }

    /// What becomes of a live record. What it answers should depend on the record and on what its [`LiveRecord::snapshot`] shows:
    /// then the same calls give the same files.
    ///
    /// # Errors
    /// Of a record that cannot be read ([`crate::ErrorKind::Corruption`]): it is left as it is. Any other ends the compaction; what
    /// was judged before it, in file order, is committed. Wrap foreign errors in [`Error::owner`]. A panic leaves the record as it is,
    /// too; so no state may be left half changed by one.
    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Self::Plan>>;

    /// Commits a plan whose new blobs are durable and were read back: a batch that puts them and is conditional on all that was
    /// judged. `Ok(false)`: it conflicted, and nothing was changed.
    ///
    /// # Errors
    /// As [`BinOwner::judge`].
    fn commit(&self, plan: Self::Plan, blobs: &[PendingBlob]) -> Result<bool>;

    /// Whether to end early: asked before each record. What was judged is still committed, the rest stays as it is.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Told on the thread that compacts how far it has come, now and then.
    fn progress(&self, _so_far: &BinReport) {}
}

/// What becomes of a record.
///
/// ```
/// use patina_storage::{Bin, Judgement};
/// let later = Judgement::<()>::Keep { bin: Bin { class: 0, due_ms: 5 } };
/// let removed = Judgement::Rewrite { outputs: vec![], plan: () };
/// # assert_ne!(format!("{later:?}"), format!("{removed:?}"));
/// ```
#[derive(Debug)]
pub enum Judgement<P> {
    /// It stays as it is; if most of its file goes, it is carried to this bin.
    Keep {
        /// Where it belongs now.
        bin: Bin,
    },
    /// It is copied to this bin as it is stored, whatever becomes of its file.
    Carry {
        /// Where it belongs now.
        bin: Bin,
    },
    /// It is replaced by what the plan commits. Without outputs the plan only removes or keeps keys.
    Rewrite {
        /// The new blobs, in the order in which [`BinOwner::commit`] gets them.
        outputs: Vec<NewBlob>,
        /// Handed to [`BinOwner::commit`].
        plan: P,
    },
}

/// A blob to be written by a bin compaction.
///
/// ```
/// use patina_storage::{Bin, Compression, NewBlob, NewValue};
/// let bin = Bin::for_due(1, 0, 86_400_000);
/// let value = NewValue::Bytes("less".into());
/// let blob = NewBlob { key: "key".into(), value, bin, compression: Compression::Strong };
/// assert!(blob.bin.due_ms >= 86_400_000);
/// ```
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// The key that the owner's commit will put it under.
    pub key: Bytes,
    /// The value.
    pub value: NewValue,
    /// Where it belongs.
    pub bin: Bin,
    /// How hard to compress it.
    pub compression: Compression,
}

/// The value of a [`NewBlob`].
///
/// ```
/// use patina_storage::NewValue;
/// let shorter = NewValue::from(bytes::Bytes::from("less"));
/// assert_ne!(shorter, NewValue::Same);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewValue {
    /// These bytes.
    Bytes(Bytes),
    /// That of the record that was judged, compressed anew; a large one is never held in memory as a whole.
    Same,
}

impl From<Bytes> for NewValue {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// What a bin compaction did; of one that a full disk made begin again, with the room of `Options::ballast_bytes`, since then.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let files = db.keyspace("files", KeyspaceOptions::default())?;
/// # let bin = Bin { class: 0, due_ms: u64::MAX };
/// # struct Nothing;
/// # impl BinOwner for Nothing {
/// #     type Plan = ();
/// #     fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
/// #         Ok(Judgement::Keep { bin: record.bin })
/// #     }
/// #     fn commit(&self, _: (), _: &[PendingBlob]) -> Result<bool> {
/// #         Ok(true)
/// #     }
/// # }
/// # let owner = Nothing;
/// drop(db.append_blob(&files, bin, b"key", b"never put", Compression::None)?);
/// db.seal_bins()?;
/// let file = db.blob_files(&files)?[0].id;
/// let report = db.compact_bin(&files, file, &owner)?;
/// assert_eq!((report.records, report.live, report.retired), (1, 0, true));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinReport {
    /// Records in the file.
    pub records: u64,
    /// Records that were live when they were to be judged; those that the owner did not want are not looked at.
    pub live: u64,
    /// Plans that were committed.
    pub committed: u64,
    /// Plans that conflicted with a writer.
    pub conflicts: u64,
    /// Records carried to another file.
    pub carried: u64,
    /// Live records that cannot be read, or whose judging panicked: they stay where they are.
    pub failed: u64,
    /// Bytes of the file's records.
    pub bytes: u64,
    /// Bytes written to other files.
    pub bytes_written: u64,
    /// The file is no longer part of the database.
    pub retired: bool,
    /// A write into the file was still waiting for its batch: nothing was done; try again later.
    pub busy: bool,
    /// The owner ended it early.
    pub cancelled: bool,
}

impl Db {
    /// Compacts one blob file, whose records are values of `contents`. One runs at a time; others wait. A file that another
    /// compaction has retired meanwhile is reported as such.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let files = db.keyspace("files", KeyspaceOptions::default())?;
    /// # let bin = Bin { class: 0, due_ms: u64::MAX };
    /// # struct Nothing;
    /// # impl BinOwner for Nothing {
    /// #     type Plan = ();
    /// #     fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
    /// #         Ok(Judgement::Keep { bin: record.bin })
    /// #     }
    /// #     fn commit(&self, _: (), _: &[PendingBlob]) -> Result<bool> {
    /// #         Ok(true)
    /// #     }
    /// # }
    /// # let owner = Nothing;
    /// for number in 0..3 {
    ///     // Blobs that no batch puts are garbage.
    ///     drop(db.append_blob(&files, bin, &[number], b"bytes", Compression::None)?);
    /// }
    /// db.seal_bins()?;
    /// for file in db.blob_files(&files)? {
    ///     assert!(db.compact_bin(&files, file.id, &owner)?.retired);
    /// }
    /// assert!(db.blob_files(&files)?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the file belongs to another keyspace; corruption; the owner's errors.
    pub fn compact_bin<O: BinOwner>(
        &self,
        contents: &Keyspace,
        file: FileId,
        owner: &O,
    ) -> Result<BinReport> {
        self.check_own(contents)?;
        self.inner.check_writable()?;
        let one_at_a_time = self.inner.bin_compaction.lock();
        let Some(blob_file) = self.inner.blobs().current(file) else {
            return Ok(BinReport { retired: true, ..BinReport::default() });
        };
        if blob_file.keyspace != contents.id() {
            return Err(Error::invalid(format!("blob file {file} belongs to another keyspace")));
        }
        if blob_file.origin == BlobOrigin::Separated {
            let message =
                format!("blob file {file} holds separated values: the database collects its garbage itself");
            return Err(Error::invalid(message));
        }
        self.inner.freeing_space(|| self.inner.seal_if_open(&blob_file))?;
        // Also a file that a stream writes.
        if blob_file.pending() > 0 || !blob_file.is_sealed() {
            return Ok(BinReport { busy: true, ..BinReport::default() });
        }
        // A second run goes on where the first found the disk full.
        let done = self.inner.freeing_space(|| run::run(self, contents, owner, &blob_file));
        // A keyspace that was dropped meanwhile could not be removed.
        drop(one_at_a_time);
        self.inner.remove_unseen_soon();
        done
    }
}
