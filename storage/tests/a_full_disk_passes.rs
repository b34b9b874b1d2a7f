//! Promise: when the disk is full, writes are refused with a typed error, reads go on, nothing acknowledged is lost; and when there is
//! space again the same database goes on, without being reopened.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use patina_storage::*;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn options() -> Options {
    Options {
        memtable_bytes: 4 << 10,
        block_bytes: 256,
        table_bytes: 2 << 10,
        level1_bytes: 4 << 10,
        l0_tables_trigger: 2,
        blob_file_bytes: 4 << 10,
        open_bins_max: 2,
        ..Options::default()
    }
}

fn open(vfs: &MemVfs) -> Result<(Db, Keyspace)> {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options())?;
    let keyspace = db.keyspace("k", KeyspaceOptions::default())?;
    Ok((db, keyspace))
}

struct Keeper;

impl BinOwner for Keeper {
    type Plan = ();

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
        Ok(Judgement::Keep { bin: Bin { class: record.bin.class, due_ms: record.bin.due_ms + 1 } })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
        unreachable!("nothing is rewritten")
    }
}

type Model = BTreeMap<String, Vec<u8>>;

/// One write, in the model if it was acknowledged.
fn step(db: &Db, keyspace: &Keyspace, i: u32, model: &mut Model) -> Result<()> {
    let key = format!("key{:02}", i % 24);
    let value = vec![i as u8; 100 + i as usize % 400];
    let durability = if i.is_multiple_of(3) { Durability::Sync } else { Durability::Buffered };
    let mut batch = db.batch();
    if i.is_multiple_of(4) {
        let bin = Bin { class: 0, due_ms: u64::from(i % 3) };
        let blob = db.append_blob(keyspace, bin, key.as_bytes(), &value, Compression::None)?;
        batch.put_blob(keyspace, key.clone(), &blob);
    } else {
        batch.put(keyspace, key.clone(), value.clone());
    }
    db.write(batch, durability)?;
    model.insert(key, value);
    Ok(())
}

fn maintain(db: &Db, keyspace: &Keyspace) -> Result<()> {
    db.flush()?;
    db.seal_bins()?;
    for file in db.blob_files(keyspace)? {
        db.compact_bin(keyspace, file.id, &Keeper)?;
    }
    db.compact()
}

fn check(keyspace: &Keyspace, model: &Model, at: &str) {
    let found: Model = keyspace
        .range(..)
        .map(|entry| entry.unwrap())
        .map(|entry| (String::from_utf8(entry.key().to_vec()).unwrap(), entry.value().unwrap().to_vec()))
        .collect();
    assert!(&found == model, "{at}: {} keys, {} expected", found.len(), model.len());
}

/// A background job that began while the disk was full may report that after the disk has space again; soon it does not.
fn soon(at: &str, mut call: impl FnMut() -> Result<()>) {
    let mut outcome = call();
    for _ in 0..20 {
        match &outcome {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                std::thread::sleep(Duration::from_millis(5));
                outcome = call();
            }
            _ => break,
        }
    }
    outcome.unwrap_or_else(|error| panic!("{at}: {error}"));
}

fn full_from(call: u64) {
    let at = format!("full from call {call}");
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs).unwrap();
    let mut model = Model::new();
    vfs.fill_after(call);
    let mut outcomes: Vec<Result<()>> = (0..60).map(|i| step(&db, &keyspace, i, &mut model)).collect();
    outcomes.push(maintain(&db, &keyspace));
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{at}: {error}");
    }
    check(&keyspace, &model, &at);
    vfs.heal();
    soon(&at, || db.flush());
    for i in 60..80 {
        soon(&at, || step(&db, &keyspace, i, &mut model));
    }
    soon(&at, || maintain(&db, &keyspace));
    check(&keyspace, &model, &at);
    drop(keyspace);
    db.close().unwrap();
    // Whatever failed half-way has left nothing that lets the disk fill up further, and nothing that recovery stumbles over.
    for (after, how) in [(vfs.crash(), "power loss"), (vfs.kill(), "kill")] {
        let (_db, keyspace) = open(&after).unwrap_or_else(|error| panic!("{at}, {how}: {error}"));
        check(&keyspace, &model, &format!("{at}, {how}"));
    }
}

