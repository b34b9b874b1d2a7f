//! Prose into headings and sentences.
//!
//! Lines are gathered into blocks first: a paragraph, a list item, a heading, a row of a table, a fenced
//! example. A text that is wrapped at some width would otherwise fall apart at every line's end, since a line
//! feed ends a sentence by UAX #29. Sentences are then found inside each block.
//!
//! Example: `"  2. Basic Permissions.\n\n  All rights granted\nunder this License."` gives a heading and one
//! sentence that still has its line feed.

use unicode_segmentation::UnicodeSegmentation;

use super::{Role, TERMS_PREFIX, Unit, front};

/// Lines longer than this were not wrapped by an editor: each is a paragraph.
const WRAPPED_LINE_CHARS_MAX: usize = 120;
const HEADING_CHARS_MAX: usize = 80;
const HEADING_WORDS_MAX: usize = 12;
/// A part this long is a sentence, whatever it ends with; also bounds the time spent on it.
const GOING_ON_BYTES_MAX: usize = 400;
/// The first sentence of a paragraph says what it is about; the first of a section all the more.
const BOOST_FIRST_OF_BLOCK: f64 = 1.15;
const BOOST_FIRST_OF_SECTION: f64 = 1.4;
/// Examples and rows are hard to read out of their place.
const BOOST_FENCE: f64 = 0.4;
const BOOST_ROW: f64 = 0.5;

/// Ends of words after which a full stop does not end a sentence.
const ABBREVIATIONS: [&str; 34] = [
    "mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "jr.", "sr.", "vs.", "etc.", "e.g.", "i.e.", "cf.", "al.",
    "fig.", "no.", "nos.", "vol.", "pp.", "p.", "ed.", "eds.", "inc.", "ltd.", "co.", "corp.", "approx.",
    "dept.", "u.s.", "z.b.", "d.h.", "bzw.", "usw.", "nr.",
];

pub(super) fn units(text: &str) -> Vec<Unit<'_>> {
    let (front, text) = front::split(text);
    let blocks = blocks(text);
    let mut units: Vec<Unit<'_>> = front
        .map(|text| Unit { text, role: Role::Front, block: blocks.len(), is_adjacent: false, boost: 1.0 })
        .into_iter()
        .collect();
    let mut is_section_start = true;
    for (index, block) in blocks.iter().enumerate() {
        let unit =
            |text, role, boost| Unit { text, role, block: index, is_adjacent: block.is_adjacent, boost };
        match block.shape {
            Shape::Heading => {
                units.push(unit(block.text, Role::Heading, 1.0));
                is_section_start = true;
            }
            Shape::Mark => units.push(unit(block.text, Role::Mark, 1.0)),
            Shape::Fence => units.push(unit(block.text, Role::Sentence, BOOST_FENCE)),
            Shape::Row => units.push(unit(block.text, Role::Sentence, BOOST_ROW)),
            Shape::Paragraph if index + 1 == blocks.len() && block.text.starts_with(TERMS_PREFIX) => {
                let terms = block.text.get(TERMS_PREFIX.len()..).unwrap_or_default();
                units.push(unit(terms, Role::Terms, 1.0));
            }
            Shape::Paragraph => {
                let mut boost = if is_section_start { BOOST_FIRST_OF_SECTION } else { BOOST_FIRST_OF_BLOCK };
                for sentence in sentences(block.text) {
                    units.push(unit(sentence, Role::Sentence, boost));
                    boost = 1.0;
                }
                is_section_start = false;
            }
        }
    }
    units
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Heading,
    Paragraph,
    Row,
    Fence,
    Mark,
}

#[derive(Debug)]
struct Block<'a> {
    text: &'a str,
    shape: Shape,
    is_adjacent: bool,
}

/// A line and where it starts.
#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl Line<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Gathers lines; `open` is the paragraph that a next line may continue.
struct Gatherer<'a> {
    source: &'a str,
    blocks: Vec<Block<'a>>,
    open: Vec<Line<'a>>,
    /// Whether a blank line or a rule came since the last block.
    is_gap: bool,
}

