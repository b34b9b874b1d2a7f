//! What the streams of a PDF unpack to, counted before a parser that has no bound sees them.
//!
//! Streams never lie inside other streams, so their dictionaries stand readable in the file, and every `stream` that
//! stands there can be found without understanding anything else. What is packed twice, or says how it is packed only
//! somewhere else, cannot be counted so, and is refused; real files do neither. Nor can what is encrypted, which is
//! refused even where no password is needed.

use flate2::read::{DeflateDecoder, ZlibDecoder};

use crate::deadline::Watched;
use crate::registry::{Input, Refusal};
use crate::unpack::Unpacking;

/// How far before its data a stream's dictionary may begin.
const DICTIONARY_BYTES_MAX: usize = 64 * 1024;
const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// LZW with codes of 12 bits gives at most this many bytes for one.
const LZW_EXPANSION_MAX: u64 = 2_800;
const PACKINGS: [&str; 4] = ["/FlateDecode", "/LZWDecode", "/RunLengthDecode", "/Fl "];

/// O(bytes + unpacked bytes) time, O(1) memory.
pub(super) fn check(input: &Input<'_>) -> Result<(), Refusal> {
    let bytes = input.bytes;
    let mut unpacking = Unpacking::of(input);
    let mut from = 0;
    while let Some(at) = find(bytes, b"trailer", from) {
        from = at + b"trailer".len();
        let end = from.saturating_add(TRAILER_BYTES_MAX).min(bytes.len());
        check_encryption(&unescaped(bytes.get(from..end).unwrap_or_default()))?;
    }
    from = 0;
    while let Some(at) = find(bytes, b"stream", from) {
        from = at + b"stream".len();
        let before = bytes.get(at.saturating_sub(DICTIONARY_BYTES_MAX)..at).unwrap_or_default();
        if before.ends_with(b"end") {
            continue;
        }
        let start = rfind(before, b"obj").unwrap_or(0);
        let dictionary = unescaped(before.get(start..).unwrap_or_default());
        check_encryption(&dictionary)?;
        let packings: usize = PACKINGS.iter().map(|packing| dictionary.matches(packing).count()).sum();
        if packings > 1 {
            return Err(Refusal::new("has streams that are packed twice"));
        }
        let filter = dictionary.split("/Filter").nth(1).map(str::trim_start).unwrap_or_default();
        if filter.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Refusal::new("has streams that do not say how they are packed"));
        }
        let line_end = bytes.get(from..).unwrap_or_default();
        let skipped = line_end.iter().take(2).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let data = line_end.get(skipped..).unwrap_or_default();
        if packings == 1 {
            count(data, &dictionary, &mut unpacking, input)?;
        }
    }
    Ok(())
}

/// Where the table of objects is a stream, its dictionary is the trailer.
fn check_encryption(dictionary: &str) -> Result<(), Refusal> {
    if dictionary.contains("/Encrypt") { Err(Refusal::new("is encrypted")) } else { Ok(()) }
}

fn count(
    data: &[u8],
    dictionary: &str,
    unpacking: &mut Unpacking<'_>,
    input: &Input<'_>,
) -> Result<(), Refusal> {
    if !dictionary.contains("/Fl") {
        let end = find(data, b"endstream", 0).unwrap_or(data.len());
        return unpacking.count((end as u64).saturating_mul(LZW_EXPANSION_MAX));
    }
    let is_zlib = data.first_chunk::<2>().is_some_and(|head| {
        head[0] & 0x0f == 8 && u16::from_be_bytes(*head).is_multiple_of(31) && head[1] & 0x20 == 0
    });
    let reader = Watched::new(data, input.deadline);
    let mut reader: Box<dyn std::io::Read + '_> = match is_zlib {
        true => Box::new(ZlibDecoder::new(reader)),
        false => Box::new(DeflateDecoder::new(reader)),
    };
    let mut block = vec![0; 64 * 1024];
    // What cannot be unpacked to its end is counted as far as it goes: parsers take what there is.
    while let Ok(read_bytes @ 1..) = reader.read(&mut block) {
        unpacking.count(read_bytes as u64)?;
    }
    input.deadline.check()
}

/// Names may be written with `#46` for `F`.
fn unescaped(dictionary: &[u8]) -> String {
    let mut out = String::with_capacity(dictionary.len());
    let mut rest = dictionary;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'#') {
            Some(escaped) => {
                out.push(char::from(escaped));
                rest = after.get(2..).unwrap_or_default();
            }
            None => out.push(char::from(*byte)),
        }
    }
    out
}

fn find(bytes: &[u8], pattern: &[u8], from: usize) -> Option<usize> {
    let first = *pattern.first()?;
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == first)?;
        if bytes.get(at..)?.starts_with(pattern) {
            return Some(at);
        }
        at += 1;
    }
}

fn rfind(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    (0..bytes.len()).rev().find(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(pattern)))
}
