//! Promise: the memory of a process that loads a database of any size is that of the budgets in the options, and does not grow with the data.
//!
//! The test starts itself again as a child that loads and reads, and says after each sixteenth what the operating system counts as its resident
//! memory. By default 64 MiB under budgets of 3.5 MiB; `PATINA_LONG_TESTS=1` loads 4 GiB under 300 MiB (run it with `--release`).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a child tells its parent on its output")]

use patina_storage::*;
use std::process::Command;

const VALUE_BYTES: usize = 1000;
const BATCH: u64 = 64;

struct Scale {
    data_bytes: u64,
    options: Options,
    /// What the process may have resident, its program and allocator included.
    resident_bytes_max: u64,
}

fn scale() -> Scale {
    let is_long = std::env::var_os("PATINA_LONG_TESTS").is_some();
    let (data_bytes, unit, resident_bytes_max) =
        if is_long { (4 << 30, 32 << 20, 300 << 20) } else { (64 << 20, 512 << 10, 20 << 20) };
    let options = Options {
        memtable_bytes: unit,
        sealed_memtables_max: 2,
        block_cache_bytes: 2 * unit,
        table_bytes: unit as u64 / 2,
        level1_bytes: 2 * unit as u64,
        blob_file_bytes: 2 * unit as u64,
        ..Options::default()
    };
    Scale { data_bytes, options, resident_bytes_max }
}

/// Noise: nothing may get small by compression.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn key(n: u64) -> Vec<u8> {
    format!("{:016x}", mix(n)).into_bytes()
}

fn value(n: u64) -> Vec<u8> {
    (0..VALUE_BYTES as u64 / 8).flat_map(|word| mix(n ^ word << 40).to_le_bytes()).collect()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Loads, reads and scans; prints what is resident now and then.
fn load() {
    let scale = scale();
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path(), scale.options).unwrap();
    let plain = db.keyspace("plain", KeyspaceOptions::default()).unwrap();
    let apart = KeyspaceOptions { separate_bytes: Some(512), blob_class: 1, ..KeyspaceOptions::default() };
    let apart = db.keyspace("apart", apart).unwrap();
    let entries = scale.data_bytes / (VALUE_BYTES as u64 + 16);
    for first in (0..entries).step_by(BATCH as usize) {
        let mut batch = db.batch();
        for n in first..first + BATCH {
            batch.put(if n.is_multiple_of(4) { &apart } else { &plain }, key(n), value(n));
        }
        db.write(batch, Durability::Buffered).unwrap();
        let n = mix(first) % (first + BATCH);
        let keyspace = if n.is_multiple_of(4) { &apart } else { &plain };
        assert_eq!(keyspace.get(&key(n)).unwrap().unwrap(), value(n));
        if (first / BATCH).is_multiple_of(entries / BATCH / 16) {
            println!("resident {} after {first}", resident_bytes());
        }
    }
    db.flush().unwrap();
    println!("resident {} when loaded: {:?}", resident_bytes(), db.stats());
    let found = plain.range(..).filter(|entry| !entry.as_ref().unwrap().value().unwrap().is_empty()).count();
    println!("resident {} after a scan of {found}", resident_bytes());
    drop((plain, apart));
    db.close().unwrap();
}

#[test]
fn memory_stays_within_its_budgets() {
    const CHILD: &str = "PATINA_TEST_LOADS";
    if std::env::var_os(CHILD).is_some() {
        return load();
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["memory_stays_within_its_budgets", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    let resident =
        text.lines().filter_map(|line| line.split_once("resident ")?.1.split(' ').next()?.parse().ok());
    let resident: Vec<u64> = resident.collect();
    assert!(resident.len() > 16, "{text}");
    let most = resident.iter().max().unwrap();
    assert!(*most <= scale().resident_bytes_max, "{most} bytes were resident\n{text}");
}
