use crate::*;
use std::path::Path;
use std::sync::Arc;

fn open(vfs: &MemVfs) -> (Db, Keyspace) {
    let options = Options {
        memtable_bytes: 64 << 10,
        block_bytes: 256,
        table_bytes: 2 << 10,
        level1_bytes: 8 << 10,
        l0_tables_trigger: 2,
        ..Options::default()
    };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

fn key(i: u32) -> Vec<u8> {
    format!("key{i:05}").into_bytes()
}

/// Bytes that do not compress, so that there are many tables.
fn value(i: u32) -> Vec<u8> {
    let mut state = u64::from(i) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..60).map(|_| next()).collect()
}

fn fill(db: &Db, keyspace: &Keyspace, keys: std::ops::Range<u32>) {
    let mut batch = db.batch();
    keys.for_each(|i| batch.put(keyspace, key(i), value(i)));
    db.write(batch, Durability::Buffered).unwrap();
}

fn tables(db: &Db) -> usize {
    db.stats().keyspaces[0].levels.iter().map(|(tables, _)| tables).sum()
}

fn range_tombstones(db: &Db) -> u64 {
    db.stats().keyspaces[0].range_tombstones
}

#[test]
fn a_deleted_range_leaves_nothing_behind() {
    let (db, ks) = open(&MemVfs::new());
    fill(&db, &ks, 0..400);
    db.compact().unwrap();
    let full = tables(&db);
    ks.delete_range(key(100)..key(300)).unwrap();
    assert_eq!(ks.range(..).count(), 200);
    db.flush().unwrap();
    assert_eq!(ks.range(..).rev().count(), 200);
    db.compact().unwrap();
    assert_eq!(ks.range(..).count(), 200);
    assert_eq!((range_tombstones(&db), db.stats().keyspaces[0].entries), (0, 200));
    assert!(tables(&db) <= full / 2 + 1, "{} of {full}", tables(&db));
    ks.delete_range(..).unwrap();
    db.compact().unwrap();
    assert_eq!((tables(&db), range_tombstones(&db)), (0, 0));
}

#[test]
fn a_range_deletion_without_anything_below_is_not_kept() {
    let (db, ks) = open(&MemVfs::new());
    fill(&db, &ks, 0..10);
    ks.delete_range(key(0)..key(99)).unwrap();
    db.flush().unwrap();
    assert_eq!(tables(&db), 0);
}

/// The tombstone is newer than the snapshot, the keys are older: both stay until it goes.
#[test]
fn a_snapshot_keeps_what_a_range_deletion_hides() {
    let (db, ks) = open(&MemVfs::new());
    fill(&db, &ks, 0..300);
    let before = db.snapshot();
    ks.delete_range(key(50)..=key(249)).unwrap();
    fill(&db, &ks, 100..110);
    let after = db.snapshot();
    ks.delete_range(..).unwrap();
    for _ in 0..2 {
        assert_eq!(ks.range(..).count(), 0);
        assert_eq!(before.range(&ks, ..).count(), 300);
        assert_eq!(after.range(&ks, ..).rev().count(), 110);
        assert_eq!(after.get(&ks, &key(99)).unwrap(), None);
        assert_eq!(after.get(&ks, &key(105)).unwrap().unwrap(), value(105));
        assert_eq!(before.get(&ks, &key(99)).unwrap().unwrap(), value(99));
        let many = after.multi_get(&ks, [key(0), key(50), key(100), key(249), key(250)]).unwrap();
        assert_eq!(
            many,
            [Some(value(0).into()), None, Some(value(100).into()), None, Some(value(250).into())]
        );
        db.compact().unwrap();
    }
    drop((before, after));
    db.compact().unwrap();
    assert_eq!((tables(&db), range_tombstones(&db)), (0, 0));
}

/// Each output of a compaction gets its part, so that no key of any table comes back.
#[test]
fn a_tombstone_over_many_tables_is_cut_where_they_are() {
    let (db, ks) = open(&MemVfs::new());
    let snapshot = db.snapshot();
    fill(&db, &ks, 0..400);
    let filled = db.snapshot();
    ks.delete_range(key(7)..key(393)).unwrap();
    db.compact().unwrap();
    let tree = db.inner.read_state().tree(ks.id()).unwrap().clone();
    let tables: Vec<_> = tree.tables().cloned().collect();
    assert!(tables.len() > 8 && tables.iter().filter(|table| !table.ranges.is_empty()).count() > 8);
    for pair in tables.windows(2) {
        assert!(pair[0].properties.ends_before(&pair[1].properties.smallest));
    }
    for i in 0..400 {
        assert_eq!(ks.get(&key(i)).unwrap().is_some(), !(7..393).contains(&i));
        assert!(filled.get(&ks, &key(i)).unwrap().is_some());
    }
    // Between keys, too.
    let hidden = tree.ranges().newest_over(b"key00007\0", Seqno(u64::MAX >> 8));
    assert!(hidden.is_some() && tree.ranges().len() == 1, "{:?}", tree.ranges());
    assert!(db.verify().unwrap().problems.is_empty());
    drop((snapshot, filled));
}

