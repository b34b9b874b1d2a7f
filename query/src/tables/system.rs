//! The small tables about the database itself: `blobs`, `levels`, `stats`, `tables`, `columns`. Each is made whole when it is
//! read.

use std::sync::Arc;

use patina_storage::KeyspaceOptions;

use crate::error::Result;
use crate::plan::{Plan, TableShape};
use crate::selection::Conditions;
use crate::shared::Shared;
use crate::table::{MaterialRows, Rows, Table, TableColumn};
use crate::value::Value;

/// One of the tables.
pub(crate) struct SystemTable {
    shared: Arc<Shared>,
    name: &'static str,
    columns: Vec<TableColumn>,
    rows: fn(&Shared) -> Result<Vec<Vec<Value>>>,
}

impl SystemTable {
    /// Blob files: which bin, how much of each is live.
    pub fn blobs(shared: Arc<Shared>) -> Self {
        let columns = vec![
            TableColumn::new("id", "INTEGER"),
            TableColumn::new("stage", "STAGE"),
            TableColumn::new("due", "TIMESTAMP"),
            TableColumn::new("sealed", "BOOLEAN"),
            TableColumn::new("records", "INTEGER"),
            TableColumn::new("bytes", "BYTES"),
            TableColumn::new("live_bytes", "BYTES"),
            TableColumn::new("garbage_bytes", "BYTES"),
        ];
        Self { shared, name: "blobs", columns, rows: blob_rows }
    }

    /// The levels of each keyspace that have tables.
    pub fn levels(shared: Arc<Shared>) -> Self {
        let columns = vec![
            TableColumn::new("keyspace", "TEXT"),
            TableColumn::new("level", "INTEGER"),
            TableColumn::new("tables", "INTEGER"),
            TableColumn::new("bytes", "BYTES"),
        ];
        Self { shared, name: "levels", columns, rows: level_rows }
    }

    /// Figures about the whole database.
    pub fn stats(shared: Arc<Shared>) -> Self {
        let columns = vec![TableColumn::new("name", "TEXT"), TableColumn::new("value", "")];
        Self { shared, name: "stats", columns, rows: stats_rows }
    }

    /// The tables.
    pub fn tables(shared: Arc<Shared>) -> Self {
        let columns = vec![
            TableColumn::new("name", "TEXT"),
            TableColumn::new("kind", "TEXT"),
            TableColumn::new("columns", "INTEGER"),
            TableColumn::new("sql", "TEXT"),
        ];
        Self { shared, name: "tables", columns, rows: table_rows }
    }

    /// Their columns.
    pub fn columns(shared: Arc<Shared>) -> Self {
        let columns = vec![
            TableColumn::new("table_name", "TEXT"),
            TableColumn::new("position", "INTEGER"),
            TableColumn::new("name", "TEXT"),
            TableColumn::new("type", "TEXT"),
            TableColumn::new("not_null", "BOOLEAN"),
            TableColumn::new("default_value", "TEXT"),
            TableColumn::new("primary_key", "BOOLEAN"),
        ];
        Self { shared, name: "columns", columns, rows: column_rows }
    }
}

impl Table for SystemTable {
    fn name(&self) -> &str {
        self.name
    }

    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn shape(&self) -> Result<TableShape> {
        Ok(TableShape { rows: 100.0, indexes: Vec::new(), scan_order: Vec::new() })
    }

    fn open(&self, _plan: &Plan, _conditions: Conditions) -> Result<Box<dyn Rows>> {
        Ok(MaterialRows::boxed((self.rows)(&self.shared)?))
    }
}

