//! ODS: one part of XML, in which cells and rows are said to be repeated.
//!
//! A repeated cell that holds something counts as often as it is repeated; empty ones only move on.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Cells, number};
use crate::archive::zip::Zip;
use crate::registry::Refusal;

const PART: &str = "content.xml";
const EVENTS_BETWEEN_CHECKS: usize = 10_000;

/// Where the reader is.
#[derive(Default)]
struct Place {
    row: u32,
    row_repeats: u32,
    column: u32,
    cell: Option<Cell>,
    /// Filled cells of the row being read.
    in_row: Vec<(u32, String)>,
    is_annotation: bool,
}

#[derive(Default)]
struct Cell {
    repeats: u32,
    /// What the file says the value is; else its text.
    value: Option<String>,
    text: String,
    paragraphs: usize,
}

pub(super) fn read(cells: &mut Cells<'_, '_>) -> Result<(), Refusal> {
    let xml = Zip::open(cells.input)?.text(PART)?.ok_or_else(|| Refusal::new(format!("has no {PART}")))?;
    let mut reader = Reader::from_str(&xml);
    let mut place = Place::default();
    for events in 1usize.. {
        if events.is_multiple_of(EVENTS_BETWEEN_CHECKS) {
            cells.input.deadline.check()?;
        }
        match reader.read_event().map_err(|error| Refusal::new(format!("its XML cannot be read: {error}")))? {
            Event::Start(tag) => place.start(&tag, cells)?,
            Event::Empty(tag) => {
                place.start(&tag, cells)?;
                place.end(tag.local_name().as_ref(), cells)?;
            }
            Event::End(tag) => place.end(tag.local_name().as_ref(), cells)?,
            Event::Text(text) => place.text(&text),
            Event::GeneralRef(entity) => {
                let named = match entity.as_ref() {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => entity.resolve_char_ref().ok().flatten(),
                };
                place.text(named.map(String::from).unwrap_or_default().as_str());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    Ok(())
}

impl Place {
    fn start(&mut self, tag: &BytesStart<'_>, cells: &mut Cells<'_, '_>) -> Result<(), Refusal> {
        match tag.local_name().as_ref() {
            "table" => {
                cells.begin(&attribute(tag, "name").unwrap_or_default())?;
                *self = Self::default();
            }
            "table-row" => {
                self.row_repeats = repeats(tag, "number-rows-repeated");
                self.column = 0;
            }
            "table-cell" | "covered-table-cell" => {
                let value = match attribute(tag, "value-type").as_deref() {
                    Some("float" | "percentage" | "currency") => {
                        attribute(tag, "value").and_then(|value| value.parse().ok()).map(number)
                    }
                    Some("date") => attribute(tag, "date-value"),
                    Some("time") => attribute(tag, "time-value"),
                    Some("boolean") => attribute(tag, "boolean-value"),
                    _ => None,
                };
                let repeats = repeats(tag, "number-columns-repeated");
                self.cell = Some(Cell { repeats, value, ..Cell::default() });
            }
            "annotation" => self.is_annotation = true,
            "p" => {
                if let Some(cell) = self.cell.as_mut().filter(|_| !self.is_annotation) {
                    if cell.paragraphs > 0 {
                        cell.text.push('\n');
                    }
                    cell.paragraphs += 1;
                }
            }
            "s" => self.text(" "),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str, cells: &mut Cells<'_, '_>) -> Result<(), Refusal> {
        match name {
            "table-cell" | "covered-table-cell" => {
                let Some(cell) = self.cell.take() else { return Ok(()) };
                let value = cell.value.unwrap_or(cell.text);
                if !value.is_empty() {
                    if u64::from(cell.repeats) > cells.input.limits.columns {
                        return Err(Refusal::new(format!("repeats a cell {} times", cell.repeats)));
                    }
                    let columns = self.column..self.column.saturating_add(cell.repeats);
                    self.in_row.extend(columns.map(|column| (column, value.clone())));
                }
                self.column = self.column.saturating_add(cell.repeats);
            }
            "table-row" => {
                let filled = std::mem::take(&mut self.in_row);
                if !filled.is_empty() {
                    for row in self.row..self.row.saturating_add(self.row_repeats) {
                        for (column, value) in &filled {
                            cells.add(row, *column, value.clone())?;
                        }
                    }
                }
                self.row = self.row.saturating_add(self.row_repeats);
            }
            "annotation" => self.is_annotation = false,
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if let Some(cell) = self.cell.as_mut().filter(|cell| cell.paragraphs > 0 && !self.is_annotation) {
            cell.text.push_str(text);
        }
    }
}

fn repeats(tag: &BytesStart<'_>, name: &str) -> u32 {
    attribute(tag, name).and_then(|count| count.parse().ok()).unwrap_or(1).max(1)
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)?;
    Some(found.value.to_string())
}
