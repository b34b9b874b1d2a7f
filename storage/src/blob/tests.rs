use super::*;
use crate::compress::{Encoding, compress_blob};
use crate::error::ErrorKind;
use crate::manifest::BlobOrigin;
use crate::open_files::OpenFiles;
use crate::types::{Bin, BlobRef, Compression, FileId, KeyspaceId};
use crate::vfs::MemVfs;
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

const ID: FileId = FileId(5);
const BIN: Bin = Bin { class: 2, due_ms: 77 };
const IDENTITY: Identity = Identity { id: ID, keyspace: KeyspaceId(1), bin: BIN, origin: BlobOrigin::User };

fn path() -> PathBuf {
    PathBuf::from("db/5.blob")
}

fn filled(vfs: &MemVfs, values: &[Vec<u8>]) -> (BlobFile, Vec<(Vec<u8>, BlobRef)>) {
    let file = BlobFile::create(vfs, path(), IDENTITY).unwrap();
    let refs = values
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let key = format!("key{i}").into_bytes();
            let (encoding, payload) = compress_blob(value, Compression::Dense);
            let blob = file.append(&key, encoding, &payload, value.len() as u64).unwrap().unwrap();
            (key, blob)
        })
        .collect();
    (file, refs)
}

fn handles(vfs: &MemVfs) -> OpenFiles {
    OpenFiles::new(Arc::new(vfs.clone()), 8)
}

fn values() -> Vec<Vec<u8>> {
    vec![b"one".to_vec(), b"two words, ".repeat(200), Vec::new(), vec![7; 3000]]
}

#[test]
fn what_was_appended_is_read_open_and_sealed() {
    let vfs = MemVfs::new();
    let (file, refs) = filled(&vfs, &values());
    for sealed in [false, true] {
        for ((key, blob), value) in refs.iter().zip(values()) {
            assert_eq!(file.read(&handles(&vfs), key, *blob).unwrap(), value, "sealed: {sealed}");
        }
        file.seal().unwrap();
    }
    let index = file.index(&handles(&vfs)).unwrap();
    let named: Vec<_> = index.iter().map(|record| (record.key.to_vec(), record.offset)).collect();
    assert_eq!(named, refs.iter().map(|(key, blob)| (key.clone(), blob.offset)).collect::<Vec<_>>());
    assert!(file.append(b"late", Encoding::Raw, b"x", 1).unwrap().is_none());
}

#[test]
fn a_file_that_is_synced_record_by_record_has_room_and_gives_it_back() {
    let vfs = MemVfs::new();
    let file = BlobFile::create(&vfs, path(), IDENTITY).unwrap();
    let (mut grown, mut len) = (0, 0);
    let file_bytes = || vfs.bytes(&path()).unwrap().len() as u64;
    for n in 0..600u64 {
        file.append(&n.to_be_bytes(), Encoding::Raw, &[n as u8; 4096], 4096).unwrap().unwrap();
        file.sync().unwrap();
        grown += u32::from(file_bytes() != len);
        len = file_bytes();
        assert!((file.size().0..=2 * file.size().0 + (32 << 10)).contains(&len), "{len}");
    }
    // 32, 64, 128, 256, 512 KiB, and then each MiB.
    assert!((6..=9).contains(&grown), "{grown}");
    // What a dead process leaves: its records, and room.
    let dead = vfs.kill();
    assert_eq!(BlobFile::scan(&dead, path(), IDENTITY).unwrap().size(), file.size());
    file.seal().unwrap();
    assert!(file_bytes() < len && file.index(&handles(&vfs)).unwrap().len() == 600);
}

const STREAM_CHUNK_BYTES: u32 = 300;

/// Streams a value in small chunks, every second one compressed if that pays.
fn stream(file: &Arc<BlobFile>, key: &[u8], value: &[u8]) -> BlobRef {
    let mut stream = file.begin_stream(STREAM_CHUNK_BYTES).unwrap();
    for (n, chunk) in value.chunks(STREAM_CHUNK_BYTES as usize).enumerate() {
        let wanted = if n % 2 == 0 { Compression::Dense } else { Compression::None };
        let (encoding, payload) = compress_blob(chunk, wanted);
        stream.append_chunk(encoding, &payload, chunk.len() as u32).unwrap();
    }
    stream.finish(key).unwrap()
}

fn long_value(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7) as u8).collect()
}

