//! What the line editor knows about SQL: completion, highlighting, hints, and when a statement is whole.

use std::borrow::Cow;

use patina_query::{LexemeClass, Names, Session, lex};
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Result};

use crate::meta;

/// Candidates shown at once.
const CANDIDATES_MAX: usize = 100;

/// The editor's helper.
pub(crate) struct Helper {
    names: Names,
    history: HistoryHinter,
}

impl Helper {
    pub fn new(names: Names) -> Self {
        Self { names, history: HistoryHinter::new() }
    }

    /// Where the word to complete begins, and what it may become.
    fn candidates(&self, line: &str, pos: usize) -> (usize, Vec<String>) {
        let before = line.get(..pos).unwrap_or("");
        if before.starts_with('.') && !before.contains(' ') {
            let commands = meta::COMMANDS.iter().map(|(name, ..)| (*name).to_owned());
            return (0, commands.filter(|name| name.starts_with(before)).collect());
        }
        let Some(last) = lex(before).pop() else { return (pos, Vec::new()) };
        let word = before.get(last.range.clone()).unwrap_or("");
        match last.class {
            LexemeClass::Text if !last.closed => {
                let typed = word.trim_start_matches('\'');
                let start = last.range.start + (word.len() - typed.len());
                let objects = self.names.objects(&typed.replace("''", "'"), CANDIDATES_MAX);
                (start, objects.into_iter().map(|name| name.replace('\'', "''")).collect())
            }
            LexemeClass::Keyword | LexemeClass::Name => {
                let start = last.range.start;
                (start, self.words(word, names_a_table(before.get(..start).unwrap_or(""))))
            }
            _ => (pos, Vec::new()),
        }
    }

    fn words(&self, typed: &str, only_tables: bool) -> Vec<String> {
        let lower = typed.to_lowercase();
        if only_tables {
            let tables = self.names.tables().into_iter();
            return tables.filter(|table| table.to_lowercase().starts_with(&lower)).collect();
        }
        let is_lower = typed.chars().all(|c| !c.is_uppercase());
        let keywords =
            Names::keywords().map(|word| if is_lower { word.to_lowercase() } else { word.to_owned() });
        let names = self.names.tables().into_iter().chain(self.names.columns(None));
        let mut words: Vec<String> =
            names.chain(keywords).filter(|word| word.to_lowercase().starts_with(&lower)).collect();
        words.sort_unstable();
        words.dedup();
        words.truncate(CANDIDATES_MAX);
        words
    }
}

/// Whether the word after this text is a table's name.
fn names_a_table(before: &str) -> bool {
    let word = before.split_whitespace().next_back().unwrap_or("").to_ascii_uppercase();
    ["FROM", "JOIN", "INTO", "UPDATE", "DESCRIBE", "COUNT", "GET"].contains(&word.as_str())
}

impl rustyline::Helper for Helper {}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _context: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let (start, words) = self.candidates(line, pos);
        let pairs = words.into_iter().map(|word| Pair { display: word.clone(), replacement: word });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Helper {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, context: &Context<'_>) -> Option<String> {
        if line.trim().is_empty() { None } else { self.history.hint(line, pos, context) }
    }
}

const RESET: &str = "\x1b[0m";

impl Highlighter for Helper {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        if meta::is_meta(line) {
            return Cow::Owned(format!("\x1b[35m{line}{RESET}"));
        }
        let mut coloured = String::with_capacity(line.len() * 2);
        for lexeme in lex(line) {
            let piece = line.get(lexeme.range).unwrap_or("");
            let colour = match lexeme.class {
                LexemeClass::Keyword => "\x1b[1;34m",
                LexemeClass::Text if lexeme.closed => "\x1b[32m",
                LexemeClass::Text => "\x1b[33m",
                LexemeClass::Number | LexemeClass::Parameter => "\x1b[36m",
                LexemeClass::Comment => "\x1b[90m",
                _ => "",
            };
            coloured.push_str(colour);
            coloured.push_str(piece);
            if !colour.is_empty() {
                coloured.push_str(RESET);
            }
        }
        Cow::Owned(coloured)
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        Cow::Owned(format!("\x1b[1;32m{prompt}{RESET}"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}{RESET}"))
    }

    fn highlight_char(&self, _line: &str, _pos: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Validator for Helper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let text = context.input();
        let whole = meta::is_meta(text) || Session::is_complete(text);
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::session;

    fn completed(line: &str) -> Vec<String> {
        let helper = Helper::new(session().names());
        let (start, words) = helper.candidates(line, line.len());
        words.into_iter().map(|word| format!("{}{word}", &line[..start])).collect()
    }

    #[test]
    fn words_are_completed_in_the_case_they_are_typed_in() {
        assert_eq!(completed("SELECT FROM obj"), ["SELECT FROM objects"]);
        assert!(completed("SELECT 1 FRO").contains(&"SELECT 1 FROM".to_owned()));
        assert!(completed("sel").contains(&"select".to_owned()));
        assert!(completed("SEL").contains(&"SELECT".to_owned()));
        assert!(completed("SELECT next_").contains(&"SELECT next_decay_at".to_owned()));
        assert!(completed(".sc").contains(&".schema".to_owned()));
        assert!(completed("SELECT 1 ").is_empty());
        assert!(completed("").is_empty());
    }

    #[test]
    fn object_names_are_completed_inside_quotes() {
        assert_eq!(completed("PIN 'photos/c"), ["PIN 'photos/cat.txt"]);
        assert_eq!(completed("PIN 'photos/d"), ["PIN 'photos/dog''s.txt"]);
        assert_eq!(completed("PIN '").len(), 2);
        assert!(completed("PIN 'photos/cat.txt'").is_empty());
    }

    #[test]
    fn highlighting_changes_no_letter() {
        let helper = Helper::new(session().names());
        for line in ["SELECT 'a', 1 -- é", ".help", "SELECT 'never closed", ""] {
            let coloured = helper.highlight(line, 0).into_owned();
            let mut plain = String::new();
            let mut rest = coloured.as_str();
            while let Some((before, after)) = rest.split_once('\x1b') {
                plain.push_str(before);
                rest = after.split_once('m').map_or("", |(_, rest)| rest);
            }
            plain.push_str(rest);
            assert_eq!(plain, line);
        }
    }
}
