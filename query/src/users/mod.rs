//! Tables that people create.
//!
//! SQLite parses their definitions ([`schema`]), we keep them ([`catalogue`]), store their rows ([`format`]) and
//! enforce what they declare ([`writes`]); [`table`] shows one of them to SQLite. [`mend`] makes what a salvage left agree with itself.
//!
//! Invariants:
//! - a statement's changes are gathered in memory and written as **one batch**, or not at all;
//! - the batch is conditional on every row, key and definition it relied on being as the statement's snapshot saw
//!   it, so two sessions cannot undo each other's work: the second gets a conflict and is run again;
//! - `_id` is given by a counter a table, from 1, and never given twice;
//! - a dropped table's number is never used again, so rows left behind by a crash belong to nobody, and are removed
//!   when the next session opens.

pub(crate) mod affinity;
pub(crate) mod catalogue;
pub(crate) mod format;
pub(crate) mod mend;
pub(crate) mod schema;
pub(crate) mod table;
mod writes;
