//! Which sentences carry most.
//!
//! Words weigh by tf–idf (K. Spärck Jones, 1972). A sentence is salient when it holds words that are held by
//! salient sentences: mutual reinforcement on the graph of sentences and words (H. Zha, SIGIR 2002), which
//! is TextRank's idea in time linear in the text instead of quadratic in the sentences. Sentences are then
//! taken greedily by salience and by the weight of the words that no taken sentence holds yet (H. Lin,
//! J. Bilmes, ACL 2011), so that the same thing is not said twice. What a sentence adds can only shrink as
//! others are taken, so a heap whose top is re-evaluated lazily finds each next one without scanning all.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::words::{self, Stopwords};
use super::{Role, Unit};

const ROUNDS: usize = 8;
/// How much of a word's standing stays with its own weight at each round.
const DAMPING: f64 = 0.2;
/// Long sentences hold more words by being long: divide by the length to this power.
const LENGTH_EXPONENT: f64 = 0.75;
const WORDS_MIN: usize = 6;
/// A small share of a short text would be less than one sentence: it may have this many bytes, …
const BUDGET_BYTES_MIN: usize = 480;
/// … but never more than this share.
const BUDGET_SHARE_MIN: f64 = 0.15;
const BOOST_TOO_SHORT: f64 = 0.3;
/// Words in more than this share of many sentences say nothing, in whatever language.
const COMMON_SHARE: f64 = 0.4;
const COMMON_UNITS_MIN: usize = 10;
/// What a word is worth without the sentence it stood in.
const LISTED_WORTH: f64 = 0.5;
/// Where a sentence no longer fits, a shorter one may, but it must add this share of what that one adds:
/// better to stay under the budget than to fill it with small talk.
const FILLER_GAIN_SHARE: f64 = 0.6;
/// How much of a sentence's gain does not depend on what others already said.
const GAIN_FLOOR: f64 = 0.3;

/// The words of a text and what they weigh.
pub(super) struct Weights {
    names: Vec<String>,
    weights: Vec<f64>,
    is_content: Vec<bool>,
    /// The distinct words of each unit.
    of_units: Vec<Vec<u32>>,
    unit_words: Vec<usize>,
    /// Words in all.
    pub(super) words: usize,
    /// ISO 639-1, if recognised.
    pub(super) language: Option<&'static str>,
}

impl Weights {
    pub(super) fn of(units: &[Unit<'_>]) -> Self {
        let mut ids: HashMap<String, u32> = HashMap::new();
        let mut names: Vec<String> = Vec::new();
        let (mut occurrences, mut holders): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let (mut of_units, mut unit_words) =
            (Vec::with_capacity(units.len()), Vec::with_capacity(units.len()));
        for unit in units {
            let mut distinct: Vec<u32> = Vec::new();
            let mut count = 0;
            let counted = if matches!(unit.role, Role::Front | Role::Mark) { "" } else { unit.text };
            for word in words::of(counted) {
                let next = names.len() as u32;
                let id = *ids.entry(word).or_insert_with_key(|word| {
                    names.push(word.clone());
                    occurrences.push(0);
                    holders.push(0);
                    next
                });
                occurrences[id as usize] += 1;
                distinct.push(id);
                count += 1;
            }
            distinct.sort_unstable();
            distinct.dedup();
            for id in &distinct {
                holders[*id as usize] += 1;
            }
            of_units.push(distinct);
            unit_words.push(count);
        }
        let stopwords = Stopwords::new();
        let counted = names.iter().map(String::as_str).zip(occurrences.iter().copied());
        let language = stopwords.guess(counted);
        let total_units = units.len();
        let weigh = |id: usize| {
            let is_common =
                total_units >= COMMON_UNITS_MIN && f64::from(holders[id]) > COMMON_SHARE * total_units as f64;
            if is_common || stopwords.contains(language, &names[id]) {
                return 0.0;
            }
            let frequency = 1.0 + f64::from(occurrences[id]).ln();
            frequency * (1.0 + total_units as f64 / f64::from(holders[id].max(1))).ln()
        };
        let weights = (0..names.len()).map(weigh).collect();
        let is_content = names.iter().map(|name| is_content_word(name)).collect();
        let words = unit_words.iter().sum();
        let language = language.and_then(words::language_code);
        Self { names, weights, is_content, of_units, unit_words, words, language }
    }

    /// Distinct words.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, term: usize) -> &str {
        &self.names[term]
    }

