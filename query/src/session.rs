//! A session: one SQLite connection in memory that holds nothing but virtual tables.
//!
//! A text runs statement by statement. Before each, the session looks whether tables were created or dropped
//! elsewhere. SQL is rewritten, prepared and stepped, its rows going straight to the sink; a command is run by
//! [`crate::commands`]. A statement that loses against another session is run again, unless it already gave rows.
//!
//! What SQLite itself may do is fixed in [`crate::connection`].

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use patina_objects::{DEFAULT_TENANT, ObjectStore};
use patina_storage::Seqno;
use rusqlite::{Connection, Statement as Prepared};

use crate::diagnose::Failure;
use crate::dialect::{self, Command, Parsed, Sql, Statement, SyntaxError, quote_name};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Names;
use crate::shared::{ListedTable, Shared, engine};
use crate::table::Table;
use crate::tables::system_tables;
use crate::users::catalogue::{self, Listed};
use crate::users::schema;
use crate::users::table::UserTable;
use crate::value::{Collector, Column, ColumnKind, Outcome, ResultSet, Sink, Value};
use crate::vtab::{MODULE, Registry};
use crate::{connection, explain};

/// How a session is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Whose objects and tables it sees.
    pub tenant: String,
    /// The longest text, in bytes.
    pub sql_bytes_max: usize,
    /// The longest value, in bytes.
    pub value_bytes_max: usize,
    /// The most memory the changes of one statement may take, in bytes.
    pub statement_bytes_max: usize,
    /// The most memory SQLite may use in this process, all sessions together, in bytes; 0 is no limit.
    pub heap_bytes_max: u64,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            tenant: DEFAULT_TENANT.to_owned(),
            sql_bytes_max: 16 << 20,
            value_bytes_max: 64 << 20,
            statement_bytes_max: 256 << 20,
            heap_bytes_max: 512 << 20,
        }
    }
}

impl SessionOptions {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] with every problem.
    pub fn validate(&self) -> Result<()> {
        let mut problems = Vec::new();
        if self.tenant.is_empty() || self.tenant.contains('\0') {
            problems.push("the tenant must have a name without zero bytes");
        }
        if self.sql_bytes_max < 1_000 || i32::try_from(self.sql_bytes_max).is_err() {
            problems.push("sql_bytes_max must be from 1,000 to 2,147,483,647");
        }
        if self.value_bytes_max < 1_000 || i32::try_from(self.value_bytes_max).is_err() {
            problems.push("value_bytes_max must be from 1,000 to 2,147,483,647");
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems.join("; "))) }
    }
}

/// Runs SQL over one open store. Cheap to open; several can be open at once, each on its own thread.
///
/// ```
/// use patina_objects::{ManualClock, ObjectStore, PutOptions, StoreOptions, Timestamp};
/// use patina_query::{Session, SessionOptions, Value};
/// use patina_storage::{Db, MemVfs, Options};
/// use std::sync::Arc;
///
/// let db = Db::open_with(Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// let store = ObjectStore::open(db, Arc::new(ManualClock::new(Timestamp(0))), StoreOptions::default())?;
/// store.put("notes.txt", b"hello", &PutOptions::default())?;
///
/// let mut session = Session::open(store, SessionOptions::default())?;
/// let results = session.query("SELECT name, size FROM objects WHERE stage = ?", &[Value::Integer(0)])?;
/// assert_eq!(results[0].rows, [[Value::from("notes.txt"), Value::Integer(5)]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session {
    pub(crate) connection: Connection,
    pub(crate) shared: Arc<Shared>,
    registry: Arc<Registry>,
    /// The catalogue version whose tables are registered; `None` before the first look.
    seen: Option<Option<Seqno>>,
    pub(crate) user_tables: HashMap<String, Listed>,
    /// Set while the session itself creates or drops a virtual table.
    internal: Arc<AtomicBool>,
    sql_bytes_max: usize,
}

