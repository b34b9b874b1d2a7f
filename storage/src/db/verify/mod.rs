//! Verifying: reading everything there is, and comparing all that one part says of another.
//!
//! What is checked:
//!
//! - the manifest against its checksums, and, of an open database, against what is in memory;
//! - every block of every table, the order of its entries, and all that the table says of itself (`sst/verify.rs`);
//! - every record of every blob file (`blob/verify.rs`);
//! - every record of every log that is still needed;
//! - every blob reference that a reader could follow: its file is there, and holds that key's record at that place;
//! - the levels: below level 0 the tables of a level are disjoint, and of two versions of a key the newer one is never below the older.
//!
//! A reference to a file that is not there is a problem only if it is the newest version of its key: the others wait in deep levels for
//! their compaction, and may outlive the file.
//!
//! Nothing stops at the first problem. Each is reported once, with file and offset; of very many only the first [`PROBLEMS_MAX`] are
//! kept, and the rest counted. Memory: a block of each kind, a blob file's index, and the largest record.
//!
//! The same walk serves an open database ([`Db::verify`], beside readers and writers) and one that is closed, or cannot be opened any
//! more ([`Db::verify_closed`]).

mod closed;
mod open;

use super::Db;
use crate::blob::BlobFile;
use crate::error::{Error, ErrorKind, Result};
use crate::memtable::MemtableIter;
use crate::merge::{LevelIter, MergeIter, Source};
use crate::open_files::OpenFiles;
use crate::sst::{Caching, Found, Table, TableIter};
use crate::types::{BlobRef, FileId, KeyspaceId, Kind, Seqno, Tag};
use crate::version::{ReadState, Tree};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Problems kept one by one; more are only counted.
const PROBLEMS_MAX: usize = 1000;

/// Something that is not as it was written.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// for problem in db.verify()?.problems {
///     println!("{:?} at {:?}: {}", problem.file, problem.offset, problem.message);
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, if it is about one.
    pub file: Option<PathBuf>,
    /// Where in the file, if known.
    pub offset: Option<u64>,
    /// What is wrong, in a sentence that names file and offset too.
    pub message: String,
}

/// What [`Db::verify`] read and found.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let report = db.verify()?;
/// assert_eq!((report.problems_total, report.tables), (0, 0));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// What is wrong; the first thousand.
    pub problems: Vec<Problem>,
    /// How many problems there are in all.
    pub problems_total: u64,
    /// What is worth knowing and no damage: a torn end after a crash, files that nothing names.
    pub notes: Vec<String>,
    /// Tables read.
    pub tables: u64,
    /// Entries in them, deletions and old versions included.
    pub entries: u64,
    /// Blob files read.
    pub blob_files: u64,
    /// Whole records in them, dead ones included.
    pub blob_records: u64,
    /// Blob references that were followed to their record.
    pub references: u64,
    /// Logs read.
    pub logs: u64,
    /// Batches in them.
    pub batches: u64,
    /// Bytes of all these files.
    pub bytes: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// assert!(db.verify()?.is_sound());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_sound(&self) -> bool {
        self.problems_total == 0
    }
}

/// How far a verification has come.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// db.verify_with(|progress| assert!(progress.bytes_done <= progress.bytes_total))?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyProgress<'a> {
    /// Bytes of the files that were read.
    pub bytes_done: u64,
    /// Bytes of all files to be read.
    pub bytes_total: u64,
    /// The file that comes next.
    pub file: &'a Path,
}

/// Finds a blob file that is part of the database, or is kept for a snapshot.
type FindBlob<'a> = dyn Fn(FileId) -> Option<Arc<BlobFile>> + 'a;

struct Verifier<'a> {
    handles: &'a OpenFiles,
    find_blob: &'a FindBlob<'a>,
    progress: &'a mut dyn FnMut(&VerifyProgress<'_>),
    bytes_total: u64,
    report: VerifyReport,
    /// Where problems were reported: what two parts find is one problem.
    places: HashSet<(PathBuf, u64)>,
    /// Blob files that cannot be read at all, with the references into them.
    lost: BTreeMap<FileId, u64>,
    /// Tables with problems.
    damaged: BTreeSet<FileId>,
}

