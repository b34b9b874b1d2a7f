//! Reads `CREATE TABLE name (…)` by letting SQLite parse it.
//!
//! The parenthesised part is run in a scratch connection and asked back with PRAGMAs, so the grammar is SQLite's
//! own. What we do not enforce is refused, never silently dropped.

use std::ops::Range;

use rusqlite::Connection;

use crate::diagnose::{expected, unexpected};
use crate::dialect::{Token, quote_name, tokenize};
use crate::error::{Error, ErrorKind, Result};
use crate::shared::engine;
use crate::users::format::{ColumnDef, TableDef, UniqueDef};

/// The most columns of a table; SQLite tells an UPDATE which columns it uses for the first 63 only.
const COLUMNS_MAX: usize = 500;

/// Reads the definition that stands at `definition` in `text`; `number` is left 0.
pub(crate) fn parse(
    scratch: &Connection,
    text: &str,
    name: &str,
    definition: Range<usize>,
) -> Result<TableDef> {
    let body = text.get(definition.clone()).unwrap_or("");
    refuse_unsupported(text, body, definition.start)?;
    let prefix = "CREATE TABLE \"patina_scratch\" ";
    let created = scratch.execute_batch(&format!("{prefix}{body}"));
    let read = match created {
        Ok(()) => read_back(scratch, name),
        Err(rusqlite::Error::SqlInputError { msg, offset, .. }) => {
            let inside = usize::try_from(offset).unwrap_or(0).saturating_sub(prefix.len()).min(body.len());
            let at = definition.start + inside;
            let end = token_end(text, at);
            let message = if msg.ends_with("syntax error") {
                let before = format!("{prefix}{}", body.get(..inside).unwrap_or(""));
                unexpected(text.get(at..end).unwrap_or(""), &expected(scratch, &before))
            } else {
                msg
            };
            Err(Error::new(ErrorKind::Syntax, message).at(text, at, end))
        }
        Err(error) => {
            let message = plain_message(&error).replace("patina_scratch", name);
            Err(Error::new(ErrorKind::Syntax, message).at(text, definition.start, definition.start + 1))
        }
    };
    scratch.execute_batch("DROP TABLE IF EXISTS \"patina_scratch\"").map_err(|error| engine(&error))?;
    read
}

fn plain_message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

fn token_end(text: &str, at: usize) -> usize {
    tokenize(text.get(at..).unwrap_or("")).first().map_or(at, |token| at + token.end)
}

fn refuse_unsupported(text: &str, body: &str, start: usize) -> Result<()> {
    let tokens: Vec<Token> = tokenize(body).into_iter().filter(Token::is_significant).collect();
    for (index, token) in tokens.iter().enumerate() {
        let next_is = |word: &str| tokens.get(index + 1).is_some_and(|next| next.is(body, word));
        let what = if token.is(body, "CHECK") {
            "CHECK is not there yet"
        } else if token.is(body, "REFERENCES") || (token.is(body, "FOREIGN") && next_is("KEY")) {
            "foreign keys are not there yet"
        } else if token.is(body, "GENERATED") && next_is("ALWAYS") || token.is(body, "AS") {
            "generated columns are not there yet"
        } else if token.is(body, "COLLATE") {
            "COLLATE in a table is not there yet: write it in the query"
        } else if token.is(body, "ON") && next_is("CONFLICT") {
            "ON CONFLICT in a table is not there yet: write INSERT OR REPLACE or INSERT OR IGNORE"
        } else if token.is(body, "HIDDEN") {
            "HIDDEN cannot be part of a definition"
        } else {
            continue;
        };
        return Err(Error::new(ErrorKind::Unsupported, what).at(
            text,
            start + token.start,
            start + token.end,
        ));
    }
    Ok(())
}

