//! Splitting a merge into parts of about equal size, by key ranges.
//!
//! Where to cut is taken from the tables' top indexes: each entry ends an index partition, and the partitions of a table hold
//! about the same number of bytes. Cuts are user keys, so all versions of a key are in one part.

use bytes::Bytes;

/// The keys of a part of a merge: from a key on, or from the first; up to before a key, or to the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub from: Bytes,
    pub before: Option<Bytes>,
}

impl Part {
    /// Whether a table with this key range may have keys of the part.
    pub(super) fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        largest >= &self.from[..] && self.before.as_ref().is_none_or(|before| smallest < &before[..])
    }

    pub(super) fn ends_before(&self, user_key: &[u8]) -> bool {
        self.before.as_ref().is_some_and(|before| user_key >= &before[..])
    }
}

/// At most `count` parts, cut at some of the `anchors`: keys, each with the bytes that lie before it and after the one before in its
/// table. O(n log n).
pub(super) fn split(mut anchors: Vec<(Bytes, u64)>, count: u64) -> Vec<Part> {
    anchors.sort_unstable();
    let total: u64 = anchors.iter().map(|(_, bytes)| bytes).sum();
    let mut parts = Vec::new();
    let (mut from, mut passed) = (Bytes::new(), 0u64);
    for (key, bytes) in anchors {
        passed += bytes;
        let due = total.saturating_mul(parts.len() as u64 + 1) / count.max(1);
        if passed >= due && (parts.len() as u64) + 1 < count && key > from {
            parts.push(Part { from: std::mem::replace(&mut from, key.clone()), before: Some(key) });
        }
    }
    parts.push(Part { from, before: None });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Anchors as `key:bytes`; parts as `from..before`.
    fn parts(anchors: &str, count: u64) -> String {
        let anchors = anchors.split_whitespace().map(|anchor| {
            let (key, bytes) = anchor.split_once(':').unwrap();
            (Bytes::copy_from_slice(key.as_bytes()), bytes.parse().unwrap())
        });
        let show = |key: &Bytes| String::from_utf8(key.to_vec()).unwrap();
        let parts = split(anchors.collect(), count);
        let parts = parts.iter().map(|part| {
            format!("{}..{}", show(&part.from), part.before.as_ref().map(show).unwrap_or_default())
        });
        parts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn parts_are_of_about_equal_size() {
        assert_eq!(parts("a:1 b:1 c:1 d:1", 1), "..");
        assert_eq!(parts("a:1 b:1 c:1 d:1", 2), "..b b..");
        assert_eq!(parts("d:1 b:1 c:1 a:1", 4), "..a a..b b..c c..");
        assert_eq!(parts("a:9 b:1 c:1 d:1", 3), "..a a..b b..");
    }

    #[test]
    fn there_are_no_more_parts_than_keys_to_cut_at() {
        assert_eq!(parts("", 4), "..");
        assert_eq!(parts("k:5 k:5 k:5", 4), "..k k..");
    }
}
