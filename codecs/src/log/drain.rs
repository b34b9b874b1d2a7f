//! Drain (He, Zhu, Zheng, Lyu, ICWS 2017): templates of log messages, found in one pass.
//!
//! Records of the same level, number of words and first word are alike enough to be compared: a record joins the
//! template with which it shares most words, if that is half of them, and where they differ the template gets a hole.
//! Words with a digit are parameters before that, so `took 12 ms` and `took 7 ms` share all their words.
//!
//! Invariants: a template never loses a hole; at most [`TEMPLATES_MAX`] templates and [`BUCKET_MAX`] of one kind, so
//! that a log of noise takes no more than bounded memory and time a record.

use std::collections::HashMap;

use super::record::Record;

pub(super) const HOLE: &str = "<*>";
pub(super) const TEMPLATES_MAX: usize = 2000;
const BUCKET_MAX: usize = 100;
/// Words of a message that are looked at; what follows is one more parameter.
const WORDS_MAX: usize = 100;
/// At least half of the words agree.
const ALIKE_MIN: (usize, usize) = (1, 2);

/// Words, and holes.
pub(super) type Words = Vec<Option<String>>;

/// Level, number of words, first word.
type Kind = (Option<&'static str>, usize, Option<String>);

#[derive(Default)]
pub(super) struct Miner {
    templates: Vec<Words>,
    kinds: HashMap<Kind, Vec<usize>>,
}

impl Miner {
    pub(super) fn templates(&self) -> &[Words] {
        &self.templates
    }

    /// The template that the record belongs to.
    pub(super) fn put(&mut self, record: &Record<'_>) -> Option<usize> {
        let words: Words = record.words().take(WORDS_MAX).map(constant).collect();
        let first = words.first().cloned().flatten();
        let kind = self.kinds.entry((record.level, words.len(), first)).or_default();
        let shared = |at: &usize| self.templates[*at].iter().zip(&words).filter(|(a, b)| a == b).count();
        let best =
            kind.iter().map(|at| (shared(at), *at)).max_by_key(|(count, at)| (*count, usize::MAX - at));
        if let Some((count, at)) = best
            && count * ALIKE_MIN.1 >= words.len() * ALIKE_MIN.0
        {
            for (word, other) in self.templates[at].iter_mut().zip(&words) {
                if word != other {
                    *word = None;
                }
            }
            return Some(at);
        }
        if self.templates.len() >= TEMPLATES_MAX || kind.len() >= BUCKET_MAX {
            return None;
        }
        kind.push(self.templates.len());
        self.templates.push(words);
        Some(self.templates.len() - 1)
    }
}

/// A word, unless it looks like a parameter: it has a digit.
fn constant(word: &str) -> Option<String> {
    (!word.bytes().any(|byte| byte.is_ascii_digit())).then(|| word.to_owned())
}
