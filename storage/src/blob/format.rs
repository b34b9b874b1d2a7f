//! Blob file, byte by byte. Version 2. (Streamed records are in [`super::stream_format`].)
//!
//! ```text
//! file    := header (record | streamed)* (index trailer | zero*)    index and trailer once it is sealed
//! header  := magic "PATBLB\r\n" (8) | version u16 | class u8 | zero u8 | crc u32 (file id, the rest) | due u64
//!            | keyspace u32 | zero u32                                                                      32 bytes
//! record  := magic "REC1" | head crc u32 | payload crc u32 | keyspace u32 | key length u16 | encoding u8 | zero u8
//!            | stored length u64 | original length u64 | key | payload
//!            head crc = CRC32(file id, offset, the head after it, key);  payload crc = CRC32(file id, offset, payload)
//! index   := (offset varint | key bytes | stored length varint | original length varint | layout u8)*
//! layout  := 0 record, 1 streamed
//! trailer := index offset u64 | index length u64 | records u64 | crc u32 (file id, index, fields before) | magic "BEND"      32 bytes
//! ```
//!
//! All records of a file belong to the keyspace of its header; a record repeats it, so that it can be told alone.

use crate::coding::{Decoder, put_bytes, put_varint, seeded_crc};
use crate::compress::Encoding;
use crate::types::{Bin, BlobLayout, BlobRef, FileId, KeyspaceId};
use bytes::Bytes;

pub(super) const HEADER_BYTES: usize = 32;
pub(super) const RECORD_HEAD_BYTES: usize = 36;
pub(super) const TRAILER_BYTES: usize = 32;
/// The longest value of a record in one piece that a reader accepts: no checksum vouches for what is not there yet, and so much is allocated
/// for it. `Options::inline_value_bytes_max` cannot be more, and what is longer than a chunk is streamed.
pub(super) const WHOLE_BYTES_MAX: usize = 64 << 20;
const MAGIC: &[u8; 8] = b"PATBLB\r\n";
const RECORD_MAGIC: &[u8; 4] = b"REC1";
const TRAILER_MAGIC: &[u8; 4] = b"BEND";
const VERSION: u16 = 2;

/// What a record says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub offset: u64,
    pub key: Bytes,
    pub stored_len: u64,
    pub len: u64,
    pub layout: BlobLayout,
}

impl Record {
    /// Bytes of the whole record in the file.
    pub(crate) fn total_bytes(&self) -> u64 {
        total_bytes(self.key.len(), self.stored_len)
    }

    /// The reference that names this record of `file`.
    pub(crate) fn blob_ref(&self, file: FileId) -> BlobRef {
        let Self { offset, stored_len, len, layout, .. } = *self;
        BlobRef { file, offset, stored_len, len, layout }
    }
}

/// Bytes of a whole record in the file, whatever its layout: a streamed record's stored length is chosen to make this hold.
pub(crate) fn total_bytes(key_len: usize, stored_len: u64) -> u64 {
    (RECORD_HEAD_BYTES as u64 + key_len as u64).saturating_add(stored_len)
}

pub(super) fn encode_header(file: FileId, keyspace: KeyspaceId, bin: Bin) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(MAGIC);
    out[8..10].copy_from_slice(&VERSION.to_le_bytes());
    out[10] = bin.class;
    out[16..24].copy_from_slice(&bin.due_ms.to_le_bytes());
    out[24..28].copy_from_slice(&keyspace.0.to_le_bytes());
    let crc = seeded_crc(file, 0, &[&out[..12], &out[16..]]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

pub(super) fn check_header(bytes: &[u8], file: FileId) -> Result<(), &'static str> {
    let (Some(front), Some(back)) = (bytes.get(..12), bytes.get(16..HEADER_BYTES)) else {
        return Err("it is too short for a blob file");
    };
    if !front.starts_with(MAGIC) {
        return Err("it does not begin like a blob file");
    }
    if front.get(8..10) != Some(&VERSION.to_le_bytes()) {
        return Err("it has a blob file format that this version does not know");
    }
    if crate::coding::u32_at(bytes, 12) != Some(seeded_crc(file, 0, &[front, back])) {
        return Err("its header does not hold");
    }
    Ok(())
}

