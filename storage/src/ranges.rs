//! Range deletions: which are there, and which keys they hide.
//!
//! A range tombstone hides, from whoever may see it, all versions of the keys from its start up to but not including its end that are older than
//! itself. Tombstones overlap, so asking each would cost O(tombstones) a key. They are kept cut at each other's ends instead: *fragments*
//! that are sorted and disjoint, each with the numbers of all tombstones over it, newest first (Pebble, `keyspan`). Example:
//!
//! ```text
//! [b, f)@5  [d, h)@9      →      [b, d)@5  [d, f)@9,5  [f, h)@9
//! ```
//!
//! Asking for a key is then a binary search. Cutting costs O(n log n), and room for each tombstone over each fragment: n that all lie within
//! each other give n²/2, n that overlap with few give O(n).
//!
//! A tombstone is never cut so that it hides less: where a table ends, the next table of the level has the rest of it.

use crate::KEY_BYTES_MAX;
use crate::types::Seqno;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Greater than every key: the end of a range without an end.
pub(crate) const AFTER_ALL_KEYS: &[u8] = &[0xff; KEY_BYTES_MAX + 1];

/// The keys from `start` to before `end` were deleted by the write `seqno`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeTombstone {
    pub start: Bytes,
    pub end: Bytes,
    pub seqno: Seqno,
}

/// A range, and the numbers of the tombstones over it, newest first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fragment {
    start: Bytes,
    end: Bytes,
    seqnos: Arc<[Seqno]>,
}

impl Fragment {
    fn newest(&self) -> Seqno {
        self.seqnos.first().copied().unwrap_or_default()
    }

    /// The newest tombstone that a reader at `at` may see.
    fn visible(&self, at: Seqno) -> Option<Seqno> {
        self.seqnos.get(self.seqnos.partition_point(|seqno| *seqno > at)).copied()
    }
}

/// Range tombstones, cut at each other's ends; sorted and disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragments {
    fragments: Vec<Fragment>,
}

impl Fragments {
    /// O(n log n + what comes out). Tombstones whose end is not after their start hide nothing and are left out.
    pub(crate) fn new(tombstones: impl IntoIterator<Item = RangeTombstone>) -> Self {
        let mut tombstones: Vec<_> =
            tombstones.into_iter().filter(|tombstone| tombstone.start < tombstone.end).collect();
        tombstones.sort_unstable_by(|a, b| a.start.cmp(&b.start));
        let mut cuts: Vec<Bytes> = tombstones
            .iter()
            .flat_map(|tombstone| [tombstone.start.clone(), tombstone.end.clone()])
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut by_end = tombstones.clone();
        by_end.sort_unstable_by(|a, b| a.end.cmp(&b.end));
        let (mut begin, mut end) = (tombstones.into_iter().peekable(), by_end.into_iter().peekable());
        // How many tombstones of each number are over the range that begins at the cut: one that was cut before may come in parts.
        let mut over: BTreeMap<Seqno, usize> = BTreeMap::new();
        let mut fragments = Self::default();
        for (cut, next) in cuts.iter().zip(cuts.iter().skip(1)) {
            while let Some(ended) = end.next_if(|tombstone| tombstone.end == *cut) {
                if let Some(count) = over.get_mut(&ended.seqno) {
                    *count -= 1;
                    if *count == 0 {
                        over.remove(&ended.seqno);
                    }
                }
            }
            while let Some(begun) = begin.next_if(|tombstone| tombstone.start == *cut) {
                *over.entry(begun.seqno).or_default() += 1;
            }
            let seqnos: Arc<[Seqno]> = over.keys().rev().copied().collect();
            fragments.push(Fragment { start: cut.clone(), end: next.clone(), seqnos });
        }
        fragments
    }

    /// Appends a fragment, or makes the last one longer if they are the same but for a cut between them.
    fn push(&mut self, fragment: Fragment) {
        if fragment.seqnos.is_empty() {
            return;
        }
        match self.fragments.last_mut() {
            Some(last) if last.end == fragment.start && last.seqnos == fragment.seqnos => {
                last.end = fragment.end
            }
            _ => self.fragments.push(fragment),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// Fragments, each as often as there are tombstones over it.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.fragments.iter().map(|fragment| fragment.seqnos.len()).sum()
    }

    /// Memory, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let bytes =
            |fragment: &Fragment| fragment.start.len() + fragment.end.len() + 16 + 8 * fragment.seqnos.len();
        self.fragments.iter().map(|fragment| size_of::<Fragment>() + bytes(fragment)).sum()
    }