fn blocks(source: &str) -> Vec<Block<'_>> {
    let mut gatherer = Gatherer { source, blocks: Vec::new(), open: Vec::new(), is_gap: true };
    let mut fence: Option<Line<'_>> = None;
    for line in lines(source) {
        let bare = line.text.trim();
        let is_fence_mark = bare.starts_with("```") || bare.starts_with("~~~");
        match fence {
            Some(start) if is_fence_mark => {
                gatherer.push(start.start, line.end(), Shape::Fence);
                fence = None;
            }
            Some(_) => {}
            None if is_fence_mark => {
                gatherer.close();
                fence = Some(line);
            }
            None => gatherer.take(line, bare),
        }
    }
    if let Some(start) = fence {
        gatherer.push(start.start, source.len(), Shape::Fence);
    }
    gatherer.close_before_gap();
    gatherer.blocks
}

fn lines(source: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    source.split_inclusive('\n').map(move |with_end| {
        let line = Line { start, text: with_end.trim_end_matches(['\n', '\r']) };
        start += with_end.len();
        line
    })
}

impl<'a> Gatherer<'a> {
    fn take(&mut self, line: Line<'a>, bare: &str) {
        if bare.is_empty() {
            self.close_before_gap();
            self.is_gap = true;
        } else if is_mark(bare) {
            self.close();
            self.push(line.start, line.end(), Shape::Mark);
        } else if is_underline(bare) {
            self.close_underlined(line);
        } else if is_atx_heading(bare) {
            self.close();
            self.push(line.start, line.end(), Shape::Heading);
        } else if bare.starts_with('|') {
            self.close();
            self.push(line.start, line.end(), Shape::Row);
        } else {
            let is_unwrapped = self.open.last().is_some_and(|last| last.text.len() > WRAPPED_LINE_CHARS_MAX);
            if is_unwrapped || is_list_item(bare) {
                self.close();
            }
            self.open.push(line);
        }
    }

    /// A line of `===` or `---`: the line above it is a heading; without one it is a rule.
    fn close_underlined(&mut self, underline: Line<'a>) {
        match self.open[..] {
            [only] if only.text.trim().chars().count() <= HEADING_CHARS_MAX => {
                self.open.clear();
                self.push(only.start, underline.end(), Shape::Heading);
            }
            _ => {
                self.close_before_gap();
                self.is_gap = true;
            }
        }
    }

    /// Closes the open paragraph, which may be a heading: it stands alone.
    fn close_before_gap(&mut self) {
        if self.is_gap && is_plain_heading(&self.open) {
            self.close_as(Shape::Heading);
        } else {
            self.close();
        }
    }

    fn close(&mut self) {
        self.close_as(Shape::Paragraph);
    }

    fn close_as(&mut self, shape: Shape) {
        let (Some(first), Some(last)) = (self.open.first().copied(), self.open.last().copied()) else {
            return;
        };
        self.open.clear();
        self.push(first.start, last.end(), shape);
    }

    fn push(&mut self, start: usize, end: usize, shape: Shape) {
        let text = self.source.get(start..end).unwrap_or_default().trim_matches(['\n', '\r']);
        let text = if shape == Shape::Fence { text } else { text.trim() };
        if !text.is_empty() {
            self.blocks.push(Block { text, shape, is_adjacent: !self.is_gap });
            self.is_gap = false;
        }
    }
}

fn is_underline(bare: &str) -> bool {
    bare.len() >= 3
        && ["=", "-", "*", "_", "~"].iter().any(|mark| bare.trim_matches(|c| mark.contains(c)).is_empty())
}