    /// The share of all weight that these words have: those covered by sentences fully, those only listed
    /// by half. 1 when nothing has weight.
    pub(super) fn share_of(&self, covered: &[bool], listed: &[usize]) -> f64 {
        let total: f64 = self.weights.iter().sum();
        if total <= 0.0 {
            return 1.0;
        }
        let is_covered = |(_, is_covered): &(&f64, &bool)| **is_covered;
        let held: f64 = self.weights.iter().zip(covered).filter(is_covered).map(|(weight, _)| weight).sum();
        let named: f64 = listed.iter().filter(|term| !covered[**term]).map(|term| self.weights[*term]).sum();
        ((held + LISTED_WORTH * named) / total).min(1.0)
    }

    /// The words that the whole text speaks of, the weightiest first, among those accepted.
    pub(super) fn top_terms(&self, count_max: usize, accepted: impl Fn(usize) -> bool) -> Vec<usize> {
        let standing = self.term_standing();
        let is_wanted = |term: &usize| self.is_content[*term] && self.weights[*term] > 0.0 && accepted(*term);
        let mut terms: Vec<usize> = (0..self.len()).filter(is_wanted).collect();
        terms.sort_by(|one, other| standing[*other].total_cmp(&standing[*one]).then(one.cmp(other)));
        terms.truncate(count_max);
        terms
    }

    /// How much a word stands for the text: rises with every unit that holds it.
    fn term_standing(&self) -> Vec<f64> {
        let mut holders = vec![0u32; self.len()];
        for term in self.of_units.iter().flatten() {
            holders[*term as usize] += 1;
        }
        holders
            .iter()
            .zip(&self.weights)
            .map(|(holders, weight)| f64::from(*holders).sqrt() * weight)
            .collect()
    }

    /// The salience of each unit, before boosts.
    fn salience(&self) -> Vec<f64> {
        let mut terms = self.weights.clone();
        let mut units = vec![0.0f64; self.of_units.len()];
        for _ in 0..ROUNDS {
            for (unit, held) in units.iter_mut().zip(&self.of_units) {
                *unit = held.iter().map(|term| self.weights[*term as usize] * terms[*term as usize]).sum();
            }
            for (unit, words) in units.iter_mut().zip(&self.unit_words) {
                *unit /= (*words.max(&WORDS_MIN) as f64).powf(LENGTH_EXPONENT);
            }
            scale_to_one(&mut units);
            let mut next = vec![0.0f64; terms.len()];
            for (unit, held) in units.iter().zip(&self.of_units) {
                for term in held {
                    next[*term as usize] += unit;
                }
            }
            scale_to_one(&mut next);
            for ((term, next), weight) in terms.iter_mut().zip(&next).zip(&self.weights) {
                *term = weight * (DAMPING + (1.0 - DAMPING) * next);
            }
        }
        units
    }
}

/// Three letters or more; other scripts need no minimum.
fn is_content_word(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 3 || letters >= 1 && !word.is_ascii()
}

fn scale_to_one(values: &mut [f64]) {
    let largest = values.iter().copied().fold(0.0f64, f64::max);
    if largest > 0.0 {
        values.iter_mut().for_each(|value| *value /= largest);
    }
}

/// What stays.
pub(super) struct Selection {
    /// For each unit.
    pub(super) kept: Vec<bool>,
    /// For each word: whether a kept unit holds it.
    pub(super) covered: Vec<bool>,
    pub(super) sentences: usize,
    pub(super) sentences_kept: usize,
}

/// A unit that may be taken, by what it adds; the earlier one of equals first.
struct Candidate {
    gain: f64,
    unit: usize,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.total_cmp(&other.gain).then(other.unit.cmp(&self.unit))
    }
}

