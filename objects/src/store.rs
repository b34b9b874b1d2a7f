//! The object store: its keyspaces, how it opens and closes, and the writes that every operation is made of.
//!
//! One object touches up to nine keyspaces. They agree because each change is one atomic batch, built by the helpers
//! here: [`Inner::put_row`] keeps the stage and due index with the row, [`Inner::drop_reference`] keeps contents alive
//! exactly as long as something refers to them. Every batch that changes a row requires the version that was read, so
//! two writers of one object cannot both win; the one that lost reads again.

mod control;
mod history;
mod journal;
mod list;
mod mend;
mod pausing;
mod policies;
mod put;
mod read;
mod restore;
mod stream;
mod totals;
mod touch;

pub use history::History;
pub use list::Objects;
pub use mend::MendReport;
pub(crate) use put::{check_tenant, compression_of};
pub use stream::ObjectReader;

use crate::budget::Budgets;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Subscribers;
use crate::guard::Guard;
use crate::keys;
use crate::model::StoreOptions;
use crate::plan::Subject;
use crate::policy::{Policy, PolicySet};
use crate::rows::{self, ObjectRow};
use crate::scheduler::Bell;
use crate::touches::Touches;
use crate::types::{ContentHash, ObjectId, Stage};
use journal::Journal;
use parking_lot::{Mutex, RwLock};
use patina_storage::{Db, Durability, Keyspace, KeyspaceOptions, Seqno, Snapshot, WriteBatch};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// How often an operation that lost against another writer reads again before it gives up.
pub(crate) const RETRIES_MAX: usize = 16;

/// Rows that are changed in one batch when many are.
const ROWS_PER_BATCH: usize = 256;

/// A store of objects that decay. Clones share it; it may be used from any thread.
#[derive(Clone)]
pub struct ObjectStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Spaces {
    pub objects: Keyspace,
    pub names: Keyspace,
    pub contents: Keyspace,
    pub refs: Keyspace,
    pub stages: Keyspace,
    pub due: Keyspace,
    pub policies: Keyspace,
    pub history: Keyspace,
    pub history_by_object: Keyspace,
    pub meta: Keyspace,
}

impl Spaces {
    fn open(db: &Db) -> Result<Self> {
        let open = |name| db.keyspace(name, KeyspaceOptions::default());
        Ok(Self {
            objects: open("objects")?,
            names: open("names")?,
            contents: open("contents")?,
            refs: open("refs")?,
            stages: open("stages")?,
            due: open("due")?,
            policies: open("policies")?,
            history: open("history")?,
            history_by_object: open("history_by_object")?,
            meta: open("meta")?,
        })
    }
}

pub(crate) struct Inner {
    pub db: Db,
    pub spaces: Spaces,
    pub clock: Arc<dyn Clock>,
    pub options: StoreOptions,
    /// Read-locked from choosing a policy to the commit that rests on it, so that whoever changes one knows that every
    /// later commit has seen the change.
    pub policies: RwLock<Arc<PolicySet>>,
    pub touches: Touches,
    pub guard: Guard,
    pub budgets: Budgets,
    pub subscribers: Arc<Subscribers>,
    pub journal: Mutex<Journal>,
    pub next_object_id: AtomicU64,
    /// The latest time that decay has ever been told.
    pub decay_clock_ms: AtomicU64,
    /// Held by whoever changes a policy, until every object knows.
    pub changing_policies: Mutex<()>,
    /// Held by whoever ticks.
    pub ticking: Mutex<()>,
    /// Held by whoever writes touches.
    pub flushing: Mutex<()>,
    /// Whether nothing decays by itself.
    pub paused: Arc<AtomicBool>,
    /// The schedulers that run, to be told of what they cannot see.
    pub schedulers: Mutex<Vec<Weak<Bell>>>,
    /// Whether blob files may have more garbage than when they were last looked at.
    pub garbage_made: AtomicBool,
}

impl ObjectStore {
    /// Opens the store in a database, making it if it is not there. `clock` gives the time of everything that follows.
    ///
    /// # Errors
    /// Storage's, and [`ErrorKind::Corruption`] when the store's own rows cannot be read.
    pub fn open(db: Db, clock: Arc<dyn Clock>, options: StoreOptions) -> Result<Self> {
        let spaces = Spaces::open(&db)?;
        let start = journal::load(&spaces)?;
        let policies = policies::load(&spaces)?;
        let guard = Guard::load(&spaces)?;
        let budgets = Budgets::load(&spaces)?;
        let paused = pausing::load(&spaces)?;
        let clock_jump_max = options.clock_jump_max.filter(|_| !clock.is_hand_set());
        let options = StoreOptions { clock_jump_max, ..options };
        let inner = Inner {
            db,
            spaces,
            clock,
            options,
            policies: RwLock::new(Arc::new(policies)),
            touches: Touches::default(),
            guard,
            budgets,
            subscribers: Arc::default(),
            journal: Mutex::new(start.journal),
            next_object_id: AtomicU64::new(start.next_object_id),
            decay_clock_ms: AtomicU64::new(start.decay_clock_ms),
            changing_policies: Mutex::new(()),
            ticking: Mutex::new(()),
            flushing: Mutex::new(()),
            paused: Arc::new(AtomicBool::new(paused)),
            schedulers: Mutex::default(),
            garbage_made: AtomicBool::new(true),
        };
        let store = Self { inner: Arc::new(inner) };
        store.inner.finish_reindex()?;
        Ok(store)
    }

