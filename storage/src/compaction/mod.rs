//! What keeps the database in shape: flushing, merging tables, compacting bins.
//!
//! Every job is the same three steps: write new files and make them durable; make one manifest edit that adds them and drops the
//! old; remove the old. A job that fails or is cancelled before the edit removes what it wrote; after a crash the next opening does.
//!
//! Which versions of a key survive is decided in one place, [`Survivors`]: the newest in each *stripe* between two snapshots. Example:
//! snapshots at 10 and 20, versions at 5, 8, 15, 25, 30: 30 (now), 15 (seen at 20) and 8 (seen at 10) stay. A deletion
//! goes too once nothing older of its key can be left below and no snapshot is older than it. A range tombstone counts as a deletion of
//! each key that it is over: what is older and of the same stripe goes, and it goes itself by the same rule as a deletion.

//!
//! | file | what it does |
//! |---|---|
//! | `picker.rs`, `shape.rs` | chooses a merge; pure |
//! | `claims.rs` | keeps merges that run at once out of each other's way |
//! | `job.rs`, `split.rs` | does one, in parts |
//! | `leveled.rs` | brings these together |
//! | `pace.rs` | the budget of bytes a second |
//! | `flush.rs` | memtables to tables of level 0 |
//! | `separate.rs` | moves values between tables and blob files |
//! | `collect.rs` | frees the garbage of separated values |
//! | `bin.rs`, `bin/` | compacts blob files as their owner says |
//! | `traffic.rs` | counts bytes |

mod bin;
mod claims;
mod collect;
mod flush;
mod job;
mod leveled;
mod pace;
mod picker;
mod separate;
mod shape;
mod split;
mod traffic;

pub use bin::{BinOwner, BinReport, Judgement, LiveRecord, NewBlob, NewValue};
pub(crate) use claims::Claims;
pub(crate) use flush::{Output, flush_one};
pub(crate) use job::Merge;
pub(crate) use leveled::{compact_all, compact_one, compact_range, debt_bytes};
pub(crate) use pace::Pacer;
pub(crate) use picker::Facts;
pub use traffic::LevelTraffic;
pub(crate) use traffic::Traffic;

use crate::ranges::{self, Fragments};
use crate::sst::Properties;
use crate::types::{Kind, Seqno, Tag};

/// Decides, entry by entry in internal-key order, what a rewrite keeps.
pub(crate) struct Survivors {
    /// Ascending.
    snapshots: Vec<Seqno>,
    /// The range tombstones of all that is rewritten.
    ranges: Fragments,
    last: Option<(Vec<u8>, usize)>,
}

impl Survivors {
    pub(crate) fn new(snapshots: Vec<Seqno>, ranges: Fragments) -> Self {
        Self { snapshots, ranges, last: None }
    }

    /// Whether nothing of a table survives, so that it need not be read.
    fn buries(&self, table: &Properties) -> bool {
        let seqnos = (table.seqno_min, table.seqno_max);
        self.ranges.buries((&table.smallest, &table.largest), seqnos, &self.snapshots)
    }

    /// The range tombstones that survive. `nothing_below` says whether no key from a start to before an end can exist outside of what is
    /// rewritten.
    fn ranges(&self, nothing_below: impl Fn(&[u8], &[u8]) -> bool) -> Fragments {
        self.ranges.surviving(&self.snapshots, nothing_below)
    }

    /// `nothing_below` says whether no older version of the key can exist outside the entries that pass here.
    pub(crate) fn keeps(&mut self, user_key: &[u8], tag: Tag, nothing_below: impl FnOnce() -> bool) -> bool {
        let stripe = ranges::stripe(&self.snapshots, tag.seqno());
        let last = self.last.get_or_insert_with(|| (Vec::new(), usize::MAX));
        let same_key = last.1 != usize::MAX && last.0 == user_key;
        if same_key && last.1 == stripe {
            return false;
        }
        if !same_key {
            last.0.clear();
            last.0.extend_from_slice(user_key);
        }
        last.1 = stripe;
        let newer_range = self.ranges.next_over(user_key, tag.seqno());
        if newer_range.is_some_and(|seqno| ranges::stripe(&self.snapshots, seqno) == stripe) {
            return false;
        }
        !(tag.kind() == Some(Kind::Tombstone) && stripe == 0 && nothing_below())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(snapshots: &[u64], versions: &[(u64, Kind)], nothing_below: bool) -> Vec<u64> {
        let mut survivors =
            Survivors::new(snapshots.iter().map(|seqno| Seqno(*seqno)).collect(), Fragments::default());
        let kept = versions
            .iter()
            .filter(|(seqno, kind)| survivors.keeps(b"k", Tag::new(Seqno(*seqno), *kind), || nothing_below));
        kept.map(|(seqno, _)| *seqno).collect()
    }

    #[test]
    fn the_newest_of_each_stripe_survives() {
        let versions = [30, 25, 15, 8, 5].map(|seqno| (seqno, Kind::Value));
        assert_eq!(kept(&[10, 20], &versions, true), [30, 15, 8]);
        assert_eq!(kept(&[], &versions, true), [30]);
        assert_eq!(kept(&[5, 8], &versions, true), [30, 8, 5]);
    }

    #[test]
    fn a_deletion_goes_when_nobody_can_miss_it() {
        let versions = [(30, Kind::Tombstone), (8, Kind::Value)];
        assert_eq!(kept(&[], &versions, true), [0u64; 0]);
        assert_eq!(kept(&[], &versions, false), [30]);
        assert_eq!(kept(&[10], &versions, true), [30, 8]);
        assert_eq!(kept(&[40], &versions, true), [0u64; 0]);
    }
}
