//! Promise (I8): on a disk without a free byte deletions still go on, and free space, with which everything goes on, without being reopened:
//! the database keeps room for that, and takes nothing else into it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KEYS_MAX: u32 = 10_000;
const DISK_BYTES: u64 = 5 << 20;

fn options(background_threads: usize, ballast_bytes: u64) -> Options {
    Options {
        memtable_bytes: 32 << 10,
        write_buffer_bytes_max: 128 << 10,
        table_bytes: 32 << 10,
        level1_bytes: 256 << 10,
        blob_file_bytes: 64 << 10,
        l0_tables_trigger: 2,
        l0_tables_slowdown: 1000,
        debt_slowdown_bytes: 1 << 40,
        background_threads,
        ballast_bytes,
        // It stands still: a disk that was found full is not looked at again before something was freed.
        clock: Arc::new(ManualClock::new(1)),
        ..Options::default()
    }
}

fn open(vfs: &MemVfs, options: Options) -> Result<(Db, Keyspace)> {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options)?;
    let keyspace = db.keyspace("k", KeyspaceOptions::default())?;
    Ok((db, keyspace))
}

fn key(i: u32) -> Vec<u8> {
    i.to_be_bytes().to_vec()
}

/// Bytes that do not compress.
fn value(i: u32) -> Vec<u8> {
    let mut state = u64::from(i) * 2 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..1000).map(|_| next()).collect()
}

fn put(db: &Db, keyspace: &Keyspace, i: u32) -> Result<()> {
    let mut batch = db.batch();
    batch.put(keyspace, key(i), value(i));
    db.write(batch, Durability::Buffered).map(drop)
}

/// Puts until the disk is full and nothing more is taken; gives how many there are.
fn fill(db: &Db, keyspace: &Keyspace) -> u32 {
    let mut refused = 0;
    let mut count = 0;
    while refused < 20 {
        match put(db, keyspace, count) {
            Ok(()) => (count, refused) = (count + 1, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                refused += 1;
            }
        }
        assert!(count < KEYS_MAX, "the disk is never full");
    }
    count
}

fn ballast_bytes(vfs: &MemVfs) -> u64 {
    vfs.bytes(Path::new("db/BALLAST")).map_or(0, |bytes| bytes.len() as u64)
}

/// What is done in the background may take a moment, and try again what failed.
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(holds(), "{what}");
}

fn deletions_free_a_full_disk(background_threads: usize) {
    let vfs = MemVfs::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let listener = move |event: &Event| {
        if matches!(event, Event::DiskFull { .. } | Event::DiskHasRoom { .. }) {
            log.lock().unwrap().push(event.clone());
        }
    };
    let (db, keyspace) = {
        let options = Options { listener: Some(Arc::new(listener)), ..options(background_threads, 64 << 20) };
        open(&vfs, options).unwrap()
    };
    vfs.limit_space(Some(DISK_BYTES));
    let mut count = fill(&db, &keyspace);
    assert!(count > 2000, "{count}");
    // By a flush or merge, or else by what frees space. A merge that took the last room may have ended since: then there is some again.
    soon("the ballast is given up", || {
        while put(&db, &keyspace, count).is_ok() {
            count += 1;
            assert!(count < KEYS_MAX, "the disk is never full");
        }
        keyspace.delete("nothing").unwrap();
        db.stats().is_disk_full
    });
    // Reading goes on, and what would only add data is told why it is not taken.
    for i in 0..count {
        assert_eq!(keyspace.get(&key(i)).unwrap().unwrap(), value(i));
    }
    let refused = put(&db, &keyspace, count).unwrap_err().to_string();
    assert!(refused.contains("only what frees space is written"), "{refused}");
    let bin = Bin { class: 0, due_ms: 1 };
    let blob = db.append_blob(&keyspace, bin, b"blob", &value(7), Compression::None);
    assert_eq!(blob.map(drop).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!(db.ingest(&keyspace).map(drop).unwrap_err().kind(), ErrorKind::NoSpace);

    // Deletions go on, one by one and by ranges, and what notes them.
    for i in 0..100 {
        keyspace.delete(key(i)).unwrap();
    }
    let mut batch = db.batch();
    batch.delete(&keyspace, key(100));
    batch.put(&keyspace, "note", "100 is gone");
    batch.use_reserve();
    db.write(batch, Durability::Sync).unwrap();
    // What stays is many times the ballast: the tables of what goes must go before the others are merged.
    let kept = count / 4 * 3;
    keyspace.delete_range(key(101)..key(kept)).unwrap();
    soon("space is freed", || db.compact().is_ok());
    soon("there is room again", || !db.stats().is_disk_full);
    for i in 0..1000 {
        put(&db, &keyspace, i).unwrap();
    }
    db.flush().unwrap();
    assert_eq!(keyspace.range(..).count() as u32, 1000 + (count - kept) + 1);
    assert!(db.verify().unwrap().is_sound());
    drop(keyspace);
    db.close().unwrap();
    let seen = seen.lock().unwrap();
    assert!(matches!(seen[0], Event::DiskFull { ballast_bytes: 65536.. }), "{seen:?}");
    assert!(matches!(seen.last().unwrap(), Event::DiskHasRoom { .. }), "{seen:?}");
    let (_db, keyspace) = open(&vfs.crash(), options(1, 0)).unwrap();
    assert_eq!(keyspace.range(..).count() as u32, 1000 + (count - kept) + 1);
}

#[test]
fn deletions_free_a_full_disk_without_threads() {
    deletions_free_a_full_disk(0);
}

#[test]
fn deletions_free_a_full_disk_beside_the_background() {
    deletions_free_a_full_disk(2);
}

/// What the ballast is for.
#[test]
fn without_a_ballast_a_full_disk_stays_full() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs, options(0, 0)).unwrap();
    vfs.limit_space(Some(DISK_BYTES));
    let count = fill(&db, &keyspace);
    vfs.limit_space(Some(vfs.used_bytes()));
    let deleted = || -> Result<()> {
        for i in 0..count {
            keyspace.delete(key(i))?;
        }
        db.compact()
    };
    assert_eq!(deleted().unwrap_err().kind(), ErrorKind::NoSpace);
}

