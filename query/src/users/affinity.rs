//! SQLite's column affinity, applied to what is stored.
//!
//! SQLite converts values on their way into its own tables but hands them to virtual tables as they are. So that
//! `age INTEGER` given `'30'` holds 30 here too, the same rules are applied on write.

use crate::value::Value;

/// What a column would like its values to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// As given.
    Blob,
    Text,
    Numeric,
    Integer,
    Real,
}

impl Affinity {
    /// From a declared type, by SQLite's rules; without a type values stay as they are.
    pub fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if declared.trim().is_empty() || has("BLOB") {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// `value` as a column of this affinity stores it; `as_text` is SQLite's own conversion of a number.
    pub fn apply(self, value: Value, as_text: impl FnOnce(&Value) -> Option<String>) -> Value {
        match (self, value) {
            (Self::Text, number @ (Value::Integer(_) | Value::Real(_))) => {
                as_text(&number).map_or(number, Value::Text)
            }
            (Self::Integer | Self::Numeric, Value::Text(text)) => match number_of(&text) {
                Some(Value::Real(number)) => stored_whole(number),
                Some(number) => number,
                None => Value::Text(text),
            },
            (Self::Integer | Self::Numeric, Value::Real(number)) => stored_whole(number),
            (Self::Real, Value::Integer(number)) => Value::Real(number as f64),
            (Self::Real, Value::Text(text)) => match number_of(&text) {
                Some(Value::Integer(number)) => Value::Real(number as f64),
                Some(number) => number,
                None => Value::Text(text),
            },
            (_, value) => value,
        }
    }
}

/// The number a text is, if it is one as SQL writes numbers.
pub(crate) fn number_of(text: &str) -> Option<Value> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let is_number_like = text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    if !is_number_like {
        return None;
    }
    if let Ok(number) = text.parse() {
        return Some(Value::Integer(number));
    }
    text.parse().ok().map(Value::Real)
}

/// The whole number a real is, if it is one of 64 bits.
pub(crate) fn whole(number: f64) -> Option<i64> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    (number.trunc() == number && (-BEYOND..BEYOND).contains(&number)).then_some(number as i64)
}

/// What a column for whole numbers makes of a real. SQLite leaves the lowest number of 64 bits a real.
fn stored_whole(number: f64) -> Value {
    whole(number).filter(|number| *number > i64::MIN).map_or(Value::Real(number), Value::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_converted_as_sqlite_converts_them() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let inputs = [
            Value::Null,
            Value::Integer(30),
            Value::Real(2.5),
            Value::Real(3.0),
            Value::Real(1e17),
            Value::Real(-9_223_372_036_854_775_808.0),
            Value::Real(9_223_372_036_854_774_784.0),
            Value::Real(1e300),
            Value::from("1e17"),
            Value::from("30"),
            Value::from(" 30 "),
            Value::from("2.50"),
            Value::from("1e3"),
            Value::from("abc"),
            Value::from(""),
            Value::from("0x10"),
            Value::from("9223372036854775808"),
            Value::from("1 2"),
            Value::from("+5"),
            Value::from("."),
            Value::Blob(vec![49]),
            Value::from("inf"),
            Value::from("nan"),
        ];
        for declared in ["INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB", "", "VARCHAR(10)", "BOOLEAN", "DOUBLE"]
        {
            connection.execute_batch(&format!("CREATE TEMP TABLE t(a {declared})")).unwrap();
            for input in &inputs {
                connection.execute("INSERT INTO t VALUES (?1)", [input]).unwrap();
                let read = |row: &rusqlite::Row<'_>| Ok(Value::from(row.get_ref(0)?));
                let expected: Value = connection.query_row("SELECT a FROM t", [], read).unwrap();
                connection.execute("DELETE FROM t", []).unwrap();
                let as_text = |value: &Value| {
                    connection.query_row("SELECT CAST(?1 AS TEXT)", [value], |row| row.get(0)).ok()
                };
                assert_eq!(
                    Affinity::of(declared).apply(input.clone(), as_text),
                    expected,
                    "{input:?} as {declared}"
                );
            }
            connection.execute_batch("DROP TABLE t").unwrap();
        }
    }
}
