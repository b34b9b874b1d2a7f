//! SQL over PatinaDB: SQLite as the query engine, our tables as its virtual tables.
//!
//! A [`Session`] runs texts of SQL over one open [`patina_objects::ObjectStore`]. SQLite parses, plans, sorts, joins
//! and computes; every table it sees is a virtual table of ours, so `SELECT FROM objects WHERE stage = 2` becomes a
//! range of the stage index, and `INSERT INTO users …` one atomic batch of the storage engine.
//!
//! ```
//! # use patina_objects::{ManualClock, ObjectStore, StoreOptions, Timestamp};
//! # use patina_query::{Session, SessionOptions, Value};
//! # use patina_storage::{Db, MemVfs, Options};
//! # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
//! # let clock = std::sync::Arc::new(ManualClock::new(Timestamp(0)));
//! # let store = ObjectStore::open(db, clock, StoreOptions::default())?;
//! let mut session = Session::open(store, SessionOptions::default())?;
//! session.query("CREATE TABLE users (name, age INTEGER DEFAULT 18)", &[])?;
//! session.query("INSERT INTO users (name) VALUES ('Alice'), ('Bob')", &[])?;
//! let found = session.query("SELECT _id, name, age FROM users WHERE name STARTSWITH 'A'", &[])?;
//! assert_eq!(found[0].rows, [[Value::Integer(1), Value::from("Alice"), Value::Integer(18)]]);
//!
//! let error = session.query("SELECT nmae FROM users", &[]).unwrap_err();
//! assert_eq!(error.to_string(), "there is no column nmae; did you mean name?\nSELECT nmae FROM users\n       ^^^^");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a statement: `session.rs` → `dialect/` (short forms into SQL) → SQLite → `vtab.rs` (the one unsafe
//! file) → `plan.rs` (which index) → `tables/` or `users/` → rows back through the [`Sink`]. An error goes through
//! `diagnose.rs`, which finds the place in what was typed.

mod commands;
mod complete;
mod connection;
mod diagnose;
mod dialect;
mod duration;
mod error;
mod explain;
mod functions;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod lex;
mod names;
mod nearest;
mod plan;
mod selection;
mod session;
mod shared;
mod size;
mod table;
mod tables;
mod users;
mod value;
mod vtab;

pub use error::{Caret, Error, ErrorKind, Result};
pub use lex::{Lexeme, LexemeClass, lex};
pub use names::Names;
pub use session::{InterruptHandle, Session, SessionOptions};
pub use users::mend::{TableMendReport, mend_tables};
pub use value::{Collector, Column, ColumnKind, Outcome, ResultSet, Sink, Value};
