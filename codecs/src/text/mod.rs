//! Texts: the sentences that carry most, in their order and in their words.
//!
//! # Invariants
//!
//! - Every sentence or line that stays is a slice of the source, in the order of the source. Nothing is
//!   rephrased. The one line that a cold text gains, [`TERMS_PREFIX`], lists words of the source.
//! - Headings stay: all of them at warm, at cold those above something that stayed, and the first.
//! - Warm and cold differ only in how much may stay, so a cold text says no more than a warm one.
//! - The output is UTF-8 text, and can be degraded again.
//!
//! Prose (plain, Markdown, HTML as its visible text) is cut into Unicode sentences (UAX #29); source code is cut
//! into lines, among which declarations and comments weigh more, and so is a text that has no sentences.
//!
//! # Example
//!
//! The GPL 3 (35 kB, 340 sentences) becomes 11 kB at warm: its title, all 18 section headings, and the
//! sentences whose words occur throughout the text, such as the one that says what "covered work" means.
//!
//! # Fidelity
//!
//! The share of the weighted terms that are still there: each distinct word of the source weighs
//! `(1 + ln tf) · ln(1 + N/df)` (tf–idf: occurrences; units of text N; units with the word df; function words
//! weigh nothing). It counts fully when a kept sentence or heading holds it, and half when it is only listed.

pub(crate) mod encoding;
mod front;
pub(crate) mod html;
mod lines;
mod prose;
mod rank;
mod words;

use crate::degrade::Depth;
use crate::media::{Kind, MediaType};
use crate::params::Params;
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::trace::TraceBuilder;
use encoding::Encoding;
use rank::{Selection, Weights};

pub(crate) static TEXT: Text = Text;

/// Starts the last line of a cold prose text: weighty words that no kept sentence holds.
const TERMS_PREFIX: &str = "Further terms: ";
const FURTHER_TERMS_MAX: usize = 24;
/// A line or a sentence takes a quarter of what a row of a table takes, which [`Limits::rows`](crate::Limits::rows) is about.
const PIECES_A_ROW: u64 = 4;
/// Fewer lines than this are no rows.
const LINES_MIN: usize = 20;
const TRACE_TERMS_MAX: usize = 32;

pub(crate) struct Text;

impl Codec for Text {
    fn id(&self) -> &'static str {
        "text"
    }

    fn version(&self) -> u16 {
        3
    }

    fn accepts(&self, media: &MediaType) -> bool {
        matches!(media.kind, Kind::Text | Kind::Code)
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        let len_bytes = input.bytes.len() as u64;
        if len_bytes > input.limits.text_bytes {
            return Err(Refusal::new(format!("{len_bytes} bytes are more than {}", input.limits.text_bytes)));
        }
        let (decoded, encoding) = encoding::decode(input.bytes).ok_or_else(|| Refusal::new("is no text"))?;
        let pieces_max = input.limits.rows.saturating_mul(PIECES_A_ROW);
        if pieces_at_most(&decoded) > pieces_max {
            return Err(Refusal::new(format!("has more than {pieces_max} lines and sentences")));
        }
        let is_html = matches!(input.media.mime.as_ref(), "text/html" | "application/xhtml+xml");
        let text = if is_html { html::visible_text(&decoded).into() } else { decoded };
        let reading = Reading::best(&text, Form::of(input.media));
        input.deadline.check()?;
        if reading.weights.words == 0 && input.depth != Depth::Trace {
            return Ok(Outcome::Keep { note: Some("no word found: kept as it is".to_owned()) });
        }
        let (summary, share) = match input.depth {
            Depth::Warm => (reading.warm(input.params), input.params.warm_share),
            Depth::Cold => (reading.cold(input.params), input.params.cold_share),
            Depth::Trace => return Ok(reading.trace(input.params)),
        };
        Ok(Outcome::Bytes {
            bytes: assembled(&reading, &summary).into_bytes(),
            mime: if is_html { "text/markdown".to_owned() } else { input.media.mime.clone().into_owned() },
            fidelity: summary.fidelity,
            metric: "terms",
            params: format!("share={share}"),
            note: Some(note(&summary.selection, reading.form, encoding, is_html)),
        })
    }
}

/// How many lines and sentences there can be, so that none is held before they are known to be few. O(bytes).
fn pieces_at_most(text: &str) -> u64 {
    let mut chars = text.chars().peekable();
    let mut pieces = 1;
    while let Some(c) = chars.next() {
        pieces += match c {
            '\n' | '!' | '?' | '。' | '！' | '？' => 1,
            '.' => u64::from(!chars.peek().is_some_and(char::is_ascii_digit)),
            _ => 0,
        };
    }
    pieces
}

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Prose,
    Code,
    /// What has no sentences: rows, records, verses.
    Lines,
}

impl Form {
    fn of(media: &MediaType) -> Self {
        match media.kind {
            Kind::Code => Self::Code,
            _ => Self::Prose,
        }
    }
}

/// A piece of the source that stays or goes as a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Unit<'a> {
    /// A slice of the source.
    text: &'a str,
    role: Role,
    /// Units of one block (paragraph, list item) stand in one paragraph of the output.
    block: usize,
    /// Whether this unit's block stood on the line right after the former one's.
    is_adjacent: bool,
    /// How much more than its words this unit is worth; 1 is neutral.
    boost: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Heading,
    Sentence,
    /// Facts about the text at its start: always stays, its words do not count.
    Front,
    /// Where a page or a slide begins: stays with what stays of it, its words do not count.
    Mark,
    /// The list of words at the end of a cold text: its words count, itself never stays.
    Terms,
}

