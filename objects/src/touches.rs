//! Accesses that wait in memory to be counted.
//!
//! Reading must not write. A read leaves a mark here: the effective access time of the marks alone, which later merges
//! into the object's row in any order. The marks are written out in batches; a crash loses those of the last interval,
//! never data. Whatever degrades objects asks here first.
//!
//! A transform takes time, and an object that is read meanwhile must be left alone even when the read is too soon after
//! another one to count. So a transform *watches* its objects: every read of a watched object is noted.
//!
//! Invariants: bounded (see `StoreOptions::pending_touches_max`); at most one counted mark in a policy's
//! `access_cooldown`; merging is commutative.

use crate::clock::Timestamp;
use crate::heat::Effective;
use crate::policy::Policy;
use crate::types::ObjectId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SHARDS: usize = 16;

/// The sum of some marks of one object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Marks {
    pub effective: Effective,
    pub last_at: Timestamp,
}

impl Marks {
    fn merge(self, other: Option<Self>, half_life: Duration) -> Self {
        let Some(other) = other else { return self };
        Self {
            effective: self.effective.merge(other.effective, half_life),
            last_at: self.last_at.max(other.last_at),
        }
    }
}

/// Marks of one object that no row has for certain. What is being written is kept apart from what comes meanwhile, so
/// that nothing is counted twice; until it is known to be written both count, which only puts decay off.
#[derive(Clone, Copy, Default)]
struct Pending {
    fresh: Option<Marks>,
    in_flight: Option<Marks>,
}

#[derive(Default)]
struct Watched {
    watches: usize,
    reads: u64,
}

#[derive(Default)]
struct Shard {
    pending: HashMap<ObjectId, Pending>,
    /// How many watch an object, and its reads since the first of them came.
    watched: HashMap<ObjectId, Watched>,
}

#[derive(Default)]
pub(crate) struct Touches {
    shards: [Mutex<Shard>; SHARDS],
    len: AtomicUsize,
}

/// One read of an object, with what its policy makes of it.
pub(crate) struct Touch<'a> {
    pub id: ObjectId,
    pub at: Timestamp,
    /// When its row says it was last accessed.
    pub row_accessed_at: Timestamp,
    pub weight: f64,
    pub policy: &'a Policy,
}

impl Touches {
    fn shard(&self, id: ObjectId) -> &Mutex<Shard> {
        let [first, rest @ ..] = &self.shards;
        let at = (id.0 % SHARDS as u64) as usize;
        at.checked_sub(1).and_then(|at| rest.get(at)).unwrap_or(first)
    }

    /// Notes a read. Gives how many objects have marks now.
    pub(crate) fn touch(&self, touch: &Touch<'_>) -> usize {
        let mut shard = self.shard(touch.id).lock();
        if let Some(watched) = shard.watched.get_mut(&touch.id) {
            watched.reads += 1;
        }
        let before = shard.pending.len();
        let pending = shard.pending.get(&touch.id).copied().unwrap_or_default();
        let marked_at = [pending.fresh, pending.in_flight].into_iter().flatten().map(|marks| marks.last_at);
        let last_at = marked_at.fold(touch.row_accessed_at, Timestamp::max);
        if touch.weight > 0.0 && touch.at >= last_at.after(touch.policy.access_cooldown) {
            let half_life = touch.policy.half_life;
            let mark =
                Marks { effective: Effective::access(touch.at, touch.weight, half_life), last_at: touch.at };
            let fresh = Some(mark.merge(pending.fresh, half_life));
            shard.pending.insert(touch.id, Pending { fresh, ..pending });
        }
        let added = shard.pending.len() - before;
        self.len.fetch_add(added, Ordering::Relaxed) + added
    }

    /// The effective access time of a row together with the marks that wait.
    pub(crate) fn merged(&self, id: ObjectId, row: Effective, half_life: Duration) -> Effective {
        let Some(pending) = self.shard(id).lock().pending.get(&id).copied() else { return row };
        let marks = [pending.fresh, pending.in_flight].into_iter().flatten();
        marks.fold(row, |sum, marks| sum.merge(marks.effective, half_life))
    }

    /// When the marks that wait say that the object was last accessed.
    pub(crate) fn last_at(&self, id: ObjectId) -> Option<Timestamp> {
        let pending = self.shard(id).lock().pending.get(&id).copied()?;
        [pending.fresh, pending.in_flight].into_iter().flatten().map(|marks| marks.last_at).max()
    }

    /// Every object with marks, in order.
    pub(crate) fn ids(&self) -> Vec<ObjectId> {
        let ids_of = |shard: &Mutex<Shard>| shard.lock().pending.keys().copied().collect::<Vec<_>>();
        let mut ids: Vec<ObjectId> = self.shards.iter().flat_map(ids_of).collect();
        ids.sort_unstable();
        ids
    }

    /// The marks to write now. They stay in flight until [`Touches::written`]; what an earlier attempt failed to write
    /// is among them.
    pub(crate) fn take(&self, id: ObjectId, half_life: Duration) -> Option<Marks> {
        let mut shard = self.shard(id).lock();
        let pending = shard.pending.get_mut(&id)?;
        pending.in_flight = match pending.fresh.take() {
            Some(fresh) => Some(fresh.merge(pending.in_flight, half_life)),
            None => pending.in_flight,
        };
        pending.in_flight
    }

