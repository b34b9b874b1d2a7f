//! The changes of one statement to one table, until they are committed as one batch.
//!
//! Reads go through here first (what the statement changed), then to the statement's snapshot. Of everything looked
//! at in order to decide, the version is kept; [`WriteSet::batch`] makes each a requirement of the commit. Checks
//! come before changes: a row that is refused has changed nothing, which `INSERT OR IGNORE` relies on.
//!
//! Worked example: `INSERT INTO t (email) VALUES ('a'), ('b'), ('a')` with `UNIQUE (email)`. Row 1 takes `_id` 1 and
//! key 'a' (absent in the snapshot); row 2 takes 2 and 'b'; row 3 finds key 'a' owned by row 1 and is refused:
//! SQLite rolls the statement back, the set is dropped, nothing was written.

use std::collections::BTreeMap;

use patina_storage::{Seqno, WriteBatch};

use crate::error::{Error, ErrorKind, Result};
use crate::shared::Shared;
use crate::table::OnConflict;
use crate::users::catalogue::Listed;
use crate::users::format::{self, TableDef};
use crate::value::Value;

/// A key's version in the snapshot, and what the statement made of it.
struct Change<T> {
    base: Option<Seqno>,
    new: Option<T>,
}

/// The changes of one statement to one table.
#[derive(Default)]
pub(crate) struct WriteSet {
    rows: BTreeMap<i64, Change<Vec<Value>>>,
    keys: BTreeMap<Vec<u8>, Change<i64>>,
    /// The next `_id` and the version it was read at.
    sequence: Option<Change<i64>>,
    bytes: usize,
}

/// A table during a statement.
pub(crate) struct Target<'a> {
    pub shared: &'a Shared,
    pub table: &'a Listed,
}

