//! What can be called on a file system, and what tests put in between.

use std::io;
use std::path::Path;

/// A method of [`Vfs`](crate::Vfs) or [`VfsFile`](crate::VfsFile), or the dropping of a handle.
///
/// ```
/// use patina_storage::VfsCall;
/// assert!(VfsCall::CHANGES.contains(&VfsCall::Sync) && !VfsCall::CHANGES.contains(&VfsCall::Read));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VfsCall {
    /// [`Vfs::create_dir_all`](crate::Vfs::create_dir_all)
    CreateDirAll,
    /// [`Vfs::create`](crate::Vfs::create)
    Create,
    /// [`Vfs::open`](crate::Vfs::open)
    Open,
    /// [`Vfs::list`](crate::Vfs::list)
    List,
    /// [`Vfs::rename`](crate::Vfs::rename)
    Rename,
    /// [`Vfs::hard_link`](crate::Vfs::hard_link)
    HardLink,
    /// [`Vfs::remove`](crate::Vfs::remove)
    Remove,
    /// [`Vfs::sync_dir`](crate::Vfs::sync_dir)
    SyncDir,
    /// [`Vfs::lock`](crate::Vfs::lock)
    Lock,
    /// [`VfsFile::read_exact_at`](crate::VfsFile::read_exact_at)
    Read,
    /// [`VfsFile::write_all_at`](crate::VfsFile::write_all_at)
    Write,
    /// [`VfsFile::sync`](crate::VfsFile::sync)
    Sync,
    /// [`VfsFile::size`](crate::VfsFile::size)
    Size,
    /// [`VfsFile::truncate`](crate::VfsFile::truncate)
    Truncate,
    /// A handle that [`Vfs::create`](crate::Vfs::create) gave is dropped.
    CloseCreated,
    /// A handle that [`Vfs::open`](crate::Vfs::open) gave is dropped.
    CloseOpened,
}

impl VfsCall {
    /// The calls that change something, or make it durable. Between two of these there is nothing new for a crash to lose.
    ///
    /// ```
    /// use patina_storage::VfsCall;
    /// assert!(VfsCall::NEED_SPACE.iter().all(|call| VfsCall::CHANGES.contains(call)));
    /// ```
    pub const CHANGES: &'static [Self] = &[
        Self::CreateDirAll,
        Self::Create,
        Self::Rename,
        Self::HardLink,
        Self::Remove,
        Self::SyncDir,
        Self::Write,
        Self::Sync,
        Self::Truncate,
    ];
    /// The calls that a full disk refuses.
    ///
    /// ```
    /// use patina_storage::VfsCall;
    /// assert!(!VfsCall::NEED_SPACE.contains(&VfsCall::Remove));
    /// ```
    pub const NEED_SPACE: &'static [Self] = &[Self::CreateDirAll, Self::Create, Self::HardLink, Self::Write];
    /// The calls that look at what is there.
    ///
    /// ```
    /// use patina_storage::VfsCall;
    /// assert!(VfsCall::LOOKS.iter().all(|call| !VfsCall::CHANGES.contains(call)));
    /// ```
    pub const LOOKS: &'static [Self] = &[Self::Open, Self::List, Self::Read, Self::Size];
}

/// What a test does at the calls of [`MemVfs::hooked`](crate::MemVfs::hooked). The path is that of the file or directory; the old one, where
/// there are two. Called without a lock: it may use the file system, look at what a crash would leave, wait.
///
/// ```
/// use patina_storage::*;
/// use std::{io, path::Path};
///
/// struct Linkless;
///
/// impl VfsHooks for Linkless {
///     fn before(&self, call: VfsCall, _: &Path) -> io::Result<()> {
///         if call == VfsCall::HardLink { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
///     }
/// }
///
/// let vfs = MemVfs::new().hooked(Linkless);
/// vfs.create(Path::new("a"))?;
/// assert!(vfs.hard_link(Path::new("a"), Path::new("b")).is_err());
/// # Ok::<(), io::Error>(())
/// ```
pub trait VfsHooks: Send + Sync + 'static {
    /// An error is the call's result, and the call is not made. Not called for the dropping of a handle, which cannot fail.
    fn before(&self, _call: VfsCall, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    /// Only for a call that succeeded.
    fn after(&self, _call: VfsCall, _path: &Path) {}
}
