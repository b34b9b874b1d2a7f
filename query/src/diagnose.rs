//! Turns SQLite's error into one for the person who typed: where, what was expected, what was probably meant.
//!
//! What SQLite would accept at a place is found by asking it: the text before the mistake is parsed again with each
//! of a list of continuations, in a scratch connection; those that are not themselves the syntax error are what was
//! expected. The parse stops at the first mistake, so this costs about as many short parses as the list is long.

use rusqlite::{Connection, Error as SqliteError, ErrorCode};

use crate::dialect::{LATER_TABLES, Statement, Token, TokenKind, unquote};
use crate::error::{Error, ErrorKind};
use crate::nearest::nearest;
use crate::shared::Shared;

/// Words a statement can begin with.
const STATEMENTS: [&str; 25] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "WITH", "VALUES", "REPLACE",
    "EXPLAIN", "TICK", "HOLD", "RELEASE", "PIN", "UNPIN", "TOUCH", "COUNT", "GET", "TABLES", "DESCRIBE",
    "DESC", "SET", "PAUSE", "RESUME",
];

/// What may come next, as SQLite takes it: the most telling first.
const CONTINUATIONS: [(&str, &str); 40] = [
    ("FROM", "FROM"),
    ("WHERE", "WHERE"),
    ("SET", "SET"),
    ("VALUES", "VALUES"),
    ("INTO", "INTO"),
    ("SELECT", "SELECT"),
    ("TABLE", "TABLE"),
    ("BY", "BY"),
    ("(", "("),
    (")", ")"),
    ("a comma", ","),
    ("=", "="),
    ("AND", "AND"),
    ("THEN", "THEN"),
    ("WHEN", "WHEN"),
    ("END", "END"),
    ("ELSE", "ELSE"),
    ("AS", "AS"),
    ("ON", "ON"),
    ("JOIN", "JOIN"),
    ("IN", "IN"),
    ("LIKE", "LIKE"),
    ("BETWEEN", "BETWEEN"),
    ("IS", "IS"),
    ("NULL", "NULL"),
    ("NOT", "NOT"),
    ("OR", "OR"),
    ("GROUP BY", "GROUP"),
    ("HAVING", "HAVING"),
    ("ORDER BY", "ORDER"),
    ("LIMIT", "LIMIT"),
    ("OFFSET", "OFFSET"),
    ("UNION", "UNION"),
    ("ASC", "ASC"),
    ("DESC", "DESC"),
    ("EXISTS", "EXISTS"),
    ("DEFAULT", "DEFAULT"),
    ("DISTINCT", "DISTINCT"),
    ("RETURNING", "RETURNING"),
    ("CONFLICT", "CONFLICT"),
];

const SHOWN_MAX: usize = 6;

/// A failed statement: the text it stands in and what SQLite was given.
pub(crate) struct Failure<'a> {
    pub shared: &'a Shared,
    pub text: &'a str,
    pub statement: &'a Statement,
    pub sql: &'a crate::dialect::Sql,
}

