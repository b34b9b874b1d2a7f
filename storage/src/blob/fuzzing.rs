//! Blob files around arbitrary bytes, for `fuzzing.rs`.

use super::file::{BlobFile, Identity};
use super::format::*;
use super::stream_format::*;
use crate::compress::Encoding;
use crate::manifest::BlobOrigin;
use crate::open_files::OpenFiles;
use crate::types::{Bin, BlobLayout, BlobRef, FileId, KeyspaceId};
use crate::vfs::Vfs;
use std::path::Path;

const KEYSPACE: KeyspaceId = KeyspaceId(1);
const BIN: Bin = Bin { class: 0, due_ms: 5 };

/// Files in which these bytes stand behind checksums that hold: as a value, as it is and as if compressed; as a chunk and as its table; as the
/// index.
pub(crate) fn files_with(id: FileId, data: &[u8]) -> Vec<Vec<u8>> {
    let header = || encode_header(id, KEYSPACE, BIN).to_vec();
    let at = HEADER_BYTES as u64;
    let encodings = [Encoding::Raw, Encoding::Lz4, Encoding::Zstd];
    // What a hostile length would have allocated.
    let lens = [data.len() as u64, 1 << 20, u64::MAX];
    let wholes = encodings.into_iter().zip(lens).map(|(encoding, len)| {
        [header(), encode_record(id, at, (KEYSPACE, b"key"), (encoding, data), len)].concat()
    });
    let streams = encodings.into_iter().map(|encoding| {
        let mut file = header();
        file.extend(encode_stream_head(id, at, KEYSPACE));
        let chunk_at = file.len() as u64;
        encode_frame(&mut file, (id, chunk_at), FrameKind::Chunk, (encoding, data), u32::MAX);
        let table_at = file.len() as u64;
        encode_frame(&mut file, (id, table_at), FrameKind::Table, (Encoding::Raw, data), data.len() as u32);
        let end_at = file.len() as u64;
        file.extend(encode_stream_end(id, end_at, table_at - at));
        file
    });
    let mut index = [header(), data.to_vec()].concat();
    index.extend(encode_trailer(id, at, data, u64::from(data.first().copied().unwrap_or_default())));
    wholes.chain(streams).chain([index]).collect()
}

/// Every way in which a blob file is read.
pub(crate) fn read_everything(vfs: &dyn Vfs, handles: &OpenFiles, path: &Path, id: FileId) {
    let identity = Identity { id, keyspace: KEYSPACE, bin: BIN, origin: BlobOrigin::User };
    if let Ok(file) = BlobFile::scan(vfs, path.to_owned(), identity) {
        file.verify(handles, &mut |_| {});
    }
    let file = BlobFile::sealed(path.to_owned(), identity, u64::MAX, 0);
    file.verify(handles, &mut |_| {});
    let records = file.find_records(handles);
    for record in records.iter().take(100) {
        let _ = file.read(handles, &record.key, record.blob_ref(id));
        let _ = file.verify_record(handles, &record.key, record.blob_ref(id));
    }
    let len = vfs.open(path).and_then(|file| file.size()).unwrap_or_default();
    for (layout, stored_len) in [BlobLayout::Whole, BlobLayout::Chunked]
        .into_iter()
        .flat_map(|layout| [0, len.saturating_sub(71), 1 << 40].map(|stored_len| (layout, stored_len)))
    {
        let blob = BlobRef { file: id, offset: HEADER_BYTES as u64, stored_len, len, layout };
        let _ = file.read(handles, b"key", blob);
    }
    let _ = BlobFile::alone(vfs, path.to_owned(), id);
}
