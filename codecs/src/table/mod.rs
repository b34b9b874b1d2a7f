//! Tables: statistics of every column, and rows to look at.
//!
//! # Invariants
//!
//! - What is written as rows is the table's own rows, with the table's own separator.
//! - Cold is made from what warm holds, the trace from what cold holds: a later stage never says more, and a table
//!   that went through warm ends as the same cold form as one that did not.
//! - One pass over the text and a sort a column: O(n log n) time, O(n) memory, both bounded by [`Limits`].
//!
//! A table whose rows are in the order of a time column is a series: it is down-sampled into buckets of time.
//!
//! # Example
//!
//! A year of hourly temperatures (193 kB) becomes 365 days of least, mean and greatest (18 kB), then 53 weeks (4 kB).
//!
//! # The form that is left ([`TABLE_MIME`])
//!
//! JSON, documented in docs/codecs.md: `columns` one a line, `series` and `rows` as lines of CSV, so that
//! `jq -r '.rows | .header, .head[], .sample[], .tail[]'` is CSV again.
//!
//! # Fidelity
//!
//! Metric `values`: half for the distributions ([`crate::statistics`], mean over the columns), half for single
//! values: the share of the rows that are kept, or of a series the share of the variance that the bucket means
//! explain, whichever is more. Ranges alone, in the trace, count a twentieth of their distribution.
//!
//! [`Limits`]: crate::Limits

mod dialect;
mod series;
#[cfg(feature = "sheets")]
mod sheet;
mod summary;
mod workbook;

use std::borrow::Cow;

use crate::media::MediaType;
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::statistics::{Stats, sampling};
use crate::summarised;
use crate::text::encoding::{self, Encoding};
use series::Series;
use summary::{Column, Rows, Summary};
use workbook::Workbook;

pub use workbook::WORKBOOK_MIME;

/// The media type of what is left of a table.
pub const TABLE_MIME: &str = "application/vnd.patina.table+json";

pub(crate) static TABLE: Table = Table;

const HEAD_ROWS: usize = 10;
/// One row in this many is in the sample, …
const SAMPLE_ONE_IN: usize = 10;
/// … but not more than this many.
const SAMPLE_ROWS_MAX: usize = 1000;
/// A series already shows its course.
const SAMPLE_ROWS_MAX_IN_SERIES: usize = 50;

/// The rows of a table, wherever they come from.
pub(crate) struct Grid {
    pub(crate) header: Option<Vec<String>>,
    pub(crate) rows: Vec<csv::StringRecord>,
    /// Cells a row has, at most.
    pub(crate) columns: usize,
    pub(crate) separator: u8,
}

pub(crate) struct Table;

impl Codec for Table {
    fn id(&self) -> &'static str {
        "table"
    }

    fn version(&self) -> u16 {
        1
    }

    fn accepts(&self, media: &MediaType) -> bool {
        #[cfg(feature = "sheets")]
        if sheet::accepts(&media.mime) {
            return true;
        }
        matches!(media.mime.as_ref(), "text/csv" | "text/tab-separated-values" | TABLE_MIME | WORKBOOK_MIME)
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        let len_bytes = input.bytes.len() as u64;
        if len_bytes > input.limits.text_bytes {
            return Err(Refusal::new(format!("{len_bytes} bytes are more than {}", input.limits.text_bytes)));
        }
        if input.media.mime == TABLE_MIME {
            let value = serde_json::from_slice(input.bytes)
                .map_err(|error| Refusal::new(format!("is no summary of a table: {error}")))?;
            let summary = Summary::read(&value).ok_or_else(|| Refusal::new("is no summary of a table"))?;
            return Ok(summarised::outcome(&summary, true, input.depth));
        }
        if input.media.mime == WORKBOOK_MIME {
            let value = serde_json::from_slice(input.bytes)
                .map_err(|error| Refusal::new(format!("is no summary of sheets: {error}")))?;
            let workbook = Workbook::read(&value).ok_or_else(|| Refusal::new("is no summary of sheets"))?;
            return Ok(summarised::outcome(&workbook, true, input.depth));
        }
        #[cfg(feature = "sheets")]
        if sheet::accepts(&input.media.mime) {
            return of_sheets(input);
        }
        let (text, encoding) = encoding::decode(input.bytes).ok_or_else(|| Refusal::new("is no text"))?;
        let grid = dialect::read(&text, input)?;
        let mut outcome = summarised::outcome(&summary_of(&grid, input)?, false, input.depth);
        if let (Outcome::Bytes { note: Some(note), .. }, true) = (&mut outcome, encoding != Encoding::Utf8) {
            note.push_str(&format!("; {} became UTF-8", encoding.as_str()));
        }
        Ok(outcome)
    }
}

