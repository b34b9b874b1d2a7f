//! Which user tables there are: create, drop, list.
//!
//! A drop is one batch that removes the definition and leaves a note; the rows are deleted afterwards in small
//! batches, and by the next session to open if a crash came between. See [`super::format`] for the keys.

use patina_storage::{Durability, Seqno, Snapshot};

use crate::error::{Error, ErrorKind, Result};
use crate::shared::Shared;
use crate::users::format::{self, TableDef};

/// A definition and the write it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    pub def: TableDef,
    pub seqno: Seqno,
}

/// Changes whenever any table is created or dropped.
pub(crate) fn version(shared: &Shared) -> Result<Option<Seqno>> {
    Ok(shared.catalogue.get_versioned(format::CATALOGUE_VERSION)?.map(|(_, seqno)| seqno))
}

/// The tenant's tables, by name.
pub(crate) fn list(shared: &Shared, snapshot: &Snapshot) -> Result<Vec<Listed>> {
    let mut tables = Vec::new();
    for entry in snapshot.prefix(&shared.catalogue, &format::tables_prefix(&shared.tenant)) {
        let entry = entry?;
        let def = format::decode_table(&entry.value()?)?;
        tables.push(Listed { def, seqno: entry.seqno() });
    }
    Ok(tables)
}

/// Keeps a new table's definition.
///
/// # Errors
/// [`ErrorKind::Constraint`] if the name is taken, [`ErrorKind::Conflict`] if another table is being created.
pub(crate) fn create(shared: &Shared, mut def: TableDef) -> Result<()> {
    let snapshot = shared.db.snapshot();
    let key = format::table_key(&shared.tenant, &def.name);
    if snapshot.get(&shared.catalogue, &key)?.is_some() {
        return Err(already_there(&def.name));
    }
    let mut batch = shared.db.batch();
    let last = snapshot.get_versioned(&shared.catalogue, format::LAST_TABLE)?;
    def.number = match last {
        Some((bytes, seqno)) => {
            batch.require_version(&shared.catalogue, format::LAST_TABLE, seqno);
            format::decode_number(&bytes)?.checked_add(1)
        }
        None => {
            batch.require_absent(&shared.catalogue, format::LAST_TABLE);
            Some(1)
        }
    }
    .ok_or_else(|| Error::new(ErrorKind::Limit, "no more tables can be numbered"))?;
    batch.require_absent(&shared.catalogue, key.clone());
    batch.put(&shared.catalogue, key, format::encode_table(&def));
    batch.put(&shared.catalogue, format::LAST_TABLE, format::encode_number(def.number));
    batch.put(&shared.catalogue, format::CATALOGUE_VERSION, Vec::new());
    shared.db.write(batch, Durability::Sync)?;
    Ok(())
}

pub(crate) fn already_there(name: &str) -> Error {
    Error::new(
        ErrorKind::Constraint,
        format!("table {name} is already there; write CREATE TABLE IF NOT EXISTS to accept it"),
    )
}

/// Removes a table and its rows.
pub(crate) fn drop_table(shared: &Shared, listed: &Listed) -> Result<()> {
    let number = listed.def.number;
    let key = format::table_key(&shared.tenant, &listed.def.name);
    let mut batch = shared.db.batch();
    batch.require_version(&shared.catalogue, key.clone(), listed.seqno);
    batch.delete(&shared.catalogue, key);
    batch.delete(&shared.catalogue, format::sequence_key(number));
    batch.put(&shared.catalogue, format::dropped_key(number), Vec::new());
    batch.put(&shared.catalogue, format::CATALOGUE_VERSION, Vec::new());
    shared.db.write(batch, Durability::Sync)?;
    remove_rows(shared, number)
}

/// Finishes drops that a crash interrupted.
pub(crate) fn finish_drops(shared: &Shared) -> Result<()> {
    let noted: Vec<u32> = shared
        .db
        .snapshot()
        .prefix(&shared.catalogue, b"d")
        .filter_map(|entry| entry.map(|entry| format::dropped_table(entry.key())).transpose())
        .collect::<patina_storage::Result<_>>()?;
    noted.into_iter().try_for_each(|number| remove_rows(shared, number))
}

const REMOVED_AT_ONCE: usize = 1_000;

fn remove_rows(shared: &Shared, number: u32) -> Result<()> {
    for keyspace in [&shared.rows, &shared.keys] {
        let snapshot = shared.db.snapshot();
        let mut batch = shared.db.batch();
        for entry in snapshot.prefix(keyspace, &number.to_be_bytes()) {
            batch.delete(keyspace, entry?.key().clone());
            if batch.len() >= REMOVED_AT_ONCE {
                shared.db.write(std::mem::take(&mut batch), Durability::Buffered)?;
            }
        }
        if !batch.is_empty() {
            shared.db.write(batch, Durability::Buffered)?;
        }
    }
    let mut batch = shared.db.batch();
    batch.delete(&shared.catalogue, format::dropped_key(number));
    shared.db.write(batch, Durability::Buffered)?;
    Ok(())
}
