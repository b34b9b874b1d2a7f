//! A table as the session sees it: safe code behind the one unsafe file.
//!
//! A [`Table`] tells its columns and shape, opens [`Rows`] for a plan, and may take changes. Everything is called
//! from the session's thread during one statement.

use std::borrow::Cow;

use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{ColumnRef, Plan, TableShape};
use crate::selection::Conditions;
use crate::value::Value;

/// A column as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableColumn {
    pub name: Cow<'static, str>,
    /// The declared type; empty for a dynamic column.
    pub declared: Cow<'static, str>,
    pub not_null: bool,
    pub default_sql: Option<String>,
    pub primary_key: bool,
    /// Left out of `*` and of an INSERT without column list.
    pub hidden: bool,
}

impl TableColumn {
    pub const fn new(name: &'static str, declared: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            declared: Cow::Borrowed(declared),
            not_null: false,
            default_sql: None,
            primary_key: false,
            hidden: false,
        }
    }
}

/// What to do when a written row breaks a uniqueness rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// Report it; SQLite undoes the statement, or skips the row for OR IGNORE.
    Fail,
    /// The rows in the way are deleted.
    Replace,
}

/// A table that SQLite can read and perhaps write.
pub(crate) trait Table: Send + Sync {
    /// As people write it.
    fn name(&self) -> &str;

    fn columns(&self) -> &[TableColumn];

    /// Sizes and indexes, for the planner.
    fn shape(&self) -> Result<TableShape>;

    /// The hidden columns that are arguments: a plan that cannot give a condition on them is no plan.
    fn arguments(&self) -> &[ColumnRef] {
        &[]
    }

    /// The rows that can meet the conditions, on the index the plan chose.
    fn open(&self, plan: &Plan, conditions: Conditions) -> Result<Box<dyn Rows>>;

    /// Adds a row with the values of all columns; returns its row id.
    fn insert(&self, row_id: Option<i64>, values: Vec<Value>, on_conflict: OnConflict) -> Result<i64> {
        let _ = (row_id, values, on_conflict);
        Err(self.read_only("INSERT"))
    }

    /// Changes a row; `None` leaves a column as it is.
    fn update(
        &self,
        row_id: i64,
        new_row_id: i64,
        values: Vec<Option<Value>>,
        on_conflict: OnConflict,
    ) -> Result<()> {
        let _ = (row_id, new_row_id, values, on_conflict);
        Err(self.read_only("UPDATE"))
    }

    /// Removes a row.
    fn delete(&self, row_id: i64) -> Result<()> {
        let _ = row_id;
        Err(self.read_only("DELETE"))
    }

    /// The statement wants its changes durable; an error undoes the statement.
    fn commit(&self) -> Result<()> {
        Ok(())
    }

    /// The statement failed, or its changes are committed: forget them.
    fn forget(&self) {}

    fn read_only(&self, verb: &str) -> Error {
        let hint = match self.name() {
            "objects" => "use `patina put` or the library to add objects",
            "policies" => "use CREATE POLICY, ALTER POLICY and DROP POLICY",
            _ => "it only shows what is there",
        };
        Error::new(ErrorKind::Unsupported, format!("{verb} is not possible on {}: {hint}", self.name()))
    }
}

/// A scan in progress, before its first row at the start.
pub(crate) trait Rows: Send {
    /// Moves to the next row; `false` after the last.
    fn advance(&mut self) -> Result<bool>;

    fn row_id(&self) -> i64;

    /// The value of a column of the current row.
    fn value(&self, column: usize) -> Result<Cell<'_>>;
}

/// A cell on its way to SQLite: borrowed from the row where possible.
pub(crate) type Cell<'a> = ToSqlOutput<'a>;

/// Makes cells.
pub(crate) mod cell {
    use super::{Cell, ValueRef};
    use rusqlite::types;

    pub fn null<'a>() -> Cell<'a> {
        Cell::Borrowed(ValueRef::Null)
    }

    pub fn integer<'a>(number: i64) -> Cell<'a> {
        Cell::Borrowed(ValueRef::Integer(number))
    }

    /// Numbers above `i64::MAX` are shown as that.
    pub fn unsigned<'a>(number: u64) -> Cell<'a> {
        integer(i64::try_from(number).unwrap_or(i64::MAX))
    }

    pub fn real<'a>(number: f64) -> Cell<'a> {
        Cell::Borrowed(ValueRef::Real(number))
    }

    pub fn boolean<'a>(value: bool) -> Cell<'a> {
        integer(value.into())
    }

    pub fn text(text: &str) -> Cell<'_> {
        Cell::Borrowed(ValueRef::Text(text.as_bytes()))
    }

    pub fn owned_text<'a>(text: String) -> Cell<'a> {
        Cell::Owned(types::Value::Text(text))
    }

    pub fn optional<'a, T>(value: Option<T>, make: impl FnOnce(T) -> Cell<'a>) -> Cell<'a> {
        value.map_or_else(null, make)
    }

    /// Bytes as lower-case hexadecimal text.
    pub fn hex<'a>(bytes: &[u8]) -> Cell<'a> {
        owned_text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Rows that were all made at once: for the small tables about the database itself.
pub(crate) struct MaterialRows {
    rows: std::vec::IntoIter<Vec<Value>>,
    current: Vec<Value>,
    number: i64,
}

impl MaterialRows {
    pub fn boxed(rows: Vec<Vec<Value>>) -> Box<dyn Rows> {
        Box::new(Self { rows: rows.into_iter(), current: Vec::new(), number: 0 })
    }
}

impl Rows for MaterialRows {
    fn advance(&mut self) -> Result<bool> {
        let Some(row) = self.rows.next() else { return Ok(false) };
        self.current = row;
        self.number += 1;
        Ok(true)
    }

    fn row_id(&self) -> i64 {
        self.number
    }

    fn value(&self, column: usize) -> Result<Cell<'_>> {
        let value = self.current.get(column).unwrap_or(&Value::Null);
        Ok(Cell::Borrowed(value.borrow()))
    }
}
