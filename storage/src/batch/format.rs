//! The record of a batch in the log.
//!
//! ```text
//! record := first seqno varint | count varint | op*
//! op     := kind u8 (0 tombstone, 1 value, 2 blob reference, 3 range tombstone) | keyspace varint | key bytes | value bytes (not for 0)
//! ```
//!
//! The n-th op has the sequence number `first + n`, so that every entry's internal key is unique.

use super::{Op, WriteBatch};
use crate::coding::{Decoder, put_bytes, put_varint};
use crate::types::{KeyspaceId, Kind, Seqno};
use bytes::Bytes;

impl WriteBatch {
    /// The record, but for its first sequence number: encoding is done before that is known.
    pub(crate) fn encode(&self) -> Record {
        let bytes: usize = self.ops.iter().map(|op| op.key.len() + op.value.len() + 16).sum();
        let mut out = Vec::with_capacity(Record::NUMBER_BYTES_MAX + bytes + 16);
        out.resize(Record::NUMBER_BYTES_MAX, 0);
        put_varint(&mut out, self.ops.len() as u64);
        for op in &self.ops {
            out.push(op.kind as u8);
            put_varint(&mut out, u64::from(op.keyspace.0));
            put_bytes(&mut out, &op.key);
            if op.kind != Kind::Tombstone {
                put_bytes(&mut out, &op.value);
            }
        }
        Record { begin: Record::NUMBER_BYTES_MAX, bytes: out }
    }
}

/// A batch's record for the log. It has room at its front for the sequence number, so that numbering it moves nothing.
pub(crate) struct Record {
    bytes: Vec<u8>,
    begin: usize,
}

impl Record {
    const NUMBER_BYTES_MAX: usize = 10;

    /// Puts the first sequence number in front. Called once.
    pub(crate) fn number(&mut self, first: Seqno) {
        let mut number = Vec::with_capacity(Self::NUMBER_BYTES_MAX);
        put_varint(&mut number, first.0);
        let begin = self.begin.saturating_sub(number.len());
        if let Some(room) = self.bytes.get_mut(begin..self.begin) {
            room.copy_from_slice(&number);
            self.begin = begin;
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), begin: 0 }
    }
}

/// A batch as read back from the log.
pub(crate) fn decode_batch(record: &[u8]) -> Option<(Seqno, Vec<Op>)> {
    let mut decoder = Decoder::new(record);
    let first = Seqno(decoder.varint()?);
    let count = decoder.varint()?;
    let mut ops = Vec::new();
    while !decoder.is_empty() {
        let kind = Kind::from_u8(decoder.u8()?)?;
        let keyspace = KeyspaceId(decoder.varint_u32()?);
        let key = Bytes::copy_from_slice(decoder.bytes()?);
        let value = match kind {
            Kind::Tombstone => Bytes::new(),
            Kind::Value | Kind::BlobRef => Bytes::copy_from_slice(decoder.bytes()?),
            Kind::RangeTombstone => Bytes::copy_from_slice(decoder.bytes().filter(|end| key[..] < **end)?),
        };
        ops.push(Op { kind, keyspace, key, value });
    }
    let last = first.0.checked_add(count)?;
    (ops.len() as u64 == count && last <= Seqno::REACHED_MAX.0).then_some((first, ops))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn batches_round_trip(ops in prop::collection::vec((0u8..4, 0u32..9, ".{0,9}", ".{0,9}"), 0..9), first in 0u64..1 << 50) {
            let ops: Vec<Op> = ops
                .into_iter()
                .map(|(kind, keyspace, key, value)| {
                    let kind = Kind::from_u8(kind).unwrap();
                    let value = match kind {
                        Kind::Tombstone => Bytes::new(),
                        Kind::RangeTombstone => format!("{key}{value}x").into(),
                        _ => value.into(),
                    };
                    Op { kind, keyspace: KeyspaceId(keyspace), key: key.into(), value }
                })
                .collect();
            let batch = WriteBatch { ops: ops.clone(), ..WriteBatch::default() };
            let mut record = batch.encode();
            record.number(Seqno(first));
            prop_assert_eq!(decode_batch(record.bytes()), Some((Seqno(first), ops)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode_batch(&bytes);
        }
    }
}
