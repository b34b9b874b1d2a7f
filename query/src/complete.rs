//! Whether a text that is being typed is whole.

use rusqlite::{Connection, Error as SqliteError};

use crate::dialect::{self, Parsed, TokenKind};

/// See [`crate::Session::is_complete`].
pub(crate) fn is_complete(sql: &str) -> bool {
    let open_comment = dialect::tokenize(sql)
        .last()
        .is_some_and(|token| token.kind == TokenKind::Comment { terminated: false });
    if open_comment {
        return false;
    }
    let statements = dialect::split(sql);
    let Some(last) = statements.last() else { return true };
    if last.terminated {
        return true;
    }
    match dialect::parse(sql, last) {
        Err(error) => !error.incomplete,
        Ok(Parsed::Command(_)) => true,
        Ok(Parsed::Sql(parsed)) => !breaks_off(&parsed.rewritten.text),
    }
}

fn breaks_off(sql: &str) -> bool {
    let Ok(scratch) = Connection::open_in_memory() else { return false };
    match scratch.prepare(sql) {
        Err(
            SqliteError::SqliteFailure(_, Some(message)) | SqliteError::SqlInputError { msg: message, .. },
        ) => message == "incomplete input" || message == "no tables specified",
        _ => false,
    }
}