fn whole(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn blob_rows(shared: &Shared) -> Result<Vec<Vec<Value>>> {
    let contents = shared.db.keyspace("contents", KeyspaceOptions::default())?;
    let files = shared.db.blob_files(&contents)?;
    let rows = files.iter().map(|file| {
        vec![
            whole(file.id.0),
            Value::Integer(file.bin.class.into()),
            // A bin that nothing will make due has no date that fits a timestamp.
            i64::try_from(file.bin.due_ms).ok().into(),
            file.sealed.into(),
            whole(file.records),
            whole(file.bytes),
            whole(file.live_bytes),
            whole(file.garbage_bytes),
        ]
    });
    Ok(rows.collect())
}

fn level_rows(shared: &Shared) -> Result<Vec<Vec<Value>>> {
    let keyspaces = shared.db.stats().keyspaces;
    let rows = keyspaces.iter().flat_map(|keyspace| {
        let levels = (0..).zip(&keyspace.levels).filter(|(_, (tables, _))| *tables > 0);
        levels.map(|(level, (tables, bytes))| {
            let name = Value::Text(keyspace.name.clone());
            vec![name, Value::Integer(level), whole(*tables as u64), whole(*bytes)]
        })
    });
    Ok(rows.collect())
}

fn stats_rows(shared: &Shared) -> Result<Vec<Vec<Value>>> {
    let totals = shared.store.totals()?;
    let stats = shared.db.stats();
    let mut rows: Vec<Vec<Value>> = Vec::new();
    let mut add = |name: String, value: Value| rows.push(vec![Value::Text(name), value]);
    add("objects".to_owned(), whole(totals.all.objects));
    add("objects.size_bytes".to_owned(), whole(totals.all.size));
    add("objects.stored_bytes".to_owned(), whole(totals.all.stored));
    add("contents".to_owned(), whole(totals.contents));
    add("contents.bytes".to_owned(), whole(totals.content_bytes));
    add("writes".to_owned(), whole(stats.seqno.0));
    add("memtable_bytes".to_owned(), whole(stats.memtable_bytes as u64));
    add("block_cache_bytes".to_owned(), whole(stats.block_cache_bytes));
    add("block_cache_hits".to_owned(), whole(stats.block_cache_hits));
    add("block_cache_misses".to_owned(), whole(stats.block_cache_misses));
    add("table_memory_bytes".to_owned(), whole(stats.table_memory_bytes as u64));
    add("open_files".to_owned(), whole(stats.open_files as u64));
    add("sealed_memtables".to_owned(), whole(stats.sealed_memtables as u64));
    add("user_bytes_written".to_owned(), whole(stats.user_bytes_written));
    add("log_bytes_written".to_owned(), whole(stats.log_bytes_written));
    add("blob_bytes_written".to_owned(), whole(stats.blob_bytes_written));
    add("write_amplification".to_owned(), Value::Real(stats.write_amplification()));
    add("delayed_writes".to_owned(), whole(stats.stalls.delays));
    add("delayed_us".to_owned(), whole(stats.stalls.delayed_us));
    add("stopped_writes".to_owned(), whole(stats.stalls.stops));
    add("stopped_us".to_owned(), whole(stats.stalls.stopped_us));
    add("snapshots".to_owned(), whole(stats.snapshots as u64));
    add("iterators".to_owned(), whole(stats.iterators as u64));
    add("iterator_bytes".to_owned(), whole(stats.iterator_bytes as u64));
    add("running_merges".to_owned(), whole(stats.running_merges as u64));
    add("damaged_tables".to_owned(), whole(stats.damaged_tables.len() as u64));
    add("blob_files".to_owned(), whole(stats.blob_files as u64));
    add("read_only".to_owned(), stats.read_only.into());
    for keyspace in &stats.keyspaces {
        let bytes = keyspace.levels.iter().map(|(_, bytes)| bytes).sum();
        let tables: usize = keyspace.levels.iter().map(|(tables, _)| tables).sum();
        add(format!("keyspace.{}.tables", keyspace.name), whole(tables as u64));
        add(format!("keyspace.{}.bytes", keyspace.name), whole(bytes));
        add(format!("keyspace.{}.entries", keyspace.name), whole(keyspace.entries));
        add(format!("keyspace.{}.tombstones", keyspace.name), whole(keyspace.tombstones));
        add(format!("keyspace.{}.debt_bytes", keyspace.name), whole(keyspace.debt_bytes));
        let places = keyspace.read_amplification() as u64;
        add(format!("keyspace.{}.read_amplification", keyspace.name), whole(places));
        let space = Value::Real(keyspace.space_amplification());
        add(format!("keyspace.{}.space_amplification", keyspace.name), space);
    }
    Ok(rows)
}

fn table_rows(shared: &Shared) -> Result<Vec<Vec<Value>>> {
    let listing = shared.listing();
    let rows = listing.iter().map(|table| {
        vec![
            table.name.as_str().into(),
            if table.sql.is_some() { "user" } else { "system" }.into(),
            whole(table.columns.iter().filter(|column| !column.hidden).count() as u64),
            table.sql.clone().into(),
        ]
    });
    Ok(rows.collect())
}

fn column_rows(shared: &Shared) -> Result<Vec<Vec<Value>>> {
    let listing = shared.listing();
    let rows = listing.iter().flat_map(|table| {
        let visible = table.columns.iter().filter(|column| !column.hidden);
        (1..).zip(visible).map(|(position, column)| {
            vec![
                table.name.as_str().into(),
                Value::Integer(position),
                column.name.as_ref().into(),
                Some(column.declared.as_ref()).filter(|declared| !declared.is_empty()).into(),
                column.not_null.into(),
                column.default_sql.clone().into(),
                column.primary_key.into(),
            ]
        })
    });
    Ok(rows.collect())
}
