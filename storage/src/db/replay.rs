//! Replaying the logs: what was written and not flushed comes into a memtable again.
//!
//! Only the newest log may end torn: a log that a newer one with records follows was finished before that was begun, and one that the
//! manifest names was there before its first record. A log without records does not count as newer: whatever began it may have failed or
//! died before it wrote to it. A record that refers to blob bytes that are not there counts as torn.
//!
//! Anything else is damage, and [`LogRecovery`] says what becomes of it. Example: of the batches A B C D in one log, B is rotten, and all were
//! synced. `Strict` refuses to open; `UpToDamage` gives A, a state that there once was; `SkipDamaged` gives A C D, which there never was, and of C and
//! D what rested on B is wrong: only who knows the data can want that. What is given up is reported, one [`GivenUp`] a damage, and the log
//! kept under another name.

use super::Inner;
use super::open::{LOG_SUFFIX, SALVAGE, file_name, log_ids};
use crate::batch::{Op, decode_batch};
use crate::blob::{BlobFile, record_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::log::{LogReader, Tail};
use crate::manifest::State;
use crate::memtable::Memtable;
use crate::options::LogRecovery;
use crate::types::{BlobRef, FileId, Kind, Seqno, Tag};
use crate::vfs::Vfs;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Brings the logs' writes into a memtable, log by log, oldest first. Changes no file.
pub(super) struct Replay<'a> {
    state: &'a State,
    blobs: &'a BTreeMap<FileId, Arc<BlobFile>>,
    memtable: &'a Memtable,
    mode: LogRecovery,
    pub last_seqno: Seqno,
    pub batches: u64,
    /// Bytes of the logs up to their last whole record.
    pub bytes: u64,
    /// The log that ended torn: no record may follow it.
    pub torn: Option<Torn>,
    /// A log that the manifest names and that was not finished, and its length: no record may follow it.
    unfinished: Option<(PathBuf, u64)>,
    /// What the mode allowed to be given up.
    pub given_up: Vec<GivenUp>,
}

/// How a log ended that is torn.
pub(super) struct Torn {
    pub path: PathBuf,
    pub offset: u64,
    /// How much of it is whole; 0 if not even its header is.
    pub whole_until: u64,
}

/// A part of a log that was not replayed.
pub(super) struct GivenUp {
    pub path: PathBuf,
    offset: Option<u64>,
    message: String,
}

impl GivenUp {
    pub(super) fn to_event(&self) -> Event {
        let Self { path, offset, message } = self;
        Event::LogGivenUp { file: path.clone(), offset: *offset, message: message.clone() }
    }
}

/// Keeps copies of logs of which something was given up, under names that nothing reads. The logs themselves go with the flush of what was
/// replayed, and not before: until then the next opening needs them.
pub(super) fn set_aside(inner: &Inner, given_up: &[GivenUp]) -> Result<()> {
    let mut paths: Vec<&Path> = given_up.iter().map(|damage| &*damage.path).collect();
    paths.dedup();
    for path in &paths {
        let Some(len) = length(&*inner.vfs, path)? else { continue };
        let mut name = path.as_os_str().to_owned();
        name.push(".damaged");
        let copy = PathBuf::from(name);
        let failed = |source| Error::io("write", &copy, source);
        let source = inner.vfs.open(path).map_err(|source| Error::io("open", path, source))?;
        let target = inner.vfs.create(&copy).map_err(failed)?;
        let mut piece = Vec::new();
        for from in (0..len).step_by(COPY_BYTES) {
            piece.resize((len - from).min(COPY_BYTES as u64) as usize, 0);
            source.read_exact_at(&mut piece, from).map_err(|source| Error::read(path, from, source))?;
            target.write_all_at(&piece, from).map_err(failed)?;
        }
        target.sync().map_err(failed)?;
    }
    if paths.is_empty() { Ok(()) } else { inner.sync_dir() }
}

const COPY_BYTES: usize = 1 << 20;

impl<'a> Replay<'a> {
    pub(super) fn new(
        state: &'a State,
        blobs: &'a BTreeMap<FileId, Arc<BlobFile>>,
        memtable: &'a Memtable,
        mode: LogRecovery,
    ) -> Self {
        Self {
            state,
            blobs,
            memtable,
            mode,
            last_seqno: state.last_seqno,
            batches: 0,
            bytes: 0,
            torn: None,
            unfinished: None,
            given_up: Vec::new(),
        }
    }

