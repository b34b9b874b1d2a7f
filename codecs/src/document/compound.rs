//! The compound files (MS-CFB) of old office programs: their streams, and what their properties (MS-OLEPS) say.

use std::io::Read;

use encoding_rs::WINDOWS_1252;

use super::{Contents, rtf};
use crate::deadline::Watched;
use crate::registry::{Input, Refusal};

const SUMMARY: &str = "/\u{5}SummaryInformation";
/// More properties than any program writes.
const PROPERTIES_MAX: u32 = 256;
const CODE_PAGE: u32 = 1;
const TITLE: u32 = 2;
const SUBJECT: u32 = 3;
const AUTHOR: u32 = 4;
const CREATED: u32 = 12;
const PAGES: u32 = 14;

pub(super) struct Compound<'a> {
    file: cfb::CompoundFile<Watched<'a>>,
    len_bytes: u64,
}

impl<'a> Compound<'a> {
    pub(super) fn open(input: &Input<'a>) -> Result<Self, Refusal> {
        let file = cfb::CompoundFile::open(Watched::new(input.bytes, input.deadline)).map_err(odd)?;
        Ok(Self { file, len_bytes: input.bytes.len() as u64 })
    }

    /// A whole stream, if it is there. A container that names its sectors twice would give more than there is: it is cut.
    pub(super) fn stream(&mut self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        if !self.file.is_stream(name) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let stream = self.file.open_stream(name).map_err(odd)?;
        stream.take(self.len_bytes).read_to_end(&mut bytes).map_err(odd)?;
        Ok(Some(bytes))
    }

    /// Title, author and the like; what cannot be read is not told.
    pub(super) fn tell_properties(&mut self, contents: &mut Contents) -> Result<(), Refusal> {
        if let Some(stream) = self.stream(SUMMARY)? {
            tell(&stream, contents);
        }
        Ok(())
    }
}

fn odd(error: std::io::Error) -> Refusal {
    Refusal::new(format!("cannot be read: {error}"))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

/// As [`u32_at`], for what is a place or a length.
pub(super) fn place_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// One property set: a header of 28 bytes, the format's id, where the set begins; the set is a table of ids and places, then
/// values that each begin with their type.
fn tell(stream: &[u8], contents: &mut Contents) {
    const SET_AT: usize = 28 + 16;
    let set = place_at(stream, SET_AT).and_then(|at| stream.get(at..)).unwrap_or_default();
    let count = u32_at(set, 4).unwrap_or_default().min(PROPERTIES_MAX) as usize;
    let value = |id: u32| {
        let entry = (0..count).map(|n| 8 + 8 * n).find(|at| u32_at(set, *at) == Some(id))?;
        set.get(place_at(set, entry + 4)?..)
    };
    let code_page = value(CODE_PAGE).and_then(|value| u16_at(value, 4)).map_or(1252, i32::from);
    let text = |id: u32| value(id).and_then(|value| text_of(value, code_page)).unwrap_or_default();
    contents.tell("title", &text(TITLE));
    contents.tell("author", &text(AUTHOR));
    contents.tell("subject", &text(SUBJECT));
    contents.tell("date", &value(CREATED).and_then(date_of).unwrap_or_default());
    if let Some(pages) = value(PAGES).and_then(|value| u32_at(value, 4)).filter(|pages| *pages > 0) {
        contents.tell("pages", &pages.to_string());
    }
}

fn text_of(value: &[u8], code_page: i32) -> Option<String> {
    const NARROW: u32 = 30;
    const WIDE: u32 = 31;
    let len = place_at(value, 4)?;
    let text = match u32_at(value, 0)? {
        NARROW => {
            let bytes = value.get(8..len.checked_add(8)?)?;
            let encoding = rtf::of_code_page(code_page).unwrap_or(WINDOWS_1252);
            encoding.decode_without_bom_handling(bytes).0.into_owned()
        }
        WIDE => {
            let bytes = value.get(8..len.checked_mul(2)?.checked_add(8)?)?;
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        _ => return None,
    };
    Some(text.trim_end_matches('\0').to_owned())
}

/// Tenths of microseconds since 1601, as a day.
fn date_of(value: &[u8]) -> Option<String> {
    const FILE_TIME: u32 = 64;
    const A_DAY: u64 = 24 * 3600 * 10_000_000;
    let ticks = u64::from_le_bytes(*value.get(4..)?.first_chunk()?);
    if u32_at(value, 0)? != FILE_TIME || ticks == 0 {
        return None;
    }
    // Days since the first of March of the year 0, so that a leap day ends its year.
    const DAYS_TO_1601: u64 = 584_694;
    let days = ticks / A_DAY + DAYS_TO_1601;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (year, day) = (era * 400 + year, day - (153 * month + 2) / 5 + 1);
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_times_are_days() {
        let day = |ticks: u64| date_of(&[64u32.to_le_bytes().as_slice(), &ticks.to_le_bytes()].concat());
        let days = |days: u64| day(days * 24 * 3600 * 10_000_000 + 1);
        assert_eq!(days(0).as_deref(), Some("1601-01-01"));
        assert_eq!(days(134_774).as_deref(), Some("1970-01-01"));
        assert_eq!(days(134_774 + 11_016).as_deref(), Some("2000-02-29"));
        assert_eq!(days(134_774 + 11_017).as_deref(), Some("2000-03-01"));
        assert_eq!(day(0), None);
        assert_eq!(day(u64::MAX).map(|date| date.len()), Some("60056-05-28".len()));
    }
}
