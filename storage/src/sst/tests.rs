use super::*;
use crate::error::ErrorKind;
use crate::open_files::OpenFiles;
use crate::options::TableCompression;
use crate::ranges::{Fragments, RangeTombstone};
use crate::types::{BlobRef, FileId, KeyspaceId, Kind, Seqno, Tag};
use crate::vfs::MemVfs;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Model = BTreeMap<(Vec<u8>, std::cmp::Reverse<u64>), Vec<u8>>;

fn path() -> PathBuf {
    PathBuf::from("db/3.sst")
}

fn cache() -> Arc<BlockCache> {
    Arc::new(block_cache(1 << 20))
}

fn files(vfs: &MemVfs) -> Arc<OpenFiles> {
    Arc::new(OpenFiles::new(Arc::new(vfs.clone()), 4))
}

fn build(vfs: &MemVfs, model: &Model, block_bytes: usize, compression: TableCompression) {
    let options = TableWriterOptions {
        block_bytes,
        compression,
        keyspace: (KeyspaceId(1), "k".into()),
        created_ms: 1,
        oldest_tombstone_ms: 1,
    };
    let mut writer = TableWriter::create(vfs, path(), FileId(3), options).unwrap();
    for ((key, seqno), value) in model {
        writer.add(key, Tag::new(Seqno(seqno.0), Kind::Value), value).unwrap();
    }
    writer.finish(&Fragments::default()).unwrap();
}

fn open(vfs: &MemVfs) -> crate::Result<Arc<Table>> {
    Table::open(files(vfs), Path::new("db/3.sst"), FileId(3), cache()).map(Arc::new)
}

fn scan(table: &Arc<Table>, from: &[u8]) -> crate::Result<Vec<(Vec<u8>, u64, Bytes)>> {
    let mut iter = TableIter::new(table.clone(), Caching::Use);
    iter.seek(from, Tag(u64::MAX))?;
    let mut all = Vec::new();
    while let Some((key, tag)) = iter.key() {
        all.push((key.to_vec(), tag.seqno().0, iter.value()));
        iter.next()?;
    }
    Ok(all)
}

fn scan_back(table: &Arc<Table>, before: Option<(&[u8], Tag)>) -> crate::Result<Vec<(Vec<u8>, u64)>> {
    let mut iter = TableIter::new(table.clone(), Caching::Bypass);
    iter.seek_before(before)?;
    let mut all = Vec::new();
    while let Some((key, tag)) = iter.key() {
        all.push((key.to_vec(), tag.seqno().0));
        iter.prev()?;
    }
    Ok(all)
}

fn model_strategy() -> impl Strategy<Value = Model> {
    let key = prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..6);
    let value = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::btree_map((key, (1u64..50).prop_map(std::cmp::Reverse)), value, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_table_answers_like_its_model(
        model in model_strategy(),
        block_bytes in prop_oneof![Just(256usize), Just(700), Just(4096)],
        compression in prop_oneof![Just(TableCompression::None), Just(TableCompression::Lz4), Just(TableCompression::Zstd)],
        probe in prop::collection::vec(any::<u8>(), 0..4),
        at in 0u64..60,
    ) {
        let vfs = MemVfs::new();
        build(&vfs, &model, block_bytes, compression);
        let table = open(&vfs).unwrap();
        prop_assert_eq!(table.properties.entries, model.len() as u64);
        for key in model.keys().map(|(key, _)| key).chain([&probe]) {
            let expected = model
                .range((key.clone(), std::cmp::Reverse(at))..)
                .next()
                .filter(|((found, _), _)| found == key)
                .map(|(_, value)| Bytes::from(value.clone()));
            prop_assert_eq!(table.get(key, Seqno(at)).unwrap().map(|(_, value)| value), expected);
        }
        let expected: Vec<_> = model
            .range((probe.clone(), std::cmp::Reverse(u64::MAX))..)
            .map(|((key, seqno), value)| (key.clone(), seqno.0, Bytes::from(value.clone())))
            .collect();
        prop_assert_eq!(scan(&table, &probe).unwrap(), expected);

        let before = (probe.clone(), std::cmp::Reverse(at));
        let tag = Tag::new(Seqno(at), Kind::Value);
        let expected: Vec<_> = model.range(..before).rev().map(|((key, seqno), _)| (key.clone(), seqno.0)).collect();
        prop_assert_eq!(scan_back(&table, Some((&probe, tag))).unwrap(), expected);
        let expected: Vec<_> = model.keys().rev().map(|(key, seqno)| (key.clone(), seqno.0)).collect();
        prop_assert_eq!(scan_back(&table, None).unwrap(), expected);

        let keys: std::collections::BTreeSet<_> = model.keys().map(|(key, _)| key).chain([&probe]).collect();
        let mut many = Probe::new(&table).unwrap();
        for key in keys {
            prop_assert_eq!(many.get(key, Seqno(at)).unwrap(), table.get(key, Seqno(at)).unwrap());
        }
    }
}

