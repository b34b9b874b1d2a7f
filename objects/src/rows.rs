//! The rows on disk: a version byte, then a protobuf message. No logic.
//!
//! Fields are only ever added, under new numbers; a change that old readers would misread raises the version.

mod policy;

pub(crate) use policy::PolicyRow;

use crate::clock::Timestamp;
use crate::due::Life;
use crate::error::{Error, Result};
use crate::heat::Effective;
use crate::types::{ContentHash, Hold, HoldId, Stage};
use patina_codecs::Kind;
use prost::Message;

const ROW_VERSION: u8 = 1;

/// One object. Its id is the key.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ObjectRow {
    #[prost(string, tag = "1")]
    pub tenant: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub kind: String,
    #[prost(string, tag = "4")]
    pub media_type: String,
    #[prost(string, tag = "5")]
    pub origin_media_type: String,
    /// Bytes of the original.
    #[prost(uint64, tag = "6")]
    pub size: u64,
    /// Bytes of the content now, before compression.
    #[prost(uint64, tag = "7")]
    pub content_len: u64,
    /// Bytes on disk, of the content now and the kept original together.
    #[prost(uint64, tag = "8")]
    pub stored: u64,
    #[prost(bytes = "vec", tag = "9")]
    pub origin_hash: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub content_hash: Option<Vec<u8>>,
    #[prost(uint32, tag = "11")]
    pub stage: u32,
    #[prost(double, tag = "12")]
    pub fidelity: f64,
    #[prost(uint64, tag = "13")]
    pub generation: u64,
    #[prost(uint64, tag = "14")]
    pub created_at_ms: u64,
    #[prost(uint64, tag = "15")]
    pub accessed_at_ms: u64,
    #[prost(double, tag = "16")]
    pub effective_ms: f64,
    #[prost(uint64, tag = "17")]
    pub stage_entered_ms: u64,
    #[prost(string, tag = "18")]
    pub policy: String,
    #[prost(bool, tag = "19")]
    pub pinned: bool,
    #[prost(double, tag = "20")]
    pub rate: f64,
    #[prost(message, repeated, tag = "21")]
    pub holds: Vec<HoldRow>,
    /// Holds ever placed: the number of the last one.
    #[prost(uint64, tag = "22")]
    pub holds_made: u64,
    /// Progress towards the next forced stage.
    #[prost(double, tag = "23")]
    pub progress: f64,
    /// The entry of the due index, if there is one.
    #[prost(uint64, optional, tag = "24")]
    pub due_ms: Option<u64>,
    /// The summary that the trace stage keeps.
    #[prost(string, optional, tag = "25")]
    pub trace: Option<String>,
    #[prost(uint32, tag = "26")]
    pub attempts: u32,
    #[prost(uint64, tag = "27")]
    pub retry_at_ms: u64,
    #[prost(string, optional, tag = "28")]
    pub error: Option<String>,
    /// The next stage was tried and would have gone below the policy's floor.
    #[prost(bool, tag = "29")]
    pub at_floor: bool,
    /// The content of the kept original, see `original`.
    #[prost(bytes = "vec", optional, tag = "30")]
    pub original_content: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "31")]
    pub restore_until_ms: Option<u64>,
    /// Whether to keep the original at the first loss, whatever the policy says.
    #[prost(bool, tag = "32")]
    pub keep_original: bool,
    /// Of `stored`, the bytes of the kept original.
    #[prost(uint64, tag = "33")]
    pub original_stored: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HoldRow {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub reason: String,
    #[prost(uint64, optional, tag = "3")]
    pub until_ms: Option<u64>,
}

impl HoldRow {
    pub(crate) fn to_hold(&self) -> Hold {
        Hold { id: HoldId(self.id), reason: self.reason.clone(), until: self.until_ms.map(Timestamp) }
    }
}