/// Takes sentences up to a share of their bytes, at least one, and the headings that go with them: with
/// `within`, only sentences that a weaker selection kept, and only headings above them; else all headings.
pub(super) fn select(
    units: &[Unit<'_>],
    weights: &Weights,
    share: f64,
    within: Option<&Selection>,
) -> Selection {
    let is_sentence = |at: &usize| units[*at].role == Role::Sentence;
    let sentences: Vec<usize> = (0..units.len()).filter(is_sentence).collect();
    let is_allowed = |at: &&usize| within.is_none_or(|wider| wider.kept[**at]);
    let total_bytes: usize = sentences.iter().map(|at| units[*at].text.len()).sum();
    let share_of_all = |share: f64| (total_bytes as f64 * share) as usize;
    let mut left_bytes = share_of_all(share).max(BUDGET_BYTES_MIN.min(share_of_all(BUDGET_SHARE_MIN)));
    let mut gains =
        Gains { units, weights, salience: weights.salience(), covered: vec![false; weights.len()] };
    let mut heap: BinaryHeap<Candidate> =
        sentences.iter().filter(is_allowed).map(|unit| gains.candidate(*unit)).collect();
    let best = heap.peek().map(|candidate| candidate.unit);
    let mut kept = vec![false; units.len()];
    let mut sentences_kept = 0;
    let mut gain_min = 0.0f64;
    while let Some(stale) = heap.pop() {
        let fresh = gains.candidate(stale.unit);
        let unit = fresh.unit;
        if heap.peek().is_some_and(|next| *next > fresh) {
            heap.push(fresh);
            continue;
        }
        if fresh.gain < gain_min {
            break;
        }
        let len_bytes = units[unit].text.len();
        if len_bytes > left_bytes {
            gain_min = gain_min.max(FILLER_GAIN_SHARE * fresh.gain);
        } else {
            left_bytes -= len_bytes;
            sentences_kept += 1;
            kept[unit] = true;
            gains.cover(unit);
        }
    }
    if let Some(best) = best.filter(|_| sentences_kept == 0) {
        sentences_kept = 1;
        kept[best] = true;
        gains.cover(best);
    }
    keep_headings(units, &mut kept, within.is_none());
    for at in (0..units.len()).filter(|at| kept[*at] && units[*at].role == Role::Heading) {
        gains.cover(at);
    }
    Selection { kept, covered: gains.covered, sentences: sentences.len(), sentences_kept }
}

/// What each sentence would add to those taken so far.
struct Gains<'a> {
    units: &'a [Unit<'a>],
    weights: &'a Weights,
    salience: Vec<f64>,
    covered: Vec<bool>,
}

impl Gains<'_> {
    fn candidate(&self, unit: usize) -> Candidate {
        let held = &self.weights.of_units[unit];
        let weight = |term: &u32| self.weights.weights[*term as usize];
        let all: f64 = held.iter().map(weight).sum();
        let new: f64 = held.iter().filter(|term| !self.covered[**term as usize]).map(weight).sum();
        let novelty = if all > 0.0 { new / all } else { 0.0 };
        let length_boost = if self.weights.unit_words[unit] < WORDS_MIN { BOOST_TOO_SHORT } else { 1.0 };
        let worth = self.salience[unit] * self.units[unit].boost * length_boost;
        Candidate { gain: worth * (GAIN_FLOOR + (1.0 - GAIN_FLOOR) * novelty), unit }
    }

    fn cover(&mut self, unit: usize) {
        for term in &self.weights.of_units[unit] {
            self.covered[*term as usize] = true;
        }
    }
}

/// All headings, or the first and those with a kept sentence below, before the next heading; the marks of pages with
/// something kept below, before the next mark; facts always.
fn keep_headings(units: &[Unit<'_>], kept: &mut [bool], all: bool) {
    for role in [Role::Heading, Role::Mark, Role::Front] {
        let found: Vec<usize> = (0..units.len()).filter(|at| units[*at].role == role).collect();
        for (index, &at) in found.iter().enumerate() {
            let end = found.get(index + 1).copied().unwrap_or(units.len());
            let is_kept_always = match role {
                Role::Heading => all || index == 0,
                other => other == Role::Front,
            };
            kept[at] = is_kept_always || kept[at + 1..end].contains(&true);
        }
    }
}