/// What a text is made of, read once for all depths.
struct Reading<'a> {
    text: &'a str,
    form: Form,
    units: Vec<Unit<'a>>,
    weights: Weights,
}

impl<'a> Reading<'a> {
    /// As prose only where it has sentences: rows without full stops would stay or go as a whole.
    fn best(text: &'a str, form: Form) -> Self {
        let reading = Self::of(text, form);
        let longest_bytes = reading.units.iter().map(|unit| unit.text.len()).max().unwrap_or_default();
        let is_one_block = form == Form::Prose && longest_bytes > text.len() / 2;
        if is_one_block && text.lines().nth(LINES_MIN).is_some() {
            return Self::of(text, Form::Lines);
        }
        reading
    }

    fn of(text: &'a str, form: Form) -> Self {
        let units = match form {
            Form::Prose => prose::units(text),
            Form::Code | Form::Lines => lines::of_code(text),
        };
        let weights = Weights::of(&units);
        Self { text, form, units, weights }
    }

    fn warm(&self, params: &Params) -> Summary {
        let selection = rank::select(&self.units, &self.weights, params.warm_share, None);
        let fidelity = self.weights.share_of(&selection.covered, &[]);
        Summary { selection, further_terms: Vec::new(), fidelity }
    }

    /// Chosen among what warm keeps, terms too, so that it cannot say more.
    fn cold(&self, params: &Params) -> Summary {
        let wider = self.warm(params).selection;
        let selection = rank::select(&self.units, &self.weights, params.cold_share, Some(&wider));
        let is_missed = |term: usize| wider.covered[term] && !selection.covered[term];
        let terms_max = if self.form == Form::Prose { FURTHER_TERMS_MAX } else { 0 };
        let further_terms = self.weights.top_terms(terms_max, is_missed);
        let fidelity = self.weights.share_of(&selection.covered, &further_terms);
        Summary { selection, further_terms, fidelity }
    }

    fn trace(&self, params: &Params) -> Outcome {
        let sentences = self.units.iter().filter(|unit| unit.role == Role::Sentence).count();
        let mut trace = TraceBuilder::new();
        let front = self.units.first().filter(|unit| unit.role == Role::Front).map(|unit| unit.text);
        let facts: Vec<(&str, &str)> = front.map(|front| front::facts(front).collect()).unwrap_or_default();
        if !facts.iter().any(|(name, _)| *name == "title") {
            trace.add_some("title", title(&self.units));
        }
        for (name, value) in facts {
            match value.parse::<u64>() {
                Ok(count) => trace.add(name, count),
                Err(_) => trace.add(name, value),
            }
        }
        trace.add("words", self.weights.words);
        trace.add(if self.form == Form::Prose { "sentences" } else { "filled_lines" }, sentences);
        trace.add("lines", self.text.lines().count());
        trace.add_some("language", self.weights.language);
        let mut terms = self.weights.top_terms(TRACE_TERMS_MAX, |_| true);
        let fitted = trace.add_list("terms", terms.iter().map(|term| self.weights.name(*term)));
        terms.truncate(fitted);
        let nothing = vec![false; self.weights.len()];
        let fidelity = self.weights.share_of(&nothing, &terms).min(self.cold(params).fidelity);
        Outcome::Trace { json: trace.finish(), fidelity, metric: "terms", note: None }
    }
}

/// What stays of a text, and what that is worth.
struct Summary {
    selection: Selection,
    /// Words listed at the end.
    further_terms: Vec<usize>,
    fidelity: f64,
}

fn note(selection: &Selection, form: Form, encoding: Encoding, is_html: bool) -> String {
    let what = if form == Form::Prose { "sentences" } else { "lines" };
    let mut note = format!("{} of {} {what} kept", selection.sentences_kept, selection.sentences);
    if form == Form::Code {
        note.push_str(", an outline that no longer runs");
    }
    if is_html {
        note.push_str("; markup became Markdown");
    }
    if encoding != Encoding::Utf8 {
        note.push_str(&format!("; {} became UTF-8", encoding.as_str()));
    }
    note
}

/// The kept units: those of one block in one paragraph, paragraphs apart, adjacent lines adjacent.
fn assembled(reading: &Reading<'_>, summary: &Summary) -> String {
    let (units, kept) = (&reading.units, &summary.selection.kept);
    let mut out = String::new();
    let mut former: Option<(usize, &Unit<'_>)> = None;
    for (at, unit) in units.iter().enumerate().filter(|(at, _)| kept[*at]) {
        if let Some((former_at, former)) = former {
            let stays_together = units[former_at + 1..=at].iter().all(|unit| unit.is_adjacent);
            out.push_str(match () {
                () if unit.block == former.block => " ",
                () if stays_together => "\n",
                () => "\n\n",
            });
        }
        out.push_str(unit.text);
        former = Some((at, unit));
    }
    out.push('\n');
    if !summary.further_terms.is_empty() {
        let names: Vec<&str> = summary.further_terms.iter().map(|term| reading.weights.name(*term)).collect();
        out.push_str(&format!("\n{TERMS_PREFIX}{}\n", names.join(", ")));
    }
    out
}

/// The first heading, or the first sentence, without the marks of headings and with single spaces.
fn title(units: &[Unit<'_>]) -> Option<String> {
    let unit = units
        .iter()
        .find(|unit| unit.role == Role::Heading)
        .or_else(|| units.iter().find(|unit| unit.role == Role::Sentence))?;
    let bare = unit.text.trim().trim_matches(['#', '=', '-', '*', '_', '/']);
    Some(bare.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests;
