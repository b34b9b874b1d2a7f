//! XLS, through `calamine`, which lays out whole sheets by what the file claims; so the claims are looked at first.
//!
//! The file is a container of streams (MS-CFB); its stream `Workbook` is a list of records, each a type and a length of
//! two bytes and that many bytes (MS-XLS). Cells begin with their row and column.

use std::io::{Cursor, Read};

use calamine::{Reader, Xls};

use super::{AREA, Cells, xlsx};
use crate::registry::Refusal;

const BEGIN: u16 = 0x0809;
const DIMENSIONS: u16 = 0x0200;
/// FORMULA, NUMBER, LABEL, BOOLERR, RK, MULRK, RSTRING, LABELSST.
const CELLS: [u16; 10] = [0x0006, 0x0206, 0x0406, 0x0203, 0x0204, 0x0205, 0x027e, 0x00bd, 0x00d6, 0x00fd];
const MULTIPLE: u16 = 0x00bd;
/// Claims the number of sheets by its length; a record cannot be longer than 64 KiB, so this one is harmless.
const STREAMS: [&str; 2] = ["/Workbook", "/Book"];

pub(super) fn read(cells: &mut Cells<'_, '_>) -> Result<(), Refusal> {
    check(cells)?;
    let odd = |error: calamine::XlsError| Refusal::new(format!("cannot be read: {error}"));
    let mut book: Xls<_> = Xls::new(Cursor::new(cells.input.bytes)).map_err(odd)?;
    for name in book.sheet_names() {
        let Ok(range) = book.worksheet_range(&name) else { continue };
        cells.begin(&name)?;
        let (top, left) = range.start().unwrap_or_default();
        for (row, column, value) in range.used_cells() {
            let place = |start: u32, at: usize| start.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
            cells.add(place(top, row), place(left, column), xlsx::owned_text(value))?;
        }
    }
    Ok(())
}

/// The area of the sheets, by their cells and by what they claim. O(bytes).
fn check(cells: &Cells<'_, '_>) -> Result<(), Refusal> {
    let odd = |error: std::io::Error| Refusal::new(format!("cannot be read: {error}"));
    let limit = cells.input.limits.values.saturating_mul(AREA) / 4;
    let mut file = cfb::CompoundFile::open(Cursor::new(cells.input.bytes)).map_err(odd)?;
    for name in STREAMS {
        if !file.is_stream(name) {
            continue;
        }
        let mut stream = Vec::new();
        let reader = file.open_stream(name).map_err(odd)?;
        // A container that names its sectors twice would give more than there is.
        reader.take(cells.input.bytes.len() as u64).read_to_end(&mut stream).map_err(odd)?;
        let mut rest = stream.as_slice();
        let (mut area, mut bounds) = (0u64, Bounds::default());
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let (kind, len) =
                (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
            let Some((data, after)) = after.split_at_checked(usize::from(len)) else { break };
            rest = after;
            match kind {
                BEGIN => area = area.saturating_add(std::mem::take(&mut bounds).area()),
                DIMENSIONS => area = area.saturating_add(claimed(data)),
                kind if CELLS.contains(&kind) => {
                    let number = |at: usize| {
                        data.get(at..)?.first_chunk::<2>().map(|bytes| u64::from(u16::from_le_bytes(*bytes)))
                    };
                    let last =
                        if kind == MULTIPLE { data.len().checked_sub(2).and_then(number) } else { None };
                    if let (Some(row), Some(column)) = (number(0), number(2)) {
                        bounds.add(row, column);
                        bounds.add(row, last.unwrap_or(column));
                    }
                }
                _ => {}
            }
        }
        if area.saturating_add(bounds.area()) > limit {
            return Err(Refusal::new("its cells lie too far apart"));
        }
    }
    Ok(())
}

/// First and last row, then first and last column, each end beyond the last.
fn claimed(data: &[u8]) -> u64 {
    let wide =
        |at: usize| data.get(at..)?.first_chunk::<4>().map(|bytes| u64::from(u32::from_le_bytes(*bytes)));
    let narrow =
        |at: usize| data.get(at..)?.first_chunk::<2>().map(|bytes| u64::from(u16::from_le_bytes(*bytes)));
    let ends = match data.len() {
        // Before Excel 97 rows had two bytes.
        ..14 => (narrow(0), narrow(2), narrow(4), narrow(6)),
        _ => (wide(0), wide(4), narrow(8), narrow(10)),
    };
    let (Some(top), Some(bottom), Some(left), Some(right)) = ends else { return 0 };
    // An end before its start wraps around in a program that subtracts.
    if top > bottom || left > right {
        return if bottom == 0 && right == 0 { 0 } else { u64::MAX };
    }
    (bottom - top + 1).saturating_mul(right - left + 1)
}

#[derive(Default)]
struct Bounds {
    rows: Option<(u64, u64)>,
    columns: Option<(u64, u64)>,
}

impl Bounds {
    fn add(&mut self, row: u64, column: u64) {
        let wider = |bounds: Option<(u64, u64)>, at: u64| {
            let (least, greatest) = bounds.unwrap_or((at, at));
            Some((least.min(at), greatest.max(at)))
        };
        (self.rows, self.columns) = (wider(self.rows, row), wider(self.columns, column));
    }

    fn area(&self) -> u64 {
        match (self.rows, self.columns) {
            (Some((top, bottom)), Some((left, right))) => (bottom - top + 1) * (right - left + 1),
            _ => 0,
        }
    }
}
