//! A file system in memory that can crash and fail.
//!
//! It keeps two images: what the running program sees, and what would survive a power loss, with all that happened in between.
//! [`VfsFile::sync`](crate::VfsFile::sync) brings a file's bytes to the second, [`Vfs::sync_dir`](crate::Vfs::sync_dir) its name.
//!
//! - **Crashes.** [`MemVfs::crash`] gives a new file system of the second image, [`MemVfs::kill`] one of the first, [`MemVfs::crash_with`] one
//!   that lies between the two by chance: a seeded share of the blocks and names that were not synced has survived, in no order. Images
//!   share their bytes with the original until one of them changes, so they are cheap: a hook ([`MemVfs::hooked`]) may take one at each call
//!   of a running program.
//! - **Faults.** [`MemVfs::inject`] makes the n-th call of some kind fail, or all from there on; [`MemVfs::fail_after`] and
//!   [`MemVfs::fill_after`] are the two that are wanted most. [`MemVfs::limit_space`] makes the disk small: what is removed makes room again.
//!
//! | file | what it knows |
//! |---|---|
//! | `content.rs` | a file's bytes through time |
//! | `disk.rs` | names through time, and the space that is taken |
//! | `dice.rs` | luck |
//! | `calls.rs` | the file system's calls |

mod calls;
mod content;
mod dice;
mod disk;

use super::fault::{Armed, Failure, Fault};
use super::hooks::{VfsCall, VfsHooks};
use dice::Dice;
use disk::Disk;
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct Shared {
    /// Held by all that changes a name or a byte: a crash comes between two changes, whatever the files.
    disk: Mutex<Disk>,
    writes: AtomicU64,
    fault: Mutex<Option<Armed>>,
    space_bytes_max: AtomicU64,
}

/// A file system in memory; clones share it. See the module.
///
/// ```
/// # use patina_storage::*;
/// # use std::path::Path;
/// # let vfs = MemVfs::new();
/// let file = vfs.create(Path::new("a"))?;
/// file.write_all_at(b"bytes", 0)?;
/// file.sync()?;
/// // Its name was not synced.
/// assert!(vfs.crash().open(Path::new("a")).is_err());
/// assert!(vfs.kill().open(Path::new("a")).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct MemVfs {
    shared: Arc<Shared>,
    hooks: Option<Arc<dyn VfsHooks>>,
}

impl Default for MemVfs {
    fn default() -> Self {
        Self::new()
    }
}

impl MemVfs {
    /// An empty one.
    ///
    /// ```
    /// assert_eq!(patina_storage::MemVfs::new().writes(), 0);
    /// ```
    pub fn new() -> Self {
        Self::of(Disk::default())
    }

    fn of(disk: Disk) -> Self {
        let shared = Shared {
            disk: Mutex::new(disk),
            writes: AtomicU64::new(0),
            fault: Mutex::default(),
            space_bytes_max: AtomicU64::new(u64::MAX),
        };
        Self { shared: Arc::new(shared), hooks: None }
    }

