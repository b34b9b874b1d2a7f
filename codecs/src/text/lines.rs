//! Source code into lines.
//!
//! The lines that declare something and the comments tell what a file is for. Their words alone would not rank
//! them so, hence the boosts.

use super::{Role, Unit};

const BOOST_DECLARATION: f64 = 4.0;
const BOOST_COMMENT: f64 = 2.0;

pub(super) fn of_code(text: &str) -> Vec<Unit<'_>> {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let unit =
        |(block, text)| Unit { text, role: Role::Sentence, block, is_adjacent: true, boost: boost(text) };
    lines.enumerate().map(unit).collect()
}

/// What is nested deeper is detail.
fn boost(line: &str) -> f64 {
    let detail = 1.0 + indent(line) as f64 / 8.0;
    match () {
        () if is_declaration(line) => BOOST_DECLARATION / detail,
        () if is_comment(line) => BOOST_COMMENT,
        () => 1.0 / detail,
    }
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
