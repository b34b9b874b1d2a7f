//! Table file, byte by byte. Version 2.
//!
//! ```text
//! file       := header data_block* index_partition* filter? range_block? top_index? properties footer
//! header     := magic "PATSST\r\n" (8) | version u16 | zero u16 | zero u32                          16 bytes
//! block      := payload | encoding u8 (0 raw, 1 LZ4, 2 zstd) | crc u32
//!               crc = CRC32(file id u64, offset u64, payload, encoding)
//!               payload of a compressed block := original length u32 | compressed bytes
//! data_block, index_partition, top_index payload := entry* restart u32* restart count u32
//! entry      := shared varint | unshared varint | value length varint | suffix of the user key | tag u64 | value
//!               shared, unshared: bytes of the user key; a restart's entry shares nothing. tag: sequence number << 8 | kind
//! value      := in a data block the value or blob reference; in an index the handle of a block whose last key is the key
//! handle     := offset varint | length varint (payload, encoding and crc)
//! filter     := binary fuse filter, 8 bit: descriptor (20) | fingerprints; over XXH3-64 of the user keys
//! range_block payload := entry* as above: key the start of a range, value its end; sorted, disjoint or equal; compressed like data
//! properties := field*        field := tag u8 | as below, integers as varints (bytes: length, then them); a tag that is missing is 0
//!                1 entries                  2 tombstones               3 range tombstones
//!                4 least sequence number    5 greatest                 6 smallest user key bytes    7 largest user key bytes
//!                8 bytes of the user keys as added                     9 bytes of the values as added
//!               10 made at, ms             11 oldest tombstone written at, ms (0: none, or not known)
//!               12 blob file | bytes of its records that entries here refer to    (one field a blob file, ascending)
//!               13 not 0: the largest key is the end of a range tombstone, and no key of the table itself
//!               14 number of the keyspace | its name bytes         the manifest says it too; this is for who has lost it
//! footer     := offset u64, length u32 each of top_index, properties, filter, range_block (length 0: there is none)
//!               | crc u32 (file id, the fields before) | magic (8)                                   60 bytes
//! ```

use crate::coding::{Decoder, put_bytes, put_varint, seeded_crc};
use crate::types::{FileId, KeyspaceId, Seqno};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

pub(super) const HEADER_BYTES: usize = 16;
pub(super) const FOOTER_BYTES: usize = 60;
const FOOTER_FIELDS_BYTES: usize = 48;
pub(super) const BLOCK_TRAILER_BYTES: usize = 5;
/// An entry is stored whole every this many, so that a block can be searched by halves.
pub(super) const RESTART_INTERVAL: usize = 16;
pub(super) const FILTER_DESCRIPTOR_BYTES: usize = 20;
const MAGIC: &[u8; 8] = b"PATSST\r\n";
const VERSION: u16 = 2;

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

/// What a table says of itself. New fields are new tags; a tag is never used twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub entries: u64,
    pub tombstones: u64,
    pub range_tombstones: u64,
    pub seqno_min: Seqno,
    pub seqno_max: Seqno,
    pub smallest: Bytes,
    pub largest: Bytes,
    /// The largest key is the end of a range tombstone: the table reaches up to it, but does not have it.
    pub largest_is_end: bool,
    /// Number and name of the keyspace, for who has no manifest.
    pub keyspace: Option<(KeyspaceId, Bytes)>,
    /// User keys and values as they were added, neither prefix-compressed nor compressed; blob references count as values.
    pub raw_key_bytes: u64,
    pub raw_value_bytes: u64,
    pub created_ms: u64,
    /// When the oldest tombstone in the table was written; 0 if there is none.
    pub oldest_tombstone_ms: u64,
    /// Bytes of the records, heads and keys included, that entries refer to, by blob file.
    pub blob_bytes: BTreeMap<FileId, u64>,
}

