//! Promise: many threads commit at once, sharing syncs of the log, and none of the promises of a single commit is lost: what is
//! acknowledged lasts, what is refused leaves no trace, batches are whole, each thread reads what it wrote, memory is bounded.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Counts the syncs of write-ahead logs, makes them slow, as a disk is, or lets one fail. Holds up whoever begins a table.
#[derive(Clone, Default)]
struct LogWatch {
    syncs: Arc<AtomicU64>,
    sync_us: u64,
    fail_one: Arc<AtomicBool>,
    hold_tables: Arc<AtomicBool>,
}

impl LogWatch {
    /// With a file system that it watches.
    fn new(sync_us: u64) -> (MemVfs, Self) {
        let watch = Self { sync_us, ..Self::default() };
        (MemVfs::new().hooked(watch.clone()), watch)
    }

    fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }
}

impl VfsHooks for LogWatch {
    fn before(&self, call: VfsCall, path: &Path) -> io::Result<()> {
        let is = |suffix| path.extension().is_some_and(|extension| extension == suffix);
        while call == VfsCall::Create && is("sst") && self.hold_tables.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if call == VfsCall::Sync && is("log") {
            self.syncs.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(self.sync_us));
            if self.fail_one.swap(false, Ordering::SeqCst) {
                return Err(io::Error::other("injected fault"));
            }
        }
        Ok(())
    }
}

fn tiny() -> Options {
    Options { memtable_bytes: 8 << 10, block_bytes: 512, l0_tables_trigger: 2, ..Options::default() }
}

fn open(vfs: impl Vfs, options: Options) -> (Db, Keyspace) {
    let db = Db::open_with(Arc::new(vfs), Path::new("db"), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

fn key(thread: u64, i: u64) -> Vec<u8> {
    [thread.to_be_bytes(), i.to_be_bytes()].concat()
}

/// One batch, two keys: whoever finds one must find the other.
fn put_pair(db: &Db, ks: &Keyspace, thread: u64, i: u64, durability: Durability) -> Result<Seqno> {
    let mut batch = db.batch();
    batch.put(ks, [b"a", &key(thread, i)[..]].concat(), vec![thread as u8; 50]);
    batch.put(ks, [b"b", &key(thread, i)[..]].concat(), vec![thread as u8; 50]);
    db.write(batch, durability)
}

/// The pairs that are there; none may be there by half.
fn pairs(ks: &Keyspace, at: &str) -> BTreeSet<Vec<u8>> {
    let side = |prefix: &[u8]| -> BTreeSet<Vec<u8>> {
        ks.prefix(prefix).map(|entry| entry.unwrap().key()[1..].to_vec()).collect()
    };
    let (a, b) = (side(b"a"), side(b"b"));
    assert_eq!(a, b, "{at}: half a batch");
    a
}

#[test]
fn eight_threads_that_wait_for_durability_share_syncs() {
    const THREADS: u64 = 8;
    const EACH: u64 = 100;
    let (vfs, watch) = LogWatch::new(1000);
    let (db, ks) = open(vfs.clone(), Options::default());
    let before = watch.syncs();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, ks) = (&db, &ks);
            scope.spawn(move || {
                for i in 0..EACH {
                    put_pair(db, ks, thread, i, Durability::Sync).unwrap();
                }
            });
        }
    });
    let syncs = watch.syncs() - before;
    assert!(syncs * 3 <= THREADS * EACH, "{syncs} syncs for {} commits", THREADS * EACH);
    assert!(syncs >= EACH, "a thread's next commit cannot share the sync of the one before");
}

