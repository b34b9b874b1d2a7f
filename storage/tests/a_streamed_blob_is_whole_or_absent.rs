//! Promise: a blob that is streamed is never held in memory, and is after a crash, an error or a change of mind either there as a
//! whole or not at all.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use patina_storage::*;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

const BIN: Bin = Bin { class: 0, due_ms: 7 };

fn open(vfs: &MemVfs) -> Result<(Db, Keyspace)> {
    let options = Options { blob_file_bytes: 1 << 20, ..Options::default() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options)?;
    let files = db.keyspace("files", KeyspaceOptions::default())?;
    Ok((db, files))
}

fn value(seed: u64, len: usize) -> Vec<u8> {
    let pattern: Vec<u8> = (0..8191u64).map(|i| (i.wrapping_mul(2 * seed + 1) >> 5) as u8).collect();
    let mut value = pattern.repeat(len / pattern.len() + 1);
    value.truncate(len);
    value
}

fn put(db: &Db, files: &Keyspace, key: &str, blob: &PendingBlob, durability: Durability) -> Result<Seqno> {
    let mut batch = db.batch();
    batch.put_blob(files, key.to_owned(), blob);
    db.write(batch, durability)
}

fn stored_bytes(db: &Db, files: &Keyspace) -> u64 {
    db.blob_files(files).unwrap().iter().map(|file| file.bytes).sum()
}

#[test]
fn a_long_value_is_read_whole_in_pieces_and_at_any_place() {
    let (db, files) = open(&MemVfs::new()).unwrap();
    for len in [0, 1, 262_144, 262_145, 900_000] {
        let key = format!("{len}");
        let value = value(9, len);
        let mut writer = db.blob_writer(&files, BIN, Compression::Dense);
        for piece in value.chunks(100_003) {
            writer.write_all(piece).unwrap();
        }
        assert_eq!(writer.len(), len as u64);
        let blob = writer.finish(key.as_bytes()).unwrap();
        put(&db, &files, &key, &blob, Durability::Sync).unwrap();
        assert_eq!(files.get(key.as_bytes()).unwrap().unwrap(), value);
        let mut reader = files.reader(key.as_bytes()).unwrap().unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == value, "{len}");
        for (from, to) in [(0, 10), (262_140, 262_150), (len.saturating_sub(3), len + 9), (7, 3)] {
            let expected = value.get(from.min(len)..to.min(len)).unwrap_or_default();
            assert_eq!(reader.read_range(from as u64..to as u64).unwrap(), expected, "{from}..{to} of {len}");
        }
        if len > 100 {
            reader.seek(SeekFrom::End(-5)).unwrap();
            let mut end = [0; 5];
            reader.read_exact(&mut end).unwrap();
            assert_eq!(end, value[len - 5..]);
            assert_eq!(reader.read(&mut end).unwrap(), 0);
        }
    }
    assert!(files.reader(b"nothing").unwrap().is_none());
    files.put("inline", "a value in the tree").unwrap();
    let mut inline = String::new();
    files.reader(b"inline").unwrap().unwrap().read_to_string(&mut inline).unwrap();
    assert_eq!(inline, "a value in the tree");
}

#[test]
fn a_reader_reads_what_it_was_opened_on_whatever_happens_to_the_key() {
    let (db, files) = open(&MemVfs::new()).unwrap();
    let value = value(3, 2 << 20);
    let blob = db.append_blob(&files, BIN, b"key", &value, Compression::None).unwrap();
    put(&db, &files, "key", &blob, Durability::Sync).unwrap();
    let file = blob.blob_ref().file;
    drop(blob);
    let mut reader = files.reader(b"key").unwrap().unwrap();
    files.delete("key").unwrap();
    assert!(db.compact_bin(&files, file, &Mover).unwrap().retired);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == value);
}

