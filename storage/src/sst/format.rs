//! Table file, byte by byte. Version 1.
//!
//! ```text
//! file       := header data_block* index_partition* filter? top_index properties footer
//! header     := magic "PATSST\r\n" (8) | version u16 | zero u16 | zero u32                          16 bytes
//! block      := payload | encoding u8 (0 raw, 1 LZ4, 2 zstd) | crc u32
//!               crc = CRC32(file id u64, offset u64, payload, encoding)
//!               payload of a compressed block := original length u32 | compressed bytes
//! data_block, index_partition, top_index payload := entry* restart u32* restart count u32
//! entry      := shared varint | unshared varint | value length varint | key suffix | value
//!               key = user key, then tag u64 (sequence number << 8 | kind); a restart's entry shares nothing
//! value      := in a data block the value or blob reference; in an index the handle of a block whose last key is the key
//! handle     := offset varint | length varint (payload, encoding and crc)
//! filter     := binary fuse filter, 8 bit: descriptor (20) | fingerprints; over XXH3-64 of the user keys
//! properties := entries varint | tombstones varint | seqno min varint | seqno max varint
//!               | smallest user key bytes | largest user key bytes      (bytes: length varint, then them)
//! footer     := top_index offset u64, length u32 | properties offset u64, length u32 | filter offset u64, length u32
//!               | crc u32 (file id, the fields before) | magic (8)                                   48 bytes
//! ```

use crate::coding::{Decoder, put_bytes, put_varint, seeded_crc};
use crate::types::{FileId, Seqno};
use bytes::Bytes;

pub(super) const HEADER_BYTES: usize = 16;
pub(super) const FOOTER_BYTES: usize = 48;
pub(super) const BLOCK_TRAILER_BYTES: usize = 5;
/// An entry is stored whole every this many, so that a block can be searched by halves.
pub(super) const RESTART_INTERVAL: usize = 16;
pub(super) const FILTER_DESCRIPTOR_BYTES: usize = 20;
const MAGIC: &[u8; 8] = b"PATSST\r\n";
const VERSION: u16 = 1;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BlockHandle {
    pub offset: u64,
    /// With the trailer.
    pub len: u32,
}

impl BlockHandle {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10);
        put_varint(&mut out, self.offset);
        put_varint(&mut out, u64::from(self.len));
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        Some(Self { offset: decoder.varint()?, len: decoder.varint_u32()? })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub entries: u64,
    pub tombstones: u64,
    pub seqno_min: Seqno,
    pub seqno_max: Seqno,
    pub smallest: Bytes,
    pub largest: Bytes,
}

impl Properties {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for value in [self.entries, self.tombstones, self.seqno_min.0, self.seqno_max.0] {
            put_varint(&mut out, value);
        }
        put_bytes(&mut out, &self.smallest);
        put_bytes(&mut out, &self.largest);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        Some(Self {
            entries: decoder.varint()?,
            tombstones: decoder.varint()?,
            seqno_min: Seqno(decoder.varint()?),
            seqno_max: Seqno(decoder.varint()?),
            smallest: Bytes::copy_from_slice(decoder.bytes()?),
            largest: Bytes::copy_from_slice(decoder.bytes()?),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub top_index: BlockHandle,
    pub properties: BlockHandle,
    /// Length 0: no filter.
    pub filter: BlockHandle,
}

pub(super) fn encode_header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header
}

pub(super) fn check_header(header: &[u8]) -> Result<(), &'static str> {
    if header.get(..8) != Some(MAGIC) {
        return Err("it does not begin like a table");
    }
    if header.get(8..10) != Some(&VERSION.to_le_bytes()) {
        return Err("it has a table format that this version does not know");
    }
    Ok(())
}

impl Footer {
    pub(super) fn encode(&self, file: FileId) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        for handle in [self.top_index, self.properties, self.filter] {
            out.extend_from_slice(&handle.offset.to_le_bytes());
            out.extend_from_slice(&handle.len.to_le_bytes());
        }
        let crc = seeded_crc(file, 0, &[&out]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(MAGIC);
        let mut footer = [0; FOOTER_BYTES];
        footer.copy_from_slice(&out);
        footer
    }

    pub(super) fn decode(bytes: &[u8], file: FileId) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let fields = bytes.get(..36)?;
        let mut handle = || Some(BlockHandle { offset: decoder.u64()?, len: decoder.u32()? });
        let footer = Self { top_index: handle()?, properties: handle()?, filter: handle()? };
        let intact = decoder.u32()? == seeded_crc(file, 0, &[fields]) && decoder.take(8)? == MAGIC;
        intact.then_some(footer)
    }
}