    /// Replays all logs of a directory.
    ///
    /// # Errors
    /// The first damage, if the mode allows none to be given up.
    pub(super) fn run(&mut self, vfs: &dyn Vfs, dir: &Path, names: &[String]) -> Result<()> {
        let mut is_over = false;
        for id in needed_logs(names, self.state) {
            let path = dir.join(file_name(id, LOG_SUFFIX));
            if !is_over && let Err(error) = self.log(vfs, &path, id) {
                self.give_up(&path, error)?;
                is_over = self.mode == LogRecovery::UpToDamage;
            }
            if is_over && self.given_up.last().is_none_or(|last| last.path != path) {
                let message = format!("{} follows damage, so none of it was replayed", path.display());
                self.given_up.push(GivenUp { path, offset: None, message });
            }
        }
        Ok(())
    }

    fn give_up(&mut self, path: &Path, error: Error) -> Result<()> {
        let is_damage = error.kind() == ErrorKind::Corruption;
        if !is_damage || self.mode == LogRecovery::Strict {
            return Err(if is_damage { error.advise(SALVAGE).advise(OTHER_MODES) } else { error });
        }
        let (path, offset) = error.location().unwrap_or((path, None));
        self.given_up.push(GivenUp { path: path.to_owned(), offset, message: error.to_string() });
        Ok(())
    }

    /// # Errors
    /// The first damage; what comes before it was replayed.
    pub(super) fn log(&mut self, vfs: &dyn Vfs, path: &Path, id: FileId) -> Result<()> {
        let is_named = self.state.logs.contains(&id) || self.state.closed.is_some_and(|(log, _)| log == id);
        match length(vfs, path)? {
            None if is_named => return Err(Error::corruption(path, 0, "it is missing")),
            None => return Ok(()),
            Some(len) if len < LogReader::HEADER_BYTES && is_named => {
                return Err(Error::corruption(path, len, "its end is missing"));
            }
            Some(len) if !is_named && is_unborn(vfs, path, len)? => {
                self.torn.get_or_insert(Torn { path: path.to_owned(), offset: 0, whole_until: 0 });
                return Ok(());
            }
            Some(_) => {}
        }
        let mut reader = LogReader::open_unchecked(vfs, path, id)?;
        let checked = reader.check_header();
        if let Err(error) = checked {
            if self.mode != LogRecovery::SkipDamaged {
                return Err(error);
            }
            self.give_up(path, error)?;
        }
        let mut whole_until = reader.first_record();
        let mut is_finished = false;
        loop {
            match self.next_batch(&mut reader, path) {
                Ok(Some((end, is_marker))) => (whole_until, is_finished) = (end, is_marker),
                Ok(None) => {
                    let torn = reader.tail();
                    if self.mode == LogRecovery::SkipDamaged
                        && torn != Tail::Clean
                        && self.skip(&mut reader, path)?
                    {
                        continue;
                    }
                    if let Tail::Torn { offset } = torn {
                        self.torn.get_or_insert(Torn { path: path.to_owned(), offset, whole_until });
                    }
                    break;
                }
                Err(error) => {
                    if self.mode != LogRecovery::SkipDamaged {
                        return Err(error);
                    }
                    self.give_up(path, error)?;
                    if reader.skip_damage()?.is_none() {
                        break;
                    }
                }
            }
        }
        self.bytes += whole_until;
        if self.given_up.last().is_none_or(|last| last.path != path) {
            self.check_end(path, id, whole_until)?;
        }
        if is_named && !is_finished {
            self.unfinished.get_or_insert((path.to_owned(), reader.len()));
        }
        Ok(())
    }

    /// Records after a torn place: the disk kept what was written later.
    fn skip(&mut self, reader: &mut LogReader, path: &Path) -> Result<bool> {
        let Tail::Torn { offset } = reader.tail() else { return Ok(false) };
        if reader.skip_damage()?.is_none() {
            return Ok(false);
        }
        let what = "a record cannot be read, and others follow";
        self.give_up(path, Error::corruption(path, offset, what)).map(|()| true)
    }

    /// After a clean close, the log's records must reach as far as the manifest says. Its length tells nothing: a disk may give zeros for what it lost.
    fn check_end(&self, path: &Path, id: FileId, whole_until: u64) -> Result<()> {
        match self.state.closed {
            Some((closed, expected)) if closed == id && whole_until < expected => {
                Err(Error::corruption(path, whole_until, "its end is missing"))
            }
            _ => Ok(()),
        }
    }

