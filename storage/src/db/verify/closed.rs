//! Verifying the files of a database that is not open: also one that cannot be opened any more.
//!
//! It goes the way of the opening (`db/open.rs`), but changes nothing, and where the opening would end with an error it notes the problem
//! and goes on with what is left. Without a readable manifest nobody knows what belongs to the database; then each table, blob file
//! and log is read for itself.

use super::super::open::{
    BLOB_SUFFIX, LOG_SUFFIX, TABLE_SUFFIX, file_name, list_database, parse_name, recover_blob_file,
    take_lock_to_read,
};
use super::super::replay::{Replay, needed_logs};
use super::{Db, Verifier, VerifyProgress, VerifyReport};
use crate::blob::{BlobFile, Identity};
use crate::error::{Error, Result};
use crate::manifest::{BlobOrigin, Manifest, State};
use crate::memtable::Memtable;
use crate::open_files::OpenFiles;
use crate::options::LogRecovery;
use crate::sst::{BlockCache, Found, Table, block_cache};
use crate::types::{Bin, FileId, KeyspaceId};
use crate::version::{LEVELS, ReadState, Tree, Version};
use crate::vfs::Vfs;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Verifying reads everything once; what the cache is for are the point look-ups of [`Verifier::missing`].
const CACHE_BYTES: usize = 8 << 20;
const OPEN_FILES_MAX: usize = 64;

impl Db {
    /// As [`Db::verify_with`], for a database that is not open; it need not be one that can be opened. Changes nothing but `LOCK`.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # use std::sync::Arc;
    /// let vfs = Arc::new(MemVfs::new());
    /// let db = Db::open_with(vfs.clone(), Path::new("db"), Options::default())?;
    /// db.keyspace("users", KeyspaceOptions::default())?.put("alice", "30")?;
    /// db.flush()?;
    /// db.close()?;
    ///
    /// let table = vfs.list(Path::new("db")).unwrap().into_iter().find(|name| name.ends_with(".sst")).unwrap();
    /// vfs.damage(&Path::new("db").join(&table), |bytes| bytes[20] ^= 1).unwrap();
    /// let report = Db::verify_closed(vfs, Path::new("db"), |_| {})?;
    /// assert_eq!(report.problems[0].file.as_deref(), Some(Path::new("db").join(&table).as_path()));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`NotADatabase`](crate::ErrorKind::NotADatabase) if there is none, [`Locked`](crate::ErrorKind::Locked) if it is open, [`Io`](crate::ErrorKind::Io) if the directory
    /// cannot be listed. Damage is no error: it is the report.
    pub fn verify_closed(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        mut progress: impl FnMut(&VerifyProgress<'_>),
    ) -> Result<VerifyReport> {
        let names = list_database(&*vfs, dir)?;
        let _lock = take_lock_to_read(&*vfs, dir)?;
        let handles = Arc::new(OpenFiles::new(vfs.clone(), OPEN_FILES_MAX));
        let cache = Arc::new(block_cache(CACHE_BYTES));
        let files = Files { vfs: &*vfs, dir, names: &names, handles, cache };
        match Manifest::read(&*vfs, dir) {
            Ok(state) => Ok(files.verify(&state, &mut progress)),
            Err(error) => Ok(files.verify_without_manifest(&error, &mut progress)),
        }
    }
}

struct Files<'a> {
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    names: &'a [String],
    handles: Arc<OpenFiles>,
    cache: Arc<BlockCache>,
}

