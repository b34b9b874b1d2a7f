//! Log file, byte by byte. Version 1.
//!
//! ```text
//! file   := header block* zero*
//! header := magic "PATLOG\r\n" (8) | version u16 | zero u16 | log number u32        16 bytes, inside the first block
//! block  := 32 KiB: chunk* and, when fewer than 19 bytes are left, zeros
//! chunk  := crc u32 | length u16 | type u8 | log number u32 | synced offset u64 | length bytes
//! type   := 1 full record | 2 first | 3 middle | 4 last chunk of a record
//! ```
//!
//! The checksum is CRC32 (IEEE) over the chunk from `length` to its end, so no length is used before it holds. The log
//! number (low 32 bits of the file id) makes a chunk of another log fail.

pub(super) const BLOCK_BYTES: u64 = 32 << 10;
pub(super) const CHUNK_HEADER_BYTES: usize = 19;
pub(super) const FILE_HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 8] = b"PATLOG\r\n";
const VERSION: u16 = 1;

const _: () = assert!(BLOCK_BYTES <= u16::MAX as u64 + 1, "a chunk's length must fit 16 bits");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkType {
    Full = 1,
    First = 2,
    Middle = 3,
    Last = 4,
}

pub(super) struct Chunk<'a> {
    pub kind: ChunkType,
    pub synced_offset: u64,
    pub payload: &'a [u8],
}

pub(super) fn encode_file_header(log_number: u32) -> [u8; FILE_HEADER_BYTES] {
    let mut header = [0; FILE_HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[12..].copy_from_slice(&log_number.to_le_bytes());
    header
}

/// `Err` says what is wrong with it.
pub(super) fn check_file_header(header: &[u8], log_number: u32) -> Result<(), &'static str> {
    if header.get(..8) != Some(MAGIC) {
        return Err("it does not begin like a log");
    }
    if header.get(8..10) != Some(&VERSION.to_le_bytes()) {
        return Err("it has a log format that this version does not know");
    }
    if header.get(12..16) != Some(&log_number.to_le_bytes()) {
        return Err("its header names another log");
    }
    if header != encode_file_header(log_number) {
        return Err("its header does not hold");
    }
    Ok(())
}

pub(super) fn encode_chunk(
    out: &mut Vec<u8>,
    kind: ChunkType,
    log_number: u32,
    synced_offset: u64,
    payload: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    out.push(kind as u8);
    out.extend_from_slice(&log_number.to_le_bytes());
    out.extend_from_slice(&synced_offset.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = crc32fast::hash(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The chunk at the front of `bytes` (the rest of a block), if it is whole, of this log, and its checksum holds.
pub(super) fn decode_chunk(bytes: &[u8], log_number: u32) -> Option<Chunk<'_>> {
    use crate::coding::Decoder;
    let mut decoder = Decoder::new(bytes);
    let crc = decoder.u32()?;
    let length = usize::from(decoder.u16()?);
    let kind = match decoder.u8()? {
        1 => ChunkType::Full,
        2 => ChunkType::First,
        3 => ChunkType::Middle,
        4 => ChunkType::Last,
        _ => return None,
    };
    // The checksum last: who looks for a chunk asks at every byte.
    if decoder.u32()? != log_number {
        return None;
    }
    if crc32fast::hash(bytes.get(4..CHUNK_HEADER_BYTES.checked_add(length)?)?) != crc {
        return None;
    }
    let synced_offset = decoder.u64()?;
    Some(Chunk { kind, synced_offset, payload: decoder.take(length)? })
}
