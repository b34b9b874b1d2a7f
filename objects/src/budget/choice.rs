//! Which steps to take so that so many bytes go at the least loss.
//!
//! Greedy takes steps from the victim index until enough is freed. It is within one step of the best, and that one step may
//! be a large object for a few missing bytes. So the objects that it took last, and the ones it would have taken next, are
//! decided anew: all their combinations are searched, with a bound that leaves most of them out. With few objects that is
//! everything there is, and the answer is the best one.
//!
//! Invariants: what is planned frees at least what is asked for, or everything that can go is planned; every object is
//! planned for one stage. Complexity: O(log n) and one look at its row a victim; the search looks at no more than
//! [`NODES_MAX`] combinations.

use super::victims::{Step, Victims};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::heat::Effective;
use crate::types::{ObjectId, Stage};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Objects around the end of greedy's list that are decided anew.
const CORE_OBJECTS: usize = 12;

/// Further objects, not taken by greedy, that may take their place.
const SPARE_OBJECTS: usize = 8;

/// Combinations that the search looks at before it is content with the best so far.
const NODES_MAX: usize = 200_000;

/// By how much a score may differ from the entry's and still be the same: rounding, not a read.
const SCORE_SLACK: f64 = 1e-6;

/// Rates of use beyond this are all the same: sums of losses must stay finite.
const WORTH_MAX: f64 = 1e200;

/// What is left of an object at a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left {
    pub stage: Stage,
    pub bytes: u64,
    pub fidelity: f64,
}

/// An object that may get smaller.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub id: ObjectId,
    /// Those that share its content, and go wherever it goes.
    pub followers: Vec<ObjectId>,
    pub weight: f64,
    pub half_life: Duration,
    pub effective: Effective,
    /// As it is now.
    pub now: Left,
    /// At each stage that it may go to, in order.
    pub ahead: Vec<Left>,
}

impl Candidate {
    /// All objects that it stands for.
    pub(crate) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        [self.id].into_iter().chain(self.followers.iter().copied())
    }

    /// The stage that loses least a byte from `from` on, as its place in `ahead`, and the step there. `None` if no stage
    /// frees anything.
    pub(crate) fn next_step(&self, from: Option<usize>) -> Option<(usize, Step)> {
        let base = self.left(from);
        let first = from.map_or(0, |at| at + 1);
        let steps = self.ahead.iter().enumerate().skip(first).filter_map(|(at, left)| {
            let bytes_freed = base.bytes.checked_sub(left.bytes).filter(|freed| *freed > 0)?;
            Some((at, self.step((base.fidelity - left.fidelity).max(0.0), bytes_freed)))
        });
        let score = |step: &Step| step.score(Timestamp(0));
        steps.min_by(|a, b| score(&a.1).total_cmp(&score(&b.1)).then(a.0.cmp(&b.0)))
    }

    fn step(&self, fidelity_lost: f64, bytes_freed: u64) -> Step {
        let (weight, half_life, effective) = (self.weight, self.half_life, self.effective);
        Step { weight, half_life, effective, fidelity_lost, bytes_freed }
    }

    fn left(&self, at: Option<usize>) -> Left {
        at.and_then(|at| self.ahead.get(at)).copied().unwrap_or(self.now)
    }

    /// What all its stages free and lose from now on, in a unit that all candidates share.
    fn choices(&self, now: Timestamp) -> Vec<Choice> {
        // A step that frees one byte for a whole point of fidelity: its score is the logarithm of the rate of use.
        let worth = self.step(1.0, 1).score(now).exp2().clamp(f64::MIN_POSITIVE, WORTH_MAX);
        let choices = self.ahead.iter().enumerate().filter_map(|(at, left)| {
            let freed = self.now.bytes.checked_sub(left.bytes).filter(|freed| *freed > 0)?;
            let lost = (self.now.fidelity - left.fidelity).max(0.0) * worth;
            Some(Choice { at, freed, lost })
        });
        choices.collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Choice {
    /// Its place in `ahead`.
    at: usize,
    freed: u64,
    lost: f64,
}

/// What to do.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Planned {
    /// What is left is told for all that share a content together; they come one after the other.
    pub moves: Vec<(ObjectId, Left)>,
    /// Bytes that it frees, as far as is known beforehand.
    pub freed_bytes: u64,
}

