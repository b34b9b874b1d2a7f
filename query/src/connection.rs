//! The SQLite connection of a session: its limits and what it may do.
//!
//! The authorizer lets statements read and write the virtual tables and call functions, nothing else: no ATTACH, no
//! PRAGMA, no tables of SQLite's own. While the session itself creates or drops a virtual table, `internal` is set and
//! everything is allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use crate::functions;
use crate::session::SessionOptions;
use crate::shared::Shared;

/// Steps of SQLite's machine between two looks at the interrupt flag.
const STEPS_BETWEEN_CHECKS: i32 = 1_000;

/// Opens an empty database in memory.
pub(crate) fn open(
    shared: &Shared,
    options: &SessionOptions,
    internal: &Arc<AtomicBool>,
) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    if options.heap_bytes_max > 0 {
        // One limit a process: the last session to open sets it.
        let pragma =
            format!("PRAGMA soft_heap_limit = {0}; PRAGMA hard_heap_limit = {0}", options.heap_bytes_max);
        connection.execute_batch(&pragma)?;
    }
    let limit = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, limit(options.value_bytes_max))?;
    // The rewriting makes a text a little longer.
    let sql_bytes_max = limit(options.sql_bytes_max.saturating_mul(2));
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, sql_bytes_max)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    functions::register(&connection)?;
    let internal = Arc::clone(internal);
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        if internal.load(Ordering::Relaxed) || allows(&context.action) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }))?;
    let flag = shared.interrupt_flag();
    connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || flag.load(Ordering::Relaxed)))?;
    Ok(connection)
}

fn allows(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => !table_name.to_ascii_lowercase().starts_with("sqlite_"),
        _ => false,
    }
}
