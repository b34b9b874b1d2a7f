//! Promise: any number of threads that judge the records of a bin leave the same files as one; a record that cannot be judged stops no
//! other; a compaction can be ended early; what the owner does not want is not looked at; and what each reader sees is the old value or
//! the new one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const DUE: Bin = Bin { class: 0, due_ms: 7 };

fn open(vfs: &MemVfs, threads: usize) -> Result<(Db, Keyspace)> {
    let options = Options {
        transform_threads: threads,
        transform_bytes_max: 64 << 10,
        background_threads: 0,
        clock: Arc::new(ManualClock::new(0)),
        ..Options::default()
    };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options)?;
    let files = db.keyspace("files", KeyspaceOptions::default())?;
    Ok((db, files))
}

fn value(i: usize) -> Vec<u8> {
    let len = if i.is_multiple_of(17) { 300_000 } else { 2000 + 37 * i };
    (0..len).map(|n| ((n * (2 * i + 3)) >> 4) as u8).collect()
}

fn key(i: usize) -> String {
    format!("{i:03}")
}

fn number(key: &[u8]) -> usize {
    std::str::from_utf8(key).unwrap().parse().unwrap()
}

fn fill(db: &Db, files: &Keyspace, count: usize) {
    let mut batch = db.batch();
    for i in 0..count {
        let blob = db.append_blob(files, DUE, key(i).as_bytes(), &value(i), Compression::Dense).unwrap();
        batch.put_blob(files, key(i), &blob);
    }
    db.write(batch, Durability::Sync).unwrap();
    db.seal_bins().unwrap();
}

/// Of each ten records: one is kept, one carried, one compressed anew, one removed, the others halved.
struct Owner {
    db: Db,
    files: Keyspace,
    judged: AtomicUsize,
    /// A key whose judging panics, and one that fails.
    panics_at: Option<usize>,
    fails_at: Option<usize>,
    cancelled_after: usize,
    wants: fn(usize) -> bool,
}

impl Owner {
    fn new(db: &Db, files: &Keyspace) -> Self {
        Self {
            db: db.clone(),
            files: files.clone(),
            judged: AtomicUsize::new(0),
            panics_at: None,
            fails_at: None,
            cancelled_after: usize::MAX,
            wants: |_| true,
        }
    }
}

impl BinOwner for Owner {
    type Plan = (bytes::Bytes, Seqno);

    fn wants(&self, key: &[u8]) -> bool {
        (self.wants)(number(key))
    }

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Self::Plan>> {
        self.judged.fetch_add(1, Ordering::SeqCst);
        if record.bin.class > 0 {
            return Ok(Judgement::Keep { bin: record.bin });
        }
        let i = number(&record.key);
        assert_ne!(Some(i), self.panics_at, "poisoned");
        if Some(i) == self.fails_at {
            return Err(Error::owner("this one is to fail".into()));
        }
        let bin = Bin { class: 1, due_ms: 9 };
        let value = match i % 10 {
            0 => return Ok(Judgement::Keep { bin: record.bin }),
            1 => return Ok(Judgement::Carry { bin }),
            2 => Some(NewValue::Same),
            3 => None,
            _ => Some(NewValue::Bytes(record.read()?.slice(..record.blob.len as usize / 2))),
        };
        let compression = Compression::Strong;
        let outputs = value.map(|value| NewBlob { key: record.key.clone(), value, bin, compression });
        Ok(Judgement::Rewrite {
            outputs: outputs.into_iter().collect(),
            plan: (record.key.clone(), record.seqno),
        })
    }

