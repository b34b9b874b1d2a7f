//! The victim index: who goes next, in O(log n).

use crate::clock::{Timestamp, millis};
use crate::heat::Effective;
use crate::types::ObjectId;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

/// A step that loses nothing still has a place: among such steps, the one that frees most goes first.
const FIDELITY_LOST_MIN: f64 = 1e-9;

/// What a step of one object costs and brings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What the object is worth by its policy.
    pub weight: f64,
    /// The half-life of its heat.
    pub half_life: Duration,
    /// Its effective access time.
    pub effective: Effective,
    /// Fidelity lost.
    pub fidelity_lost: f64,
    /// Bytes freed, at least 1.
    pub bytes_freed: u64,
}

impl Step {
    fn tau_ms(&self) -> f64 {
        millis(self.half_life).max(1) as f64
    }

    /// The part of log2(loss a byte) that does not change with time: `log2 weight + e/τ − log2 τ + log2(Δf/Δb)`.
    fn key(&self) -> f64 {
        let tau_ms = self.tau_ms();
        let lost = self.fidelity_lost.max(FIDELITY_LOST_MIN);
        self.weight.log2() + self.effective.to_row() / tau_ms - tau_ms.log2() + lost.log2()
            - (self.bytes_freed.max(1) as f64).log2()
    }

    /// log2 of what it loses a byte freed at `now`: the lower, the sooner.
    ///
    /// ```
    /// use patina_objects::{Effective, Step, Timestamp, days};
    /// let at = |day| Timestamp(0).after(days(day));
    /// let step = |day| Step {
    ///     weight: 1.0,
    ///     half_life: days(30),
    ///     effective: Effective::born(at(day), days(0)),
    ///     fidelity_lost: 0.05,
    ///     bytes_freed: 650,
    /// };
    /// // Used a half-life later is worth twice as much, at any time.
    /// assert!((step(60).score(at(99)) - step(30).score(at(99)) - 1.0).abs() < 1e-9);
    /// ```
    pub fn score(&self, now: Timestamp) -> f64 {
        self.key() - now.as_millis() as f64 / self.tau_ms()
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Entry {
    key: f64,
    id: ObjectId,
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.total_cmp(&other.key).then(self.id.cmp(&other.id))
    }
}

/// The steps of one half-life, the first to go on top.
struct Class {
    half_life: Duration,
    heap: BinaryHeap<Reverse<Entry>>,
}

impl Class {
    fn score(&self, entry: Entry, now: Timestamp) -> f64 {
        entry.key - now.as_millis() as f64 / millis(self.half_life).max(1) as f64
    }
}

/// Steps of many objects in the order in which a budget takes them: one heap for each half-life, their heads merged at the
/// time of asking, because scores of different half-lives fall at different speeds.
///
/// Complexity: adding is O(log n), taking O(log n + number of half-lives). It never holds more than twice the number of
/// entries that it was made for: beyond that, only the first to go are kept, and [`Victims::is_truncated`] says so.
///
/// ```
/// use patina_objects::{Effective, ObjectId, Step, Timestamp, Victims, days};
/// let now = Timestamp(0).after(days(100));
/// let mut victims = Victims::new(1000, now);
/// for (id, day) in [(1, 90), (2, 10), (3, 50)] {
///     let effective = Effective::born(Timestamp(0).after(days(day)), days(0));
///     let step = Step { weight: 1.0, half_life: days(30), effective, fidelity_lost: 0.05, bytes_freed: 650 };
///     victims.add(ObjectId(id), &step);
/// }
/// assert_eq!(victims.take(now).map(|(id, _)| id), Some(ObjectId(2)), "the one that was used longest ago");
/// ```
pub struct Victims {
    /// Few: one for each half-life that a policy names.
    classes: Vec<Class>,
    len: usize,
    kept_max: usize,
    now: Timestamp,
    truncated: bool,
}

impl Victims {
    /// An empty index that keeps `kept_max` entries at least, and twice as many at most. What is to be dropped beyond is judged
    /// as of `now`.
    pub fn new(kept_max: usize, now: Timestamp) -> Self {
        Self { classes: Vec::new(), len: 0, kept_max: kept_max.max(1), now, truncated: false }
    }

    /// How many steps wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether steps were dropped for want of room, so that an empty index does not mean that nothing is left.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Adds the step of an object. Each object is to have one.
    pub fn add(&mut self, id: ObjectId, step: &Step) {
        let entry = Reverse(Entry { key: step.key(), id });
        match self.classes.iter_mut().find(|class| class.half_life == step.half_life) {
            Some(class) => class.heap.push(entry),
            None => self.classes.push(Class { half_life: step.half_life, heap: BinaryHeap::from([entry]) }),
        }
        self.len += 1;
        if self.len > self.kept_max.saturating_mul(2) {
            self.truncate();
        }
    }

