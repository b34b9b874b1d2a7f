//! What user tables look like on disk. No logic.
//!
//! ```text
//! keyspace sql_catalogue
//!   "v"                              → (empty)      rewritten by each change of the catalogue: its seqno is the version
//!   "n"                              → u32 LE       the number of the last table created
//!   "t" tenant 0x00 name in lower case → 1 TableDef
//!   "s" table u32 BE                 → i64 LE       the next _id
//!   "d" table u32 BE                 → (empty)      the table was dropped; its rows may still be there
//! keyspace sql_rows
//!   table u32 BE, _id u64 BE (top bit flipped) → 1 Row
//! keyspace sql_keys
//!   table u32 BE, unique u16 BE, value… → i64 LE    the _id of the row with these values
//!     value: tag u8, length u32 BE, bytes; equal numbers have equal bytes
//! ```
//!
//! `1` is the version byte; what follows it is protobuf.

use prost::Message;

use crate::error::{Error, Result};
use crate::users::affinity::whole;
use crate::value::Value;

const VERSION: u8 = 1;

pub(crate) const CATALOGUE_VERSION: &[u8] = b"v";
pub(crate) const LAST_TABLE: &[u8] = b"n";

/// A table's definition.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TableDef {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// As typed.
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "3")]
    pub columns: Vec<ColumnDef>,
    #[prost(message, repeated, tag = "4")]
    pub uniques: Vec<UniqueDef>,
    /// The column that is another name for `_id`: an INTEGER PRIMARY KEY.
    #[prost(uint32, optional, tag = "5")]
    pub id_column: Option<u32>,
}

/// A column's definition.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ColumnDef {
    #[prost(string, tag = "1")]
    pub name: String,
    /// Empty for a dynamic column.
    #[prost(string, tag = "2")]
    pub declared: String,
    #[prost(bool, tag = "3")]
    pub not_null: bool,
    /// An expression.
    #[prost(string, optional, tag = "4")]
    pub default_sql: Option<String>,
    #[prost(bool, tag = "5")]
    pub primary_key: bool,
}

/// Columns whose values together are there at most once.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct UniqueDef {
    #[prost(uint32, repeated, tag = "1")]
    pub columns: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(message, repeated, tag = "1")]
    cells: Vec<RowCell>,
}

#[derive(Clone, PartialEq, Message)]
struct RowCell {
    /// None of them is NULL.
    #[prost(oneof = "RowValue", tags = "1, 2, 3, 4")]
    value: Option<RowValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum RowValue {
    #[prost(sint64, tag = "1")]
    Integer(i64),
    #[prost(double, tag = "2")]
    Real(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bytes, tag = "4")]
    Blob(Vec<u8>),
}

fn versioned(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(VERSION);
    bytes.extend(message.encode_to_vec());
    bytes
}

