//! A file system in memory that can crash and fail.
//!
//! It keeps two images: what the running program sees, and what would survive a power loss. [`VfsFile::sync`] copies
//! a file's bytes to the second, [`Vfs::sync_dir`] its name. [`MemVfs::crash`] gives a new file system holding only
//! the second image, so a test may crash after every I/O call of a script and reopen. [`MemVfs::fail_after`] makes
//! every later write, sync, rename or removal fail once a number of them has passed; [`MemVfs::fill_after`] makes the disk full.

use super::{Vfs, VfsFile, VfsLock};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Content {
    live: Vec<u8>,
    synced: Vec<u8>,
}

type File = Arc<Mutex<Content>>;

#[derive(Default)]
struct Image {
    live: BTreeMap<PathBuf, File>,
    synced: BTreeMap<PathBuf, File>,
    dirs: HashSet<PathBuf>,
    locked: HashSet<PathBuf>,
}

#[derive(Default)]
struct Shared {
    /// Held by all that changes a name or a byte: a crash comes between two changes, whatever the files.
    image: Mutex<Image>,
    writes: AtomicU64,
    writes_max: AtomicU64,
    /// From this many calls on, what needs space fails.
    full_from: AtomicU64,
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
pub struct MemVfs(Arc<Shared>);

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
        let never = || AtomicU64::new(u64::MAX);
        let shared = Shared { writes_max: never(), full_from: never(), ..Shared::default() };
        Self(Arc::new(shared))
    }

    /// What a power loss now would leave, as a file system of its own: only synced bytes under synced names.
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
        self.fork(|image| &image.synced, |content| content.synced.clone())
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
        self.fork(|image| &image.live, |content| content.live.clone())
    }

    fn fork(&self, names: fn(&Image) -> &BTreeMap<PathBuf, File>, bytes: fn(&Content) -> Vec<u8>) -> Self {
        let image = self.0.image.lock();
        let files: BTreeMap<PathBuf, File> = names(&image)
            .iter()
            .map(|(path, file)| {
                let bytes = bytes(&file.lock());
                (path.clone(), Arc::new(Mutex::new(Content { live: bytes.clone(), synced: bytes })))
            })
            .collect();
        let forked = Self::new();
        *forked.0.image.lock() =
            Image { live: files.clone(), synced: files, dirs: image.dirs.clone(), locked: HashSet::new() };
        forked
    }

    /// Calls so far that change something: create, link, write, sync, truncate, rename, remove.
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
        self.0.writes.load(Ordering::SeqCst)
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
        self.0.writes_max.store(self.writes().saturating_add(count), Ordering::SeqCst);
    }

    /// Lets `count` more changing calls pass; then the disk is full: every creation and write fails, all else goes on.
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
        self.0.full_from.store(self.writes().saturating_add(count), Ordering::SeqCst);
    }

    /// Ends what [`Self::fail_after`] and [`Self::fill_after`] began.
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
        self.0.writes_max.store(u64::MAX, Ordering::SeqCst);
        self.0.full_from.store(u64::MAX, Ordering::SeqCst);
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
        let file = self.find(path)?;
        let mut content = file.lock();
        change(&mut content.live);
        content.synced = content.live.clone();
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
        Ok(self.find(path)?.lock().live.clone())
    }

    fn find(&self, path: &Path) -> io::Result<File> {
        self.0.image.lock().live.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn charge(&self) -> io::Result<()> {
        let passed = self.0.writes.fetch_add(1, Ordering::SeqCst);
        if passed < self.0.writes_max.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(io::Error::other("injected fault"))
    }

    /// As [`Self::charge`], for a call that needs space.
    fn charge_space(&self) -> io::Result<()> {
        let is_full = self.writes() >= self.0.full_from.load(Ordering::SeqCst);
        self.charge()?;
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

struct MemFile {
    vfs: MemVfs,
    file: File,
}

struct MemLock {
    vfs: MemVfs,
    path: PathBuf,
}

impl VfsLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.vfs.0.image.lock().locked.remove(&self.path);
    }
}

impl Vfs for MemVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.image.lock().dirs.insert(dir.to_owned());
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        self.charge_space()?;
        let file = File::default();
        self.0.image.lock().live.insert(path.to_owned(), file.clone());
        Ok(Box::new(MemFile { vfs: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(Box::new(MemFile { vfs: self.clone(), file: self.find(path)? }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let image = self.0.image.lock();
        if !image.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = image.live.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.charge()?;
        let mut image = self.0.image.lock();
        let file = image.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        image.live.insert(to.to_owned(), file);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.charge_space()?;
        let mut image = self.0.image.lock();
        let file = image.live.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        if image.live.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        image.live.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.charge()?;
        let removed = self.0.image.lock().live.remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.charge()?;
        let mut image = self.0.image.lock();
        let Image { live, synced, .. } = &mut *image;
        synced.retain(|path, _| path.parent() != Some(dir));
        let inside = live.iter().filter(|(path, _)| path.parent() == Some(dir));
        synced.extend(inside.map(|(path, file)| (path.clone(), file.clone())));
        Ok(())
    }

    fn lock(&self, path: &Path, _owner: &str) -> io::Result<Result<Box<dyn VfsLock>, String>> {
        if !self.0.image.lock().locked.insert(path.to_owned()) {
            return Ok(Err("this process".to_owned()));
        }
        Ok(Ok(Box::new(MemLock { vfs: self.clone(), path: path.to_owned() })))
    }
}

impl VfsFile for MemFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let content = self.file.lock();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(content.live.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.vfs.charge_space()?;
        let _one_moment = self.vfs.0.image.lock();
        let mut content = self.file.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        if content.live.len() < end {
            content.live.resize(end, 0);
        }
        if let Some(target) = content.live.get_mut(start..end) {
            target.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.vfs.charge()?;
        let _one_moment = self.vfs.0.image.lock();
        let mut content = self.file.lock();
        content.synced = content.live.clone();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.lock().live.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.vfs.charge()?;
        let _one_moment = self.vfs.0.image.lock();
        let mut content = self.file.lock();
        content.live.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }
}
