//! The file system, as a trait: every byte that storage reads or writes passes here.
//!
//! [`StdVfs`] is the operating system's. [`MemVfs`] keeps files in memory, knows which bytes and directory entries were synced, can crash
//! (forgetting a share of the rest), can fail at the n-th call ([`Fault`]) and can be watched ([`VfsHooks`]): tests of durability run on it.
//!
//! The contract of an implementation:
//! - a file that was removed stays readable through handles that are open (readers may be using it);
//! - bytes are durable after [`VfsFile::sync`], names after [`Vfs::sync_dir`], and only then;
//! - [`Vfs::rename`] replaces the target atomically.

mod fault;
mod hooks;
mod mem;
mod std_fs;

pub use fault::Fault;
pub use hooks::{VfsCall, VfsHooks};
pub use mem::MemVfs;
pub use std_fs::StdVfs;

use crate::error::{Error, Result};
use std::io;
use std::path::Path;

/// Makes a directory, with its parents, and its name durable: what is in a directory is lost with it, however often it was synced.
pub(crate) fn make_dir(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let is_missing = |dir: &&Path| vfs.list(dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    // Its own name also if it is there: an earlier call may have ended before it was durable.
    let others = dir.ancestors().skip(1).take_while(is_missing).count();
    vfs.create_dir_all(dir).map_err(|source| Error::io("make the directory", dir, source))?;
    let named = dir.ancestors().filter(|dir| dir.file_name().is_some()).take(1 + others);
    for parent in named.filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match vfs.sync_dir(parent) {
            // Who may not read a directory cannot sync it; what is in it can be used all the same.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(|source| Error::io("sync", parent, source))?,
        }
    }
    Ok(())
}

/// A file system. See the module for what an implementation must keep.
///
/// ```
/// # use patina_storage::*;
/// # use std::path::Path;
/// # let vfs = MemVfs::new();
/// vfs.create_dir_all(Path::new("dir"))?;
/// vfs.create(Path::new("dir/a"))?.write_all_at(b"bytes", 0)?;
/// vfs.hard_link(Path::new("dir/a"), Path::new("dir/b"))?;
/// vfs.rename(Path::new("dir/a"), Path::new("dir/c"))?;
/// vfs.remove(Path::new("dir/b"))?;
/// vfs.sync_dir(Path::new("dir"))?;
/// assert_eq!(vfs.list(Path::new("dir"))?, ["c"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Vfs: Send + Sync + 'static {
    /// Makes a directory and its parents; no error if it is there.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes an empty file for reading and writing, replacing one of that name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;
    /// Opens a file for reading, and for writing if its permissions allow that.
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;
    /// The names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Renames a file, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be free. What may be written to under either name is never linked.
    ///
    /// # Errors
    /// `Unsupported`, as by default, where there are no hard links: the caller copies.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock of a file, made if missing, and writes `owner` into it.
    /// `Ok(Err(text))`: somebody else holds it, and wrote `text`.
    fn lock(&self, path: &Path, owner: &str) -> io::Result<std::result::Result<Box<dyn VfsLock>, String>>;
}

/// An open file, read and written at offsets, from any thread.
///
/// ```
/// # use patina_storage::*;
/// # use std::path::Path;
/// # let vfs = MemVfs::new();
/// let file = vfs.create(Path::new("a"))?;
/// file.write_all_at(b"some bytes", 0)?;
/// file.truncate(4)?;
/// file.sync()?;
/// let mut bytes = [0; 4];
/// file.read_exact_at(&mut bytes, 0)?;
/// assert_eq!((&bytes, file.size()?), (b"some", 4));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait VfsFile: Send + Sync {
    /// Fills `buf` from `offset`; an end of file before that is `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, growing the file.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file's bytes and length durable.
    fn sync(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file off at `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

/// A held lock; dropping it lets go.
///
/// ```
/// # use patina_storage::*;
/// # use std::path::Path;
/// # let vfs = MemVfs::new();
/// let lock = vfs.lock(Path::new("LOCK"), "me")?;
/// assert!(lock.is_ok() && vfs.lock(Path::new("LOCK"), "you")?.is_err());
/// drop(lock);
/// assert!(vfs.lock(Path::new("LOCK"), "you")?.is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait VfsLock: Send + Sync {}
