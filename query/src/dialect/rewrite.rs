//! Turns the short forms inside SQL into SQL that SQLite parses.
//!
//! | typed | given to SQLite |
//! |---|---|
//! | `SELECT FROM t` | `SELECT * FROM t` |
//! | `a CONTAINS e`, `STARTSWITH`, `ENDSWITH` | `a GLOB contains_pattern(e)`, … |
//! | `COUNT t …` | `SELECT count(*) AS count FROM t …` |
//! | `GET t 1`, `GET t column 1` | `SELECT rowid AS _id, * FROM t WHERE rowid = 1`, … |
//! | `TABLES` | `SELECT * FROM tables` |
//! | `EXPLAIN SELECT …` | `EXPLAIN QUERY PLAN SELECT …` |
//!
//! GLOB is case-sensitive, has the precedence and the three-valued logic of LIKE, and SQLite hands it to a
//! virtual table as a constraint, so a prefix becomes an index range. A word is rewritten only where an operator
//! can stand (an operand before it, an expression after it): a column named `contains` stays a column. Literals
//! and quoted names are single tokens and never looked into.

use super::offsets::Rewritten;
use super::operand::Words;
use super::token::{Token, TokenKind};
use super::{SYSTEM_TABLES, SyntaxError};

const INFIX: [(&str, &str); 3] = [
    ("CONTAINS", "GLOB contains_pattern("),
    ("STARTSWITH", "GLOB prefix_pattern("),
    ("ENDSWITH", "GLOB suffix_pattern("),
];

/// Rewrites one SQL statement given as all its tokens (spaces and comments too).
pub(crate) fn rewrite(sql: &str, tokens: &[Token]) -> Result<Rewritten, SyntaxError> {
    let words = Words::new(sql, tokens);
    let mut out = Rewritten::default();
    let skip_until = rewrite_head(&words, &mut out);
    let mut closings: Vec<usize> = Vec::new();
    let mut index = 0;
    for token in tokens {
        if !token.is_significant() {
            if index >= skip_until {
                out.copy(token.text(sql), token.start);
            }
            continue;
        }
        if index >= skip_until {
            match infix(&words, index)? {
                Some((operator, end)) => {
                    out.insert(operator, token.start);
                    closings.push(end);
                }
                None => out.copy(token.text(sql), token.start),
            }
            insert_star(&words, index, token, &mut out);
        }
        index += 1;
        while closings.last() == Some(&index) {
            closings.pop();
            out.insert(")", token.end);
        }
    }
    Ok(out)
}

/// `SELECT FROM`, `SELECT DISTINCT FROM`: the star goes right after the word before FROM.
fn insert_star(words: &Words<'_>, index: usize, token: &Token, out: &mut Rewritten) {
    let selects = words.is(index, "SELECT")
        || (index > 0
            && (words.is(index, "DISTINCT") || words.is(index, "ALL"))
            && words.is(index - 1, "SELECT"));
    if selects && words.is(index + 1, "FROM") {
        out.insert(" *", token.end);
    }
}

/// If the word at `index` is one of our operators in operator position: what replaces it, and the index after
/// its operand.
fn infix(words: &Words<'_>, index: usize) -> Result<Option<(&'static str, usize)>, SyntaxError> {
    let Some((name, replacement)) = INFIX.iter().find(|(name, _)| words.is(index, name)) else {
        return Ok(None);
    };
    if !words.follows_operand(index) {
        return Ok(None);
    }
    if let Some(end) = words.after_operand(index + 1) {
        return Ok(Some((replacement, end)));
    }
    match (words.get(index), words.get(index + 1)) {
        (Some(token), None) => {
            Err(SyntaxError::new(token.start..token.end, format!("expected a value after {name}")).at_end())
        }
        (_, Some(next)) if next.kind == TokenKind::Open => {
            Err(SyntaxError::new(next.start..next.end, "this parenthesis is never closed").at_end())
        }
        _ => Ok(None),
    }
}

/// Writes the replacement of a short form at the statement's start; returns how many significant tokens it ate.
fn rewrite_head(words: &Words<'_>, out: &mut Rewritten) -> usize {
    let start = words.get(0).map_or(0, |token| token.start);
    if words.is(0, "TABLES") && words.get(1).is_none() {
        out.insert("SELECT * FROM tables", start);
        return 1;
    }
    if words.is(0, "COUNT") && words.kind(1) != Some(TokenKind::Open) && words.get(1).is_some() {
        out.insert("SELECT count(*) AS count FROM", start);
        return 1;
    }
    if words.is(0, "EXPLAIN") && !words.is(1, "QUERY") && words.get(1).is_some() {
        out.insert("EXPLAIN QUERY PLAN", start);
        return 1;
    }
    if words.is(0, "GET") && words.get(2).is_some() {
        return rewrite_get(words, out, start);
    }
    0
}

fn rewrite_get(words: &Words<'_>, out: &mut Rewritten, start: usize) -> usize {
    let table = words.text(1).to_ascii_lowercase();
    let is_system = SYSTEM_TABLES.contains(&table.as_str());
    out.insert(if is_system { "SELECT * FROM " } else { "SELECT _id, * FROM " }, start);
    if let Some(token) = words.get(1) {
        out.copy(token.text(words.sql), token.start);
    }
    out.insert(" WHERE ", start);
    let names_a_column = matches!(words.kind(2), Some(TokenKind::Word | TokenKind::QuotedName { .. }))
        && words.get(3).is_some();
    if let (true, Some(column)) = (names_a_column, words.get(2)) {
        let renamed = is_system && column.is(words.sql, "_id");
        if renamed {
            out.insert("rowid", column.start);
        } else {
            out.copy(column.text(words.sql), column.start);
        }
        if words.text(3) != "=" {
            out.insert(" = ", column.end);
        }
        return 3;
    }
    let is_text = matches!(words.kind(2), Some(TokenKind::String { .. }));
    let key = match table.as_str() {
        "objects" if is_text => "name",
        "policies" => "name",
        _ => "rowid",
    };
    out.insert(&format!("{key} = "), start);
    2
}
