//! From glyphs with places to lines, paragraphs and headings.
//!
//! Glyphs come in the order in which the page draws them, which is the order of reading in nearly every file, columns
//! included; so they are never sorted. What is left to find out is where a word, a line and a paragraph ends.
//!
//! Example: glyphs of 18 points, then a line of 11 points 30 below, then one 13 below that: a heading and a paragraph
//! of two lines.

use std::collections::HashMap;

/// A glyph's text, on a line that runs to the right: `along` it and `across` it, which grows downwards.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Glyph {
    text: String,
    along: f64,
    end: f64,
    across: f64,
    size: f64,
    /// In quarter turns.
    direction: i64,
}

/// In multiples of the size of the type.
const SPACE: f64 = 0.16;
const CELL_GAP: f64 = 2.0;
const OVERLAP: f64 = 1.0;
const SAME_LINE: f64 = 0.5;
/// A gap of this many usual ones begins a paragraph.
const PARAGRAPH: f64 = 1.3;
const LEADING_MAX: f64 = 2.5;
/// Type this much larger than the usual one is a heading's.
const HEADING: f64 = 1.15;
const HEADING_CHARS_MAX: usize = 160;
const HEADING_LEVELS: usize = 4;
/// A line on at least this many pages and this share of them runs along all of them.
const RUNNING_PAGES_MIN: usize = 4;
const RUNNING_SHARE_MIN: f64 = 0.5;
const RUNNING_CHARS_MAX: usize = 120;

impl Glyph {
    /// From the corners of its box: where it starts, where the next one does, and one em above the start.
    pub(super) fn of(start: (f64, f64), end: (f64, f64), top: (f64, f64), text: String) -> Option<Self> {
        let size = (top.0 - start.0).hypot(top.1 - start.1);
        let is_usable = [start.0, start.1, end.0, end.1, size].iter().all(|value| value.is_finite());
        if !is_usable || size <= 0.0 {
            return None;
        }
        let (dx, dy) = (end.0 - start.0, end.1 - start.1);
        let direction = if dx == 0.0 && dy == 0.0 {
            0
        } else {
            (dy.atan2(dx) / std::f64::consts::FRAC_PI_2).round() as i64 & 3
        };
        // Turned so that the line runs to the right, with y growing downwards.
        let turned = |(x, y): (f64, f64)| match direction {
            0 => (x, y),
            1 => (y, -x),
            2 => (-x, -y),
            _ => (-y, x),
        };
        let ((along, across), (end, _)) = (turned(start), turned(end));
        Some(Self { text, along, end, across, size, direction })
    }
}

#[derive(Clone, Debug)]
struct Line {
    text: String,
    start: f64,
    end: f64,
    across: f64,
    size: f64,
    direction: i64,
}

/// The text of all pages, and how many repetitions of running heads were left out.
pub(super) fn markdown(pages: &[Vec<Glyph>]) -> (String, usize) {
    let mut pages: Vec<Vec<Line>> = pages.iter().map(|glyphs| lines(glyphs)).collect();
    let running = drop_running(&mut pages);
    let body = usual_size(&pages);
    let levels = heading_sizes(&pages, body);
    let mut out = String::new();
    for (at, lines) in pages.iter().enumerate() {
        if lines.is_empty() {
            continue;
        }
        out.push_str(&format!("[page {}]\n\n", at + 1));
        for paragraph in paragraphs(lines) {
            let text = joined(paragraph);
            let size = rounded(paragraph.first().map_or(0.0, |line| line.size));
            let level = levels.iter().position(|heading| *heading == size);
            let has_letters = text.chars().any(char::is_alphabetic);
            match level.filter(|_| has_letters && text.chars().count() <= HEADING_CHARS_MAX) {
                Some(level) => {
                    out.push_str(&format!("{} {}\n\n", "#".repeat(level + 1), text.replace('\n', " ")));
                }
                None => out.push_str(&format!("{text}\n\n")),
            }
        }
    }
    (out, running)
}

fn lines(glyphs: &[Glyph]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for glyph in glyphs {
        let size = glyph.size;
        if let Some(line) = lines.last_mut() {
            let larger = size.max(line.size);
            let gap = glyph.along - line.end;
            let continues = glyph.direction == line.direction
                && (glyph.across - line.across).abs() < SAME_LINE * larger
                && gap > -OVERLAP * larger;
            if continues {
                if gap > CELL_GAP * larger && !line.text.trim_end().is_empty() {
                    line.text.truncate(line.text.trim_end().len());
                    line.text.push_str("  ");
                } else if gap > SPACE * size && !line.text.ends_with(' ') {
                    line.text.push(' ');
                }
                push(&mut line.text, &glyph.text);
                line.end = line.end.max(glyph.end);
                if size > line.size && !glyph.text.trim().is_empty() {
                    (line.size, line.across) = (size, glyph.across);
                }
                continue;
            }
        }
        let mut text = String::new();
        push(&mut text, &glyph.text);
        let (start, end) = (glyph.along, glyph.end);
        lines.push(Line { text, start, end, across: glyph.across, size, direction: glyph.direction });
    }
    for line in &mut lines {
        line.text = line.text.trim().to_owned();
    }
    lines.retain(|line| !line.text.is_empty());
    lines
}

