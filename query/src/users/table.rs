//! A user table as SQLite sees it: the declared columns and a hidden `_id`.
//!
//! Scans read the statement's snapshot by `_id` (the key order) or through a declared UNIQUE column; a row is decoded
//! only when a column of it is asked for, so `count(*)` decodes none.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use patina_storage::{Durability, Iter, Snapshot};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{ColumnRef, IndexShape, Plan, TableShape};
use crate::selection::{Conditions, IntegerRanges};
use crate::shared::{Shared, engine};
use crate::table::{Cell, OnConflict, Rows, Table, TableColumn, cell};
use crate::users::affinity::{Affinity, number_of};
use crate::users::catalogue::Listed;
use crate::users::format;
use crate::users::writes::{Target, WriteSet};
use crate::value::Value;

/// A user table.
pub(crate) struct UserTable {
    shared: Arc<Shared>,
    listed: Listed,
    columns: Vec<TableColumn>,
    affinities: Vec<Affinity>,
    writes: Mutex<WriteSet>,
}

impl UserTable {
    pub fn new(shared: Arc<Shared>, listed: Listed) -> Self {
        let def = &listed.def;
        let mut columns: Vec<TableColumn> = def
            .columns
            .iter()
            .map(|column| TableColumn {
                name: Cow::Owned(column.name.clone()),
                declared: Cow::Owned(column.declared.clone()),
                not_null: column.not_null || column.primary_key,
                default_sql: column.default_sql.clone(),
                primary_key: column.primary_key,
                hidden: false,
            })
            .collect();
        if !columns.iter().any(|column| column.name.eq_ignore_ascii_case("_id")) {
            columns.push(TableColumn { hidden: true, ..TableColumn::new("_id", "INTEGER") });
        }
        let affinities = def.columns.iter().map(|column| Affinity::of(&column.declared)).collect();
        Self { shared, listed, columns, affinities, writes: Mutex::default() }
    }

    fn target(&self) -> Target<'_> {
        Target { shared: &self.shared, table: &self.listed }
    }

    /// The columns whose value is the `_id`, by number.
    fn id_columns(&self) -> impl Iterator<Item = usize> {
        let declared = self.listed.def.id_column.map(|number| number as usize);
        let hidden = self.columns.len().checked_sub(1).filter(|last| *last >= self.listed.def.columns.len());
        declared.into_iter().chain(hidden)
    }

    fn id_of(&self, value: &Value) -> Result<Option<i64>> {
        match Affinity::Integer.apply(value.clone(), |_| None) {
            Value::Null => Ok(None),
            Value::Integer(id) if id >= 1 => Ok(Some(id)),
            _ => Err(Error::new(
                ErrorKind::Constraint,
                format!("_id of {} must be a whole number from 1", self.listed.def.name),
            )),
        }
    }

    /// The stored form of a row: without hidden columns, the `_id` column empty, affinities applied.
    fn finished(&self, mut values: Vec<Value>) -> Result<Vec<Value>> {
        let def = &self.listed.def;
        values.truncate(def.columns.len());
        let scratch = self.shared.scratch.lock();
        let as_text =
            |value: &Value| scratch.query_row("SELECT CAST(?1 AS TEXT)", [value], |row| row.get(0)).ok();
        for (value, affinity) in values.iter_mut().zip(&self.affinities) {
            *value = affinity.apply(std::mem::take(value), as_text);
        }
        if let Some(slot) = def.id_column.and_then(|number| values.get_mut(number as usize)) {
            *slot = Value::Null;
        }
        for (number, (value, column)) in values.iter().zip(&self.columns).enumerate() {
            if value.is_null() && column.not_null && def.id_column != u32::try_from(number).ok() {
                let message = format!("{}.{} must have a value: it is NOT NULL", def.name, column.name);
                return Err(Error::new(ErrorKind::Constraint, message));
            }
        }
        Ok(values)
    }

    fn fill_defaults(&self, values: &mut [Value]) -> Result<()> {
        for (value, column) in values.iter_mut().zip(&self.columns) {
            let Some(default) = column.default_sql.as_deref().filter(|_| value.is_null()) else { continue };
            if self.shared.is_left_out(&column.name.to_lowercase()) {
                let read = |row: &rusqlite::Row<'_>| Ok(Value::from(row.get_ref(0)?));
                let scratch = self.shared.scratch.lock();
                *value = scratch
                    .query_row(&format!("SELECT {default}"), [], read)
                    .map_err(|error| engine(&error))?;
            }
        }
        Ok(())
    }

    /// The numbers of single-column uniques, which are indexes for equality.
    fn single_uniques(&self) -> impl Iterator<Item = (usize, usize)> {
        let uniques = self.listed.def.uniques.iter().enumerate();
        uniques.filter_map(|(number, unique)| match unique.columns[..] {
            [column] => Some((number, column as usize)),
            _ => None,
        })
    }

    fn ids_by_unique(&self, unique: usize, column: usize, conditions: &Conditions) -> Result<IntegerRanges> {
        let affinity = self.affinities.get(column).copied().unwrap_or(Affinity::Blob);
        let values: Vec<Value> = match &conditions.any_of {
            Some(values) => values.clone(),
            None => conditions.bounds.iter().map(|(_, value)| value.clone()).collect(),
        };
        let snapshot = self.shared.snapshot();
        let mut ids = Vec::new();
        for value in values {
            let as_text = |value: &Value| {
                let scratch = self.shared.scratch.lock();
                scratch.query_row("SELECT CAST(?1 AS TEXT)", [value], |row| row.get(0)).ok()
            };
            if matches!(affinity, Affinity::Text | Affinity::Blob) {
                self.ids_of_texts_equal_to(&value, unique, &mut ids)?;
            }
            let value = affinity.apply(value, as_text);
            let Some(key) = format::unique_key(self.listed.def.number, unique, &[&value]) else { continue };
            if let Some(bytes) = snapshot.get(&self.shared.keys, &key)? {
                ids.push(format::decode_id(&bytes)?);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into_iter().map(|id| (id, id)).collect())
    }

    /// A number that comes from a numeric column makes SQLite compare texts with it as numbers: `'05'` is 5 then.
    fn ids_of_texts_equal_to(&self, value: &Value, unique: usize, ids: &mut Vec<i64>) -> Result<()> {
        let as_real = |value: &Value| match value {
            Value::Integer(number) => Some(*number as f64),
            Value::Real(number) => Some(*number),
            _ => None,
        };
        let Some(wanted) = as_real(value) else { return Ok(()) };
        let Some(prefix) = format::unique_texts_prefix(self.listed.def.number, unique) else { return Ok(()) };
        for entry in self.shared.snapshot().prefix(&self.shared.keys, &prefix) {
            self.shared.check_interrupt()?;
            let entry = entry?;
            let number = format::unique_text(entry.key()).and_then(number_of);
            if number.as_ref().and_then(as_real) == Some(wanted) {
                ids.push(format::decode_id(&entry.value()?)?);
            }
        }
        Ok(())
    }
}

