//! What is left of a file with several sheets: what is left of each.
//!
//! JSON of type [`WORKBOOK_MIME`]: `patina` (`workbook 1`), and `sheets[]` with `sheet` (its name) and `table` (of the form
//! that [`super`] documents). A file with one sheet becomes a plain table.

use serde_json::Value;

use super::summary::Summary;
use crate::readable::{Members, list_of, text_of};
use crate::summarised::Summarised;
use crate::trace::{TraceBuilder, cut};

/// The media type of what is left of a file with several sheets.
pub const WORKBOOK_MIME: &str = "application/vnd.patina.workbook+json";

const FORM: &str = "workbook 1";
const NAME_CHARS_MAX: usize = 40;
/// Of a sheet, in the trace.
const COLUMNS_NAMED_MAX: usize = 12;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workbook {
    /// Names and what is left; never empty.
    pub(crate) sheets: Vec<(String, Summary)>,
}

impl Workbook {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let sheet = |value: &Value| Some((text_of(value, "sheet"), Summary::read(value.get("table")?)?));
        let sheets: Vec<(String, Summary)> = list_of(value, "sheets").iter().filter_map(sheet).collect();
        (text_of(value, "patina") == FORM && !sheets.is_empty()).then_some(Self { sheets })
    }

    /// The mean over the cells.
    fn mean(&self, of: impl Fn(&Summary) -> f64) -> f64 {
        let cells =
            |summary: &Summary| (summary.rows_in_all.max(1) as f64) * summary.columns.len().max(1) as f64;
        let all: f64 = self.sheets.iter().map(|(_, summary)| cells(summary)).sum();
        self.sheets.iter().map(|(_, summary)| of(summary) * (cells(summary) / all)).sum()
    }
}

impl Summarised for Workbook {
    const MIME: &'static str = WORKBOOK_MIME;
    const METRIC: &'static str = Summary::METRIC;

    fn fidelity(&self) -> f64 {
        self.mean(Summary::fidelity)
    }

    fn reduced(&self) -> Self {
        let reduced = |(name, summary): &(String, Summary)| (name.clone(), summary.reduced());
        Self { sheets: self.sheets.iter().map(reduced).collect() }
    }

    fn trace(&self) -> (String, f64) {
        let mut trace = TraceBuilder::new();
        trace.add("sheets_in_all", self.sheets.len());
        let described: Vec<String> = self
            .sheets
            .iter()
            .map(|(name, summary)| {
                let columns: Vec<String> = summary
                    .columns
                    .iter()
                    .take(COLUMNS_NAMED_MAX)
                    .map(|column| cut(&column.name, NAME_CHARS_MAX))
                    .collect();
                let (name, rows) = (cut(name, NAME_CHARS_MAX), summary.rows_in_all);
                format!("{name}: {rows} rows of {} columns: {}", summary.columns.len(), columns.join(", "))
            })
            .collect();
        let fitted = trace.add_list("sheets", described.iter().map(String::as_str));
        let told = fitted as f64 / self.sheets.len().max(1) as f64;
        (trace.finish(), self.mean(|summary| summary.trace().1) * told)
    }

    fn params(&self) -> String {
        format!("sheets={}", self.sheets.len())
    }

    fn note(&self) -> String {
        let each = |(name, summary): &(String, Summary)| {
            format!("{}: {}", cut(name, NAME_CHARS_MAX), summary.note())
        };
        cut(&self.sheets.iter().map(each).collect::<Vec<_>>().join("; "), 500)
    }

    fn write(&self) -> String {
        let sheet = |(name, summary): &(String, Summary)| {
            let mut members = Members::inline();
            members.add("sheet", name.as_str());
            members.add_json("table", &summary.write());
            members.finish()
        };
        let mut members = Members::lines();
        members.add("patina", FORM);
        members.add_list("sheets", &self.sheets.iter().map(sheet).collect::<Vec<_>>());
        members.finish()
    }
}