    /// Reads the next record and replays it. Gives its end, and whether it was the mark of a finished log; `None` at the end.
    fn next_batch(&mut self, reader: &mut LogReader, path: &Path) -> Result<Option<(u64, bool)>> {
        let Some((record, end)) = reader.next_record()? else { return Ok(None) };
        if record.is_empty() {
            return Ok(Some((end, true)));
        }
        self.check_nothing_is_missing_before()?;
        let makes_no_sense = |what| Error::corruption(path, end, what);
        let (first, ops) = decode_batch(&record)
            .ok_or_else(|| makes_no_sense("a batch makes no sense although its checksum holds"))?;
        if ops.iter().any(|op| lacks_blob(op, self.blobs)) {
            reader.reject_record_ending_at(end)?;
            return Ok(None);
        }
        if ops.iter().any(|op| op.keyspace.0 >= self.state.next_keyspace) {
            return Err(makes_no_sense("a batch names a keyspace that never was"));
        }
        self.batches += 1;
        for (n, op) in (0u64..).zip(ops) {
            let seqno = Seqno(first.0 + n);
            self.last_seqno = self.last_seqno.max(seqno);
            // A keyspace that was dropped later.
            if !self.state.keyspaces.contains_key(&op.keyspace) {
                continue;
            }
            self.memtable.insert(op.keyspace, &op.key, Tag::new(seqno, op.kind), &op.value);
        }
        Ok(Some((end, false)))
    }

    /// What an older log lacks at its end, a newer one must not follow.
    fn check_nothing_is_missing_before(&mut self) -> Result<()> {
        // With damage given up already this was said, or is no news.
        if self.mode == LogRecovery::SkipDamaged {
            return Ok(());
        }
        if let Some(Torn { path, offset, .. }) = &self.torn {
            let what = "a log ends in the middle of a record although a newer one follows";
            return Err(Error::corruption(path, *offset, what));
        }
        if let Some((path, len)) = &self.unfinished {
            return Err(Error::corruption(path, *len, "a log lacks its end although a newer one follows"));
        }
        Ok(())
    }
}

/// The logs that are there or must be, oldest first.
pub(super) fn needed_logs(names: &[String], state: &State) -> Vec<FileId> {
    let mut ids = log_ids(names, state.first_log);
    ids.extend(&state.logs);
    ids.extend(state.closed.map(|(log, _)| log));
    ids.sort_unstable();
    ids.dedup();
    ids
}

const OTHER_MODES: &str = "or give up what is damaged by opening with another Options::log_recovery (`patina --log-recovery up-to-damage` or \
                           `skip-damaged`)";

/// The length of a file; `None` if there is none.
fn length(vfs: &dyn Vfs, path: &Path) -> Result<Option<u64>> {
    let file = match vfs.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|source| Error::io("open", path, source))?,
    };
    file.size().map(Some).map_err(|source| Error::io("read", path, source))
}

/// Whether the power failed between a log's creation and its first sync: nothing was ever written to it. Of its header the length may have
/// survived without the bytes.
fn is_unborn(vfs: &dyn Vfs, path: &Path, len: u64) -> Result<bool> {
    if len != LogReader::HEADER_BYTES {
        return Ok(len < LogReader::HEADER_BYTES);
    }
    let mut header = [0; LogReader::HEADER_BYTES as usize];
    let file = vfs.open(path).map_err(|source| Error::io("open", path, source))?;
    file.read_exact_at(&mut header, 0).map_err(|source| Error::read(path, 0, source))?;
    Ok(header.iter().all(|byte| *byte == 0))
}

/// Whether an op refers to bytes that a blob file does not have. A file that the manifest does not name was retired: the
/// reference was replaced by a later write, which follows.
fn lacks_blob(op: &Op, blobs: &BTreeMap<FileId, Arc<BlobFile>>) -> bool {
    if op.kind != Kind::BlobRef {
        return false;
    }
    let Some(blob) = BlobRef::decode(&op.value) else { return true };
    let end = blob.offset.saturating_add(record_bytes(op.key.len(), blob.stored_len));
    blobs.get(&blob.file).is_some_and(|file| end > file.size().0)
}