impl Table for UserTable {
    fn name(&self) -> &str {
        &self.listed.def.name
    }

    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn shape(&self) -> Result<TableShape> {
        let key = format::sequence_key(self.listed.def.number);
        let next = match self.shared.catalogue.get(&key)? {
            Some(bytes) => format::decode_id(&bytes)?,
            None => 1,
        };
        let rows = (next - 1).max(1) as f64;
        let id_columns: Vec<ColumnRef> =
            std::iter::once(ColumnRef::RowId).chain(self.id_columns().map(ColumnRef::Number)).collect();
        let mut indexes = vec![IndexShape {
            name: "primary key",
            columns: id_columns.clone(),
            also: Vec::new(),
            column_name: "_id".to_owned(),
            text: false,
            unique: true,
            rows_equal: 1.0,
            rows_range: rows / 4.0,
            ranges: true,
            histogram: Vec::new(),
            ordered: true,
        }];
        let numeric = |column: usize| {
            !matches!(self.affinities.get(column), None | Some(Affinity::Text | Affinity::Blob))
        };
        indexes.extend(self.single_uniques().map(|(_, column)| IndexShape {
            name: "unique key",
            columns: vec![ColumnRef::Number(column)],
            also: Vec::new(),
            column_name: self.columns.get(column).map_or_else(String::new, |column| column.name.to_string()),
            text: true,
            unique: numeric(column),
            rows_equal: 1.0,
            rows_range: rows,
            ranges: false,
            histogram: Vec::new(),
            ordered: false,
        }));
        Ok(TableShape { rows, indexes, scan_order: id_columns })
    }

    fn open(&self, plan: &Plan, conditions: Conditions) -> Result<Box<dyn Rows>> {
        let ranges = match plan.index {
            None => vec![(i64::MIN, i64::MAX)],
            Some(0) => conditions.integers(),
            Some(index) => match self.single_uniques().nth(index - 1) {
                Some((unique, column)) => self.ids_by_unique(unique, column, &conditions)?,
                None => vec![(i64::MIN, i64::MAX)],
            },
        };
        Ok(Box::new(UserRows {
            shared: Arc::clone(&self.shared),
            snapshot: self.shared.snapshot(),
            table: self.listed.def.number,
            id_column: self.listed.def.id_column.map(|number| number as usize),
            stored_columns: self.listed.def.columns.len(),
            ranges: ranges.into_iter(),
            scan: None,
            id: 0,
            bytes: Bytes::new(),
            decoded: OnceCell::new(),
        }))
    }

