//! Spreadsheets into grids: their values, not their formulas or colours.
//!
//! # Invariants
//!
//! - Everything that a file unpacks to is counted before a library sees it.
//! - Cells are gathered as they come, at most [`Limits::values`] of them, and only then laid out: a sheet with two cells
//!   at its far corners is refused, not allocated.
//! - Dates become ISO dates, so that a column of dates makes the table a series.
//!
//! Rows above the table that hold little (a title, a date, nothing) are not part of it.
//!
//! [`Limits::values`]: crate::Limits::values

mod ods;
mod xls;
mod xlsx;

use super::Grid;
use crate::registry::{Input, Refusal};

/// The area of a sheet in cells, empty ones too, in multiples of [`crate::Limits::values`].
const AREA: u64 = 8;
/// Rows with less than this share of the usual number of cells, at the top, are no rows of the table.
const FILLED_SHARE_MIN: f64 = 0.6;
const CELLS_BETWEEN_CHECKS: usize = 16 * 1024;
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const XLS: &str = "application/vnd.ms-excel";
const ODS: &str = "application/vnd.oasis.opendocument.spreadsheet";

pub(super) fn accepts(mime: &str) -> bool {
    matches!(mime, XLSX | XLS | ODS)
}

/// The sheets that hold something, with their names, in their order; and what is lost.
pub(super) fn grids(input: &Input<'_>) -> Result<Vec<(String, Grid)>, Refusal> {
    let mut cells = Cells { input, sheets: Vec::new(), count: 0 };
    match input.media.mime.as_ref() {
        XLSX => xlsx::read(&mut cells)?,
        XLS => xls::read(&mut cells)?,
        _ => ods::read(&mut cells)?,
    }
    let limits = input.limits;
    let mut grids = Vec::new();
    let mut area = 0u64;
    for sheet in cells.sheets {
        let name = sheet.name;
        let Some(grid) = grid(sheet.cells, &mut area, input)
            .map_err(|refusal| Refusal::new(format!("sheet {}: {refusal}", crate::trace::cut(&name, 40))))?
        else {
            continue;
        };
        if grid.rows.len() as u64 > limits.rows {
            return Err(Refusal::new(format!("has more than {} rows", limits.rows)));
        }
        grids.push((name, grid));
    }
    if grids.is_empty() { Err(Refusal::new("has no sheet with rows")) } else { Ok(grids) }
}

/// The filled cells of sheets being read.
struct Cells<'i, 'a> {
    input: &'i Input<'a>,
    sheets: Vec<Sheet>,
    count: usize,
}

struct Sheet {
    name: String,
    /// Row, column, value.
    cells: Vec<(u32, u32, String)>,
}

impl Cells<'_, '_> {
    fn begin(&mut self, name: &str) -> Result<(), Refusal> {
        self.input.deadline.check()?;
        if self.sheets.len() as u64 >= self.input.limits.entries {
            return Err(Refusal::new(format!("has more than {} sheets", self.input.limits.entries)));
        }
        self.sheets.push(Sheet { name: name.to_owned(), cells: Vec::new() });
        Ok(())
    }

    fn add(&mut self, row: u32, column: u32, value: String) -> Result<(), Refusal> {
        self.count += 1;
        if self.count.is_multiple_of(CELLS_BETWEEN_CHECKS) {
            self.input.deadline.check()?;
        }
        if self.count as u64 > self.input.limits.values {
            return Err(Refusal::new(format!("has more than {} cells", self.input.limits.values)));
        }
        if u64::from(column) >= self.input.limits.columns {
            return Err(Refusal::new(format!("has more than {} columns", self.input.limits.columns)));
        }
        if let Some(sheet) = self.sheets.last_mut().filter(|_| !value.is_empty()) {
            sheet.cells.push((row, column, value));
        }
        Ok(())
    }
}

/// Lays cells out. O(cells log cells + area).
fn grid(
    mut cells: Vec<(u32, u32, String)>,
    area: &mut u64,
    input: &Input<'_>,
) -> Result<Option<Grid>, Refusal> {
    cells.sort_by_key(|(row, column, _)| (*row, *column));
    let by_row: Vec<&[(u32, u32, String)]> = cells.chunk_by(|a, b| a.0 == b.0).collect();
    let mut filled: Vec<usize> = by_row.iter().map(|row| row.len()).collect();
    filled.sort_unstable();
    let usual = filled.get(filled.len() / 2).copied().unwrap_or_default() as f64;
    let first =
        by_row.iter().position(|row| row.len() as f64 >= usual * FILLED_SHARE_MIN).unwrap_or_default();
    let of_table = by_row.get(first..).unwrap_or_default();
    if of_table.len() < 2 {
        return Ok(None);
    }
    // Of the table alone: a title may stand farther left.
    let left = of_table.iter().flat_map(|row| row.first()).map(|(_, column, _)| *column).min();
    let left = left.unwrap_or_default();
    let width =
        |row: &[(u32, u32, String)]| row.last().map_or(0, |(_, column, _)| (column - left) as usize + 1);
    let widest = of_table.iter().map(|row| width(row)).max().unwrap_or_default();
    *area = area.saturating_add(widest as u64 * of_table.len() as u64);
    if *area > input.limits.values.saturating_mul(AREA) {
        return Err(Refusal::new("its cells lie too far apart"));
    }
    let records = of_table
        .iter()
        .map(|row| {
            let mut record = csv::StringRecord::new();
            for (_, column, value) in row.iter() {
                while record.len() < (column - left) as usize {
                    record.push_field("");
                }
                record.push_field(value);
            }
            while record.len() < widest {
                record.push_field("");
            }
            record
        })
        .collect();
    Grid::of(records, widest, b',').map(Some)
}

/// As short as it can be written, whole numbers without a point.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value}") }
}

#[cfg(test)]
mod tests;