/// How much one plan may take up.
#[derive(Clone, Copy)]
pub(crate) struct PlanLimits {
    pub objects_max: usize,
    /// Bytes of the chosen objects as they are now. It bounds what can go wrong when steps free more than was expected of
    /// them: who would have come first is not overtaken by many.
    pub bytes_max: u64,
}

impl PlanLimits {
    pub(crate) const NONE: Self = Self { objects_max: usize::MAX, bytes_max: u64::MAX };
}

/// Plans at least `need` bytes away, or as much as the limits let. `load` tells what is known of an object now; `None` leaves it
/// out.
///
/// What was taken from the index and is not planned after all is put back.
pub(crate) fn plan(
    victims: &mut Victims,
    now: Timestamp,
    need: u64,
    limits: PlanLimits,
    mut load: impl FnMut(ObjectId) -> Result<Option<Candidate>>,
) -> Result<Planned> {
    let mut taken = Taken::default();
    let has_room = |taken: &Taken| taken.picks.len() < limits.objects_max && taken.bytes < limits.bytes_max;
    while taken.freed < need && has_room(&taken) {
        let Some((id, score)) = victims.take(now) else { break };
        let mut pick = match taken.picks.remove(&id) {
            Some(pick) => pick,
            None => match load(id)? {
                Some(candidate) => Pick { candidate, at: None },
                None => continue,
            },
        };
        // An entry that is too early: somebody read the object, or it has moved since.
        let is_right = pick.next().is_some_and(|step| step.score(now) <= score + SCORE_SLACK);
        if is_right {
            taken.bytes += if pick.at.is_none() { pick.candidate.now.bytes } else { 0 };
            taken.freed += pick.advance();
            taken.order.push(id);
        }
        pick.requeue(victims);
        if pick.at.is_some() {
            taken.picks.insert(id, pick);
        }
    }
    if taken.freed >= need {
        taken.refine(victims, now, need, load)?;
    }
    let mut moves = Vec::with_capacity(taken.picks.len());
    for pick in taken.picks.values().filter(|pick| pick.at.is_some()) {
        let left = pick.candidate.left(pick.at);
        moves.extend(pick.candidate.objects().map(|id| (id, left)));
    }
    Ok(Planned { moves, freed_bytes: taken.freed })
}

struct Pick {
    candidate: Candidate,
    /// The stage planned for, as its place in `ahead`.
    at: Option<usize>,
}

impl Pick {
    fn next(&self) -> Option<Step> {
        self.candidate.next_step(self.at).map(|(_, step)| step)
    }

    /// Plans one step further. Gives the bytes that it frees.
    fn advance(&mut self) -> u64 {
        let Some((at, step)) = self.candidate.next_step(self.at) else { return 0 };
        self.at = Some(at);
        step.bytes_freed
    }

    /// Puts its next step into the index. A second entry of one object is harmless: an entry that comes before the score of
    /// the step that it leads to is put back at its place.
    fn requeue(&self, victims: &mut Victims) {
        if let Some(step) = self.next() {
            victims.add(self.candidate.id, &step);
        }
    }

    fn freed(&self) -> u64 {
        self.candidate.now.bytes.saturating_sub(self.candidate.left(self.at).bytes)
    }
}

/// What greedy took.
#[derive(Default)]
struct Taken {
    picks: BTreeMap<ObjectId, Pick>,
    /// One entry a step.
    order: Vec<ObjectId>,
    freed: u64,
    /// Of the picks, as they are now.
    bytes: u64,
}