    /// Writes the accesses that wait in memory and makes everything durable. Dropping the last clone does it too, but
    /// cannot say when it fails.
    ///
    /// # Errors
    /// Storage's.
    pub fn close(self) -> Result<()> {
        self.flush_touches()?;
        self.sync()
    }

    /// Makes everything that was written so far durable.
    ///
    /// # Errors
    /// Storage's.
    pub fn sync(&self) -> Result<()> {
        Ok(self.inner.db.sync()?)
    }

    /// Vouches for the clock as it stands: decay goes on by it. See [`StoreOptions::clock_jump_max`].
    ///
    /// # Errors
    /// Storage's.
    pub fn confirm_clock(&self) -> Result<()> {
        self.inner.confirm_clock()?;
        self.inner.ring_schedulers();
        self.sync()
    }

    /// The database under the store.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// The time as decay sees it: the clock's, but never before what an earlier tick was told.
    pub fn now(&self) -> Timestamp {
        self.inner.now()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Marks that cannot be written now would be lost by a crash as well; `close` is there for who must know.
        let _ = self.flush_touches();
    }
}

/// A row and the version it was read at.
pub(crate) struct Versioned {
    pub row: ObjectRow,
    pub seqno: Seqno,
}

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        let reached = Timestamp(self.decay_clock_ms.load(Ordering::SeqCst));
        self.clock.now().max(reached).min(Timestamp::LAST)
    }

    /// The row of an object, as a snapshot sees it or as it is now.
    pub(crate) fn row(&self, snapshot: Option<&Snapshot>, id: ObjectId) -> Result<Option<Versioned>> {
        let key = keys::object(id);
        let found = match snapshot {
            Some(snapshot) => snapshot.get_versioned(&self.spaces.objects, &key)?,
            None => self.spaces.objects.get_versioned(&key)?,
        };
        let Some((bytes, seqno)) = found else { return Ok(None) };
        Ok(Some(Versioned { row: decode_row(id, &bytes)?, seqno }))
    }

    /// The object of a name and its row, in one view.
    pub(crate) fn find(
        &self,
        snapshot: &Snapshot,
        tenant: &str,
        name: &str,
    ) -> Result<(ObjectId, Versioned)> {
        let missing = || Error::no_object(tenant, name);
        let id = self.id_of(snapshot, tenant, name)?.ok_or_else(missing)?;
        let found = self.row(Some(snapshot), id)?;
        let found =
            found.ok_or_else(|| Error::corruption(format!("the name '{name}' leads to no object")))?;
        Ok((id, found))
    }

    pub(crate) fn id_of(&self, snapshot: &Snapshot, tenant: &str, name: &str) -> Result<Option<ObjectId>> {
        let Some(value) = snapshot.get(&self.spaces.names, &keys::name(tenant, name))? else {
            return Ok(None);
        };
        let damaged = || Error::corruption(format!("the entry of the name '{name}' is damaged"));
        keys::last_number(&value).map(ObjectId).ok_or_else(damaged).map(Some)
    }

    /// How the planner sees an object: with the accesses that still wait in memory.
    pub(crate) fn subject<'a>(&self, id: ObjectId, row: &'a ObjectRow, policy: &'a Policy) -> Subject<'a> {
        Subject { row, policy, effective: self.touches.merged(id, row.effective(), policy.half_life) }
    }

    /// Sets the row's entry of the due index to when its next visit is.
    ///
    /// From the row alone: marks that wait in memory may be lost in a crash, or belong to bytes that are being
    /// overwritten, and then an entry that rests on them would be too late.
    pub(crate) fn schedule(&self, row: &mut ObjectRow, policies: &PolicySet, now: Timestamp) {
        let policy = policies.of(&row.policy, row.kind());
        let subject = Subject { row, policy: &policy, effective: row.effective() };
        row.due_ms = subject.next_visit(now).map(Timestamp::as_millis);
    }

    /// Adds a row to a batch, with its stage and due entries, on condition that it still is what it was.
    pub(crate) fn put_row(
        &self,
        batch: &mut WriteBatch,
        id: ObjectId,
        before: Option<&Versioned>,
        after: &ObjectRow,
    ) {
        let spaces = &self.spaces;
        let key = keys::object(id);
        match before {
            Some(before) => batch.require_version(&spaces.objects, key.clone(), before.seqno),
            None => batch.require_absent(&spaces.objects, key.clone()),
        }
        batch.put(&spaces.objects, key, rows::encode(after));
        let stage_before = before.map(|before| before.row.stage());
        if stage_before != Some(after.stage()) {
            if let Some(stage) = stage_before {
                batch.delete(&spaces.stages, keys::stage(stage, id));
            }
            batch.put(&spaces.stages, keys::stage(after.stage(), id), Vec::new());
        }
        let due_before = before.and_then(|before| before.row.due_ms);
        if due_before != after.due_ms {
            if let Some(due_ms) = due_before {
                batch.delete(&spaces.due, keys::due(due_ms, id));
            }
            if let Some(due_ms) = after.due_ms {
                batch.put(&spaces.due, keys::due(due_ms, id), Vec::new());
            }
        }
    }

    /// Removes a row, its name and its index entries, on condition that it still is what it was.
    pub(crate) fn remove_row(&self, batch: &mut WriteBatch, id: ObjectId, before: &Versioned) {
        let (spaces, row) = (&self.spaces, &before.row);
        batch.require_version(&spaces.objects, keys::object(id), before.seqno);
        batch.delete(&spaces.objects, keys::object(id));
        batch.delete(&spaces.names, keys::name(&row.tenant, &row.name));
        batch.delete(&spaces.stages, keys::stage(row.stage(), id));
        if let Some(due_ms) = row.due_ms {
            batch.delete(&spaces.due, keys::due(due_ms, id));
        }
    }

    /// The objects that refer to a content.
    pub(crate) fn referrers(&self, snapshot: &Snapshot, content: ContentHash) -> Result<Vec<ObjectId>> {
        let mut ids = Vec::new();
        for entry in snapshot.prefix(&self.spaces.refs, &content.0) {
            let entry = entry?;
            ids.extend(keys::last_number(entry.key()).map(ObjectId));
        }
        Ok(ids)
    }

    /// Removes an object's reference to a content, and the content if that was the last one: then it gives `true`.
    pub(crate) fn drop_reference(
        &self,
        batch: &mut WriteBatch,
        snapshot: &Snapshot,
        content: ContentHash,
        id: ObjectId,
    ) -> Result<bool> {
        batch.delete(&self.spaces.refs, keys::reference(content, id));
        // Whoever adds a reference requires the content's key; whoever drops one requires that no other came or went.
        // So of two who each drop what they take for the last but one, one conflicts and reads again.
        batch.require_unchanged(&self.spaces.refs, content.0.to_vec(), snapshot);
        let is_last = self.referrers(snapshot, content)?.iter().all(|referrer| *referrer == id);
        if is_last {
            batch.delete(&self.spaces.contents, content.0.to_vec());
        }
        self.garbage_made.store(true, Ordering::Relaxed);
        Ok(is_last)
    }

    /// Changes many rows, each on condition that nobody else does meanwhile. `change` says whether there is anything to
    /// write; it is called again for a row that had to be read again. Rows that are gone or damaged are passed over.
    pub(crate) fn update_rows(
        &self,
        ids: &[ObjectId],
        mut change: impl FnMut(ObjectId, &mut ObjectRow, Seqno) -> bool,
    ) -> Result<()> {
        for chunk in ids.chunks(ROWS_PER_BATCH) {
            match self.update_together(chunk, &mut change) {
                Err(error) if error.is_conflict() => {}
                done => {
                    done?;
                    continue;
                }
            }
            for id in chunk {
                retry(|| self.update_together(std::slice::from_ref(id), &mut change))?;
            }
        }
        Ok(())
    }

    fn update_together(
        &self,
        ids: &[ObjectId],
        change: &mut impl FnMut(ObjectId, &mut ObjectRow, Seqno) -> bool,
    ) -> Result<()> {
        let mut batch = self.db.batch();
        for id in ids {
            let before = match self.row(None, *id) {
                Err(error) if error.is_damage() => continue,
                found => found?,
            };
            let Some(before) = before else { continue };
            let mut after = before.row.clone();
            if change(*id, &mut after, before.seqno) {
                self.put_row(&mut batch, *id, Some(&before), &after);
            }
        }
        if !batch.is_empty() {
            self.db.write(batch, Durability::Buffered)?;
        }
        Ok(())
    }
}

pub(crate) fn decode_row(id: ObjectId, bytes: &[u8]) -> Result<ObjectRow> {
    let row: ObjectRow = rows::decode(bytes, &format!("object {id}"))?;
    // Such numbers would make an object due at once, or take bytes that are there for gone.
    let sane = u8::try_from(row.stage).is_ok_and(|stage| Stage::from_number(stage).is_some())
        && put::check_rate(row.rate).is_ok()
        && row.effective_ms.is_finite()
        && row.progress.is_finite()
        && (0.0..=1.0).contains(&row.fidelity);
    if sane {
        return Ok(row);
    }
    Err(Error::corruption(format!("the row of object {id} has impossible values; restore from a copy")))
}

/// Runs an attempt again while it loses against other writers.
pub(crate) fn retry<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..RETRIES_MAX {
        match attempt() {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    let message = format!("others changed the same object {RETRIES_MAX} times meanwhile; retry");
    Err(Error::new(ErrorKind::Conflict, message))
}
