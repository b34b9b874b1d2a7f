//! Which characters separate the cells, and whether the first row names them.
//!
//! The separator is the one by which the first rows agree best on a number of cells; of equals the one that gives
//! more cells. A first row of another width than the others is a title (some data sets count rows and classes there)
//! and no header; a header has a name in each cell, all different, none of them a number or a time.

use std::collections::HashSet;

use super::{Grid, Input, Refusal};
use crate::statistics::cells::{self, Cell};

const SEPARATORS: [u8; 4] = [b',', b'\t', b';', b'|'];
const ROWS_LOOKED_AT: usize = 200;
const ROWS_BETWEEN_CHECKS: usize = 4096;
/// At least this share of the rows must have the usual width, or it is no table.
const REGULAR_SHARE_MIN: f64 = 0.7;

pub(super) struct Dialect {
    separator: u8,
    /// Cells of most rows.
    width: usize,
}

/// Reads a table. O(bytes).
pub(super) fn read(text: &str, input: &Input<'_>) -> Result<Grid, Refusal> {
    let limits = input.limits;
    let dialect = sniffed(text).ok_or_else(|| Refusal::new("has no regular rows"))?;
    if dialect.width as u64 > limits.columns {
        return Err(Refusal::new(format!("{} columns are more than {}", dialect.width, limits.columns)));
    }
    let mut rows: Vec<csv::StringRecord> = Vec::new();
    let mut regular = 0usize;
    for record in reader(text, dialect.separator).into_records() {
        let record = record.map_err(|error| Refusal::new(error.to_string()))?;
        if rows.len().is_multiple_of(ROWS_BETWEEN_CHECKS) {
            input.deadline.check()?;
        }
        if rows.len() as u64 >= limits.rows {
            return Err(Refusal::new(format!("has more than {} rows", limits.rows)));
        }
        if record.len() as u64 > limits.columns {
            return Err(Refusal::new(format!("a row of {} cells is over {}", record.len(), limits.columns)));
        }
        regular += usize::from(record.len() == dialect.width);
        rows.push(record);
    }
    if (regular as f64) < rows.len() as f64 * REGULAR_SHARE_MIN {
        return Err(Refusal::new("has no regular rows"));
    }
    Grid::of(rows, dialect.width, dialect.separator)
}

impl Grid {
    /// Rows of which most have `width` cells. The first of them may be a header, or a title of another width.
    pub(super) fn of(mut rows: Vec<csv::StringRecord>, width: usize, separator: u8) -> Result<Self, Refusal> {
        let header = rows.first().filter(|first| is_header(first, width));
        let header: Option<Vec<String>> = header.map(|first| first.iter().map(str::to_owned).collect());
        let has_title = rows.first().is_some_and(|first| first.len() != width && rows.len() > 1);
        if header.is_some() || has_title {
            rows.remove(0);
        }
        if rows.is_empty() {
            return Err(Refusal::new("has no rows"));
        }
        let columns = rows.iter().map(csv::StringRecord::len).max().unwrap_or_default();
        Ok(Self { header, rows, columns, separator })
    }
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
}

fn sniffed(text: &str) -> Option<Dialect> {
    let mut best: Option<(f64, Dialect)> = None;
    for separator in SEPARATORS {
        let widths: Vec<usize> = reader(text, separator)
            .into_records()
            .take(ROWS_LOOKED_AT)
            .map_while(|record| record.ok())
            .map(|record| record.len())
            .collect();
        let count = |width: usize| widths.iter().filter(|other| **other == width).count();
        let Some(width) = widths.iter().copied().max_by_key(|width| (count(*width), *width)) else {
            continue;
        };
        // A table of one column has no separator: any other agreement is worth more.
        let agreement = count(width) as f64 / widths.len() as f64 * if width > 1 { 1.0 } else { 0.5 };
        let is_better = best.as_ref().is_none_or(|(former, dialect)| {
            agreement > *former || agreement == *former && width > dialect.width
        });
        if is_better {
            best = Some((agreement, Dialect { separator, width }));
        }
    }
    best.map(|(_, dialect)| dialect)
}

fn is_header(first: &csv::StringRecord, width: usize) -> bool {
    let mut seen = HashSet::new();
    first.len() == width
        && first.iter().all(|cell| matches!(cells::read(cell, true), Cell::Text) && seen.insert(cell.trim()))
}
