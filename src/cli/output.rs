//! How results are written: a buffered stdout, sizes for people, names that cannot break a line.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, StdoutLock};

use bytesize::ByteSize;
use patina_repl::render::{Format, Style, window_width};

/// Stdout, buffered. Flush it at the end: only then does a reader that went away show.
pub fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// How rows are printed: fitted to the window on a terminal, always the same elsewhere.
pub fn style(format: Format) -> Style {
    if io::stdout().is_terminal() {
        Style { timing: false, ..Style::terminal(format, window_width()) }
    } else {
        Style::plain(format)
    }
}

/// A number of bytes for people: `117.9 KiB`.
pub fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A name as it is, unless it holds characters that would break the line or drive the terminal.
pub fn name(name: &str) -> Cow<'_, str> {
    if name.chars().any(char::is_control) {
        Cow::Owned(name.escape_debug().to_string())
    } else {
        Cow::Borrowed(name)
    }
}

/// `1 object`, `2 objects`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_newline_stays_on_one_line() {
        assert_eq!(name("a\nb"), "a\\nb");
        assert_eq!(name("photos/ä b.jpg"), "photos/ä b.jpg");
    }

    #[test]
    fn sizes_are_in_binary_units() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(120_730), "117.9 KiB");
    }
}