/// Two streams and small blobs of one bin go on at once; none waits for, or mixes with, another.
#[test]
fn streams_and_small_blobs_of_one_bin_do_not_disturb_each_other() {
    let vfs = MemVfs::new();
    let (db, files) = open(&vfs).unwrap();
    let mut first = db.blob_writer(&files, BIN, Compression::None);
    let mut second = db.blob_writer(&files, BIN, Compression::Dense);
    let (a, b) = (value(5, 700_000), value(7, 900_000));
    for n in 0..10 {
        first.append(&a[n * 70_000..][..70_000]).unwrap();
        second.append(&b[n * 90_000..][..90_000]).unwrap();
        let key = format!("small {n}");
        let blob = db.append_blob(&files, BIN, key.as_bytes(), &value(n as u64, 3000), Compression::None);
        put(&db, &files, &key, &blob.unwrap(), Durability::Buffered).unwrap();
        // What a stream writes cannot be compacted under it; the rest is sealed.
        db.seal_bins().unwrap();
    }
    put(&db, &files, "first", &first.finish(b"first").unwrap(), Durability::Sync).unwrap();
    put(&db, &files, "second", &second.finish(b"second").unwrap(), Durability::Sync).unwrap();
    for vfs in [vfs.crash(), vfs.kill()] {
        let (_db, files) = open(&vfs).unwrap();
        assert!(files.get(b"first").unwrap().unwrap() == a);
        assert!(files.get(b"second").unwrap().unwrap() == b);
        for n in 0..10u64 {
            assert_eq!(files.get(format!("small {n}").as_bytes()).unwrap().unwrap(), value(n, 3000));
        }
    }
}

#[test]
fn a_stream_that_is_given_up_leaves_no_bytes() {
    let (db, files) = open(&MemVfs::new()).unwrap();
    let kept = db.append_blob(&files, BIN, b"kept", b"some bytes", Compression::None).unwrap();
    put(&db, &files, "kept", &kept, Durability::Sync).unwrap();
    let before = stored_bytes(&db, &files);
    let mut writer = db.blob_writer(&files, BIN, Compression::None);
    writer.append(&value(1, 800_000)).unwrap();
    drop(writer);
    // A reader that fails, and a blob over the limit, give up too.
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 < 20 { Ok(buf.len()) } else { Err(io::Error::other("the line went dead")) }
        }
    }
    let failed = db.append_blob_from(&files, BIN, b"k", &mut Failing(0), Compression::None);
    let message = failed.map(drop).unwrap_err().to_string();
    assert!(message.contains("the line went dead"), "{message}");
    assert_eq!(stored_bytes(&db, &files), before);
    // The file is not left aside.
    let next = db.append_blob(&files, BIN, b"next", b"more", Compression::None).unwrap();
    assert_eq!(next.blob_ref().file, kept.blob_ref().file);
}