fn unversioned<M: Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    let wrong = || Error::corruption(format!("{what} cannot be read: restore the database from a copy"));
    match bytes.split_first() {
        Some((&VERSION, rest)) => M::decode(rest).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

pub(crate) fn encode_table(table: &TableDef) -> Vec<u8> {
    versioned(table)
}

pub(crate) fn decode_table(bytes: &[u8]) -> Result<TableDef> {
    unversioned(bytes, "the definition of a table")
}

pub(crate) fn encode_row(values: &[Value]) -> Vec<u8> {
    let cells = values.iter().map(|value| {
        let value = match value {
            Value::Null => None,
            Value::Integer(number) => Some(RowValue::Integer(*number)),
            Value::Real(number) => Some(RowValue::Real(*number)),
            Value::Text(text) => Some(RowValue::Text(text.clone())),
            Value::Blob(bytes) => Some(RowValue::Blob(bytes.clone())),
        };
        RowCell { value }
    });
    versioned(&Row { cells: cells.collect() })
}

pub(crate) fn decode_row(bytes: &[u8]) -> Result<Vec<Value>> {
    let row: Row = unversioned(bytes, "a row of a table")?;
    let values = row.cells.into_iter().map(|cell| match cell.value {
        None => Value::Null,
        Some(RowValue::Integer(number)) => Value::Integer(number),
        Some(RowValue::Real(number)) => Value::Real(number),
        Some(RowValue::Text(text)) => Value::Text(text),
        Some(RowValue::Blob(bytes)) => Value::Blob(bytes),
    });
    Ok(values.collect())
}

pub(crate) fn table_key(tenant: &str, name: &str) -> Vec<u8> {
    let mut key = tables_prefix(tenant);
    key.extend(name.to_lowercase().as_bytes());
    key
}

pub(crate) fn tables_prefix(tenant: &str) -> Vec<u8> {
    let mut key = b"t".to_vec();
    key.extend(tenant.as_bytes());
    key.push(0);
    key
}

pub(crate) fn sequence_key(table: u32) -> Vec<u8> {
    numbered(b's', table)
}

pub(crate) fn dropped_key(table: u32) -> Vec<u8> {
    numbered(b'd', table)
}

/// The table of a [`dropped_key`].
pub(crate) fn dropped_table(key: &[u8]) -> Option<u32> {
    let (b'd', number) = key.split_first()? else { return None };
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

fn numbered(kind: u8, table: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(table.to_be_bytes());
    key
}

const SIGN: u64 = 1 << 63;

pub(crate) fn row_key(table: u32, id: i64) -> Vec<u8> {
    let mut key = table.to_be_bytes().to_vec();
    key.extend((id.cast_unsigned() ^ SIGN).to_be_bytes());
    key
}

/// The `_id` of a [`row_key`].
pub(crate) fn row_id(key: &[u8]) -> Option<i64> {
    let id = key.get(4..)?;
    Some((u64::from_be_bytes(id.try_into().ok()?) ^ SIGN).cast_signed())
}

const TEXT_TAG: u8 = 3;

/// What the keys of the texts in a unique of one column begin with.
pub(crate) fn unique_texts_prefix(table: u32, unique: usize) -> Option<Vec<u8>> {
    let mut prefix = table.to_be_bytes().to_vec();
    prefix.extend(u16::try_from(unique).ok()?.to_be_bytes());
    prefix.push(TEXT_TAG);
    Some(prefix)
}

/// The text of a key that begins with a [`unique_texts_prefix`].
pub(crate) fn unique_text(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(4 + 2 + 1 + 4..)?).ok()
}

/// The key under which a row with these values stands; `None` if one is NULL, which is never equal to another.
pub(crate) fn unique_key(table: u32, unique: usize, values: &[&Value]) -> Option<Vec<u8>> {
    let mut key = table.to_be_bytes().to_vec();
    key.extend(u16::try_from(unique).ok()?.to_be_bytes());
    for value in values {
        let (tag, bytes) = match value {
            Value::Null => return None,
            Value::Integer(number) => (1, number.to_be_bytes().to_vec()),
            Value::Real(number) => match whole(*number) {
                Some(number) => (1, number.to_be_bytes().to_vec()),
                None => (2, number.to_bits().to_be_bytes().to_vec()),
            },
            Value::Text(text) => (TEXT_TAG, text.as_bytes().to_vec()),
            Value::Blob(bytes) => (4, bytes.clone()),
        };
        key.push(tag);
        key.extend(u32::try_from(bytes.len()).ok()?.to_be_bytes());
        key.extend(bytes);
    }
    Some(key)
}

pub(crate) fn encode_id(id: i64) -> Vec<u8> {
    id.to_le_bytes().to_vec()
}

pub(crate) fn decode_id(bytes: &[u8]) -> Result<i64> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::corruption("a row number cannot be read: restore from a copy"))?;
    Ok(i64::from_le_bytes(bytes))
}

pub(crate) fn encode_number(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

pub(crate) fn decode_number(bytes: &[u8]) -> Result<u32> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::corruption("a table number cannot be read: restore from a copy"))?;
    Ok(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn row_keys_sort_like_their_ids() {
        let ids = [i64::MIN, -1, 0, 1, 2, i64::MAX];
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| row_key(7, *id)).collect();
        assert!(keys.is_sorted());
        assert_eq!(keys.iter().map(|key| row_id(key).unwrap()).collect::<Vec<_>>(), ids);
    }

    #[test]
    fn equal_numbers_have_equal_keys_and_null_has_none() {
        let key = |value: Value| unique_key(1, 0, &[&value]);
        assert_eq!(key(Value::Integer(2)), key(Value::Real(2.0)));
        assert_ne!(key(Value::Integer(2)), key(Value::from("2")));
        assert_eq!(key(Value::Integer(1 << 60)), key(Value::Real((1_u64 << 60) as f64)));
        assert_eq!(key(Value::Null), None);
        let text = key("05".into()).unwrap();
        assert!(text.starts_with(&unique_texts_prefix(1, 0).unwrap()));
        assert_eq!(unique_text(&text), Some("05"));
        assert_ne!(
            unique_key(1, 0, &[&"ab".into(), &"c".into()]),
            unique_key(1, 0, &[&"a".into(), &"bc".into()])
        );
    }

    proptest! {
        #[test]
        fn damaged_rows_are_errors_not_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_row(&bytes);
            let _ = decode_table(&bytes);
        }

        #[test]
        fn rows_read_back(integer in any::<i64>(), real in -1e300_f64..1e300, text in ".*", blob in prop::collection::vec(any::<u8>(), 0..32)) {
            let row = [Value::Null, integer.into(), real.into(), text.into(), blob.into()];
            prop_assert_eq!(decode_row(&encode_row(&row)).unwrap(), row);
        }
    }
}
