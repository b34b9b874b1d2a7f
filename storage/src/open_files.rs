//! Open handles of immutable files: many files, few descriptors.
//!
//! Tables and sealed blob files share one cache of handles, by file number. It holds at most `Options::open_files_max`; a file whose
//! handle was let go is opened again when it is read. A read in progress keeps its handle, so descriptors can pass the limit by the number
//! of reads in progress, and files that are being written (log, manifest, open bins, outputs) come on top.
//!
//! Who unlinks a file must [`OpenFiles::forget`] it, else the handle would keep its space. Nobody may open it after that: a table is unlinked
//! when its last reader is gone, and a reader of a blob file looks again whether the file is still there.

use crate::error::{Error, Result};
use crate::types::FileId;
use crate::vfs::{Vfs, VfsFile};
use std::path::Path;
use std::sync::Arc;

pub(crate) struct OpenFiles {
    vfs: Arc<dyn Vfs>,
    cache: quick_cache::sync::Cache<FileId, Arc<dyn VfsFile>>,
}

impl OpenFiles {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, open_files_max: usize) -> Self {
        Self { vfs, cache: quick_cache::sync::Cache::new(open_files_max) }
    }

    /// The handle of a file, opened if none is kept. Of several threads that want one file, one opens it.
    pub(crate) fn open(&self, id: FileId, path: &Path) -> Result<Arc<dyn VfsFile>> {
        self.cache.get_or_insert_with(&id, || {
            self.vfs.open(path).map(Arc::from).map_err(|source| Error::io("open", path, source))
        })
    }

    pub(crate) fn forget(&self, id: FileId) {
        self.cache.remove(&id);
    }

    /// Unlinks a file. A failure leaves an orphan for the next opening of the database.
    pub(crate) fn remove(&self, id: FileId, path: &Path) {
        self.forget(id);
        let _ = self.vfs.remove(path);
    }

    /// How many handles are kept.
    pub(crate) fn count(&self) -> usize {
        self.cache.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::MemVfs;
    use std::path::PathBuf;

    #[test]
    fn a_file_let_go_is_opened_again() {
        let vfs = MemVfs::new();
        let path = |id: u64| PathBuf::from(format!("{id}"));
        for id in 0..100 {
            vfs.create(&path(id)).unwrap().write_all_at(&[id as u8], 0).unwrap();
        }
        let files = OpenFiles::new(Arc::new(vfs.clone()), 5);
        for id in (0..100).chain(0..100) {
            let mut byte = [0];
            files.open(FileId(id), &path(id)).unwrap().read_exact_at(&mut byte, 0).unwrap();
            assert_eq!(byte, [id as u8]);
            assert!(files.count() <= 5, "{}", files.count());
        }
        files.remove(FileId(99), &path(99));
        assert!(files.open(FileId(99), &path(99)).is_err());
    }
}