    /// Takes the step that loses least a byte at `now`, with its score.
    pub fn take(&mut self, now: Timestamp) -> Option<(ObjectId, f64)> {
        let heads = self.classes.iter().enumerate().filter_map(|(at, class)| {
            let Reverse(entry) = class.heap.peek()?;
            Some((class.score(*entry, now), at))
        });
        let (score, at) = heads.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))?;
        let Reverse(entry) = self.classes.get_mut(at)?.heap.pop()?;
        self.len -= 1;
        Some((entry.id, score))
    }

    /// Keeps the first `kept_max`. Amortised O(1) an entry: half of all are dropped, by selection, not by sorting.
    fn truncate(&mut self) {
        let mut scores: Vec<f64> = Vec::with_capacity(self.len);
        for class in &self.classes {
            scores.extend(class.heap.iter().map(|Reverse(entry)| class.score(*entry, self.now)));
        }
        let (_, last, _) = scores.select_nth_unstable_by(self.kept_max - 1, f64::total_cmp);
        let last = *last;
        // Equal scores may be many: of those at the border, as many stay as there is room for.
        let sooner = scores.iter().filter(|score| **score < last).count();
        let mut ties = self.kept_max - sooner;
        for class in &mut self.classes {
            let heap = std::mem::take(&mut class.heap);
            let kept = heap.into_iter().filter(|Reverse(entry)| {
                let score = class.score(*entry, self.now);
                let stays = score < last || (score <= last && ties > 0);
                ties -= usize::from(stays && score >= last);
                stays
            });
            let kept: Vec<Reverse<Entry>> = kept.collect();
            class.heap = kept.into();
        }
        self.len = self.kept_max;
        self.truncated = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::days;
    use proptest::prelude::*;

    fn step(e_ms: u64, tau_days: u64, lost: f64, freed: u64) -> Step {
        Step {
            weight: 1.0,
            half_life: days(tau_days),
            effective: Effective::born(Timestamp(e_ms), Duration::ZERO),
            fidelity_lost: lost,
            bytes_freed: freed,
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let one = (0u64..1 << 40, 1u64..5, 0.0f64..1.0, 1u64..1 << 30)
            .prop_map(|(e_ms, tau_days, lost, freed)| step(e_ms, tau_days, lost, freed));
        prop::collection::vec(one, 0..200)
    }

    proptest! {
        #[test]
        fn they_come_in_the_order_of_their_scores_at_any_time(steps in steps(), now_ms in 0u64..1 << 41) {
            let now = Timestamp(now_ms);
            let mut victims = Victims::new(1000, now);
            for (id, step) in (1..).zip(&steps) {
                victims.add(ObjectId(id), step);
            }
            let taken: Vec<f64> = std::iter::from_fn(|| victims.take(now)).map(|(_, score)| score).collect();
            prop_assert_eq!(taken.len(), steps.len());
            prop_assert!(taken.windows(2).all(|pair| pair[0] <= pair[1]));
            let mut direct: Vec<f64> = steps.iter().map(|step| step.score(now)).collect();
            direct.sort_by(f64::total_cmp);
            prop_assert!(taken.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-6));
        }

        #[test]
        fn without_room_the_first_to_go_are_kept(steps in steps(), room in 1usize..20) {
            let now = Timestamp(1 << 40);
            let mut victims = Victims::new(room, now);
            for (id, step) in (1..).zip(&steps) {
                victims.add(ObjectId(id), step);
                prop_assert!(victims.len() <= 2 * room);
            }
            let mut direct: Vec<f64> = steps.iter().map(|step| step.score(now)).collect();
            direct.sort_by(f64::total_cmp);
            let taken: Vec<f64> = std::iter::from_fn(|| victims.take(now)).map(|(_, score)| score).take(room).collect();
            prop_assert_eq!(taken.len(), room.min(steps.len()));
            prop_assert!(taken.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-6), "{taken:?} {direct:?}");
        }
    }

    #[test]
    fn a_class_that_cools_faster_overtakes() {
        let mut victims = Victims::new(10, Timestamp(0));
        victims.add(ObjectId(1), &step(0, 1, 0.1, 100));
        victims.add(ObjectId(2), &step(0, 30, 0.1, 100));
        // Of one read, the class with the short half-life makes the higher rate of use at first.
        assert_eq!(victims.take(Timestamp(0)).map(|(id, _)| id), Some(ObjectId(2)));
        victims.add(ObjectId(2), &step(0, 30, 0.1, 100));
        assert_eq!(victims.take(Timestamp(0).after(days(20))).map(|(id, _)| id), Some(ObjectId(1)));
    }
}