/// Stops the statement a session is running, from any thread.
#[derive(Clone, Debug)]
pub struct InterruptHandle {
    flag: Arc<AtomicBool>,
}

impl InterruptHandle {
    /// Asks the running statement to stop; it fails with [`ErrorKind::Interrupted`], and has changed nothing. A TICK ends after
    /// the objects at hand instead, keeps what it did, and says so. Without a running statement nothing happens.
    pub fn interrupt(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }
}

/// How often a statement that lost against another session is run again.
const RETRIES_MAX: usize = 8;

impl Session {
    /// Opens a session.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for options that make no sense; storage's.
    pub fn open(store: ObjectStore, options: SessionOptions) -> Result<Self> {
        options.validate()?;
        let shared = Arc::new(Shared::open(store, options.tenant.clone(), options.statement_bytes_max)?);
        catalogue::finish_drops(&shared)?;
        let internal = Arc::new(AtomicBool::new(true));
        let connection = connection::open(&shared, &options, &internal).map_err(|error| engine(&error))?;
        let registry = Arc::new(Registry { shared: Arc::clone(&shared), tables: Mutex::default() });
        connection
            .create_module("patina", &MODULE, Some(Arc::clone(&registry)))
            .map_err(|error| engine(&error))?;
        let mut session = Self {
            connection,
            shared,
            registry,
            seen: None,
            user_tables: HashMap::new(),
            internal,
            sql_bytes_max: options.sql_bytes_max,
        };
        for table in system_tables(&session.shared) {
            session.register(table)?;
        }
        session.internal.store(false, Ordering::Relaxed);
        session.refresh()?;
        Ok(session)
    }

    /// Runs every statement of a text, in order; their rows go to `sink`. Each statement takes the next of `params`
    /// for its own parameters. The first that fails ends the text; those before it stay done.
    ///
    /// # Errors
    /// That of the failing statement, with its place in the text.
    pub fn execute(&mut self, sql: &str, params: &[Value], sink: &mut dyn Sink) -> Result<()> {
        self.shared.interrupt_flag().store(false, Ordering::Relaxed);
        if sql.len() > self.sql_bytes_max {
            let message =
                format!("the text is longer than {} KiB: run it in parts", self.sql_bytes_max >> 10);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if let Some(at) = sql.find('\0') {
            return Err(Error::new(ErrorKind::Syntax, "a zero byte cannot be part of SQL").at(sql, at, at));
        }
        let mut params = params;
        for statement in dialect::split(sql) {
            let start = statement.range().start;
            let line = sql.get(..start).map_or(0, |before| before.matches('\n').count()) + 1;
            self.run(sql, &statement, &mut params, sink).map_err(|error| error.in_statement(line))?;
        }
        if !params.is_empty() {
            return Err(Error::invalid(format!(
                "{} parameters were given that no statement takes",
                params.len()
            )));
        }
        Ok(())
    }

    /// As [`Session::execute`], collecting everything: for small results.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<ResultSet>> {
        let mut collector = Collector::default();
        self.execute(sql, params, &mut collector)?;
        Ok(collector.into_results())
    }

