//! Source code into lines.
//!
//! What a file is for stands in its declarations and in the comments above them; their words alone would not rank them
//! so, hence the boosts. A declaration over several lines is one: all its lines have its boost.
//!
//! Example: of `/// Adds.` · `fn add(` · `    one: u32,` · `) -> u32 {` · `    one + 1` · `}` the first four weigh most.

use super::{Role, Unit};

const BOOST_DECLARATION: f64 = 24.0;
/// A comment right above a declaration, or at the very start.
const BOOST_DOC: f64 = 12.0;
/// The first line says what the whole file is for.
const BOOST_HEAD: f64 = 60.0;
const BOOST_COMMENT: f64 = 3.0;
const BOOST_IMPORT: f64 = 0.3;
const BOOST_CLOSER: f64 = 0.02;
/// Of one declaration.
const LINES_MAX: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Declaration,
    Doc,
    Comment,
    Import,
    Closer,
    Body,
}

pub(super) fn of_code(text: &str) -> Vec<Unit<'_>> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let whats = classified(&lines);
    lines
        .iter()
        .zip(whats)
        .enumerate()
        .map(|(block, (line, what))| {
            // What is nested deeper is detail.
            let detail = 1.0 + indent(line) as f64 / 8.0;
            let boost = match what {
                What::Doc if block == 0 => BOOST_HEAD,
                What::Declaration => BOOST_DECLARATION / detail,
                What::Doc => BOOST_DOC / detail,
                What::Comment => BOOST_COMMENT / detail,
                What::Import => BOOST_IMPORT,
                What::Closer => BOOST_CLOSER,
                What::Body => 1.0 / detail,
            };
            Unit { text: line, role: Role::Sentence, block, is_adjacent: true, boost }
        })
        .collect()
}

/// O(lines).
fn classified(lines: &[&str]) -> Vec<What> {
    let mut whats: Vec<What> = Vec::with_capacity(lines.len());
    // Lines that an unfinished declaration may still have.
    let mut open = 0usize;
    let mut is_head = true;
    for line in lines {
        let what = match () {
            () if is_comment(line) => What::Comment,
            () if open > 0 => What::Declaration,
            () if is_import(line) => What::Import,
            () if is_declaration(line) => What::Declaration,
            () if !line.contains(char::is_alphanumeric) => What::Closer,
            () => What::Body,
        };
        open = match what {
            What::Declaration if is_finished(line) => 0,
            What::Declaration if open > 0 => open - 1,
            What::Declaration => LINES_MAX,
            What::Comment => open,
            _ => 0,
        };
        is_head &= what == What::Comment;
        whats.push(if is_head { What::Doc } else { what });
    }
    // A comment above a declaration, with attributes between them or not, is about it.
    let mut is_about = false;
    for (what, line) in whats.iter_mut().zip(lines).rev() {
        let is_attribute = line.trim_start().starts_with(['@', '#', '[']) && *what != What::Comment;
        is_about = *what == What::Declaration || is_about && (is_attribute || *what == What::Comment);
        if is_about && *what == What::Comment {
            *what = What::Doc;
        }
    }
    whats
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
    ["//", "# ", "#!", "/*", "* ", "-- ", "\"\"\"", "'''", ";;", "<!--"]
        .iter()
        .any(|mark| bare.starts_with(mark))
        && bare.chars().any(char::is_alphabetic)
}

fn is_import(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    matches!(first, "use" | "import" | "from" | "#include" | "require" | "using" | "package")
        || line.starts_with("pub use ")
}

/// Whether the declaration ends with this line, or its body begins.
fn is_finished(line: &str) -> bool {
    line.ends_with(['{', '}', ';', ':', '=']) || line.ends_with("=>") || line.ends_with("where")
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
        "namespace",
        "const",
        "static",
        "macro_rules!",
        "create",
        "export",
        "public",
        "protected",
        "private",
        "abstract",
        "typedef",
    ];
    const PREFIXES: [&str; 7] = ["pub", "pub(crate)", "pub(super)", "async", "unsafe", "extern", "default"];
    const CONTROL: [&str; 13] = [
        "if", "for", "while", "switch", "else", "return", "match", "catch", "do", "try", "loop", "with", "}",
    ];
    let Some(first) = line.split_whitespace().find(|word| !PREFIXES.contains(word)) else { return false };
    if WORDS.contains(&first.to_ascii_lowercase().as_str()) {
        return true;
    }
    // `int main(int argc, char **argv) {` has no word for it.
    let name = first.split('(').next().unwrap_or_default();
    let starts_named = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    indent(line) <= 4
        && line.ends_with('{')
        && line.contains('(')
        && starts_named
        && !name.ends_with('!')
        && !line.contains(" = ")
        && !CONTROL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_and_the_comments_above_them_are_told_apart() {
        let code = "// What this is for.\nuse std::io;\n/// Adds.\n#[inline]\npub fn add(\n    one: u32,\n) -> u32 {\n\
            \n    // carefully\n    one + 1\n}\nint main(int argc) {\n    if (argc > 1) {\n";
        let lines: Vec<&str> = code.lines().filter(|line| !line.is_empty()).collect();
        let expected = [
            What::Doc,
            What::Import,
            What::Doc,
            What::Body,
            What::Declaration,
            What::Declaration,
            What::Declaration,
            What::Comment,
            What::Body,
            What::Closer,
            What::Declaration,
            What::Body,
        ];
        assert_eq!(classified(&lines), expected);
    }
}
