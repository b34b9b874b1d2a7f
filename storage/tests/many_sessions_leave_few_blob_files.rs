//! Promise: however many short sessions write to a bin, it has few files, and none of its records is copied for ever; and few files are
//! open at once, those that streams write among them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::Arc;

const BIN: Bin = Bin { class: 0, due_ms: u64::MAX };

fn open(vfs: &MemVfs, options: Options) -> Result<(Db, Keyspace)> {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options)?;
    let files = db.keyspace("files", KeyspaceOptions::default())?;
    Ok((db, files))
}

fn value(session: u32) -> Vec<u8> {
    vec![session as u8; 600 + session as usize]
}

fn session(vfs: &MemVfs, number: u32) -> Result<BinReport> {
    let options = Options { blob_file_bytes: 1 << 20, ..Options::default() };
    let (db, files) = open(vfs, options)?;
    for bin in [BIN, Bin { class: 1, due_ms: 5 }] {
        let key = format!("{}-{number:04}", bin.class);
        let blob = db.append_blob(&files, bin, key.as_bytes(), &value(number), Compression::None)?;
        let mut batch = db.batch();
        batch.put_blob(&files, key, &blob);
        db.write(batch, Durability::Sync)?;
    }
    let merged = db.merge_blob_files(&files)?;
    db.close()?;
    Ok(merged)
}

fn check(vfs: &MemVfs, sessions: u32) -> usize {
    let (db, files) = open(vfs, Options::default()).unwrap();
    for number in 0..sessions {
        for class in [0, 1] {
            let found = files.get(format!("{class}-{number:04}").as_bytes()).unwrap();
            assert!(found.unwrap() == value(number), "{class}-{number}");
        }
    }
    assert!(db.verify().unwrap().is_sound());
    db.blob_files(&files).unwrap().len()
}

#[test]
fn a_hundred_sessions_leave_a_dozen_files_and_copy_each_byte_a_few_times() {
    const SESSIONS: u32 = 100;
    let vfs = MemVfs::new();
    let mut written = 0;
    for number in 0..SESSIONS {
        written += session(&vfs, number).unwrap().bytes_written;
    }
    let count = check(&vfs, SESSIONS);
    assert!(count <= 2 * 12, "{count} files");
    let bytes: u64 = (0..SESSIONS).map(|number| 2 * value(number).len() as u64).sum();
    assert!(written <= 4 * bytes, "{written} bytes were copied of {bytes}");
}

#[test]
fn a_crash_at_any_call_of_a_merge_loses_nothing() {
    let base = MemVfs::new();
    for number in 0..4 {
        session(&base, number).unwrap();
    }
    let whole = base.kill();
    assert!(session(&whole, 4).unwrap().carried > 0, "a merge is part of it");
    for call in 0..whole.writes() {
        let vfs = base.kill();
        vfs.fail_after(call);
        let done = session(&vfs, 4).is_ok();
        for left in [vfs.crash(), vfs.kill()] {
            check(&left, if done { 5 } else { 4 });
        }
    }
}

#[test]
fn streams_count_among_the_open_files_and_one_too_many_is_refused() {
    let (db, files) = open(&MemVfs::new(), Options { open_bins_max: 3, ..Options::default() }).unwrap();
    let open_now = || db.blob_files(&files).unwrap().iter().filter(|file| !file.sealed).count();
    let piece = vec![7; 300_000];
    let bin = |due_ms| Bin { class: 0, due_ms };
    for due_ms in 0..5 {
        drop(db.append_blob(&files, bin(due_ms), b"small", b"bytes", Compression::None).unwrap());
        assert!(open_now() <= 3);
    }
    let mut streams: Vec<BlobWriter> = Vec::new();
    for due_ms in 10..13 {
        let mut stream = db.blob_writer(&files, bin(due_ms), Compression::None);
        stream.append(&piece).unwrap();
        assert!(open_now() <= 3);
        streams.push(stream);
    }
    let mut refused = db.blob_writer(&files, bin(13), Compression::None);
    let error = refused.append(&piece).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("open_bins_max"));
    // What is small goes on, one bin at a time; other classes have places of their own.
    for due_ms in 20..23 {
        drop(db.append_blob(&files, bin(due_ms), b"small", b"bytes", Compression::None).unwrap());
        assert!(open_now() <= 4);
    }
    let mut other = db.blob_writer(&files, Bin { class: 1, due_ms: 1 }, Compression::None);
    other.append(&piece).unwrap();
    drop(streams.pop());
    let mut next = db.blob_writer(&files, bin(13), Compression::None);
    next.append(&piece).unwrap();
    for (number, stream) in streams.into_iter().enumerate() {
        stream.finish(&[number as u8]).unwrap();
    }
}
