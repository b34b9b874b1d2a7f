//! The handle on an open database.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use patina_objects::{
    DEFAULT_TENANT, HistoryRow, ListFilter, Object, ObjectId, ObjectInfo, ObjectReader, ObjectStore,
    PlannedMove, Policy, PutOptions, Scheduler, SchedulerOptions, SchedulerStatus, TickOptions, TickReport,
    Timestamp,
};
use patina_query::{Session, SessionOptions};
use patina_storage::{CheckpointReport, Db, Keyspace, KeyspaceOptions, VerifyReport};

use crate::builder::Builder;
use crate::error::{Error, Result};
use crate::params::Params;
use crate::rows::Rows;

/// What a caller's keyspaces are called inside, so that they never meet the object store's own.
const USER_KEYSPACE: &str = "kv/";

/// An open database: objects that decay, SQL over them, and plain keyspaces beside them.
///
/// Cheap to clone, `Send` and `Sync`: clones share one database. Names are within the default tenant here; the
/// whole object store, tenants and controls included, is behind [`Patina::objects`].
///
/// ```
/// use patinadb::Patina;
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path();
///
/// let db = Patina::open(path)?;
/// db.put("notes/copper.txt", b"Copper turns green.")?;
/// assert_eq!(&db.get("notes/copper.txt")?.bytes[..], b"Copper turns green.");
/// db.close()?;
/// # Ok::<(), patinadb::Error>(())
/// ```
#[derive(Clone)]
pub struct Patina {
    db: Db,
    store: ObjectStore,
    /// After the store, so that it ends before the last handle is gone.
    scheduler: Arc<Mutex<Option<Scheduler>>>,
}

impl Patina {
    pub(crate) fn new(db: Db, store: ObjectStore) -> Self {
        Self { db, store, scheduler: Arc::default() }
    }