    /// The same files, through calls that pass a test's hooks.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// struct Counts(Arc<AtomicU64>);
    /// impl VfsHooks for Counts {
    ///     fn after(&self, call: VfsCall, _: &Path) {
    ///         self.0.fetch_add(u64::from(call == VfsCall::Sync), Ordering::SeqCst);
    ///     }
    /// }
    /// let (vfs, syncs) = (MemVfs::new(), Arc::new(AtomicU64::new(0)));
    /// vfs.hooked(Counts(syncs.clone())).create(Path::new("a"))?.sync()?;
    /// vfs.open(Path::new("a"))?.sync()?;
    /// assert_eq!(syncs.load(Ordering::SeqCst), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn hooked(&self, hooks: impl VfsHooks) -> Self {
        Self { shared: self.shared.clone(), hooks: Some(Arc::new(hooks)) }
    }

    /// What a power loss now leaves at least, as a file system of its own: only synced bytes under synced names.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// let file = vfs.create(Path::new("a"))?;
    /// file.sync()?;
    /// assert!(vfs.crash().open(Path::new("a")).is_err());
    /// vfs.sync_dir(Path::new(""))?;
    /// assert!(vfs.crash().open(Path::new("a")).is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn crash(&self) -> Self {
        Self::of(self.shared.disk.lock().crashed(None))
    }

    /// What a power loss now may leave: what was synced, and a share of what was not, which depends on `seed` alone. Of unsynced bytes each
    /// block of 512 or 4096 bytes survives or does not, and so do the file's length, and each creation, renaming, link and removal: what came
    /// later may be there without what came before. The image of a moment after a write is also one of the middle of that write.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// let vfs = MemVfs::new();
    /// let file = vfs.create(Path::new("a"))?;
    /// vfs.sync_dir(Path::new(""))?;
    /// file.write_all_at(&[1; 1000], 0)?;
    /// let images: Vec<_> = (0..100).map(|seed| vfs.crash_with(seed).bytes(Path::new("a")).unwrap()).collect();
    /// assert!(images.contains(&vec![]) && images.contains(&vec![1; 1000]));
    /// // The second block was written back, the first was not.
    /// assert!(images.iter().any(|bytes| bytes.starts_with(&[0]) && bytes.ends_with(&[1])));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn crash_with(&self, seed: u64) -> Self {
        Self::of(self.shared.disk.lock().crashed(Some(Dice::new(seed))))
    }

    /// What the death of the process now would leave: all that was written, synced or not.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.create(Path::new("a"))?.write_all_at(b"bytes", 0)?;
    /// assert_eq!(vfs.kill().bytes(Path::new("a"))?, b"bytes");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill(&self) -> Self {
        Self::of(self.shared.disk.lock().killed())
    }

    /// Calls so far that change something: those of [`VfsCall::CHANGES`].
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.create(Path::new("a"))?.write_all_at(b"bytes", 0)?;
    /// assert_eq!(vfs.writes(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn writes(&self) -> u64 {
        self.shared.writes.load(Ordering::SeqCst)
    }

    /// Makes calls fail from now on, in place of what was injected before.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::{io::ErrorKind, path::Path};
    /// # let vfs = MemVfs::new();
    /// vfs.create(Path::new("a"))?.write_all_at(b"bytes", 0)?;
    /// vfs.inject(Fault { calls: &[VfsCall::Read], after: 0, lasts: false, error: ErrorKind::UnexpectedEof, halfway: true });
    /// let mut bytes = [0; 4];
    /// assert_eq!(vfs.open(Path::new("a"))?.read_exact_at(&mut bytes, 0).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    /// assert!(vfs.has_struck() && &bytes == b"by\0\0");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn inject(&self, fault: Fault) {
        *self.shared.fault.lock() = Some(fault.into());
    }

    /// Lets `count` more changing calls pass, then fails every one.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.fail_after(1);
    /// let file = vfs.create(Path::new("a"))?;
    /// assert!(file.sync().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fail_after(&self, count: u64) {
        let (calls, error) = (VfsCall::CHANGES, io::ErrorKind::Other);
        self.inject(Fault { calls, after: count, lasts: true, error, halfway: false });
    }

    /// Lets `count` more calls that need space pass; then the disk is full: each of them fails, all else goes on.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// let file = vfs.create(Path::new("a"))?;
    /// vfs.fill_after(0);
    /// assert_eq!(file.write_all_at(b"bytes", 0).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    /// file.sync()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fill_after(&self, count: u64) {
        let (calls, error) = (VfsCall::NEED_SPACE, io::ErrorKind::StorageFull);
        self.inject(Fault { calls, after: count, lasts: true, error, halfway: false });
    }

    /// Ends what [`Self::inject`], [`Self::fail_after`] or [`Self::fill_after`] began.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.fail_after(0);
    /// assert!(vfs.create(Path::new("a")).is_err());
    /// vfs.heal();
    /// assert!(vfs.create(Path::new("a")).is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn heal(&self) {
        *self.shared.fault.lock() = None;
    }

    /// Whether a call has failed since the last [`Self::inject`], because of it.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.fail_after(0);
    /// assert!(!vfs.has_struck());
    /// vfs.create(Path::new("a")).map(drop).unwrap_err();
    /// assert!(vfs.has_struck());
    /// ```
    pub fn has_struck(&self) -> bool {
        self.shared.fault.lock().as_ref().is_some_and(Armed::has_struck)
    }

    /// Gives the disk a size: files may take this many bytes together, each in blocks of 512; `None`: any number. A write that does not fit
    /// writes what does, and fails. What is removed frees its space when its last handle is dropped.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.limit_space(Some(1024));
    /// vfs.create(Path::new("a"))?.write_all_at(&[1; 600], 0)?;
    /// let file = vfs.create(Path::new("b"))?;
    /// assert_eq!(file.write_all_at(&[2; 600], 0).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    /// vfs.remove(Path::new("a"))?;
    /// file.write_all_at(&[2; 600], 0)?;
    /// assert_eq!(vfs.used_bytes(), 1024);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.shared.space_bytes_max.store(bytes.unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Bytes that the files take, each in blocks of 512. O(files).
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.create(Path::new("a"))?.write_all_at(b"bytes", 0)?;
    /// assert_eq!(vfs.used_bytes(), 512);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn used_bytes(&self) -> u64 {
        self.shared.disk.lock().used_bytes()
    }

    /// Changes the live and the synced bytes of a file, as bit rot would.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.create(Path::new("a"))?.write_all_at(b"bytes", 0)?;
    /// vfs.damage(Path::new("a"), |bytes| bytes[0] ^= 1)?;
    /// assert_eq!(vfs.bytes(Path::new("a"))?, b"cytes");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.shared.disk.lock().file(path)?.content.lock().damage(change);
        Ok(())
    }

    /// A file's bytes as the running program sees them.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # use std::path::Path;
    /// # let vfs = MemVfs::new();
    /// vfs.create(Path::new("a"))?.write_all_at(b"bytes", 0)?;
    /// assert_eq!(vfs.bytes(Path::new("a"))?, b"bytes");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.shared.disk.lock().file(path)?.content.lock().live().to_vec())
    }

    /// Makes a call, with the hooks around it and the fault that is due. A call that fails halfway is told so.
    fn call<T>(&self, call: VfsCall, path: &Path, make: impl FnOnce(bool) -> io::Result<T>) -> io::Result<T> {
        if let Some(hooks) = &self.hooks {
            hooks.before(call, path)?;
        }
        if VfsCall::CHANGES.contains(&call) {
            self.shared.writes.fetch_add(1, Ordering::SeqCst);
        }
        let failure = self.shared.fault.lock().as_mut().and_then(|fault| fault.meet(call));
        let made = match failure {
            None => make(false)?,
            Some(Failure { error, halfway }) => {
                if halfway {
                    make(true)?;
                }
                return Err(error);
            }
        };
        if let Some(hooks) = &self.hooks {
            hooks.after(call, path);
        }
        Ok(made)
    }
}