    /// All of it in internal-key order: by start, then newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RangeTombstone> {
        self.fragments.iter().flat_map(|fragment| {
            let Fragment { start, end, seqnos } = fragment;
            seqnos.iter().map(|seqno| RangeTombstone {
                start: start.clone(),
                end: end.clone(),
                seqno: *seqno,
            })
        })
    }

    /// The end of the last fragment.
    pub(crate) fn end(&self) -> Option<&Bytes> {
        self.fragments.last().map(|fragment| &fragment.end)
    }

    /// The fragments from the first that ends after `key` on.
    fn from(&self, key: &[u8]) -> &[Fragment] {
        let at = self.fragments.partition_point(|fragment| &fragment.end[..] <= key);
        self.fragments.get(at..).unwrap_or_default()
    }

    fn over(&self, key: &[u8]) -> Option<&Fragment> {
        self.from(key).first().filter(|fragment| &fragment.start[..] <= key)
    }

    /// The newest tombstone over a key that a reader at `at` may see. O(log n).
    pub(crate) fn newest_over(&self, key: &[u8], at: Seqno) -> Option<Seqno> {
        self.over(key)?.visible(at)
    }

    /// The oldest tombstone over a key that is newer than `seqno`. O(log n).
    pub(crate) fn next_over(&self, key: &[u8], seqno: Seqno) -> Option<Seqno> {
        let seqnos = &self.over(key)?.seqnos;
        let newer = seqnos.partition_point(|other| *other > seqno);
        seqnos.get(newer.checked_sub(1)?).copied()
    }

    /// Whether `hides` holds for the fragments over all keys of `smallest..=largest`, and these leave no gap. O(log n + fragments there).
    fn is_over_all(&self, smallest: &[u8], largest: &[u8], hides: impl Fn(&Fragment) -> bool) -> bool {
        let mut reached = smallest;
        for fragment in self.from(smallest) {
            if &fragment.start[..] > reached || !hides(fragment) {
                return false;
            }
            reached = &fragment.end;
            if reached > largest {
                return true;
            }
        }
        false
    }

    /// Whether a reader at `at` can see nothing of `smallest..=largest` that is not newer than `seqno`.
    pub(crate) fn hides_all(&self, smallest: &[u8], largest: &[u8], seqno: Seqno, at: Seqno) -> bool {
        self.is_over_all(smallest, largest, |fragment| {
            fragment.visible(at).is_some_and(|newest| newest > seqno)
        })
    }

    /// Whether nobody can see anything of `smallest..=largest` that was written from `seqno_min` to `seqno_max`: over all of it
    /// there is a newer tombstone, and no snapshot between the two.
    pub(crate) fn buries(
        &self,
        (smallest, largest): (&[u8], &[u8]),
        (seqno_min, seqno_max): (Seqno, Seqno),
        snapshots: &[Seqno],
    ) -> bool {
        self.is_over_all(smallest, largest, |fragment| {
            let newer = fragment.seqnos.partition_point(|other| *other > seqno_max);
            let oldest_newer = newer.checked_sub(1).and_then(|at| fragment.seqnos.get(at));
            oldest_newer.is_some_and(|seqno| stripe(snapshots, *seqno) == stripe(snapshots, seqno_min))
        })
    }

    /// Whether a tombstone newer than `since` is over a key from `start` to before `end` (`None`: of all keys from there on).
    pub(crate) fn changed_since(&self, start: &[u8], end: Option<&[u8]>, since: Seqno) -> bool {
        let meets = |fragment: &&Fragment| end.is_none_or(|end| &fragment.start[..] < end);
        self.from(start).iter().take_while(meets).any(|fragment| fragment.newest() > since)
    }

    /// What of it lies from `start` to before `end` (`None`: no limit).
    pub(crate) fn clipped(&self, start: &[u8], end: Option<&[u8]>) -> Self {
        let mut clipped = Self::default();
        for fragment in self.from(start) {
            let mut fragment = fragment.clone();
            if &fragment.start[..] < start {
                fragment.start = Bytes::copy_from_slice(start);
            }
            if let Some(end) = end.filter(|end| &fragment.end[..] > *end) {
                fragment.end = Bytes::copy_from_slice(end);
            }
            if fragment.start >= fragment.end {
                break;
            }
            clipped.push(fragment);
        }
        clipped
    }

    /// What a rewrite keeps: over each range the newest tombstone of each stripe between two snapshots (an older one of the same stripe
    /// hides nothing that it does not hide). The oldest goes too if everybody sees it and `nothing_below` says that no key from a start to
    /// before an end can exist outside of what is rewritten.
    pub(crate) fn surviving(
        &self,
        snapshots: &[Seqno],
        nothing_below: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Self {
        let mut surviving = Self::default();
        for fragment in &self.fragments {
            let mut seqnos = fragment.seqnos.to_vec();
            seqnos.dedup_by_key(|seqno| stripe(snapshots, *seqno));
            let is_seen_by_all = seqnos.last().is_some_and(|seqno| stripe(snapshots, *seqno) == 0);
            if is_seen_by_all && nothing_below(&fragment.start, &fragment.end) {
                seqnos.pop();
            }
            surviving.push(Fragment { seqnos: seqnos.into(), ..fragment.clone() });
        }
        surviving
    }
}