    /// What can stop this session's running statement from another thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle { flag: self.shared.interrupt_flag() }
    }

    /// The names a person may want to type; usable while the session runs.
    pub fn names(&self) -> Names {
        Names::new(Arc::clone(&self.shared))
    }

    /// The store under the session.
    pub fn store(&self) -> &ObjectStore {
        &self.shared.store
    }

    /// Whether a text is whole: it ends with a semicolon, or its last statement can end where it does.
    ///
    /// ```
    /// use patina_query::Session;
    /// assert!(Session::is_complete("SELECT FROM objects"));
    /// assert!(!Session::is_complete("SELECT name FROM objects WHERE"));
    /// assert!(!Session::is_complete("INSERT INTO t VALUES ('a"));
    /// assert!(Session::is_complete("TICK DRY RUN"));
    /// ```
    pub fn is_complete(sql: &str) -> bool {
        crate::complete::is_complete(sql)
    }

    fn run(
        &mut self,
        text: &str,
        statement: &Statement,
        params: &mut &[Value],
        sink: &mut dyn Sink,
    ) -> Result<()> {
        self.refresh()?;
        match dialect::parse(text, statement).map_err(|error| syntax_error(text, &error))? {
            Parsed::Command(command) => self.run_command_again(text, &command, sink),
            Parsed::Sql(sql) => self.run_sql(text, statement, &sql, params, sink),
        }
    }

    /// Runs a command; one that lost against another session is run again, as it has changed nothing.
    fn run_command_again(&mut self, text: &str, command: &Command, sink: &mut dyn Sink) -> Result<()> {
        let mut attempt = 0;
        loop {
            self.shared.begin_statement(None);
            match self.run_command(text, command.clone(), sink) {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < RETRIES_MAX => {
                    attempt += 1;
                    self.refresh()?;
                }
                result => return result,
            }
        }
    }

    fn run_sql(
        &mut self,
        text: &str,
        statement: &Statement,
        sql: &Sql,
        params: &mut &[Value],
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let mut attempt = 0;
        loop {
            self.shared.begin_statement(sql.insert_columns.clone());
            let mut given = Given { sink: &mut *sink, rows: 0, begun: false };
            let result = self.run_once(text, statement, sql, params, &mut given);
            let begun = given.begun;
            self.shared.end_statement();
            match result {
                Err(error) if error.kind() == ErrorKind::Conflict && !begun && attempt < RETRIES_MAX => {
                    attempt += 1;
                    self.refresh()?;
                }
                Err(error) => return Err(error),
                Ok((taken, outcome)) => {
                    *params = params.get(taken..).unwrap_or(&[]);
                    sink.end(outcome);
                    return Ok(());
                }
            }
        }
    }

    /// Prepares and steps; gives the number of parameters taken and the outcome.
    fn run_once(
        &self,
        text: &str,
        statement: &Statement,
        sql: &Sql,
        params: &[Value],
        given: &mut Given<'_>,
    ) -> Result<(usize, Outcome)> {
        let failure = Failure { shared: &self.shared, text, statement, sql };
        let changed_before = self.connection.total_changes();
        let mut prepared =
            self.connection.prepare(&sql.rewritten.text).map_err(|error| failure.diagnose(error))?;
        let taken = bind(&mut prepared, params)?;
        let stepped = if prepared.column_count() == 0 {
            prepared.raw_execute().map(|_| ())
        } else if sql.explains {
            explain::run(&mut prepared, given)
        } else {
            stream(&mut prepared, given, |name| sql.rewritten.typed(name, text))
        };
        drop(prepared);
        stepped.map_err(|error| failure.diagnose(error))?;
        let changed = self.connection.total_changes().saturating_sub(changed_before);
        let message = change_message(text, statement, changed).filter(|_| !given.begun);
        Ok((taken, Outcome { rows: given.rows, changed, rows_read: self.shared.rows_read(), message }))
    }

    /// Registers the tables that were created elsewhere, and forgets the dropped ones.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let version = catalogue::version(&self.shared)?;
        if self.seen == Some(version) {
            return Ok(());
        }
        let listed = catalogue::list(&self.shared, &self.shared.db.snapshot())?;
        let gone: Vec<String> = self
            .user_tables
            .iter()
            .filter(|(_, known)| !listed.contains(known))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.unregister(&name)?;
            self.user_tables.remove(&name);
        }
        for listed in listed {
            let name = listed.def.name.to_lowercase();
            if !self.user_tables.contains_key(&name) {
                self.register(Arc::new(UserTable::new(Arc::clone(&self.shared), listed.clone())))?;
                self.user_tables.insert(name, listed);
            }
        }
        self.list_tables();
        self.seen = Some(version);
        Ok(())
    }

    fn list_tables(&self) {
        let tables = self.registry.tables.lock();
        let listing = tables.iter().map(|(name, table)| ListedTable {
            name: table.name().to_owned(),
            columns: table.columns().to_vec(),
            sql: self.user_tables.get(name).map(|listed| schema::describe(&listed.def)),
        });
        self.shared.set_listing(listing.collect());
    }

    fn register(&mut self, table: Arc<dyn Table>) -> Result<()> {
        let name = table.name().to_owned();
        self.registry.tables.lock().insert(name.to_lowercase(), table);
        self.internally(&format!("CREATE VIRTUAL TABLE {} USING patina", quote_name(&name)))
    }

    fn unregister(&mut self, name: &str) -> Result<()> {
        self.internally(&format!("DROP TABLE {}", quote_name(name)))?;
        self.registry.tables.lock().remove(name);
        Ok(())
    }

    fn internally(&self, sql: &str) -> Result<()> {
        let before = self.internal.swap(true, Ordering::Relaxed);
        let result = self.connection.execute_batch(sql);
        self.internal.store(before, Ordering::Relaxed);
        result.map_err(|error| engine(&error))
    }
}

