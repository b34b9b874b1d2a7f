//! Promise: values that a flush puts into blob files are read, required, snapshotted and recovered like any others, and what
//! overwriting them leaves behind is collected while the database is in use.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use patina_storage::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SEPARATE: KeyspaceOptions =
    KeyspaceOptions { compression: [TableCompression::None; 7], separate_bytes: Some(100), blob_class: 3 };

fn options() -> Options {
    Options {
        memtable_bytes: 32 << 10,
        block_bytes: 512,
        table_bytes: 4 << 10,
        level1_bytes: 64 << 10,
        blob_file_bytes: 32 << 10,
        l0_tables_trigger: 3,
        ..Options::default()
    }
}

fn open(vfs: &MemVfs) -> Result<(Db, Keyspace)> {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options())?;
    let values = db.keyspace("values", SEPARATE)?;
    Ok((db, values))
}

/// Noise, so that compression does not blur the sums.
fn value(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(next).collect()
}

fn put(db: &Db, values: &Keyspace, key: String, value: Vec<u8>) -> Result<Seqno> {
    let mut batch = db.batch();
    batch.put(values, key, value);
    db.write(batch, Durability::Buffered)
}

fn blob_bytes(vfs: &MemVfs) -> u64 {
    let names = vfs.list(Path::new("db")).unwrap();
    let blobs = names.iter().filter(|name| name.ends_with(".blob"));
    blobs.map(|name| vfs.bytes(&Path::new("db").join(name)).unwrap().len() as u64).sum()
}

/// Waits until the background has nothing to do any more.
fn rest(vfs: &MemVfs) {
    let mut quiet = 0;
    let mut last = vfs.writes();
    for _ in 0..2000 {
        std::thread::sleep(Duration::from_millis(5));
        let now = vfs.writes();
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
        if quiet > 20 {
            return;
        }
    }
    panic!("the background does not come to rest");
}

#[test]
fn long_values_leave_the_tables_and_nobody_notices() {
    let vfs = MemVfs::new();
    let (db, values) = open(&vfs).unwrap();
    let short = values.put("short", value(1, 99)).unwrap();
    let long = values.put("long", value(2, 100)).unwrap();
    let before = db.snapshot();
    db.flush().unwrap();
    assert_eq!(values.blob_ref(b"short").unwrap(), None);
    let (blob, seqno) = values.blob_ref(b"long").unwrap().unwrap();
    assert_eq!((blob.len, seqno), (100, long));
    let listed = db.blob_files(&values).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].separated, listed[0].sealed, listed[0].garbage_bytes), (true, true, 0));
    assert_eq!(listed[0].bin, Bin { class: 3, due_ms: 0 });

    assert_eq!(values.get_versioned(b"long").unwrap().unwrap(), (value(2, 100).into(), long));
    let mut batch = db.batch();
    batch.require_version(&values, "long", long);
    batch.require_version(&values, "short", short);
    batch.require_unchanged(&values, "", &before);
    batch.put(&values, "long", value(3, 200));
    db.write(batch, Durability::Sync).unwrap();
    db.compact().unwrap();
    assert_eq!(before.get(&values, b"long").unwrap().unwrap(), value(2, 100));
    assert_eq!(values.get(b"long").unwrap().unwrap(), value(3, 200));
    let found: Vec<_> = values.range(..).map(|entry| entry.unwrap().value().unwrap().len()).collect();
    assert_eq!(found, [200, 99]);
    assert!(db.verify().unwrap().problems.is_empty());
}

/// A value that was written before the option was set leaves with the next merge.
#[test]
fn a_changed_threshold_counts_for_what_is_written_next() {
    let vfs = MemVfs::new();
    let (db, values) = open(&vfs).unwrap();
    db.set_keyspace_options(&values, KeyspaceOptions { separate_bytes: None, blob_class: 0, ..SEPARATE })
        .unwrap();
    values.put("a", value(1, 500)).unwrap();
    db.flush().unwrap();
    assert_eq!(values.blob_ref(b"a").unwrap(), None);
    db.set_keyspace_options(&values, SEPARATE).unwrap();
    db.compact().unwrap();
    assert_eq!(values.blob_ref(b"a").unwrap().unwrap().0.len, 500);
    assert_eq!(values.get(b"a").unwrap().unwrap(), value(1, 500));
}

