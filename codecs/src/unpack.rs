//! What comes out of compressed files, counted as it comes.
//!
//! A compressed file says how long its content will be, and may lie: 42 kB can stand for petabytes. So nothing is
//! believed. All that is unpacked from one input counts against [`Limits::expansion`] times its size and
//! [`Limits::unpacked_bytes`], and the clock is asked while it comes.
//!
//! [`Limits::expansion`]: crate::Limits::expansion
//! [`Limits::unpacked_bytes`]: crate::Limits::unpacked_bytes

use std::io::Read;

use crate::deadline::Deadline;
use crate::registry::{Input, Refusal};

/// A small file that unpacks to no more than this is no bomb, whatever its ratio.
const HARMLESS_BYTES: u64 = 1 << 20;
const BLOCK_BYTES: usize = 64 * 1024;

/// How much may still come out of an input.
pub(crate) struct Unpacking<'a> {
    left_bytes: u64,
    limit_bytes: u64,
    deadline: &'a Deadline,
}

impl<'a> Unpacking<'a> {
    pub(crate) fn of(input: &Input<'a>) -> Self {
        let by_size = (input.bytes.len() as u64).saturating_mul(input.limits.expansion);
        let limit_bytes = by_size.max(HARMLESS_BYTES).min(input.limits.unpacked_bytes);
        Self { left_bytes: limit_bytes, limit_bytes, deadline: input.deadline }
    }

    /// Everything that a reader gives, at most `max_bytes`.
    pub(crate) fn read(&mut self, reader: impl Read, name: &str, max_bytes: u64) -> Result<Vec<u8>, Refusal> {
        let mut all = Vec::new();
        self.pass(reader, name, |block| {
            all.extend_from_slice(block);
            if all.len() as u64 > max_bytes {
                return Err(Refusal::new(format!("{} unpacks to more than {max_bytes} bytes", shown(name))));
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Gives what a reader gives to `each`, block by block; the number of bytes. O(bytes) time, O(1) memory.
    pub(crate) fn pass(
        &mut self,
        mut reader: impl Read,
        name: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<u64, Refusal> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut len_bytes = 0u64;
        loop {
            self.deadline.check()?;
            let read_bytes = reader
                .read(&mut block)
                .map_err(|error| Refusal::new(format!("{} cannot be unpacked: {error}", shown(name))))?;
            if read_bytes == 0 {
                return Ok(len_bytes);
            }
            self.count(read_bytes as u64)?;
            len_bytes += read_bytes as u64;
            each(block.get(..read_bytes).unwrap_or_default())?;
        }
    }

    /// Counts bytes that came out elsewhere.
    pub(crate) fn count(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.left_bytes = self
            .left_bytes
            .checked_sub(bytes)
            .ok_or_else(|| Refusal::new(format!("unpacks to more than {} bytes", self.limit_bytes)))?;
        Ok(())
    }
}

fn shown(name: &str) -> String {
    crate::trace::cut(name, 80)
}
