//! Opening and recovery.
//!
//! 1. The directory is a database, or empty, or refused; nothing is written into a foreign directory.
//! 2. `LOCK` is taken.
//! 3. The manifest gives the state; tables and blob files are opened; blob files that were open are read up to their last whole record, and at
//!    the end of all this cut off there and sealed. Each log that the manifest names must be there, after a clean close in its full length.
//! 4. The logs that the manifest still needs are replayed, oldest first (`db/replay.rs`). A torn tail is cut off.
//! 5. A new manifest is begun. Until here the opening has changed nothing but torn ends: a database that cannot be opened stays as it is.
//! 6. What was replayed is flushed at once: logs do not pile up over many short sessions.
//! 7. Files that nothing names are removed.
//!
//! A crash at any point of this leaves a directory from which it can begin again.

use super::ballast::{Ballast, release_closed};
use super::blobs::Blobs;
use super::iterators::Iterators;
use super::pipeline::{LogQueue, Publisher};
use super::pressure::Pressure;
use super::replay::{self, Replay, Torn};
use super::stats::Counters;
use super::{Background, Commit, Inner};
use crate::blob::{BlobFile, Identity};
use crate::compaction::{Pacer, Traffic};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, Events};
use crate::log::LogWriter;
use crate::manifest::{self, Edit, Manifest, State};
use crate::memtable::Memtable;
use crate::open_files::OpenFiles;
use crate::options::Options;
use crate::sst::{BlockCache, Table, block_cache};
use crate::types::{FileId, Seqno};
use crate::version::{LEVELS, ReadState, Version};
use crate::vfs::{Vfs, VfsLock, make_dir};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub(super) const LOCK_NAME: &str = "LOCK";
/// What mkfs puts into the root of a volume: a volume is an empty directory all the same.
const LOST_AND_FOUND: &str = "lost+found";
/// What can be done about damage beside restoring a copy.
pub(super) const SALVAGE: &str = "or copy out what can still be read with `patina salvage` (Db::salvage)";
pub(super) const LOG_SUFFIX: &str = "log";
pub(super) const TABLE_SUFFIX: &str = "sst";
pub(super) const BLOB_SUFFIX: &str = "blob";

pub(super) fn file_name(id: FileId, suffix: &str) -> String {
    format!("{id:06}.{suffix}")
}

/// The number and suffix of one of our files.
pub(super) fn parse_name(name: &str) -> Option<(FileId, &str)> {
    let (stem, suffix) = name.split_once('.')?;
    let id = stem.parse().ok().filter(|id| *id <= FileId::MAX.0)?;
    let ours = [LOG_SUFFIX, TABLE_SUFFIX, BLOB_SUFFIX].contains(&suffix) && stem.len() >= 6;
    ours.then_some((FileId(id), suffix))
}

pub(super) fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: Options) -> Result<Inner> {
    options.validate()?;
    match open_once(vfs.clone(), dir, options.clone()) {
        // Opening writes a little, and so finds a full disk; without the ballast there is room.
        Err(error) if error.kind() == ErrorKind::NoSpace && release_closed(&*vfs, dir)? => {
            open_once(vfs, dir, options)
        }
        opened => opened,
    }
}

