//! Aligned tables, fitted to the window.
//!
//! A table that is too wide has its long cells wrapped. If that would leave columns too narrow to read, as for
//! `SELECT FROM objects` in 80 characters, a few rows are written one below the other, a line a column, and many rows
//! are written with the columns that fit; the footer then says how many were left out.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use jiff::tz::TimeZone;
use patina_query::{Column, ColumnKind, Value};

use super::Style;
use super::text::{escape_controls, is_number, shown, stage_name};

/// The least characters a wrapped column is given.
const WRAPPED_CHARS_MIN: usize = 20;
/// So many rows are rather written one below the other than with columns left out.
const UPRIGHT_ROWS_MAX: usize = 3;
/// The line between two columns and the spaces around the text.
const BORDER_CHARS: usize = 3;

/// Writes rows below a line of names; gives how many columns found room.
pub(super) fn write(
    out: &mut impl Write,
    columns: &[Column],
    rows: &[Vec<Value>],
    style: &Style,
    zone: &TimeZone,
) -> io::Result<usize> {
    let fitting = style.width.map_or(columns.len(), |width| fitting(columns, rows, width.into(), zone));
    if fitting < columns.len() && (1..=UPRIGHT_ROWS_MAX).contains(&rows.len()) {
        write_upright(out, columns, rows, zone)?;
        return Ok(columns.len());
    }
    write_table(out, columns.get(..fitting).unwrap_or(columns), rows, style, zone)?;
    Ok(fitting)
}

/// How many columns fit when the wide ones are wrapped; at least one.
fn fitting(columns: &[Column], rows: &[Vec<Value>], width: usize, zone: &TimeZone) -> usize {
    let mut room = width.saturating_sub(1);
    let fits = |(index, column): &(usize, &Column)| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(*index))
            .map(|value| shown(column, value, zone).chars().count());
        let wanted = cells.chain([column.name.chars().count()]).max().unwrap_or(0);
        let needed = wanted.min(WRAPPED_CHARS_MIN) + BORDER_CHARS;
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    columns.iter().enumerate().take_while(fits).count().max(1)
}

fn write_upright(
    out: &mut impl Write,
    columns: &[Column],
    rows: &[Vec<Value>],
    zone: &TimeZone,
) -> io::Result<()> {
    let names: Vec<String> = columns.iter().map(|column| escape_controls(&column.name)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (number, row) in (1..).zip(rows) {
        writeln!(out, "-- row {number}")?;
        for ((column, name), value) in columns.iter().zip(&names).zip(row) {
            writeln!(out, "{name:>widest$}: {}", shown(column, value, zone))?;
        }
    }
    Ok(())
}

fn write_table(
    out: &mut impl Write,
    columns: &[Column],
    rows: &[Vec<Value>],
    style: &Style,
    zone: &TimeZone,
) -> io::Result<()> {
    let mut table = Table::new();
    table.force_no_tty();
    if style.terminal {
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.enforce_styling();
    } else {
        table.load_style(presets::ASCII_FULL_CONDENSED);
    }
    if let Some(width) = style.width {
        table.set_width(width.max(20));
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(columns.iter().map(|column| head(column, style)));
    for row in rows {
        table.add_row(columns.iter().zip(row).map(|(column, value)| cell(column, value, style, zone)));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn head(column: &Column, style: &Style) -> Cell {
    let cell = Cell::new(escape_controls(&column.name));
    if style.terminal { cell.add_attribute(Attribute::Bold) } else { cell }
}

fn cell(column: &Column, value: &Value, style: &Style, zone: &TimeZone) -> Cell {
    let mut cell = Cell::new(shown(column, value, zone));
    if is_number(column, value) {
        cell = cell.set_alignment(CellAlignment::Right);
    }
    if !style.terminal {
        return cell;
    }
    match (column.kind, value) {
        (_, Value::Null) => cell.fg(Color::DarkGrey),
        (ColumnKind::Stage, Value::Integer(number)) => match stage_name(*number) {
            Some("hot") => cell.fg(Color::Red),
            Some("warm") => cell.fg(Color::Yellow),
            Some("cold") => cell.fg(Color::Cyan),
            Some("trace") => cell.fg(Color::Magenta),
            Some("purged") => cell.fg(Color::DarkGrey),
            _ => cell,
        },
        _ => cell,
    }
}
