//! Tables around arbitrary bytes, for `fuzzing.rs`.

use super::block::{BlockBuilder, BlockIter, block_cache, find, seal_block};
use super::filter::TableFilter;
use super::format::{BlockHandle, Footer, HEADER_BYTES, Properties, encode_header};
use super::{Caching, Probe, Remains, Table, TableIter};
use crate::error::Result;
use crate::open_files::OpenFiles;
use crate::options::TableCompression;
use crate::types::{FileId, Kind, Seqno, Tag};
use crate::vfs::Vfs;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

const KEYS: [&[u8]; 4] = [b"", b"key", b"key\xff", &[0xff; 9]];
/// Steps of a cursor: hostile entries may lead in circles, and the way back.
const STEPS_MAX: usize = 500;

/// A table for each kind of block, in which that one has these bytes behind a checksum that holds.
pub(crate) fn tables_with(id: FileId, payload: &[u8]) -> Vec<Vec<u8>> {
    (0..6).map(|role| table_with(id, role, payload)).collect()
}

fn table_with(id: FileId, role: usize, payload: &[u8]) -> Vec<u8> {
    let mut file = encode_header().to_vec();
    let tag = Tag::new(Seqno(3), Kind::Value);
    let one = |key: &[u8], tag: Tag, value: &[u8]| {
        let mut block = BlockBuilder::default();
        block.add(key, tag, value);
        block.finish()
    };
    let mut add = |at: usize, usual: Vec<u8>| {
        let payload = if at == role { payload } else { &usual };
        let offset = file.len() as u64;
        let block = seal_block(id, offset, payload, TableCompression::None);
        file.extend_from_slice(&block);
        BlockHandle { offset, len: block.len() as u32 }
    };
    let data = add(0, one(b"key", tag, b"value"));
    let partition = add(1, one(b"key", tag, &data.encode()));
    // A filter is optional: the usual one is none.
    let filter = add(2, vec![0]);
    let ranges = add(3, one(b"a", Tag::new(Seqno(2), Kind::RangeTombstone), b"b"));
    let top_index = add(4, one(b"key", tag, &partition.encode()));
    let properties =
        Properties { entries: 1, smallest: "key".into(), largest: "key".into(), ..Default::default() };
    let properties = add(5, properties.encode());
    let filter = if role == 2 { filter } else { BlockHandle::default() };
    file.extend_from_slice(&Footer { top_index, properties, filter, ranges }.encode(id));
    file
}

/// Every way in which a table is read.
pub(crate) fn read_everything(vfs: &dyn Vfs, files: Arc<OpenFiles>, path: &Path, id: FileId) {
    let _ = read_table(files, path, id);
    if let Ok(mut remains) = Remains::of(vfs, path, id) {
        let mut last: Option<Bytes> = None;
        for _ in 0..STEPS_MAX {
            let Some((key, _, _)) = remains.next() else { break };
            last = Some(key);
        }
        drop(last);
    }
    if let Ok(file) = vfs.open(path)
        && let Ok(len @ HEADER_BYTES..) = file.size().map(|len| len as usize)
    {
        let mut bytes = vec![0; len - HEADER_BYTES];
        if file.read_exact_at(&mut bytes, HEADER_BYTES as u64).is_ok() {
            read_block(bytes.into());
        }
    }
}

fn read_block(bytes: Bytes) {
    for key in KEYS {
        let _ = find(&bytes, key, Tag::seek(Seqno(9)));
        let mut iter = BlockIter::new(bytes.clone());
        iter.seek(key, Tag::seek(Seqno(9)));
        (0..STEPS_MAX).for_each(|_| iter.next());
        iter.seek_before(key, Tag::seek(Seqno(9)));
        (0..STEPS_MAX).for_each(|_| iter.prev());
    }
    if let Some(filter) = TableFilter::open(bytes) {
        assert!((0..9).filter(|hash| filter.may_contain(*hash)).count() <= 9);
    }
}

fn read_table(files: Arc<OpenFiles>, path: &Path, id: FileId) -> Result<()> {
    files.forget(id);
    let table = Arc::new(Table::open(files, path, id, Arc::new(block_cache(1 << 20)))?);
    table.verify(&mut |_| {});
    for key in KEYS {
        let _ = table.get(key, Seqno(9));
    }
    let _ = table.anchors();
    if let Ok(mut probe) = Probe::new(&table) {
        for key in KEYS {
            let _ = probe.get(key, Seqno(9));
        }
    }
    let mut iter = TableIter::new(table.clone(), Caching::Use);
    iter.seek(b"", Tag(u64::MAX))?;
    for _ in 0..STEPS_MAX {
        if iter.key().is_none() {
            break;
        }
        iter.next()?;
    }
    iter.seek_before(None)?;
    for _ in 0..STEPS_MAX {
        if iter.key().is_none() {
            break;
        }
        iter.prev()?;
    }
    Ok(())
}

/// Payloads of valid blocks, by name: seeds.
#[cfg(test)]
pub(crate) fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    let mut entries = BlockBuilder::default();
    let mut index = BlockBuilder::default();
    for n in 0..40u64 {
        let key = format!("key{n:03}");
        entries.add(key.as_bytes(), Tag::new(Seqno(n), Kind::Value), key.repeat(2).as_bytes());
        index.add(
            key.as_bytes(),
            Tag::new(Seqno(n), Kind::Value),
            &BlockHandle { offset: 16 + n, len: 30 }.encode(),
        );
    }
    let mut ranges = BlockBuilder::default();
    ranges.add(b"a", Tag::new(Seqno(9), Kind::RangeTombstone), b"c");
    ranges.add(b"c", Tag::new(Seqno(7), Kind::RangeTombstone), b"d");
    let properties = Properties {
        entries: 40,
        smallest: "a".into(),
        largest: "z".into(),
        blob_bytes: [(FileId(3), 99)].into(),
        keyspace: Some((crate::types::KeyspaceId(1), "k".into())),
        ..Default::default()
    };
    let filter = super::filter::build_filter((0..50).collect()).unwrap_or_default();
    vec![
        ("entries", entries.finish()),
        ("index", index.finish()),
        ("ranges", ranges.finish()),
        ("properties", properties.encode()),
        ("filter", filter),
    ]
}
