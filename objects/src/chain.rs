//! The history as a chain of hashes.
//!
//! Each row holds the SHA-256 of the row before it, as stored. Whoever changes, removes or inserts a row must change
//! every row after it, and the head, which is kept apart. This finds damage and careless hands; a forger who rewrites
//! the whole chain is only found by a head that was noted elsewhere.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::HistoryRow;
use crate::rows::{self, HistoryRecord};
use crate::types::{ObjectId, Reason, Stage};
use sha2::{Digest, Sha256};

/// The hash of a history row.
pub(crate) type RowHash = [u8; 32];

/// What the first row takes for the row before it.
pub(crate) const GENESIS: RowHash = [0; 32];

/// The hash of a row as stored.
pub(crate) fn hash_of(stored: &[u8]) -> RowHash {
    Sha256::digest(stored).into()
}

/// Reads a stored row under the key `seq`.
pub(crate) fn read(seq: u64, stored: &[u8]) -> Result<HistoryRow> {
    let what = format!("history entry {seq}");
    let record: HistoryRecord = rows::decode(stored, &what)?;
    let damaged = || Error::corruption(format!("{what} is damaged; restore from a copy"));
    let stage = |number: Option<u32>| match number {
        None => Ok(None),
        Some(number) => u8::try_from(number).ok().and_then(Stage::from_number).map(Some).ok_or_else(damaged),
    };
    if record.seq != seq {
        return Err(damaged());
    }
    Ok(HistoryRow {
        seq,
        object: ObjectId(record.object),
        at: Timestamp(record.at_ms),
        from: stage(record.from)?,
        to: stage(record.to)?,
        reason: Reason::parse(&record.reason).ok_or_else(damaged)?,
        bytes_before: record.bytes_before,
        bytes_after: record.bytes_after,
        fidelity: record.fidelity,
        prev_hash: record.prev_hash.as_slice().try_into().map_err(|_| damaged())?,
        hash: hash_of(stored),
        name: record.name,
        tenant: record.tenant,
        metric: record.metric,
        codec: record.codec,
        params: record.params,
        note: record.note,
        actor: record.actor,
    })
}

/// Follows the chain row by row.
pub(crate) struct Verifier {
    rows: u64,
    hash: RowHash,
}

impl Verifier {
    pub(crate) fn new() -> Self {
        Self { rows: 0, hash: GENESIS }
    }

    /// Takes the next row.
    pub(crate) fn next(&mut self, row: &HistoryRow) -> Result<()> {
        let expected = self.rows + 1;
        if row.seq != expected {
            let seq = row.seq;
            return Err(Error::corruption(format!(
                "the history goes from entry {} to entry {seq}",
                self.rows
            )));
        }
        if row.prev_hash != self.hash {
            return Err(Error::corruption(format!(
                "history entry {expected} does not follow from the one before it: one of them was changed"
            )));
        }
        self.rows = expected;
        self.hash = row.hash;
        Ok(())
    }

    /// Compares the end with the head. Gives the number of rows.
    pub(crate) fn finish(self, rows: u64, head: RowHash) -> Result<u64> {
        if (self.rows, self.hash) != (rows, head) {
            let found = self.rows;
            return Err(Error::corruption(format!(
                "the history ends at entry {found}, its head says {rows}"
            )));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(len: u64) -> Vec<Vec<u8>> {
        let mut prev = GENESIS;
        let mut stored = Vec::new();
        for seq in 1..=len {
            let record =
                HistoryRecord { seq, reason: "put".into(), prev_hash: prev.to_vec(), ..Default::default() };
            let bytes = rows::encode(&record);
            prev = hash_of(&bytes);
            stored.push(bytes);
        }
        stored
    }

    fn verify(stored: &[Vec<u8>], head: RowHash) -> Result<u64> {
        let mut verifier = Verifier::new();
        for (at, bytes) in stored.iter().enumerate() {
            verifier.next(&read(at as u64 + 1, bytes)?)?;
        }
        verifier.finish(stored.len() as u64, head)
    }

    #[test]
    fn an_untouched_chain_verifies() {
        let stored = chain(5);
        assert_eq!(verify(&stored, hash_of(&stored[4])).unwrap(), 5);
        assert_eq!(verify(&[], GENESIS).unwrap(), 0);
    }

    #[test]
    fn every_changed_byte_is_found() {
        let stored = chain(3);
        let head = hash_of(&stored[2]);
        for row in 0..stored.len() {
            for byte in 0..stored[row].len() {
                let mut changed = stored.clone();
                changed[row][byte] ^= 1;
                assert!(verify(&changed, head).is_err(), "row {row} byte {byte}");
            }
        }
    }

    #[test]
    fn a_removed_row_is_found() {
        let stored = chain(3);
        assert!(verify(&stored[..2], hash_of(&stored[2])).is_err());
        assert!(verify(&stored[1..], hash_of(&stored[2])).is_err());
    }
}
