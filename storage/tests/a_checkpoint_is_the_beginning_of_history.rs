//! Promise: a checkpoint holds every write up to its number, and nothing that came after a write which it lacks, whatever goes on beside it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// No flush makes a table while the gate is shut.
struct Gated(Arc<Gate>);

#[derive(Default)]
struct Gate {
    is_shut: AtomicBool,
    waiting: AtomicU64,
}

fn wait_while(mut holds: impl FnMut() -> bool) {
    while holds() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl VfsHooks for Gated {
    fn before(&self, call: VfsCall, _: &Path) -> io::Result<()> {
        let in_pool = std::thread::current().name().is_some_and(|name| name.starts_with("patina-pool"));
        if call == VfsCall::Create && in_pool {
            self.0.waiting.fetch_add(1, Ordering::SeqCst);
            wait_while(|| self.0.is_shut.load(Ordering::SeqCst));
            self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn keyspace(db: &Db, name: &str) -> Keyspace {
    db.keyspace(name, KeyspaceOptions::default()).unwrap()
}

fn get(keyspace: &Keyspace, key: &[u8]) -> Option<String> {
    keyspace.get(key).unwrap().map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// Runs `meanwhile` while the flush of a checkpoint is on its way, so that what it writes goes into the next memtable. It may have to
/// wait for the checkpoint. Gives the checkpoint.
fn checkpoint_beside(meanwhile: impl FnOnce(&Db) + Send) -> (Db, CheckpointReport) {
    let (vfs, gate) = (MemVfs::new(), Arc::new(Gate::default()));
    let gated = vfs.hooked(Gated(gate.clone()));
    let db = Db::open_with(Arc::new(gated), Path::new("db"), Options::default()).unwrap();
    keyspace(&db, "old").put("key", "value").unwrap();
    keyspace(&db, "new");
    gate.is_shut.store(true, Ordering::SeqCst);
    let report = std::thread::scope(|scope| {
        let checkpoint = scope.spawn(|| db.checkpoint("copy").unwrap());
        wait_while(|| gate.waiting.load(Ordering::SeqCst) == 0);
        let beside = scope.spawn(|| meanwhile(&db));
        let mut waits = 0;
        wait_while(|| {
            waits += 1;
            !beside.is_finished() && waits < 300
        });
        gate.is_shut.store(false, Ordering::SeqCst);
        checkpoint.join().unwrap()
    });
    (Db::open_with(Arc::new(vfs), Path::new("copy"), Options::default()).unwrap(), report)
}

#[test]
fn its_number_does_not_count_what_was_written_beside_it() {
    let late = AtomicU64::new(0);
    let write = |db: &Db| late.store(keyspace(db, "old").put("late", "value").unwrap().0, Ordering::SeqCst);
    let (copy, report) = checkpoint_beside(write);
    let has_late = get(&keyspace(&copy, "old"), b"late").is_some();
    assert_eq!(report.seqno.0 >= late.load(Ordering::SeqCst), has_late, "{report:?}");
}

#[test]
fn a_keyspace_is_not_dropped_from_it_without_what_was_written_before() {
    let (copy, _) = checkpoint_beside(|db| {
        let old = keyspace(db, "old");
        keyspace(db, "new").put("key", old.get(b"key").unwrap().unwrap()).unwrap();
        db.drop_keyspace(&old).unwrap();
    });
    let has = |name: &str| get(&keyspace(&copy, name), b"key").is_some();
    assert!(has("old") || has("new"), "moved to nowhere");
}

#[test]
fn ingested_data_is_not_in_it_without_what_was_written_before() {
    let (copy, _) = checkpoint_beside(|db| {
        keyspace(db, "old").put("before", "value").unwrap();
        let other = keyspace(db, "new");
        let mut ingest = db.ingest(&other).unwrap();
        ingest.put(b"after", b"value").unwrap();
        ingest.finish().unwrap();
    });
    let has_before = get(&keyspace(&copy, "old"), b"before").is_some();
    let has_after = get(&keyspace(&copy, "new"), b"after").is_some();
    assert!(has_before || !has_after, "what came after is there, what came before is not");
}