fn read_back(scratch: &Connection, name: &str) -> Result<TableDef> {
    let mut table = TableDef { name: name.to_owned(), ..TableDef::default() };
    let mut key: Vec<(i64, u32)> = Vec::new();
    let mut statement = scratch
        .prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('patina_scratch')")
        .map_err(|error| engine(&error))?;
    let columns = statement
        .query_map([], |row| {
            let pk: i64 = row.get(4)?;
            let column = ColumnDef {
                name: row.get(0)?,
                declared: row.get(1)?,
                not_null: row.get(2)?,
                default_sql: row.get(3)?,
                primary_key: pk > 0,
            };
            Ok((column, pk))
        })
        .map_err(|error| engine(&error))?;
    for (number, column) in (0..).zip(columns) {
        let (column, pk) = column.map_err(|error| engine(&error))?;
        if pk > 0 {
            key.push((pk, number));
        }
        table.columns.push(column);
    }
    key.sort_unstable();
    let id_column = match key[..] {
        [(_, only)] => Some(only).filter(|only| {
            let declared = table.columns.get(*only as usize).map(|column| column.declared.as_str());
            declared.is_some_and(|declared| declared.eq_ignore_ascii_case("INTEGER"))
        }),
        _ => None,
    };
    table.id_column = id_column;
    table.uniques = uniques(scratch)?;
    check(scratch, &table)?;
    Ok(table)
}

fn uniques(scratch: &Connection) -> Result<Vec<UniqueDef>> {
    let sql = "SELECT l.seq, i.cid FROM pragma_index_list('patina_scratch') l, pragma_index_info(l.name) i \
               WHERE l.\"unique\" ORDER BY l.seq DESC, i.seqno";
    let mut statement = scratch.prepare(sql).map_err(|error| engine(&error))?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?)))
        .map_err(|error| engine(&error))?;
    let mut uniques: Vec<(i64, UniqueDef)> = Vec::new();
    for row in rows {
        let (index, column) = row.map_err(|error| engine(&error))?;
        match uniques.last_mut().filter(|(last, _)| *last == index) {
            Some((_, unique)) => unique.columns.push(column),
            None => uniques.push((index, UniqueDef { columns: vec![column] })),
        }
    }
    Ok(uniques.into_iter().map(|(_, unique)| unique).collect())
}

fn check(scratch: &Connection, table: &TableDef) -> Result<()> {
    if table.columns.len() > COLUMNS_MAX {
        return Err(Error::new(ErrorKind::Limit, format!("a table can have at most {COLUMNS_MAX} columns")));
    }
    for (number, column) in (0..).zip(&table.columns) {
        if column.name.eq_ignore_ascii_case("_id") && table.id_column != Some(number) {
            let message =
                "every table has an _id of its own: leave it out, or declare _id INTEGER PRIMARY KEY";
            return Err(Error::invalid(message));
        }
        let plain = |c: char| c.is_alphanumeric() || " _(),.+-".contains(c);
        if !column.declared.chars().all(plain) {
            return Err(Error::invalid(format!(
                "the type of {} cannot be used: {}",
                column.name, column.declared
            )));
        }
        if let Some(default) = &column.default_sql {
            let evaluated = scratch.query_row(&format!("SELECT {default}"), [], |_| Ok(()));
            evaluated.map_err(|error| {
                let reason = plain_message(&error);
                Error::invalid(format!("the default of {} cannot be evaluated: {reason}", column.name))
            })?;
        }
    }
    Ok(())
}

/// The statement that would create the table.
pub(crate) fn describe(table: &TableDef) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (number, column) in (0..).zip(&table.columns) {
        let mut part = plain_or_quoted(&column.name);
        if !column.declared.is_empty() {
            part = format!("{part} {}", column.declared);
        }
        if table.id_column == Some(number) {
            part.push_str(" PRIMARY KEY");
        }
        if column.not_null {
            part.push_str(" NOT NULL");
        }
        if let Some(default) = &column.default_sql {
            part = format!("{part} DEFAULT ({default})");
        }
        parts.push(part);
    }
    for unique in &table.uniques {
        let columns: Vec<&ColumnDef> =
            unique.columns.iter().filter_map(|number| table.columns.get(*number as usize)).collect();
        let names: Vec<String> = columns.iter().map(|column| plain_or_quoted(&column.name)).collect();
        let primary = columns.len() == table.columns.iter().filter(|column| column.primary_key).count()
            && columns.iter().all(|column| column.primary_key);
        let word = if primary { "PRIMARY KEY" } else { "UNIQUE" };
        parts.push(format!("{word} ({})", names.join(", ")));
    }
    format!("CREATE TABLE {} ({})", plain_or_quoted(&table.name), parts.join(", "))
}

fn plain_or_quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if plain { name.to_owned() } else { quote_name(name) }
}
