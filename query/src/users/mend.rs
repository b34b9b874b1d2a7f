//! Mending user tables after their database was salvaged: of a row, its unique keys and its table's definition some may be lost, and what was
//! deleted may have come back.
//!
//! The rows are what counts; keys are told by them. For each row in the order of its `_id`:
//!
//! - it cannot be decoded: it goes, and is named;
//! - one of its unique keys leads to another row that bears it out: one of the two had been deleted or changed. The one that the key leads to
//!   was written last, as far as anybody knows, and stays;
//! - else its keys lead to it from now on.
//!
//! Then keys that no row bears out go. Rows whose table's definition is lost become a table `salvaged_N`, after its number, with columns
//! `c1`, `c2`, …; what they were called, and what was unique, nobody knows. Numbers of tables and rows stay behind all that is there, so that none
//! is given twice. Complexity: every row and every key once.

use std::collections::BTreeMap;

use patina_objects::DEFAULT_TENANT;
use patina_storage::{Db, Durability, Keyspace, KeyspaceOptions, WriteBatch};

use crate::error::Result;
use crate::users::format::{self, ColumnDef, TableDef};
use crate::users::writes::unique_keys;
use crate::value::Value;

const KEYSPACES: [&str; 3] = ["sql_catalogue", "sql_rows", "sql_keys"];
/// Rows that are named; all are counted.
const NAMED_MAX: usize = 1000;

/// What [`mend_tables`] found and did.
///
/// ```
/// let report = patina_query::TableMendReport::default();
/// assert!(report.is_whole());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableMendReport {
    /// Tables.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// Rows that were removed, as `table _id`: they make no sense, or another has their unique key. The first thousand.
    pub rows_lost: Vec<String>,
    /// How many rows were removed.
    pub rows_lost_total: u64,
    /// Definitions that make no sense: removed.
    pub definitions_lost: Vec<String>,
    /// Rows without a definition: the new tables that have them now.
    pub unnamed: Vec<String>,
    /// Unique keys and counters that were missing, or wrong.
    pub entries: u64,
}

impl TableMendReport {
    /// Whether every table is as it was, as far as its rows and definition tell.
    pub fn is_whole(&self) -> bool {
        self.rows_lost_total == 0 && self.definitions_lost.is_empty() && self.unnamed.is_empty()
    }
}

/// Makes the user tables of a salvaged database agree with themselves: see the module's documentation in the source. Call it before a
/// [`Session`](crate::Session) is opened. `None` if the database has none.
///
/// ```
/// # use patina_objects::{ManualClock, ObjectStore, StoreOptions, Timestamp};
/// # use patina_query::{Session, SessionOptions, mend_tables};
/// # use patina_storage::{Db, KeyspaceOptions, MemVfs, Options};
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let clock = std::sync::Arc::new(ManualClock::new(Timestamp(0)));
/// # let store = ObjectStore::open(db.clone(), clock, StoreOptions::default())?;
/// let mut session = Session::open(store, SessionOptions::default())?;
/// session.query("CREATE TABLE users (name UNIQUE)", &[])?;
/// session.query("INSERT INTO users VALUES ('Alice')", &[])?;
/// // Its key is lost.
/// db.keyspace("sql_keys", KeyspaceOptions::default())?.delete_range(vec![0]..vec![255])?;
/// let report = mend_tables(&db)?.unwrap();
/// assert_eq!((report.rows, report.entries, report.is_whole()), (1, 1, true));
/// assert!(session.query("INSERT INTO users VALUES ('Alice')", &[]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Storage's.
pub fn mend_tables(db: &Db) -> Result<Option<TableMendReport>> {
    if !db.keyspaces().iter().any(|name| KEYSPACES.contains(&&name[..])) {
        return Ok(None);
    }
    let open = |name| db.keyspace(name, KeyspaceOptions::default());
    let [catalogue, rows, keys] = KEYSPACES.map(open);
    let mut mending = Mending {
        db: db.clone(),
        catalogue: catalogue?,
        rows: rows?,
        keys: keys?,
        report: TableMendReport::default(),
    };
    let mut tables = mending.definitions()?;
    mending.adopt_rows(&mut tables)?;
    for (number, def) in &tables {
        mending.rows_of(*number, def)?;
    }
    mending.keys(&tables)?;
    mending.last_table(&tables)?;
    db.sync()?;
    mending.report.tables = tables.len() as u64;
    Ok(Some(mending.report))
}