#[test]
fn every_flipped_byte_gives_the_right_answer_or_an_error() {
    let vfs = MemVfs::new();
    let model: Model = (0..120u32)
        .map(|i| ((format!("key{i:03}").into_bytes(), std::cmp::Reverse(u64::from(i) + 1)), vec![i as u8; 9]))
        .collect();
    build(&vfs, &model, 300, TableCompression::Lz4);
    let expected = scan(&open(&vfs).unwrap(), b"").unwrap();
    let len = vfs.bytes(&path()).unwrap().len();
    for at in 0..len {
        vfs.damage(&path(), |bytes| bytes[at] ^= 1).unwrap();
        match open(&vfs).and_then(|table| scan(&table, b"")) {
            Ok(found) => assert_eq!(found, expected, "byte {at}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}: {error}"),
        }
        vfs.damage(&path(), |bytes| bytes[at] ^= 1).unwrap();
    }
    vfs.damage(&path(), |bytes| bytes.truncate(len / 2)).unwrap();
    assert_eq!(open(&vfs).map(drop).unwrap_err().kind(), ErrorKind::Corruption);
}

#[test]
fn a_table_under_another_number_is_refused() {
    let vfs = MemVfs::new();
    build(
        &vfs,
        &Model::from([((b"k".to_vec(), std::cmp::Reverse(1)), b"v".to_vec())]),
        256,
        TableCompression::None,
    );
    let swapped = Table::open(files(&vfs), &path(), FileId(4), cache());
    assert_eq!(swapped.map(drop).unwrap_err().kind(), ErrorKind::Corruption);
}

#[test]
fn properties_say_what_the_entries_refer_to() {
    let vfs = MemVfs::new();
    let options = TableWriterOptions {
        keyspace: (KeyspaceId(1), "k".into()),
        block_bytes: 256,
        compression: TableCompression::None,
        created_ms: 1,
        oldest_tombstone_ms: 1,
    };
    let mut writer = TableWriter::create(&vfs, path(), FileId(3), options).unwrap();
    let blob = |file, stored_len| {
        BlobRef { file: FileId(file), offset: 32, stored_len, len: 9, layout: Default::default() }.encode()
    };
    writer.add(b"a", Tag::new(Seqno(4), Kind::Value), b"value").unwrap();
    writer.add(b"bb", Tag::new(Seqno(9), Kind::BlobRef), &blob(7, 100)).unwrap();
    writer.add(b"bb", Tag::new(Seqno(2), Kind::BlobRef), &blob(5, 10)).unwrap();
    writer.add(b"c", Tag::new(Seqno(3), Kind::BlobRef), &blob(7, 1000)).unwrap();
    writer.add(b"d", Tag::new(Seqno(5), Kind::Tombstone), b"").unwrap();
    writer.finish(&Fragments::default()).unwrap();
    let properties = &open(&vfs).unwrap().properties;
    let record = |key_len, stored_len| crate::blob::record_bytes(key_len, stored_len);
    let blob_bytes = [(FileId(5), record(2, 10)), (FileId(7), record(2, 100) + record(1, 1000))];
    assert_eq!(properties.blob_bytes, blob_bytes.into());
    assert_eq!((properties.entries, properties.tombstones), (5, 1));
    assert_eq!((properties.seqno_min, properties.seqno_max), (Seqno(2), Seqno(9)));
    assert_eq!((&properties.smallest[..], &properties.largest[..]), (&b"a"[..], &b"d"[..]));
    assert_eq!(properties.raw_key_bytes, 7);
}

#[test]
fn an_obsolete_table_goes_with_its_last_reader() {
    let vfs = MemVfs::new();
    let model = Model::from([((b"k".to_vec(), std::cmp::Reverse(1)), b"v".to_vec())]);
    build(&vfs, &model, 256, TableCompression::None);
    let table = open(&vfs).unwrap();
    let reader = table.clone();
    table.mark_obsolete();
    drop(table);
    assert_eq!(scan(&reader, b"").unwrap().len(), 1);
    drop(reader);
    assert!(vfs.bytes(&path()).is_err());
}

/// Range tombstones widen the table's range: their end is not in it.
#[test]
fn a_table_of_range_tombstones_only() {
    let vfs = MemVfs::new();
    let options = TableWriterOptions {
        keyspace: (KeyspaceId(1), "k".into()),
        block_bytes: 256,
        compression: TableCompression::Lz4,
        created_ms: 1,
        oldest_tombstone_ms: 1,
    };
    let tombstone = |start: &'static str, end: &'static str, seqno| RangeTombstone {
        start: start.into(),
        end: end.into(),
        seqno: Seqno(seqno),
    };
    let ranges = Fragments::new([tombstone("b", "f", 5), tombstone("d", "h", 9)]);
    TableWriter::create(&vfs, path(), FileId(3), options).unwrap().finish(&ranges).unwrap();
    let table = open(&vfs).unwrap();
    assert_eq!(*table.ranges, ranges);
    assert_eq!(table.get(b"d", Seqno(9)).unwrap(), None);
    assert_eq!(Probe::new(&table).unwrap().get(b"d", Seqno(9)).unwrap(), None);
    assert!(scan(&table, b"").unwrap().is_empty() && scan_back(&table, None).unwrap().is_empty());
    let covered = [b"a", b"b", b"g", b"h"].map(|key| table.covers(key));
    assert_eq!(covered, [false, true, true, false]);
    let properties = &table.properties;
    assert_eq!(
        (properties.seqno_min, properties.seqno_max, properties.range_tombstones),
        (Seqno(5), Seqno(9), 4)
    );
    let mut problems = 0;
    table.verify(&mut |found| problems += usize::from(matches!(found, Found::Problem(_))));
    assert_eq!(problems, 0);
}