fn open_once(vfs: Arc<dyn Vfs>, dir: &Path, options: Options) -> Result<Inner> {
    let exists = examine_dir(&*vfs, dir, &options)?;
    let lock = take_lock(&*vfs, dir)?;
    let mut state = if exists { Manifest::read(&*vfs, dir)? } else { State::default() };
    let names = vfs.list(dir).map_err(|source| Error::io("list", dir, source))?;
    let used = names.iter().filter_map(|name| parse_name(name)).map(|(id, _)| id.0 + 1).max().unwrap_or(1);
    state.next_file = state.next_file.max(used);
    // Kept for snapshots of dropped keyspaces, which nobody has any more.
    let State { keyspaces, blobs, .. } = &mut state;
    blobs.retain(|_, blob| keyspaces.contains_key(&blob.keyspace));

    let cache = Arc::new(block_cache(options.block_cache_bytes));
    let files = Arc::new(OpenFiles::new(vfs.clone(), options.open_files_max));
    let version = open_tables(dir, &state, &files, &cache)?;
    let blobs = open_blobs(&*vfs, dir, &state)?;
    let born_ms = options.clock.now_ms();
    let replayed = Memtable::new(state.first_log, born_ms);
    let mut replay = Replay::new(&state, &blobs, &replayed, options.log_recovery);
    replay.run(&*vfs, dir, &names)?;
    let given_up = std::mem::take(&mut replay.given_up);
    let last_seqno = replay.last_seqno;
    let _ = replayed.newest.set(last_seqno);
    let torn = replay.torn.as_ref().map(|torn| (torn.path.clone(), torn.offset));
    let recovered = Event::Recovered { batches: replay.batches, log_bytes: replay.bytes, torn };
    if let Some(Torn { path, whole_until: whole_until @ 1.., .. }) = &replay.torn
        && given_up.is_empty()
    {
        cut_off(&*vfs, path, *whole_until)?;
    }

    state.closed = None;
    if replayed.is_empty() {
        // No flush will say that the logs so far are not needed: one of them may be torn, and come back with the next power loss.
        state.needs_no_log();
    }
    let mut manifest = Manifest::create(vfs.clone(), dir, state)?;
    let log_id = manifest.new_file_id();
    let log = LogWriter::create(&*vfs, dir, dir.join(file_name(log_id, LOG_SUFFIX)), log_id)?.reserving();
    manifest.append(Edit { logs: vec![log_id], ..Edit::default() })?;
    let sealed = if replayed.is_empty() { Vec::new() } else { vec![Arc::new(replayed)] };
    let read_state =
        ReadState { active: Arc::new(Memtable::new(log_id, born_ms)), sealed, version: Arc::new(version) };
    let events = Events::start(options.listener.clone(), dir)?;
    let unsealed: Vec<_> = blobs.values().filter(|file| !file.is_sealed()).cloned().collect();
    let inner = Inner {
        dir: dir.to_owned(),
        cache,
        files: files.clone(),
        state: RwLock::new(Arc::new(read_state)),
        manifest: Mutex::new(manifest),
        cut: Mutex::default(),
        commit: Mutex::new(Commit { next_seqno: Seqno(last_seqno.0 + 1), memtable_bytes: 0 }),
        queue: LogQueue::default(),
        log: Mutex::new(log),
        publisher: Publisher::new(last_seqno),
        pressure: Pressure::default(),
        snapshots: Mutex::default(),
        iterators: Iterators::default(),
        dropped: Mutex::default(),
        blobs: Blobs::new(files, blobs),
        background: Background::default(),
        ballast: Ballast::of(&*vfs, dir),
        flushing: Mutex::new(()),
        claims: Mutex::default(),
        collecting: Mutex::new(()),
        merges: Mutex::default(),
        pacer: Pacer::new(options.compaction_bytes_per_s_max),
        traffic: Traffic::default(),
        events,
        counters: Counters::default(),
        bin_compaction: Mutex::new(()),
        fatal: OnceLock::new(),
        _lock: lock,
        vfs,
        options,
    };
    inner.measure_debt(&inner.read_state());
    inner.events.emit(|| recovered);
    for damage in &given_up {
        inner.events.emit(|| damage.to_event());
    }
    for file in unsealed {
        inner.seal_bin(&file)?;
    }
    replay::set_aside(&inner, &given_up)?;
    while crate::compaction::flush_one(&inner)? {}
    remove_orphans(&inner)?;
    inner.tend_ballast();
    Ok(inner)
}

