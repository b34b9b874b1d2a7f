//! Promise: a database that was written once is read for ever, down to the last value. `fixtures/database` is one of the current formats with all
//! that these can hold; when a format gets a new version, it stays, and one of the new version comes beside it.
//!
//! What was done to it is a list of steps, [`story`], which is told twice: to a database when the fixture is written, and to maps when what
//! it holds is compared.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the fixture lies in the real file system")]

use patina_storage::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FIXTURE_BYTES_MAX: u64 = 200 << 10;
const BIN: Bin = Bin { class: 1, due_ms: 1_800_000_000_000 };

enum Step {
    /// Writes of one batch; none of them may be seen without the others.
    Batch(Vec<Write>),
    /// The same, as a transaction.
    Transaction(Vec<Write>),
    Blob(&'static str, Vec<u8>, Compression),
    Ingest(&'static str, Vec<(String, Vec<u8>)>),
    DropKeyspace(&'static str),
    /// What is there now is kept by merges until [`Step::LetGo`].
    Hold,
    LetGo,
    Flush,
    Compact,
}

enum Write {
    Put(&'static str, String, Vec<u8>),
    Delete(&'static str, String),
    DeleteRange(&'static str, String, String),
}

fn keyspaces() -> Vec<(&'static str, KeyspaceOptions)> {
    let all = |compression| KeyspaceOptions { compression: [compression; 7], ..Default::default() };
    let separated =
        KeyspaceOptions { separate_bytes: Some(100), blob_class: 3, ..all(TableCompression::Zstd) };
    vec![
        ("gone", KeyspaceOptions::default()),
        ("plain", all(TableCompression::None)),
        ("lz4", all(TableCompression::Lz4)),
        ("zstd", all(TableCompression::Zstd)),
        ("separated", separated),
        ("files", KeyspaceOptions::default()),
        ("loaded", KeyspaceOptions::default()),
    ]
}

/// The keyspaces whose tables get the same entries.
const TREES: [&str; 4] = ["plain", "lz4", "zstd", "separated"];

fn key(i: u32) -> String {
    format!("key{i:03}")
}

/// Some of it repeats, some does not.
fn value(i: u32, round: u32, len: usize) -> Vec<u8> {
    let mut noise = (i + 1).wrapping_mul(0x9e37_79b9) ^ (round + 1).wrapping_mul(0x85eb_ca6b);
    let mut bytes = format!("{i} of round {round}, ").repeat(len / 20 + 1).into_bytes();
    for byte in bytes.iter_mut().skip(len / 2) {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        *byte = noise as u8;
    }
    bytes.truncate(len);
    bytes
}

/// The streamed one has three chunks.
const STREAMED_BYTES: usize = 600_000;

fn story() -> Vec<Step> {
    let fill = |keyspace, round: u32, step: usize, first: u32| {
        let puts = (first..60).step_by(step);
        Step::Batch(
            puts.map(|i| Write::Put(keyspace, key(i), value(i, round, 40 + 5 * i as usize))).collect(),
        )
    };
    let blob = |name, value, compression| Step::Blob(name, value, compression);
    let mut steps: Vec<Step> = TREES.into_iter().map(|keyspace| fill(keyspace, 0, 1, 0)).collect();
    steps.extend([
        fill("gone", 0, 1, 0),
        blob("raw", value(1, 9, 3000), Compression::None),
        blob("fast", value(2, 9, 3000), Compression::Fast),
        blob("dense", value(3, 9, 3000), Compression::Dense),
        blob("strong", value(4, 9, 3000), Compression::Strong),
        blob("streamed", b"over and over ".repeat(STREAMED_BYTES / 14), Compression::Dense),
        blob("empty", Vec::new(), Compression::Dense),
        Step::Compact,
        // Merged under a snapshot: old versions, deletions and range deletions stay in the tables.
        Step::Hold,
    ]);
    for keyspace in TREES {
        steps.extend([
            fill(keyspace, 1, 3, 0),
            Step::Batch(vec![
                Write::Delete(keyspace, key(10)),
                Write::DeleteRange(keyspace, key(20), key(25)),
                Write::Put(keyspace, key(22), b"back again".to_vec()),
            ]),
        ]);
    }
    steps.extend([Step::Compact, Step::LetGo]);
    // Level 0.
    for keyspace in TREES {
        let deletions =
            vec![Write::Delete(keyspace, key(11)), Write::DeleteRange(keyspace, key(40), key(44))];
        steps.extend([fill(keyspace, 2, 5, 1), Step::Batch(deletions)]);
    }
    let loaded = (0..60).map(|i| (key(i), value(i, 3, 50))).collect();
    steps.extend([Step::Flush, Step::Ingest("loaded", loaded), Step::DropKeyspace("gone")]);
    // What only the log has.
    steps.extend([
        Step::Transaction(vec![
            Write::Put("plain", key(5), b"by a transaction".to_vec()),
            Write::Delete("zstd", key(6)),
        ]),
        Step::Batch(vec![
            Write::Put("separated", "long".to_owned(), value(7, 4, 900)),
            Write::DeleteRange("lz4", key(50), key(52)),
            Write::Put("loaded", key(8), Vec::new()),
        ]),
        blob("late", value(5, 9, 2000), Compression::Dense),
    ]);
    steps
}

fn options() -> Options {
    // Nothing is merged but when the story says so, and always alike.
    Options {
        background_threads: 0,
        table_bytes: 4 << 10,
        block_bytes: 1 << 10,
        l0_tables_trigger: 100,
        l0_tables_slowdown: 200,
        level1_bytes: 1 << 20,
        clock: Arc::new(ManualClock::new(1_790_000_000_000)),
        ..Options::default()
    }
}

/// Tells the story to a new database, and gives its files as a kill of the process leaves them.
fn tell() -> MemVfs {
    let vfs = MemVfs::new();
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options()).unwrap();
    let handles: BTreeMap<&str, Keyspace> =
        keyspaces().into_iter().map(|(name, options)| (name, db.keyspace(name, options).unwrap())).collect();
    let mut held = None;
    for step in story() {
        match step {
            Step::Batch(writes) => {
                let mut batch = db.batch();
                for write in writes {
                    match write {
                        Write::Put(keyspace, key, value) => batch.put(&handles[keyspace], key, value),
                        Write::Delete(keyspace, key) => batch.delete(&handles[keyspace], key),
                        Write::DeleteRange(keyspace, start, end) => {
                            batch.delete_range(&handles[keyspace], start, end)
                        }
                    }
                }
                db.write(batch, Durability::Sync).unwrap();
            }
            Step::Transaction(writes) => {
                let mut transaction = db.transaction();
                for write in writes {
                    match write {
                        Write::Put(keyspace, key, value) => transaction.put(&handles[keyspace], key, value),
                        Write::Delete(keyspace, key) => transaction.delete(&handles[keyspace], key),
                        Write::DeleteRange(keyspace, start, end) => {
                            let range = start.into_bytes()..end.into_bytes();
                            transaction.delete_range(&handles[keyspace], range).map(drop).unwrap()
                        }
                    }
                }
                transaction.commit(Durability::Sync).unwrap();
            }
            Step::Blob(key, value, compression) => {
                let (files, mut source) = (&handles["files"], &value[..]);
                let blob = db.append_blob_from(files, BIN, key.as_bytes(), &mut source, compression).unwrap();
                let mut batch = db.batch();
                batch.put_blob(files, key, &blob);
                db.write(batch, Durability::Sync).unwrap();
            }
            Step::Ingest(keyspace, entries) => {
                let mut ingest = db.ingest(&handles[keyspace]).unwrap();
                for (key, value) in &entries {
                    ingest.put(key.as_bytes(), value).unwrap();
                }
                ingest.finish().unwrap();
            }
            Step::DropKeyspace(keyspace) => db.drop_keyspace(&handles[keyspace]).unwrap(),
            Step::Hold => held = Some(db.snapshot()),
            Step::LetGo => held = None,
            Step::Flush => db.flush().unwrap(),
            Step::Compact => db.compact().unwrap(),
        }
    }
    assert!(held.is_none());
    vfs.kill()
}

type Contents = BTreeMap<&'static str, BTreeMap<String, Vec<u8>>>;

/// Tells the story to maps.
fn expected() -> Contents {
    let mut contents: Contents = keyspaces().into_iter().map(|(name, _)| (name, BTreeMap::new())).collect();
    for step in story() {
        match step {
            Step::Batch(writes) | Step::Transaction(writes) => {
                for write in writes {
                    match write {
                        Write::Put(keyspace, key, value) => {
                            contents.get_mut(keyspace).unwrap().insert(key, value);
                        }
                        Write::Delete(keyspace, key) => {
                            contents.get_mut(keyspace).unwrap().remove(&key);
                        }
                        Write::DeleteRange(keyspace, start, end) => {
                            contents.get_mut(keyspace).unwrap().retain(|key, _| *key < start || *key >= end)
                        }
                    }
                }
            }
            Step::Blob(key, value, _) => {
                contents.get_mut("files").unwrap().insert(key.to_owned(), value);
            }
            Step::Ingest(keyspace, entries) => contents.get_mut(keyspace).unwrap().extend(entries),
            Step::DropKeyspace(keyspace) => drop(contents.remove(keyspace)),
            Step::Hold | Step::LetGo | Step::Flush | Step::Compact => {}
        }
    }
    contents
}

fn fixture_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/database")
}

/// A copy of the fixture.
fn fixture() -> MemVfs {
    let vfs = MemVfs::new();
    vfs.create_dir_all(Path::new("db")).unwrap();
    let mut bytes = 0;
    for entry in fs::read_dir(fixture_dir()).unwrap() {
        let entry = entry.unwrap();
        let content = fs::read(entry.path()).unwrap();
        bytes += content.len() as u64;
        vfs.create(&Path::new("db").join(entry.file_name())).unwrap().write_all_at(&content, 0).unwrap();
    }
    assert!((1..FIXTURE_BYTES_MAX).contains(&bytes), "{bytes} bytes");
    vfs
}

fn open(vfs: &MemVfs) -> Db {
    let options = Options { create_if_missing: false, ..options() };
    Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap()
}

fn assert_sound(report: &VerifyReport) {
    assert!(report.is_sound(), "{:#?}", report.problems);
}

/// Every keyspace holds exactly what it should, whichever way it is read.
fn assert_holds(db: &Db, expected: &Contents) {
    let mut names = db.keyspaces();
    names.sort();
    assert!(names.iter().eq(expected.keys()), "{names:?}");
    for (name, expected) in expected {
        let keyspace = db.keyspace(name, KeyspaceOptions::default()).unwrap();
        let entries: Vec<_> = keyspace.range(..).map(|entry| entry.unwrap()).collect();
        let found = entries.iter().map(|entry| entry.key());
        assert!(found.eq(expected.keys()), "keys of {name}");
        for (entry, (key, value)) in entries.iter().zip(expected) {
            assert!(entry.value().unwrap() == value, "{name} {key}");
            assert!(keyspace.get(key.as_bytes()).unwrap().unwrap() == value, "{name} {key}");
        }
        let backward: Vec<_> = keyspace.range(..).rev().map(|entry| entry.unwrap().key().clone()).collect();
        assert!(backward.iter().rev().eq(expected.keys()), "keys of {name} from the end");
    }
}

/// Else it would prove less than it seems to.
fn assert_has_everything(db: &Db, found: &VerifyReport) {
    assert!(found.batches >= 3 && found.blob_files >= 3 && found.references > 60, "{found:#?}");
    for (name, options) in keyspaces().into_iter().filter(|(name, _)| *name != "gone") {
        assert_eq!(db.keyspace(name, KeyspaceOptions::default()).unwrap().options().unwrap(), options);
    }
    let stats = db.stats();
    for tree in stats.keyspaces.iter().filter(|tree| TREES.contains(&&tree.name[..])) {
        let deeper: usize = tree.levels.iter().skip(1).map(|(tables, _)| tables).sum();
        assert!(tree.levels[0].0 >= 1 && deeper >= 1, "{tree:?}");
        assert!(tree.tombstones >= 2 && tree.range_tombstones >= 2, "{tree:?}");
    }
    let (files, separated) = (keyspace(db, "files"), keyspace(db, "separated"));
    let layout = |key: &[u8]| files.blob_ref(key).unwrap().unwrap().0.layout;
    assert_eq!((layout(b"dense"), layout(b"streamed")), (BlobLayout::Whole, BlobLayout::Chunked));
    assert!(separated.blob_ref(key(59).as_bytes()).unwrap().is_some(), "it is separated");
}

fn keyspace(db: &Db, name: &str) -> Keyspace {
    db.keyspace(name, KeyspaceOptions::default()).unwrap()
}

#[test]
fn the_fixture_opens_and_holds_every_value() {
    let vfs = fixture();
    let report = Db::verify_closed(Arc::new(vfs.clone()), Path::new("db"), |_| {}).unwrap();
    assert_sound(&report);
    let db = open(&vfs);
    assert_has_everything(&db, &report);
    let mut contents = expected();
    assert_holds(&db, &contents);
    assert_sound(&db.verify().unwrap());

    // It goes on from there as any other.
    for name in TREES {
        let round = value(1, 5, 300);
        keyspace(&db, name).put(key(1), round.clone()).unwrap();
        contents.get_mut(name).unwrap().insert(key(1), round);
        keyspace(&db, name).delete(key(2)).unwrap();
        contents.get_mut(name).unwrap().remove(&key(2));
    }
    db.compact().unwrap();
    assert_holds(&db, &contents);
    db.close().unwrap();
    let db = open(&vfs);
    assert_holds(&db, &contents);
    assert_sound(&db.verify().unwrap());
}

/// So that the fixture can be made anew at any time, and is no relic of a program that is gone.
#[test]
fn the_story_told_now_gives_the_same() {
    let vfs = tell();
    let report = Db::verify_closed(Arc::new(vfs.clone()), Path::new("db"), |_| {}).unwrap();
    assert_sound(&report);
    let db = open(&vfs);
    assert_has_everything(&db, &report);
    assert_holds(&db, &expected());
}

#[test]
#[ignore = "writes the fixture anew: run it when a format has changed before a release"]
fn write_the_fixture() {
    let (vfs, dir) = (tell(), fixture_dir());
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    fs::create_dir_all(&dir).unwrap();
    // The lock names a process.
    for name in vfs.list(Path::new("db")).unwrap().into_iter().filter(|name| name != "LOCK") {
        fs::write(dir.join(&name), vfs.bytes(&Path::new("db").join(&name)).unwrap()).unwrap();
    }
}
