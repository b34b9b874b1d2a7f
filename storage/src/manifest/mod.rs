//! The manifest: which files make up the database.
//!
//! Problem: a flush or compaction makes several files and obsoletes others; after a crash either all of that must have
//! happened or none of it. So files become part of the database only by an [`Edit`], one record of the manifest log, and a
//! file is removed only after the edit that drops it is durable. A file that no edit names is an orphan of an
//! interrupted job, and is removed when the database is opened.
//!
//! The log grows; at each opening, and when it passes a size, a new one is begun with one edit that says all, and `CURRENT`
//! is replaced (written beside, synced, renamed, directory synced) to name it. Until the rename is durable the old one counts.
//!
//! A log that was cut short looks like one that was never written to its end. So `CURRENT` also says how many bytes of the manifest are
//! durable at least, and a clean close leaves an edit that says how long the write-ahead log is: a file that lost its end, or
//! went missing, is then an error, instead of files that look like orphans.
//!
//! After each edit comes an empty record, not synced, which says that the edit was: so damage to the last edit is told from a torn one too,
//! but after a power loss that took the empty record away. And the manifest names the logs, as soon as they are there, and how much of
//! each open blob file the tables rest on: their loss is noticed.
//!
//! An edit that could not be written (a full disk) is cut off again, and may be tried anew. After a failed sync, or a cut that failed,
//! the state on disk is unknown, so the manifest takes no more edits: the database becomes read-only until it is opened
//! again, when the log says which edits made it.

mod format;

pub(crate) use format::{BlobEdit, BlobOrigin, Edit, TableEdit};

use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogReader, LogWriter, Tail};
use crate::options::KeyspaceOptions;
use crate::types::{Bin, FileId, KeyspaceId, Seqno};
use crate::vfs::Vfs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All that the edits so far amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub next_file: u64,
    pub next_keyspace: u32,
    pub last_seqno: Seqno,
    /// Logs before this one are not needed any more.
    pub first_log: FileId,
    /// Of the others, those that must be there. One that is not named may be there: it was begun, and the edit that names it failed.
    pub logs: BTreeSet<FileId>,
    pub keyspaces: BTreeMap<KeyspaceId, (String, KeyspaceOptions)>,
    /// Level of each table.
    pub tables: BTreeMap<KeyspaceId, BTreeMap<FileId, u8>>,
    /// The sequence number that a table's entries count as, if it was ingested.
    pub ingested: BTreeMap<FileId, Seqno>,
    pub blobs: BTreeMap<FileId, BlobState>,
    /// The log and its length, if the last edit was a clean close.
    pub closed: Option<(FileId, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobState {
    pub keyspace: KeyspaceId,
    pub bin: Bin,
    pub origin: BlobOrigin,
    /// Bytes of an open file that are durable at least: tables refer to them.
    pub durable: u64,
    /// Length of the records' part and their number, once sealed.
    pub sealed: Option<(u64, u64)>,
}

impl State {
    pub(crate) fn apply(&mut self, edit: &Edit) {
        self.closed = edit.closed;
        self.next_file = self.next_file.max(edit.next_file.unwrap_or(0));
        self.last_seqno = self.last_seqno.max(edit.last_seqno.unwrap_or_default());
        self.first_log = self.first_log.max(edit.first_log.unwrap_or_default());
        self.logs.extend(&edit.logs);
        self.forget_old_logs();
        self.next_keyspace = self.next_keyspace.max(edit.next_keyspace.unwrap_or(0));
        for (id, name, options) in &edit.keyspaces {
            self.keyspaces.insert(*id, (name.clone(), *options));
            self.next_keyspace = self.next_keyspace.max(id.0 + 1);
        }
        for table in &edit.tables {
            let tables = self.tables.entry(table.keyspace()).or_default();
            match table {
                TableEdit::Add { id, level, .. } => drop(tables.insert(*id, *level)),
                TableEdit::Remove { id, .. } => drop(tables.remove(id)),
            }
        }
        // So that it is the same state as one that never had the tables.
        self.tables.retain(|_, tables| !tables.is_empty());
        for id in &edit.dropped {
            self.keyspaces.remove(id);
            self.tables.remove(id);
        }
        self.ingested.extend(edit.ingested.iter().copied());
        if !self.ingested.is_empty() {
            // Only now: a table that is moved to another level is removed and added by one edit.
            let tables = &self.tables;
            self.ingested.retain(|id, _| tables.values().any(|tables| tables.contains_key(id)));
        }
        for blob in &edit.blobs {
            match *blob {
                BlobEdit::Open { id, keyspace, bin, origin } => {
                    self.blobs.insert(id, BlobState { keyspace, bin, origin, durable: 0, sealed: None });
                }
                BlobEdit::Durable { id, bytes } => {
                    if let Some(blob) = self.blobs.get_mut(&id) {
                        blob.durable = blob.durable.max(bytes);
                    }
                }
                BlobEdit::Seal { id, bytes, records } => {
                    if let Some(blob) = self.blobs.get_mut(&id) {
                        blob.sealed = Some((bytes, records));
                    }
                }
                BlobEdit::Retire { id } => drop(self.blobs.remove(&id)),
            }
        }
    }

    /// No log that there is now is needed any more.
    pub(crate) fn needs_no_log(&mut self) {
        self.first_log = FileId(self.next_file);
        self.forget_old_logs();
    }

    fn forget_old_logs(&mut self) {
        self.logs = self.logs.split_off(&self.first_log);
    }

    /// One edit that makes this state out of nothing.
    fn to_edit(&self) -> Edit {
        let blobs = self.blobs.iter().flat_map(|(id, blob)| {
            let seal = blob.sealed.map(|(bytes, records)| BlobEdit::Seal { id: *id, bytes, records });
            let BlobState { keyspace, bin, origin, durable: bytes, .. } = *blob;
            let durable = (bytes > 0).then_some(BlobEdit::Durable { id: *id, bytes });
            let open = BlobEdit::Open { id: *id, keyspace, bin, origin };
            std::iter::once(open).chain(durable).chain(seal)
        });
        let tables = self.tables.iter().flat_map(|(keyspace, tables)| {
            tables.iter().map(|(id, level)| TableEdit::Add { keyspace: *keyspace, id: *id, level: *level })
        });
        Edit {
            next_file: Some(self.next_file),
            last_seqno: Some(self.last_seqno),
            first_log: Some(self.first_log),
            // Not to be told from those that are left: the last made may have been dropped.
            next_keyspace: Some(self.next_keyspace),
            dropped: Vec::new(),
            keyspaces: self
                .keyspaces
                .iter()
                .map(|(id, (name, options))| (*id, name.clone(), *options))
                .collect(),
            tables: tables.collect(),
            ingested: self.ingested.iter().map(|(id, seqno)| (*id, *seqno)).collect(),
            logs: self.logs.iter().copied().collect(),
            blobs: blobs.collect(),
            closed: self.closed,
        }
    }
}

/// A pointer to a manifest of which nothing need be durable.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn current_of(id: FileId) -> Vec<u8> {
    format::encode_current(id, 0)
}