/// Whether the directory is a database already. Refuses what is something else.
fn examine_dir(vfs: &dyn Vfs, dir: &Path, options: &Options) -> Result<bool> {
    let names = match vfs.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            let message =
                format!("{} is a file, not a directory; name a directory for the database", dir.display());
            return Err(Error::new(ErrorKind::NotADatabase, message));
        }
        Err(error) => return Err(Error::io("list", dir, error)),
    };
    if manifest::is_database(&names) {
        return Ok(true);
    }
    let is_foreign = |name: &&String| {
        *name != LOCK_NAME && *name != LOST_AND_FOUND && !manifest::is_left_from_creation(name)
    };
    let foreign = names.iter().find(is_foreign);
    if names.iter().any(|name| parse_name(name).is_some()) {
        let path = dir.join(manifest::CURRENT);
        return Err(Error::corruption(&path, 0, "it is missing").advise(SALVAGE));
    }
    if let Some(foreign) = foreign {
        let dir = dir.display();
        let message = format!(
            "{dir} is not a PatinaDB database (it holds {foreign}); name another directory, or an empty one"
        );
        return Err(Error::new(ErrorKind::NotADatabase, message));
    }
    if !options.create_if_missing {
        let message =
            format!("there is no database in {}; name another directory, or let it be made", dir.display());
        return Err(Error::new(ErrorKind::NotADatabase, message));
    }
    make_dir(vfs, dir)?;
    Ok(false)
}

pub(super) fn take_lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn VfsLock>> {
    let path = dir.join(LOCK_NAME);
    let owner = format!("process {}", std::process::id());
    match vfs.lock(&path, &owner).map_err(|source| Error::io("lock", &path, source))? {
        Ok(lock) => Ok(lock),
        Err(holder) => {
            let holder = if holder.trim().is_empty() { "another process" } else { holder.trim() };
            // Maybe a process of the same number on another machine or in another container.
            let hint = if holder == owner {
                " (if that is this one: it is open until every handle, iterator, reader and writer of it is dropped)"
            } else {
                ""
            };
            let message = format!("{} is open in {holder}; close it there first{hint}", dir.display());
            Err(Error::new(ErrorKind::Locked, message))
        }
    }
}

/// The names in the directory of a database, which may be damaged.
///
/// # Errors
/// [`ErrorKind::NotADatabase`]; [`ErrorKind::Io`] if the directory cannot be listed.
pub(super) fn list_database(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<String>> {
    let names = vfs.list(dir).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => not_a_database(dir),
        _ => Error::io("list", dir, source),
    })?;
    let is_ours = |name: &String| parse_name(name).is_some() || manifest::is_left_from_creation(name);
    if !manifest::is_database(&names) && !names.iter().any(is_ours) {
        return Err(not_a_database(dir));
    }
    Ok(names)
}

/// As [`take_lock`], for who only reads: none where nothing can be written, as nobody else can write there either.
pub(super) fn take_lock_to_read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<Box<dyn VfsLock>>> {
    match take_lock(vfs, dir) {
        Err(error) if error.kind() == ErrorKind::NotWritable => Ok(None),
        taken => taken.map(Some),
    }
}

fn not_a_database(dir: &Path) -> Error {
    Error::new(
        ErrorKind::NotADatabase,
        format!("there is no database in {}; name its directory", dir.display()),
    )
}

fn open_tables(
    dir: &Path,
    state: &State,
    files: &Arc<OpenFiles>,
    cache: &Arc<BlockCache>,
) -> Result<Version> {
    let mut version: Version = state.keyspaces.keys().map(|id| (*id, Arc::default())).collect();
    for (keyspace, tables) in &state.tables {
        let Some(tree) = version.get_mut(keyspace).map(Arc::make_mut) else {
            let what = "the manifest names tables of a keyspace that there is not";
            return Err(Error::corruption(dir, 0, what));
        };
        for (id, level) in tables {
            let path = dir.join(file_name(*id, TABLE_SUFFIX));
            let table = Table::open(files.clone(), &path, *id, cache.clone())?;
            let table = match state.ingested.get(id) {
                Some(seqno) => table.counted_as(*seqno),
                None => table,
            };
            if usize::from(*level) >= LEVELS {
                return Err(Error::corruption(&path, 0, "the manifest puts it in a level that there is not"));
            }
            tree.add(usize::from(*level), Arc::new(table));
        }
    }
    Ok(version)
}

