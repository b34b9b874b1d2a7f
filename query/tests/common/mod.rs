//! A store in memory with a clock of its own, and sessions over it.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use patina_objects::{ManualClock, ObjectStore, PutOptions, StoreOptions, TickOptions, Timestamp, days};
use patina_query::{Result, ResultSet, Session, SessionOptions, Value};
use patina_storage::{Db, MemVfs, Options};

/// 2024-01-01 00:00 UTC.
pub const START_MS: u64 = 1_704_067_200_000;

/// A database in memory.
pub struct World {
    pub vfs: Arc<MemVfs>,
    pub clock: ManualClock,
    pub store: ObjectStore,
}

impl World {
    pub fn new() -> Self {
        Self::open(Arc::new(MemVfs::new()), ManualClock::new(Timestamp(START_MS)))
    }

    pub fn open(vfs: Arc<MemVfs>, clock: ManualClock) -> Self {
        let shared = Arc::clone(&vfs);
        let db = Db::open_with(shared, Path::new("db"), Options::default()).expect("the database opens");
        let store =
            ObjectStore::open(db, Arc::new(clock.clone()), StoreOptions::default()).expect("the store opens");
        Self { vfs, clock, store }
    }

    /// Closes and opens again.
    pub fn reopen(self) -> Self {
        let (vfs, clock) = (Arc::clone(&self.vfs), self.clock.clone());
        drop(self);
        Self::open(vfs, clock)
    }

    pub fn session(&self) -> Session {
        Session::open(self.store.clone(), SessionOptions::default()).expect("a session opens")
    }

    pub fn put(&self, name: &str, text: &str) {
        self.store.put(name, text.as_bytes(), &PutOptions::default()).expect("the object is put");
    }

    /// `count` texts under `prefix`, each a little different.
    pub fn put_texts(&self, prefix: &str, count: usize) {
        let items = (0..count).map(|number| {
            let text = format!(
                "Number {number}. The lighthouse warns ships off the rocks. It has done so for years. "
            );
            (format!("{prefix}{number:04}.txt"), text.repeat(8).into(), PutOptions::default())
        });
        self.store.put_many(items).expect("the objects are put");
    }

    /// Lets `count` days pass and one tick happen.
    pub fn after_days(&self, count: u64) {
        self.clock.advance(days(count));
        self.store.tick(&TickOptions::default()).expect("the tick runs");
    }
}

/// The one result of one statement.
pub fn one(session: &mut Session, sql: &str) -> ResultSet {
    match session.query(sql, &[]) {
        Ok(mut results) if results.len() == 1 => results.remove(0),
        Ok(results) => panic!("{sql}: {} results", results.len()),
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// The rows, each value written shortly.
pub fn rows(session: &mut Session, sql: &str) -> Vec<String> {
    one(session, sql).rows.iter().map(|row| line(row)).collect()
}

/// `a|1|NULL`.
pub fn line(row: &[Value]) -> String {
    row.iter().map(shown).collect::<Vec<_>>().join("|")
}

pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

pub fn failure(session: &mut Session, sql: &str) -> patina_query::Error {
    let result: Result<_> = session.query(sql, &[]);
    match result {
        Ok(results) => panic!("{sql} did not fail: {results:?}"),
        Err(error) => error,
    }
}