impl ObjectRow {
    /// The stage; a number that no release wrote is taken for the last one, of which nothing can be lost any more.
    pub(crate) fn stage(&self) -> Stage {
        u8::try_from(self.stage).ok().and_then(Stage::from_number).unwrap_or(Stage::Purged)
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::from_name(&self.kind).unwrap_or(Kind::Other)
    }

    pub(crate) fn effective(&self) -> Effective {
        Effective::from_row(self.effective_ms)
    }

    pub(crate) fn content(&self) -> Option<ContentHash> {
        self.content_hash.as_deref().and_then(ContentHash::from_slice)
    }

    pub(crate) fn life(&self, effective: Effective) -> Life {
        Life {
            created_at: Timestamp(self.created_at_ms),
            effective,
            stage: self.stage(),
            stage_entered_at: Timestamp(self.stage_entered_ms),
            rate: self.rate,
        }
    }

    pub(crate) fn standing_holds(&self, now: Timestamp) -> impl Iterator<Item = Hold> {
        self.holds.iter().map(HoldRow::to_hold).filter(move |hold| hold.stands(now))
    }
}

/// One history row without its own hash. Its sequence number is the key and is kept here too, so that the chain of
/// hashes covers it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HistoryRecord {
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    #[prost(uint64, tag = "2")]
    pub object: u64,
    #[prost(string, tag = "3")]
    pub tenant: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(uint64, tag = "5")]
    pub at_ms: u64,
    #[prost(uint32, optional, tag = "6")]
    pub from: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub to: Option<u32>,
    #[prost(string, tag = "8")]
    pub reason: String,
    #[prost(uint64, tag = "9")]
    pub bytes_before: u64,
    #[prost(uint64, tag = "10")]
    pub bytes_after: u64,
    #[prost(double, tag = "11")]
    pub fidelity: f64,
    #[prost(string, tag = "12")]
    pub metric: String,
    #[prost(string, tag = "13")]
    pub codec: String,
    #[prost(string, tag = "14")]
    pub params: String,
    #[prost(string, tag = "15")]
    pub note: String,
    #[prost(string, tag = "16")]
    pub actor: String,
    #[prost(bytes = "vec", tag = "17")]
    pub prev_hash: Vec<u8>,
}

/// Where the journal stands.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HeadRow {
    #[prost(uint64, tag = "1")]
    pub history_rows: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub history_hash: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub next_object_id: u64,
}

/// The bytes that were degraded since a moment, at most an hour ago.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SpentRow {
    #[prost(uint64, tag = "1")]
    pub since_ms: u64,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
}

/// The budgets that are set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BudgetsRow {
    #[prost(message, repeated, tag = "1")]
    pub budgets: Vec<BudgetRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BudgetRow {
    /// `None` is the whole database.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    #[prost(bool, tag = "3")]
    pub refuse_writes: bool,
}

/// A row as it goes to disk.
pub(crate) fn encode<M: Message>(row: &M) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(row.encoded_len() + 1);
    bytes.push(ROW_VERSION);
    bytes.extend(row.encode_to_vec());
    bytes
}

/// A row as it comes from disk; `what` names it for the error.
pub(crate) fn decode<M: Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    match bytes.split_first() {
        Some((&ROW_VERSION, message)) => M::decode(message)
            .map_err(|error| Error::corruption(format!("the row of {what} is damaged: {error}"))),
        Some((version, _)) => Err(Error::corruption(format!(
            "the row of {what} has version {version}, this release reads {ROW_VERSION}: use a newer release"
        ))),
        None => Err(Error::corruption(format!("the row of {what} is empty"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unknown_version_says_what_to_do() {
        let error = decode::<HeadRow>(&[9], "the journal's head").unwrap_err();
        assert!(error.to_string().contains("newer release"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode::<ObjectRow>(&bytes, "x");
            let versioned: Vec<u8> = std::iter::once(ROW_VERSION).chain(bytes).collect();
            if let Ok(row) = decode::<ObjectRow>(&versioned, "x") {
                let _ = (row.stage(), row.kind(), row.content(), row.life(row.effective()));
            }
        }
    }
}
