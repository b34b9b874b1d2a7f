//! Promise (I2): damaged bytes give the right answer or an error that names the file, never other data and never a panic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Contents = Vec<(Vec<u8>, Vec<u8>)>;

fn open(vfs: &MemVfs) -> Result<(Db, Keyspace)> {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default())?;
    let keyspace = db.keyspace("k", KeyspaceOptions::default())?;
    Ok((db, keyspace))
}

fn read_all(vfs: &MemVfs) -> Result<Contents> {
    let (_db, keyspace) = open(vfs)?;
    keyspace.range(..).map(|entry| entry.and_then(|e| Ok((e.key().to_vec(), e.value()?.to_vec())))).collect()
}

/// A table, a sealed and a recovered blob file, and a log with two records: small enough to flip each byte.
fn small_database() -> MemVfs {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs).unwrap();
    for i in 0..40 {
        keyspace.put(format!("key{i:02}"), format!("value {i}").repeat(3)).unwrap();
    }
    let blob = db
        .append_blob(&keyspace, Bin { class: 0, due_ms: 5 }, b"blob", &[9; 200], Compression::Dense)
        .unwrap();
    let mut batch = db.batch();
    batch.put_blob(&keyspace, "blob", &blob);
    db.write(batch, Durability::Sync).unwrap();
    drop(blob);
    db.flush().unwrap();
    keyspace.put("late", "one").unwrap();
    keyspace.put("later", "two").unwrap();
    drop(keyspace);
    db.close().unwrap();
    vfs
}

#[test]
fn every_flipped_byte_gives_the_right_answer_or_an_error() {
    let vfs = small_database();
    let expected = read_all(&vfs.kill()).unwrap();
    assert_eq!(expected.len(), 43);
    let mut flipped = 0;
    for name in vfs.list(Path::new("db")).unwrap() {
        let path = PathBuf::from("db").join(&name);
        for at in 0..vfs.bytes(&path).unwrap().len() {
            let rotten = vfs.kill();
            rotten.damage(&path, |bytes| bytes[at] ^= 0x04).unwrap();
            match read_all(&rotten) {
                Ok(found) => assert_eq!(found, expected, "{name} byte {at}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains("db/") || text.contains("is not a PatinaDB"),
                        "{name} byte {at}: {text}"
                    );
                }
            }
            flipped += 1;
        }
    }
    assert!(flipped > 1000, "{flipped} bytes");
}

#[test]
fn a_lost_or_truncated_file_is_an_error() {
    let vfs = small_database();
    let expected = read_all(&vfs.kill()).unwrap();
    for name in vfs.list(Path::new("db")).unwrap() {
        let path = PathBuf::from("db").join(&name);
        let lost = vfs.kill();
        lost.remove(&path).unwrap();
        let cut = vfs.kill();
        cut.damage(&path, |bytes| bytes.truncate(bytes.len() / 2)).unwrap();
        for damaged in [lost, cut] {
            match read_all(&damaged) {
                Ok(found) => assert_eq!(found, expected, "{name}"),
                Err(error) => assert_ne!(error.kind(), ErrorKind::InvalidArgument, "{name}: {error}"),
            }
        }
    }
}

/// Whoever is to salvage it must find what the first failure found, not the traces of each attempt.
#[test]
fn a_database_that_cannot_be_opened_stays_as_it_is() {
    let vfs = small_database();
    let names = vfs.list(Path::new("db")).unwrap();
    let table = names.iter().find(|name| name.ends_with(".sst")).unwrap();
    vfs.damage(&Path::new("db").join(table), |bytes| bytes.truncate(bytes.len() - 1)).unwrap();
    let calls = vfs.writes();
    assert_eq!(read_all(&vfs).unwrap_err().kind(), ErrorKind::Corruption);
    assert_eq!(vfs.list(Path::new("db")).unwrap(), names);
    assert_eq!(vfs.writes(), calls);
}