#[test]
fn at_any_moment_a_power_loss_leaves_all_that_was_acknowledged() {
    const THREADS: u64 = 6;
    let vfs = MemVfs::new();
    let (db, ks) = open(vfs.clone(), tiny());
    let acknowledged: Vec<AtomicU64> = (0..THREADS).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    let mut moments = Vec::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, ks, stop, acknowledged) = (&db, &ks, &stop, &acknowledged[thread as usize]);
            scope.spawn(move || {
                for i in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Every third thread does not wait: the others' syncs must carry its records.
                    let durability = if thread % 3 == 2 { Durability::Buffered } else { Durability::Sync };
                    put_pair(db, ks, thread, i, durability).unwrap();
                    acknowledged.store(i + 1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..25 {
            std::thread::sleep(Duration::from_millis(1));
            let counts: Vec<u64> = acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect();
            moments.push((counts, vfs.crash(), vfs.kill()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    for (round, (counts, crash, kill)) in moments.into_iter().enumerate() {
        for (image, is_crash) in [(crash, true), (kill, false)] {
            let (_db, ks) = open(image, tiny());
            let found = pairs(&ks, &format!("round {round}"));
            for (thread, count) in (0u64..).zip(&counts) {
                let there: Vec<bool> = (0..*count).map(|i| found.contains(&key(thread, i))).collect();
                if is_crash && thread % 3 == 2 {
                    // What is left of buffered writes is the first ones, without a gap.
                    assert!(there.is_sorted_by(|before, after| before >= after), "round {round}");
                } else {
                    assert!(there.iter().all(|is_there| *is_there), "round {round}: thread {thread}");
                }
            }
        }
    }
}

/// Runs threads of writes until each has failed or finished; gives what was acknowledged and what was refused.
fn write_until_refused(db: &Db, ks: &Keyspace, from: u64, to: u64) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let mut sets = (BTreeSet::new(), BTreeSet::new());
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4u64)
            .map(|thread| {
                scope.spawn(move || {
                    let mut outcomes = Vec::new();
                    for i in from..to {
                        let durability = if i % 4 == 0 { Durability::Sync } else { Durability::Buffered };
                        let written = put_pair(db, ks, thread, i, durability);
                        outcomes.push((key(thread, i), written.map_err(|error| error.kind())));
                    }
                    outcomes
                })
            })
            .collect();
        for (key, outcome) in writers.into_iter().flat_map(|writer| writer.join().unwrap()) {
            match outcome {
                Ok(_) => sets.0.insert(key),
                Err(kind) => {
                    let expected = [ErrorKind::NoSpace, ErrorKind::Io, ErrorKind::ReadOnly];
                    assert!(expected.contains(&kind), "{kind:?}");
                    sets.1.insert(key)
                }
            };
        }
    });
    sets
}

#[test]
fn a_full_disk_refuses_whole_batches_and_leaves_no_trace_of_them() {
    for calls in (0..120).step_by(3) {
        let vfs = MemVfs::new();
        let (db, ks) = open(vfs.clone(), tiny());
        vfs.fill_after(calls);
        let (mut acknowledged, refused) = write_until_refused(&db, &ks, 0, 40);
        assert!(!refused.is_empty(), "call {calls}");
        vfs.heal();
        // A flush that failed is tried again now, not after its pause. With space again all goes on, on the same log.
        db.flush().unwrap();
        let (more, refused) = write_until_refused(&db, &ks, 40, 60);
        assert!(refused.is_empty(), "call {calls}");
        acknowledged.extend(more);
        assert_eq!(pairs(&ks, "live"), acknowledged, "call {calls}");
        for image in [vfs.kill(), {
            db.sync().unwrap();
            vfs.crash()
        }] {
            let (_db, ks) = open(image, tiny());
            assert_eq!(pairs(&ks, "reopened"), acknowledged, "call {calls}");
        }
    }
}

#[test]
fn a_fault_at_any_call_loses_nothing_acknowledged() {
    for calls in (0..200).step_by(5) {
        let vfs = MemVfs::new();
        let (db, ks) = open(vfs.clone(), tiny());
        vfs.fail_after(calls);
        let (acknowledged, _) = write_until_refused(&db, &ks, 0, 60);
        let image = vfs.kill();
        drop((ks, db));
        let (_db, ks) = open(image, tiny());
        let found = pairs(&ks, &format!("call {calls}"));
        assert!(found.is_superset(&acknowledged), "call {calls}");
    }
}

/// Whoever waits while a sync fails must not begin another: the system calls it a success, having forgotten what it could not write.
#[test]
fn a_failed_sync_is_not_tried_again_by_those_who_wait_for_it() {
    let (vfs, watch) = LogWatch::new(3000);
    let (db, ks) = open(vfs.clone(), Options::default());
    put_pair(&db, &ks, 9, 9, Durability::Sync).unwrap();
    watch.fail_one.store(true, Ordering::SeqCst);
    let before = watch.syncs();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (db, ks) = (&db, &ks);
            scope.spawn(move || {
                let refused = put_pair(db, ks, thread, 0, Durability::Sync).unwrap_err();
                assert!([ErrorKind::Io, ErrorKind::ReadOnly].contains(&refused.kind()), "{refused}");
            });
        }
    });
    assert_eq!(watch.syncs(), before + 1);
    assert_eq!(ks.put("k", "v").unwrap_err().kind(), ErrorKind::ReadOnly);
    assert!(db.flush().is_err() && db.close().is_err());
    assert_eq!(watch.syncs(), before + 1);
}

