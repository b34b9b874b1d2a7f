//! Promise: if a thread of the database panics, nobody waits for it for ever: the database becomes read-only and says why, reading goes on,
//! and nothing acknowledged is lost.
//!
//! A panic is a bug, but it need not be one of this crate: file system and clock are given from outside.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking; and here a thread is made to"
)]

use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Panics in threads of the pool when they write to a table, or in the one that syncs at intervals.
#[derive(Clone)]
struct Panics {
    thread: &'static str,
    call: VfsCall,
    is_armed: Arc<AtomicBool>,
}

impl VfsHooks for Panics {
    fn before(&self, call: VfsCall, _: &Path) -> io::Result<()> {
        let thread = std::thread::current();
        let is_there = thread.name().is_some_and(|name| name.starts_with(self.thread));
        if call == self.call && is_there && self.is_armed.load(Ordering::SeqCst) {
            panic!("as the test wants it");
        }
        Ok(())
    }
}

fn open(vfs: Arc<dyn Vfs>) -> (Db, Keyspace) {
    let options = Options {
        memtable_bytes: 8 << 10,
        sealed_memtables_max: 1,
        l0_tables_trigger: 2,
        l0_tables_slowdown: 4,
        background_threads: 1,
        sync_interval_ms: Some(1),
        ..Options::default()
    };
    let db = Db::open_with(vfs, Path::new("db"), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

#[test]
fn writers_get_an_error_and_readers_their_answers() {
    for (thread, call) in
        [("patina-pool", VfsCall::Create), ("patina-pool", VfsCall::Read), ("patina-sync", VfsCall::Sync)]
    {
        let (mem, is_armed) = (MemVfs::new(), Arc::new(AtomicBool::new(false)));
        let (db, keyspace) = open(Arc::new(mem.hooked(Panics { thread, call, is_armed: is_armed.clone() })));
        keyspace.put("before", "v").unwrap();
        is_armed.store(true, Ordering::SeqCst);
        let mut acknowledged = 0u32;
        let error = loop {
            let mut batch = db.batch();
            batch.put(&keyspace, acknowledged.to_be_bytes().to_vec(), vec![7; 500]);
            match db.write(batch, Durability::Buffered) {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
            assert!(acknowledged < 1_000_000, "nobody noticed");
        };
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.to_string().contains("panicked"), "{error}");
        assert_eq!(db.flush().unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(db.compact().unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(keyspace.get(b"before").unwrap().unwrap(), "v");
        assert_eq!(keyspace.range(..).count() as u32, acknowledged + 1);
        is_armed.store(false, Ordering::SeqCst);
        drop(keyspace);
        assert_eq!(db.close().unwrap_err().kind(), ErrorKind::ReadOnly);
        let (_db, keyspace) = open(Arc::new(mem));
        assert_eq!(keyspace.range(..).count() as u32, acknowledged + 1);
    }
}
