use super::*;
use crate::compress::{Encoding, compress_blob};
use crate::error::ErrorKind;
use crate::open_files::OpenFiles;
use crate::types::{Bin, BlobRef, Compression, FileId, KeyspaceId};
use crate::vfs::MemVfs;
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

const ID: FileId = FileId(5);
const BIN: Bin = Bin { class: 2, due_ms: 77 };
const KEYSPACE: KeyspaceId = KeyspaceId(1);

fn path() -> PathBuf {
    PathBuf::from("db/5.blob")
}

fn filled(vfs: &MemVfs, values: &[Vec<u8>]) -> (BlobFile, Vec<(Vec<u8>, BlobRef)>) {
    let file = BlobFile::create(vfs, path(), ID, BIN).unwrap();
    let refs = values
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let key = format!("key{i}").into_bytes();
            let (encoding, payload) = compress_blob(value, Compression::Dense);
            let blob = file.append(KEYSPACE, &key, encoding, &payload, value.len() as u64).unwrap().unwrap();
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
    assert!(file.append(KEYSPACE, b"late", Encoding::Raw, b"x", 1).unwrap().is_none());
}

proptest! {
    #[test]
    fn recovery_keeps_the_whole_records_of_a_cut_file(share in 0.0f64..1.0) {
        let vfs = MemVfs::new();
        let (_, refs) = filled(&vfs, &values());
        let mut cut = 0;
        vfs.damage(&path(), |bytes| {
            cut = 32 + ((bytes.len() - 32) as f64 * share) as usize;
            bytes.truncate(cut);
        }).unwrap();
        let file = BlobFile::recover(&vfs, path(), ID, BIN).unwrap();
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
        let damaged = BlobFile::sealed(path(), ID, BIN, position, records);
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
