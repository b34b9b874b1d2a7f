//! The ordered, durable bytes under PatinaDB: an LSM-tree with blob files.
//!
//! A [`Db`] holds *keyspaces* of ordered keys. Writes go to a log and a memtable; full memtables become sorted tables, which
//! leveled compaction merges. Large values are *blobs*: they lie in blob files, each of one [`Bin`] (a class and a due
//! time), and the tree keeps references to them. [`Db::compact_bin`] reads such a file in sequence and asks its
//! [`BinOwner`] what becomes of each record. This crate knows nothing of objects, stages, images or SQL.
//!
//! ```
//! use patina_storage::{Db, KeyspaceOptions, MemVfs, Options};
//! # fn main() -> patina_storage::Result<()> {
//! let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
//! let users = db.keyspace("users", KeyspaceOptions::default())?;
//! users.put("alice", "30")?;
//! users.put("bob", "25")?;
//!
//! let before = db.snapshot();
//! users.delete("alice")?;
//! assert_eq!(users.get(b"alice")?, None);
//! assert_eq!(before.get(&users, b"alice")?.unwrap(), "30");
//!
//! let names: Vec<_> = users.range(..).map(|entry| Ok(entry?.key().clone())).collect::<patina_storage::Result<_>>()?;
//! assert_eq!(names, ["bob"]);
//! # Ok(())
//! # }
//! ```
//!
//! The life of a `put`: `db/write.rs` (requirements, log, memtable) → `db/background.rs` → `compaction/flush.rs` → `sst/` →
//! `compaction/picker.rs` → `compaction/job.rs`. Of a `get`: `db/read.rs` → `memtable.rs` → `version.rs` → `sst/table.rs` → `blob/file.rs`.
//! What counts as part of the database is decided in one place: `manifest/`.

mod batch;
mod blob;
mod clock;
mod coding;
mod compaction;
mod compress;
mod db;
mod error;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod group_sync;
mod log;
mod manifest;
mod memtable;
mod merge;
mod open_files;
mod options;
mod ranges;
mod reserve;
mod skiplist;
mod sst;
mod types;
mod version;
mod vfs;

pub use batch::{KEY_BYTES_MAX, PendingBlob, WriteBatch};
pub use clock::{Clock, ManualClock, SystemClock};
pub use compaction::{BinOwner, BinReport, Judgement, LevelTraffic, LiveRecord, NewBlob, NewValue};
pub use db::{
    BlobFileInfo, CheckpointReport, Db, Entry, Ingest, IngestReport, Iter, Keyspace, KeyspaceStats, Loss,
    Problem, SalvageReport, Savepoint, Snapshot, StallStats, Stats, Transaction, TransactionIter,
    VerifyProgress, VerifyReport,
};
pub use db::{BlobWriter, ValueReader};
pub use error::{Error, ErrorKind, Result};
pub use events::{Event, EventListener};
pub use options::{KeyspaceOptions, LogRecovery, Options, TableCompression};
pub use types::{Bin, BlobLayout, BlobRef, Compression, Durability, FileId, Seqno};
pub use vfs::{Fault, MemVfs, StdVfs, Vfs, VfsCall, VfsFile, VfsHooks, VfsLock};
