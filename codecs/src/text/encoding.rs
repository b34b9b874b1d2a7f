//! From bytes to text: UTF-8, UTF-16 with a mark, and Latin-1 for old files.
//!
//! Bytes that are no text must not pass: a NUL or more than a few control characters mean binary. What is
//! not UTF-8 is taken for Windows-1252, the superset of Latin-1 that old files mostly are.

use std::borrow::Cow;

/// How the text was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16,
    Latin1,
}

impl Encoding {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16 => "UTF-16",
            Self::Latin1 => "Latin-1",
        }
    }
}

/// The text of a whole file, without a byte order mark; `None` if it is no text.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Cow<'_, str>, Encoding)> {
    if let Some(text) = utf16(bytes) {
        return Some((Cow::Owned(text), Encoding::Utf16)).filter(|(text, _)| is_text(text));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        return is_text(text).then_some((Cow::Borrowed(text), Encoding::Utf8));
    }
    let text = latin1(bytes)?;
    is_text(&text).then_some((Cow::Owned(text), Encoding::Latin1))
}

/// The text of the head of a file, whose last character may be cut.
pub(crate) fn decode_head(head: &[u8]) -> Option<Cow<'_, str>> {
    if let Err(error) = std::str::from_utf8(head)
        && error.error_len().is_none()
        && head.len() - error.valid_up_to() < 4
        && utf16(head).is_none()
    {
        return decode(&head[..error.valid_up_to()]).map(|(text, _)| text);
    }
    decode(head).map(|(text, _)| text)
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (is_little_endian, body) = match bytes {
        [0xff, 0xfe, body @ ..] => (true, body),
        [0xfe, 0xff, body @ ..] => (false, body),
        _ => return None,
    };
    let units = body.chunks_exact(2).map(|pair| {
        let pair = [pair[0], pair[1]];
        if is_little_endian { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
    });
    let text: String =
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let broken = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    (!text.is_empty() && broken * 100 <= text.len()).then_some(text)
}

/// Windows-1252; its five unused codes mean that it is something else.
fn latin1(bytes: &[u8]) -> Option<String> {
    const HIGH: [char; 32] = [
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’',
        '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    // Prose in a Western language is mostly ASCII; compressed data is not.
    let high_bytes = bytes.iter().filter(|byte| **byte >= 0x80).count();
    if high_bytes * 10 > bytes.len() * 3 {
        return None;
    }
    bytes
        .iter()
        .map(|byte| match byte {
            0x80..=0x9f => Some(HIGH[usize::from(byte - 0x80)]).filter(|c| *c != '\0'),
            other => Some(char::from(*other)),
        })
        .collect()
}

/// No NUL, and hardly any control characters that texts do not use.
fn is_text(text: &str) -> bool {
    let mut odd = 0usize;
    for byte in text.bytes() {
        match byte {
            0 => return false,
            b'\t' | b'\n' | b'\r' | 0x0c | 0x1b => {}
            0x01..=0x1f | 0x7f => odd += 1,
            _ => {}
        }
    }
    odd * 200 <= text.len()
}
