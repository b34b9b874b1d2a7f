//! A choice of items that looks random and is the same every time.

/// The indices of at most `wanted` of `count` items, in order. A smaller choice is part of a greater one. O(n log n).
pub(crate) fn chosen(count: usize, wanted: usize) -> Vec<usize> {
    if wanted >= count {
        return (0..count).collect();
    }
    let mut by_lot: Vec<(u64, usize)> = (0..count).map(|index| (lot(index as u64), index)).collect();
    by_lot.sort_unstable();
    let mut indices: Vec<usize> = by_lot.into_iter().take(wanted).map(|(_, index)| index).collect();
    indices.sort_unstable();
    indices
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) of the index: its seed is the constant.
fn lot(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
