//! The record log: the framing that the write-ahead log and the manifest share.
//!
//! Problem: after a crash the end of a log may be torn. A torn tail must be cut off silently (nothing in it was
//! acknowledged), while damage *before* something that was synced must be an error, never a silent cut. The
//! classic framing cannot tell them apart. So each chunk also carries the offset that was known to be synced when it was
//! written (as Pebble does): if a bad chunk at offset `o` is followed anywhere by a good chunk that says "synced up to
//! `s > o`", the bad chunk had been durable once, and the log is corrupt; otherwise it is a torn tail.
//!
//! Example: records A, B are synced, C is written, then the power fails. C's chunk, if it is whole, says "synced up to the
//! end of B". If B's bytes are bad, C proves corruption. If C's bytes are bad, nothing follows: torn, cut before C.
//!
//! A log that was closed cleanly ends with an empty record written after the last sync, so that even its last record
//! is covered.
//!
//! A log may keep room ahead of its records ([`LogWriter::reserving`], `reserve.rs`): zeros, which read as the end of the log and are given back when
//! it is finished.
//!
//! Complexity: reading is one pass; a bad chunk costs one scan of what follows.

mod format;
mod reader;
mod writer;

pub(crate) use reader::{LogReader, Tail};
pub(crate) use writer::{AppendError, LogFile, LogWriter};

#[cfg(test)]
mod tests;
