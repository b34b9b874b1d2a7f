//! Results as text: a [`Printer`] is a [`Sink`] that writes each result in a [`Format`].
//!
//! Tables and Markdown are for people: stages are names, times are local, bytes are KiB and MiB, statements without
//! rows say what they did. JSON and CSV are for programs: raw numbers, no messages. A failing output (a closed pipe)
//! stops the rows and comes out of [`Printer::finish`].

mod data;
mod table;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::Instant;

use patina_query::{Column, Outcome, Sink, Value};

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// An aligned table, fitted to the window.
    #[default]
    Table,
    /// An array of objects for each statement.
    Json,
    /// An object a line.
    Jsonl,
    /// Comma-separated values with a line of names; NULL is empty and empty text is `""`.
    Csv,
    /// A Markdown table.
    Markdown,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Table, Self::Json, Self::Jsonl, Self::Csv, Self::Markdown];
    /// Their names.
    pub const NAMES: [&'static str; 5] = ["table", "json", "jsonl", "csv", "markdown"];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Markdown => "markdown",
        })
    }
}

/// A name that is no format's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no format '{0}'; the formats are table, json, jsonl, csv and markdown")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.into_iter().find(|format| format.to_string().eq_ignore_ascii_case(name.trim()));
        found.ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// The time zone that times are shown in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// Coordinated universal time.
    Utc,
    /// The machine's.
    #[default]
    Local,
}

/// How a [`Printer`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// The format.
    pub format: Format,
    /// The window's width in characters, which tables are fitted to; `None` lets them be as wide as they are.
    pub width: Option<u16>,
    /// Colours and box-drawing characters.
    pub terminal: bool,
    /// Where times are shown.
    pub zone: Zone,
    /// Whether the footer of a table has the time the statement took.
    pub timing: bool,
}

impl Style {
    /// Always the same bytes for the same rows: no colours, no width, UTC, no timing.
    pub fn plain(format: Format) -> Self {
        Self { format, width: None, terminal: false, zone: Zone::Utc, timing: false }
    }

    /// For a person's terminal of this width.
    pub fn terminal(format: Format, width: Option<u16>) -> Self {
        Self { format, width, terminal: true, zone: Zone::Local, timing: true }
    }
}

/// The width in characters of the terminal that stdout is; `None` if it is none.
pub fn window_width() -> Option<u16> {
    comfy_table::Table::new().width()
}

/// Rows of a table that are laid out together; after so many a new table begins.
const TABLE_ROWS_MAX: usize = 1_000;

/// Writes results to `out`.
pub struct Printer<W: Write> {
    out: W,
    style: Style,
    zone: jiff::tz::TimeZone,
    columns: Vec<Column>,
    names: Vec<String>,
    /// Rows of a table that wait for their widths.
    waiting: Vec<Vec<Value>>,
    /// Rows of this result that were written.
    written: u64,
    /// Columns of this result that the window had no room for.
    left_out: usize,
    started: Option<Instant>,
    failure: Option<io::Error>,
}

impl<W: Write> Printer<W> {
    /// A printer; the time of the first statement counts from here.
    pub fn new(out: W, style: Style) -> Self {
        let zone = match style.zone {
            Zone::Utc => jiff::tz::TimeZone::UTC,
            Zone::Local => jiff::tz::TimeZone::system(),
        };
        let started = style.timing.then(now);
        Self {
            out,
            style,
            zone,
            columns: Vec::new(),
            names: Vec::new(),
            waiting: Vec::new(),
            written: 0,
            left_out: 0,
            started,
            failure: None,
        }
    }

