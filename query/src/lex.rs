//! The tokens of a text, for highlighting and completion.

use std::ops::Range;

use crate::dialect::{TokenKind, tokenize};
use crate::names::Names;

/// What a piece of SQL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexemeClass {
    /// A word of the language.
    Keyword,
    /// Any other word, quoted or not.
    Name,
    /// Text in single quotes, or bytes.
    Text,
    /// A number.
    Number,
    /// A comment.
    Comment,
    /// A parameter.
    Parameter,
    /// A semicolon.
    End,
    /// Operators, punctuation, spaces.
    Other,
}

/// A piece of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lexeme {
    /// Where, in bytes.
    pub range: Range<usize>,
    /// What.
    pub class: LexemeClass,
    /// Whether a quote or comment in it was closed; true for all else.
    pub closed: bool,
}

/// Cuts a text into pieces that cover it in order; never fails.
///
/// ```
/// use patina_query::{LexemeClass, lex};
/// let classes: Vec<LexemeClass> = lex("SELECT 'a").iter().map(|lexeme| lexeme.class).collect();
/// assert_eq!(classes, [LexemeClass::Keyword, LexemeClass::Other, LexemeClass::Text]);
/// ```
pub fn lex(sql: &str) -> Vec<Lexeme> {
    let lexemes = tokenize(sql).into_iter().map(|token| {
        let (class, closed) = match token.kind {
            TokenKind::Word if Names::is_keyword(token.text(sql)) => (LexemeClass::Keyword, true),
            TokenKind::Word => (LexemeClass::Name, true),
            TokenKind::QuotedName { terminated } => (LexemeClass::Name, terminated),
            TokenKind::String { terminated } => (LexemeClass::Text, terminated),
            TokenKind::Comment { terminated } => (LexemeClass::Comment, terminated),
            TokenKind::Number => (LexemeClass::Number, true),
            TokenKind::Parameter => (LexemeClass::Parameter, true),
            TokenKind::Semicolon => (LexemeClass::End, true),
            _ => (LexemeClass::Other, true),
        };
        Lexeme { range: token.start..token.end, class, closed }
    });
    lexemes.collect()
}