impl Files<'_> {
    fn verify(&self, state: &State, progress: &mut dyn FnMut(&VerifyProgress<'_>)) -> VerifyReport {
        let (blobs, unreadable) = self.blobs(state);
        let find = |id: FileId| blobs.get(&id).cloned();
        let mut verifier = Verifier::new(&self.handles, &find, progress);
        for (id, error) in &unreadable {
            verifier.problem(error);
            verifier.lost.insert(*id, 0);
        }
        let version = self.tables(state, &mut verifier);
        let memtable = Memtable::new(state.first_log, 0);
        let last_seqno = self.logs(state, &blobs, &memtable, &mut verifier);
        let read_state =
            ReadState { active: Arc::new(memtable), sealed: Vec::new(), version: Arc::new(version) };
        let all: Vec<_> = blobs.values().cloned().collect();
        verifier.run(&read_state, &all, last_seqno);
        self.note_orphans(state, &mut verifier.report);
        verifier.report
    }

    #[expect(clippy::type_complexity, reason = "a map of what was opened, a list of what was not")]
    fn blobs(&self, state: &State) -> (BTreeMap<FileId, Arc<BlobFile>>, Vec<(FileId, Error)>) {
        let (mut opened, mut unreadable) = (BTreeMap::new(), Vec::new());
        for (id, blob) in &state.blobs {
            let path = self.dir.join(file_name(*id, BLOB_SUFFIX));
            let identity = Identity { id: *id, keyspace: blob.keyspace, bin: blob.bin, origin: blob.origin };
            let file = match blob.sealed {
                Some((bytes, records)) => Ok(BlobFile::sealed(path, identity, bytes, records)),
                None => recover_blob_file(self.vfs, path, identity, blob.durable),
            };
            match file {
                Ok(file) => drop(opened.insert(*id, Arc::new(file))),
                Err(error) => unreadable.push((*id, error)),
            }
        }
        (opened, unreadable)
    }

    fn tables(&self, state: &State, verifier: &mut Verifier<'_>) -> Version {
        let mut version = Version::new();
        for (keyspace, tables) in &state.tables {
            if !state.keyspaces.contains_key(keyspace) {
                let what = "the manifest names tables of a keyspace that there is not";
                verifier.problem(&Error::corruption(self.dir, 0, what));
            }
            let mut tree = Tree::default();
            for (id, level) in tables {
                let path = self.dir.join(file_name(*id, TABLE_SUFFIX));
                let table = Table::open(self.handles.clone(), &path, *id, self.cache.clone());
                match table.map(|table| match state.ingested.get(id) {
                    Some(seqno) => table.counted_as(*seqno),
                    None => table,
                }) {
                    Ok(_) if usize::from(*level) >= LEVELS => {
                        let what = "the manifest puts it in a level that there is not";
                        verifier.problem(&Error::corruption(&path, 0, what));
                    }
                    Ok(table) => tree.add(usize::from(*level), Arc::new(table)),
                    Err(error) => verifier.problem(&error),
                }
            }
            version.insert(*keyspace, Arc::new(tree));
        }
        version
    }

    /// Replays the logs as the opening would; after damage, what follows is read for its own sake.
    fn logs(
        &self,
        state: &State,
        blobs: &BTreeMap<FileId, Arc<BlobFile>>,
        memtable: &Memtable,
        verifier: &mut Verifier<'_>,
    ) -> crate::types::Seqno {
        let mut replay = Replay::new(state, blobs, memtable, LogRecovery::Strict);
        for id in needed_logs(self.names, state) {
            let path = self.dir.join(file_name(id, LOG_SUFFIX));
            verifier.begin(&path, 0);
            verifier.report.logs += 1;
            if let Err(error) = replay.log(self.vfs, &path, id) {
                verifier.problem(&error);
            }
        }
        verifier.report.batches = replay.batches;
        verifier.report.bytes += replay.bytes;
        let Replay { torn, last_seqno, .. } = replay;
        if let Some(torn) = torn {
            if state.closed.is_some() {
                let what = "it was closed cleanly, and its end does not hold";
                verifier.problem(&Error::corruption(&torn.path, torn.offset, what));
            } else {
                let path = torn.path.display();
                let note = format!(
                    "{path} ends torn at byte {}, as after a crash; opening cuts it off",
                    torn.offset
                );
                verifier.report.notes.push(note);
            }
        }
        last_seqno
    }

    fn note_orphans(&self, state: &State, report: &mut VerifyReport) {
        let is_orphan = |name: &&String| match parse_name(name) {
            Some((id, LOG_SUFFIX)) => id < state.first_log,
            Some((id, TABLE_SUFFIX)) => !state.tables.values().any(|tables| tables.contains_key(&id)),
            Some((id, _)) => !state.blobs.contains_key(&id),
            None => false,
        };
        for name in self.names.iter().filter(is_orphan) {
            report.notes.push(format!("{name} is left from an interrupted job; opening removes it"));
        }
    }

    fn verify_without_manifest(
        &self,
        cause: &Error,
        progress: &mut dyn FnMut(&VerifyProgress<'_>),
    ) -> VerifyReport {
        let nothing = |_| None;
        let mut verifier = Verifier::new(&self.handles, &nothing, progress);
        verifier.problem(cause);
        let note =
            "without a manifest nobody knows which files belong to the database: each was read for itself";
        verifier.report.notes.push(note.to_owned());
        for name in self.names {
            let path = self.dir.join(name);
            let read = match parse_name(name) {
                Some((id, TABLE_SUFFIX)) => self.lone_table(&path, id, &mut verifier),
                Some((id, BLOB_SUFFIX)) => lone_blob_file(&path, id, &mut verifier),
                Some((id, LOG_SUFFIX)) => self.lone_log(&path, id, &mut verifier),
                _ => Ok(()),
            };
            if let Err(error) = read {
                verifier.problem(&error);
            }
        }
        verifier.report
    }

    fn lone_table(&self, path: &Path, id: FileId, verifier: &mut Verifier<'_>) -> Result<()> {
        let table = Table::open(self.handles.clone(), path, id, self.cache.clone())?;
        verifier.begin(path, table.bytes);
        verifier.report.tables += 1;
        table.verify(&mut |found| match found {
            Found::Problem(error) => verifier.problem(&error),
            Found::Entry { .. } => verifier.report.entries += 1,
        });
        Ok(())
    }

    fn lone_log(&self, path: &Path, id: FileId, verifier: &mut Verifier<'_>) -> Result<()> {
        let mut reader = crate::log::LogReader::open(self.vfs, path, id)?;
        verifier.begin(path, reader.len());
        verifier.report.logs += 1;
        while let Some((record, _)) = reader.next_record()? {
            verifier.report.batches += u64::from(!record.is_empty());
        }
        Ok(())
    }
}

/// A blob file of which nobody knows the bin, the length, or whether it was sealed: its own index must say.
fn lone_blob_file(path: &Path, id: FileId, verifier: &mut Verifier<'_>) -> Result<()> {
    let identity =
        Identity { id, keyspace: KeyspaceId(0), bin: Bin { class: 0, due_ms: 0 }, origin: BlobOrigin::User };
    let records = BlobFile::sealed(path.to_owned(), identity, u64::MAX, 0).index(verifier.handles)?;
    let end = records.last().map_or(crate::blob::FILE_HEADER_BYTES, |last| last.offset + last.total_bytes());
    let file = BlobFile::sealed(path.to_owned(), identity, end, records.len() as u64);
    verifier.begin(path, end);
    verifier.report.blob_files += 1;
    let mut problems = Vec::new();
    verifier.report.blob_records += file.verify(verifier.handles, &mut |error| problems.push(error));
    problems.iter().for_each(|error| verifier.problem(error));
    Ok(())
}