#[test]
fn a_disk_that_is_full_from_any_call_on_loses_nothing_and_needs_no_reopening() {
    for call in (0..40).chain((40..500).step_by(7)) {
        full_from(call);
    }
}

#[test]
fn a_power_loss_while_the_disk_is_full_loses_nothing_synced() {
    for call in 0..120 {
        let vfs = MemVfs::new();
        let (db, keyspace) = open(&vfs).unwrap();
        let mut model = Model::new();
        vfs.fill_after(call);
        for i in 0..40 {
            let _ = step(&db, &keyspace, i, &mut model);
        }
        let _ = maintain(&db, &keyspace);
        let synced = db.sync().is_ok();
        let (_db, keyspace) = open(&vfs.crash()).unwrap_or_else(|error| panic!("call {call}: {error}"));
        if synced {
            check(&keyspace, &model, &format!("call {call}"));
        }
    }
}

/// A job that fails pauses before it tries again, however often the background is woken for other reasons meanwhile.
#[test]
fn a_failing_job_pauses() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs).unwrap();
    step(&db, &keyspace, 0, &mut Model::new()).unwrap();
    let old = db.snapshot();
    keyspace.delete("key00").unwrap();
    db.seal_bins().unwrap();
    let file = db.blob_files(&keyspace).unwrap()[0].id;
    assert!(db.compact_bin(&keyspace, file, &Keeper).unwrap().retired);
    // So much space that the memtable can be sealed, but no table written.
    for calls in 0.. {
        vfs.heal();
        vfs.fill_after(calls);
        assert_eq!(db.flush().unwrap_err().kind(), ErrorKind::NoSpace);
        if db.stats().sealed_memtables > 0 {
            break;
        }
    }
    let before = vfs.writes();
    for _ in 0..200 {
        // A retired file waits for a snapshot to go: each that goes wakes the background.
        drop(db.snapshot());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(vfs.writes() - before < 50, "{} calls", vfs.writes() - before);
    drop(old);
}

/// A flush writes a table and a blob file; whichever of the two cannot be ended, neither stays behind to make the disk fuller.
#[test]
fn a_flush_that_fails_leaves_no_file_behind() {
    for call in 0.. {
        let vfs = MemVfs::new();
        let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default()).unwrap();
        let separating = KeyspaceOptions { separate_bytes: Some(64), ..KeyspaceOptions::default() };
        let keyspace = db.keyspace("k", separating).unwrap();
        for i in 0..8u8 {
            keyspace.put(vec![i], vec![i; 100]).unwrap();
        }
        vfs.fill_after(call);
        let flushed = db.flush().is_ok();
        vfs.heal();
        while db.flush().is_err() {}
        let names = vfs.list(Path::new("db")).unwrap();
        let count = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).count();
        assert_eq!((count(".sst"), count(".blob")), (1, 1), "call {call}");
        if flushed {
            return;
        }
    }
}

/// The first write to a table is held up until it is let go, and finds the disk full.
#[derive(Clone, Default)]
struct FullOnce {
    is_begun: Arc<AtomicBool>,
    may_fail: Arc<AtomicBool>,
}

impl VfsHooks for FullOnce {
    fn before(&self, call: VfsCall, path: &Path) -> io::Result<()> {
        let is_table = path.extension().is_some_and(|extension| extension == "sst");
        if call != VfsCall::Write || !is_table || self.is_begun.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        while !self.may_fail.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// The error of a flush that had begun before there was space again was given to whoever asked for one after.
#[test]
fn a_flush_is_not_told_what_went_wrong_before_it_was_asked_for() {
    let full = FullOnce::default();
    let vfs = MemVfs::new().hooked(full.clone());
    let options = Options { background_threads: 1, ..options() };
    let db = Db::open_with(Arc::new(vfs), Path::new("db"), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    for i in 0..4u8 {
        keyspace.put(vec![i], vec![i; 1500]).unwrap();
    }
    while !full.is_begun.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| db.flush());
        std::thread::sleep(Duration::from_millis(100));
        full.may_fail.store(true, Ordering::SeqCst);
        asked.join().unwrap().unwrap();
    });
    assert_eq!(db.stats().sealed_memtables, 0);
}
