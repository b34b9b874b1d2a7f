//! Promise: after keys were filled, overwritten, half deleted and the database compacted, it takes at most 1.2 times the bytes that live.
//!
//! 100 000 keys by default; ten million with `PATINA_LONG_TESTS=1` (run it with `--release`). Values are noise, so that compression hides nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;

const KEY_BYTES: u64 = 16;
const VALUE_BYTES: u64 = 100;
const BATCH: u64 = 1000;
const AMPLIFICATION_MAX: f64 = 1.2;

fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Random order: the numbers are mixed, not the keys sorted.
fn key(n: u64) -> Vec<u8> {
    [mix(n), n].map(u64::to_be_bytes).concat()
}

fn value(n: u64, generation: u64) -> Vec<u8> {
    let words =
        (0..VALUE_BYTES.div_ceil(8)).flat_map(|word| mix(n ^ word << 40 ^ generation << 56).to_le_bytes());
    words.take(VALUE_BYTES as usize).collect()
}

fn write(db: &Db, keys: std::ops::Range<u64>, mut op: impl FnMut(&mut WriteBatch, u64)) {
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        let mut batch = db.batch();
        for n in keys.by_ref().take(BATCH as usize) {
            op(&mut batch, n);
        }
        db.write(batch, Durability::Buffered).unwrap();
    }
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn the_disk_holds_little_but_what_lives() {
    let is_long = std::env::var_os("PATINA_LONG_TESTS").is_some();
    let keys: u64 = if is_long { 10_000_000 } else { 100_000 };
    // The data is as many times larger than a memtable either way.
    let scale = if is_long { Options::default().memtable_bytes } else { 512 << 10 };
    let options = Options {
        memtable_bytes: scale,
        table_bytes: scale as u64 / 2,
        level1_bytes: 2 * scale as u64,
        ..Options::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path(), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();

    write(&db, 0..keys, |batch, n| batch.put(&keyspace, key(n), value(n, 0)));
    write(&db, 0..keys, |batch, n| batch.put(&keyspace, key(n), value(n, 1)));
    write(&db, 0..keys / 2, |batch, n| batch.delete(&keyspace, key(2 * n)));
    db.compact().unwrap();

    let live = keys / 2 * (KEY_BYTES + VALUE_BYTES);
    let disk = disk_bytes(folder.path());
    let amplification = disk as f64 / live as f64;
    println!("{disk} bytes on disk for {live} that live: {amplification:.3}");
    assert!(amplification <= AMPLIFICATION_MAX, "{disk} bytes for {live}: {:?}", db.stats());

    let mut found = 0;
    for entry in keyspace.range(..) {
        let entry = entry.unwrap();
        let n = u64::from_be_bytes(entry.key()[8..].try_into().unwrap());
        assert_eq!(n % 2, 1, "a deleted key is back");
        assert_eq!(entry.value().unwrap(), value(n, 1));
        found += 1;
    }
    assert_eq!(found, keys / 2);
    drop(keyspace);
    db.close().unwrap();
}
