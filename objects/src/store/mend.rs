//! Mending a store after its database was salvaged: what could not be read is missing from one keyspace and still named in another, or was
//! deleted and has come back.
//!
//! The rows of the objects are what counts; names, stages, due times and references are told by them, so entries that no row bears out go, and what
//! rows say is written again. Then each object is looked at:
//!
//! - its bytes are missing: it is purged, with a note in its history that says why. A hold cannot keep what is not there;
//! - its kept original is missing: it has none any more;
//! - another has its name (one of them had been renamed or deleted): the one that the name leads to keeps it, the other gets its number behind it.
//!
//! A content that no object refers to lost its row: it becomes an object named `salvaged/` and the hash of its bytes. The history stays as it
//! is: a gap in it is a break of the chain, and to be seen as one. Complexity: every row and every index entry once, in batches.

use super::journal::{self, Journal};
use super::{Inner, ObjectStore, Spaces, Versioned, decode_row};
use crate::chain::{self, GENESIS};
use crate::clock::Clock;
use crate::error::Result;
use crate::keys;
use crate::model::{DEFAULT_TENANT, PutOptions, StoreOptions};
use crate::rows::{self, HeadRow, ObjectRow};
use crate::types::{ContentHash, ObjectId, Reason, Stage};
use patina_storage::{Db, Durability, Keyspace, WriteBatch};
use std::fmt::Write;
use std::sync::Arc;

const OPS_PER_BATCH: usize = 1000;

/// What [`ObjectStore::mend`] found and did. Objects are named `tenant/name`; without the tenant in the default one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MendReport {
    /// Objects.
    pub objects: u64,
    /// Objects whose bytes are lost: purged, with a note in their history.
    pub lost: Vec<String>,
    /// Objects whose kept original is lost.
    pub originals_lost: Vec<String>,
    /// Objects whose row makes no sense: removed. Only their numbers are known.
    pub rows_lost: Vec<ObjectId>,
    /// Names that led to no object.
    pub names_lost: Vec<String>,
    /// Objects that got another name, as theirs was taken: the new name.
    pub renamed: Vec<String>,
    /// Contents whose object is lost: the new objects that have them now.
    pub unnamed: Vec<String>,
    /// Index entries that were missing, or too many.
    pub entries: u64,
}

impl MendReport {
    /// Whether every object is as it was.
    pub fn is_whole(&self) -> bool {
        let Self { lost, originals_lost, rows_lost, names_lost, renamed, unnamed, .. } = self;
        let lists = [lost, originals_lost, names_lost, renamed, unnamed];
        lists.iter().all(|list| list.is_empty()) && rows_lost.is_empty()
    }
}

impl ObjectStore {
    /// Makes the store of a salvaged database consistent, and opens it. `None` if the database holds no objects.
    ///
    /// # Errors
    /// Storage's, and [`crate::ErrorKind::Corruption`] when the store's own rows cannot be read.
    pub fn mend(db: Db, clock: Arc<dyn Clock>, options: StoreOptions) -> Result<Option<(Self, MendReport)>> {
        if !db.keyspaces().iter().any(|name| name == "objects") {
            return Ok(None);
        }
        let mut mending = Mending {
            spaces: Spaces::open(&db)?,
            batch: db.batch(),
            db: db.clone(),
            report: MendReport::default(),
        };
        mending.rows()?;
        mending.indexes()?;
        mending.head()?;
        mending.write()?;
        let unreferenced = mending.unreferenced()?;
        let mut report = mending.report;
        let store = Self::open(db, clock, options)?;
        store.inner.purge_lost(&mut report)?;
        for content in unreferenced {
            let name = format!("salvaged/{}", hex(&content.0));
            let bytes = store.inner.spaces.contents.get(&content.0)?.unwrap_or_default();
            store.put(&name, &bytes, &PutOptions::default())?;
            report.unnamed.push(name);
            report.objects += 1;
        }
        store.sync()?;
        Ok(Some((store, report)))
    }
}

struct Mending {
    db: Db,
    spaces: Spaces,
    batch: WriteBatch,
    report: MendReport,
}

impl Mending {
    fn write(&mut self) -> Result<()> {
        let batch = std::mem::replace(&mut self.batch, self.db.batch());
        self.db.write(batch, Durability::Buffered)?;
        Ok(())
    }