/// The bound of the issue: 1.5 × of the live bytes at rest, in blob files, for a workload that overwrites at random.
#[test]
fn overwriting_at_random_takes_less_than_half_again_the_space_at_rest() {
    let vfs = MemVfs::new();
    let (db, values) = open(&vfs).unwrap();
    let (keys, len) = (400u64, 700);
    let mut model = BTreeMap::new();
    for round in 0..6000u64 {
        let key = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let key = if round < keys { round } else { key % keys };
        put(&db, &values, format!("{key:05}"), value(round, len)).unwrap();
        model.insert(key, round);
    }
    db.flush().unwrap();
    rest(&vfs);
    let live = keys * (len as u64 + 36 + 5);
    let amplification = blob_bytes(&vfs) as f64 / live as f64;
    assert!(amplification < 1.5, "{amplification}");
    for (key, round) in &model {
        assert_eq!(values.get(format!("{key:05}").as_bytes()).unwrap().unwrap(), value(*round, len));
    }
    // Without a reader of the past nothing stays of what is deleted.
    for key in 0..keys {
        values.delete(format!("{key:05}")).unwrap();
    }
    db.compact().unwrap();
    assert_eq!(blob_bytes(&vfs), 0);
}

#[test]
fn the_files_of_many_small_flushes_are_merged() {
    let vfs = MemVfs::new();
    let (db, values) = open(&vfs).unwrap();
    let keys = || (0..4u64).flat_map(|place| (0..60u64).map(move |flush| (place, flush)));
    let key = |(place, flush): (u64, u64)| format!("{place}/{flush:03}/{}", "k".repeat(40));
    for flush in 0..60 {
        for place in 0..4 {
            put(&db, &values, key((place, flush)), value(flush, 120)).unwrap();
        }
        db.flush().unwrap();
    }
    db.compact().unwrap();
    rest(&vfs);
    let files = db.blob_files(&values).unwrap().len();
    assert!(files <= 30, "{files} files of 60 flushes");
    for at in keys() {
        assert_eq!(values.get(key(at).as_bytes()).unwrap().unwrap(), value(at.1, 120));
    }
}

#[test]
fn snapshots_and_iterators_keep_what_they_see_while_their_files_are_emptied() {
    let vfs = MemVfs::new();
    let (db, values) = open(&vfs).unwrap();
    for key in 0..200u64 {
        put(&db, &values, format!("{key:05}"), value(key, 300)).unwrap();
    }
    db.compact().unwrap();
    let snapshot = db.snapshot();
    // No write comes between this iterator and the moves: only its snapshot keeps the files that it refers to.
    let mut iterator = values.range(..);
    let first = iterator.next().unwrap().unwrap();
    for round in 0..3u64 {
        for key in (0..200u64).filter(|key| key % 4 != round) {
            put(&db, &values, format!("{key:05}"), value(1000 * round + key, 300)).unwrap();
        }
        db.compact().unwrap();
    }
    assert_eq!(first.value().unwrap(), value(0, 300));
    for (key, entry) in (1..200u64).zip(iterator) {
        assert_eq!(entry.unwrap().value().unwrap(), value(key, 300), "{key}");
    }
    for key in 0..200u64 {
        let found = snapshot.get(&values, format!("{key:05}").as_bytes()).unwrap().unwrap();
        assert_eq!(found, value(key, 300), "{key}");
    }
    drop((snapshot, first));
    db.compact().unwrap();
    let live = 200 * (300 + 36 + 5);
    assert!(blob_bytes(&vfs) < live * 3 / 2, "{} of {live}", blob_bytes(&vfs));
}