struct Mending {
    db: Db,
    catalogue: Keyspace,
    rows: Keyspace,
    keys: Keyspace,
    report: TableMendReport,
}

impl Mending {
    fn write(&self, batch: WriteBatch) -> Result<()> {
        if !batch.is_empty() {
            self.db.write(batch, Durability::Buffered)?;
        }
        Ok(())
    }

    /// The definitions that make sense, by number. A table that was dropped is none, whatever has come back.
    fn definitions(&mut self) -> Result<BTreeMap<u32, TableDef>> {
        let mut tables = BTreeMap::new();
        let mut batch = self.db.batch();
        for entry in self.catalogue.prefix(b"t") {
            let entry = entry?;
            let def = format::decode_table(&entry.value()?).ok();
            let is_dropped = |def: &TableDef| {
                self.catalogue.get(&format::dropped_key(def.number)).is_ok_and(|note| note.is_some())
            };
            match def {
                Some(def) if is_dropped(&def) => batch.delete(&self.catalogue, entry.key().clone()),
                // Of two with one number one has come back: a number is given once.
                Some(def) if !tables.contains_key(&def.number) => drop(tables.insert(def.number, def)),
                _ => {
                    batch.delete(&self.catalogue, entry.key().clone());
                    let name = entry.key().get(1..).unwrap_or_default();
                    self.report.definitions_lost.push(String::from_utf8_lossy(name).replace('\0', "/"));
                }
            }
        }
        self.write(batch)?;
        Ok(tables)
    }

    /// Gives rows without a table one.
    fn adopt_rows(&mut self, tables: &mut BTreeMap<u32, TableDef>) -> Result<()> {
        let mut columns: BTreeMap<u32, usize> = BTreeMap::new();
        for entry in self.rows.range(..) {
            let entry = entry?;
            let Some(number) = number_of(entry.key()).filter(|number| !tables.contains_key(number)) else {
                continue;
            };
            if self.catalogue.get(&format::dropped_key(number))?.is_some() {
                // The next session removes them.
                continue;
            }
            if let Ok(values) = format::decode_row(&entry.value()?) {
                let most = columns.entry(number).or_default();
                *most = values.len().max(*most);
            }
        }
        for (number, columns) in columns {
            let mut name = format!("salvaged_{number}");
            while self.catalogue.get(&format::table_key(DEFAULT_TENANT, &name))?.is_some() {
                name.push('_');
            }
            let column = |n| ColumnDef { name: format!("c{n}"), ..ColumnDef::default() };
            let columns = (1..=columns.max(1)).map(column).collect();
            let def = TableDef { number, name: name.clone(), columns, ..TableDef::default() };
            let mut batch = self.db.batch();
            batch.put(&self.catalogue, format::table_key(DEFAULT_TENANT, &name), format::encode_table(&def));
            self.write(batch)?;
            tables.insert(number, def);
            self.report.unnamed.push(name);
        }
        Ok(())
    }

    fn lose(&mut self, def: &TableDef, id: Option<i64>) {
        self.report.rows_lost_total += 1;
        if self.report.rows_lost.len() < NAMED_MAX {
            let id = id.map_or_else(|| "?".to_owned(), |id| id.to_string());
            self.report.rows_lost.push(format!("{} {id}", def.name));
        }
    }