    /// Ends the output.
    ///
    /// # Errors
    /// The first error of the output, such as a closed pipe.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.out.flush(),
        }
    }

    /// After a statement that failed: writes the rows that it gave before.
    pub fn abandon(&mut self) {
        if !self.waiting.is_empty() {
            self.attempt(Self::write_table);
        } else if self.style.format == Format::Json && self.written > 0 {
            self.attempt(|printer| printer.out.write_all(b"\n]\n"));
        }
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.failure.is_none()
            && let Err(failure) = write(self)
        {
            self.failure = Some(failure);
        }
    }

    fn write_begin(&mut self) -> io::Result<()> {
        match self.style.format {
            Format::Csv => data::write_csv(&mut self.out, self.names.iter().map(|name| Some(name.clone()))),
            Format::Markdown => text::write_markdown_head(&mut self.out, &self.columns),
            Format::Table | Format::Json | Format::Jsonl => Ok(()),
        }
    }

    fn write_row(&mut self, row: &[Value]) -> io::Result<()> {
        match self.style.format {
            Format::Table => {
                self.waiting.push(row.to_vec());
                if self.waiting.len() >= TABLE_ROWS_MAX {
                    self.write_table()?;
                }
            }
            Format::Json => {
                self.out.write_all(if self.written == 0 { b"[\n  " } else { b",\n  " })?;
                data::write_json(&mut self.out, &self.names, &self.columns, row)?;
            }
            Format::Jsonl => {
                data::write_json(&mut self.out, &self.names, &self.columns, row)?;
                self.out.write_all(b"\n")?;
            }
            Format::Csv => {
                let cells = self.columns.iter().zip(row).map(|(column, value)| data::csv_text(column, value));
                data::write_csv(&mut self.out, cells)?;
            }
            Format::Markdown => text::write_markdown_row(&mut self.out, &self.columns, row, &self.zone)?,
        }
        self.written += 1;
        Ok(())
    }

    fn write_table(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let fitting = table::write(&mut self.out, &self.columns, &rows, &self.style, &self.zone)?;
        self.left_out = self.left_out.max(self.columns.len().saturating_sub(fitting));
        Ok(())
    }

    fn write_end(&mut self, outcome: &Outcome) -> io::Result<()> {
        let has_columns = !self.columns.is_empty();
        match self.style.format {
            Format::Table => {
                if has_columns && (!self.waiting.is_empty() || self.written == 0) {
                    self.write_table()?;
                }
                self.write_footer(outcome, has_columns)?;
            }
            Format::Json if has_columns => {
                self.out.write_all(if self.written == 0 { b"[]\n" } else { b"\n]\n" })?;
            }
            // An empty line, so that what follows does not become part of the table.
            Format::Markdown if has_columns => self.out.write_all(b"\n")?,
            Format::Markdown => {
                if let Some(message) = &outcome.message {
                    writeln!(self.out, "{}", text::escape_controls(message))?;
                }
            }
            _ => {}
        }
        self.out.flush()
    }

    fn write_footer(&mut self, outcome: &Outcome, has_columns: bool) -> io::Result<()> {
        let mut parts: Vec<String> = Vec::new();
        if has_columns {
            parts.push(format!("{} row{}", self.written, if self.written == 1 { "" } else { "s" }));
        }
        if self.left_out > 0 {
            let shown = self.columns.len() - self.left_out;
            parts.push(format!("{shown} of {} columns shown: name the ones to see", self.columns.len()));
        }
        parts.extend(outcome.message.as_deref().map(text::escape_controls));
        if let Some(started) = self.started {
            parts.push(text::elapsed(now().duration_since(started)));
        }
        if parts.is_empty() { Ok(()) } else { writeln!(self.out, "({})", parts.join(", ")) }
    }
}

#[expect(clippy::disallowed_methods, reason = "a person watches how long a statement takes")]
fn now() -> Instant {
    Instant::now()
}

impl<W: Write> Sink for Printer<W> {
    fn begin(&mut self, columns: &[Column]) {
        self.columns = columns.to_vec();
        self.names = data::distinct_names(columns);
        self.written = 0;
        self.left_out = 0;
        self.attempt(Self::write_begin);
    }

    fn row(&mut self, row: &[Value]) -> ControlFlow<()> {
        self.attempt(|printer| printer.write_row(row));
        if self.failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn end(&mut self, outcome: Outcome) {
        self.attempt(|printer| printer.write_end(&outcome));
        self.columns.clear();
        self.written = 0;
        self.started = self.style.timing.then(now);
    }
}
