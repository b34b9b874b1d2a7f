//! What the fuzz targets (`fuzz/`) and the tests of their inputs call: arbitrary bytes as the rows of each keyspace. Whatever is wrong with
//! them is an error; a panic is a bug.
//!
//! Only with the feature `fuzzing`, and in this crate's own tests.

use crate::chain;
use crate::rows::{self, HeadRow, HistoryRecord, ObjectRow, PolicyRow, SpentRow};
use crate::store::decode_row;
use crate::types::ObjectId;
use prost::Message;

/// The rows of objects, policies, the history and its head.
pub fn rows(data: &[u8]) {
    if let Ok(row) = decode_row(ObjectId(1), data) {
        assert_eq!(again(&row), row, "a row comes back as it was");
        let _ = (row.stage(), row.kind(), row.content(), row.original(), row.life(row.effective()));
        let _ = row.contents().count();
    }
    let _ = chain::read(1, data);
    if let Ok(row) = rows::decode::<PolicyRow>(data, "a policy") {
        let policy = row.into_policy("a policy");
        let _ = (policy.validate(), again(&PolicyRow::of(&policy)));
    }
    let _ = (rows::decode::<HeadRow>(data, "x"), rows::decode::<SpentRow>(data, "x"));
    let _ = rows::decode::<HistoryRecord>(data, "x");
    let _ = rows::decode::<ObjectRow>(data, "x");
}

fn again<M: Message + Default>(row: &M) -> M {
    rows::decode(&rows::encode(row), "x").unwrap_or_default()
}

#[cfg(test)]
mod tests;
