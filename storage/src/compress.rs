//! Compression of blocks and blobs: one byte says how, the checksum outside covers the compressed bytes.
//!
//! What would not shrink by 12% is kept raw: decoding it would cost time at every read for hardly any space.

use crate::options::TableCompression;
use crate::types::Compression;
use std::borrow::Cow;

/// How stored bytes are encoded. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Encoding {
    Raw = 0,
    Lz4 = 1,
    Zstd = 2,
}

impl Encoding {
    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Raw),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

fn keep_if_smaller(
    original: &[u8],
    encoding: Encoding,
    compressed: Option<Vec<u8>>,
) -> (Encoding, Cow<'_, [u8]>) {
    match compressed {
        Some(bytes) if bytes.len() <= original.len() / 100 * 88 + original.len() % 100 * 88 / 100 => {
            (encoding, Cow::Owned(bytes))
        }
        _ => (Encoding::Raw, Cow::Borrowed(original)),
    }
}

pub(crate) fn compress_blob(bytes: &[u8], compression: Compression) -> (Encoding, Cow<'_, [u8]>) {
    match compression {
        Compression::None => (Encoding::Raw, Cow::Borrowed(bytes)),
        Compression::Fast => keep_if_smaller(bytes, Encoding::Lz4, Some(lz4_flex::block::compress(bytes))),
        Compression::Dense => keep_if_smaller(bytes, Encoding::Zstd, zstd::bulk::compress(bytes, 3).ok()),
        Compression::Strong => keep_if_smaller(bytes, Encoding::Zstd, zstd::bulk::compress(bytes, 9).ok()),
    }
}

pub(crate) fn compress_block(bytes: &[u8], compression: TableCompression) -> (Encoding, Cow<'_, [u8]>) {
    compress_blob(
        bytes,
        match compression {
            TableCompression::None => Compression::None,
            TableCompression::Lz4 => Compression::Fast,
            TableCompression::Zstd => Compression::Dense,
        },
    )
}

/// Decodes to exactly `len` bytes, or says `None`. The caller has verified the checksum of `stored`, so `len` is
/// what the writer wrote and may be allocated.
pub(crate) fn decompress(encoding: Encoding, stored: &[u8], len: usize) -> Option<Vec<u8>> {
    let bytes = match encoding {
        Encoding::Raw => stored.to_vec(),
        Encoding::Lz4 => lz4_flex::block::decompress(stored, len).ok()?,
        Encoding::Zstd => zstd::bulk::decompress(stored, len).ok()?,
    };
    (bytes.len() == len).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_gives_the_bytes_back() {
        let text = b"the same words over and over, ".repeat(100);
        for compression in [Compression::None, Compression::Fast, Compression::Dense, Compression::Strong] {
            let (encoding, stored) = compress_blob(&text, compression);
            assert_eq!(encoding == Encoding::Raw, compression == Compression::None);
            assert_eq!(decompress(encoding, &stored, text.len()).unwrap(), text);
            assert_eq!(decompress(encoding, &stored, text.len() + 1), None);
        }
    }

    #[test]
    fn what_does_not_shrink_stays_raw() {
        let noise: Vec<u8> = (0u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut state = 1u64;
        let noise: Vec<u8> = noise
            .iter()
            .map(|byte| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                byte ^ (state >> 56) as u8
            })
            .collect();
        assert_eq!(compress_blob(&noise, Compression::Strong).0, Encoding::Raw);
    }
}