/// Keyspace and bin as a header names them; check it first.
pub(super) fn decode_header(bytes: &[u8]) -> Option<(KeyspaceId, Bin)> {
    let mut decoder = Decoder::new(bytes.get(10..)?);
    let class = decoder.u8()?;
    decoder.take(5)?;
    let due_ms = decoder.u64()?;
    Some((KeyspaceId(decoder.u32()?), Bin { class, due_ms }))
}

/// The fields of a record's head.
pub(super) struct RecordHead {
    pub key_len: u16,
    pub encoding: Encoding,
    pub stored_len: u64,
    pub len: u64,
    head_crc: u32,
    payload_crc: u32,
}

pub(super) fn encode_record(
    file: FileId,
    offset: u64,
    (keyspace, key): (KeyspaceId, &[u8]),
    (encoding, payload): (Encoding, &[u8]),
    len: u64,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_HEAD_BYTES + key.len() + payload.len());
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&seeded_crc(file, offset, &[payload]).to_le_bytes());
    out.extend_from_slice(&keyspace.0.to_le_bytes());
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.push(encoding as u8);
    out.push(0);
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(key);
    let crc = seeded_crc(file, offset, &[&out[8..]]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// Reads the head's fields; its checksum, which covers the key too, is [`check_head`]'s to verify.
pub(super) fn decode_head(bytes: &[u8]) -> Option<RecordHead> {
    let mut decoder = Decoder::new(bytes);
    if decoder.take(4)? != RECORD_MAGIC {
        return None;
    }
    let head_crc = decoder.u32()?;
    let payload_crc = decoder.u32()?;
    // Known from the file's header.
    let _keyspace = decoder.u32()?;
    let key_len = decoder.u16()?;
    let encoding = Encoding::from_u8(decoder.u8()?)?;
    let _zero = decoder.u8()?;
    Some(RecordHead {
        key_len,
        encoding,
        stored_len: decoder.u64()?,
        len: decoder.u64()?,
        head_crc,
        payload_crc,
    })
}

/// Whether the head and key at the front of a record are as written.
pub(super) fn check_head(head: &RecordHead, file: FileId, offset: u64, record: &[u8]) -> bool {
    record
        .get(8..RECORD_HEAD_BYTES + usize::from(head.key_len))
        .is_some_and(|covered| seeded_crc(file, offset, &[covered]) == head.head_crc)
}

pub(super) fn check_payload(head: &RecordHead, file: FileId, offset: u64, payload: &[u8]) -> bool {
    seeded_crc(file, offset, &[payload]) == head.payload_crc
}

pub(super) fn encode_index_entry(out: &mut Vec<u8>, record: &Record) {
    put_varint(out, record.offset);
    put_bytes(out, &record.key);
    put_varint(out, record.stored_len);
    put_varint(out, record.len);
    out.push(record.layout as u8);
}

pub(super) fn decode_index(bytes: &[u8], records: u64) -> Option<Vec<Record>> {
    let mut decoder = Decoder::new(bytes);
    let mut all = Vec::new();
    while !decoder.is_empty() {
        all.push(Record {
            offset: decoder.varint()?,
            key: Bytes::copy_from_slice(decoder.bytes()?),
            stored_len: decoder.varint()?,
            len: decoder.varint()?,
            layout: BlobLayout::from_u8(decoder.u8()?)?,
        });
    }
    (all.len() as u64 == records).then_some(all)
}

pub(super) struct Trailer {
    pub index_offset: u64,
    pub index_len: u64,
    pub records: u64,
    crc: u32,
}

pub(super) fn encode_trailer(file: FileId, index_offset: u64, index: &[u8], records: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(TRAILER_BYTES);
    for value in [index_offset, index.len() as u64, records] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    let crc = seeded_crc(file, 0, &[index, &out]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(TRAILER_MAGIC);
    out
}

pub(super) fn decode_trailer(bytes: &[u8]) -> Option<Trailer> {
    let mut decoder = Decoder::new(bytes);
    let trailer = Trailer {
        index_offset: decoder.u64()?,
        index_len: decoder.u64()?,
        records: decoder.u64()?,
        crc: decoder.u32()?,
    };
    (decoder.take(4)? == TRAILER_MAGIC).then_some(trailer)
}

pub(super) fn check_index(trailer: &Trailer, file: FileId, index: &[u8], trailer_bytes: &[u8]) -> bool {
    trailer_bytes.get(..24).is_some_and(|fields| seeded_crc(file, 0, &[index, fields]) == trailer.crc)
}
