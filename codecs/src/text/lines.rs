//! Source code and logs into lines.
//!
//! In code, the lines that declare something and the comments tell what a file is for; in a log, errors and
//! warnings tell what happened. Their words alone would not rank them so, hence the boosts.

use super::{Role, Unit};

const BOOST_DECLARATION: f64 = 4.0;
const BOOST_COMMENT: f64 = 2.0;
const BOOST_ERROR: f64 = 8.0;
const BOOST_WARNING: f64 = 3.0;
const BOOST_END: f64 = 3.0;

pub(super) fn of_code(text: &str) -> Vec<Unit<'_>> {
    by_line(text, |line, _, _| {
        if is_declaration(line) {
            // What is nested deeper is detail.
            BOOST_DECLARATION / (1.0 + indent(line) as f64 / 8.0)
        } else if is_comment(line) {
            BOOST_COMMENT
        } else {
            1.0 / (1.0 + indent(line) as f64 / 8.0)
        }
    })
}

pub(super) fn of_log(text: &str) -> Vec<Unit<'_>> {
    by_line(text, |line, at, count| {
        let upper = line.get(..line.len().min(200)).unwrap_or(line).to_ascii_uppercase();
        if ["ERROR", "FATAL", "CRITICAL", "PANIC", "EXCEPTION"].iter().any(|word| upper.contains(word)) {
            BOOST_ERROR
        } else if upper.contains("WARN") {
            BOOST_WARNING
        } else if at == 0 || at + 1 == count {
            BOOST_END
        } else {
            1.0
        }
    })
}

fn by_line<'a>(text: &'a str, boost: impl Fn(&str, usize, usize) -> f64) -> Vec<Unit<'a>> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let unit = |(at, line): (usize, &&'a str)| Unit {
        text: line,
        role: Role::Sentence,
        block: at,
        is_adjacent: true,
        boost: boost(line, at, lines.len()),
    };
    lines.iter().enumerate().map(unit).collect()
}

fn indent(line: &str) -> usize {
    line.chars()
        .map_while(|c| match c {
            ' ' => Some(1),
            '\t' => Some(4),
            _ => None,
        })
        .sum()
}

fn is_comment(line: &str) -> bool {
    let bare = line.trim_start();
    ["//", "#", "/*", "*", "--", "\"\"\"", ";;", "<!--"].iter().any(|mark| bare.starts_with(mark))
        && bare.chars().any(char::is_alphabetic)
}

fn is_declaration(line: &str) -> bool {
    const WORDS: [&str; 24] = [
        "fn",
        "def",
        "class",
        "struct",
        "enum",
        "trait",
        "impl",
        "interface",
        "type",
        "function",
        "func",
        "module",
        "mod",
        "package",
        "namespace",
        "const",
        "static",
        "macro_rules!",
        "create",
        "export",
        "public",
        "protected",
        "abstract",
        "typedef",
    ];
    const PREFIXES: [&str; 7] = ["pub", "pub(crate)", "pub(super)", "async", "unsafe", "extern", "default"];
    line.split_whitespace()
        .find(|word| !PREFIXES.contains(word))
        .is_some_and(|word| WORDS.contains(&word.to_ascii_lowercase().as_str()))
}
