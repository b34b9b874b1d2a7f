//! Promise: where nothing may be written, opening says that, and what can be done about it; verifying works all the same.

use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system that is mounted read-only.
struct ReadOnly(MemVfs);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Vfs for ReadOnly {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn create(&self, _: &Path) -> io::Result<Box<dyn VfsFile>> {
        refused()
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        self.0.open(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn lock(&self, _: &Path, _: &str) -> io::Result<std::result::Result<Box<dyn VfsLock>, String>> {
        refused()
    }
}

#[test]
fn opening_fails_with_a_kind_of_its_own_and_verifying_does_not() {
    let vfs = MemVfs::new();
    let dir = Path::new("db");
    let db = Db::open_with(Arc::new(vfs.clone()), dir, Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    keyspace.put("key", "value").unwrap();
    db.flush().unwrap();
    drop(keyspace);
    db.close().unwrap();

    let read_only: Arc<dyn Vfs> = Arc::new(ReadOnly(vfs));
    for dir in [dir, Path::new("new")] {
        let error = Db::open_with(read_only.clone(), dir, Options::default()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotWritable, "{error}");
        assert!(error.location().unwrap().0.starts_with(dir), "{error}");
    }
    let report = Db::verify_closed(read_only, dir, |_| {}).unwrap();
    assert_eq!((report.problems, report.entries), (vec![], 1));
}
