//! PowerPoint 97–2003 (MS-PPT): the titles and texts of the slides, in their order.
//!
//! # The file
//!
//! The stream `PowerPoint Document` is a tree of records: u16 version (low 4 bits, 15 is a container) and instance, u16 type,
//! u32 length. A program that saves appends, so what is old lies there too. What holds is found from the stream
//! `Current User`: it names the last edit, each edit names the one before it and a list of where numbered records are; the
//! newest place of a number counts. The record of the document lists the slides with the texts of their outline; text boxes
//! are in the records of the slides.

use std::collections::{BTreeMap, BTreeSet};

use encoding_rs::WINDOWS_1252;

use super::Contents;
use super::compound::{Compound, place_at, u16_at, u32_at};
use crate::registry::{Input, Refusal};

pub(super) const MIME: &str = "application/vnd.ms-powerpoint";

const HEADER_BYTES: usize = 8;
const CONTAINER: u16 = 0x0f;
const ENCRYPTED: u32 = 0xf3d1_c4df;
const EDIT: u16 = 0x0ff5;
const DIRECTORY: u16 = 0x1772;
const SLIDE_LIST: u16 = 0x0ff0;
const SLIDE_OF_LIST: u16 = 0x03f3;
const TEXT_KIND: u16 = 0x0f9f;
const WIDE_TEXT: u16 = 0x0fa0;
const NARROW_TEXT: u16 = 0x0fa8;
const PICTURES: std::ops::RangeInclusive<u16> = 0xf01a..=0xf029;
/// Containers inside each other; real ones have about ten.
const NESTING_MAX: usize = 64;
const EDITS_MAX: usize = 10_000;

pub(super) fn read(input: &Input<'_>) -> Result<Contents, Refusal> {
    let mut file = Compound::open(input)?;
    let mut contents = Contents::default();
    file.tell_properties(&mut contents)?;
    let user = file.stream("/Current User")?.ok_or_else(|| Refusal::new("has no stream of its last user"))?;
    if u32_at(&user, HEADER_BYTES + 4) == Some(ENCRYPTED) {
        return Err(Refusal::new("is encrypted with a password"));
    }
    let main = file.stream("/PowerPoint Document")?.ok_or_else(|| Refusal::new("has no slides"))?;
    let pictures = file.stream("/Pictures")?.unwrap_or_default();
    contents.pictures = records(&pictures).filter(|record| PICTURES.contains(&record.kind)).count();
    let odd = || Refusal::new("its list of slides cannot be read");
    let (places, document) = places(&main, &user).ok_or_else(odd)?;
    let document = places.get(&document).and_then(|at| record_at(&main, *at)).ok_or_else(odd)?;
    let listed = records(document.body).find(|record| record.kind == SLIDE_LIST && record.instance == 0);
    let mut slides: Vec<(u32, Vec<Text>)> = Vec::new();
    let mut kind = None;
    for record in records(listed.ok_or_else(odd)?.body) {
        match (record.kind, slides.last_mut()) {
            (SLIDE_OF_LIST, _) => slides.push((u32_at(record.body, 0).ok_or_else(odd)?, Vec::new())),
            (TEXT_KIND, _) => kind = u32_at(record.body, 0),
            (_, Some((_, texts))) => texts.extend(text_of(&record, kind)),
            _ => {}
        }
    }
    if slides.len() as u64 > input.limits.pages {
        return Err(Refusal::new(format!("{} slides are more than {}", slides.len(), input.limits.pages)));
    }
    contents.tell("slides", &slides.len().to_string());
    for (at, (number, mut texts)) in slides.into_iter().enumerate() {
        input.deadline.check()?;
        if let Some(slide) = places.get(&number).and_then(|at| record_at(&main, *at)) {
            gather(slide.body, &mut texts)?;
        }
        contents.text.push_str(&format!("[slide {}]\n\n", at + 1));
        texts.iter().for_each(|text| text.tell(&mut contents));
    }
    Ok(contents)
}

