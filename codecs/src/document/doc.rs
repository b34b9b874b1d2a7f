//! Word 97–2003 (MS-DOC): the text of the pieces that the document is made of.
//!
//! # The file
//!
//! ```text
//! stream WordDocument   at 0: u16 0xA5EC  …  0x0A: u16 flags (0x0100 encrypted, 0x0200 the table is 1Table)
//!                       0x4C: u32 characters of the body, then of footnotes, heads and feet, macros, comments, endnotes, text boxes
//!                       0x1A2: u32 place and u32 length of the Clx in the table stream
//! stream 0Table/1Table  Clx: any number of (1, u16 length, bytes), then (2, u32 length, pieces)
//!                       pieces: n + 1 u32 characters where they begin, then n × (u16, u32 place, u16)
//! ```
//!
//! A place with bit 30 set is twice that of bytes of Windows-1252, else that of UTF-16. The characters of all parts follow each
//! other; some stand for something else: the end of a cell, a field, a picture.
//!
//! Styles are not read, so headings are paragraphs like others. Layout, heads, feet and comments are left out.

use encoding_rs::WINDOWS_1252;

use super::Contents;
use super::compound::{Compound, place_at, u16_at, u32_at};
use crate::registry::{Input, Refusal};

pub(super) const MIME: &str = "application/msword";

const MAGIC: u16 = 0xa5ec;
const ENCRYPTED: u16 = 0x0100;
const SECOND_TABLE: u16 = 0x0200;
const COUNTS_AT: usize = 0x4c;
const CLX_AT: usize = 0x1a2;
const PIECE_BYTES: usize = 8;
const NARROW: u32 = 1 << 30;

pub(super) fn read(input: &Input<'_>) -> Result<Contents, Refusal> {
    let mut file = Compound::open(input)?;
    let mut contents = Contents::default();
    file.tell_properties(&mut contents)?;
    let main = file.stream("/WordDocument")?.ok_or_else(|| Refusal::new("has no text stream"))?;
    if u16_at(&main, 0) != Some(MAGIC) {
        return Err(Refusal::new("was written by Word before 1997"));
    }
    let flags = u16_at(&main, 0x0a).unwrap_or_default();
    if flags & ENCRYPTED != 0 {
        return Err(Refusal::new("is encrypted with a password"));
    }
    let name = if flags & SECOND_TABLE != 0 { "/1Table" } else { "/0Table" };
    let table = file.stream(name)?.ok_or_else(|| Refusal::new("has no table of its pieces"))?;
    let units = pieces(&main, &table, input).ok_or_else(|| Refusal::new("its pieces cannot be read"))?;
    input.deadline.check()?;
    let count = |part: usize| place_at(&main, COUNTS_AT + 4 * part).unwrap_or_default();
    // Body, footnotes, heads and feet, macros, comments, endnotes, text boxes.
    let mut begin = 0usize;
    for part in 0..7 {
        let end = begin.saturating_add(count(part)).min(units.len());
        if matches!(part, 0 | 1 | 5 | 6) {
            tell_part(units.get(begin..end).unwrap_or_default(), &mut contents);
        }
        begin = end;
    }
    if units.is_empty() {
        return Err(Refusal::new("has no text"));
    }
    Ok(contents)
}

/// The characters of all parts as UTF-16; no more than the limit of texts.
fn pieces(main: &[u8], table: &[u8], input: &Input<'_>) -> Option<Vec<u16>> {
    let (at, len) = (place_at(main, CLX_AT)?, place_at(main, CLX_AT + 4)?);
    let mut clx = table.get(at..at.checked_add(len)?)?;
    while let Some((1, rest)) = clx.split_first() {
        clx = rest.get(usize::from(u16_at(rest, 0)?).checked_add(2)?..)?;
    }
    let (2, rest) = clx.split_first()? else { return None };
    let list = rest.get(4..place_at(rest, 0)?.checked_add(4)?)?;
    let count = list.len().checked_sub(4)? / (4 + PIECE_BYTES);
    let mut units = Vec::new();
    for piece in 0..count {
        let chars = place_at(list, 4 * (piece + 1))?.checked_sub(place_at(list, 4 * piece)?)?;
        let place = u32_at(list, 4 * (count + 1) + PIECE_BYTES * piece + 2)?;
        if (units.len() as u64).checked_add(chars as u64)?.checked_mul(2)? > input.limits.text_bytes {
            return None;
        }
        if place & NARROW != 0 {
            let at = usize::try_from((place & !NARROW) / 2).ok()?;
            let bytes = main.get(at..at.checked_add(chars)?)?;
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(bytes);
            units.extend(text.encode_utf16());
        } else {
            let at = usize::try_from(place).ok()?;
            let bytes = main.get(at..at.checked_add(chars.checked_mul(2)?)?)?;
            units.extend(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])));
        }
    }
    Some(units)
}

/// Adds what is read of a part: paragraphs, and rows whose cells end with the character 7.
fn tell_part(units: &[u16], contents: &mut Contents) {
    let mut paragraph = String::new();
    let mut cells: Vec<String> = Vec::new();
    // Instructions of the fields that are open, the innermost last: whether their result has begun.
    let mut fields: Vec<bool> = Vec::new();
    let mut pages = 1;
    for c in char::decode_utf16(units.iter().copied()).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)) {
        match c {
            '\u{13}' => fields.push(false),
            '\u{14}' => fields.iter_mut().last().into_iter().for_each(|has_result| *has_result = true),
            '\u{15}' => {
                fields.pop();
            }
            _ if fields.contains(&false) => {}
            // A row ends with a cell of nothing.
            '\u{7}' if paragraph.trim().is_empty() && !cells.is_empty() => {
                contents.text.push_str(&format!("| {} |\n", cells.join(" | ")));
                cells.clear();
            }
            '\u{7}' => {
                let cell = std::mem::take(&mut paragraph).replace('|', " ");
                cells.push(cell.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            '\r' | '\u{c}' => {
                let text = paragraph.trim();
                if !text.is_empty() {
                    contents.text.push_str(&format!("{text}\n\n"));
                }
                paragraph.clear();
                if c == '\u{c}' {
                    pages += 1;
                    contents.text.push_str(&format!("[page {pages}]\n\n"));
                }
            }
            '\u{1}' | '\u{8}' => contents.pictures += 1,
            '\u{b}' => paragraph.push('\n'),
            '\t' => paragraph.push(' '),
            '\u{1e}' => paragraph.push('-'),
            c if c.is_control() => {}
            c => paragraph.push(c),
        }
    }
    for left in cells.into_iter().chain([paragraph]).filter(|left| !left.trim().is_empty()) {
        contents.text.push_str(&format!("{}\n\n", left.trim()));
    }
}