impl Taken {
    /// Decides the last objects anew, together with the next ones.
    fn refine(
        &mut self,
        victims: &mut Victims,
        now: Timestamp,
        need: u64,
        mut load: impl FnMut(ObjectId) -> Result<Option<Candidate>>,
    ) -> Result<()> {
        let mut core: Vec<Pick> = Vec::new();
        for id in self.order.iter().rev() {
            if core.len() == CORE_OBJECTS {
                break;
            }
            core.extend(self.picks.remove(id));
        }
        let elsewhere: u64 = self.picks.values().map(Pick::freed).sum();
        let mut known: HashSet<ObjectId> = core.iter().map(|pick| pick.candidate.id).collect();
        let mut decided = Vec::new();
        while core.len() < CORE_OBJECTS + SPARE_OBJECTS {
            let Some((id, _)) = victims.take(now) else { break };
            if self.picks.contains_key(&id) {
                decided.push(id);
            } else if known.insert(id)
                && let Some(candidate) = load(id)?
            {
                core.push(Pick { candidate, at: None });
            }
        }
        let found = search(&core, now, need.saturating_sub(elsewhere));
        for (at, mut pick) in core.into_iter().enumerate() {
            if let Some(found) = &found {
                pick.at = found.get(at).copied().flatten();
            }
            pick.requeue(victims);
            if pick.at.is_some() {
                self.picks.insert(pick.candidate.id, pick);
            }
        }
        decided.iter().filter_map(|id| self.picks.get(id)).for_each(|pick| pick.requeue(victims));
        self.freed = self.picks.values().map(Pick::freed).sum();
        Ok(())
    }
}

/// The choice for each object that frees at least `need` for the least loss; `None` if none was found that does.
fn search(core: &[Pick], now: Timestamp, need: u64) -> Option<Vec<Option<usize>>> {
    let mut objects: Vec<(usize, Vec<Choice>)> =
        core.iter().map(|pick| pick.candidate.choices(now)).enumerate().collect();
    let ratio = |choices: &[Choice]| {
        choices.iter().map(|choice| choice.lost / choice.freed as f64).fold(f64::INFINITY, f64::min)
    };
    objects.sort_by(|a, b| ratio(&a.1).total_cmp(&ratio(&b.1)));
    // What all objects from here on can free at most, and the least that they lose a byte.
    let mut rest = vec![(0u64, f64::INFINITY); objects.len() + 1];
    for (at, (_, choices)) in objects.iter().enumerate().rev() {
        let (freed, least) = rest.get(at + 1).copied().unwrap_or_default();
        let most = choices.iter().map(|choice| choice.freed).max().unwrap_or(0);
        if let Some(slot) = rest.get_mut(at) {
            *slot = (freed.saturating_add(most), least.min(ratio(choices)));
        }
    }
    let path = vec![None; core.len()];
    let mut search = Search { objects: &objects, rest: &rest, nodes: 0, best: None, path };
    search.go(0, need, 0.0);
    search.best.map(|(_, path)| path)
}

struct Search<'a> {
    objects: &'a [(usize, Vec<Choice>)],
    rest: &'a [(u64, f64)],
    nodes: usize,
    best: Option<(f64, Vec<Option<usize>>)>,
    /// The choice of each object of the core, by its place there.
    path: Vec<Option<usize>>,
}

impl Search<'_> {
    fn go(&mut self, depth: usize, need: u64, lost: f64) {
        self.nodes += 1;
        let best = self.best.as_ref().map_or(f64::INFINITY, |(lost, _)| *lost);
        if need == 0 {
            if lost < best {
                self.best = Some((lost, self.path.clone()));
            }
            return;
        }
        let (most, least) = self.rest.get(depth).copied().unwrap_or_default();
        let hopeless = most < need || lost + need as f64 * least >= best;
        // The first way down is greedy's, so there is an answer before the nodes run out.
        if hopeless || (self.nodes > NODES_MAX && self.best.is_some()) {
            return;
        }
        let objects = self.objects;
        let Some((at, choices)) = objects.get(depth) else { return };
        for choice in choices.iter().map(Some).chain([None]) {
            if let Some(slot) = self.path.get_mut(*at) {
                *slot = choice.map(|choice| choice.at);
            }
            let (freed, more) = choice.map_or((0, 0.0), |choice| (choice.freed, choice.lost));
            self.go(depth + 1, need.saturating_sub(freed), lost + more);
        }
        if let Some(slot) = self.path.get_mut(*at) {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests;