impl Failure<'_> {
    /// The error to show for SQLite's.
    pub fn diagnose(&self, error: SqliteError) -> Error {
        match error {
            SqliteError::SqlInputError { msg, offset, .. } => {
                self.input_error(&msg, usize::try_from(offset).unwrap_or(0))
            }
            SqliteError::SqliteFailure(code, message) => {
                let message = message.unwrap_or_else(|| code.to_string());
                self.shared.take_failure(&message).unwrap_or_else(|| self.failure(code.code, &message))
            }
            other => Error::new(ErrorKind::Engine, other.to_string()),
        }
    }

    fn failure(&self, code: ErrorCode, message: &str) -> Error {
        if let Some(name) = message.strip_prefix("no such table: ") {
            return self.no_such_table(name);
        }
        match code {
            ErrorCode::OperationInterrupted => Error::new(ErrorKind::Interrupted, "interrupted"),
            ErrorCode::OutOfMemory => Error::new(
                ErrorKind::Limit,
                "the statement needs more memory than it may use: select less, or add a LIMIT",
            ),
            ErrorCode::TooBig => Error::new(ErrorKind::Limit, "a text or value is too long"),
            ErrorCode::ConstraintViolation => Error::new(ErrorKind::Constraint, message),
            ErrorCode::AuthorizationForStatementDenied => Error::new(
                ErrorKind::Unsupported,
                "this statement is not offered",
            )
            .at(self.text, self.statement.range().start, self.statement.range().end),
            _ if message == "incomplete input" => self.incomplete(),
            _ => Error::new(ErrorKind::Syntax, message),
        }
    }

    fn input_error(&self, message: &str, offset: usize) -> Error {
        let at = self.sql.rewritten.map.source(offset);
        if message == "incomplete input" {
            return self.incomplete();
        }
        if message.ends_with("syntax error") {
            return self.syntax_error(at, offset);
        }
        if let Some(rest) = message.strip_prefix("no such column: ") {
            return self.no_such_column(rest, at);
        }
        if let Some(name) = message.strip_prefix("no such table: ") {
            return self.no_such_table(name);
        }
        if let Some(name) = message.strip_prefix("no such function: ") {
            let known = functions(&self.shared.scratch.lock());
            let hint = did_you_mean(nearest(name, known.iter().map(String::as_str)));
            return self.at_token(ErrorKind::NotFound, format!("there is no function {name}{hint}"), at);
        }
        self.at_token(ErrorKind::Syntax, message.to_owned(), at)
    }

    fn at_token(&self, kind: ErrorKind, message: String, at: usize) -> Error {
        let end = self.token_at(at).map_or(at, |token| token.end);
        Error::new(kind, message).at(self.text, at, end)
    }

    fn significant(&self) -> impl Iterator<Item = Token> {
        self.statement.tokens.iter().copied().filter(Token::is_significant)
    }

    fn token_at(&self, at: usize) -> Option<Token> {
        self.significant().find(|token| token.end > at)
    }

    fn incomplete(&self) -> Error {
        let end = self.statement.range().end;
        let expected = expected(&self.shared.scratch.lock(), &self.sql.rewritten.text);
        let message = format!("the statement ends too early{}", expectation(&expected));
        Error::new(ErrorKind::Syntax, message).at(self.text, end, end)
    }

    fn syntax_error(&self, at: usize, offset: usize) -> Error {
        let Some(token) = self.token_at(at) else { return self.incomplete() };
        let found = token.text(self.text);
        let is_word = token.kind == TokenKind::Word;
        if token.start <= self.statement.range().start {
            let hint = did_you_mean(nearest(found, STATEMENTS).filter(|_| is_word));
            let message = format!("expected a statement such as SELECT, INSERT or TICK, found {found}{hint}");
            return self.at_token(ErrorKind::Syntax, message, token.start);
        }
        let before = self.sql.rewritten.text.get(..offset).unwrap_or("");
        let expected = expected(&self.shared.scratch.lock(), before);
        if let Some(meant) = nearest(found, expected.iter().copied()).filter(|_| is_word) {
            let message = format!("found {found} where {meant} was expected; did you mean {meant}?");
            return self.at_token(ErrorKind::Syntax, message, token.start);
        }
        if let Some(error) = self.misspelled_before(token) {
            return error;
        }
        self.at_token(ErrorKind::Syntax, unexpected(found, &expected), token.start)
    }

    /// `SELECT name FORM objects`: FORM is taken for an alias, and the mistake seen one word later.
    fn misspelled_before(&self, token: Token) -> Option<Error> {
        let before = self.significant().take_while(|other| other.start < token.start).last()?;
        let word = before.text(self.text);
        let keywords = CONTINUATIONS.iter().map(|(_, keyword)| *keyword).filter(|keyword| keyword.len() > 3);
        let meant = nearest(word, keywords).filter(|_| before.kind == TokenKind::Word)?;
        (!meant.eq_ignore_ascii_case(word)).then(|| {
            let message = format!("did not expect {word} here; did you mean {meant}?");
            self.at_token(ErrorKind::Syntax, message, before.start)
        })
    }

    fn no_such_column(&self, rest: &str, at: usize) -> Error {
        let (name, advice) = match rest.split_once(" - should this be") {
            Some((name, _)) => (name, "; text is written in single quotes"),
            None => (rest, ""),
        };
        let name = unquote(name);
        let column = name.rsplit('.').next().unwrap_or(&name);
        let listing = self.shared.listing();
        let mentioned: Vec<String> =
            self.significant().map(|token| unquote(token.text(self.text)).to_lowercase()).collect();
        let in_statement = listing.iter().filter(|table| mentioned.contains(&table.name.to_lowercase()));
        let columns: Vec<&str> =
            in_statement.flat_map(|table| table.columns.iter().map(|column| column.name.as_ref())).collect();
        let hint = did_you_mean(nearest(column, columns.iter().copied()));
        let advice = if hint.is_empty() { advice } else { "" };
        let at = self.find_name(column).unwrap_or(at);
        self.at_token(ErrorKind::NotFound, format!("there is no column {name}{hint}{advice}"), at)
    }

    fn no_such_table(&self, name: &str) -> Error {
        let name = name.strip_prefix("main.").unwrap_or(name);
        let at = self.find_name(name).unwrap_or(self.statement.range().start);
        self.at_token(ErrorKind::NotFound, no_table_message(self.shared, name), at)
    }

    /// Where a name stands in the statement.
    fn find_name(&self, name: &str) -> Option<usize> {
        let is_it = |token: &Token| unquote(token.text(self.text)).eq_ignore_ascii_case(name);
        self.significant().find(is_it).map(|token| token.start)
    }
}

