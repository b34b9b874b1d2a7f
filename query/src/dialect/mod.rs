//! PatinaDB's SQL: what is rewritten into SQLite's, and the statements of our own.
//!
//! Everything happens on tokens, never on raw text, so literals, quoted names and comments are safe, and the
//! original position of every token is kept for error messages. A text is first cut into statements at its
//! semicolons ([`split`]); each is then [`parse`]d, when its turn comes, into either SQL for SQLite with a map of
//! offsets or a [`Command`] that the session runs itself.

mod command;
mod offsets;
mod operand;
mod rewrite;
mod token;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub(crate) use command::{Command, Setting, SettingValue};
pub(crate) use offsets::Rewritten;
use operand::Words;
pub(crate) use token::{Token, TokenKind, quote_name, quote_string, tokenize, unquote};

/// The tables that are always there; none of them can be created or dropped.
pub(crate) const SYSTEM_TABLES: [&str; 10] = [
    "blobs", "budgets", "columns", "forecast", "history", "levels", "objects", "policies", "stats", "tables",
];

/// Names promised for later; asking for them gives a message that says so.
pub(crate) const LATER_TABLES: [&str; 2] = ["changes", "indexes"];

/// A mistake in the text, at a byte range of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub range: Range<usize>,
    pub message: String,
    /// The statement breaks off: more text could make it right.
    pub incomplete: bool,
    /// The statement is well understood and refused on purpose.
    pub refused: bool,
}

impl SyntaxError {
    pub fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self { range, message: message.into(), incomplete: false, refused: false }
    }

    /// Marks the mistake as "the text ends too early".
    pub fn at_end(mut self) -> Self {
        self.incomplete = true;
        self
    }

    /// Marks the mistake as a statement that is not offered.
    pub fn refusal(mut self) -> Self {
        self.refused = true;
        self
    }
}

/// One statement's tokens.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub tokens: Vec<Token>,
    /// Whether a semicolon ended it.
    pub terminated: bool,
}

impl Statement {
    /// From the first significant byte to the last.
    pub fn range(&self) -> Range<usize> {
        let mut significant = self.tokens.iter().filter(|token| token.is_significant());
        let start = significant.next().map_or(0, |token| token.start);
        let end =
            self.tokens.iter().rev().find(|token| token.is_significant()).map_or(start, |token| token.end);
        start..end
    }
}

/// A statement ready to run.
#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    /// For SQLite.
    Sql(Sql),
    /// For the session.
    Command(Command),
}

/// SQL for SQLite.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    pub rewritten: Rewritten,
    /// The columns an INSERT names; `None` when it names none, or for any other statement.
    pub insert_columns: Option<Vec<String>>,
    /// EXPLAIN: the plan rows are shown as an indented tree.
    pub explains: bool,
}

/// Cuts a text into its statements; empty ones are left out.
pub(crate) fn split(sql: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut current: Vec<Token> = Vec::new();
    let mut finish = |tokens: &mut Vec<Token>, terminated| {
        let tokens = std::mem::take(tokens);
        if tokens.iter().any(Token::is_significant) {
            statements.push(Statement { tokens, terminated });
        }
    };
    for token in tokenize(sql) {
        if token.kind == TokenKind::Semicolon {
            finish(&mut current, true);
        } else {
            current.push(token);
        }
    }
    finish(&mut current, false);
    statements
}

/// Reads one statement.
pub(crate) fn parse(sql: &str, statement: &Statement) -> Result<Parsed, SyntaxError> {
    check_literals(&statement.tokens)?;
    let words = Words::new(sql, &statement.tokens);
    if let Some(command) = command::parse(&words)? {
        return Ok(Parsed::Command(command));
    }
    let rewritten = rewrite::rewrite(sql, &statement.tokens)?;
    let insert_columns = insert_columns(&words);
    Ok(Parsed::Sql(Sql { rewritten, insert_columns, explains: words.is(0, "EXPLAIN") }))
}

fn check_literals(tokens: &[Token]) -> Result<(), SyntaxError> {
    for token in tokens {
        let what = match token.kind {
            TokenKind::String { terminated: false } => "this text is never closed: expected '",
            TokenKind::QuotedName { terminated: false } => "this quoted name is never closed",
            TokenKind::Comment { terminated: false } => "this comment is never closed: expected */",
            _ => continue,
        };
        return Err(SyntaxError::new(token.start..token.start + 1, what).at_end());
    }
    Ok(())
}

/// The column list of `INSERT INTO t (a, b)`; empty for `DEFAULT VALUES`.
fn insert_columns(words: &Words<'_>) -> Option<Vec<String>> {
    let mut at = 0;
    while at < words.tokens.len() && !words.is(at, "INTO") {
        at = words.after_parenthesis(at).unwrap_or(at + 1);
    }
    at += 2;
    if words.kind(at) == Some(TokenKind::Dot) {
        at += 2;
    }
    if words.is(at, "AS") {
        at += 2;
    }
    if words.is(at, "DEFAULT") {
        return Some(Vec::new());
    }
    if words.kind(at) != Some(TokenKind::Open) {
        return None;
    }
    let end = words.after_parenthesis(at)?;
    let names = (at + 1..end - 1)
        .filter(|index| matches!(words.kind(*index), Some(TokenKind::Word | TokenKind::QuotedName { .. })));
    Some(names.map(|index| unquote(words.text(index)).to_lowercase()).collect())
}
