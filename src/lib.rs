//! PatinaDB: an embeddable, crash-safe object database whose compaction is a decay engine.
//!
//! Objects that nobody reads lose fidelity in stages (hot, warm, cold, trace, purged), each measured and recorded,
//! so that storage stays within what its owner will pay for; reading an object keeps it alive longer. Everything can
//! be asked in SQL.
//!
//! ```
//! use patinadb::{ListFilter, Patina, TickOptions};
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("data");
//!
//! let db = Patina::open(&path)?;
//! db.put("notes/copper.txt", b"Copper turns green.")?;
//!
//! db.tick(&TickOptions::default())?; // nothing is due yet
//! for row in db.query("SELECT name, stage FROM objects WHERE name STARTSWITH ?", ["notes/"])? {
//!     assert_eq!(row.get("stage"), Some(&patinadb::Value::Integer(0)));
//! }
//! # Ok::<(), patinadb::Error>(())
//! ```
//!
//! This crate is the facade: [`Patina`] opens a database and gives a method for each thing people do with it. The
//! layers below are crates of their own, re-exported whole: [`storage`] (ordered durable bytes), [`codecs`] (bytes to
//! smaller bytes), [`objects`] (the life cycle), [`query`] (SQL).

mod builder;
mod clock;
mod error;
mod params;
mod patina;
mod rows;
mod salvage;

/// The README's example, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use patina_codecs::Kind;
pub use patina_objects::{
    Access, AppliesTo, Budget, BudgetPlace, BudgetReport, BudgetStatus, Clock, DEFAULT_TENANT, ErrorKind,
    Explanation, Forecast, HistoryRow, ListFilter, ManualClock, Object, ObjectId, ObjectInfo, ObjectReader,
    ObjectStore, PlannedMove, Policy, Protection, PutOptions, Reason, SchedulerOptions, SchedulerStatus,
    Stage, StoreOptions, Sum, TickOptions, TickReport, Timestamp, Totals, days,
};
pub use patina_query::{Session, SessionOptions, Value};
pub use patina_storage::{Db, Durability, Keyspace, MemVfs, Options, Snapshot, StdVfs, Vfs, WriteBatch};

pub use self::builder::Builder;
pub use self::clock::SystemClock;
pub use self::error::{Error, Result};
pub use self::params::Params;
pub use self::patina::Patina;
pub use self::rows::{Row, Rows};
pub use self::salvage::Salvaged;
pub use {
    patina_codecs as codecs, patina_objects as objects, patina_query as query, patina_storage as storage,
};