/// A sink with a count, told about columns once.
pub(crate) struct Given<'a> {
    sink: &'a mut dyn Sink,
    rows: u64,
    begun: bool,
}

impl Given<'_> {
    pub fn begin(&mut self, columns: &[Column]) {
        self.begun = true;
        self.sink.begin(columns);
    }

    pub fn row(&mut self, row: &[Value]) -> ControlFlow<()> {
        self.rows += 1;
        self.sink.row(row)
    }
}

fn bind(prepared: &mut Prepared<'_>, params: &[Value]) -> Result<usize> {
    let wanted = prepared.parameter_count();
    let Some(values) = params.get(..wanted) else {
        let message = format!("the statement has {wanted} parameters and {} were given", params.len());
        return Err(Error::invalid(message));
    };
    for (number, value) in (1..).zip(values) {
        prepared.raw_bind_parameter(number, value).map_err(|error| engine(&error))?;
    }
    Ok(wanted)
}

/// Gives the rows of a statement. `typed` is what the person wrote for an expression that was rewritten.
fn stream<'a>(
    prepared: &mut Prepared<'_>,
    given: &mut Given<'_>,
    typed: impl Fn(&str) -> Option<&'a str>,
) -> rusqlite::Result<()> {
    let columns: Vec<Column> = prepared
        .columns()
        .map(|column| {
            let name = column.name();
            let kind = ColumnKind::of(name, column.decl_type());
            let rewritten = name.contains("_pattern(");
            let name = Some(name).filter(|_| rewritten).and_then(&typed).unwrap_or(name);
            Column { name: name.to_owned(), kind }
        })
        .collect();
    let mut buffer = vec![Value::Null; columns.len()];
    let mut rows = prepared.raw_query();
    // The first step comes before the first call of the sink: a statement that fails at once can be run again.
    let mut row = rows.next()?;
    given.begin(&columns);
    while let Some(current) = row {
        for (index, slot) in buffer.iter_mut().enumerate() {
            *slot = Value::from(current.get_ref(index)?);
        }
        if given.row(&buffer).is_break() {
            break;
        }
        row = rows.next()?;
    }
    Ok(())
}

fn syntax_error(text: &str, error: &SyntaxError) -> Error {
    let kind = if error.refused { ErrorKind::Unsupported } else { ErrorKind::Syntax };
    Error::new(kind, error.message.clone()).at(text, error.range.start, error.range.end)
}

/// "3 rows inserted".
fn change_message(text: &str, statement: &Statement, changed: u64) -> Option<String> {
    let words = statement.tokens.iter().filter(|token| token.is_significant());
    let verb =
        words.map(|token| token.text(text).to_ascii_uppercase()).find_map(|word| match word.as_str() {
            "INSERT" | "REPLACE" => Some("inserted"),
            "UPDATE" => Some("updated"),
            "DELETE" => Some("deleted"),
            _ => None,
        })?;
    Some(format!("{changed} row{} {verb}", if changed == 1 { "" } else { "s" }))
}
