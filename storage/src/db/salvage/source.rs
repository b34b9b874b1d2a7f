//! What there is to be salvaged: keyspaces, their tables, blob files, and the writes of the logs.

use super::super::open::{BLOB_SUFFIX, LOG_SUFFIX, TABLE_SUFFIX, file_name, parse_name};
use super::super::replay::needed_logs;
use super::SalvageReport;
use crate::batch::{Op, decode_batch};
use crate::blob::{BlobFile, Identity};
use crate::error::{Error, Result};
use crate::log::{LogReader, Tail};
use crate::manifest::{CURRENT, Manifest, State};
use crate::memtable::Memtable;
use crate::open_files::OpenFiles;
use crate::options::KeyspaceOptions;
use crate::sst::Remains;
use crate::types::{FileId, KeyspaceId, Seqno, Tag};
use crate::vfs::Vfs;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const OPEN_FILES_MAX: usize = 64;

/// A table, opened when its keyspace's turn comes.
pub(super) struct SourceTable {
    pub id: FileId,
    pub path: PathBuf,
    /// The number that its entries count as.
    pub ingested: Option<Seqno>,
}

#[derive(Default)]
pub(super) struct SourceKeyspace {
    pub name: String,
    pub options: KeyspaceOptions,
    pub tables: Vec<SourceTable>,
}

pub(super) struct Source {
    pub vfs: Arc<dyn Vfs>,
    pub keyspaces: BTreeMap<KeyspaceId, SourceKeyspace>,
    pub blobs: BTreeMap<FileId, Arc<BlobFile>>,
    pub handles: OpenFiles,
    /// What the logs hold.
    pub memtable: Arc<Memtable>,
    pub bytes: u64,
}

impl Source {
    pub(super) fn find(vfs: Arc<dyn Vfs>, dir: &Path, names: &[String], report: &mut SalvageReport) -> Self {
        let bytes = names.iter().filter_map(|name| vfs.open(&dir.join(name)).ok()?.size().ok()).sum();
        let mut source = Self {
            handles: OpenFiles::new(vfs.clone(), OPEN_FILES_MAX),
            vfs: vfs.clone(),
            keyspaces: BTreeMap::new(),
            blobs: BTreeMap::new(),
            memtable: Arc::new(Memtable::new(FileId(0), 0)),
            bytes,
        };
        match Manifest::read(&*vfs, dir) {
            Ok(state) => {
                source.take(dir, &state);
                let knows_all = source.logs(dir, names, &state, report);
                if !knows_all || source.lacks_files(&state, names) {
                    let what =
                        "the manifest does not fit the files that there are, as if its end were missing";
                    report.lose(&Error::corruption(&dir.join(CURRENT), 0, what), None, None);
                    source.add_unnamed(dir, names, &state, report);
                }
            }
            Err(error) => {
                report.lose(&error, None, None);
                let remains = Manifest::remains(&*vfs, dir, names);
                let state =
                    State { keyspaces: remains.keyspaces, ingested: remains.ingested, ..State::default() };
                source.take(dir, &state);
                source.add_unnamed(dir, names, &state, report);
                source.logs(dir, names, &state, report);
            }
        }
        for (id, keyspace) in &mut source.keyspaces {
            if keyspace.name.is_empty() {
                keyspace.name = format!("keyspace-{}", id.0);
            }
        }
        source
    }

    /// By the manifest.
    fn take(&mut self, dir: &Path, state: &State) {
        for (id, (name, options)) in &state.keyspaces {
            let tables = state.tables.get(id).into_iter().flatten().map(|(table, _)| SourceTable {
                id: *table,
                path: dir.join(file_name(*table, TABLE_SUFFIX)),
                ingested: state.ingested.get(table).copied(),
            });
            let keyspace = SourceKeyspace { name: name.clone(), options: *options, tables: tables.collect() };
            self.keyspaces.insert(*id, keyspace);
        }
        for (id, blob) in &state.blobs {
            let path = dir.join(file_name(*id, BLOB_SUFFIX));
            let identity = Identity { id: *id, keyspace: blob.keyspace, bin: blob.bin, origin: blob.origin };
            // A reference is believed as far as its record holds, whatever the manifest says of the file's length.
            self.blobs.insert(*id, Arc::new(BlobFile::sealed(path, identity, u64::MAX, 0)));
        }
    }

    fn lacks_files(&self, state: &State, names: &[String]) -> bool {
        let tables = state.tables.values().flat_map(BTreeMap::keys).map(|id| file_name(*id, TABLE_SUFFIX));
        let blobs = state.blobs.keys().map(|id| file_name(*id, BLOB_SUFFIX));
        tables.chain(blobs).any(|name| !names.contains(&name))
    }