/// "there is no table …", with the nearest name or what it will be.
pub(crate) fn no_table_message(shared: &Shared, name: &str) -> String {
    if LATER_TABLES.contains(&name.to_ascii_lowercase().as_str()) {
        return format!("{name} is not there yet");
    }
    let listing = shared.listing();
    let hint = did_you_mean(nearest(name, listing.iter().map(|table| table.name.as_str())));
    let hint = if hint.is_empty() { "; TABLES shows what there is" } else { &hint };
    format!("there is no table {name}{hint}")
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// "did not expect … here; expected …".
pub(crate) fn unexpected(found: &str, expected: &[&str]) -> String {
    format!("did not expect {found} here{}", expectation(expected))
}

/// What may follow `before`, most telling first.
pub(crate) fn expected(scratch: &Connection, before: &str) -> Vec<&'static str> {
    let accepts = |continuation: &str| match scratch.prepare(&format!("{before} {continuation} ")) {
        Err(SqliteError::SqlInputError { msg, offset, .. }) => {
            let inside = usize::try_from(offset).is_ok_and(|offset| offset >= before.len());
            !(msg.starts_with("unrecognized token") || (msg.ends_with("syntax error") && inside))
        }
        _ => true,
    };
    let mut accepted = Vec::new();
    let value = accepts("1");
    let name = accepts("patina_name");
    if value && name {
        accepted.push("an expression");
        return accepted;
    }
    if value {
        accepted.push("a value");
    }
    accepted.extend(CONTINUATIONS.iter().filter(|(_, sql)| accepts(sql)).map(|(shown, _)| *shown));
    if name && accepted.is_empty() {
        accepted.push("a name");
    }
    accepted
}

fn expectation(expected: &[&str]) -> String {
    match expected {
        [] => String::new(),
        [only] => format!("; expected {only}"),
        _ => {
            let shown = expected.get(..SHOWN_MAX).unwrap_or(expected);
            let (last, first) = shown.split_last().unwrap_or((&"", &[]));
            format!("; expected {} or {last}", first.join(", "))
        }
    }
}

fn functions(scratch: &Connection) -> Vec<String> {
    let read = || -> rusqlite::Result<Vec<String>> {
        scratch
            .prepare("SELECT DISTINCT name FROM pragma_function_list")?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    read().unwrap_or_default()
}
