//! Blob files: large values outside the LSM, in files of one bin each.
//!
//! A blob file is written from front to back while it is *open* and never again once it is *sealed*. It can be read without the
//! LSM: every record names its keyspace and key, and a sealed file ends with an index of its records. What the file cannot
//! say is which records are still wanted; that is what the references in the LSM say, and only they.
//!
//! An open file has no index. After a crash its records are read from the front up to the first that is not whole; the
//! rest was never acknowledged, and is cut off before the file is sealed.
//!
//! A small value is one record, read with one read. A large one is a record of chunks (`stream.rs`), of which nobody holds more
//! than one chunk. All records of a file are values of one keyspace.

mod bulk;
mod file;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing;
mod recovery;
mod stream;
mod stream_format;
mod verify;

pub(crate) use bulk::BlobFileWriter;
pub(crate) use file::{BlobFile, Identity, SealError};
pub(crate) use format::{Record, total_bytes as record_bytes};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzzing::{files_with, read_everything};
pub(crate) use stream::{Chunks, StreamAppend};
pub(crate) use stream_format::CHUNK_BYTES;

/// Bytes before the first record.
pub(crate) const FILE_HEADER_BYTES: u64 = format::HEADER_BYTES as u64;

#[cfg(test)]
mod tests;