    fn commit(&self, (key, seqno): Self::Plan, blobs: &[PendingBlob]) -> Result<bool> {
        let mut batch = self.db.batch();
        batch.require_version(&self.files, key.clone(), seqno);
        match blobs {
            [blob] => batch.put_blob(&self.files, key, blob),
            _ => batch.delete(&self.files, key),
        }
        match self.db.write(batch, Durability::Buffered) {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            other => other.map(|_| true),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.judged.load(Ordering::SeqCst) >= self.cancelled_after
    }
}

/// What becomes of a record, but for the case that its compaction has not come to it.
fn outcome(i: usize) -> Option<Vec<u8>> {
    let mut value = value(i);
    match i % 10 {
        0..=2 => {}
        3 => return None,
        _ => value.truncate(value.len() / 2),
    }
    Some(value)
}

fn files_of(vfs: &MemVfs) -> BTreeMap<String, Vec<u8>> {
    let names = vfs.list(Path::new("db")).unwrap();
    names.into_iter().map(|name| (name.clone(), vfs.bytes(&Path::new("db").join(name)).unwrap())).collect()
}

fn compact_all(db: &Db, files: &Keyspace, owner: &Owner) -> Result<BinReport> {
    let mut last = BinReport::default();
    for file in db.blob_files(files)?.iter().filter(|file| file.bin == DUE) {
        last = db.compact_bin(files, file.id, owner)?;
    }
    Ok(last)
}

#[test]
fn any_number_of_threads_leaves_the_same_files() {
    let run = |threads| {
        let vfs = MemVfs::new();
        let (db, files) = open(&vfs, threads).unwrap();
        fill(&db, &files, 60);
        let report = compact_all(&db, &files, &Owner::new(&db, &files)).unwrap();
        assert_eq!((report.live, report.committed, report.failed, report.retired), (60, 48, 0, true));
        for i in 0..60 {
            assert!(files.get(key(i).as_bytes()).unwrap().as_deref() == outcome(i).as_deref(), "{i}");
        }
        assert_eq!(db.stats().transform_bytes, 0);
        db.close().unwrap();
        // The log's chunks say how much of it was durable, which is up to the moment.
        let mut files = files_of(&vfs);
        files.retain(|name, _| name.ends_with(".blob"));
        files
    };
    let one = run(1);
    for threads in [2, 4] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn what_is_not_wanted_stays_and_is_not_judged() {
    let (db, files) = open(&MemVfs::new(), 2).unwrap();
    fill(&db, &files, 60);
    let mut owner = Owner::new(&db, &files);
    // Of these twelve the even ones are kept, the others halved.
    owner.wants = |i| i.is_multiple_of(5);
    let report = compact_all(&db, &files, &owner).unwrap();
    assert_eq!(owner.judged.load(Ordering::SeqCst), 12);
    assert_eq!((report.records, report.live, report.committed, report.retired), (60, 12, 6, false));
    for i in 0..60 {
        let expected = if i % 5 == 0 { outcome(i) } else { Some(value(i)) };
        assert!(files.get(key(i).as_bytes()).unwrap() == expected.map(Into::into), "{i}");
    }
    // With more than half of the bytes wanted, the rest is judged too, carried, and the file goes.
    owner.wants = |_| true;
    let report = compact_all(&db, &files, &owner).unwrap();
    assert!(report.retired, "{report:?}");
    for i in 0..60 {
        assert!(files.get(key(i).as_bytes()).unwrap().as_deref() == outcome(i).as_deref(), "{i}");
    }
}

#[test]
fn a_file_goes_with_the_last_of_it_that_was_wanted() {
    let (db, files) = open(&MemVfs::new(), 1).unwrap();
    fill(&db, &files, 20);
    let mut others = db.batch();
    (0..20).filter(|i| i % 7 != 1).for_each(|i| others.delete(&files, key(i)));
    db.write(others, Durability::Sync).unwrap();
    let mut owner = Owner::new(&db, &files);
    owner.wants = |i| i == 15;
    let file = db.blob_files(&files).unwrap()[0].id;
    let report = db.compact_bin(&files, file, &owner).unwrap();
    assert!(!report.retired, "1 and 8 live: {report:?}");
    assert_eq!(owner.judged.swap(0, Ordering::SeqCst), 1, "15");
    files.delete("001").unwrap();
    files.delete("008").unwrap();
    assert!(db.compact_bin(&files, file, &owner).unwrap().retired);
    assert_eq!(owner.judged.into_inner(), 0);
}

#[test]
fn a_record_whose_judging_panics_stops_no_other() {
    for threads in [1, 4] {
        let (db, files) = open(&MemVfs::new(), threads).unwrap();
        fill(&db, &files, 30);
        let mut owner = Owner::new(&db, &files);
        owner.panics_at = Some(5);
        let report = compact_all(&db, &files, &owner).unwrap();
        assert_eq!((report.failed, report.committed, report.retired), (1, 23, false));
        for i in 0..30 {
            let expected = if i == 5 { Some(value(i)) } else { outcome(i) };
            assert!(files.get(key(i).as_bytes()).unwrap() == expected.map(Into::into), "{i}");
        }
        owner.panics_at = None;
        compact_all(&db, &files, &owner).unwrap();
        assert!(files.get(b"005").unwrap().unwrap() == outcome(5).unwrap());
    }
}

#[test]
fn an_error_of_the_owner_ends_it_with_what_came_before_committed() {
    for threads in [1, 4] {
        let (db, files) = open(&MemVfs::new(), threads).unwrap();
        fill(&db, &files, 40);
        let mut owner = Owner::new(&db, &files);
        owner.fails_at = Some(25);
        assert_eq!(compact_all(&db, &files, &owner).unwrap_err().kind(), ErrorKind::Owner);
        for i in 0..40 {
            let expected = if i < 25 && i % 10 > 1 { outcome(i) } else { Some(value(i)) };
            assert!(
                files.get(key(i).as_bytes()).unwrap() == expected.map(Into::into),
                "{threads} threads: {i}"
            );
        }
    }
}

#[test]
fn a_damaged_record_stays_and_stops_no_other() {
    let vfs = MemVfs::new();
    let (db, files) = open(&vfs, 4).unwrap();
    fill(&db, &files, 30);
    let (blob, _) = files.blob_ref(b"006").unwrap().unwrap();
    let path = format!("db/{:06}.blob", blob.file.0);
    vfs.damage(Path::new(&path), |bytes| bytes[blob.offset as usize + 60] ^= 1).unwrap();
    let owner = Owner::new(&db, &files);
    let report = compact_all(&db, &files, &owner).unwrap();
    assert_eq!((report.failed, report.committed, report.retired), (1, 23, false));
    assert_eq!(files.get(b"006").unwrap_err().kind(), ErrorKind::Corruption);
    assert!(files.get(b"007").unwrap().unwrap() == outcome(7).unwrap());
    // With its index gone, too, the file is known by what refers to it.
    vfs.damage(Path::new(&path), |bytes| {
        let at = bytes.len() - 3;
        bytes[at] ^= 1;
    })
    .unwrap();
    let blob = db.append_blob(&files, DUE, b"006", &value(6), Compression::None).unwrap();
    let mut batch = db.batch();
    batch.put_blob(&files, "006", &blob);
    db.write(batch, Durability::Sync).unwrap();
    drop(blob);
    compact_all(&db, &files, &owner).unwrap();
    assert!(files.get(b"006").unwrap().unwrap() == outcome(6).unwrap());
    for i in 0..30 {
        assert!(files.get(key(i).as_bytes()).unwrap() == outcome(i).map(Into::into), "{i}");
    }
}

#[test]
fn a_compaction_that_is_cancelled_keeps_what_it_has_done() {
    for threads in [1, 4] {
        let (db, files) = open(&MemVfs::new(), threads).unwrap();
        fill(&db, &files, 50);
        let mut owner = Owner::new(&db, &files);
        owner.cancelled_after = 20;
        let report = compact_all(&db, &files, &owner).unwrap();
        assert!(report.cancelled && !report.retired && report.committed > 5 && report.committed < 30);
        let mut changed = 0;
        for i in 0..50 {
            let found = files.get(key(i).as_bytes()).unwrap().map(Vec::from);
            changed += u64::from(found != Some(value(i)));
            assert!(found == outcome(i) || found == Some(value(i)), "{i}");
        }
        assert!(changed > 0 && changed <= report.committed);
        owner.cancelled_after = usize::MAX;
        assert!(compact_all(&db, &files, &owner).unwrap().retired);
    }
}

/// One record each of all that can become of one; a crash at any call leaves each as it was or as it is to be.
#[test]
fn a_crash_at_any_call_leaves_each_record_old_or_new() {
    const COUNT: usize = 24;
    let base = MemVfs::new();
    let (db, files) = open(&base, 4).unwrap();
    fill(&db, &files, COUNT);
    db.close().unwrap();
    let script = |vfs: &MemVfs| -> Result<()> {
        let (db, files) = open(vfs, 4)?;
        compact_all(&db, &files, &Owner::new(&db, &files))?;
        db.close()
    };
    let whole = base.kill();
    script(&whole).unwrap();
    let calls = whole.writes();
    // All of them take a minute.
    let step = if std::env::var_os("PATINA_LONG_TESTS").is_some() { 1 } else { 5 };
    for call in (0..=calls).step_by(step) {
        let vfs = base.kill();
        vfs.fail_after(call);
        let _ = script(&vfs);
        for (vfs, how) in [(vfs.crash(), "power loss"), (vfs.kill(), "kill")] {
            let (db, files) = open(&vfs, 4).unwrap_or_else(|error| panic!("{how} at {call}: {error}"));
            for i in 0..COUNT {
                let found = files.get(key(i).as_bytes()).unwrap().map(Vec::from);
                assert!(found == outcome(i) || found == Some(value(i)), "{how} at {call}: {i}");
            }
            compact_all(&db, &files, &Owner::new(&db, &files)).unwrap();
            for i in 0..COUNT {
                let found = files.get(key(i).as_bytes()).unwrap().map(Vec::from);
                // What was halved is in another class, and is not halved again.
                assert!(found == outcome(i), "{how} at {call}, again: {i}");
            }
        }
    }
}

#[test]
fn snapshots_read_what_they_saw_through_it_all() {
    let (db, files) = open(&MemVfs::new(), 4).unwrap();
    fill(&db, &files, 40);
    let before = db.snapshot();
    let mut reader = before.reader(&files, b"017").unwrap().unwrap();
    std::thread::scope(|scope| {
        let reads = scope.spawn(|| {
            for _ in 0..3 {
                for i in 0..40 {
                    assert!(before.get(&files, key(i).as_bytes()).unwrap().unwrap() == value(i), "{i}");
                    let now = files.get(key(i).as_bytes()).unwrap().map(Vec::from);
                    assert!(now == outcome(i) || now == Some(value(i)), "{i}");
                }
            }
        });
        assert!(compact_all(&db, &files, &Owner::new(&db, &files)).unwrap().retired);
        reads.join().unwrap();
    });
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
    assert!(read == value(17));
    let with_old = db.stats().blob_files;
    drop((before, reader));
    db.flush().unwrap();
    db.seal_bins().unwrap();
    db.compact_bin(&files, FileId(u64::MAX), &Owner::new(&db, &files)).unwrap();
    assert!(db.stats().blob_files <= with_old);
}

#[test]
fn an_overtaken_record_is_left_as_its_writer_made_it() {
    struct Overtaken(Owner);
    impl BinOwner for Overtaken {
        type Plan = (bytes::Bytes, Seqno);
        fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Self::Plan>> {
            if record.key == "007" {
                self.0.files.put("007", "a new value").unwrap();
            }
            self.0.judge(record)
        }
        fn commit(&self, plan: Self::Plan, blobs: &[PendingBlob]) -> Result<bool> {
            self.0.commit(plan, blobs)
        }
    }
    let (db, files) = open(&MemVfs::new(), 4).unwrap();
    fill(&db, &files, 12);
    let owner = Overtaken(Owner::new(&db, &files));
    let file = db.blob_files(&files).unwrap()[0].id;
    let report = db.compact_bin(&files, file, &owner).unwrap();
    assert_eq!((report.conflicts, report.committed), (1, 7));
    assert_eq!(files.get(b"007").unwrap().unwrap(), "a new value");
}
