//! Promise: a blob file goes only when no durable reference to it can come back, whatever is written while it is compacted.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A file system that calls the hook, once, after a log was synced.
struct Hooked(MemVfs, Hook);

struct HookedFile(Box<dyn VfsFile>, Hook);

impl Hooked {
    fn wrap(&self, path: &Path, file: Box<dyn VfsFile>) -> Box<dyn VfsFile> {
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if is_log { Box::new(HookedFile(file, self.1.clone())) } else { file }
    }
}

impl Vfs for Hooked {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(self.wrap(path, self.0.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(self.wrap(path, self.0.open(path)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn lock(&self, path: &Path, owner: &str) -> io::Result<std::result::Result<Box<dyn VfsLock>, String>> {
        self.0.lock(path, owner)
    }
}

impl VfsFile for HookedFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()?;
        let hook = self.1.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
}

struct Keeper;

impl BinOwner for Keeper {
    type Plan = ();

    fn judge(&self, record: &LiveRecord) -> Result<Judgement<()>> {
        Ok(Judgement::Keep { bin: record.bin })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
        panic!("nothing is rewritten")
    }
}

/// The last reference goes by a buffered write just after the compaction has synced the log. The power fails: the write is lost, the
/// reference is back, and its file must be there.
#[test]
fn a_reference_that_comes_back_with_a_power_loss_finds_its_file() {
    let (vfs, hook) = (MemVfs::new(), Hook::default());
    let hooked = Hooked(vfs.clone(), hook.clone());
    let db = Db::open_with(Arc::new(hooked), Path::new("db"), Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    let bin = Bin { class: 0, due_ms: 1 };
    let blob = db.append_blob(&keyspace, bin, b"key", &[7; 500], Compression::None).unwrap();
    let mut batch = db.batch();
    batch.put_blob(&keyspace, "key", &blob);
    db.write(batch, Durability::Sync).unwrap();
    let file = blob.blob_ref().file;
    drop(blob);
    // Something for the compaction to sync.
    let mut batch = db.batch();
    batch.put(&keyspace, "other", "v");
    db.write(batch, Durability::Buffered).unwrap();
    let (writer, theirs) = (db.clone(), keyspace.clone());
    *hook.lock().unwrap() = Some(Box::new(move || {
        let mut batch = writer.batch();
        batch.delete(&theirs, "key");
        writer.write(batch, Durability::Buffered).unwrap();
    }));
    db.compact_bin(&keyspace, file, &Keeper).unwrap();
    assert!(hook.lock().unwrap().is_none(), "the delete came in between");
    assert_eq!(keyspace.get(b"key").unwrap(), None);
    let db = Db::open_with(Arc::new(vfs.crash()), Path::new("db"), Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    assert_eq!(keyspace.get(b"key").unwrap().unwrap(), vec![7; 500]);
}
