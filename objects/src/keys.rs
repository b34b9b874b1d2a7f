//! The keys of every keyspace. Numbers are big-endian, so that keys order as the numbers do.
//!
//! ```text
//! objects            id                     → object row
//! names              tenant 0x00 name       → id
//! contents           sha256                 → blob: the logical bytes with that hash
//! refs               sha256 ‖ id            → empty; a content is live while it has one
//! stages             stage (1 byte) ‖ id    → empty
//! due                due_ms ‖ id            → empty; when to look at the object next, never too late
//! policies           name                   → policy row
//! history            seq                    → history row
//! history_by_object  id ‖ seq               → empty
//! meta               a word                 → see `journal`
//! ```

use crate::types::{ContentHash, ObjectId, Stage};

pub(crate) fn object(id: ObjectId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

pub(crate) fn name(tenant: &str, name: &str) -> Vec<u8> {
    let mut key = names_of(tenant);
    key.extend_from_slice(name.as_bytes());
    key
}

/// What all names of a tenant begin with.
pub(crate) fn names_of(tenant: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(tenant.len() + 33);
    key.extend_from_slice(tenant.as_bytes());
    key.push(0);
    key
}

pub(crate) fn reference(content: ContentHash, id: ObjectId) -> Vec<u8> {
    let mut key = content.0.to_vec();
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

pub(crate) fn stage(stage: Stage, id: ObjectId) -> Vec<u8> {
    let mut key = vec![stage.number()];
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

pub(crate) fn due(due_ms: u64, id: ObjectId) -> Vec<u8> {
    pair(due_ms, id.0)
}

pub(crate) fn sequence(seq: u64) -> Vec<u8> {
    seq.to_be_bytes().to_vec()
}

pub(crate) fn history_by_object(id: ObjectId, seq: u64) -> Vec<u8> {
    pair(id.0, seq)
}

fn pair(first: u64, second: u64) -> Vec<u8> {
    let mut key = first.to_be_bytes().to_vec();
    key.extend_from_slice(&second.to_be_bytes());
    key
}

/// The time of an entry of the due index.
pub(crate) fn due_of(key: &[u8]) -> Option<u64> {
    key.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The number in the last eight bytes of a key, which in every index is the object or the sequence number.
pub(crate) fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_their_numbers() {
        assert!(due(1, ObjectId(900)) < due(2, ObjectId(1)));
        assert!(due(255, ObjectId(1)) < due(256, ObjectId(0)));
        assert!(stage(Stage::Warm, ObjectId(u64::MAX)) < stage(Stage::Cold, ObjectId(0)));
        assert_eq!(last_number(&due(7, ObjectId(9))), Some(9));
        assert_eq!(due_of(&due(7, ObjectId(9))), Some(7));
        assert_eq!(last_number(b"short"), None);
    }

    #[test]
    fn a_tenants_names_are_apart_from_those_of_a_longer_tenant() {
        assert!(!name("ab", "c").starts_with(&names_of("a")));
        assert!(name("a", "bc").starts_with(&names_of("a")));
    }
}
