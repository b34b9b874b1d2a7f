//! Promise: what is no database, or is open elsewhere, is refused with a message that says what to do, and left as it is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::fs;

fn refused(dir: &std::path::Path, options: Options) -> Error {
    Db::open(dir, options).map(drop).unwrap_err()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test plays a user who keeps other files")]
fn a_foreign_directory_is_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("diary.txt"), "mine").unwrap();
    let error = refused(dir.path(), Options::default());
    assert_eq!(error.kind(), ErrorKind::NotADatabase);
    assert!(error.to_string().contains("diary.txt"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let error = refused(&dir.path().join("diary.txt"), Options::default());
    assert_eq!(error.kind(), ErrorKind::NotADatabase, "{error}");
}

#[test]
fn a_new_volume_is_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    Db::open(dir.path(), Options::default()).unwrap();
    assert!(dir.path().join("lost+found").exists());
}

#[test]
fn a_missing_directory_is_made_only_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("a/b");
    let error = refused(&missing, Options { create_if_missing: false, ..Options::default() });
    assert_eq!(error.kind(), ErrorKind::NotADatabase);
    assert!(!missing.exists());
    Db::open(&missing, Options::default()).unwrap().close().unwrap();
    Db::open(&missing, Options { create_if_missing: false, ..Options::default() }).unwrap();
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    let error = refused(dir.path(), Options::default());
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(db);
    Db::open(dir.path(), Options::default()).unwrap();
}

#[test]
fn what_was_written_is_there_after_reopening_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4u8 {
        let db = Db::open(dir.path(), Options::default()).unwrap();
        let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
        assert_eq!(keyspace.range(..).count(), usize::from(round));
        keyspace.put(vec![round], "v").unwrap();
    }
}

#[test]
fn bad_options_are_all_listed() {
    let dir = tempfile::tempdir().unwrap();
    let error = refused(dir.path(), Options { block_bytes: 1, memtable_bytes: 1, ..Options::default() });
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("block_bytes") && error.to_string().contains("memtable_bytes"));
}

/// A name is input: the number in it must not make the next one overflow.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test plays a user who keeps other files")]
fn a_file_with_a_number_beyond_all_counting_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    Db::open(dir.path(), Options::default()).unwrap().close().unwrap();
    for number in [u64::MAX, u64::MAX - 1] {
        fs::write(dir.path().join(format!("{number}.sst")), "mine").unwrap();
    }
    for _ in 0..2 {
        let db = Db::open(dir.path(), Options::default()).unwrap();
        db.keyspace("k", KeyspaceOptions::default()).unwrap().put("key", "value").unwrap();
        db.flush().unwrap();
    }
    assert!(dir.path().join(format!("{}.sst", u64::MAX)).exists());
}