#[cfg(feature = "sheets")]
fn of_sheets(input: &Input<'_>) -> Result<Outcome, Refusal> {
    let mut sheets = Vec::new();
    for (name, grid) in sheet::grids(input)? {
        sheets.push((name, summary_of(&grid, input)?));
    }
    let mut outcome = match sheets.as_slice() {
        [(_, only)] => summarised::outcome(only, false, input.depth),
        _ => summarised::outcome(&Workbook { sheets }, false, input.depth),
    };
    if let Outcome::Bytes { note: Some(note), .. } = &mut outcome {
        note.push_str("; formulas, colours and charts are lost");
    }
    Ok(outcome)
}

/// All that warm holds.
pub(crate) fn summary_of(grid: &Grid, input: &Input<'_>) -> Result<Summary, Refusal> {
    let separator = grid.separator;
    let name = |at: usize| {
        let given = grid.header.as_ref().and_then(|header| header.get(at)).map(|name| name.trim());
        given.filter(|name| !name.is_empty()).map_or_else(|| format!("column {}", at + 1), str::to_owned)
    };
    let is_comma_decimal = separator != b',';
    let columns: Vec<Column> = (0..grid.columns)
        .map(|at| {
            input.deadline.check()?;
            let name = name(at);
            let cells = grid.rows.iter().map(|row| Cow::Borrowed(row.get(at).unwrap_or_default()));
            let stats = Stats::of(&name, cells, is_comma_decimal);
            Ok(Column { name, stats })
        })
        .collect::<Result<_, Refusal>>()?;
    let series = Series::of(&grid.rows, &columns, is_comma_decimal);
    let sample_max = if series.is_some() { SAMPLE_ROWS_MAX_IN_SERIES } else { SAMPLE_ROWS_MAX };
    let rows = rows_to_see(grid, (grid.rows.len() / SAMPLE_ONE_IN).min(sample_max));
    let rows_in_all = grid.rows.len() as u64;
    Ok(Summary { rows_in_all, separator: char::from(separator), columns, series, rows })
}

/// Head, tail, and a sample of what lies between.
fn rows_to_see(grid: &Grid, sample_rows: usize) -> Rows {
    let count = grid.rows.len();
    let line =
        |at: usize| grid.rows.get(at).map(|row| line_of(row.iter(), grid.separator)).unwrap_or_default();
    let head_end = HEAD_ROWS.min(count);
    let tail_start = count.saturating_sub(HEAD_ROWS).max(head_end);
    let between = sampling::chosen(tail_start - head_end, sample_rows);
    Rows {
        header: grid.header.as_ref().map(|header| line_of(header.iter().map(String::as_str), grid.separator)),
        head: (0..head_end).map(line).collect(),
        sample: between.into_iter().map(|at| line(head_end + at)).collect(),
        tail: (tail_start..count).map(line).collect(),
    }
}

/// One line of CSV, without its end.
fn line_of<'a>(cells: impl Iterator<Item = &'a str>, separator: u8) -> String {
    let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(Vec::new());
    let mut line = match writer.write_record(cells) {
        Ok(()) => {
            writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
        }
        Err(_) => String::new(),
    };
    line.truncate(line.trim_end_matches('\n').len());
    line
}

#[cfg(test)]
mod tests;
