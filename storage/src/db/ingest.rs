//! Ingesting: sorted data from outside becomes tables at once, without log, memtable or merges.
//!
//! The tables are written before anybody knows which write they will be: their entries carry sequence number 0, and the manifest says which
//! number they count as (`Table::counted_as`). So a load may take hours and still be one moment: it gets its number when it is whole.
//!
//! That moment is under the commit lock, with the pipeline empty:
//!
//! 1. What memtables hold of the ingested range is older than the load, and must come to lie below it. So it is flushed: most of it before
//!    the lock is taken, under the lock only what came in between.
//! 2. The log is synced: what was written before the load is there whenever the load is.
//! 3. The tables go to the deepest level such that neither it nor any level above has a table in their range, and no running merge writes
//!    across it there; else to level 0, on top. No merge begins between choosing and installing.
//! 4. One edit names all tables; with the state that has them the number is published.
//!
//! Before the edit is durable nothing of the load counts, and its files go with the [`Ingest`], or at the next opening.

use super::background::Job;
use super::{Db, Inner, Keyspace};
use crate::KEY_BYTES_MAX;
use crate::compaction::Output;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::manifest::{Edit, TableEdit};
use crate::memtable::MemtableIter;
use crate::ranges::Fragments;
use crate::sst::Table;
use crate::types::{KeyspaceId, Kind, Seqno, Tag};
use crate::version::{LEVELS, ReadState, Tree};
use std::sync::Arc;

/// Takes sorted entries, and makes them part of the database as one: see [`Db::ingest`]. Dropped before [`Ingest::finish`] it leaves nothing.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// let mut ingest = db.ingest(&users)?;
/// ingest.put(b"alice", b"30")?;
/// ingest.put(b"bob", b"25")?;
/// ingest.finish()?;
/// assert_eq!(users.get(b"bob")?.unwrap(), "25");
/// # Ok::<(), Error>(())
/// ```
pub struct Ingest<'a> {
    inner: &'a Inner,
    keyspace: KeyspaceId,
    output: Output<'a>,
    tables: Vec<Arc<Table>>,
    last_key: Option<Vec<u8>>,
    report: IngestReport,
    given_bytes: u64,
    /// An entry could not be written, or a table not be ended: what went with it is missing.
    is_broken: bool,
    is_done: bool,
}

/// What [`Ingest::finish`] made.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let users = db.keyspace("users", KeyspaceOptions::default())?;
/// let mut ingest = db.ingest(&users)?;
/// ingest.put(b"alice", b"30")?;
/// let report = ingest.finish()?;
/// assert_eq!((report.entries, report.tables, report.level), (1, 1, 6));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// The write that all of it counts as.
    pub seqno: Seqno,
    /// Keys.
    pub entries: u64,
    /// Tables written.
    pub tables: usize,
    /// Bytes of the tables.
    pub bytes: u64,
    /// The level that they went to: 0 if something of their range is there already.
    pub level: usize,
}

impl Db {
    /// Begins to load sorted entries into a keyspace past log and memtable: they are written once, to tables. All of them become visible
    /// at once, as one write, by [`Ingest::finish`], and replace what the keys had before.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut ingest = db.ingest(&users)?;
    /// for n in 0..1000u32 {
    ///     ingest.put(&n.to_be_bytes(), b"value")?;
    /// }
    /// assert_eq!(users.range(..).count(), 0);
    /// ingest.finish()?;
    /// assert_eq!(users.range(..).count(), 1000);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the database takes no writes, or the keyspace was dropped.
    pub fn ingest<'a>(&'a self, keyspace: &Keyspace) -> Result<Ingest<'a>> {
        self.check_own(keyspace)?;
        let inner = &*self.inner;
        inner.check_writable()?;
        inner.check_room()?;
        inner.read_state().check_readable(keyspace.id(), None)?;
        let compression = inner.keyspace_options(keyspace.id()).compression_at(LEVELS - 1);
        Ok(Ingest {
            inner,
            keyspace: keyspace.id(),
            output: Output::new(inner, keyspace.id(), compression),
            tables: Vec::new(),
            last_key: None,
            report: IngestReport::default(),
            given_bytes: 0,
            is_broken: false,
            is_done: false,
        })
    }
}

