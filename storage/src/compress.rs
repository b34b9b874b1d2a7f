//! Compression of blocks and blobs: one byte says how, the checksum outside covers the compressed bytes.
//!
//! What would not shrink by 12% is kept raw: decoding it would cost time at every read for hardly any space.

use crate::options::TableCompression;
use crate::types::Compression;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::io;
use zstd::bulk::{Compressor, Decompressor};

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

/// What zstd works in, kept for the next call: making one costs more than a small block does (a tenth of the time of reads larger than the
/// cache and of merges). Bounded: one that finds its pool full is dropped.
struct Idle<T>(Mutex<Vec<T>>);

/// A decompressor holds about 160 KiB, a compressor at most some MiB.
static DECOMPRESSORS: Idle<Decompressor<'static>> = Idle(Mutex::new(Vec::new()));
static COMPRESSORS: Idle<Compressor<'static>> = Idle(Mutex::new(Vec::new()));
const IDLE_MAX: usize = 8;

impl<T> Idle<T> {
    /// Runs `work` with an idle one, or a new one. The lock is held for taking and giving back alone.
    fn with<R>(
        &self,
        make: impl FnOnce() -> io::Result<T>,
        work: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> Option<R> {
        let taken = self.0.lock().pop();
        let mut context = taken.map_or_else(make, Ok).ok()?;
        let result = work(&mut context).ok();
        let mut idle = self.0.lock();
        if idle.len() < IDLE_MAX {
            idle.push(context);
        }
        result
    }
}

fn zstd_compress(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    COMPRESSORS.with(
        || Compressor::new(level),
        |compressor| {
            compressor.set_compression_level(level)?;
            compressor.compress(bytes)
        },
    )
}

fn zstd_decompress(stored: &[u8], len: usize) -> Option<Vec<u8>> {
    DECOMPRESSORS.with(Decompressor::new, |decompressor| decompressor.decompress(stored, len))
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
        Compression::Dense => keep_if_smaller(bytes, Encoding::Zstd, zstd_compress(bytes, 3)),
        Compression::Strong => keep_if_smaller(bytes, Encoding::Zstd, zstd_compress(bytes, 9)),
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

/// The most that stored bytes can decode to. LZ4 adds at most 255 bytes to a length for each of its own; a zstd block gives at most 128 KiB, and
/// takes four bytes at least (RFC 8878, 3.1.1.2: a head of three, and a byte to be repeated).
fn decoded_max(encoding: Encoding, stored: usize) -> usize {
    match encoding {
        Encoding::Raw => stored,
        Encoding::Lz4 => stored.saturating_mul(255).saturating_add(64),
        Encoding::Zstd => (stored / 4).saturating_add(1).saturating_mul(128 << 10),
    }
}

/// Decodes to exactly `len` bytes, or says `None`. Nothing is allocated for a length that `stored` cannot decode to, whoever claims it.
pub(crate) fn decompress(encoding: Encoding, stored: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > decoded_max(encoding, stored.len()) {
        return None;
    }
    let bytes = match encoding {
        Encoding::Raw => stored.to_vec(),
        Encoding::Lz4 => lz4_flex::block::decompress(stored, len).ok()?,
        Encoding::Zstd => zstd_decompress(stored, len)?,
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
    fn what_shrinks_most_still_decodes_and_what_cannot_be_is_refused() {
        for len in [1, 100, 4 << 10, 1 << 20, 20 << 20] {
            let zeros = vec![0; len];
            for compression in [Compression::Fast, Compression::Dense, Compression::Strong] {
                let (encoding, stored) = compress_blob(&zeros, compression);
                assert_eq!(decompress(encoding, &stored, len).unwrap(), zeros);
                assert_eq!(decompress(encoding, &stored, usize::MAX), None);
            }
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
