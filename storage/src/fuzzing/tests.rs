//! The inputs that are kept in `fuzz/` as ordinary tests: seeds, which are valid encodings, and what once found a bug; and thousands of mutations of them
//! (`PROPTEST_CASES` sets how many; `PATINA_LONG_TESTS=1` makes it 100 times as many).
#![expect(clippy::disallowed_methods, reason = "the inputs lie in the real file system")]

use super::*;
use crate::options::KeyspaceOptions;
use crate::types::{Bin, Compression, Durability};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] =
    [("log", log), ("table", table), ("blob_file", blob_file), ("manifest", manifest)];

fn dir(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind).join(target)
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let dirs = ["corpus", "regressions"].map(|kind| dir(kind, target));
    let entries = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A change of an input: where, how many bytes, and what comes in their place.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, Vec<u8>)>> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9),
        Just(vec![0xff; 9]),
        Just(vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        Just(vec![0; 16]),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0u8..12, bytes), 0..6)
}

fn mutate(seed: &[u8], mutations: &[(prop::sample::Index, u8, Vec<u8>)]) -> Vec<u8> {
    let mut data = seed.to_vec();
    for (at, removed, bytes) in mutations {
        let from = at.index(data.len() + 1);
        let to = (from + usize::from(*removed)).min(data.len());
        data.splice(from..to, bytes.iter().copied());
    }
    data
}

#[test]
fn every_kept_input_is_survived() {
    for (target, run) in TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() >= 2, "{target} has {} inputs", inputs.len());
        inputs.iter().for_each(|input| run(input));
        run(b"");
    }
}

fn cases() -> u32 {
    if std::env::var_os("PATINA_LONG_TESTS").is_some() { 150_000 } else { 1500 }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn every_mutation_of_an_input_is_survived(pick: prop::sample::Index, mutations in mutations()) {
        for (target, run) in TARGETS {
            let inputs = inputs(target);
            run(&mutate(&inputs[pick.index(inputs.len())], &mutations));
        }
    }
}

#[test]
#[ignore = "writes the seeds anew: run it when a format has changed"]
fn write_the_seeds() {
    let vfs = MemVfs::new();
    let options = Options { background_threads: 0, block_bytes: 256, ..Options::default() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new(DIR), options).unwrap();
    let separated = KeyspaceOptions { separate_bytes: Some(64), ..Default::default() };
    let keyspaces = [("plain", KeyspaceOptions::default()), ("separated", separated)]
        .map(|(name, options)| db.keyspace(name, options).unwrap());
    for keyspace in &keyspaces {
        for n in 0..12 {
            keyspace.put(format!("key{n:02}"), format!("{n} ").repeat(n * 5)).unwrap();
        }
        keyspace.delete("key03").unwrap();
        keyspace.delete_range(b"key05".to_vec()..b"key07".to_vec()).unwrap();
    }
    let bin = Bin { class: 1, due_ms: 5 };
    for (key, value) in [(&b"small"[..], vec![7; 40]), (b"streamed", vec![9; 600_000])] {
        let blob = db.append_blob(&keyspaces[0], bin, key, &value, Compression::Dense).unwrap();
        let mut batch = db.batch();
        batch.put_blob(&keyspaces[0], key.to_vec(), &blob);
        db.write(batch, Durability::Sync).unwrap();
    }
    let logs = |vfs: &MemVfs, suffix: &str| -> Vec<String> {
        vfs.list(Path::new(DIR)).unwrap().into_iter().filter(|name| name.contains(suffix)).collect()
    };
    let log_name = logs(&vfs, ".log").pop().unwrap();
    let before = vfs.kill();
    db.flush().unwrap();
    db.seal_bins().unwrap();
    keyspaces[0].put("late", "one").unwrap();
    db.close().unwrap();
    let keep = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(dir("corpus", target)).unwrap();
        fs::write(dir("corpus", target).join(name), bytes).unwrap();
    };
    let read = |vfs: &MemVfs, name: &str| vfs.bytes(&Path::new(DIR).join(name)).unwrap();
    let record_of = |vfs: &MemVfs, name: &str| {
        let id = FileId(name.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap());
        let mut reader = LogReader::open(vfs, &Path::new(DIR).join(name), id).unwrap();
        let mut records = Vec::new();
        while let Some((record, _)) = reader.next_record().unwrap() {
            records.push(record);
        }
        records
    };
    keep("log", "file", &read(&before, &log_name));
    for (n, record) in record_of(&before, &log_name).iter().enumerate().filter(|(n, _)| n % 13 == 12) {
        keep("log", &format!("batch{n}"), record);
    }
    for (n, name) in logs(&vfs, ".sst").iter().enumerate() {
        keep("table", &format!("file{n}"), &read(&vfs, name));
    }
    for payload in sst::payloads() {
        keep("table", payload.0, &payload.1);
    }
    for (n, name) in logs(&vfs, ".blob").iter().enumerate() {
        keep("blob_file", &format!("file{n}"), &read(&vfs, name));
    }
    let manifest = logs(&vfs, "MANIFEST").pop().unwrap();
    keep("manifest", "current", &read(&vfs, "CURRENT"));
    keep("manifest", "file", &read(&vfs, &manifest));
    for (n, record) in record_of(&vfs, &manifest).iter().enumerate().filter(|(_, record)| !record.is_empty())
    {
        keep("manifest", &format!("edit{n}"), record);
    }
}