/// Which stripe between two snapshots (ascending) a write is in; 0: every snapshot sees it.
pub(crate) fn stripe(snapshots: &[Seqno], seqno: Seqno) -> usize {
    snapshots.partition_point(|snapshot| *snapshot < seqno)
}

/// Range tombstones to which others are added: lists of fragments, each at most as long as the one before, as in the logarithmic method
/// (Bentley and Saxe, 1980). Adding one cuts O(log n) others anew, on average; asking costs O(log² n).
#[derive(Debug, Default)]
pub(crate) struct GrowingRanges {
    /// With the number of tombstones in each.
    lists: Vec<(usize, Arc<Fragments>)>,
}

impl GrowingRanges {
    pub(crate) fn add(&mut self, tombstone: RangeTombstone) {
        let (mut count, mut list) = (1, Fragments::new([tombstone]));
        while let Some((last_count, last)) = self.lists.pop_if(|(last_count, _)| *last_count <= count) {
            count += last_count;
            list = Fragments::new(list.iter().chain(last.iter()));
        }
        self.lists.push((count, Arc::new(list)));
    }

    pub(crate) fn lists(&self) -> impl Iterator<Item = &Arc<Fragments>> {
        self.lists.iter().map(|(_, list)| list)
    }
}

/// All range tombstones that a reader may have to heed.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeView {
    lists: Vec<Arc<Fragments>>,
}