    fn write_full(&mut self) -> Result<()> {
        if self.batch.len() >= OPS_PER_BATCH { self.write() } else { Ok(()) }
    }

    /// Removes rows that make no sense, gives each object a name of its own, and writes what the rows say into the indexes.
    fn rows(&mut self) -> Result<()> {
        for entry in self.spaces.objects.range(..) {
            let entry = entry?;
            let id = ObjectId(keys::last_number(entry.key()).unwrap_or_default());
            let Ok(mut row) = decode_row(id, &entry.value()?) else {
                self.batch.delete(&self.spaces.objects, entry.key().clone());
                self.report.rows_lost.push(id);
                continue;
            };
            self.report.objects += 1;
            let name = keys::name(&row.tenant, &row.name);
            if self.named(&name)?.is_some_and(|other| other != id && self.has_name(other, &row)) {
                row.name = format!("{} ({id})", row.name);
                self.report.renamed.push(shown(&row));
                self.batch.put(&self.spaces.objects, entry.key().clone(), rows::encode(&row));
            }
            for (space, key, value) in entries(&self.spaces, id, &row) {
                if space.get(&key)?.as_deref() != Some(&value[..]) {
                    self.report.entries += 1;
                    self.batch.put(&space, key, value);
                }
            }
            // At once: the next row may have the same name.
            self.write()?;
        }
        self.write()
    }

    fn named(&self, key: &[u8]) -> Result<Option<ObjectId>> {
        Ok(self.spaces.names.get(key)?.and_then(|value| keys::last_number(&value)).map(ObjectId))
    }

    fn row(&self, id: ObjectId) -> Option<ObjectRow> {
        let bytes = self.spaces.objects.get(&keys::object(id)).ok()??;
        decode_row(id, &bytes).ok()
    }

    fn has_name(&self, id: ObjectId, like: &ObjectRow) -> bool {
        self.row(id).is_some_and(|row| (&row.tenant, &row.name) == (&like.tenant, &like.name))
    }

    /// Removes entries that no row bears out.
    fn indexes(&mut self) -> Result<()> {
        let spaces = [&self.spaces.names, &self.spaces.refs, &self.spaces.stages, &self.spaces.due]
            .map(Keyspace::clone);
        for space in &spaces {
            for entry in space.range(..) {
                let entry = entry?;
                let is_name = std::ptr::eq(space, &spaces[0]);
                let id =
                    if is_name { keys::last_number(&entry.value()?) } else { keys::last_number(entry.key()) };
                let id = ObjectId(id.unwrap_or_default());
                let is_borne_out = self.row(id).is_some_and(|row| {
                    entries(&self.spaces, id, &row).iter().any(|(_, key, _)| entry.key() == &key[..])
                });
                if is_borne_out {
                    continue;
                }
                if is_name && self.row(id).is_none() {
                    self.report.names_lost.push(String::from_utf8_lossy(entry.key()).replace('\0', "/"));
                }
                self.report.entries += 1;
                self.batch.delete(space, entry.key().clone());
                self.write_full()?;
            }
        }
        self.write()
    }

    /// The head must be behind all that is there: numbers are never used twice.
    fn head(&mut self) -> Result<()> {
        let head = self.spaces.meta.get(journal::HEAD)?.and_then(|bytes| journal::read_head(&bytes).ok());
        let (journal, next_id) = head.unwrap_or((Journal { rows: 0, hash: GENESIS }, 1));
        let last_of = |space: &Keyspace| -> Result<Option<(u64, Vec<u8>)>> {
            let Some(entry) = space.range(..).next_back().transpose()? else { return Ok(None) };
            Ok(Some((keys::last_number(entry.key()).unwrap_or_default(), entry.value()?.to_vec())))
        };
        let last_id = last_of(&self.spaces.objects)?.map_or(0, |(id, _)| id);
        let (rows, hash) = match last_of(&self.spaces.history)? {
            Some((seq, row)) if seq > journal.rows => (seq, chain::hash_of(&row)),
            _ => (journal.rows, journal.hash),
        };
        let next_object_id =
            next_id.max(last_id.saturating_add(1)).max(self.last_id_of_history()?.saturating_add(1));
        if (rows, next_object_id) != (journal.rows, next_id) {
            self.report.entries += 1;
            let row = HeadRow { history_rows: rows, history_hash: hash.to_vec(), next_object_id };
            self.batch.put(&self.spaces.meta, journal::HEAD.to_vec(), rows::encode(&row));
        }
        Ok(())
    }