#[test]
fn what_was_streamed_is_read_open_and_sealed_whole_and_in_chunks() {
    let vfs = MemVfs::new();
    let file = Arc::new(filled(&vfs, &values()).0);
    // One chunk, a last chunk that is full, one that is not, and a table that is longer than the first read of an end.
    let lens = [1, 300, 600, 1001, 300 * 20_000 + 5];
    let refs = lens.map(|len| stream(&file, format!("streamed {len}").as_bytes(), &long_value(len)));
    let after = file.append(b"after", Encoding::Raw, b"x", 1).unwrap().unwrap();
    for sealed in [false, true] {
        let handles = handles(&vfs);
        for (len, blob) in lens.into_iter().zip(refs) {
            let key = format!("streamed {len}").into_bytes();
            assert_eq!(blob.len, len as u64);
            assert_eq!(file.read(&handles, &key, blob).unwrap(), long_value(len), "{len}, sealed: {sealed}");
            file.verify_record(&handles, &key, blob).unwrap();
            let chunks = file.chunks(&handles, &key, blob).unwrap();
            let last = chunks.count() - 1;
            let expected = &long_value(len)[last * 300..];
            assert_eq!(file.read_chunk(&handles, &chunks, last).unwrap(), expected);
            assert!(file.read_chunk(&handles, &chunks, last + 1).is_err());
        }
        assert_eq!(file.read(&handles, b"after", after).unwrap(), "x");
        file.seal().unwrap();
    }
    let index = file.index(&handles(&vfs)).unwrap();
    let named: Vec<_> = index.iter().map(|record| record.blob_ref(ID)).collect();
    assert_eq!(named[4..9], refs);
    assert_eq!(named[9], after);
}

#[test]
fn a_stream_has_its_file_for_itself_and_leaves_nothing_when_it_is_given_up() {
    let vfs = MemVfs::new();
    let file = Arc::new(filled(&vfs, &values()).0);
    let size = file.size();
    let mut given_up = file.begin_stream(STREAM_CHUNK_BYTES).unwrap();
    given_up.append_chunk(Encoding::Raw, &[1; 300], 300).unwrap();
    assert!(file.begin_stream(STREAM_CHUNK_BYTES).is_none());
    assert!(file.append(b"late", Encoding::Raw, b"x", 1).unwrap().is_none());
    given_up.abort();
    assert_eq!(file.size(), size);
    assert_eq!(vfs.bytes(&path()).unwrap().len() as u64, size.0);
    assert!(given_up.append_chunk(Encoding::Raw, &[1; 300], 300).is_err(), "it has ended");
    let blob = file.append(b"next", Encoding::Raw, b"x", 1).unwrap().unwrap();
    assert_eq!(blob.offset, size.0);
}

