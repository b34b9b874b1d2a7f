//! Bin compaction: reading one blob file in sequence and asking its owner what becomes of each live record.
//!
//! A record is *live* if the LSM's newest version of its key refers to it. For each live record the owner says *keep*
//! (it is not due) or *rewrite* (into no, one or several new blobs, with a plan that it will commit). New blobs are appended to their
//! bins, made durable and read back; only then does the owner commit its plan, conditional on what it judged being as it was. A
//! plan that conflicts is dropped: its new blobs become garbage, and the record stays as the user made it.
//!
//! At the end, if no record is live, the file is retired. If less than half of its bytes are, they are carried to the
//! bins that the owner named, and then it is retired. Otherwise it stays: rewriting what is not due would cost more than the
//! garbage it frees.
//!
//! A crash anywhere leaves each record either as it was or wholly rewritten: new blobs without a committed reference are garbage of
//! their file, and the old file goes only after the commits are durable.

use crate::batch::{PendingBlob, WriteBatch};
use crate::blob::{BlobFile, Record};
use crate::db::{Db, Inner, Keyspace};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::BlobOrigin;
use crate::types::{Bin, BlobRef, Compression, Durability, FileId, Seqno};
use bytes::Bytes;
use std::sync::Arc;

/// Decides the fate of the records of a bin. Called on the thread that compacts, in file order.
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
///     fn judge(&self, record: &LiveRecord) -> Result<Judgement<Seqno>> {
///         if record.bin.due_ms > self.now_ms {
///             return Ok(Judgement::Keep { bin: record.bin });
///         }
///         let short = NewBlob {
///             key: record.key.clone(),
///             bytes: record.bytes.slice(..4),
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
pub trait BinOwner {
    /// What a judgement hands to its commit.
    type Plan;

    /// What becomes of a live record.
    ///
    /// # Errors
    /// An error ends the compaction; what was committed before stays committed. Wrap foreign errors in [`Error::owner`].
    fn judge(&self, record: &LiveRecord) -> Result<Judgement<Self::Plan>>;

    /// Commits a plan whose new blobs are durable and were read back: a batch that puts them and is conditional on all that was
    /// judged. `Ok(false)`: it conflicted, and nothing was changed.
    ///
    /// # Errors
    /// As [`BinOwner::judge`].
    fn commit(&self, plan: Self::Plan, blobs: &[PendingBlob]) -> Result<bool>;
}

/// A record that the LSM refers to.
///
/// ```
/// use patina_storage::*;
///
/// /// Only what is large is worth a second look.
/// fn is_worth_it(record: &LiveRecord) -> bool {
///     record.blob.stored_len > 64 << 10
/// }
/// # let blob = BlobRef { file: FileId(1), offset: 0, stored_len: 1, len: 1, layout: BlobLayout::Whole };
/// # let bin = Bin { class: 0, due_ms: 1 };
/// # assert!(!is_worth_it(&LiveRecord { key: "k".into(), bytes: "b".into(), bin, blob, seqno: Seqno(1) }));
/// ```
#[derive(Clone, Debug)]
pub struct LiveRecord {
    /// Its key.
    pub key: Bytes,
    /// Its value, decompressed and verified.
    pub bytes: Bytes,
    /// The bin of the file that it is in.
    pub bin: Bin,
    /// Where it is.
    pub blob: BlobRef,
    /// The write that refers to it.
    pub seqno: Seqno,
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
/// use patina_storage::{Bin, Compression, NewBlob};
/// let bin = Bin::for_due(1, 0, 86_400_000);
/// let blob = NewBlob { key: "key".into(), bytes: "less".into(), bin, compression: Compression::Strong };
/// assert!(blob.bin.due_ms >= 86_400_000);
/// ```
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// The key that the owner's commit will put it under.
    pub key: Bytes,
    /// The value.
    pub bytes: Bytes,
    /// Where it belongs.
    pub bin: Bin,
    /// How hard to compress it.
    pub compression: Compression,
}

/// What a bin compaction did.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let files = db.keyspace("files", KeyspaceOptions::default())?;
/// # let bin = Bin { class: 0, due_ms: u64::MAX };
/// # struct Nothing;
/// # impl BinOwner for Nothing {
/// #     type Plan = ();
/// #     fn judge(&self, record: &LiveRecord) -> Result<Judgement<()>> {
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
    /// Records that were live, and were judged.
    pub live: u64,
    /// Plans that were committed.
    pub committed: u64,
    /// Plans that conflicted with a writer.
    pub conflicts: u64,
    /// Records carried to another file.
    pub carried: u64,
    /// Bytes of the file's records.
    pub bytes: u64,
    /// Bytes written to other files.
    pub bytes_written: u64,
    /// The file is no longer part of the database.
    pub retired: bool,
    /// A write into the file was still waiting for its batch: nothing was done; try again later.
    pub busy: bool,
}

