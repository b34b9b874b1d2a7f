//! Promise: where nothing may be written, opening says that, and what can be done about it; verifying works all the same.

use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system that is mounted read-only.
struct ReadOnly;

impl VfsHooks for ReadOnly {
    fn before(&self, call: VfsCall, _: &Path) -> io::Result<()> {
        let changes = call == VfsCall::Lock || VfsCall::CHANGES.contains(&call);
        if changes { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
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

    let read_only: Arc<dyn Vfs> = Arc::new(vfs.hooked(ReadOnly));
    for dir in [dir, Path::new("new")] {
        let error = Db::open_with(read_only.clone(), dir, Options::default()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotWritable, "{error}");
        assert!(error.location().unwrap().0.starts_with(dir), "{error}");
    }
    let report = Db::verify_closed(read_only, dir, |_| {}).unwrap();
    assert_eq!((report.problems, report.entries), (vec![], 1));
}