#[test]
fn a_blob_over_the_limit_is_refused_before_it_is_written() {
    let options = Options { blob_bytes_max: 500_000, ..Options::default() };
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options).unwrap();
    let files = db.keyspace("files", KeyspaceOptions::default()).unwrap();
    let mut writer = db.blob_writer(&files, BIN, Compression::None);
    writer.append(&[0; 400_000]).unwrap();
    assert_eq!(writer.append(&[0; 100_001]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    drop(writer);
    let endless = db.append_blob_from(&files, BIN, b"k", &mut io::repeat(7), Compression::None);
    assert_eq!(endless.map(drop).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let long_key = vec![0; KEY_BYTES_MAX + 1];
    let refused = db.append_blob_from(&files, BIN, &long_key, &mut io::empty(), Compression::None);
    assert_eq!(refused.map(drop).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// Moves everything to another class.
struct Mover;

impl BinOwner for Mover {
    type Plan = ();

    fn judge(&self, _: &LiveRecord<'_>) -> Result<Judgement<()>> {
        Ok(Judgement::Keep { bin: Bin { class: 1, due_ms: 9 } })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
        panic!("nothing is rewritten")
    }
}

const LENS: [usize; 4] = [300_000, 5_000, 262_145, 600_000];

fn script(vfs: &MemVfs, acknowledged: &mut Vec<usize>) -> Result<()> {
    let (db, files) = open(vfs)?;
    for (n, len) in LENS.into_iter().enumerate() {
        let key = format!("{n}");
        let mut writer = db.blob_writer(&files, BIN, Compression::None);
        for piece in value(n as u64, len).chunks(100_000) {
            writer.append(piece)?;
        }
        let blob = writer.finish(key.as_bytes())?;
        put(&db, &files, &key, &blob, Durability::Sync)?;
        acknowledged.push(n);
    }
    // The third is most of what is wanted of its file: it is carried.
    for n in [0, 1, 3] {
        // A delete that fails may count after the death of the process.
        acknowledged.retain(|other| *other != n);
        files.delete(format!("{n}"))?;
    }
    db.seal_bins()?;
    for file in db.blob_files(&files)? {
        db.compact_bin(&files, file.id, &Mover)?;
    }
    db.close()
}

#[test]
fn a_crash_at_any_call_leaves_a_streamed_blob_whole_or_absent() {
    let whole = MemVfs::new();
    script(&whole, &mut Vec::new()).unwrap();
    let calls = whole.writes();
    assert!(calls > 40, "{calls} calls");
    for call in 0..=calls {
        let vfs = MemVfs::new();
        vfs.fail_after(call);
        let mut acknowledged = Vec::new();
        let _ = script(&vfs, &mut acknowledged);
        for (vfs, how) in [(vfs.crash(), "power loss"), (vfs.kill(), "kill")] {
            let (db, files) = open(&vfs).unwrap_or_else(|error| panic!("{how} at {call}: {error}"));
            for n in &acknowledged {
                assert!(
                    files.get(format!("{n}").as_bytes()).unwrap().is_some(),
                    "{how} at {call}: {n} is lost"
                );
            }
            for entry in files.range(..) {
                let entry = entry.unwrap();
                let n: usize = std::str::from_utf8(entry.key()).unwrap().parse().unwrap();
                assert!(
                    entry.value().unwrap() == value(n as u64, LENS[n]),
                    "{how} at {call}: {n} is not whole"
                );
            }
            // The bin goes on where it was.
            let mut writer = db.blob_writer(&files, BIN, Compression::None);
            writer.append(&value(8, 400_000)).unwrap();
            put(&db, &files, "8", &writer.finish(b"8").unwrap(), Durability::Sync).unwrap();
            assert!(files.get(b"8").unwrap().unwrap() == value(8, 400_000), "{how} at {call}");
        }
    }
}

/// A caller that goes on after an error, as if nothing had happened or with the same piece again, gets no blob that nobody can read, or that
/// is another one.
#[test]
fn a_blob_of_which_a_piece_could_not_be_written_is_not_finished() {
    let value = value(4, 700_000);
    for calls in 0.. {
        let mut refused = false;
        for tries_again in [false, true] {
            let vfs = MemVfs::new();
            let (db, files) = open(&vfs).unwrap();
            vfs.fill_after(calls);
            let mut writer = db.blob_writer(&files, BIN, Compression::None);
            for piece in value.chunks(100_003) {
                if writer.append(piece).is_err() {
                    refused = true;
                    vfs.heal();
                    if tries_again {
                        let _ = writer.append(piece);
                    }
                }
            }
            vfs.heal();
            let Ok(blob) = writer.finish(b"key") else { continue };
            put(&db, &files, "key", &blob, Durability::Sync).unwrap();
            assert!(files.get(b"key").unwrap().unwrap() == value, "call {calls}");
        }
        if !refused {
            return;
        }
    }
}

/// Nor does one that passes over a piece that was refused, or that its reader did not give.
#[test]
fn a_blob_that_lacks_a_piece_is_not_finished() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("injected fault"))
        }
    }
    let options = Options { blob_bytes_max: 1 << 20, ..Options::default() };
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options).unwrap();
    let files = db.keyspace("files", KeyspaceOptions::default()).unwrap();
    let mut long = db.blob_writer(&files, BIN, Compression::None);
    long.append(b"begin").unwrap();
    long.append(&value(1, 1 << 20)).unwrap_err();
    assert!(long.append(b"end").is_err());
    assert!(long.finish(b"key").is_err());
    let mut cut_short = db.blob_writer(&files, BIN, Compression::None);
    cut_short.append(b"begin").unwrap();
    cut_short.append_from(&mut Broken).unwrap_err();
    assert!(cut_short.finish(b"key").is_err());
}
