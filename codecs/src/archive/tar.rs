//! Tar files, packed or not, as a stream.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::{Entry, hash_of};
use crate::registry::{Input, Refusal};
use crate::unpack::Unpacking;

pub(super) const HEADER_BYTES: usize = 512;

/// By the magic that all but the oldest have.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Reads as much as fits; how much came.
pub(super) fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) | Err(_) => break,
            Ok(read_bytes) => filled += read_bytes,
        }
    }
    filled
}

/// The entries with what they hold. Counts everything that the stream gives, headers and padding too, by reading it
/// through a counter: long names are held in memory by the library, and must not be longer than what is left.
pub(super) fn entries(
    reader: impl Read,
    unpacking: &mut Unpacking<'_>,
    input: &Input<'_>,
) -> Result<Vec<Entry>, Refusal> {
    let odd = |error: std::io::Error| Refusal::new(format!("is no tar that can be read: {error}"));
    let mut archive = tar::Archive::new(Counted { reader, unpacking });
    let mut found = Vec::new();
    for entry in archive.entries().map_err(odd)? {
        let mut entry = entry.map_err(odd)?;
        input.deadline.check()?;
        if found.len() as u64 >= input.limits.entries {
            return Err(Refusal::new(format!("has more than {} entries", input.limits.entries)));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (mut hash, mut bytes) = (Sha256::new(), 0u64);
        let mut block = vec![0; 64 * 1024];
        loop {
            let read_bytes = entry.read(&mut block).map_err(odd)?;
            if read_bytes == 0 {
                break;
            }
            bytes += read_bytes as u64;
            hash.update(block.get(..read_bytes).unwrap_or_default());
        }
        found.push(Entry { sha256: hash_of(hash, bytes), name, bytes });
    }
    Ok(found)
}

/// A reader that ends in an error at the limit.
struct Counted<'a, 'b, R> {
    reader: R,
    unpacking: &'a mut Unpacking<'b>,
}

impl<R: Read> Read for Counted<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read_bytes = self.reader.read(buffer)?;
        self.unpacking.count(read_bytes as u64).map_err(std::io::Error::other)?;
        Ok(read_bytes)
    }
}