proptest! {
    #[test]
    fn recovery_keeps_the_whole_records_of_a_cut_file_with_streams(share in 0.0f64..1.0, first in 1usize..2000, second in 1usize..2000) {
        let vfs = MemVfs::new();
        let file = Arc::new(BlobFile::create(&vfs, path(), IDENTITY).unwrap());
        let mut refs = Vec::new();
        for (n, len) in [first, second].into_iter().enumerate() {
            let key = vec![n as u8; n];
            refs.push((stream(&file, &key, &long_value(len)), key.clone()));
            refs.push((file.append(&key, Encoding::Raw, b"between", 7).unwrap().unwrap(), key));
        }
        let cut = 32 + ((file.size().0 - 32) as f64 * share) as usize;
        vfs.damage(&path(), |bytes| bytes.truncate(cut)).unwrap();
        let file = BlobFile::scan(&vfs, path(), IDENTITY).unwrap();
        let is_whole = |(blob, key): &&(BlobRef, Vec<u8>)| blob.offset + record_bytes(key.len(), blob.stored_len) <= cut as u64;
        let whole: Vec<_> = refs.iter().filter(is_whole).collect();
        for (blob, key) in &whole {
            file.verify_record(&handles(&vfs), key, *blob).unwrap();
        }
        file.seal().unwrap();
        let found: Vec<_> = file.index(&handles(&vfs)).unwrap().iter().map(|record| record.blob_ref(ID)).collect();
        prop_assert_eq!(found, whole.iter().map(|(blob, _)| *blob).collect::<Vec<_>>());
    }

    #[test]
    fn recovery_keeps_the_whole_records_of_a_cut_file(share in 0.0f64..1.0) {
        let vfs = MemVfs::new();
        let (file, refs) = filled(&vfs, &values());
        let cut = 32 + ((file.size().0 - 32) as f64 * share) as usize;
        vfs.damage(&path(), |bytes| bytes.truncate(cut)).unwrap();
        let file = BlobFile::scan(&vfs, path(), IDENTITY).unwrap();
        let whole = refs.iter().filter(|(key, blob)| blob.offset + 36 + key.len() as u64 + blob.stored_len <= cut as u64);
        let expected: Vec<_> = whole.map(|(_, blob)| blob.offset).collect();
        file.seal().unwrap();
        let found: Vec<_> = file.index(&handles(&vfs)).unwrap().iter().map(|record| record.offset).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn every_flipped_byte_gives_the_right_answer_or_an_error() {
    let vfs = MemVfs::new();
    let (file, refs) = filled(&vfs, &[b"some bytes".to_vec(), b"others ".repeat(30)]);
    let (position, records) = file.seal().unwrap();
    let expected = file.index(&handles(&vfs)).unwrap();
    for at in 0..vfs.bytes(&path()).unwrap().len() {
        vfs.damage(&path(), |bytes| bytes[at] ^= 0x40).unwrap();
        let damaged = BlobFile::sealed(path(), IDENTITY, position, records);
        for ((key, blob), value) in refs.iter().zip([b"some bytes".to_vec(), b"others ".repeat(30)]) {
            match damaged.read(&handles(&vfs), key, *blob) {
                Ok(found) => assert_eq!(found, value, "byte {at}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}"),
            }
        }
        match damaged.index(&handles(&vfs)) {
            Ok(found) => assert_eq!(found, expected, "byte {at}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}"),
        }
        vfs.damage(&path(), |bytes| bytes[at] ^= 0x40).unwrap();
    }
}

#[test]
fn every_flipped_byte_of_a_stream_gives_the_right_answer_or_an_error() {
    let vfs = MemVfs::new();
    let file = Arc::new(BlobFile::create(&vfs, path(), IDENTITY).unwrap());
    let value = long_value(700);
    let blob = stream(&file, b"key", &value);
    let (position, records) = file.seal().unwrap();
    for at in 0..position as usize {
        vfs.damage(&path(), |bytes| bytes[at] ^= 0x04).unwrap();
        let damaged = BlobFile::sealed(path(), IDENTITY, position, records);
        match damaged.read(&handles(&vfs), b"key", blob) {
            Ok(found) => assert_eq!(found, value, "byte {at}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}"),
        }
        // Recovery keeps the record, or ends before it: never another one.
        let recovered = BlobFile::scan(&vfs.kill(), path(), IDENTITY);
        if let Ok(recovered) = recovered {
            let whole = recovered.size() == (position, records);
            assert!(whole || recovered.size().1 == 0, "byte {at}");
        }
        vfs.damage(&path(), |bytes| bytes[at] ^= 0x04).unwrap();
    }
    let wrong = [
        (&b"keX"[..], blob),
        (&b"key"[..], BlobRef { len: blob.len + 1, ..blob }),
        (&b"key"[..], BlobRef { stored_len: blob.stored_len - 1, ..blob }),
        (&b"key"[..], BlobRef { stored_len: 0, ..blob }),
        (&b"key"[..], BlobRef { offset: blob.offset - 1, ..blob }),
    ];
    for (key, blob) in wrong {
        let error = file.read(&handles(&vfs), key, blob).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{blob:?}");
    }
}

#[test]
fn a_reference_to_another_key_or_place_is_an_error() {
    let vfs = MemVfs::new();
    let (file, refs) = filled(&vfs, &values());
    let (key, blob) = &refs[1];
    let wrong = [
        (&b"keyX"[..], *blob),
        (&key[..], BlobRef { offset: blob.offset + 1, ..*blob }),
        (&key[..], BlobRef { len: blob.len + 1, ..*blob }),
        (&key[..], BlobRef { offset: u64::MAX, ..*blob }),
        (&key[..], BlobRef { stored_len: u64::MAX, ..*blob }),
    ];
    for (key, blob) in wrong {
        assert_eq!(
            file.read(&handles(&vfs), key, blob).unwrap_err().kind(),
            ErrorKind::Corruption,
            "{blob:?}"
        );
    }
}

/// The system forgets what it could not write, whoever it told.
#[test]
fn after_a_failed_sync_of_a_stream_nothing_of_the_file_counts_as_durable() {
    let vfs = MemVfs::new();
    let file = Arc::new(filled(&vfs, &values()).0);
    let mut stream = file.begin_stream(32 << 20).unwrap();
    stream.append_chunk(Encoding::Raw, &vec![7; 17 << 20], 17 << 20).unwrap();
    vfs.fail_after(0);
    stream.sync_if_due().unwrap_err();
    vfs.heal();
    file.sync().unwrap_err();
    assert!(!file.is_durable());
}

#[test]
fn a_record_that_claims_more_than_memory_holds_is_corruption() {
    let vfs = MemVfs::new();
    let (file, _) = filled(&vfs, &[]);
    for encoding in [Encoding::Raw, Encoding::Lz4, Encoding::Zstd] {
        let blob = file.append(b"key", encoding, b"bytes", u64::MAX >> 2).unwrap().unwrap();
        assert_eq!(file.read(&handles(&vfs), b"key", blob).unwrap_err().kind(), ErrorKind::Corruption);
    }
}

/// Chunks that take no bytes and claim to hold many.
#[test]
fn a_table_that_claims_more_than_memory_holds_is_corruption() {
    let vfs = MemVfs::new();
    let file = Arc::new(BlobFile::create(&vfs, path(), IDENTITY).unwrap());
    let mut stream = file.begin_stream(16 << 20).unwrap();
    for _ in 0..50_000 {
        stream.append_chunk(Encoding::Raw, b"", 16 << 20).unwrap();
    }
    let blob = stream.finish(b"key").unwrap();
    assert_eq!(file.read(&handles(&vfs), b"key", blob).unwrap_err().kind(), ErrorKind::Corruption);
}