    /// Opens the database in `dir`, creating it where there is none.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = patinadb::Patina::open(dir.path().join("data"))?;
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// A folder that holds something else, a database that is open elsewhere, damaged files.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(dir)
    }

    /// Starts from the default settings: own clock, file system or sizes. See [`Builder`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let options = patinadb::Options { memtable_bytes: 4 << 20, ..Default::default() };
    /// let db = patinadb::Patina::builder().storage_options(options).open(dir.path())?;
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Stores an object; one that has the name already gets a new generation. Durable when it returns.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let id = db.put("a.txt", b"first")?;
    /// assert_eq!(db.stat("a.txt")?.id, id);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// A bad name, an object under a hold, storage that failed.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<ObjectId> {
        self.put_with(name, bytes, &PutOptions::default())
    }

    /// Stores an object under a policy, at a rate, with a hold or for a tenant.
    ///
    /// ```
    /// use patinadb::PutOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let slow = PutOptions { rate: Some(0.5), ..PutOptions::default() };
    /// db.put_with("a.txt", b"kept twice as long", &slow)?;
    /// assert_eq!(db.stat("a.txt")?.rate, 0.5);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::put`], and a policy or rate that is not there or not allowed.
    pub fn put_with(&self, name: &str, bytes: &[u8], options: &PutOptions) -> Result<ObjectId> {
        Ok(self.store.put(name, bytes, options)?)
    }

    /// Stores an object that a reader gives: written once, never in memory as a whole.
    ///
    /// ```
    /// use patinadb::PutOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let mut source = &b"from a file or a socket"[..];
    /// db.put_reader("a.txt", &mut source, &PutOptions::default())?;
    /// assert_eq!(db.stat("a.txt")?.size, 23);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::put_with`], and the reader's; then nothing is stored.
    pub fn put_reader(&self, name: &str, reader: &mut dyn Read, options: &PutOptions) -> Result<ObjectId> {
        Ok(self.store.put_reader(name, reader, options)?)
    }

    /// Stores many objects with one sync at the end. Each appears as a whole; when the call fails, those before the
    /// failing one are there.
    ///
    /// ```
    /// use patinadb::PutOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let files = [("a.txt", "first"), ("b.txt", "second")];
    /// let ids = db.put_many(files.map(|(name, text)| (name.into(), text.into(), PutOptions::default())))?;
    /// assert_eq!(ids.len(), 2);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::put_with`].
    pub fn put_many(
        &self,
        items: impl IntoIterator<Item = (String, Bytes, PutOptions)>,
    ) -> Result<Vec<ObjectId>> {
        Ok(self.store.put_many(items)?)
    }

    /// The bytes of an object as they are now, with what they are and how much is left. Raises its heat.
    ///
    /// ```
    /// use patinadb::Stage;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// # db.put("a.txt", b"first")?;
    /// let object = db.get("a.txt")?;
    /// assert_eq!((object.stage, object.fidelity), (Stage::Hot, 1.0));
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// No object of that name, one that was purged, damaged bytes.
    pub fn get(&self, name: &str) -> Result<Object> {
        Ok(self.store.get(DEFAULT_TENANT, name)?)
    }

    /// As [`Patina::get`], as a reader: piece by piece and from any place, never in memory as a whole.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// # db.put("a.txt", b"first")?;
    /// let mut reader = db.get_reader("a.txt")?;
    /// assert_eq!(&reader.read_range(1..3)?[..], b"ir");
    /// std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::get`]; damage may show only where it is read.
    pub fn get_reader(&self, name: &str) -> Result<ObjectReader> {
        Ok(self.store.get_reader(DEFAULT_TENANT, name)?)
    }

    /// Everything known about an object, without reading its bytes.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.json", b"{\"a\": 1}")?;
    /// assert_eq!(db.stat("a.json")?.media_type, "application/json");
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// No object of that name.
    pub fn stat(&self, name: &str) -> Result<ObjectInfo> {
        Ok(self.store.stat(DEFAULT_TENANT, name)?)
    }

    /// The objects that pass the filter, through the index that fits it, from one snapshot.
    ///
    /// ```
    /// use patinadb::ListFilter;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("photos/a.jpg", b"...")?;
    /// db.put("notes/b.txt", b"...")?;
    /// let photos = ListFilter { name_prefix: Some("photos/".into()), ..ListFilter::default() };
    /// assert_eq!(db.list(&photos)?.count(), 1);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that failed; each row can fail by itself.
    pub fn list(&self, filter: &ListFilter) -> Result<impl Iterator<Item = Result<ObjectInfo>> + use<>> {
        Ok(self.store.list(filter)?.map(|info| info.map_err(Error::from)))
    }

    /// Deletes an object. Its history stays.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.txt", b"first")?;
    /// db.delete("a.txt")?;
    /// assert!(db.get("a.txt").is_err());
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// No object of that name, an object under a hold.
    pub fn delete(&self, name: &str) -> Result<()> {
        Ok(self.store.delete(DEFAULT_TENANT, name)?)
    }

    /// One round of decay: every object that is due moves to its stage. [`TickOptions`] can force it, or judge as
    /// of another time.
    ///
    /// ```
    /// use patinadb::{Stage, TickOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.bin", &[7; 4096])?;
    /// let report = db.tick(&TickOptions { force: true, ..TickOptions::default() })?;
    /// assert_eq!(report.moved, 1);
    /// assert_eq!(db.stat("a.bin")?.stage, Stage::Warm);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that failed. An object that fails is counted in the report and does not stop the others.
    pub fn tick(&self, options: &TickOptions<'_>) -> Result<TickReport> {
        Ok(self.store.tick(options)?)
    }

    /// What [`Patina::tick`] would do, with nothing written.
    ///
    /// ```
    /// use patinadb::{Stage, TickOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.bin", &[7; 4096])?;
    /// let planned = db.dry_run(&TickOptions { force: true, ..TickOptions::default() })?;
    /// assert_eq!((planned[0].from, planned[0].to), (Stage::Hot, Stage::Warm));
    /// assert_eq!(db.stat("a.bin")?.stage, Stage::Hot);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::tick`].
    pub fn dry_run(&self, options: &TickOptions<'_>) -> Result<Vec<PlannedMove>> {
        Ok(self.store.dry_run(options)?)
    }

    /// Lets objects decay by themselves: a thread runs a round whenever something is due, or a budget is exceeded, until
    /// [`Patina::stop_scheduler`], [`Patina::close`], or the last handle is dropped. One that runs already is stopped first.
    ///
    /// ```
    /// use patinadb::SchedulerOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.start_scheduler(SchedulerOptions { busy_share: 0.25, ..SchedulerOptions::default() })?;
    /// assert!(db.scheduler_status().is_some_and(|status| status.error.is_none()));
    /// db.objects().set_decay_paused(true)?;
    /// db.stop_scheduler();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Options that make no sense; a system that gives no thread.
    pub fn start_scheduler(&self, options: SchedulerOptions) -> Result<()> {
        self.stop_scheduler();
        *self.scheduler() = Some(self.store.start_scheduler(options)?);
        Ok(())
    }

    /// Ends decay by itself, if it runs, and waits until what was begun is done.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.stop_scheduler();
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn stop_scheduler(&self) {
        let scheduler = self.scheduler().take();
        scheduler.into_iter().for_each(Scheduler::stop);
    }

    /// What decay by itself has done and is about to do; `None` if it does not run.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// assert!(db.scheduler_status().is_none());
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn scheduler_status(&self) -> Option<SchedulerStatus> {
        self.scheduler().as_ref().map(Scheduler::status)
    }

    fn scheduler(&self) -> MutexGuard<'_, Option<Scheduler>> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs SQL and gives the rows of its last statement. Each call has a session of its own; for a transaction
    /// over several calls take a [`Patina::session`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.txt", b"first")?;
    /// let rows = db.query("SELECT FROM objects WHERE stage = ?", [0])?;
    /// assert_eq!(rows.len(), 1);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// A statement that cannot be parsed or run; the message says where.
    pub fn query(&self, sql: &str, params: impl Params) -> Result<Rows> {
        let mut sets = self.session()?.query(sql, &params.into_values())?;
        Ok(Rows::of(sets.pop()))
    }

    /// A SQL session: streams rows into a sink, keeps a transaction open between statements, can be interrupted.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let mut session = db.session()?;
    /// session.query("CREATE TABLE users (name, age)", &[])?;
    /// session.query("INSERT INTO users (name, age) VALUES ('Alice', 30)", &[])?;
    /// assert_eq!(db.query("SELECT FROM users", ())?.len(), 1);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that failed.
    pub fn session(&self) -> Result<Session> {
        Ok(Session::open(self.store.clone(), SessionOptions::default())?)
    }

    /// What happened to one object, or to all, oldest first. That of a deleted object is still there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let id = db.put("a.txt", b"first")?;
    /// let rows = db.history(Some(id))?.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(rows[0].bytes_after, 5);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that failed; each row can fail by itself.
    pub fn history(
        &self,
        object: Option<ObjectId>,
    ) -> Result<impl Iterator<Item = Result<HistoryRow>> + use<>> {
        Ok(self.store.history(object)?.map(|row| row.map_err(Error::from)))
    }

    /// The policies, built-in ones included.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// assert!(db.policies().iter().any(|policy| policy.name == "image"));
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn policies(&self) -> Vec<Policy> {
        self.store.policies()
    }

    /// A plain ordered keyspace, created on first use: durable bytes by key that never decay. Names are the
    /// caller's own and do not meet those of the object store.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let settings = db.keyspace("settings")?;
    /// settings.put("theme", "verdigris")?;
    /// assert_eq!(settings.get(b"theme")?.as_deref(), Some(&b"verdigris"[..]));
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// A bad name, storage that failed.
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        Ok(self.db.keyspace(&format!("{USER_KEYSPACE}{name}"), KeyspaceOptions::default())?)
    }

    /// The object store itself: tenants, pins, holds, rates, policies, totals.
    ///
    /// ```
    /// use patinadb::DEFAULT_TENANT;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.txt", b"first")?;
    /// db.objects().set_pinned(DEFAULT_TENANT, "a.txt", true)?;
    /// assert!(db.stat("a.txt")?.pinned);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn objects(&self) -> &ObjectStore {
        &self.store
    }

    /// The storage engine under it: batches over several keyspaces, snapshots, statistics.
    ///
    /// ```
    /// use patinadb::Durability;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let (from, to) = (db.keyspace("from")?, db.keyspace("to")?);
    /// let mut batch = db.storage().batch();
    /// batch.delete(&from, "key");
    /// batch.put(&to, "key", "value");
    /// db.storage().write(batch, Durability::Sync)?;
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn storage(&self) -> &Db {
        &self.db
    }

    /// Reads everything that is stored and reports what is damaged, with file and offset; reads and writes go on.
    /// For a database that cannot be opened there is [`Db::verify_closed`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// # db.put("a.txt", b"first")?;
    /// assert!(db.verify()?.is_sound());
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that cannot even be listed; damage is no error but the report.
    pub fn verify(&self) -> Result<VerifyReport> {
        Ok(self.db.verify()?)
    }

    /// Makes a database in `dest` that holds what this one holds now, sharing its bytes by hard links.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path().join("data"))?;
    /// # let dest = dir.path().join("copy");
    /// db.put("a.txt", b"first")?;
    /// db.checkpoint(&dest)?;
    /// db.delete("a.txt")?;
    /// assert_eq!(&patinadb::Patina::open(&dest)?.get("a.txt")?.bytes[..], b"first");
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// A `dest` that holds something, a full disk.
    pub fn checkpoint(&self, dest: impl AsRef<Path>) -> Result<CheckpointReport> {
        self.store.flush_touches()?;
        Ok(self.db.checkpoint(dest)?)
    }

    /// The time on this database's clock.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// assert!(db.now() > patinadb::Timestamp(1_700_000_000_000));
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn now(&self) -> Timestamp {
        self.store.now()
    }

    /// Writes what is still in memory and closes the database; other handles on it then fail. Dropping the last
    /// handle does the same, but cannot say whether it worked.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// patinadb::Patina::open(dir.path())?.close()?;
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that failed: what was acknowledged is durable all the same.
    pub fn close(self) -> Result<()> {
        self.stop_scheduler();
        self.store.flush_touches()?;
        Ok(self.db.close()?)
    }
}
