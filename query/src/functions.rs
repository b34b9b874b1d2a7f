//! SQL functions of our own.
//!
//! `contains_pattern`, `prefix_pattern` and `suffix_pattern` make the GLOB patterns that CONTAINS, STARTSWITH and
//! ENDSWITH are rewritten to. `duration_ms('7 days')` is a duration as a number, for arithmetic with times.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

use crate::duration;
use crate::selection::escape_glob;

pub(crate) fn register(connection: &Connection) -> Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection
        .create_scalar_function("contains_pattern", 1, flags, |context| Ok(pattern(context, "*", "*")))?;
    connection.create_scalar_function("prefix_pattern", 1, flags, |context| Ok(pattern(context, "", "*")))?;
    connection.create_scalar_function("suffix_pattern", 1, flags, |context| Ok(pattern(context, "*", "")))?;
    connection.create_scalar_function("duration_ms", 1, flags, |context| {
        let Some(text) = text(context) else { return Ok(None) };
        let milliseconds =
            duration::parse(&text).map_err(|problem| Error::UserFunctionError(problem.into()))?;
        Ok(Some(i64::try_from(milliseconds).unwrap_or(i64::MAX)))
    })
}

/// The pattern for the argument; NULL stays NULL.
fn pattern(context: &Context<'_>, before: &str, after: &str) -> Option<String> {
    Some(format!("{before}{}{after}", escape_glob(&text(context)?)))
}

fn text(context: &Context<'_>) -> Option<String> {
    match context.get_raw(0) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        // As SQLite writes it: 3.0, not 3.
        ValueRef::Real(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Some(format!("{number:.1}"))
        }
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