impl RangeView {
    pub(crate) fn new(lists: impl IntoIterator<Item = Arc<Fragments>>) -> Self {
        Self { lists: lists.into_iter().filter(|list| !list.is_empty()).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Whether a reader at `at` cannot see the version `seqno` of a key.
    pub(crate) fn hides(&self, key: &[u8], seqno: Seqno, at: Seqno) -> bool {
        self.lists.iter().any(|list| list.newest_over(key, at).is_some_and(|newest| newest > seqno))
    }

    /// As [`Fragments::hides_all`]; of several lists one must do it alone.
    pub(crate) fn hides_all(&self, smallest: &[u8], largest: &[u8], seqno: Seqno, at: Seqno) -> bool {
        self.lists.iter().any(|list| list.hides_all(smallest, largest, seqno, at))
    }

    pub(crate) fn changed_since(&self, start: &[u8], end: Option<&[u8]>, since: Seqno) -> bool {
        self.lists.iter().any(|list| list.changed_since(start, end, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tombstone(start: u8, end: u8, seqno: u64) -> RangeTombstone {
        RangeTombstone { start: vec![start].into(), end: vec![end].into(), seqno: Seqno(seqno) }
    }

    fn tombstones() -> impl Strategy<Value = Vec<RangeTombstone>> {
        let one = (0u8..30, 0u8..30, 1u64..40).prop_map(|(start, end, seqno)| tombstone(start, end, seqno));
        prop::collection::vec(one, 0..25)
    }

    fn over(tombstones: &[RangeTombstone], key: u8) -> Vec<Seqno> {
        let key = [key];
        let over =
            |tombstone: &&RangeTombstone| tombstone.start[..] <= key[..] && key[..] < tombstone.end[..];
        tombstones.iter().filter(over).map(|tombstone| tombstone.seqno).collect()
    }

    #[test]
    fn tombstones_are_cut_at_each_others_ends() {
        let fragments = Fragments::new([tombstone(b'b', b'f', 5), tombstone(b'd', b'h', 9)]);
        let expected = [(b'b', b'd', 5), (b'd', b'f', 9), (b'd', b'f', 5), (b'f', b'h', 9)]
            .map(|(s, e, n)| tombstone(s, e, n));
        assert!(fragments.iter().eq(expected));
        let parts = Fragments::new([tombstone(1, 4, 7), tombstone(4, 9, 7)]);
        assert!(parts.iter().eq([tombstone(1, 9, 7)]));
    }

    proptest! {
        #[test]
        fn fragments_answer_like_their_tombstones(tombstones in tombstones(), at in 0u64..45, since in 0u64..45) {
            let fragments = Fragments::new(tombstones.clone());
            let ends = fragments.iter().map(|tombstone| (tombstone.start, tombstone.end)).collect::<Vec<_>>();
            prop_assert!(ends.windows(2).all(|pair| pair[0] == pair[1] || pair[0].1 <= pair[1].0));
            prop_assert_eq!(&Fragments::new(fragments.iter()), &fragments);
            for key in 0u8..31 {
                let over = over(&tombstones, key);
                let newest = over.iter().filter(|seqno| seqno.0 <= at).max().copied();
                prop_assert_eq!(fragments.newest_over(&[key], Seqno(at)), newest);
                let next = over.iter().filter(|seqno| seqno.0 > at).min().copied();
                prop_assert_eq!(fragments.next_over(&[key], Seqno(at)), next);
                let changed = over.iter().any(|seqno| seqno.0 > since);
                prop_assert_eq!(fragments.changed_since(&[key], Some(&[key, 0]), Seqno(since)), changed);
            }
        }

        #[test]
        fn clipping_keeps_what_is_inside(tombstones in tombstones(), start in 0u8..31, end in prop::option::of(0u8..31)) {
            let fragments = Fragments::new(tombstones);
            let clipped = fragments.clipped(&[start], end.as_ref().map(std::slice::from_ref));
            for key in 0u8..31 {
                let inside = key >= start && end.is_none_or(|end| key < end);
                let expected = fragments.newest_over(&[key], Seqno::MAX).filter(|_| inside);
                prop_assert_eq!(clipped.newest_over(&[key], Seqno::MAX), expected);
            }
        }

        #[test]
        fn a_rewrite_hides_what_was_hidden(
            tombstones in tombstones(),
            snapshots in prop::collection::btree_set(0u64..45, 0..5),
            seqno in 0u64..45,
        ) {
            let fragments = Fragments::new(tombstones);
            let snapshots: Vec<_> = snapshots.into_iter().map(Seqno).collect();
            let surviving = fragments.surviving(&snapshots, |_, _| false);
            prop_assert!(surviving.len() <= fragments.len());
            for key in 0u8..31 {
                for at in snapshots.iter().copied().chain([Seqno::MAX]) {
                    let hides = |fragments: &Fragments| {
                        fragments.newest_over(&[key], at).is_some_and(|newest| newest > Seqno(seqno)) && seqno <= at.0
                    };
                    prop_assert_eq!(hides(&surviving), hides(&fragments));
                }
                let buried = fragments.buries((&[key], &[key]), (Seqno(seqno), Seqno(seqno)), &snapshots);
                let is_seen = snapshots.iter().copied().chain([Seqno::MAX]).any(|at| {
                    seqno <= at.0 && fragments.newest_over(&[key], at).is_none_or(|newest| newest <= Seqno(seqno))
                });
                prop_assert_eq!(buried, !is_seen);
            }
        }

        #[test]
        fn a_range_is_hidden_if_all_of_its_keys_are(tombstones in tombstones(), from in 0u8..30, len in 0u8..9, seqno in 0u64..45) {
            let fragments = Fragments::new(tombstones);
            let to = from + len;
            // Keys are one byte long: of the range between two of them nothing else can be asked.
            let all = (from..=to).all(|key| fragments.newest_over(&[key], Seqno::MAX).is_some_and(|newest| newest > Seqno(seqno)));
            prop_assert_eq!(fragments.hides_all(&[from], &[to], Seqno(seqno), Seqno::MAX), all);
        }

        #[test]
        fn growing_ranges_answer_like_one_list(tombstones in tombstones(), at in 0u64..45) {
            let mut growing = GrowingRanges::default();
            tombstones.iter().cloned().for_each(|tombstone| growing.add(tombstone));
            prop_assert!(growing.lists().count() <= 6);
            let whole = Fragments::new(tombstones);
            for key in 0u8..31 {
                let newest = growing.lists().filter_map(|list| list.newest_over(&[key], Seqno(at))).max();
                prop_assert_eq!(newest, whole.newest_over(&[key], Seqno(at)));
            }
        }
    }
}
