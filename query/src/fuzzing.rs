//! What the fuzz target (`fuzz/`) and the test of its inputs call: arbitrary text as SQL. Whatever is wrong with it is an error that points into the
//! text; a panic, or a session that is of no use afterwards, is a bug.
//!
//! Only with the feature `fuzzing`, and in this crate's own tests.

use crate::session::{Session, SessionOptions};
use patina_objects::{ManualClock, ObjectStore, PutOptions, StoreOptions, Timestamp};
use patina_storage::{Db, MemVfs, Options};
use std::path::Path;
use std::sync::Arc;

/// Runs it as the statements of a session over a small database. Statements that may go on for ever are left out.
pub fn sql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lower = text.to_lowercase();
    let _ = Session::is_complete(text);
    let _ = crate::lex(text);
    if ["recursive", "series", "blob("].iter().any(|word| lower.contains(word))
        || lower.matches("from").count() > 4
    {
        return;
    }
    let run = || -> Result<(), Box<dyn std::error::Error>> {
        let options = Options { background_threads: 0, ..Options::default() };
        let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options)?;
        let clock = ManualClock::new(Timestamp(1_704_067_200_000));
        let store = ObjectStore::open(db, Arc::new(clock), StoreOptions::default())?;
        store.put("o.txt", b"An object. It has two sentences.", &PutOptions::default())?;
        let options =
            SessionOptions { value_bytes_max: 1 << 20, statement_bytes_max: 1 << 20, ..Default::default() };
        let mut session = Session::open(store, options)?;
        session.query("CREATE TABLE t (a UNIQUE, name); INSERT INTO t VALUES (1, 'x'), (2, NULL)", &[])?;
        if let Err(error) = session.query(text, &[])
            && let Some(caret) = error.caret()
        {
            assert!(caret.line <= text.matches('\n').count() + 1, "{text}: {error}");
            assert!(caret.column <= caret.excerpt.chars().count() + 1, "{text}: {error}");
        }
        // A text may end inside a transaction.
        let _ = session.query("ROLLBACK", &[]);
        let one = session.query("SELECT 1", &[])?;
        assert_eq!(one.len(), 1, "{text}: the session goes on");
        Ok(())
    };
    let outcome = run();
    assert!(outcome.is_ok(), "{text}: {outcome:?}");
}

#[cfg(test)]
mod tests;