impl Target<'_> {
    fn number(&self) -> u32 {
        self.table.def.number
    }

    fn taken(&self, unique: usize, values: &[Value]) -> Error {
        let def = &self.table.def;
        let columns = def.uniques.get(unique).map_or(&[][..], |unique| &unique.columns[..]);
        let part = |number: &u32| {
            let name = def.columns.get(*number as usize).map_or("?", |column| &column.name);
            format!("{name} = {}", shown(values.get(*number as usize).unwrap_or(&Value::Null)))
        };
        let parts: Vec<String> = columns.iter().map(part).collect();
        Error::new(
            ErrorKind::Constraint,
            format!("{} already has a row with {}; it must be unique", def.name, parts.join(", ")),
        )
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => crate::dialect::quote_string(&text.chars().take(60).collect::<String>()),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// The key of each of a table's uniques that a row has: `None` if a value is NULL.
pub(crate) fn unique_keys(def: &TableDef, values: &[Value]) -> Vec<Option<Vec<u8>>> {
    let uniques = def.uniques.iter().enumerate();
    uniques
        .map(|(number, unique)| {
            let parts: Option<Vec<&Value>> =
                unique.columns.iter().map(|column| values.get(*column as usize)).collect();
            format::unique_key(def.number, number, &parts?)
        })
        .collect()
}

impl WriteSet {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row as the statement sees it.
    pub fn row(&mut self, target: &Target<'_>, id: i64) -> Result<Option<Vec<Value>>> {
        if let Some(change) = self.rows.get(&id) {
            return Ok(change.new.clone());
        }
        let key = format::row_key(target.number(), id);
        match target.shared.snapshot().get(&target.shared.rows, &key)? {
            Some(bytes) => format::decode_row(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The next `_id`, which is then used up; or `wanted`, and all up to it.
    pub fn take_id(&mut self, target: &Target<'_>, wanted: Option<i64>) -> Result<i64> {
        if self.sequence.is_none() {
            let key = format::sequence_key(target.number());
            let stored = target.shared.snapshot().get_versioned(&target.shared.catalogue, &key)?;
            self.sequence = Some(match stored {
                Some((bytes, seqno)) => Change { base: Some(seqno), new: Some(format::decode_id(&bytes)?) },
                None => Change { base: None, new: Some(1) },
            });
        }
        let next = self.sequence.as_mut().and_then(|sequence| sequence.new.as_mut());
        let next = next.ok_or_else(|| Error::new(ErrorKind::Engine, "the row counter is missing"))?;
        let id = wanted.unwrap_or(*next);
        let after = id.checked_add(1).ok_or_else(|| Error::new(ErrorKind::Limit, "there is no _id left"))?;
        *next = (*next).max(after);
        Ok(id)
    }

    /// The row that has these values in a unique's columns.
    fn owner(&mut self, target: &Target<'_>, key: &[u8]) -> Result<Option<i64>> {
        if let Some(change) = self.keys.get(key) {
            return Ok(change.new);
        }
        match target.shared.snapshot().get(&target.shared.keys, key)? {
            Some(bytes) => format::decode_id(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Puts a row where `replaced` was, or a new one. `values` are final: converted, defaults filled in.
    pub fn put(
        &mut self,
        target: &Target<'_>,
        replaced: Option<(i64, Vec<Value>)>,
        id: i64,
        values: Vec<Value>,
        on_conflict: OnConflict,
    ) -> Result<()> {
        let own = replaced.as_ref().map(|(id, _)| *id);
        let mut in_the_way = Vec::new();
        if own != Some(id) && self.row(target, id)?.is_some() {
            if on_conflict == OnConflict::Fail {
                let message = format!("{} already has a row with _id {id}", target.table.def.name);
                return Err(Error::new(ErrorKind::Constraint, message));
            }
            in_the_way.push(id);
        }
        let keys = unique_keys(&target.table.def, &values);
        for (number, key) in keys.iter().enumerate() {
            let Some(key) = key else { continue };
            let Some(owner) = self.owner(target, key)?.filter(|owner| Some(*owner) != own) else { continue };
            if on_conflict == OnConflict::Fail {
                return Err(target.taken(number, &values));
            }
            in_the_way.push(owner);
        }
        let size = values.iter().map(Value::size).sum::<usize>() + 100;
        self.check_room(target, size)?;
        for other in in_the_way {
            self.remove(target, other)?;
        }
        if let Some((old, old_values)) = replaced {
            self.release_keys(target, &old_values)?;
            if old != id {
                self.change_row(target, old, None)?;
            }
        }
        for key in keys.into_iter().flatten() {
            self.change_key(target, key, Some(id))?;
        }
        self.bytes += size;
        self.change_row(target, id, Some(values))
    }

    /// Removes a row and its keys; a row that is not there is fine.
    pub fn remove(&mut self, target: &Target<'_>, id: i64) -> Result<()> {
        let Some(values) = self.row(target, id)? else { return Ok(()) };
        self.check_room(target, 100)?;
        self.release_keys(target, &values)?;
        self.bytes += 100;
        self.change_row(target, id, None)
    }

    fn check_room(&self, target: &Target<'_>, size: usize) -> Result<()> {
        if self.bytes + size > target.shared.statement_bytes_max {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "the statement changes more than {} MiB of {}: do it in parts, by _id",
                    target.shared.statement_bytes_max >> 20,
                    target.table.def.name
                ),
            ));
        }
        Ok(())
    }

    fn release_keys(&mut self, target: &Target<'_>, values: &[Value]) -> Result<()> {
        for key in unique_keys(&target.table.def, values).into_iter().flatten() {
            self.change_key(target, key, None)?;
        }
        Ok(())
    }

    fn change_row(&mut self, target: &Target<'_>, id: i64, new: Option<Vec<Value>>) -> Result<()> {
        if let Some(change) = self.rows.get_mut(&id) {
            change.new = new;
            return Ok(());
        }
        let key = format::row_key(target.number(), id);
        let base = target.shared.snapshot().get_versioned(&target.shared.rows, &key)?.map(|(_, seqno)| seqno);
        self.rows.insert(id, Change { base, new });
        Ok(())
    }

    fn change_key(&mut self, target: &Target<'_>, key: Vec<u8>, new: Option<i64>) -> Result<()> {
        if let Some(change) = self.keys.get_mut(&key) {
            change.new = new;
            return Ok(());
        }
        let base = target.shared.snapshot().get_versioned(&target.shared.keys, &key)?.map(|(_, seqno)| seqno);
        self.keys.insert(key, Change { base, new });
        Ok(())
    }

    /// Everything as one batch with its requirements.
    pub fn batch(&self, target: &Target<'_>) -> WriteBatch {
        let shared = target.shared;
        let mut batch = shared.db.batch();
        let definition = format::table_key(&shared.tenant, &target.table.def.name);
        batch.require_version(&shared.catalogue, definition, target.table.seqno);
        let mut write = |keyspace, key: Vec<u8>, base, new: Option<Vec<u8>>| {
            match base {
                Some(seqno) => batch.require_version(keyspace, key.clone(), seqno),
                None => batch.require_absent(keyspace, key.clone()),
            }
            match new {
                Some(value) => batch.put(keyspace, key, value),
                None if base.is_some() => batch.delete(keyspace, key),
                None => {}
            }
        };
        for (id, change) in &self.rows {
            let value = change.new.as_deref().map(format::encode_row);
            write(&shared.rows, format::row_key(target.number(), *id), change.base, value);
        }
        for (key, change) in &self.keys {
            write(&shared.keys, key.clone(), change.base, change.new.map(format::encode_id));
        }
        if let Some(sequence) = &self.sequence {
            let key = format::sequence_key(target.number());
            write(&shared.catalogue, key, sequence.base, sequence.new.map(format::encode_id));
        }
        batch
    }
}
