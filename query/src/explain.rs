//! EXPLAIN: SQLite's plan as an indented tree in one column.

use std::collections::HashMap;

use rusqlite::Statement;

use crate::session::Given;
use crate::value::{Column, Value};

/// Steps an EXPLAIN QUERY PLAN and gives its rows, each indented below its parent.
pub(crate) fn run(prepared: &mut Statement<'_>, given: &mut Given<'_>) -> rusqlite::Result<()> {
    given.begin(&[Column::plain("plan")]);
    let mut depths: HashMap<i64, usize> = HashMap::new();
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        let (id, parent): (i64, i64) = (row.get(0)?, row.get(1)?);
        let detail: String = row.get(3)?;
        let depth = depths.get(&parent).map_or(0, |depth| depth + 1);
        depths.insert(id, depth);
        let line = format!("{}{}", "  ".repeat(depth), readable(&detail));
        if given.row(&[Value::Text(line)]).is_break() {
            break;
        }
    }
    Ok(())
}

/// `SCAN objects VIRTUAL TABLE INDEX 2:stage index (stage = ?)` without what says nothing to people.
fn readable(detail: &str) -> String {
    let Some((table, index)) = detail.split_once(" VIRTUAL TABLE INDEX ") else { return detail.to_owned() };
    let index = index.split_once(':').map_or(index, |(_, name)| name);
    if index == "full scan" {
        return table.to_owned();
    }
    format!("{} USING {index}", table.replacen("SCAN", "SEARCH", 1))
}
