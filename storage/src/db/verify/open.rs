//! Verifying an open database, beside its readers and writers.
//!
//! The walk works on one read state, and a snapshot keeps the blob files that it refers to. A file that was retired at that
//! very moment may go nevertheless: all its records were replaced by then, and so nothing about it is a problem.

use super::super::open::{LOG_SUFFIX, file_name, log_ids};
use super::{Db, Verifier, VerifyProgress, VerifyReport};
use crate::batch::decode_batch;
use crate::db::Inner;
use crate::error::{Error, Result};
use crate::log::{LogReader, Tail};
use crate::manifest::Manifest;
use crate::types::FileId;
use std::path::Path;

impl Db {
    /// Reads everything and compares all that one part says of another: every checksum, every blob reference, the order of every table
    /// and level, manifest against files, counts against contents. Never stops at the first problem.
    ///
    /// Reads and writes go on meanwhile; what was written after the call began may be left out.
    /// Complexity: one pass over all files, a second one over the tables, a point look-up for each reference to a file that is gone.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let vfs = MemVfs::new();
    /// # let db = Db::open_with(std::sync::Arc::new(vfs.clone()), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// db.flush()?;
    /// let report = db.verify()?;
    /// assert!(report.is_sound());
    /// assert_eq!((report.tables, report.entries), (1, 1));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// None about what is stored: that is the report. [`crate::ErrorKind::Io`] if the directory cannot be listed.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_with(|_| {})
    }

    /// As [`Db::verify`], saying before each file how far it has come.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let report = db.verify_with(|progress| println!("{} of {}", progress.bytes_done, progress.bytes_total))?;
    /// assert!(report.is_sound());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::verify`].
    pub fn verify_with(&self, mut progress: impl FnMut(&VerifyProgress<'_>)) -> Result<VerifyReport> {
        let inner = &*self.inner;
        let _keeps_blob_files = self.snapshot();
        let find = |id: FileId| inner.blobs.file(id);
        let mut verifier = Verifier::new(&inner.blobs.handles, &find, &mut progress);
        verify_manifest(inner, &mut verifier);
        let (state, last_seqno) = (inner.read_state(), inner.visible());
        verify_logs(inner, &mut verifier)?;
        verifier.run(&state, &inner.blobs.all_current(), last_seqno);
        Ok(verifier.report)
    }
}

/// The manifest as it can be read back must say what is in memory.
fn verify_manifest(inner: &Inner, verifier: &mut Verifier<'_>) {
    // Held while reading (4 MiB at most, mostly a few KiB), so that no edit comes between.
    let manifest = inner.manifest.lock();
    match Manifest::read(&*inner.vfs, &inner.dir) {
        Ok(mut state) => {
            // File numbers given away since the last edit are in memory only.
            state.next_file = manifest.state.next_file;
            if state != manifest.state {
                let path = inner.dir.join(crate::manifest::manifest_name(manifest.log_id()));
                verifier.problem(&Error::corruption(&path, 0, "it does not say what the open database is"));
            }
        }
        Err(error) => verifier.problem(&error),
    }
}

fn verify_logs(inner: &Inner, verifier: &mut Verifier<'_>) -> Result<()> {
    // Taken first: a newer log may be listed before its header is written, and holds nothing that was there when this began.
    let newest = inner.read_state().active.log;
    let names = inner.vfs.list(&inner.dir).map_err(|source| Error::io("list", &inner.dir, source))?;
    let first = inner.manifest.lock().state.first_log;
    for id in log_ids(&names, first).into_iter().filter(|id| *id <= newest) {
        let path = inner.dir.join(file_name(id, LOG_SUFFIX));
        // Tried again: a log that was finished meanwhile has given its room back, and is shorter. That happens once.
        let read = read_log(inner, &path, id).or_else(|_| read_log(inner, &path, id));
        // Flushed and removed meanwhile.
        if read.is_err() && inner.manifest.lock().state.first_log > id {
            continue;
        }
        match read {
            Ok((batches, bytes)) => {
                verifier.begin(&path, 0);
                verifier.report.logs += 1;
                verifier.report.batches += batches;
                verifier.report.bytes += bytes;
                verifier.bytes_total += bytes;
            }
            Err(error) => verifier.problem(&error),
        }
    }
    Ok(())
}

/// Batches and bytes of a log. Of the one that is being written, the end may be half a batch.
fn read_log(inner: &Inner, path: &Path, id: FileId) -> Result<(u64, u64)> {
    let active = inner.read_state().active.log;
    let mut reader = LogReader::open(&*inner.vfs, path, id)?;
    let mut batches = 0;
    while let Some((record, end)) = reader.next_record()? {
        if record.is_empty() {
            continue;
        }
        batches += 1;
        if decode_batch(&record).is_none() {
            return Err(Error::corruption(path, end, "a batch makes no sense although its checksum holds"));
        }
    }
    match reader.tail() {
        Tail::Torn { offset } if id < active => Err(Error::corruption(
            path,
            offset,
            "it ends in the middle of a record although a newer one follows",
        )),
        _ => Ok((batches, reader.len())),
    }
}