/// Plans are committed together when their outputs reach this much, or this many.
const GROUP_BYTES: u64 = 8 << 20;
const GROUP_PLANS: usize = 256;

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
    /// #     fn judge(&self, record: &LiveRecord) -> Result<Judgement<()>> {
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
    /// [`ErrorKind::InvalidArgument`] if the file belongs to another keyspace; corruption; the owner's errors.
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
        self.inner.seal_if_open(&blob_file)?;
        // Also a file that a stream writes.
        if blob_file.pending() > 0 || !blob_file.is_sealed() {
            return Ok(BinReport { busy: true, ..BinReport::default() });
        }
        let mut run = Run {
            db: self,
            contents,
            owner,
            file: blob_file,
            report: BinReport::default(),
            group: Vec::new(),
            group_bytes: 0,
            kept: Vec::new(),
        };
        let done = run.run();
        if let Err(error) = &done {
            // The next try has room.
            self.inner.release_ballast(error);
        }
        // A keyspace that was dropped meanwhile could not be removed.
        drop(one_at_a_time);
        self.inner.remove_unseen_soon();
        done.map(|()| run.report)
    }
}

struct Run<'a, O: BinOwner> {
    db: &'a Db,
    contents: &'a Keyspace,
    owner: &'a O,
    file: Arc<BlobFile>,
    report: BinReport,
    group: Vec<(O::Plan, Vec<PendingBlob>)>,
    group_bytes: u64,
    kept: Vec<(Record, Bin)>,
}

impl<O: BinOwner> Run<'_, O> {
    fn run(&mut self) -> Result<()> {
        let inner = self.inner();
        let records = self.file.index(&inner.blobs().handles)?;
        self.report.records = records.len() as u64;
        self.report.bytes = records.iter().map(Record::total_bytes).sum();
        for record in &records {
            self.visit(record)?;
        }
        self.commit_group()?;
        let kept_bytes: u64 = self.kept.iter().map(|(record, _)| record.total_bytes()).sum();
        if kept_bytes * 2 < self.report.bytes {
            self.carry()?;
        }
        let mut is_dead = true;
        for record in &records {
            is_dead = is_dead && self.live(record)?.is_none();
        }
        // Whatever took the last references away must be durable before the file may go, so this comes after looking. No new
        // reference can come: the file is sealed, and no write into it waits for its batch.
        self.db.sync()?;
        if is_dead {
            self.inner().retire(&self.file)?;
            self.report.retired = true;
        }
        Ok(())
    }

    fn inner(&self) -> Arc<Inner> {
        self.db.inner.clone()
    }

    /// The reference to a record, if the newest version of its key is one.
    fn live(&self, record: &Record) -> Result<Option<(BlobRef, Seqno)>> {
        let found = self.contents.blob_ref(&record.key)?;
        Ok(found.filter(|(blob, _)| blob.file == self.file.id && blob.offset == record.offset))
    }

    fn visit(&mut self, record: &Record) -> Result<()> {
        let Some((blob, seqno)) = self.live(record)? else { return Ok(()) };
        let bytes = self.file.read(&self.inner().blobs().handles, &record.key, blob)?;
        self.report.live += 1;
        let live = LiveRecord { key: record.key.clone(), bytes, bin: self.file.bin, blob, seqno };
        match self.owner.judge(&live)? {
            Judgement::Keep { bin } => self.kept.push((record.clone(), bin)),
            Judgement::Rewrite { outputs, plan } => {
                let mut blobs = Vec::with_capacity(outputs.len());
                for NewBlob { key, bytes, bin, compression } in outputs {
                    let blob = self.db.append_blob(self.contents, bin, &key, &bytes, compression)?;
                    self.group_bytes += blob.blob_ref().stored_len;
                    self.inner().pace(blob.blob_ref().stored_len)?;
                    blobs.push(blob);
                }
                self.group.push((plan, blobs));
                if self.group_bytes >= GROUP_BYTES || self.group.len() >= GROUP_PLANS {
                    self.commit_group()?;
                }
            }
        }
        Ok(())
    }

    /// Makes the group's new blobs durable, reads them back, then lets the owner commit plan by plan.
    fn commit_group(&mut self) -> Result<()> {
        let inner = self.inner();
        let blobs = || self.group.iter().flat_map(|(_, blobs)| blobs);
        for blob in blobs() {
            blob.inner.file.sync().map_err(|error| inner.fail(error))?;
        }
        for blob in blobs() {
            blob.inner.file.verify_record(&inner.blobs().handles, blob.key(), blob.blob_ref())?;
        }
        self.report.bytes_written += self.group_bytes;
        self.group_bytes = 0;
        for (plan, blobs) in std::mem::take(&mut self.group) {
            match self.owner.commit(plan, &blobs)? {
                true => self.report.committed += 1,
                false => self.report.conflicts += 1,
            }
        }
        Ok(())
    }

    /// Copies what was kept into other files, as it is stored.
    fn carry(&mut self) -> Result<()> {
        let inner = self.inner();
        for (record, bin) in std::mem::take(&mut self.kept) {
            let Some((blob, seqno)) = self.live(&record)? else { continue };
            let carried = inner.copy_record(&self.file, &record.key, blob, bin)?;
            inner.pace(blob.stored_len)?;
            carried.inner.file.sync().map_err(|error| inner.fail(error))?;
            carried.inner.file.verify_record(&inner.blobs().handles, &record.key, carried.blob_ref())?;
            let mut batch = WriteBatch::default();
            batch.require_version(self.contents, record.key.clone(), seqno);
            batch.put_blob(self.contents, record.key.clone(), &carried);
            match self.db.write(batch, Durability::Buffered) {
                Ok(_) => {
                    self.report.carried += 1;
                    self.report.bytes_written += blob.stored_len;
                }
                Err(error) if error.kind() == ErrorKind::Conflict => self.report.conflicts += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
