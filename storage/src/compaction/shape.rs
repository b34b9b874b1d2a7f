//! The shape that a tree is held to: where level 0 goes, and how much each level may hold.
//!
//! Sizes are counted from below: the last level holds what it holds, each one above a tenth of that, up to the *base* level, the first that
//! would get no more than `level1_bytes`. Level 0 goes into the base level; the levels between stay empty, until the tree has grown
//! by another factor of ten. So old versions and deletions above the last level are at most 1/10 + 1/100 + … = 11% of it, whatever
//! its size; with sizes counted from above a last level that has just been begun could be as small as the one over it.
//!
//! Example, with `level1_bytes` 64: a last level of 50 takes level 0 directly; at 300 level 5 is the base and may hold 30; at 700 level 5
//! may hold 70, more than a base may, so level 4 is the base, with 7.
//!
//! A tree whose last level has shrunk may have tables above its base: level 0 must not pass them, so their level stays the base until
//! they have gone down.

use crate::version::LEVELS;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub base: usize,
    pub bytes_max: [u64; LEVELS],
}

pub(super) const LAST: usize = LEVELS - 1;
const MULTIPLIER: u64 = 10;

impl Shape {
    /// For a tree whose levels hold so many bytes.
    pub(super) fn new(level_bytes: [u64; LEVELS], level1_bytes: u64) -> Self {
        let largest = level_bytes.iter().skip(1).copied().max().unwrap_or(0);
        let mut bytes_max = [level1_bytes; LEVELS];
        let (mut base, mut target) = (LAST, largest);
        while base > 1 && target > level1_bytes {
            base -= 1;
            target /= MULTIPLIER;
            bytes_max[base] = target;
        }
        bytes_max[LAST] = u64::MAX;
        let first_used = (1..LEVELS).find(|level| level_bytes[*level] > 0).unwrap_or(LAST);
        let drained = first_used.min(base)..base;
        bytes_max[drained].fill(level1_bytes / MULTIPLIER);
        Self { base: base.min(first_used), bytes_max }
    }

    /// By what age deletions must have left a level, if they must be gone by `age_max_ms`: memtable, level 0, base … last but one have an
    /// equal share each, and the last step is for the merge that carries them out.
    pub(super) fn time_ms(&self, level: usize, age_max_ms: u64) -> u64 {
        let steps = (LAST - self.base + 3) as u64;
        let step = match level {
            0 => 2,
            _ => (level.saturating_sub(self.base) as u64 + 3).min(steps - 1),
        };
        (u128::from(age_max_ms) * u128::from(step) / u128::from(steps)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base and the limits from there to the last level but one, of a tree whose level 1 would hold 64.
    fn shape(level_bytes: [u64; LEVELS]) -> (usize, Vec<u64>) {
        let shape = Shape::new(level_bytes, 64);
        (shape.base, shape.bytes_max[shape.base..LAST].to_vec())
    }

    #[test]
    fn the_base_moves_up_as_the_last_level_grows() {
        assert_eq!(shape([900, 0, 0, 0, 0, 0, 0]), (6, vec![]));
        assert_eq!(shape([0, 0, 0, 0, 0, 0, 64]), (6, vec![]));
        assert_eq!(shape([0, 0, 0, 0, 0, 0, 65]), (5, vec![6]));
        assert_eq!(shape([0, 0, 0, 0, 0, 50, 700]), (4, vec![7, 70]));
        assert_eq!(shape([0, 0, 0, 0, 0, 0, 64_000_000]), (1, vec![640, 6400, 64_000, 640_000, 6_400_000]));
    }

    #[test]
    fn deletions_have_an_equal_time_for_each_step() {
        let times =
            |bytes| [0, 4, 5, 6].map(|level| Shape::new([0, 0, 0, 0, 0, 0, bytes], 64).time_ms(level, 60));
        // Base 6: memtable 20, level 0 40; what a snapshot kept in the last level is looked at again from then on.
        assert_eq!(times(1), [40, 40, 40, 40]);
        // Base 4: memtable 12, level 0 24, level 4 36, level 5 48.
        assert_eq!(times(700), [24, 36, 48, 48]);
    }

    #[test]
    fn level_0_never_passes_tables_above_the_base() {
        assert_eq!(shape([0, 0, 0, 3, 0, 0, 50]), (3, vec![6, 6, 6]));
    }
}
