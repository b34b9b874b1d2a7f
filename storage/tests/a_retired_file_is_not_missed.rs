//! Promise: a blob file goes only when no durable reference to it can come back, whatever is written while it is compacted.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Called once, after a log was synced.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

struct AfterLogSync(Hook);

impl VfsHooks for AfterLogSync {
    fn after(&self, call: VfsCall, path: &Path) {
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if is_log && call == VfsCall::Sync {
            let hook = self.0.lock().unwrap().take();
            if let Some(hook) = hook {
                hook();
            }
        }
    }
}

struct Keeper;

impl BinOwner for Keeper {
    type Plan = ();

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
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
    let hooked = vfs.hooked(AfterLogSync(hook.clone()));
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
