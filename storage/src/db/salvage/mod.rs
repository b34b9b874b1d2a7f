//! Salvaging: a new database of all that can still be read of one that is damaged.
//!
//! The old one is only read. What belongs to it the manifest says; without one, all tables, blob files and logs that are there are taken together,
//! and the tables say their keyspaces. Then each keyspace is merged, key by key, from all that can be read (`source.rs`), and its newest versions
//! are written through an ordinary new database (`copy.rs`): whatever was wrong with the old one's files, the new one's are right.
//!
//! The newest version wins, by sequence number. If it is there and its bytes are not, the key is lost: an older version would be a wrong answer. If
//! the block that it stood in is lost, nobody knows that it was there, and an older one, or a deleted one, may come back; so every gap counts as
//! a loss. In such a gap the blob files are asked, too: their records name their keys.
//!
//! What cannot be known without a manifest: the place of ingested tables among the writes (they count as the oldest), the options of keyspaces (the
//! default), the names of keyspaces that no table was written of, whether a table or keyspace had been dropped.

mod copy;
mod source;

use super::Db;
use super::open::{list_database, take_lock_to_read};
use super::verify::VerifyProgress;
use crate::error::{Error, Result};
use crate::vfs::Vfs;
use bytes::Bytes;
use copy::Copy;
use source::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Losses kept one by one; more are only counted.
const LOSSES_MAX: usize = 1000;

/// Something that could not be salvaged.
///
/// ```
/// # use patina_storage::*;
/// # let vfs = std::sync::Arc::new(MemVfs::new());
/// # Db::open_with(vfs.clone(), "db".as_ref(), Options::default())?.close()?;
/// for loss in Db::salvage(vfs, "db".as_ref(), "copy".as_ref(), |_| {})?.losses {
///     println!("{:?} at {:?}, keyspace {:?}: {}", loss.file, loss.offset, loss.keyspace, loss.message);
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The damaged file, if it is about one.
    pub file: Option<PathBuf>,
    /// Where in the file, if known.
    pub offset: Option<u64>,
    /// The keyspace of what is lost, if known.
    pub keyspace: Option<String>,
    /// The keys of what is lost, if known: all of it lies between these two, or is the one key that both are.
    pub keys: Option<(Bytes, Bytes)>,
    /// What is wrong, in a sentence that names file and offset too.
    pub message: String,
}

/// What [`Db::salvage`] copied, and what it could not.
///
/// ```
/// # use patina_storage::*;
/// # let vfs = std::sync::Arc::new(MemVfs::new());
/// # let db = Db::open_with(vfs.clone(), "db".as_ref(), Options::default())?;
/// db.keyspace("users", KeyspaceOptions::default())?.put("alice", "30")?;
/// db.close()?;
/// let report = Db::salvage(vfs, "db".as_ref(), "copy".as_ref(), |_| {})?;
/// assert_eq!((report.keyspaces, report.keys, report.losses_total), (1, 1, 0));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Keyspaces in the copy.
    pub keyspaces: u64,
    /// Keys in the copy.
    pub keys: u64,
    /// Bytes of keys and values copied.
    pub bytes: u64,
    /// Keys whose reference was lost, and whose value a blob file still had: it may be an older one.
    pub keys_without_reference: u64,
    /// What could not be read; the first thousand.
    pub losses: Vec<Loss>,
    /// How many losses there are in all.
    pub losses_total: u64,
    /// What is damaged or unusual, and cost nothing.
    pub notes: Vec<String>,
}

impl SalvageReport {
    fn lose(&mut self, error: &Error, keyspace: Option<&str>, keys: Option<(Bytes, Bytes)>) {
        self.losses_total += 1;
        if self.losses.len() < LOSSES_MAX {
            let location = error.location();
            self.losses.push(Loss {
                file: location.map(|(path, _)| path.to_owned()),
                offset: location.and_then(|(_, offset)| offset),
                keyspace: keyspace.map(str::to_owned),
                keys,
                message: error.to_string(),
            });
        }
    }
}

impl Db {
    /// Copies all that can still be read of a database into a new one, in `dest`, which must be missing or empty. The old one is not changed, but
    /// for its `LOCK`; it need not be one that can be opened. Goes on past every damage, and says what could not be read.
    ///
    /// The copy holds the newest versions, no snapshots' older ones. Where tables are damaged, or there is no manifest, deleted keys may come
    /// back, and old versions of keys whose newest one is lost.
    /// Complexity: one pass over tables, logs and the blobs that are referred to. Memory: the logs, a block of each table, a batch, a chunk.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = std::sync::Arc::new(MemVfs::new());
    /// # let db = Db::open_with(vfs.clone(), "db".as_ref(), Options::default())?;
    /// db.keyspace("users", KeyspaceOptions::default())?.put("alice", "30")?;
    /// db.flush()?;
    /// db.close()?;
    /// // The manifest is lost: the tables still say whose they are.
    /// vfs.remove(Path::new("db/CURRENT")).unwrap();
    /// assert!(Db::open_with(vfs.clone(), "db".as_ref(), Options::default()).is_err());
    ///
    /// let report = Db::salvage(vfs.clone(), "db".as_ref(), "copy".as_ref(), |_| {})?;
    /// assert_eq!(report.losses_total, 1);
    /// let copy = Db::open_with(vfs, "copy".as_ref(), Options::default())?;
    /// assert_eq!(copy.keyspace("users", KeyspaceOptions::default())?.get(b"alice")?.unwrap(), "30");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`NotADatabase`](crate::ErrorKind::NotADatabase) if there is none, [`Locked`](crate::ErrorKind::Locked) if it is open, [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if `dest` holds
    /// something, and what the file system refuses in `dest`. Damage is no error: it is the report.
    pub fn salvage(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        dest: &Path,
        mut progress: impl FnMut(&VerifyProgress<'_>),
    ) -> Result<SalvageReport> {
        let names = list_database(&*vfs, dir)?;
        let _lock = take_lock_to_read(&*vfs, dir)?;
        super::checkpoint::prepare(&*vfs, dest)?;
        let mut report = SalvageReport::default();
        let source = Source::find(vfs.clone(), dir, &names, &mut report);
        let mut copy = Copy::begin(vfs, dest, &mut report, &mut progress)?;
        copy.run(source)?;
        copy.finish()?;
        Ok(report)
    }
}
