//! The filter of a table: a binary fuse filter (Graf and Lemire, 2022) over hashes of the user keys; about 9 bits a key, 0.4%
//! false positives, no false negatives.

use super::format::FILTER_DESCRIPTOR_BYTES;
use crate::coding::Decoder;
use bytes::Bytes;
use twox_hash::XxHash3_64;
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

const _: () = assert!(BinaryFuse8::DESCRIPTOR_LEN == FILTER_DESCRIPTOR_BYTES, "the filter's format changed");

pub(super) fn hash_key(user_key: &[u8]) -> u64 {
    XxHash3_64::oneshot(user_key)
}

/// The bytes of a filter over the hashes; `None` if there are none, or if construction failed (as it may, with a chance of
/// less than 10⁻⁶): a table without a filter is slower, not wrong.
pub(super) fn build_filter(mut hashes: Vec<u64>) -> Option<Vec<u8>> {
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() {
        return None;
    }
    let filter = BinaryFuse8::try_from_iterator(hashes.into_iter()).ok()?;
    let mut bytes = vec![0; FILTER_DESCRIPTOR_BYTES];
    filter.dma_copy_descriptor_to(&mut bytes);
    bytes.extend_from_slice(filter.dma_fingerprints());
    Some(bytes)
}

/// A filter as read back.
pub(super) struct TableFilter(Bytes);

impl TableFilter {
    /// Checks the descriptor against the fingerprints, so that no look-up can reach outside them.
    pub(super) fn open(bytes: Bytes) -> Option<Self> {
        let mut decoder = Decoder::new(&bytes);
        let _seed = decoder.u64()?;
        let segment_length = decoder.u32()?;
        let segment_length_mask = decoder.u32()?;
        let segment_count_length = decoder.u32()?;
        let reach = u64::from(segment_count_length) + 2 * u64::from(segment_length);
        let sound = segment_length.is_power_of_two()
            && segment_length_mask == segment_length - 1
            && segment_count_length > 0
            && decoder.remaining() as u64 >= reach;
        sound.then_some(Self(bytes))
    }

    pub(super) fn may_contain(&self, hash: u64) -> bool {
        match self.0.split_at_checked(FILTER_DESCRIPTOR_BYTES) {
            Some((descriptor, fingerprints)) => {
                BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&hash)
            }
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_missed_and_few_are_claimed() {
        for count in [1u32, 2, 3, 10, 1000, 20_000] {
            let hashes = (0..count).map(|i| hash_key(&i.to_le_bytes())).collect();
            let filter = TableFilter::open(build_filter(hashes).unwrap().into()).unwrap();
            assert!((0..count).all(|i| filter.may_contain(hash_key(&i.to_le_bytes()))));
            let claimed =
                (1 << 20..(1 << 20) + 10_000u32).filter(|i| filter.may_contain(hash_key(&i.to_le_bytes())));
            assert!(claimed.count() < 150, "{count} keys");
        }
    }

    #[test]
    fn a_descriptor_that_reaches_outside_is_refused() {
        let mut bytes = build_filter((0..100).collect()).unwrap();
        bytes.truncate(bytes.len() - 1);
        assert!(TableFilter::open(bytes.into()).is_none());
        assert!(TableFilter::open(Bytes::from_static(&[0; 24])).is_none());
    }
}