struct Record<'a> {
    is_container: bool,
    instance: u16,
    kind: u16,
    body: &'a [u8],
}

fn record_at(stream: &[u8], at: usize) -> Option<Record<'_>> {
    let head = u16_at(stream, at)?;
    let begin = at.checked_add(HEADER_BYTES)?;
    let end = begin.checked_add(place_at(stream, at + 4)?)?;
    Some(Record {
        is_container: head & CONTAINER == CONTAINER,
        instance: head >> 4,
        kind: u16_at(stream, at + 2)?,
        body: stream.get(begin..end)?,
    })
}

/// Those that follow each other, up to one that is cut.
fn records(mut stream: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let record = record_at(stream, 0)?;
        stream = stream.get(HEADER_BYTES + record.body.len()..)?;
        Some(record)
    })
}

/// Where the numbered records are, and the number of the document's. O(edits + records).
fn places(main: &[u8], user: &[u8]) -> Option<(BTreeMap<u32, usize>, u32)> {
    let mut places = BTreeMap::new();
    let (mut at, mut document) = (place_at(user, HEADER_BYTES + 8)?, None);
    let mut seen = BTreeSet::new();
    while at > 0 && seen.len() < EDITS_MAX && seen.insert(at) {
        let edit = record_at(main, at).filter(|record| record.kind == EDIT)?;
        document = document.or(u32_at(edit.body, 16));
        let directory =
            record_at(main, place_at(edit.body, 12)?).filter(|record| record.kind == DIRECTORY)?;
        let mut words = directory.body.chunks_exact(4).filter_map(|word| u32_at(word, 0));
        while let Some(head) = words.next() {
            // 20 bits of the first number, 12 bits of how many follow.
            let (first, count) = (head & 0x000f_ffff, head >> 20);
            for number in first..first + count {
                let Some(place) = words.next() else { break };
                places.entry(number).or_insert(usize::try_from(place).ok()?);
            }
        }
        at = place_at(edit.body, 8)?;
    }
    Some((places, document?))
}

/// A text and whether it is a title.
struct Text {
    text: String,
    is_title: bool,
}

impl Text {
    fn tell(&self, contents: &mut Contents) {
        let lines = self.text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty());
        if self.is_title {
            let title: Vec<&str> = lines.collect();
            if !title.is_empty() {
                contents.text.push_str(&format!("## {}\n\n", title.join(" ")));
            }
            return;
        }
        lines.for_each(|line| contents.text.push_str(&format!("{line}\n\n")));
    }
}

fn text_of(record: &Record<'_>, kind: Option<u32>) -> Option<Text> {
    const TITLE: u32 = 0;
    const CENTRED_TITLE: u32 = 6;
    let text = match record.kind {
        WIDE_TEXT => {
            let units: Vec<u16> =
                record.body.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        NARROW_TEXT => WINDOWS_1252.decode_without_bom_handling(record.body).0.into_owned(),
        _ => return None,
    };
    Some(Text { text: text.replace('\u{b}', " "), is_title: matches!(kind, Some(TITLE | CENTRED_TITLE)) })
}

/// The texts of everything inside a slide, in its order, without recursing. O(bytes × nesting).
fn gather(body: &[u8], texts: &mut Vec<Text>) -> Result<(), Refusal> {
    let mut open = vec![body];
    let mut kind = None;
    while let Some(rest) = open.last_mut() {
        let Some(record) = record_at(rest, 0) else {
            open.pop();
            continue;
        };
        *rest = rest.get(HEADER_BYTES + record.body.len()..).unwrap_or_default();
        if record.kind == TEXT_KIND {
            kind = u32_at(record.body, 0);
        }
        texts.extend(text_of(&record, kind));
        if record.is_container {
            if open.len() >= NESTING_MAX {
                return Err(Refusal::new(format!("its records are nested deeper than {NESTING_MAX}")));
            }
            open.push(record.body);
        }
    }
    Ok(())
}
