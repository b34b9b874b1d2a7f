//! Promise: if a thread panics that is at work on the database, one of its own or one that commits, nobody waits for it for ever: the
//! database becomes read-only and says why, reading goes on, and nothing acknowledged is lost.
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
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

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

/// Panics in one of the threads that commit, at the n-th call of a kind for a log. Each is slow, so that others share groups and syncs.
struct PanicsOnce {
    call: VfsCall,
    calls_left: AtomicU32,
}

impl VfsHooks for PanicsOnce {
    fn before(&self, call: VfsCall, path: &Path) -> io::Result<()> {
        let is_writer = std::thread::current().name().is_some_and(|name| name.starts_with("writer"));
        if call != self.call || !is_writer || path.extension().is_none_or(|suffix| suffix != "log") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
        let is_last = |left: u32| left.checked_sub(1);
        if self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_last) == Ok(1) {
            panic!("as the test wants it");
        }
        Ok(())
    }
}

const WRITERS: u32 = 8;

/// Writes until an error; gives how many writes were acknowledged.
fn write_until_it_ends(db: &Db, keyspace: &Keyspace, writer: u32, durability: Durability) -> (u32, Error) {
    for n in 0..100_000u32 {
        let mut batch = db.batch();
        // Half of them wait for all that come before.
        if n % 2 == 0 {
            batch.require_absent(keyspace, (writer << 20 | n).to_be_bytes().to_vec());
        }
        batch.put(keyspace, (writer << 20 | n).to_be_bytes().to_vec(), vec![7; 100]);
        if let Err(error) = db.write(batch, durability) {
            return (n, error);
        }
    }
    panic!("nobody noticed");
}

#[test]
fn a_writer_that_panics_leaves_nobody_waiting() {
    let calls = [(VfsCall::Write, 1), (VfsCall::Write, 5), (VfsCall::Sync, 4), (VfsCall::Create, 2)];
    let durabilities = [Durability::Sync, Durability::Buffered];
    for ((call, nth), durability) in calls.into_iter().flat_map(|at| durabilities.map(|way| (at, way))) {
        let mem = MemVfs::new();
        let hooks = PanicsOnce { call, calls_left: AtomicU32::new(nth) };
        let (db, keyspace) = open(Arc::new(mem.hooked(hooks)));
        let (sender, ended) = mpsc::channel();
        for writer in 0..WRITERS {
            let (db, keyspace, sender) = (db.clone(), keyspace.clone(), sender.clone());
            let thread = std::thread::Builder::new().name(format!("writer-{writer}"));
            let run = move || {
                let written =
                    std::panic::AssertUnwindSafe(|| write_until_it_ends(&db, &keyspace, writer, durability));
                let ended = std::panic::catch_unwind(written).ok();
                drop((db, keyspace));
                sender.send((writer, ended)).unwrap();
            };
            thread.spawn(run).unwrap();
        }
        let case = format!("{call:?} {nth} {durability:?}");
        let mut acknowledged = Vec::new();
        let mut panics = 0;
        for _ in 0..WRITERS {
            let (writer, ended) =
                ended.recv_timeout(Duration::from_secs(60)).expect("somebody waits for ever");
            let Some((count, error)) = ended else {
                panics += 1;
                continue;
            };
            assert_eq!(error.kind(), ErrorKind::ReadOnly, "{case}: {error}");
            assert!(error.to_string().contains("panicked"), "{case}: {error}");
            acknowledged.extend((0..count).map(|n| (writer << 20 | n).to_be_bytes()));
        }
        assert_eq!(panics, 1, "{case}");
        let is_there = |keyspace: &Keyspace| {
            acknowledged.iter().all(|key| keyspace.get(key).unwrap().is_some_and(|value| value.len() == 100))
        };
        assert!(is_there(&keyspace), "{case}: reading goes on");
        assert_eq!(db.flush().unwrap_err().kind(), ErrorKind::ReadOnly, "{case}");
        assert_eq!(keyspace.put("k", "v").unwrap_err().kind(), ErrorKind::ReadOnly, "{case}");
        drop(keyspace);
        assert_eq!(db.close().unwrap_err().kind(), ErrorKind::ReadOnly, "{case}");
        let left = if durability == Durability::Sync { mem.crash() } else { mem };
        let (db, keyspace) = open(Arc::new(left));
        assert!(is_there(&keyspace), "{case}");
        assert!(db.verify().unwrap().is_sound(), "{case}");
    }
}