#[test]
fn buffered_writes_are_durable_within_the_interval_and_an_idle_database_syncs_nothing() {
    let (vfs, watch) = LogWatch::new(0);
    let options = Options { sync_interval_ms: Some(5), ..Options::default() };
    let (db, ks) = open(vfs.clone(), options);
    for round in 0..3 {
        put_pair(&db, &ks, 0, round, Durability::Buffered).unwrap();
        let is_durable = || {
            let (_db, ks) = open(vfs.crash(), Options::default());
            pairs(&ks, "after a power loss").len() as u64 == round + 1
        };
        assert!((0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            is_durable()
        }));
    }
    let idle = watch.syncs();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(watch.syncs(), idle);
    // Blobs of buffered writes are made durable before the records.
    let blob =
        db.append_blob(&ks, Bin { class: 0, due_ms: 1 }, b"blob", &[1; 99], Compression::None).unwrap();
    let mut batch = db.batch();
    batch.put_blob(&ks, "blob", &blob);
    db.write(batch, Durability::Buffered).unwrap();
    assert!((0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        let (_db, ks) = open(vfs.crash(), Options::default());
        ks.get(b"blob").unwrap().is_some()
    }));
    db.close().unwrap();
}

#[test]
fn a_failed_sync_at_the_interval_makes_the_database_read_only() {
    let (vfs, watch) = LogWatch::new(0);
    let options = Options { sync_interval_ms: Some(5), ..Options::default() };
    let (db, ks) = open(vfs.clone(), options);
    watch.fail_one.store(true, Ordering::SeqCst);
    put_pair(&db, &ks, 0, 0, Durability::Buffered).unwrap();
    let refused = (0..1000).find_map(|i| {
        std::thread::sleep(Duration::from_millis(5));
        put_pair(&db, &ks, 1, i, Durability::Buffered).err()
    });
    assert_eq!(refused.unwrap().kind(), ErrorKind::ReadOnly);
}

/// B writes only what it has seen of A, so whoever sees B's must see A's: visibility has one order.
#[test]
fn a_snapshot_is_a_moment_of_one_history() {
    let (db, ks) = open(MemVfs::new(), tiny());
    let stop = AtomicBool::new(false);
    let read = |snapshot: &Snapshot, key: &[u8]| -> u64 {
        let value = snapshot.get(&ks, key).unwrap();
        value.map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
    };
    let put = |key: &'static str, number: u64| {
        let mut batch = db.batch();
        batch.put(&ks, key, number.to_be_bytes().to_vec());
        batch.put(&ks, [key.as_bytes(), b"pad", &number.to_be_bytes()[..]].concat(), vec![0; 200]);
        let seqno = db.write(batch, Durability::Buffered).unwrap();
        assert!(db.snapshot().seqno() >= seqno, "a thread sees what it wrote");
        assert_eq!(read(&db.snapshot(), key.as_bytes()), number);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 1..1500 {
                put("first", i);
            }
            stop.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                put("second", read(&db.snapshot(), b"first"));
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    let snapshot = db.snapshot();
                    // The later is read first, and again at the end: a snapshot does not move.
                    let second = read(&snapshot, b"second");
                    let first = read(&snapshot, b"first");
                    assert!(first >= second, "{first} {second}");
                    assert!((first, second) >= last || (first >= last.0 && second >= last.1));
                    std::thread::yield_now();
                    assert_eq!(read(&snapshot, b"second"), second);
                    last = (first, second);
                }
            });
        }
    });
}