impl<'a> Verifier<'a> {
    fn new(
        handles: &'a OpenFiles,
        find_blob: &'a FindBlob<'a>,
        progress: &'a mut dyn FnMut(&VerifyProgress<'_>),
    ) -> Self {
        Self {
            handles,
            find_blob,
            progress,
            bytes_total: 0,
            report: VerifyReport::default(),
            places: HashSet::new(),
            lost: BTreeMap::new(),
            damaged: BTreeSet::new(),
        }
    }

    fn problem(&mut self, error: &Error) {
        let location = error.location();
        let file = location.map(|(path, _)| path.to_owned());
        let offset = location.and_then(|(_, offset)| offset);
        if let (Some(file), Some(offset)) = (&file, offset)
            && !self.places.insert((file.clone(), offset))
        {
            return;
        }
        self.report.problems_total += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(Problem { file, offset, message: error.to_string() });
        } else {
            self.places.clear();
        }
    }

    fn begin(&mut self, file: &Path, bytes: u64) {
        let bytes_done = self.report.bytes;
        (self.progress)(&VerifyProgress { bytes_done, bytes_total: self.bytes_total, file });
        self.report.bytes += bytes;
    }

    /// Blob files, then the tables that refer to them, then the order of the levels.
    fn run(&mut self, state: &ReadState, blobs: &[Arc<BlobFile>], last_seqno: Seqno) {
        let trees = || state.version.iter();
        let table_bytes: u64 = trees().flat_map(|(_, tree)| tree.tables()).map(|table| table.bytes).sum();
        self.bytes_total += table_bytes + blobs.iter().map(|file| file.size().0).sum::<u64>();
        for file in blobs {
            self.blob_file(file);
        }
        for (keyspace, tree) in trees() {
            for table in tree.tables() {
                self.table(state, *keyspace, table, last_seqno);
            }
            self.levels(tree);
        }
        for memtable in state.memtables() {
            for keyspace in memtable.keyspaces() {
                let mut iter = MemtableIter::new(memtable.clone(), keyspace);
                iter.seek(b"", Tag(u64::MAX));
                while let Some((key, tag)) = iter.key() {
                    self.reference(state, keyspace, key, tag, &iter.value());
                    iter.next();
                }
            }
        }
        for (id, references) in std::mem::take(&mut self.lost) {
            if references > 0 {
                let message = format!("{references} keys refer to blob file {id}, which cannot be read");
                self.problem(&Error::new(ErrorKind::Corruption, message));
            }
        }
    }

    fn blob_file(&mut self, file: &Arc<BlobFile>) {
        self.begin(file.path(), file.size().0);
        let mut found = Vec::new();
        let whole = file.verify(self.handles, &mut |error| {
            if found.len() < PROBLEMS_MAX {
                found.push(error);
            }
        });
        if !found.is_empty() && (self.find_blob)(file.id).is_none() {
            // Retired and unlinked meanwhile.
            return;
        }
        self.report.blob_files += 1;
        self.report.blob_records += whole;
        if found.iter().any(|error| error.kind() != ErrorKind::Corruption) {
            self.lost.insert(file.id, 0);
        }
        found.iter().for_each(|error| self.problem(error));
    }

    fn table(&mut self, state: &ReadState, keyspace: KeyspaceId, table: &Arc<Table>, last_seqno: Seqno) {
        self.begin(table.path(), table.bytes);
        self.report.tables += 1;
        let before = self.report.problems_total;
        table.verify(&mut |found| match found {
            Found::Problem(error) => self.problem(&error),
            Found::Entry { key, tag, value } => {
                self.report.entries += 1;
                self.reference(state, keyspace, key, tag, &value);
            }
        });
        if table.properties.seqno_max > last_seqno {
            let what = "it holds writes that are newer than the newest of the database";
            self.problem(&Error::corruption(table.path(), 0, what));
        }
        if self.report.problems_total > before {
            self.damaged.insert(table.id);
        }
    }

    /// Follows a reference to the head of its record.
    fn reference(&mut self, state: &ReadState, keyspace: KeyspaceId, key: &[u8], tag: Tag, value: &[u8]) {
        if tag.kind() != Some(Kind::BlobRef) {
            return;
        }
        let Some(blob) = BlobRef::decode(value) else {
            let message = format!("the blob reference of key {} makes no sense", show_key(key));
            return self.problem(&Error::new(ErrorKind::Corruption, message));
        };
        if let Some(references) = self.lost.get_mut(&blob.file) {
            *references += 1;
            return;
        }
        let followed = (self.find_blob)(blob.file).map(|file| file.verify_reference(self.handles, key, blob));
        match followed {
            Some(Ok(())) => self.report.references += 1,
            Some(Err(error)) if (self.find_blob)(blob.file).is_some() => self.problem(&error),
            // Not there, or unlinked since it was looked for.
            Some(Err(_)) | None => self.missing(state, keyspace, key, tag, blob),
        }
    }

    fn missing(&mut self, state: &ReadState, keyspace: KeyspaceId, key: &[u8], tag: Tag, blob: BlobRef) {
        let newest = state.get_version(keyspace, &Bytes::copy_from_slice(key), Seqno::MAX);
        // An error here is damage in a table, which that table's turn reports.
        if matches!(newest, Ok(Some((newest, _))) if newest == tag) {
            let message = format!(
                "key {} refers to blob file {}, which is not part of the database",
                show_key(key),
                blob.file
            );
            self.problem(&Error::new(ErrorKind::Corruption, message));
        }
    }

    /// That levels are disjoint, and versions in order from top to bottom. A tree with damaged tables cannot be judged.
    fn levels(&mut self, tree: &Tree) {
        for level in tree.levels.iter().skip(1) {
            for pair in level.windows(2) {
                if let [left, right] = pair
                    && !left.properties.ends_before(&right.properties.smallest)
                {
                    let what = "its keys overlap with those of another table of its level";
                    self.problem(&Error::corruption(right.path(), 0, what));
                    self.damaged.insert(right.id);
                }
            }
        }
        if tree.tables().any(|table| self.damaged.contains(&table.id)) {
            self.report.notes.push("the order of levels was not judged where tables are damaged".to_owned());
            return;
        }
        if let Err(error) = check_order(tree) {
            self.problem(&error);
        }
    }
}

