//! Objects and their life cycle on top of `patina-storage`.
//!
//! # Problem
//!
//! Bytes that nobody reads should cost less and less, but never vanish at a stroke, never against somebody's will, and
//! never without a record. This crate keeps objects by name, their contents by hash, and takes each object through
//! five stages (hot, warm, cold, trace, purged) at a pace that its policy sets and its use slows down.
//!
//! # The life of an object
//!
//! `put` finds the type, chooses a policy, hashes the bytes and writes the blob, the row, the name, the reference and
//! the history in one atomic batch. `get` reads the bytes as they are now and leaves a mark in memory. `tick` writes
//! the marks, walks the due index, and has storage compact the blob files that hold what is due; storage asks us about
//! every record ([`patina_storage::BinOwner`]) and we answer with what it becomes. Every step is in the history, each
//! row chained to the one before by its hash.
//!
//! # Invariants
//!
//! - An object is wholly in one stage, after a crash at any point too; the smaller bytes are durable before the larger
//!   ones can go.
//! - Decay never overtakes a writer: what is overwritten, deleted, held, pinned or read while its transform runs is
//!   left as it is.
//! - What is pinned, held or within its minimum retention is never degraded, not by a forced tick either.
//! - Fidelity never rises by itself, and never falls without a history row.
//! - No clock, no randomness of its own: the same calls on a manual clock give the same bytes.
//!
//! # Example
//!
//! ```
//! use patina_objects::{Clock, ManualClock, ObjectStore, PutOptions, Stage, StoreOptions, TickOptions, Timestamp, days};
//! use std::sync::Arc;
//!
//! let dir = tempfile::tempdir()?;
//! let db = patina_storage::Db::open(dir.path(), patina_storage::Options::default())?;
//! let clock = ManualClock::new(Timestamp(0));
//! let store = ObjectStore::open(db, Arc::new(clock.clone()), StoreOptions::default())?;
//!
//! let text = "The lighthouse warns ships. ".repeat(200);
//! store.put("notes.txt", text.as_bytes(), &PutOptions::default())?;
//! clock.advance(days(61));
//! let report = store.tick(&TickOptions::default())?;
//! assert_eq!(report.moved, 1);
//! assert_eq!(store.stat("default", "notes.txt")?.stage, Stage::Warm);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod chain;
mod clock;
mod decay;
mod due;
mod error;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod guard;
mod heat;
mod keys;
mod model;
mod original;
mod plan;
mod policy;
mod rows;
mod scheduler;
mod store;
mod touches;
mod transform;
mod types;

pub use budget::{
    Blocked, BlockedObject, Budget, BudgetPlace, BudgetReport, BudgetStatus, NextStep, Protection, Step,
    Victims,
};
pub use clock::{Clock, ManualClock, Timestamp, days};
pub use due::{DueTime, Life, due_times};
pub use error::{Error, ErrorKind, Result};
pub use events::{EVENTS_WAITING_MAX, Event, Subscription};
pub use heat::Effective;
pub use model::{
    Access, DEFAULT_TENANT, Explanation, Forecast, ForecastDay, HistoryRow, ListFilter, Object, ObjectInfo,
    PlannedMove, PutOptions, StageMoves, StoreOptions, Sum, TickOptions, TickProgress, TickReport, Totals,
};
pub use patina_codecs::{Kind, Limits, MediaType, Params, PictureFormat, Registry, Transparency};
pub use policy::{AppliesTo, Policy};
pub use scheduler::{Scheduler, SchedulerOptions, SchedulerStatus};
pub use store::{History, MendReport, ObjectReader, ObjectStore, Objects};
pub use transform::{CodecTransform, Transform};
pub use types::{Hold, HoldId, ObjectId, Reason, Stage};
