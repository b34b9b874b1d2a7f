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
    let dialect = sniffed(text, limits.columns)?;
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

/// A separator that would make a row of more than `columns_max` cells is none, and no row is ever split by it: a record of as
/// many cells as bytes would take fifty times its size.
fn sniffed(text: &str, columns_max: u64) -> Result<Dialect, Refusal> {
    let mut best: Option<(f64, Dialect)> = None;
    let mut too_wide = None;
    for separator in SEPARATORS {
        let widest = widest(text.as_bytes(), separator);
        if widest > columns_max {
            too_wide = too_wide.max(Some(widest));
            continue;
        }
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
    match (best, too_wide) {
        (Some((_, dialect)), _) if dialect.width > 1 => Ok(dialect),
        (_, Some(widest)) => Err(Refusal::new(format!("{widest} columns are more than {columns_max}"))),
        (best, None) => best.map(|(_, dialect)| dialect).ok_or_else(|| Refusal::new("has no regular rows")),
    }
}

/// The cells of the row that has most of them, quotes respected, without splitting it. O(bytes).
fn widest(text: &[u8], separator: u8) -> u64 {
    let (mut cells, mut widest) = (1, 1);
    let (mut is_start, mut is_quoted) = (true, false);
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if is_quoted {
            // A quote twice is one of the text.
            is_quoted = byte != b'"' || bytes.next_if_eq(&b'"').is_some();
            continue;
        }
        is_quoted = is_start && byte == b'"';
        is_start = byte == separator || byte == b'\n' || byte == b'\r';
        if byte == separator {
            cells += 1;
            widest = widest.max(cells);
        } else if is_start {
            cells = 1;
        }
    }
    widest
}

fn is_header(first: &csv::StringRecord, width: usize) -> bool {
    let mut seen = HashSet::new();
    first.len() == width
        && first.iter().all(|cell| matches!(cells::read(cell, true), Cell::Text) && seen.insert(cell.trim()))
}