#[test]
fn memtables_and_batches_on_their_way_stay_within_the_write_buffer() {
    const MAX: usize = 64 << 10;
    let options = Options { write_buffer_bytes_max: MAX, memtable_bytes: 16 << 10, ..tiny() };
    let (db, ks) = open(MemVfs::new(), options);
    let batch_of = |thread: u64, i: u64, entries: u64| {
        let mut batch = db.batch();
        for n in 0..entries {
            batch.put(&ks, [&key(thread, i)[..], &n.to_be_bytes()].concat(), vec![n as u8; 1000]);
        }
        batch
    };
    let mut expected = 0;
    std::thread::scope(|scope| {
        for thread in 0..6u64 {
            let (db, batch_of) = (&db, &batch_of);
            // Small ones, larger than a memtable, and nearly the whole buffer.
            let entries = [1, 5, 20, 50][thread as usize % 4];
            let rounds = 200 / entries;
            expected += entries * rounds;
            scope.spawn(move || {
                for i in 0..rounds {
                    db.write(batch_of(thread, i, entries), Durability::Buffered).unwrap();
                    let bytes = db.stats().memtable_bytes;
                    assert!(bytes <= MAX, "{bytes} bytes");
                }
            });
        }
    });
    assert_eq!(ks.range(..).count() as u64, expected);
    let refused = db.write(batch_of(9, 9, 70), Durability::Buffered).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(refused.to_string().contains("write_buffer_bytes_max"), "{refused}");
}

#[test]
fn writers_are_slowed_then_stopped_while_flushing_is_behind_and_go_on_after() {
    let (vfs, watch) = LogWatch::new(0);
    let options = Options { memtable_bytes: 256 << 10, sealed_memtables_max: 1, ..Options::default() };
    let (db, ks) = open(vfs.clone(), options);
    watch.hold_tables.store(true, Ordering::SeqCst);
    let put = |i: u64| {
        let mut batch = db.batch();
        batch.put(&ks, key(0, i), vec![7; 16 << 10]);
        db.write(batch, Durability::Buffered)
    };
    // The first memtable fills at full speed; the second, beside a sealed one, slowly; for a third there is no room.
    for i in 0..15 {
        put(i).unwrap();
    }
    assert_eq!(db.stats().stalls, StallStats::default());
    for i in 15..30 {
        put(i).unwrap();
    }
    let slow = db.stats().stalls;
    assert!(slow.delays > 0 && slow.delayed_us > 1000 && slow.stops == 0, "{slow:?}");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let put = &put;
            scope.spawn(move || (0..10).for_each(|i| assert!(put(30 + thread * 10 + i).is_ok())));
        }
        while db.stats().sealed_memtables < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Whoever was merely slowed is through by then.
        std::thread::sleep(Duration::from_millis(100));
        assert!(db.stats().stalls.waiting > 0);
        watch.hold_tables.store(false, Ordering::SeqCst);
    });
    let after = db.stats().stalls;
    assert!(after.stops > 0 && after.stopped_us > 0 && after.waiting == 0, "{after:?}");
    assert_eq!(ks.range(..).count(), 70);
}

/// A large record is written in pieces; it is there wholly or not at all, whichever piece finds the disk full.
#[test]
fn a_large_batch_is_whole_or_absent() {
    let vfs = MemVfs::new();
    let (db, ks) = open(vfs.clone(), Options { memtable_bytes: 64 << 10, ..Options::default() });
    ks.put("before", "v").unwrap();
    let batch = || {
        let mut batch = db.batch();
        for i in 0..5u8 {
            batch.put(&ks, vec![i], vec![i; 1 << 20]);
        }
        batch
    };
    let mut refused = 0;
    for calls in 0.. {
        vfs.fill_after(calls);
        let written = db.write(batch(), Durability::Buffered);
        vfs.heal();
        let (_db, reopened) = open(vfs.kill(), Options::default());
        for ks in [&ks, &reopened] {
            assert_eq!(ks.range(..).count(), if written.is_ok() { 6 } else { 1 }, "call {calls}");
        }
        match written {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace),
        }
        refused += 1;
    }
    assert!(refused >= 5, "{refused} pieces");
    for i in 0..5u8 {
        assert_eq!(ks.get(&[i]).unwrap().unwrap(), vec![i; 1 << 20]);
    }
}

#[test]
fn contradictions_are_told() {
    let options =
        Options { write_buffer_bytes_max: 1 << 20, sync_interval_ms: Some(0), ..Options::default() };
    let Err(error) = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options) else {
        panic!("it must be refused")
    };
    for name in ["write_buffer_bytes_max", "sync_interval_ms"] {
        assert!(error.to_string().contains(name), "{error}");
    }
}