#[test]
fn requirements_heed_range_deletions() {
    for settle in [false, true] {
        let (db, ks) = open(&MemVfs::new());
        let version = ks.put("b", "1").unwrap();
        let before = db.snapshot();
        ks.delete_range(b"a".to_vec()..b"c".to_vec()).unwrap();
        if settle {
            db.compact().unwrap();
        }
        let refused = |fill: &dyn Fn(&mut WriteBatch)| {
            let mut batch = db.batch();
            fill(&mut batch);
            batch.put(&ks, "z", "");
            db.write(batch, Durability::Sync).err().map(|error| error.kind())
        };
        assert_eq!(refused(&|batch| batch.require_version(&ks, "b", version)), Some(ErrorKind::Conflict));
        assert_eq!(refused(&|batch| batch.require_unchanged(&ks, "b", &before)), Some(ErrorKind::Conflict));
        assert_eq!(refused(&|batch| batch.require_unchanged(&ks, "bb", &before)), Some(ErrorKind::Conflict));
        assert_eq!(refused(&|batch| batch.require_unchanged(&ks, "c", &before)), None);
        assert_eq!(refused(&|batch| batch.require_absent(&ks, "b")), None);
    }
}

#[test]
fn range_deletions_are_replayed() {
    let mut vfs = MemVfs::new();
    for round in 0..3 {
        let (db, ks) = open(&vfs);
        assert_eq!(ks.range(..).count(), if round == 0 { 0 } else { 20 });
        fill(&db, &ks, 0..100);
        ks.delete_range(key(10)..key(90)).unwrap();
        assert_eq!(ks.range(..).count(), 20);
        vfs = if round == 0 { vfs.crash() } else { vfs.kill() };
    }
}

#[test]
fn odd_ranges() {
    let (db, ks) = open(&MemVfs::new());
    let longest = vec![0xff; KEY_BYTES_MAX];
    for key in [&b""[..], b"a", &longest] {
        ks.put(key.to_vec(), "v").unwrap();
    }
    ks.delete_range(b"b".to_vec()..b"a".to_vec()).unwrap();
    ks.delete_range(b"a".to_vec()..b"a".to_vec()).unwrap();
    assert_eq!(ks.range(..).count(), 3);
    ks.delete_range(b"a".to_vec()..longest.clone()).unwrap();
    assert_eq!(ks.range(..).count(), 2);
    ks.delete_range(b"a".to_vec()..=longest.clone()).unwrap();
    ks.delete_range(..=Vec::new()).unwrap();
    assert_eq!(ks.range(..).count(), 0);
    ks.put(longest.clone(), "v").unwrap();
    ks.delete_range(..).unwrap();
    db.flush().unwrap();
    assert_eq!(ks.range(..).count(), 0);
    let mut batch = db.batch();
    batch.delete_range(&ks, "a", vec![0xff; KEY_BYTES_MAX + 2]);
    assert_eq!(db.write(batch, Durability::Sync).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// Tables that are hidden as a whole are not read.
#[test]
fn iterating_over_a_deleted_range_reads_no_table_of_it() {
    let (db, ks) = open(&MemVfs::new());
    fill(&db, &ks, 0..400);
    db.compact().unwrap();
    let all = db.inner.read_state();
    ks.delete_range(key(2)..key(398)).unwrap();
    let tables: Vec<_> = all.tree(ks.id()).unwrap().tables().cloned().collect();
    let damaged = &tables[tables.len() / 2];
    db.inner.cache.clear();
    let vfs = &db.inner.vfs;
    let file = vfs.open(damaged.path()).unwrap();
    file.write_all_at(&[0xff; 64], 20).unwrap();
    assert_eq!(ks.range(..).map(Result::unwrap).count(), 4);
    assert_eq!(ks.range(..).rev().map(Result::unwrap).count(), 4);
    db.compact().unwrap();
    assert_eq!(ks.range(..).map(Result::unwrap).count(), 4);
}
