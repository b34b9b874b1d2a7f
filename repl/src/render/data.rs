//! JSON and CSV: raw values for programs.

use std::collections::HashMap;
use std::io::{self, Write};

use patina_query::{Column, ColumnKind, Value};

use super::text::hex;

/// The columns' names, where a repeated one gets a number: an object cannot have two fields of one name.
pub(super) fn distinct_names(columns: &[Column]) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let names = columns.iter().map(|column| {
        let count = seen.entry(column.name.as_str()).and_modify(|count| *count += 1).or_insert(1);
        if *count == 1 { column.name.clone() } else { format!("{}_{count}", column.name) }
    });
    names.collect()
}

/// One object, without a line end.
pub(super) fn write_json(
    out: &mut impl Write,
    names: &[String],
    columns: &[Column],
    row: &[Value],
) -> io::Result<()> {
    out.write_all(b"{")?;
    for (index, ((name, column), value)) in names.iter().zip(columns).zip(row).enumerate() {
        if index > 0 {
            out.write_all(b", ")?;
        }
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b": ")?;
        serde_json::to_writer(&mut *out, &json(column, value))?;
    }
    out.write_all(b"}")
}

fn json(column: &Column, value: &Value) -> serde_json::Value {
    match (column.kind, value) {
        (_, Value::Null) => serde_json::Value::Null,
        (ColumnKind::Boolean, Value::Integer(number @ 0..=1)) => (*number == 1).into(),
        (_, Value::Integer(number)) => (*number).into(),
        // JSON has no infinity.
        (_, Value::Real(number)) => {
            serde_json::Number::from_f64(*number).map_or_else(|| number.to_string().into(), Into::into)
        }
        (_, Value::Text(text)) => text.as_str().into(),
        (_, Value::Blob(bytes)) => hex(bytes).into(),
    }
}

/// A CSV cell; `None` is NULL.
pub(super) fn csv_text(column: &Column, value: &Value) -> Option<String> {
    match (column.kind, value) {
        (_, Value::Null) => None,
        (ColumnKind::Boolean, Value::Integer(number @ 0..=1)) => Some((*number == 1).to_string()),
        (_, Value::Integer(number)) => Some(number.to_string()),
        (_, Value::Real(number)) => Some(format!("{number:?}")),
        (_, Value::Text(text)) => Some(text.clone()),
        (_, Value::Blob(bytes)) => Some(hex(bytes)),
    }
}

/// One line of CSV.
pub(super) fn write_csv(out: &mut impl Write, cells: impl Iterator<Item = Option<String>>) -> io::Result<()> {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        match cell {
            None => {}
            Some(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => {
                write!(out, "\"{}\"", text.replace('"', "\"\""))?;
            }
            Some(text) => out.write_all(text.as_bytes())?,
        }
    }
    out.write_all(b"\n")
}
