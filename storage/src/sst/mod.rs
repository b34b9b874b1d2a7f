//! Sorted tables: immutable files of one keyspace's entries in internal-key order.
//!
//! A table is read through three steps: the filter says whether the key can be there at all; the two-level index finds
//! the one data block that can hold it; the block is searched. All of these go through the block cache and count in its budget, file
//! handles through that of open files: memory and descriptors do not grow with the number of tables, but for their properties.
//!
//! Each block's checksum is seeded with the file's id and the block's offset, so that a block that was written to the wrong place, or
//! a file that was swapped for another, fails like a damaged one.

mod block;
mod filter;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing;
mod iter;
mod probe;
mod salvage;
mod table;
mod verify;
mod writer;

pub(crate) use block::{BlockCache, block_cache};
pub(crate) use format::Properties;
#[cfg(test)]
pub(crate) use fuzzing::payloads;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzzing::{read_everything, tables_with};
pub(crate) use iter::TableIter;
pub(crate) use probe::Probe;
pub(crate) use salvage::{Gap, Remains};
pub(crate) use table::{Caching, Table};
pub(crate) use verify::Found;
pub(crate) use writer::{TableWriter, TableWriterOptions};

#[cfg(test)]
mod tests;