/// Merges all tables of a tree: among the versions of a key a newer one must come from the same source or one further up.
fn check_order(tree: &Tree) -> Result<()> {
    let (top, deeper) = tree.levels.split_at(1);
    let single = top.iter().flatten().map(|table| TableIter::new(table.clone(), Caching::Bypass));
    let sorted = deeper.iter().filter(|level| !level.is_empty());
    let sorted = sorted.map(|level| Source::Level(LevelIter::new(level.clone(), Caching::Bypass)));
    let sources: Vec<Source> = single.map(Source::Table).chain(sorted).collect();
    if sources.len() < 2 {
        return Ok(());
    }
    let mut merged = MergeIter::new(sources);
    merged.seek(b"", Tag(u64::MAX))?;
    let mut last: Option<(Vec<u8>, usize)> = None;
    while let Some((key, _)) = merged.key() {
        let source = merged.source();
        let (last_key, last_source) = last.get_or_insert_with(|| (Vec::new(), 0));
        if last_key == key && source < *last_source {
            let message = format!("an old version of key {} lies above a newer one", show_key(key));
            return Err(Error::new(ErrorKind::Corruption, message));
        }
        last_key.clear();
        last_key.extend_from_slice(key);
        *last_source = source;
        merged.next()?;
    }
    Ok(())
}

/// A key for a person: its text, with what is no text escaped.
pub(super) fn show_key(key: &[u8]) -> String {
    let shown = key.get(..64).unwrap_or(key);
    format!("'{}'{}", shown.escape_ascii(), if shown.len() < key.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests;