    /// The greatest object that the history knows of, by its index.
    fn last_id_of_history(&self) -> Result<u64> {
        let last = self.spaces.history_by_object.range(..).next_back().transpose()?;
        Ok(last.and_then(|entry| keys::due_of(entry.key())).unwrap_or_default())
    }

    fn unreferenced(&self) -> Result<Vec<ContentHash>> {
        let mut found = Vec::new();
        for entry in self.spaces.contents.range(..) {
            let entry = entry?;
            let Some(content) = ContentHash::from_slice(entry.key()) else { continue };
            if self.spaces.refs.prefix(entry.key()).next().transpose()?.is_none() {
                found.push(content);
            }
        }
        Ok(found)
    }
}

impl Inner {
    /// Purges the objects whose bytes are missing, and forgets originals that are.
    fn purge_lost(&self, report: &mut MendReport) -> Result<()> {
        let snapshot = self.db.snapshot();
        for entry in snapshot.range(&self.spaces.objects, ..) {
            let entry = entry?;
            let id = ObjectId(keys::last_number(entry.key()).unwrap_or_default());
            let Some(before) = self.row(None, id)? else { continue };
            let is_missing = |content: &ContentHash| -> Result<bool> {
                Ok(snapshot.blob_ref(&self.spaces.contents, &content.0)?.is_none()
                    && snapshot.get(&self.spaces.contents, &content.0)?.is_none())
            };
            let needs_bytes = matches!(before.row.stage(), Stage::Hot | Stage::Warm | Stage::Cold);
            let bytes_lost =
                needs_bytes && before.row.content().map_or(Ok(true), |content| is_missing(&content))?;
            let original_lost = before.row.original().map_or(Ok(false), |content| is_missing(&content))?;
            if bytes_lost || original_lost {
                self.purge_lost_one(id, &before, (bytes_lost, original_lost))?;
                let list = if bytes_lost { &mut report.lost } else { &mut report.originals_lost };
                list.push(shown(&before.row));
            }
        }
        Ok(())
    }

    fn purge_lost_one(
        &self,
        id: ObjectId,
        before: &Versioned,
        (bytes, original): (bool, bool),
    ) -> Result<()> {
        let now = self.now();
        let policies = Arc::clone(&self.policies.read());
        let mut after = before.row.clone();
        if original {
            after.forget_original();
        }
        if bytes {
            after.content_hash = None;
            after.set_form_stored(0);
            (after.stage, after.fidelity, after.stage_entered_ms) =
                (Stage::Purged.number().into(), 0.0, now.0);
        }
        after.try_anew();
        self.schedule(&mut after, &policies, now);
        let reason = if bytes { Reason::Purge } else { Reason::DropOriginal };
        let mut record = self.record(id, Some(&before.row), Some(&after), reason, now);
        record.note = "its bytes could not be read when the database was salvaged".to_owned();
        let mut batch = self.db.batch();
        for content in before.row.contents().filter(|content| !after.refers_to(*content)) {
            batch.delete(&self.spaces.refs, keys::reference(content, id));
        }
        self.put_row(&mut batch, id, Some(before), &after);
        self.commit(batch, vec![record])
    }
}

/// All index entries that a row makes.
fn entries(spaces: &Spaces, id: ObjectId, row: &ObjectRow) -> Vec<(Keyspace, Vec<u8>, Vec<u8>)> {
    let mut all = vec![
        (spaces.names.clone(), keys::name(&row.tenant, &row.name), keys::object(id)),
        (spaces.stages.clone(), keys::stage(row.stage(), id), Vec::new()),
    ];
    all.extend(row.due_ms.map(|due_ms| (spaces.due.clone(), keys::due(due_ms, id), Vec::new())));
    all.extend(row.contents().map(|content| (spaces.refs.clone(), keys::reference(content, id), Vec::new())));
    all
}

fn shown(row: &ObjectRow) -> String {
    if row.tenant == DEFAULT_TENANT { row.name.clone() } else { format!("{}/{}", row.tenant, row.name) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