#[test]
fn a_full_disk_can_be_opened_and_emptied() {
    let vfs = MemVfs::new();
    // What was not flushed must fit into the ballast: opening flushes it.
    let options = || Options { memtable_bytes: 16 << 10, ..options(0, 64 << 20) };
    let (db, keyspace) = open(&vfs, options()).unwrap();
    for i in 0..3000 {
        put(&db, &keyspace, i).unwrap();
    }
    db.sync().unwrap();
    let held = ballast_bytes(&vfs);
    assert!(held >= 64 << 10 && held == db.stats().ballast_bytes, "{held}");
    let vfs = vfs.kill();
    vfs.limit_space(Some(vfs.used_bytes()));
    let without = vfs.kill();
    let (db, keyspace) = open(&vfs, options()).unwrap();
    assert_eq!(keyspace.range(..).count(), 3000);
    keyspace.delete_range(key(0)..key(2990)).unwrap();
    db.compact().unwrap();
    assert!(!db.stats().is_disk_full && vfs.used_bytes() < 1 << 20);
    put(&db, &keyspace, 1).unwrap();
    // It would not open without.
    without.remove(Path::new("db/BALLAST")).unwrap();
    without.limit_space(Some(without.used_bytes()));
    assert_eq!(open(&without, options()).map(drop).unwrap_err().kind(), ErrorKind::NoSpace);
}

#[test]
fn the_ballast_follows_the_size_of_the_database_and_the_option() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs, options(0, 64 << 10)).unwrap();
    for i in 0..1000 {
        put(&db, &keyspace, i).unwrap();
    }
    db.flush().unwrap();
    assert_eq!(ballast_bytes(&vfs), 0, "a small one has none");
    for i in 1000..5000 {
        put(&db, &keyspace, i).unwrap();
    }
    db.compact().unwrap();
    assert_eq!(ballast_bytes(&vfs), 64 << 10, "no more than the option says");
    drop((db, keyspace));
    let (db, keyspace) = open(&vfs, options(0, 64 << 20)).unwrap();
    assert_eq!(ballast_bytes(&vfs), 128 << 10);
    // It counts as it is found.
    drop((db, keyspace));
    let (db, keyspace) = open(&vfs, options(0, 64 << 20)).unwrap();
    assert_eq!((ballast_bytes(&vfs), db.stats().ballast_bytes), (128 << 10, 128 << 10));
    keyspace.delete_range(key(0)..key(5000)).unwrap();
    db.compact().unwrap();
    assert_eq!(ballast_bytes(&vfs), 0);
    assert!(Options { ballast_bytes: 1, ..Options::default() }.validate().is_err());
}