    fn insert(&self, row_id: Option<i64>, mut values: Vec<Value>, on_conflict: OnConflict) -> Result<i64> {
        let mut wanted = row_id;
        for column in self.id_columns() {
            let given = values.get(column).map(|value| self.id_of(value)).transpose()?.flatten();
            wanted = wanted.or(given);
        }
        if let Some(id) = wanted {
            self.id_of(&Value::Integer(id))?;
        }
        self.fill_defaults(&mut values)?;
        let values = self.finished(values)?;
        let target = self.target();
        let mut writes = self.writes.lock();
        let id = writes.take_id(&target, wanted)?;
        writes.put(&target, None, id, values, on_conflict)?;
        Ok(id)
    }

    fn update(
        &self,
        row_id: i64,
        new_row_id: i64,
        values: Vec<Option<Value>>,
        on_conflict: OnConflict,
    ) -> Result<()> {
        let target = self.target();
        let mut writes = self.writes.lock();
        let Some(mut old) = writes.row(&target, row_id)? else { return Ok(()) };
        old.resize(self.listed.def.columns.len(), Value::Null);
        let mut id = new_row_id;
        for column in self.id_columns() {
            if let Some(Some(value)) = values.get(column) {
                let given = self.id_of(value)?;
                id = given.ok_or_else(|| Error::new(ErrorKind::Constraint, "_id cannot be NULL"))?;
            }
        }
        let changed = values.into_iter().zip(&old).map(|(new, old)| new.unwrap_or_else(|| old.clone()));
        let values = self.finished(changed.collect())?;
        if id != row_id {
            self.id_of(&Value::Integer(id))?;
            writes.take_id(&target, Some(id))?;
        }
        writes.put(&target, Some((row_id, old)), id, values, on_conflict)
    }

    fn delete(&self, row_id: i64) -> Result<()> {
        self.writes.lock().remove(&self.target(), row_id)
    }

    fn commit(&self) -> Result<()> {
        let writes = std::mem::take(&mut *self.writes.lock());
        if writes.is_empty() {
            return Ok(());
        }
        self.shared.db.write(writes.batch(&self.target()), Durability::Sync)?;
        Ok(())
    }

    fn forget(&self) {
        *self.writes.lock() = WriteSet::default();
    }
}

/// A scan over ranges of `_id`.
struct UserRows {
    shared: Arc<Shared>,
    snapshot: Snapshot,
    table: u32,
    id_column: Option<usize>,
    stored_columns: usize,
    ranges: std::vec::IntoIter<(i64, i64)>,
    scan: Option<Iter>,
    id: i64,
    bytes: Bytes,
    decoded: OnceCell<Vec<Value>>,
}

impl UserRows {
    fn next_entry(&mut self) -> Result<Option<(i64, Bytes)>> {
        loop {
            if let Some(entry) = self.scan.as_mut().and_then(Iterator::next) {
                let entry = entry?;
                let id = format::row_id(entry.key());
                let id =
                    id.ok_or_else(|| Error::corruption("a row key cannot be read: restore from a copy"))?;
                return Ok(Some((id, entry.value()?)));
            }
            self.scan = None;
            let Some((low, high)) = self.ranges.next() else { return Ok(None) };
            let (first, last) = (format::row_key(self.table, low), format::row_key(self.table, high));
            if low == high {
                if let Some(bytes) = self.snapshot.get(&self.shared.rows, &first)? {
                    return Ok(Some((low, bytes)));
                }
            } else {
                let range = (Bound::Included(first), Bound::Included(last));
                self.scan = Some(self.snapshot.range(&self.shared.rows, range));
            }
        }
    }
}

impl Rows for UserRows {
    fn advance(&mut self) -> Result<bool> {
        let Some((id, bytes)) = self.next_entry()? else { return Ok(false) };
        self.id = id;
        self.bytes = bytes;
        self.decoded = OnceCell::new();
        Ok(true)
    }

    fn row_id(&self) -> i64 {
        self.id
    }

    fn value(&self, column: usize) -> Result<Cell<'_>> {
        if column >= self.stored_columns || Some(column) == self.id_column {
            return Ok(cell::integer(self.id));
        }
        let values = match self.decoded.get() {
            Some(values) => values,
            None => {
                let decoded = format::decode_row(&self.bytes)?;
                self.decoded.get_or_init(|| decoded)
            }
        };
        Ok(Cell::Borrowed(values.get(column).unwrap_or(&Value::Null).borrow()))
    }
}
