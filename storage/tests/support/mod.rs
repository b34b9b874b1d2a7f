//! A file system in memory that calls a test's hooks before and after what is done with it.
//!
//! All else goes through unchanged. A test implements [`Hooks`] for what it watches, delays or refuses, and names nothing else: to make
//! every sync fail, `before` gives an error for [`Call::Sync`].

use patina_storage::{MemVfs, Vfs, VfsFile, VfsLock};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What is called: the methods of [`Vfs`] and [`VfsFile`], and the dropping of a handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Call {
    CreateDirAll,
    Create,
    Open,
    List,
    Rename,
    HardLink,
    Remove,
    SyncDir,
    Lock,
    Read,
    Write,
    Sync,
    Size,
    Truncate,
    /// A handle that [`Vfs::create`] gave is dropped.
    CloseCreated,
    /// A handle that [`Vfs::open`] gave is dropped.
    CloseOpened,
}

/// What a test does at the calls. The path is that of the file or directory; the old one, where there are two.
pub trait Hooks: Send + Sync + 'static {
    /// An error is the call's result, and the call is not made. Not called for the dropping of a handle, which cannot fail.
    fn before(&self, _: Call, _: &Path) -> io::Result<()> {
        Ok(())
    }
    /// Only for a call that succeeded.
    fn after(&self, _: Call, _: &Path) {}
}

/// The file system.
pub struct Hooked<H> {
    inner: MemVfs,
    hooks: Arc<H>,
}

impl<H: Hooks> Hooked<H> {
    pub fn new(inner: MemVfs, hooks: H) -> Self {
        Self { inner, hooks: Arc::new(hooks) }
    }

    fn file(&self, path: &Path, inner: Box<dyn VfsFile>, close: Call) -> Box<dyn VfsFile> {
        Box::new(HookedFile { inner, path: path.into(), close, hooks: self.hooks.clone() })
    }
}

fn hooked<T>(
    hooks: &impl Hooks,
    call: Call,
    path: &Path,
    made: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    hooks.before(call, path)?;
    let result = made()?;
    hooks.after(call, path);
    Ok(result)
}

impl<H: Hooks> Vfs for Hooked<H> {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        hooked(&*self.hooks, Call::CreateDirAll, dir, || self.inner.create_dir_all(dir))
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let file = hooked(&*self.hooks, Call::Create, path, || self.inner.create(path))?;
        Ok(self.file(path, file, Call::CloseCreated))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let file = hooked(&*self.hooks, Call::Open, path, || self.inner.open(path))?;
        Ok(self.file(path, file, Call::CloseOpened))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        hooked(&*self.hooks, Call::List, dir, || self.inner.list(dir))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        hooked(&*self.hooks, Call::Rename, from, || self.inner.rename(from, to))
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        hooked(&*self.hooks, Call::HardLink, from, || self.inner.hard_link(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        hooked(&*self.hooks, Call::Remove, path, || self.inner.remove(path))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        hooked(&*self.hooks, Call::SyncDir, dir, || self.inner.sync_dir(dir))
    }
    fn lock(&self, path: &Path, owner: &str) -> io::Result<Result<Box<dyn VfsLock>, String>> {
        hooked(&*self.hooks, Call::Lock, path, || self.inner.lock(path, owner))
    }
}

struct HookedFile<H: Hooks> {
    inner: Box<dyn VfsFile>,
    path: Box<Path>,
    close: Call,
    hooks: Arc<H>,
}

impl<H: Hooks> Drop for HookedFile<H> {
    fn drop(&mut self) {
        self.hooks.after(self.close, &self.path);
    }
}

impl<H: Hooks> VfsFile for HookedFile<H> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        hooked(&*self.hooks, Call::Read, &self.path, || self.inner.read_exact_at(buf, offset))
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        hooked(&*self.hooks, Call::Write, &self.path, || self.inner.write_all_at(bytes, offset))
    }
    fn sync(&self) -> io::Result<()> {
        hooked(&*self.hooks, Call::Sync, &self.path, || self.inner.sync())
    }
    fn size(&self) -> io::Result<u64> {
        hooked(&*self.hooks, Call::Size, &self.path, || self.inner.size())
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        hooked(&*self.hooks, Call::Truncate, &self.path, || self.inner.truncate(len))
    }
}
