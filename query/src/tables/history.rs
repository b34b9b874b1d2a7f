//! `history`: what happened to objects, oldest first.

use std::sync::Arc;

use patina_objects::{History, HistoryRow, ObjectId, Stage};

use crate::error::Result;
use crate::plan::{ColumnRef, IndexShape, Plan, TableShape};
use crate::selection::Conditions;
use crate::shared::Shared;
use crate::table::{Cell, Rows, Table, TableColumn, cell};

static COLUMNS: [TableColumn; 18] = [
    TableColumn::new("seq", "INTEGER"),
    TableColumn::new("object", "INTEGER"),
    TableColumn::new("name", "TEXT"),
    TableColumn::new("tenant", "TEXT"),
    TableColumn::new("at", "TIMESTAMP"),
    TableColumn::new("from_stage", "STAGE"),
    TableColumn::new("to_stage", "STAGE"),
    TableColumn::new("reason", "TEXT"),
    TableColumn::new("bytes_before", "BYTES"),
    TableColumn::new("bytes_after", "BYTES"),
    TableColumn::new("fidelity", "REAL"),
    TableColumn::new("metric", "TEXT"),
    TableColumn::new("codec", "TEXT"),
    TableColumn::new("params", "TEXT"),
    TableColumn::new("note", "TEXT"),
    TableColumn::new("actor", "TEXT"),
    TableColumn::new("prev_hash", "TEXT"),
    TableColumn::new("hash", "TEXT"),
];

/// The column `object`.
const OBJECT: usize = 1;

/// The table.
pub(crate) struct HistoryTable {
    shared: Arc<Shared>,
}

impl HistoryTable {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Table for HistoryTable {
    fn name(&self) -> &str {
        "history"
    }

    fn columns(&self) -> &[TableColumn] {
        &COLUMNS
    }

    fn shape(&self) -> Result<TableShape> {
        // The history only grows; a guess is enough to prefer its one index.
        const ROWS: f64 = 100_000.0;
        let by_object = IndexShape {
            name: "object index",
            columns: vec![ColumnRef::Number(OBJECT)],
            also: Vec::new(),
            column_name: "object".to_owned(),
            text: false,
            unique: false,
            rows_equal: 5.0,
            rows_range: ROWS,
            ranges: false,
            histogram: Vec::new(),
            ordered: false,
        };
        let scan_order = vec![ColumnRef::RowId, ColumnRef::Number(0)];
        Ok(TableShape { rows: ROWS, indexes: vec![by_object], scan_order })
    }

    fn open(&self, plan: &Plan, conditions: Conditions) -> Result<Box<dyn Rows>> {
        let (store, snapshot) = (&self.shared.store, self.shared.snapshot());
        let sources = match plan.index {
            None => vec![store.history_at(&snapshot, None)],
            Some(_) => conditions
                .integers()
                .into_iter()
                .filter(|(low, high)| low == high)
                .filter_map(|(id, _)| u64::try_from(id).ok())
                .map(|id| store.history_at(&snapshot, Some(ObjectId(id))))
                .collect(),
        };
        let rows = HistoryRows {
            tenant: self.shared.tenant.clone(),
            sources: sources.into_iter(),
            source: None,
            current: None,
        };
        Ok(Box::new(rows))
    }
}

struct HistoryRows {
    tenant: String,
    sources: std::vec::IntoIter<History>,
    source: Option<History>,
    current: Option<HistoryRow>,
}

impl Rows for HistoryRows {
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(row) = self.source.as_mut().and_then(Iterator::next) {
                let row = row?;
                if row.tenant == self.tenant {
                    self.current = Some(row);
                    return Ok(true);
                }
                continue;
            }
            self.source = self.sources.next();
            if self.source.is_none() {
                self.current = None;
                return Ok(false);
            }
        }
    }

    fn row_id(&self) -> i64 {
        self.current.as_ref().map_or(0, |row| i64::try_from(row.seq).unwrap_or(i64::MAX))
    }

    fn value(&self, column: usize) -> Result<Cell<'_>> {
        let Some(row) = &self.current else { return Ok(cell::null()) };
        let stage = |stage: Stage| cell::integer(stage.number().into());
        let optional_text = |text| Some(text).filter(|text: &&str| !text.is_empty());
        Ok(match column {
            0 => cell::unsigned(row.seq),
            1 => cell::unsigned(row.object.0),
            2 => cell::text(&row.name),
            3 => cell::text(&row.tenant),
            4 => cell::unsigned(row.at.0),
            5 => cell::optional(row.from, stage),
            6 => cell::optional(row.to, stage),
            7 => cell::text(row.reason.as_str()),
            8 => cell::unsigned(row.bytes_before),
            9 => cell::unsigned(row.bytes_after),
            10 => cell::real(row.fidelity),
            11 => cell::optional(optional_text(&row.metric), cell::text),
            12 => cell::optional(optional_text(&row.codec), cell::text),
            13 => cell::optional(optional_text(&row.params), cell::text),
            14 => cell::optional(optional_text(&row.note), cell::text),
            15 => cell::text(&row.actor),
            16 => cell::hex(&row.prev_hash),
            17 => cell::hex(&row.hash),
            _ => cell::null(),
        })
    }
}