/// The manifest being written.
pub(crate) struct Manifest {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    pub state: State,
    log: LogWriter,
    /// A new log is begun when this one passes this size.
    rotate_at: u64,
    failed: bool,
}

pub(crate) const CURRENT: &str = "CURRENT";
const CURRENT_TEMPORARY: &str = "CURRENT.tmp";
const ROTATE_BYTES: u64 = 4 << 20;

pub(crate) fn manifest_name(id: FileId) -> String {
    format!("MANIFEST-{id:06}")
}

/// Whether `names`, a directory's, include a database's pointer.
pub(crate) fn is_database(names: &[String]) -> bool {
    names.iter().any(|name| name == CURRENT)
}

/// Whether a file without a pointer beside it may be left from an interrupted first opening.
pub(crate) fn is_left_from_creation(name: &str) -> bool {
    name == CURRENT_TEMPORARY || name.starts_with("MANIFEST-")
}

impl Manifest {
    /// Reads the state that `CURRENT` points to.
    pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<State> {
        let path = dir.join(CURRENT);
        let file = vfs.open(&path).map_err(|source| Error::io("open", &path, source))?;
        let len = file.size().map_err(|source| Error::io("read", &path, source))?;
        let mut bytes = vec![0; len.min(64) as usize];
        file.read_exact_at(&mut bytes, 0).map_err(|source| Error::read(&path, 0, source))?;
        let (id, durable_bytes) = format::decode_current(&bytes)
            .ok_or_else(|| Error::corruption(&path, 0, "it does not name a manifest"))?;
        let path = dir.join(manifest_name(id));
        let mut reader = LogReader::open(vfs, &path, id)?;
        let mut state = State::default();
        let mut edits = 0;
        while let Some((record, end)) = reader.next_record()? {
            if record.is_empty() {
                continue;
            }
            let edit = Edit::decode(&record)
                .ok_or_else(|| Error::corruption(&path, end, "an edit makes no sense to this version"))?;
            state.apply(&edit);
            edits += 1;
        }
        // The file may be longer: zeros in place of what was written are not what was written.
        let end = reader.records_end();
        if edits == 0 || end < durable_bytes {
            return Err(Error::corruption(&path, end, "its end is missing"));
        }
        state.next_file = state.next_file.max(id.0 + 1);
        Ok(state)
    }

