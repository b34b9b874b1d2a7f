//! Values, columns, and where rows go.

use std::ops::ControlFlow;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

/// A value of SQL: what a cell holds and what a parameter takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing known.
    #[default]
    Null,
    /// A 64-bit whole number; booleans are 0 and 1.
    Integer(i64),
    /// A 64-bit floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let heap = match self {
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
            _ => 0,
        };
        heap + size_of::<Self>()
    }

    pub(crate) fn borrow(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.borrow()))
    }
}

impl From<ValueRef<'_>> for Value {
    /// Text that is not UTF-8 (made by a CAST of bytes) is taken with its bad bytes replaced.
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_owned()),
        }
    }
}

macro_rules! value_from {
    ($($type:ty => $make:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                let make: fn($type) -> Self = $make;
                make(value)
            }
        }
    )*};
}

value_from! {
    i64 => Self::Integer,
    i32 => |value| Self::Integer(value.into()),
    u32 => |value| Self::Integer(value.into()),
    bool => |value| Self::Integer(value.into()),
    f64 => Self::Real,
    String => Self::Text,
    &str => |value| Self::Text(value.to_owned()),
    Vec<u8> => Self::Blob,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a column's numbers mean, so that a table for people can show them so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// Nothing particular.
    #[default]
    Plain,
    /// A count of bytes.
    Bytes,
    /// Milliseconds since 1970, UTC.
    Timestamp,
    /// The number of a stage, 0 (hot) to 4 (purged).
    Stage,
    /// 0 or 1.
    Boolean,
}

impl ColumnKind {
    /// From a declared type, or from a name like `sum(stored)` where there is none.
    pub(crate) fn of(name: &str, declared: Option<&str>) -> Self {
        match declared.map(str::to_ascii_uppercase).as_deref() {
            Some("BYTES") => Self::Bytes,
            Some("TIMESTAMP") => Self::Timestamp,
            Some("STAGE") => Self::Stage,
            Some("BOOLEAN" | "BOOL") => Self::Boolean,
            Some(_) => Self::Plain,
            None => Self::of_aggregate(name),
        }
    }

    /// `sum`, `min`, `max`, `avg` and `total` of bytes are bytes, `min` and `max` of a time are times.
    fn of_aggregate(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let Some((function, rest)) = lower.split_once('(') else { return Self::Plain };
        let Some(argument) = rest.strip_suffix(')') else { return Self::Plain };
        let column = argument.rsplit('.').next().unwrap_or(argument).trim();
        let bytes = ["size", "stored", "bytes", "live_bytes", "garbage_bytes", "bytes_before", "bytes_after"];
        let times = ["created_at", "accessed_at", "effective_at", "next_decay_at", "restore_until", "at"];
        match function.trim() {
            "sum" | "min" | "max" | "avg" | "total" if bytes.contains(&column) => Self::Bytes,
            "min" | "max" if times.contains(&column) => Self::Timestamp,
            _ => Self::Plain,
        }
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name or the expression's text.
    pub name: String,
    /// What its numbers mean.
    pub kind: ColumnKind,
}

impl Column {
    pub(crate) fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), kind: ColumnKind::Plain }
    }

    pub(crate) fn new(name: &str, kind: ColumnKind) -> Self {
        Self { name: name.to_owned(), kind }
    }
}

/// How a statement ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows given to the sink.
    pub rows: u64,
    /// Rows inserted, updated or deleted.
    pub changed: u64,
    /// Rows that tables were asked for: what an index saves.
    pub rows_read: u64,
    /// What a statement without rows did, for a person.
    pub message: Option<String>,
}

/// Where the rows of statements go. For each statement that succeeds: [`Sink::begin`] if it has columns, a
/// [`Sink::row`] for each row, [`Sink::end`]. A statement that fails after some rows has no end.
pub trait Sink {
    /// A result with these columns follows.
    fn begin(&mut self, columns: &[Column]);
    /// One row; `Break` stops this statement's rows, without an error.
    fn row(&mut self, row: &[Value]) -> ControlFlow<()>;
    /// The statement is done.
    fn end(&mut self, outcome: Outcome);
}

/// A statement's whole result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultSet {
    /// The columns; empty for a statement without rows.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// How it ended.
    pub outcome: Outcome,
}

/// A [`Sink`] that keeps everything: for small results.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    current: ResultSet,
    results: Vec<ResultSet>,
}

impl Collector {
    /// The results of the statements that ended, in order.
    pub fn into_results(self) -> Vec<ResultSet> {
        self.results
    }
}

impl Sink for Collector {
    fn begin(&mut self, columns: &[Column]) {
        self.current = ResultSet { columns: columns.to_vec(), ..ResultSet::default() };
    }

    fn row(&mut self, row: &[Value]) -> ControlFlow<()> {
        self.current.rows.push(row.to_vec());
        ControlFlow::Continue(())
    }

    fn end(&mut self, outcome: Outcome) {
        let result = std::mem::take(&mut self.current);
        self.results.push(ResultSet { outcome, ..result });
    }
}