impl Properties {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let scalars = [
            (1, self.entries),
            (2, self.tombstones),
            (3, self.range_tombstones),
            (4, self.seqno_min.0),
            (5, self.seqno_max.0),
            (8, self.raw_key_bytes),
            (9, self.raw_value_bytes),
            (10, self.created_ms),
            (11, self.oldest_tombstone_ms),
            (13, u64::from(self.largest_is_end)),
        ];
        for (tag, value) in scalars.into_iter().filter(|(_, value)| *value != 0) {
            out.push(tag);
            put_varint(&mut out, value);
        }
        for (tag, key) in [(6, &self.smallest), (7, &self.largest)] {
            out.push(tag);
            put_bytes(&mut out, key);
        }
        if let Some((id, name)) = &self.keyspace {
            out.push(14);
            put_varint(&mut out, u64::from(id.0));
            put_bytes(&mut out, name);
        }
        for (file, bytes) in &self.blob_bytes {
            out.push(12);
            put_varint(&mut out, file.0);
            put_varint(&mut out, *bytes);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut properties = Self::default();
        let mut decoder = Decoder::new(bytes);
        while !decoder.is_empty() {
            match decoder.u8()? {
                1 => properties.entries = decoder.varint()?,
                2 => properties.tombstones = decoder.varint()?,
                3 => properties.range_tombstones = decoder.varint()?,
                4 => properties.seqno_min = Seqno(decoder.varint()?),
                5 => properties.seqno_max = Seqno(decoder.varint()?),
                6 => properties.smallest = Bytes::copy_from_slice(decoder.bytes()?),
                7 => properties.largest = Bytes::copy_from_slice(decoder.bytes()?),
                8 => properties.raw_key_bytes = decoder.varint()?,
                9 => properties.raw_value_bytes = decoder.varint()?,
                10 => properties.created_ms = decoder.varint()?,
                11 => properties.oldest_tombstone_ms = decoder.varint()?,
                12 => {
                    let file = FileId(decoder.varint()?);
                    properties.blob_bytes.insert(file, decoder.varint()?);
                }
                13 => properties.largest_is_end = decoder.varint()? != 0,
                14 => {
                    let id = KeyspaceId(decoder.varint_u32()?);
                    properties.keyspace = Some((id, Bytes::copy_from_slice(decoder.bytes()?)));
                }
                _ => return None,
            }
        }
        Some(properties)
    }

    /// Whether all that the table has or hides comes before a key.
    pub(crate) fn ends_before(&self, user_key: &[u8]) -> bool {
        if self.largest_is_end { &self.largest[..] <= user_key } else { &self.largest[..] < user_key }
    }

    /// Whether the table's range has a key.
    pub(crate) fn covers(&self, user_key: &[u8]) -> bool {
        &self.smallest[..] <= user_key && !self.ends_before(user_key)
    }

    /// Whether the table's range has keys of another one.
    pub(crate) fn meets(&self, (start, end): (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
        let begins_after = match end {
            Bound::Included(end) => &self.smallest[..] > end,
            Bound::Excluded(end) => &self.smallest[..] >= end,
            Bound::Unbounded => false,
        };
        let ends_before = match start {
            Bound::Included(start) => self.ends_before(start),
            Bound::Excluded(start) => &self.largest[..] <= start,
            Bound::Unbounded => false,
        };
        !begins_after && !ends_before
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// Length 0: no entries.
    pub top_index: BlockHandle,
    pub properties: BlockHandle,
    /// Length 0: no filter.
    pub filter: BlockHandle,
    /// Length 0: no range tombstones.
    pub ranges: BlockHandle,
}

pub(super) fn encode_header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header
}

pub(super) fn check_header(header: &[u8; HEADER_BYTES]) -> Result<(), String> {
    let mut decoder = Decoder::new(header);
    if decoder.take(MAGIC.len()) != Some(MAGIC) {
        return Err("it does not begin like a table".to_owned());
    }
    match decoder.u16() {
        Some(VERSION) if *header == encode_header() => Ok(()),
        Some(VERSION) => Err("its header does not hold".to_owned()),
        version => {
            let version = version.unwrap_or(0);
            Err(format!("it has table format {version}; this program knows format {VERSION}"))
        }
    }
}

impl Footer {
    pub(super) fn encode(&self, file: FileId) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        for handle in [self.top_index, self.properties, self.filter, self.ranges] {
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
        let fields = bytes.get(..FOOTER_FIELDS_BYTES)?;
        let mut handle = || Some(BlockHandle { offset: decoder.u64()?, len: decoder.u32()? });
        let footer =
            Self { top_index: handle()?, properties: handle()?, filter: handle()?, ranges: handle()? };
        let intact = decoder.u32()? == seeded_crc(file, 0, &[fields]) && decoder.take(8)? == MAGIC;
        intact.then_some(footer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn properties_round_trip(
            scalars: [u64; 8],
            smallest: Vec<u8>,
            largest: Vec<u8>,
            blobs: BTreeMap<u64, u64>,
        ) {
            let [entries, tombstones, range_tombstones, seqno_min, raw_key_bytes, raw_value_bytes, created_ms, oldest_tombstone_ms] =
                scalars;
            let properties = Properties {
                entries,
                tombstones,
                range_tombstones,
                seqno_min: Seqno(seqno_min),
                seqno_max: Seqno(seqno_min | 5),
                smallest: smallest.into(),
                largest: largest.into(),
                raw_key_bytes,
                raw_value_bytes,
                created_ms,
                oldest_tombstone_ms,
                largest_is_end: entries % 2 == 1,
                keyspace: (entries % 3 == 1).then(|| (KeyspaceId(7), "name".into())),
                blob_bytes: blobs.into_iter().map(|(file, bytes)| (FileId(file), bytes)).collect(),
            };
            prop_assert_eq!(Properties::decode(&properties.encode()), Some(properties));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (Properties::decode(&bytes), Footer::decode(&bytes, FileId(1)), BlockHandle::decode(&bytes));
        }
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let mut header = encode_header();
        assert_eq!(check_header(&header), Ok(()));
        header[8] = 77;
        assert!(check_header(&header).unwrap_err().contains("table format 77"));
    }
}