/// Readers without a snapshot look again when a file went between look-up and read.
#[test]
fn readers_go_on_while_values_move() {
    let vfs = MemVfs::new();
    let (db, values) = open(&vfs).unwrap();
    for key in 0..100u64 {
        put(&db, &values, format!("{key:05}"), value(7, 400)).unwrap();
    }
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for round in 0..2000u64 {
                        let key = format!("{:05}", round % 100);
                        assert_eq!(values.get(key.as_bytes()).unwrap().unwrap().len(), 400);
                    }
                })
            })
            .collect();
        for round in 0..15u64 {
            for key in (0..100).filter(|key| (key + round) % 3 != 0) {
                put(&db, &values, format!("{key:05}"), value(round, 400)).unwrap();
            }
            db.compact().unwrap();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// One record of a file is damaged: it stays, and says so; all else is collected and read as before.
#[test]
fn a_damaged_value_does_not_stop_the_collection() {
    let vfs = MemVfs::new();
    let (db, values) = open(&vfs).unwrap();
    for key in 0..40u64 {
        put(&db, &values, format!("{key:05}"), value(key, 300)).unwrap();
    }
    db.compact().unwrap();
    let (blob, _) = values.blob_ref(b"00007").unwrap().unwrap();
    let path = Path::new("db").join(format!("{:06}.blob", blob.file.0));
    vfs.damage(&path, |bytes| bytes[blob.offset as usize + 60] ^= 1).unwrap();
    for key in (0..40u64).filter(|key| key % 8 != 7) {
        put(&db, &values, format!("{key:05}"), value(key + 1, 300)).unwrap();
    }
    db.compact().unwrap();
    db.compact().unwrap();
    for key in 0..40u64 {
        let found = values.get(format!("{key:05}").as_bytes());
        match key {
            7 => assert_eq!(found.unwrap_err().kind(), ErrorKind::Corruption),
            _ => assert_eq!(found.unwrap().unwrap(), value(key + u64::from(key % 8 != 7), 300), "{key}"),
        }
    }
}

fn script(vfs: &MemVfs, acknowledged: &mut BTreeMap<u64, u64>) -> Result<()> {
    let (db, values) = open(vfs)?;
    for round in 0..4u64 {
        for key in (0..12u64).filter(|key| key % 4 != round) {
            values.put(format!("{key:05}"), value(100 * round + key, 3000))?;
            acknowledged.insert(key, round);
        }
        db.flush()?;
        db.compact()?;
    }
    db.close()
}

#[test]
fn a_crash_at_any_call_of_separating_and_collecting_loses_nothing() {
    let whole = MemVfs::new();
    script(&whole, &mut BTreeMap::new()).unwrap();
    let calls = whole.writes();
    assert!(calls > 100, "{calls} calls");
    for call in 0..calls {
        let vfs = MemVfs::new();
        vfs.fail_after(call);
        let mut acknowledged = BTreeMap::new();
        let _ = script(&vfs, &mut acknowledged);
        for (vfs, how) in [(vfs.crash(), "power loss"), (vfs.kill(), "kill")] {
            let (db, values) = open(&vfs).unwrap_or_else(|error| panic!("{how} at {call}: {error}"));
            for (key, round) in &acknowledged {
                let found = values.get(format!("{key:05}").as_bytes()).unwrap().unwrap();
                // A write that failed may count all the same.
                let is_newer = (*round..4).any(|round| found == value(100 * round + key, 3000));
                assert!(is_newer, "{how} at {call}: key {key} of round {round} is lost");
            }
            db.compact().unwrap();
            let report = db.verify().unwrap();
            assert!(report.problems.is_empty(), "{how} at {call}: {:?}", report.problems);
            let live = values.range(..).count() as u64 * 3041;
            assert!(
                blob_bytes(&vfs) <= live * 3 / 2 + 4096,
                "{how} at {call}: {} of {live}",
                blob_bytes(&vfs)
            );
        }
    }
}

#[test]
fn a_full_disk_while_separating_loses_nothing_and_passes() {
    for room in 0..60 {
        let vfs = MemVfs::new();
        let (db, values) = open(&vfs).unwrap();
        for key in 0..10u64 {
            values.put(format!("{key:05}"), value(key, 3000)).unwrap();
        }
        vfs.fill_after(room);
        let full = db.flush().and_then(|()| db.compact());
        vfs.heal();
        db.flush().unwrap();
        db.compact().unwrap();
        for key in 0..10u64 {
            assert_eq!(values.get(format!("{key:05}").as_bytes()).unwrap().unwrap(), value(key, 3000));
        }
        // No file is left of the attempts that failed.
        let live = 10 * 3041;
        assert!(blob_bytes(&vfs) < live * 3 / 2, "{} of {live} after {room}", blob_bytes(&vfs));
        if full.is_ok() {
            return;
        }
    }
    panic!("separating takes more than 60 calls");
}
