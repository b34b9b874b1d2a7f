//! The error of a statement: what is wrong, where in the text, and what to do.

use std::fmt;

/// What calls of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is no statement: fix it at the caret.
    Syntax,
    /// No table, column, policy or object has that name: the message may suggest one.
    NotFound,
    /// The statement is understood and not offered: the message says what to do instead.
    Unsupported,
    /// A value breaks a rule of the table; nothing was changed.
    Constraint,
    /// A value is wrong.
    InvalidArgument,
    /// Others changed the same rows meanwhile: run the statement again.
    Conflict,
    /// It was stopped on request.
    Interrupted,
    /// It is larger than the session's limits allow.
    Limit,
    /// The object store refused or failed.
    Objects(patina_objects::ErrorKind),
    /// Storage failed.
    Storage(patina_storage::ErrorKind),
    /// SQLite failed in a way no statement should cause.
    Engine,
}

/// A place in the text that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caret {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// That line of the text.
    pub excerpt: String,
    /// How many characters are marked, at least 1.
    pub width: usize,
}

impl Caret {
    /// The place of the byte range `start..end` of `text`; anything outside is drawn in.
    pub(crate) fn at(text: &str, start: usize, end: usize) -> Self {
        let start = floor_boundary(text, start);
        let before = text.get(..start).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(line_start..).unwrap_or("");
        let excerpt = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
        let column = text.get(line_start..start).unwrap_or("").chars().count() + 1;
        let line_end = line_start + excerpt.len();
        let end = floor_boundary(text, end.min(line_end));
        let width = text.get(start..end).map_or(0, |marked| marked.chars().count()).max(1);
        let line = before.matches('\n').count() + 1;
        Self { line, column, excerpt: excerpt.to_owned(), width }
    }
}

impl fmt::Display for Caret {
    /// The line, and under it the carets.
    ///
    /// ```text
    /// SELECT nam FROM objects
    ///        ^^^
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (excerpt, column) = self.window();
        let padding: String =
            excerpt.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "{excerpt}\n{padding}{}", "^".repeat(self.width.min(EXCERPT_CHARS_MAX)))
    }
}

/// A longer line is cut to what stands around the caret.
const EXCERPT_CHARS_MAX: usize = 100;

impl Caret {
    /// The part of the line to show, and the caret's column in it.
    fn window(&self) -> (String, usize) {
        if self.excerpt.chars().count() <= EXCERPT_CHARS_MAX {
            return (self.excerpt.clone(), self.column);
        }
        let skipped = self.column.saturating_sub(EXCERPT_CHARS_MAX / 2);
        let shown = self.excerpt.chars().skip(skipped).take(EXCERPT_CHARS_MAX).collect();
        (shown, self.column - skipped)
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A failed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    caret: Option<Caret>,
    statement_line: Option<usize>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), caret: None, statement_line: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn corruption(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Storage(patina_storage::ErrorKind::Corruption), message)
    }

    pub(crate) fn at(mut self, text: &str, start: usize, end: usize) -> Self {
        self.caret = Some(Caret::at(text, start, end));
        self
    }

    /// Remembers on which line of the text the failing statement starts.
    pub(crate) fn in_statement(mut self, line: usize) -> Self {
        self.statement_line = Some(line);
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// One line: what is wrong and what to do, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where in the text, if it is known. Its `Display` is the line with carets under the token.
    pub fn caret(&self) -> Option<&Caret> {
        self.caret.as_ref()
    }

    /// The line of the text to look at, from 1: the caret's, else the statement's first.
    pub fn line(&self) -> Option<usize> {
        self.caret.as_ref().map(|caret| caret.line).or(self.statement_line)
    }
}

impl fmt::Display for Error {
    /// The message; where the place is known, the line and the caret below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.caret {
            Some(caret) => write!(f, "\n{caret}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<patina_objects::Error> for Error {
    fn from(error: patina_objects::Error) -> Self {
        let kind = match error.kind() {
            patina_objects::ErrorKind::NotFound => ErrorKind::NotFound,
            patina_objects::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
            patina_objects::ErrorKind::Conflict => ErrorKind::Conflict,
            patina_objects::ErrorKind::Storage(kind) => ErrorKind::Storage(kind),
            other => ErrorKind::Objects(other),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<patina_storage::Error> for Error {
    fn from(error: patina_storage::Error) -> Self {
        let kind = match error.kind() {
            patina_storage::ErrorKind::Conflict => ErrorKind::Conflict,
            other => ErrorKind::Storage(other),
        };
        Self::new(kind, error.to_string())
    }
}