    /// Removes the rows that cannot stay, and has the keys of the others lead to them.
    fn rows_of(&mut self, number: u32, def: &TableDef) -> Result<()> {
        let mut last_id = 0;
        for entry in self.rows.prefix(&number.to_be_bytes()) {
            let entry = entry?;
            let id = format::row_id(entry.key());
            let mut batch = self.db.batch();
            match (id, format::decode_row(&entry.value()?)) {
                (Some(id), Ok(values)) => {
                    last_id = last_id.max(id);
                    self.settle(&mut batch, def, id, &values)?;
                }
                (id, _) => {
                    batch.delete(&self.rows, entry.key().clone());
                    self.lose(def, id);
                }
            }
            // At once: the next row may have the same key.
            self.write(batch)?;
        }
        let key = format::sequence_key(number);
        let next = self.catalogue.get(&key)?.and_then(|bytes| format::decode_id(&bytes).ok());
        let after = last_id.saturating_add(1);
        if next.is_none_or(|next| next < after) && (last_id > 0 || next.is_some()) {
            self.report.entries += 1;
            let mut batch = self.db.batch();
            batch.put(&self.catalogue, key, format::encode_id(after));
            self.write(batch)?;
        }
        Ok(())
    }

    fn settle(&mut self, batch: &mut WriteBatch, def: &TableDef, id: i64, values: &[Value]) -> Result<()> {
        let mut wanting = Vec::new();
        for key in unique_keys(def, values).into_iter().flatten() {
            let owner = self.owner(&key)?;
            if owner == Some(id) {
                continue;
            }
            if let Some(owner) = owner
                && self.bears_out(def, owner, &key)?
            {
                batch.delete(&self.rows, format::row_key(def.number, id));
                self.lose(def, Some(id));
                return Ok(());
            }
            wanting.push(key);
        }
        self.report.rows += 1;
        self.report.entries += wanting.len() as u64;
        wanting.into_iter().for_each(|key| batch.put(&self.keys, key, format::encode_id(id)));
        Ok(())
    }

    fn owner(&self, key: &[u8]) -> Result<Option<i64>> {
        Ok(self.keys.get(key)?.and_then(|bytes| format::decode_id(&bytes).ok()))
    }

    /// Whether a row has this key.
    fn bears_out(&self, def: &TableDef, id: i64, key: &[u8]) -> Result<bool> {
        let Some(bytes) = self.rows.get(&format::row_key(def.number, id))? else { return Ok(false) };
        let values = format::decode_row(&bytes).ok();
        Ok(values.is_some_and(|values| unique_keys(def, &values).iter().flatten().any(|own| own == key)))
    }

    /// Removes the keys that no row bears out.
    fn keys(&mut self, tables: &BTreeMap<u32, TableDef>) -> Result<()> {
        for entry in self.keys.range(..) {
            let entry = entry?;
            let def = number_of(entry.key()).and_then(|number| tables.get(&number));
            let id = format::decode_id(&entry.value()?).ok();
            let is_borne_out = match (def, id) {
                (Some(def), Some(id)) => self.bears_out(def, id, entry.key())?,
                _ => false,
            };
            if !is_borne_out {
                self.report.entries += 1;
                let mut batch = self.db.batch();
                batch.delete(&self.keys, entry.key().clone());
                self.write(batch)?;
            }
        }
        Ok(())
    }

    /// The number of the last table must be behind all that are there.
    fn last_table(&mut self, tables: &BTreeMap<u32, TableDef>) -> Result<()> {
        let last_row = self.rows.range(..).next_back().transpose()?;
        let last_row = last_row.and_then(|entry| number_of(entry.key()));
        let Some(last) = tables.keys().next_back().copied().max(last_row) else { return Ok(()) };
        let known =
            self.catalogue.get(format::LAST_TABLE)?.and_then(|bytes| format::decode_number(&bytes).ok());
        if known.is_none_or(|known| known < last) {
            self.report.entries += 1;
            let mut batch = self.db.batch();
            batch.put(&self.catalogue, format::LAST_TABLE, format::encode_number(last));
            self.write(batch)?;
        }
        Ok(())
    }
}

/// The table that a key of rows or unique keys begins with.
fn number_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*key.first_chunk()?))
}
