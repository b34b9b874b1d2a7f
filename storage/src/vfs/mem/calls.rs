//! The calls of the file system.

use super::MemVfs;
use super::disk::{Disk, Inode, space_bytes};
use crate::vfs::{Vfs, VfsCall, VfsFile, VfsLock};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

struct MemFile {
    vfs: MemVfs,
    path: PathBuf,
    inode: Arc<Inode>,
    close: VfsCall,
}

struct MemLock {
    vfs: MemVfs,
    path: PathBuf,
}

impl VfsLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.vfs.shared.disk.lock().locked.remove(&self.path);
    }
}

impl MemVfs {
    fn handle(&self, path: &Path, inode: Arc<Inode>, close: VfsCall) -> Box<dyn VfsFile> {
        inode.handles.fetch_add(1, Ordering::SeqCst);
        Box::new(MemFile { vfs: self.clone(), path: path.to_owned(), inode, close })
    }

    /// A call that changes names.
    fn change_names<T>(
        &self,
        call: VfsCall,
        path: &Path,
        make: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call(call, path, |_| make(&mut self.shared.disk.lock()))
    }
}

impl Vfs for MemVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.change_names(VfsCall::CreateDirAll, dir, |disk| {
            disk.create_dir_all(dir);
            Ok(())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let inode = self.change_names(VfsCall::Create, path, |disk| Ok(disk.create(path)))?;
        Ok(self.handle(path, inode, VfsCall::CloseCreated))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let inode = self.call(VfsCall::Open, path, |_| self.shared.disk.lock().file(path))?;
        Ok(self.handle(path, inode, VfsCall::CloseOpened))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.call(VfsCall::List, dir, |_| self.shared.disk.lock().list(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(VfsCall::Rename, from, |disk| disk.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(VfsCall::HardLink, from, |disk| disk.hard_link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change_names(VfsCall::Remove, path, |disk| disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(VfsCall::SyncDir, dir, |halfway| {
            if !halfway {
                self.shared.disk.lock().sync_dir(dir);
            }
            Ok(())
        })
    }

    fn lock(&self, path: &Path, _owner: &str) -> io::Result<Result<Box<dyn VfsLock>, String>> {
        self.call(VfsCall::Lock, path, |_| {
            if !self.shared.disk.lock().locked.insert(path.to_owned()) {
                return Ok(Err("this process".to_owned()));
            }
            let lock: Box<dyn VfsLock> = Box::new(MemLock { vfs: self.clone(), path: path.to_owned() });
            Ok(Ok(lock))
        })
    }
}

impl MemFile {
    fn call<T>(&self, call: VfsCall, make: impl FnOnce(bool) -> io::Result<T>) -> io::Result<T> {
        self.vfs.call(call, &self.path, make)
    }

    /// How many of `len` bytes at `offset` the disk has room for.
    fn room(&self, disk: &mut Disk, offset: usize, len: usize) -> usize {
        let max = self.vfs.shared.space_bytes_max.load(Ordering::SeqCst);
        if max == u64::MAX {
            return len;
        }
        let now = space_bytes(self.inode.content.lock().live().len());
        let free = max.saturating_sub(disk.used_bytes());
        let end_max = usize::try_from(now.saturating_add(free)).unwrap_or(usize::MAX);
        end_max.saturating_sub(offset).min(len)
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        self.inode.handles.fetch_sub(1, Ordering::SeqCst);
        if let Some(hooks) = &self.vfs.hooks {
            hooks.after(self.close, &self.path);
        }
    }
}

impl VfsFile for MemFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.call(VfsCall::Read, |halfway| {
            let wanted = if halfway { buf.len() / 2 } else { buf.len() };
            let Some(buf) = buf.get_mut(..wanted).filter(|buf| !buf.is_empty()) else { return Ok(()) };
            let content = self.inode.content.lock();
            let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let end = start.checked_add(wanted).ok_or(io::ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(content.live().get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call(VfsCall::Write, |halfway| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            start.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
            let mut disk = self.vfs.shared.disk.lock();
            let room = self.room(&mut disk, start, bytes.len());
            let writes = if halfway { room.min(bytes.len() / 2) } else { room };
            self.inode.content.lock().write(start, bytes.get(..writes).unwrap_or_default());
            if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.call(VfsCall::Sync, |halfway| {
            let _one_moment = self.vfs.shared.disk.lock();
            let mut content = self.inode.content.lock();
            if halfway {
                content.lose_unsynced()
            } else {
                content.sync()
            }
            Ok(())
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.call(VfsCall::Size, |_| Ok(self.inode.content.lock().live().len() as u64))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.call(VfsCall::Truncate, |_| {
            let _one_moment = self.vfs.shared.disk.lock();
            self.inode.content.lock().truncate(usize::try_from(len).map_err(io::Error::other)?);
            Ok(())
        })
    }
}