impl Ingest<'_> {
    /// Adds an entry. Its key must be greater than the one before.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut ingest = db.ingest(&users)?;
    /// ingest.put(b"b", b"1")?;
    /// assert_eq!(ingest.put(b"a", b"2").unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for a key out of order, or a key or value over the limits: the entry is left out, and
    /// others may follow. What the file system refused: the load is broken then, and cannot be finished; begin another.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.check_whole()?;
        self.inner.check_writable()?;
        self.check(key, value)?;
        self.add(key, value).inspect_err(|_| self.is_broken = true)?;
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        self.report.entries += 1;
        self.given_bytes += (key.len() + value.len()) as u64;
        Ok(())
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.output.bytes() >= self.inner.options.table_bytes {
            self.inner.check_room()?;
            self.tables.extend(self.output.finish(&Fragments::default())?);
        }
        self.output.add(key, Tag::new(Seqno(0), Kind::Value), value)
    }

    fn check_whole(&self) -> Result<()> {
        if self.is_broken {
            return Err(Error::invalid("an earlier write of this load failed; drop it and begin again"));
        }
        Ok(())
    }

    fn check(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let (key_bytes, value_bytes) = (key.len(), value.len());
        let value_max = self.inner.options.inline_value_bytes_max;
        let in_order = self.last_key.as_ref().is_none_or(|last| &last[..] < key);
        let rules = [
            (
                key_bytes <= KEY_BYTES_MAX,
                format!("the key has {key_bytes} bytes; the limit is {KEY_BYTES_MAX}"),
            ),
            (
                value_bytes <= value_max,
                format!("the value has {value_bytes} bytes; the limit is {value_max}"),
            ),
            (in_order, "the key is not greater than the one before; sort the entries first".to_owned()),
        ];
        let problems: Vec<_> = rules.into_iter().filter(|(holds, _)| !holds).map(|(_, text)| text).collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid(format!("bad entry: {}", problems.join("; "))))
        }
    }

    /// Makes the entries part of the database, durably and all at once. Without entries nothing happens.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let mut ingest = db.ingest(&users)?;
    /// ingest.put(b"alice", b"30")?;
    /// let report = ingest.finish()?;
    /// assert_eq!(report.seqno, db.stats().seqno);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// What the file system refused, now or at an entry, or that the keyspace was dropped meanwhile: nothing was ingested then.
    pub fn finish(mut self) -> Result<IngestReport> {
        self.check_whole()?;
        self.tables.extend(self.output.finish(&Fragments::default())?);
        self.report.tables = self.tables.len();
        self.report.bytes = self.tables.iter().map(|table| table.bytes).sum();
        self.inner.sync_dir()?;
        if !self.tables.is_empty() {
            self.install()?;
        }
        Ok(self.report)
    }

    fn install(&mut self) -> Result<()> {
        let inner = self.inner;
        if self.meets_memtables() {
            inner.flush_and_wait()?;
        }
        let _no_checkpoint = inner.cut.lock();
        let mut commit = inner.commit.lock();
        inner.check_writable()?;
        inner.publisher.wait_for_all()?;
        inner.read_state().check_readable(self.keyspace, None)?;
        if self.meets_memtables() {
            inner.seal_memtable(&mut commit)?;
            inner
                .wait_until(|| inner.read_state().sealed.is_empty(), || inner.check_background(Job::Flush))?;
        }
        inner.sync()?;
        let seqno = commit.next_seqno;
        self.report.seqno = seqno;
        let tables: Vec<_> = self.tables.iter().map(|table| Arc::new(table.counted_as(seqno))).collect();
        self.apply(&tables)?;
        commit.next_seqno = Seqno(seqno.0 + 1);
        drop(commit);
        inner.counters.user(self.given_bytes);
        let IngestReport { seqno, tables, bytes, .. } = self.report;
        inner.events.emit(|| Event::Ingested { seqno, tables, bytes });
        Ok(())
    }

    /// The edit, at the level that it chooses; no merge begins between the choice and the edit.
    fn apply(&mut self, tables: &[Arc<Table>]) -> Result<()> {
        let (inner, keyspace, seqno) = (self.inner, self.keyspace, self.report.seqno);
        // Held to the end: no merge begins.
        let merges = inner.claims.lock();
        let state = inner.read_state();
        let is_free = |tree: &Tree, level| {
            tables.iter().all(|table| {
                let (smallest, largest) = (&table.properties.smallest, &table.properties.largest);
                !merges.writes_across(keyspace, level, smallest, largest)
                    && tree.is_free_down_to(level, smallest, largest)
            })
        };
        let level =
            state.tree(keyspace).and_then(|tree| (1..LEVELS).rev().find(|level| is_free(tree, *level)));
        let level = level.unwrap_or(0);
        self.report.level = level;
        let edit = Edit {
            last_seqno: Some(seqno),
            tables: tables
                .iter()
                .map(|table| TableEdit::Add { keyspace, id: table.id, level: level as u8 })
                .collect(),
            ingested: tables.iter().map(|table| (table.id, seqno)).collect(),
            ..Edit::default()
        };
        let applied = inner.apply(edit, |state: &mut ReadState| {
            if let Some(tree) = state.tree_mut(keyspace) {
                tables.iter().for_each(|table| tree.add(level, table.clone()));
            }
            // Before anybody can take the state: a merge of tables that are not visible yet would drop what they replace, although a
            // snapshot that is taken after it began may still be older than they are.
            inner.publisher.leave(inner.publisher.enter(seqno));
        });
        // If nobody knows whether the edit counts, the files stay.
        self.is_done = applied.is_ok() || inner.fatal.get().is_some();
        applied
    }

    fn meets_memtables(&self) -> bool {
        let state = self.inner.read_state();
        let range = self.tables.first().zip(self.tables.last());
        let Some((first, last)) = range else { return false };
        state.memtables().any(|memtable| {
            let mut iter = MemtableIter::new(memtable.clone(), self.keyspace);
            iter.seek(&first.properties.smallest, Tag(u64::MAX));
            let has_entries = iter.key().is_some_and(|(key, _)| key <= &last.properties.largest[..]);
            has_entries || !memtable.range_lists(self.keyspace).is_empty()
        })
    }
}

impl Drop for Ingest<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.tables.iter().for_each(|table| table.mark_obsolete());
        }
    }
}
