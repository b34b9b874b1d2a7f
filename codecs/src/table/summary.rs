//! What is left of a table, as JSON, and how it gets less.

use serde_json::Value;

use super::TABLE_MIME;
use super::series::Series;
use crate::readable::{Members, count_of, list_of, text_of, texts_of};
use crate::statistics::{RANGE_WORTH, Stats};
use crate::summarised::Summarised;
use crate::trace::TraceBuilder;

const FORM: &str = "table 1";
/// Rows that cold still shows.
const HEAD_ROWS_COLD: usize = 3;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) rows_in_all: u64,
    pub(crate) separator: char,
    pub(crate) columns: Vec<Column>,
    pub(super) series: Option<Series>,
    pub(crate) rows: Rows,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) stats: Stats,
}

/// Rows as lines of CSV.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) header: Option<String>,
    pub(crate) head: Vec<String>,
    pub(crate) sample: Vec<String>,
    pub(crate) tail: Vec<String>,
}

impl Rows {
    fn count(&self) -> usize {
        self.head.len() + self.sample.len() + self.tail.len()
    }
}

impl Summary {
    /// Reads what [`Summarised::write`] wrote.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        if text_of(value, "patina") != FORM {
            return None;
        }
        let rows = value.get("rows").unwrap_or(&Value::Null);
        Some(Self {
            rows_in_all: count_of(value, "rows_in_all"),
            separator: text_of(value, "separator").chars().next().unwrap_or(','),
            columns: list_of(value, "columns").iter().map(Column::read).collect(),
            series: value.get("series").and_then(Series::read),
            rows: Rows {
                header: rows.get("header").and_then(Value::as_str).map(str::to_owned),
                head: texts_of(rows, "head"),
                sample: texts_of(rows, "sample"),
                tail: texts_of(rows, "tail"),
            },
        })
    }

    fn distributions(&self) -> f64 {
        self.columns.iter().map(|column| column.stats.held).sum::<f64>() / self.columns.len().max(1) as f64
    }
}

impl Summarised for Summary {
    const MIME: &'static str = TABLE_MIME;
    const METRIC: &'static str = "values";

    /// See the module above.
    fn fidelity(&self) -> f64 {
        let share_of_rows = self.rows.count() as f64 / self.rows_in_all.max(1) as f64;
        let explained = self.series.as_ref().map_or(0.0, |series| series.explained);
        (self.distributions() + share_of_rows.min(1.0).max(explained)) / 2.0
    }

    /// Fewer statistics, wider buckets, hardly any rows.
    fn reduced(&self) -> Self {
        let reduced = |column: &Column| Column { name: column.name.clone(), stats: column.stats.reduced() };
        Self {
            rows_in_all: self.rows_in_all,
            separator: self.separator,
            columns: self.columns.iter().map(reduced).collect(),
            series: self.series.as_ref().map(Series::reduced),
            rows: Rows {
                header: self.rows.header.clone(),
                head: self.rows.head.iter().take(HEAD_ROWS_COLD).cloned().collect(),
                ..Rows::default()
            },
        }
    }

    /// The description that fits into a row, and its fidelity.
    fn trace(&self) -> (String, f64) {
        let mut trace = TraceBuilder::new();
        trace.add("rows", self.rows_in_all);
        trace.add("columns_in_all", self.columns.len());
        let described: Vec<String> =
            self.columns.iter().map(|column| column.stats.brief(&column.name)).collect();
        let fitted = trace.add_list("columns", described.iter().map(String::as_str));
        let told = fitted as f64 / self.columns.len().max(1) as f64;
        (trace.finish(), self.distributions() / 2.0 * RANGE_WORTH * told)
    }

    fn params(&self) -> String {
        let mut params = format!("rows={} columns={}", self.rows.count(), self.columns.len());
        if let Some(series) = &self.series {
            params.push_str(&format!(" buckets={} bucket_s={}", series.buckets(), series.width_s()));
        }
        params
    }

    fn note(&self) -> String {
        let (kept, all) = (self.rows.count(), self.rows_in_all);
        let mut note = format!("statistics of {} columns, {kept} of {all} rows kept", self.columns.len());
        if let Some(series) = &self.series {
            note.push_str(&format!(", {} buckets of {} s", series.buckets(), series.width_s()));
        }
        note
    }

    fn write(&self) -> String {
        let mut members = Members::lines();
        members.add("patina", FORM);
        members.add("rows_in_all", self.rows_in_all);
        members.add("separator", self.separator.to_string());
        let columns: Vec<String> = self.columns.iter().map(Column::write).collect();
        members.add_list("columns", &columns);
        if let Some(series) = &self.series {
            members.add_json("series", &series.write());
        }
        let mut rows = Members::lines();
        rows.add_some("header", self.rows.header.as_deref());
        rows.add_texts("head", self.rows.head.iter().map(String::as_str));
        rows.add_texts("sample", self.rows.sample.iter().map(String::as_str));
        rows.add_texts("tail", self.rows.tail.iter().map(String::as_str));
        members.add_json("rows", &rows.finish());
        members.finish()
    }
}

impl Column {
    fn write(&self) -> String {
        let mut members = Members::inline();
        members.add("name", self.name.as_str());
        self.stats.write(&mut members);
        members.finish()
    }

    fn read(value: &Value) -> Self {
        Self { name: text_of(value, "name"), stats: Stats::read(value) }
    }
}