/// Letters that are joined in type are two letters in a word.
fn push(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            'ﬀ' => out.push_str("ff"),
            'ﬁ' => out.push_str("fi"),
            'ﬂ' => out.push_str("fl"),
            'ﬃ' => out.push_str("ffi"),
            'ﬄ' => out.push_str("ffl"),
            '\u{a0}' => out.push(' '),
            other => out.push(other),
        }
    }
}

/// Heads, feet and numbers of pages: what is the same but for its digits on most pages. The first one stays.
fn drop_running(pages: &mut [Vec<Line>]) -> usize {
    let key = |line: &Line| -> Option<String> {
        let is_short = line.text.chars().count() <= RUNNING_CHARS_MAX;
        is_short.then(|| line.text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect())
    };
    let mut on_pages: HashMap<String, usize> = HashMap::new();
    for lines in pages.iter() {
        let mut keys: Vec<String> = lines.iter().filter_map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            *on_pages.entry(key).or_default() += 1;
        }
    }
    let needed = RUNNING_PAGES_MIN.max((pages.len() as f64 * RUNNING_SHARE_MIN).ceil() as usize);
    let (mut seen, mut dropped) = (std::collections::HashSet::new(), 0);
    for lines in pages.iter_mut() {
        lines.retain(|line| {
            let runs = key(line).filter(|key| on_pages.get(key).is_some_and(|pages| *pages >= needed));
            let is_repetition = runs.is_some_and(|key| !seen.insert(key));
            dropped += usize::from(is_repetition);
            !is_repetition
        });
    }
    dropped
}

/// Half points: sizes that differ less are one size.
fn rounded(size: f64) -> u64 {
    (size * 2.0).round() as u64
}

/// The size of most characters.
fn usual_size(pages: &[Vec<Line>]) -> u64 {
    let mut chars: HashMap<u64, usize> = HashMap::new();
    for line in pages.iter().flatten() {
        *chars.entry(rounded(line.size)).or_default() += line.text.len();
    }
    chars.into_iter().max_by_key(|(size, chars)| (*chars, *size)).map_or(0, |(size, _)| size)
}

/// The sizes that headings have, the largest first; smaller ones share the last level.
fn heading_sizes(pages: &[Vec<Line>], body: u64) -> Vec<u64> {
    let mut sizes: Vec<u64> = pages
        .iter()
        .flatten()
        .map(|line| rounded(line.size))
        .filter(|size| *size as f64 >= body as f64 * HEADING)
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.dedup();
    sizes.truncate(HEADING_LEVELS);
    sizes
}

/// Runs of lines of one size and direction, as near to each other as lines usually are.
fn paragraphs(lines: &[Line]) -> impl Iterator<Item = &[Line]> {
    let mut gaps: Vec<f64> = lines
        .windows(2)
        .filter_map(|pair| match pair {
            [one, next] if one.direction == next.direction => Some((next.across - one.across) / next.size),
            _ => None,
        })
        .filter(|gap| *gap > 0.0 && *gap < LEADING_MAX)
        .collect();
    gaps.sort_unstable_by(f64::total_cmp);
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or(1.2);
    lines.chunk_by(move |one, next| {
        let gap = (next.across - one.across) / next.size;
        let is_indented = next.start - one.start > next.size && one.end < next.end - 2.0 * next.size;
        one.direction == next.direction
            && rounded(one.size).abs_diff(rounded(next.size)) <= 1
            && gap > 0.0
            && gap <= usual * PARAGRAPH
            && !is_indented
            && !starts_item(&next.text)
    })
}

fn starts_item(text: &str) -> bool {
    text.starts_with(['•', '▪', '‣', '◦', '–', '●']) || text.starts_with("- ")
}

/// Lines with a word's parts joined that were apart at a line's end.
fn joined(lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        let text = line.text.as_str();
        if let Some(head) = out.strip_suffix(['-', '\u{ad}'])
            && head.ends_with(char::is_lowercase)
            && text.starts_with(char::is_lowercase)
        {
            out.truncate(head.len());
        } else if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(text);
    }
    match out.strip_prefix(['•', '▪', '‣', '◦', '●']) {
        Some(item) => format!("- {}", item.trim_start()),
        None => out,
    }
}
