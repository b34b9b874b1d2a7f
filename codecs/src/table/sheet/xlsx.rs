//! XLSX, through `calamine`.
//!
//! The library believes the number of texts that a file claims to share, and allocates for it; a claim that the file
//! could not hold is refused before.

use std::io::Cursor;

use calamine::{Data, DataRef, ExcelDateTime, Reader, Xlsx};

use super::{Cells, number};
use crate::archive::zip::Zip;
use crate::registry::Refusal;

/// Where the claim stands, if it stands anywhere.
const HEAD_BYTES: usize = 64 * 1024;
const CLAIM: &str = "uniqueCount";

pub(super) fn read(cells: &mut Cells<'_, '_>) -> Result<(), Refusal> {
    check(cells)?;
    let odd = |error: calamine::XlsxError| Refusal::new(format!("cannot be read: {error}"));
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(cells.input.bytes)).map_err(odd)?;
    for name in book.sheet_names() {
        let mut reader = match book.worksheet_cells_reader(&name) {
            Ok(reader) => reader,
            // A sheet that is a chart.
            Err(calamine::XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(odd(error)),
        };
        cells.begin(&name)?;
        while let Some(cell) = reader.next_cell().map_err(odd)? {
            let (row, column) = cell.get_position();
            cells.add(row, column, text(cell.get_value()))?;
        }
    }
    Ok(())
}

/// Unpacks every part once, to count it and to look at what it claims.
fn check(cells: &Cells<'_, '_>) -> Result<(), Refusal> {
    let mut zip = Zip::open(cells.input)?;
    for at in 0..zip.len() {
        let mut head = Vec::new();
        let passed = zip.pass(at, |block| {
            if head.len() < HEAD_BYTES {
                head.extend_from_slice(block);
            }
        })?;
        let is_wide = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
        if is_wide && passed.name.ends_with(".xml") {
            return Err(Refusal::new("has parts that are no UTF-8"));
        }
        let head = String::from_utf8_lossy(&head);
        for claim in head.split(CLAIM).skip(1) {
            let digits = claim.trim_start_matches([' ', '=', '"', '\'', '\n', '\t', '\r']);
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            let claimed = digits.get(..end).unwrap_or_default();
            if !claimed.is_empty() && claimed.parse::<u64>().map_or(true, |claimed| claimed > passed.bytes) {
                return Err(Refusal::new("claims more texts than it can hold"));
            }
        }
    }
    Ok(())
}

fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(value) => value.to_string(),
        DataRef::Float(value) => number(*value),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::DateTime(time) => time_text(time),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(_) | DataRef::Empty => String::new(),
    }
}

pub(super) fn owned_text(value: &Data) -> String {
    match value {
        Data::Int(value) => value.to_string(),
        Data::Float(value) => number(*value),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Bool(value) => value.to_string(),
        Data::DateTime(time) => time_text(time),
        Data::Error(_) | Data::Empty => String::new(),
    }
}

/// `2010-01-31`, `2010-01-31T14:00:00`; durations in hours.
fn time_text(time: &ExcelDateTime) -> String {
    if time.is_duration() {
        return number((time.as_f64() * 24.0 * 1e6).round() / 1e6);
    }
    let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
    match (hour, minute, second, milli) {
        (0, 0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
        (_, _, _, 0) => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
        _ => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}"),
    }
}