    /// What the manifests of a directory say that can still be read, damaged ones included: names, options and numbers that stay true
    /// whatever came later.
    pub(crate) fn remains(vfs: &dyn Vfs, dir: &Path, names: &[String]) -> State {
        let mut state = State::default();
        for name in names {
            let Some(id) = name.strip_prefix("MANIFEST-").and_then(|id| id.parse().ok()) else { continue };
            let Ok(mut reader) = LogReader::open_unchecked(vfs, &dir.join(name), FileId(id)) else {
                continue;
            };
            loop {
                match reader.next_record() {
                    Ok(Some((record, _))) => {
                        if let Some(edit) = Edit::decode(&record) {
                            state.apply(&edit);
                        }
                    }
                    Ok(None) if reader.tail() == Tail::Clean => break,
                    Ok(None) | Err(_) => {
                        if !matches!(reader.skip_damage(), Ok(Some(_))) {
                            break;
                        }
                    }
                }
            }
        }
        state
    }

    /// Begins a new manifest with the whole of `state` and points `CURRENT` to it.
    pub(crate) fn create(vfs: Arc<dyn Vfs>, dir: &Path, mut state: State) -> Result<Self> {
        let log = Self::begin(&*vfs, dir, &mut state)?;
        Self::point_to(&*vfs, dir, &log)?;
        let rotate_at = log.file().written() + ROTATE_BYTES;
        Ok(Self { vfs, dir: dir.to_owned(), state, log, rotate_at, failed: false })
    }

    /// A durable log that says all of `state`; it counts once `CURRENT` names it.
    fn begin(vfs: &dyn Vfs, dir: &Path, state: &mut State) -> Result<LogWriter> {
        let id = FileId(state.next_file.max(1));
        state.next_file = id.0 + 1;
        let path = dir.join(manifest_name(id));
        let mut log = LogWriter::create(vfs, dir, path.clone(), id)?;
        let said = log.append(&state.to_edit().encode()).and_then(|_| log.finish());
        if let Err(failed) = said {
            let _ = vfs.remove(&path);
            return Err(failed.error);
        }
        Ok(log)
    }

    /// Replaces `CURRENT` by one that names this log and its length.
    fn point_to(vfs: &dyn Vfs, dir: &Path, log: &LogWriter) -> Result<()> {
        let (temporary, path) = (dir.join(CURRENT_TEMPORARY), dir.join(CURRENT));
        let current = format::encode_current(log.file().id, log.file().synced());
        let failed = |source| Error::io("write", &temporary, source);
        let file = vfs.create(&temporary).map_err(failed)?;
        file.write_all_at(&current, 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        vfs.rename(&temporary, &path).map_err(|source| Error::io("replace", &path, source))?;
        vfs.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))
    }

    /// The last edit: says how long the write-ahead log is.
    pub(crate) fn close(&mut self, log: FileId, len: u64) -> Result<()> {
        self.append(Edit { closed: Some((log, len)), ..Edit::default() })?;
        self.log.finish().map_err(|failed| failed.error)?;
        Self::point_to(&*self.vfs, &self.dir, &self.log)
    }

    /// A file number that was never used.
    pub(crate) fn new_file_id(&mut self) -> FileId {
        let id = FileId(self.state.next_file);
        self.state.next_file += 1;
        id
    }

    /// The log that is being written.
    pub(crate) fn log_id(&self) -> FileId {
        self.log.file().id
    }

    /// Whether it takes edits; if not, nobody knows whether the last one counts.
    pub(crate) fn is_usable(&self) -> bool {
        !self.failed
    }

    /// Makes an edit durable. When it returns the edit counts; on an error it does not, if the manifest [`Self::is_usable`] still.
    pub(crate) fn append(&mut self, mut edit: Edit) -> Result<()> {
        if self.failed {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "an earlier write failed; close the database and reopen it",
            ));
        }
        edit.next_file = Some(self.state.next_file);
        // The keyspace was dropped while the job that made or merged these tables ran.
        edit.tables.retain(|table| self.state.keyspaces.contains_key(&table.keyspace()));
        self.failed = true;
        if let Err(failed) = self.log.append(&edit.encode()) {
            self.failed = !failed.usable;
            return Err(failed.error);
        }
        self.log.file().sync()?;
        // Nothing else would tell damage to this edit from a torn tail until the next one. Not synced: only a power loss takes it away.
        // If it cannot be written, the edit counts all the same.
        let vouched = self.log.append(&[]);
        self.state.apply(&edit);
        if self.log.file().written() > self.rotate_at {
            self.rotate()?;
        }
        self.failed = vouched.is_err_and(|failed| !failed.usable);
        Ok(())
    }

    /// Goes on in a new log. If that cannot even be written (a full disk), the old one does for as long again.
    fn rotate(&mut self) -> Result<()> {
        let old = self.dir.join(manifest_name(self.log_id()));
        if let Ok(log) = Self::begin(&*self.vfs, &self.dir, &mut self.state) {
            Self::point_to(&*self.vfs, &self.dir, &log)?;
            self.log = log;
            // Removing what nothing names any more may fail: the next opening tries again.
            let _ = self.vfs.remove(&old);
        }
        self.rotate_at = self.log.file().written() + ROTATE_BYTES;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