    /// What no manifest names, by the files themselves.
    fn add_unnamed(&mut self, dir: &Path, names: &[String], state: &State, report: &mut SalvageReport) {
        let note = "all files that are there were taken together, whether the manifest names them or not: what was deleted may be back";
        report.notes.push(note.to_owned());
        let is_named =
            |id| state.tables.values().any(|tables| tables.contains_key(&id)) || self.blobs.contains_key(&id);
        let unnamed: Vec<_> =
            names.iter().filter_map(|name| parse_name(name)).filter(|(id, _)| !is_named(*id)).collect();
        for (id, suffix) in unnamed {
            let path = dir.join(file_name(id, suffix));
            let added = match suffix {
                TABLE_SUFFIX => self.add_table(path, id, state.ingested.get(&id).copied()),
                BLOB_SUFFIX => BlobFile::alone(&*self.vfs, path, id)
                    .map(|file| drop(self.blobs.insert(id, Arc::new(file)))),
                _ => Ok(()),
            };
            if let Err(error) = added {
                report.lose(&error, None, None);
            }
        }
    }

    fn add_table(&mut self, path: PathBuf, id: FileId, ingested: Option<Seqno>) -> Result<()> {
        let remains = Remains::of(&*self.vfs, &path, id)?;
        let said = remains.properties.and_then(|properties| properties.keyspace);
        let (keyspace, name) =
            said.ok_or_else(|| Error::corruption(&path, 0, "nothing says which keyspace it belongs to"))?;
        let keyspace = self.keyspaces.entry(keyspace).or_default();
        if keyspace.name.is_empty() {
            keyspace.name = String::from_utf8_lossy(&name).into_owned();
        }
        keyspace.tables.push(SourceTable { id, path, ingested });
        Ok(())
    }

    /// Reads all logs. Whether the manifest knows all of their keyspaces.
    fn logs(&mut self, dir: &Path, names: &[String], state: &State, report: &mut SalvageReport) -> bool {
        let ids = needed_logs(names, state);
        let newest = ids.last().copied();
        let mut knows_all = true;
        for id in ids {
            let path = dir.join(file_name(id, LOG_SUFFIX));
            let must_be_whole = (Some(id) != newest && state.logs.contains(&id)) || state.closed.is_some();
            let mut log = Log { path: &path, must_be_whole, state, knows_all: true };
            if let Err(error) = self.log(&mut log, id, report) {
                report.lose(&error, None, None);
            }
            knows_all &= log.knows_all;
        }
        knows_all
    }

    fn log(&mut self, log: &mut Log<'_>, id: FileId, report: &mut SalvageReport) -> Result<()> {
        let path = log.path;
        let mut reader = LogReader::open_unchecked(&*self.vfs, path, id)?;
        if let Err(error) = reader.check_header() {
            // Its records are their own witnesses. One that was just being made has none.
            if log.must_be_whole || reader.len() >= LogReader::HEADER_BYTES {
                report.notes.push(error.to_string());
            }
        }
        let mut is_finished = false;
        loop {
            let damage = match reader.next_record() {
                Ok(Some((record, _))) if record.is_empty() => {
                    is_finished = true;
                    continue;
                }
                Ok(Some((record, end))) => {
                    is_finished = false;
                    match decode_batch(&record) {
                        Some((first, ops)) => {
                            self.replay(first, ops, log);
                            continue;
                        }
                        None => {
                            Error::corruption(path, end, "a batch makes no sense although its checksum holds")
                        }
                    }
                }
                Ok(None) => match reader.tail() {
                    Tail::Clean if is_finished || !log.must_be_whole => return Ok(()),
                    Tail::Clean => return Err(Error::corruption(path, reader.len(), "its end is missing")),
                    Tail::Torn { offset } => {
                        if reader.skip_damage()?.is_some() || log.must_be_whole {
                            report.lose(
                                &Error::corruption(path, offset, "a record cannot be read"),
                                None,
                                None,
                            );
                        } else {
                            let path = path.display();
                            report.notes.push(format!("{path} ends torn at byte {offset}, as after a crash"));
                        }
                        // At the end, the tail is clean from here on.
                        is_finished = true;
                        continue;
                    }
                },
                Err(error) => error,
            };
            report.lose(&damage, None, None);
            is_finished = true;
            if reader.skip_damage()?.is_none() {
                return Ok(());
            }
        }
    }

    fn replay(&mut self, first: Seqno, ops: Vec<Op>, log: &mut Log<'_>) {
        for (n, op) in (0u64..).zip(ops) {
            if op.keyspace.0 >= log.state.next_keyspace {
                log.knows_all = false;
                self.keyspaces.entry(op.keyspace).or_default();
            }
            if self.keyspaces.contains_key(&op.keyspace) {
                let tag = Tag::new(Seqno(first.0 + n), op.kind);
                self.memtable.insert(op.keyspace, &op.key, tag, &op.value);
            }
        }
    }
}

struct Log<'a> {
    path: &'a Path,
    /// A newer one follows, or the database was closed cleanly: it ends with its mark.
    must_be_whole: bool,
    state: &'a State,
    /// The manifest knows all keyspaces that it names.
    knows_all: bool,
}
