//! The handle on an open database.

mod decay;
mod objects;

use std::path::Path;
use std::sync::{Arc, Mutex};

use patina_objects::{ObjectStore, Scheduler, Timestamp};
use patina_query::{Session, SessionOptions};
use patina_storage::{CheckpointReport, Db, Keyspace, KeyspaceOptions, VerifyReport};

use crate::builder::Builder;
use crate::error::Result;
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
