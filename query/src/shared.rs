//! What the tables of one session share: the store, the statement that is running, limits.
//!
//! A session runs one statement at a time. What belongs to that statement (its snapshot, the columns an INSERT
//! names, the rows read, the error that SQLite can only carry as text) lives here between
//! [`Shared::begin_statement`] and the end of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use patina_objects::ObjectStore;
use patina_storage::{Db, Keyspace, KeyspaceOptions, Snapshot};
use rusqlite::{Connection, Error as SqliteError, ffi};

use crate::error::{Error, ErrorKind, Result};
use crate::table::TableColumn;

/// State shared by the session and its tables.
pub(crate) struct Shared {
    pub store: ObjectStore,
    pub db: Db,
    pub tenant: String,
    /// Definitions of user tables; see [`crate::users`].
    pub catalogue: Keyspace,
    /// Rows of user tables.
    pub rows: Keyspace,
    /// Unique keys of user tables.
    pub keys: Keyspace,
    /// The most memory that the changes of one statement may take.
    pub statement_bytes_max: usize,
    /// Evaluates defaults and parses definitions, away from the session's own connection.
    pub scratch: Mutex<Connection>,
    interrupted: Arc<AtomicBool>,
    rows_read: AtomicU64,
    failure: Mutex<Option<Error>>,
    snapshot: Mutex<Option<Snapshot>>,
    insert_columns: Mutex<Option<Vec<String>>>,
    listing: Mutex<Arc<Vec<ListedTable>>>,
}

/// A table as `tables` and `columns` show it.
#[derive(Clone, Debug)]
pub(crate) struct ListedTable {
    pub name: String,
    pub columns: Vec<TableColumn>,
    /// The statement that would create it; `None` for the tables that are always there.
    pub sql: Option<String>,
}

impl Shared {
    pub fn open(store: ObjectStore, tenant: String, statement_bytes_max: usize) -> Result<Self> {
        let db = store.db().clone();
        let keyspace = |name| db.keyspace(name, KeyspaceOptions::default());
        let (catalogue, rows, keys) =
            (keyspace("sql_catalogue")?, keyspace("sql_rows")?, keyspace("sql_keys")?);
        let scratch = Connection::open_in_memory().map_err(|error| engine(&error))?;
        Ok(Self {
            store,
            db,
            tenant,
            catalogue,
            rows,
            keys,
            statement_bytes_max,
            scratch: Mutex::new(scratch),
            interrupted: Arc::default(),
            rows_read: AtomicU64::new(0),
            failure: Mutex::new(None),
            snapshot: Mutex::new(None),
            insert_columns: Mutex::new(None),
            listing: Mutex::default(),
        })
    }

    /// Whether the session belongs to one tenant among others, who may not change what concerns all.
    pub fn is_tenants(&self) -> bool {
        self.tenant != patina_objects::DEFAULT_TENANT
    }

    /// The tables there are, by name.
    pub fn listing(&self) -> Arc<Vec<ListedTable>> {
        Arc::clone(&self.listing.lock())
    }

    pub fn set_listing(&self, mut tables: Vec<ListedTable>) {
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        *self.listing.lock() = Arc::new(tables);
    }

    /// Forgets the statement before and prepares for one with these INSERT columns.
    pub fn begin_statement(&self, insert_columns: Option<Vec<String>>) {
        self.rows_read.store(0, Ordering::Relaxed);
        *self.failure.lock() = None;
        *self.snapshot.lock() = None;
        *self.insert_columns.lock() = insert_columns;
    }

    /// Lets the statement's snapshot go, so that it does not hold back compaction.
    pub fn end_statement(&self) {
        *self.snapshot.lock() = None;
    }

    /// The one snapshot the statement reads.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().get_or_insert_with(|| self.db.snapshot()).clone()
    }

    /// Whether the statement's INSERT leaves this column (in lower case) to its default.
    pub fn is_left_out(&self, column: &str) -> bool {
        let columns = self.insert_columns.lock();
        columns.as_ref().is_some_and(|names| !names.iter().any(|name| name == column))
    }

    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupted)
    }

    /// An error if somebody asked the statement to stop.
    pub fn check_interrupt(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        Ok(())
    }

    pub fn count_row(&self) {
        self.rows_read.fetch_add(1, Ordering::Relaxed);
    }

    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    /// Keeps `error` for the session and makes the SQLite error that stands for it.
    pub fn fail(&self, error: Error) -> SqliteError {
        let code = match error.kind() {
            ErrorKind::Constraint => ffi::SQLITE_CONSTRAINT,
            ErrorKind::Interrupted => ffi::SQLITE_INTERRUPT,
            _ => ffi::SQLITE_ERROR,
        };
        let message = error.message().to_owned();
        *self.failure.lock() = Some(error);
        SqliteError::SqliteFailure(ffi::Error::new(code), Some(message))
    }

    /// The error kept last, if it is the one with this message.
    pub fn take_failure(&self, message: &str) -> Option<Error> {
        self.failure.lock().take().filter(|error| error.message() == message)
    }
}

/// An error of SQLite's that no statement should cause.
pub(crate) fn engine(error: &SqliteError) -> Error {
    Error::new(ErrorKind::Engine, format!("the SQL engine failed: {error}"))
}