    /// Forgets the marks in flight: the row has them.
    pub(crate) fn written(&self, id: ObjectId) {
        let mut shard = self.shard(id).lock();
        let Some(pending) = shard.pending.get_mut(&id) else { return };
        pending.in_flight = None;
        if pending.fresh.is_none() {
            shard.pending.remove(&id);
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets the marks of an object that is no more.
    pub(crate) fn forget(&self, id: ObjectId) {
        if self.shard(id).lock().pending.remove(&id).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Notes every read of these objects until the watch is dropped. Several watches may cover an object: it refers to its content
    /// and to its kept original, which may be judged at the same time.
    pub(crate) fn watch(&self, mut ids: Vec<ObjectId>) -> Watch<'_> {
        ids.sort_unstable();
        let begin = |id: ObjectId| {
            let mut shard = self.shard(id).lock();
            let watched = shard.watched.entry(id).or_default();
            watched.watches += 1;
            (id, watched.reads)
        };
        Watch { touches: self, ids: ids.into_iter().map(begin).collect() }
    }
}

/// Notes reads; see [`Touches::watch`].
pub(crate) struct Watch<'a> {
    touches: &'a Touches,
    /// In order, with their reads when it began.
    ids: Vec<(ObjectId, u64)>,
}

impl Watch<'_> {
    /// Whether an object was read.
    pub(crate) fn saw_a_read_of(&self, id: ObjectId) -> bool {
        let at = self.ids.binary_search_by_key(&id, |(other, _)| *other);
        let Some((_, before)) = at.ok().and_then(|at| self.ids.get(at)) else { return false };
        self.touches.shard(id).lock().watched.get(&id).is_some_and(|watched| watched.reads > *before)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        for (id, _) in &self.ids {
            let mut shard = self.touches.shard(*id).lock();
            if let Some(watched) = shard.watched.get_mut(id) {
                watched.watches -= 1;
                if watched.watches == 0 {
                    shard.watched.remove(id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::days;

    fn touch(touches: &Touches, id: u64, at: u64, policy: &Policy) -> usize {
        let touch =
            Touch { id: ObjectId(id), at: Timestamp(at), row_accessed_at: Timestamp(0), weight: 1.0, policy };
        touches.touch(&touch)
    }

    #[test]
    fn at_most_one_mark_counts_in_a_cooldown() {
        let policy =
            Policy { access_cooldown: Duration::from_secs(60), half_life: days(1), ..Policy::new("p") };
        let touches = Touches::default();
        let merged = || touches.merged(ObjectId(1), Effective::NEVER, policy.half_life);
        assert_eq!(touch(&touches, 1, 59_999, &policy), 0);
        assert_eq!(touch(&touches, 1, 60_000, &policy), 1);
        let first = merged();
        touch(&touches, 1, 119_999, &policy);
        assert_eq!(merged(), first);
        assert_eq!(touch(&touches, 1, 120_000, &policy), 1);
        assert!(merged() > first);
    }

    #[test]
    fn each_of_several_watches_sees_the_reads_of_its_time() {
        let policy = Policy::new("p");
        let touches = Touches::default();
        let first = touches.watch(vec![ObjectId(1), ObjectId(2)]);
        touch(&touches, 1, 60_000, &policy);
        let second = touches.watch(vec![ObjectId(1)]);
        assert!(first.saw_a_read_of(ObjectId(1)) && !first.saw_a_read_of(ObjectId(2)));
        assert!(!second.saw_a_read_of(ObjectId(1)));
        drop(first);
        touch(&touches, 1, 60_001, &policy);
        assert!(second.saw_a_read_of(ObjectId(1)), "the end of one watch is not that of another");
        drop(second);
        assert!(!touches.watch(vec![ObjectId(1)]).saw_a_read_of(ObjectId(1)));
    }

    #[test]
    fn marks_that_come_while_others_are_written_are_counted_once() {
        let policy = Policy::new("p");
        let touches = Touches::default();
        touch(&touches, 3, 60_000, &policy);
        let first = touches.take(ObjectId(3), policy.half_life).unwrap();
        touch(&touches, 3, 120_000, &policy);
        touches.written(ObjectId(3));
        let second = touches.take(ObjectId(3), policy.half_life).unwrap();
        assert_eq!(first.effective, Effective::access(Timestamp(60_000), 1.0, policy.half_life));
        assert_eq!(second.effective, Effective::access(Timestamp(120_000), 1.0, policy.half_life));
        touches.written(ObjectId(3));
        assert!(touches.ids().is_empty() && touches.len.load(Ordering::Relaxed) == 0);
    }

    #[test]
    fn what_could_not_be_written_is_written_next_time() {
        let policy = Policy::new("p");
        let touches = Touches::default();
        touch(&touches, 3, 60_000, &policy);
        let first = touches.take(ObjectId(3), policy.half_life);
        assert_eq!(touches.take(ObjectId(3), policy.half_life), first);
    }

    #[test]
    fn a_watch_sees_reads_that_do_not_count() {
        let policy = Policy::new("p");
        let touches = Touches::default();
        let watch = touches.watch(vec![ObjectId(1), ObjectId(17)]);
        touch(&touches, 2, 1, &policy);
        assert!(!watch.saw_a_read_of(ObjectId(17)));
        touch(&touches, 17, 1, &policy);
        assert!(watch.saw_a_read_of(ObjectId(17)) && touches.ids().is_empty());
    }
}
