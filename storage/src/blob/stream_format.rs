//! A streamed record, byte by byte: a blob that was written before its length and key were known.
//!
//! ```text
//! streamed := head frame(chunk)+ frame(table) end
//! head     := magic "STR1" | crc u32 (file id, offset, the head after it) | keyspace u32 | zero u32                          16 bytes
//! frame    := head crc u32 | payload crc u32 | kind u8 (1 chunk, 2 table) | encoding u8 | zero u16 | stored length u32
//!             | original length u32 | payload                                                                       20 bytes before it
//!             head crc = CRC32(file id, offset of the frame, the frame's head after both sums);  payload crc likewise
//! table    := key bytes | original length varint | chunk bytes varint | chunk count varint | (stored length varint of a chunk)*
//! end      := offset of the table's frame in the record u64 | crc u32 (file id, offset of the end, that u64) | magic "SEND"  16 bytes
//! ```
//!
//! Every chunk but the last holds *chunk bytes* of the value, so the chunk of a position is found by a division and the table's
//! sums. From the front a record is read frame by frame (recovery); from its end by way of the table (everybody else).

use super::format::{Record, total_bytes};
use crate::coding::{Decoder, put_bytes, put_varint, seeded_crc, u32_at};
use crate::compress::Encoding;
use crate::types::{BlobLayout, FileId, KeyspaceId};
use bytes::Bytes;

pub(super) const STREAM_HEAD_BYTES: usize = 16;
pub(super) const FRAME_HEAD_BYTES: usize = 20;
pub(super) const STREAM_END_BYTES: usize = 16;
/// Bytes of the value in a chunk: what a writer or reader of a stream holds of it.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// The largest chunk that a reader accepts.
const CHUNK_BYTES_MAX: u32 = 16 << 20;
pub(super) const STREAM_MAGIC: &[u8; 4] = b"STR1";
const END_MAGIC: &[u8; 4] = b"SEND";

const _: () = assert!(CHUNK_BYTES <= CHUNK_BYTES_MAX as usize);

pub(super) fn encode_stream_head(file: FileId, offset: u64, keyspace: KeyspaceId) -> [u8; STREAM_HEAD_BYTES] {
    let mut out = [0; STREAM_HEAD_BYTES];
    out[..4].copy_from_slice(STREAM_MAGIC);
    out[8..12].copy_from_slice(&keyspace.0.to_le_bytes());
    let crc = seeded_crc(file, offset, &[&out[8..]]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

pub(super) fn check_stream_head(file: FileId, offset: u64, bytes: &[u8]) -> bool {
    let covered = bytes.get(8..STREAM_HEAD_BYTES);
    let crc = covered.map(|covered| seeded_crc(file, offset, &[covered]));
    bytes.starts_with(STREAM_MAGIC) && crc.is_some() && crc == u32_at(bytes, 4)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FrameKind {
    Chunk = 1,
    Table = 2,
}

/// The head of a frame, verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub kind: FrameKind,
    pub encoding: Encoding,
    pub stored_len: u32,
    pub len: u32,
    payload_crc: u32,
}

/// Appends a frame that will lie at `offset` of the file.
pub(super) fn encode_frame(
    out: &mut Vec<u8>,
    (file, offset): (FileId, u64),
    kind: FrameKind,
    (encoding, payload): (Encoding, &[u8]),
    len: u32,
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&seeded_crc(file, offset, &[payload]).to_le_bytes());
    out.extend_from_slice(&[kind as u8, encoding as u8, 0, 0]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    let crc = seeded_crc(file, offset, &[&out[start + 8..]]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
}

/// The head of the frame at `offset`, if its checksum holds.
pub(super) fn decode_frame_head(file: FileId, offset: u64, bytes: &[u8]) -> Option<FrameHead> {
    let covered = bytes.get(8..FRAME_HEAD_BYTES)?;
    if u32_at(bytes, 0)? != seeded_crc(file, offset, &[covered]) {
        return None;
    }
    let mut decoder = Decoder::new(covered);
    let kind = match decoder.u8()? {
        1 => FrameKind::Chunk,
        2 => FrameKind::Table,
        _ => return None,
    };
    let encoding = Encoding::from_u8(decoder.u8()?)?;
    let _zero = decoder.u16()?;
    let (stored_len, len) = (decoder.u32()?, decoder.u32()?);
    Some(FrameHead { kind, encoding, stored_len, len, payload_crc: u32_at(bytes, 4)? })
}

impl FrameHead {
    pub(super) fn holds(&self, file: FileId, offset: u64, payload: &[u8]) -> bool {
        seeded_crc(file, offset, &[payload]) == self.payload_crc
    }
}

/// What the table says of the whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamTable {
    pub key: Bytes,
    pub len: u64,
    /// Bytes of the value in each chunk but the last.
    pub chunk_bytes: u32,
    /// Stored bytes of each chunk, frames' heads not counted.
    pub chunks: Vec<u32>,
}

impl StreamTable {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.key.len() + 24 + 3 * self.chunks.len());
        put_bytes(&mut out, &self.key);
        put_varint(&mut out, self.len);
        put_varint(&mut out, u64::from(self.chunk_bytes));
        put_varint(&mut out, self.chunks.len() as u64);
        self.chunks.iter().for_each(|stored_len| put_varint(&mut out, u64::from(*stored_len)));
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let key = Bytes::copy_from_slice(decoder.bytes()?);
        let (len, chunk_bytes, count) = (decoder.varint()?, decoder.varint_u32()?, decoder.varint()?);
        let is_sane =
            (1..=CHUNK_BYTES_MAX).contains(&chunk_bytes) && count == len.div_ceil(chunk_bytes.into());
        // Each takes a byte at least: nothing is allocated for a count that the bytes cannot hold.
        let count = usize::try_from(count).ok().filter(|count| is_sane && *count <= decoder.remaining())?;
        let chunks = (0..count).map(|_| decoder.varint_u32()).collect::<Option<Vec<u32>>>()?;
        decoder.is_empty().then_some(Self { key, len, chunk_bytes, chunks })
    }
}

impl StreamTable {
    /// The record of `total` bytes that ends with this table. It is longer than a head and the key, as its table has the key.
    pub(super) fn record(self, offset: u64, total: u64) -> Record {
        let stored_len = total.saturating_sub(total_bytes(self.key.len(), 0));
        Record { offset, stored_len, len: self.len, key: self.key, layout: BlobLayout::Chunked }
    }
}

pub(super) fn encode_stream_end(file: FileId, offset: u64, table_offset: u64) -> [u8; STREAM_END_BYTES] {
    let mut out = [0; STREAM_END_BYTES];
    out[..8].copy_from_slice(&table_offset.to_le_bytes());
    let crc = seeded_crc(file, offset, &[&out[..8]]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out[12..].copy_from_slice(END_MAGIC);
    out
}

/// Where the table's frame begins in the record.
pub(super) fn decode_stream_end(file: FileId, offset: u64, bytes: &[u8]) -> Option<u64> {
    let mut decoder = Decoder::new(bytes);
    let table_offset = decoder.u64()?;
    let holds = decoder.u32()? == seeded_crc(file, offset, &[bytes.get(..8)?]);
    (decoder.take(4)? == END_MAGIC && holds).then_some(table_offset)
}