fn open_blobs(vfs: &dyn Vfs, dir: &Path, state: &State) -> Result<BTreeMap<FileId, Arc<BlobFile>>> {
    let open = |(id, blob): (&FileId, &manifest::BlobState)| {
        let path = dir.join(file_name(*id, BLOB_SUFFIX));
        let identity = Identity { id: *id, keyspace: blob.keyspace, bin: blob.bin, origin: blob.origin };
        let file = match blob.sealed {
            Some((bytes, records)) => BlobFile::sealed(path, identity, bytes, records),
            None => recover_blob_file(vfs, path, identity, blob.durable)?,
        };
        Ok((*id, Arc::new(file)))
    };
    state.blobs.iter().map(open).collect()
}

/// A blob file that was open, up to its last whole record. What tables refer to was durable before them.
pub(super) fn recover_blob_file(
    vfs: &dyn Vfs,
    path: PathBuf,
    identity: Identity,
    durable_bytes: u64,
) -> Result<BlobFile> {
    let file = BlobFile::scan(vfs, path, identity)?;
    let end = file.size().0;
    if end < durable_bytes {
        let what = "a record that had been synced cannot be read";
        return Err(Error::corruption(file.path(), end, what).advise(SALVAGE));
    }
    Ok(file)
}

/// The numbers of the logs that are still needed, oldest first.
pub(super) fn log_ids(names: &[String], first: FileId) -> Vec<FileId> {
    let mut logs: Vec<FileId> = names
        .iter()
        .filter_map(|name| parse_name(name))
        .filter(|(id, suffix)| *suffix == LOG_SUFFIX && *id >= first)
        .map(|(id, _)| id)
        .collect();
    logs.sort_unstable();
    logs
}

fn cut_off(vfs: &dyn Vfs, path: &Path, len: u64) -> Result<()> {
    let file = vfs.open(path).map_err(|source| Error::io("open", path, source))?;
    file.truncate(len).map_err(|source| Error::io("truncate", path, source))?;
    file.sync().map_err(|source| Error::io("sync", path, source))
}

/// Removes our files that neither the manifest nor this opening names.
fn remove_orphans(inner: &Inner) -> Result<()> {
    let names = inner.vfs.list(&inner.dir).map_err(|source| Error::io("list", &inner.dir, source))?;
    let manifest = inner.manifest.lock();
    let state = &manifest.state;
    let current = manifest::manifest_name(manifest.log_id());
    let active_log = inner.read_state().active.log;
    let is_orphan = |name: &str| match parse_name(name) {
        Some((id, LOG_SUFFIX)) => id < active_log,
        Some((id, TABLE_SUFFIX)) => !state.tables.values().any(|tables| tables.contains_key(&id)),
        Some((id, _)) => !state.blobs.contains_key(&id),
        None => manifest::is_left_from_creation(name) && name != current,
    };
    for name in names.iter().filter(|name| is_orphan(name)) {
        let path: PathBuf = inner.dir.join(name);
        inner.vfs.remove(&path).map_err(|source| Error::io("remove", &path, source))?;
    }
    Ok(())
}

impl Inner {
    /// Removes the logs that no memtable needs any more. A failure leaves them for the next opening.
    pub(crate) fn remove_logs_before(&self, first: FileId) {
        let Ok(names) = self.vfs.list(&self.dir) else { return };
        let old =
            names.iter().filter(|name| matches!(parse_name(name), Some((id, LOG_SUFFIX)) if id < first));
        for name in old {
            let _ = self.vfs.remove(&self.dir.join(name));
        }
    }
}