/// `[page 3]`, `[slide 12]`
fn is_mark(bare: &str) -> bool {
    let inner = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let number = inner.and_then(|inner| inner.strip_prefix("page ").or_else(|| inner.strip_prefix("slide ")));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_atx_heading(bare: &str) -> bool {
    let hashes = bare.bytes().take_while(|byte| *byte == b'#').count();
    (1..=6).contains(&hashes) && bare[hashes..].starts_with(' ')
}

/// `- `, `* `, `+ `, `• `, `1. `, `12) `, `a) `, `iv. `, `(iv) `.
fn is_list_item(bare: &str) -> bool {
    let Some((mark, rest)) = bare.split_once(' ') else { return false };
    if matches!(mark, "-" | "*" | "+" | "•") {
        return true;
    }
    let inner = mark.trim_start_matches('(').trim_end_matches([')', '.']);
    let is_marked = mark.len() > inner.len() && mark.ends_with([')', '.']);
    let is_number = (1..=3).contains(&inner.len()) && inner.bytes().all(|byte| byte.is_ascii_digit());
    let is_letter =
        inner.len() == 1 && inner.bytes().all(|byte| byte.is_ascii_alphabetic()) && mark.ends_with(')');
    let is_roman = (1..=4).contains(&inner.len()) && inner.bytes().all(|byte| b"ivx".contains(&byte));
    is_marked && (is_number || is_letter || is_roman) && !rest.is_empty()
}

/// In plain text: one or two short lines on their own that do not end like a sentence, or a number and a few
/// words.
fn is_plain_heading(lines: &[Line<'_>]) -> bool {
    if !(1..=2).contains(&lines.len())
        || lines.iter().any(|line| line.text.trim().chars().count() > HEADING_CHARS_MAX)
    {
        return false;
    }
    let text = lines.iter().map(|line| line.text.trim()).collect::<Vec<_>>().join(" ");
    if text.starts_with(TERMS_PREFIX) {
        return false;
    }
    let words = text.split_whitespace().count();
    let starts_upper = text.chars().find(|c| c.is_alphanumeric()).is_some_and(|c| !c.is_lowercase());
    let has_letters = text.chars().filter(|c| c.is_alphabetic()).count() * 2 > text.chars().count();
    if words > HEADING_WORDS_MAX || !starts_upper || !has_letters {
        return false;
    }
    let is_numbered =
        text.starts_with(|c: char| c.is_ascii_digit()) && is_list_item(&text) && lines.len() == 1;
    let ends_like_sentence = text.ends_with(['.', '!', '?', ';', ',', ':', '"', '”', '…', ')', '>']);
    is_numbered || !ends_like_sentence && !is_list_item(&text)
}

/// The sentences of a block, trimmed, as slices of it.
fn sentences(block: &str) -> Vec<&str> {
    // Line feeds inside a block are spaces; one byte for one byte, so positions stay.
    let flat: String = block.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
    let mut found = Vec::new();
    let mut start = 0;
    let mut bounds = flat.split_sentence_bound_indices().map(|(at, part)| at + part.len()).peekable();
    while let Some(end) = bounds.next() {
        let part = flat.get(start..end).unwrap_or_default();
        if bounds.peek().is_some() && goes_on(part) {
            continue;
        }
        let sentence = block.get(start..end).unwrap_or_default().trim();
        if !sentence.is_empty() {
            found.push(sentence);
        }
        start = end;
    }
    found
}

/// Whether the full stop at the end of a part belongs to an abbreviation, an initial or a list's number.
fn goes_on(part: &str) -> bool {
    if part.len() > GOING_ON_BYTES_MAX {
        return false;
    }
    let Some(last) = part.split_whitespace().next_back() else { return true };
    let bare = last.trim_start_matches(['(', '[', '"', '“', '\'']);
    let is_initial = bare.ends_with('.') && bare.chars().count() == 2 && bare.starts_with(char::is_uppercase);
    let letters = part.chars().filter(|c| c.is_alphabetic()).count();
    letters < 2 || is_initial || ABBREVIATIONS.contains(&bare.to_lowercase().as_str())
}

#[cfg(test)]
mod tests;
