//! Rows in the order of time, gathered into buckets: least, mean and greatest of each number, and how many rows.
//!
//! Buckets are of one width, counted from a Monday, so that narrow ones nest in wide ones and weeks begin as they do.

use serde_json::Value;

use super::line_of;
use super::summary::Column;
use crate::readable::{Members, count_of, rounded, share, share_of, text_of, texts_of};
use crate::statistics::cells::{self, Ty};

const ROWS_MIN: usize = 100;
/// A bucket gathers at least this many rows on average.
const ROWS_A_BUCKET_MIN: usize = 4;
const BUCKETS_WARM: usize = 400;
const BUCKETS_COLD: usize = 64;
const COLUMNS_MAX: usize = 16;
/// A second to a year; each divides those above it, months and years as 30 and 360 days.
const WIDTHS_S: [u64; 14] =
    [1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400, 604_800, 2_592_000, 7_776_000, 31_104_000, 311_040_000];

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// The name of the column of time.
    time: String,
    /// The names of the columns of numbers.
    columns: Vec<String>,
    width_s: u64,
    buckets: Vec<Bucket>,
    /// The share of the variance that the means of the buckets explain, mean over the columns.
    pub(super) explained: f64,
}

#[derive(Clone, Debug, PartialEq)]
struct Bucket {
    from_ms: i64,
    rows: u64,
    /// Of each column.
    values: Vec<Extent>,
}

/// Least, sum over `count` values, greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extent {
    least: f64,
    mean: f64,
    greatest: f64,
    count: f64,
}

impl Extent {
    const NONE: Self = Self { least: f64::INFINITY, mean: 0.0, greatest: f64::NEG_INFINITY, count: 0.0 };

    fn with(self, other: Self) -> Self {
        let count = self.count + other.count;
        let weight = if count > 0.0 { other.count / count } else { 0.0 };
        Self {
            least: self.least.min(other.least),
            mean: self.mean * (1.0 - weight) + other.mean * weight,
            greatest: self.greatest.max(other.greatest),
            count,
        }
    }
}

impl Series {
    /// If there is a column of time in whose order the rows are, and numbers to follow.
    pub(super) fn of(rows: &[csv::StringRecord], columns: &[Column], is_comma_decimal: bool) -> Option<Self> {
        let time_at =
            columns.iter().position(|column| column.stats.ty == Ty::Time && column.stats.nulls == 0)?;
        let followed: Vec<usize> =
            (0..columns.len()).filter(|at| columns[*at].stats.is_number()).take(COLUMNS_MAX).collect();
        if rows.len() < ROWS_MIN || followed.is_empty() {
            return None;
        }
        let mut times: Vec<cells::Cell> = rows
            .iter()
            .map(|row| cells::read(row.get(time_at).unwrap_or_default(), is_comma_decimal))
            .collect();
        cells::read_epochs(&columns[time_at].name, &mut times);
        let times: Vec<i64> = times
            .iter()
            .map(|cell| if let cells::Cell::Time(ms) = cell { Some(*ms) } else { None })
            .collect::<Option<Vec<i64>>>()?;
        if !times.is_sorted() || times.first() == times.last() {
            return None;
        }
        let width_s = width_s(&times, BUCKETS_WARM.min(rows.len() / ROWS_A_BUCKET_MIN))?;
        let single = |row: &csv::StringRecord, at: usize| match cells::read(
            row.get(at).unwrap_or_default(),
            is_comma_decimal,
        )
        .as_number(Ty::Number)
        {
            Some(value) => Extent { least: value, mean: value, greatest: value, count: 1.0 },
            None => Extent::NONE,
        };
        let each: Vec<Bucket> = rows
            .iter()
            .zip(&times)
            .map(|(row, time)| Bucket {
                from_ms: *time,
                rows: 1,
                values: followed.iter().map(|at| single(row, *at)).collect(),
            })
            .collect();
        let buckets = gathered(&each, width_s);
        let explained = explained(&each, &buckets);
        let names = followed.iter().map(|at| columns[*at].name.clone()).collect();
        Some(Self { time: columns[time_at].name.clone(), columns: names, width_s, buckets, explained })
    }

    /// In wider buckets.
    pub(super) fn reduced(&self) -> Self {
        let times: Vec<i64> = self.buckets.iter().map(|bucket| bucket.from_ms).collect();
        let Some(width_s) = width_s(&times, BUCKETS_COLD).filter(|width_s| *width_s > self.width_s) else {
            return self.clone();
        };
        let buckets = gathered(&self.buckets, width_s);
        let explained = self.explained * explained(&self.buckets, &buckets);
        Self { width_s, buckets, explained, time: self.time.clone(), columns: self.columns.clone() }
    }

    pub(super) fn width_s(&self) -> u64 {
        self.width_s
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn write(&self) -> String {
        let mut header = vec!["from".to_owned(), "rows".to_owned()];
        for name in &self.columns {
            header.extend(["least", "mean", "greatest"].map(|what| format!("{name} {what}")));
        }
        let mut lines = vec![line_of(header.iter().map(String::as_str), b',')];
        for bucket in &self.buckets {
            let mut cells = vec![cells::time_text(bucket.from_ms), bucket.rows.to_string()];
            for value in &bucket.values {
                let shown =
                    |number: f64| if value.count > 0.0 { rounded(number).to_string() } else { String::new() };
                cells.extend([shown(value.least), shown(value.mean), shown(value.greatest)]);
            }
            lines.push(line_of(cells.iter().map(String::as_str), b','));
        }
        let mut members = Members::inline();
        members.add("time", self.time.as_str());
        members.add("columns", self.columns.clone());
        members.add("bucket_s", self.width_s);
        members.add("explained", share(self.explained));
        members.add_texts("csv", lines.iter().map(String::as_str));
        members.finish()
    }

    /// Reads what [`Series::write`] wrote.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let columns = texts_of(value, "columns");
        let lines = texts_of(value, "csv").join("\n");
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(lines.as_bytes());
        let mut buckets = Vec::new();
        for record in reader.records() {
            let record = record.ok()?;
            let rows: u64 = record.get(1)?.parse().ok()?;
            let number = |at: usize| {
                record.get(at).and_then(|cell| cell.parse::<f64>().ok()).filter(|n| n.is_finite())
            };
            let extent = |at: usize| match (number(at), number(at + 1), number(at + 2)) {
                (Some(least), Some(mean), Some(greatest)) => {
                    Extent { least, mean, greatest, count: rows as f64 }
                }
                _ => Extent::NONE,
            };
            let values = (0..columns.len()).map(|column| extent(2 + column * 3)).collect();
            buckets.push(Bucket { from_ms: cells::time_of(record.get(0)?)?, rows, values });
        }
        let width_s = count_of(value, "bucket_s");
        let is_fine = !buckets.is_empty() && WIDTHS_S.contains(&width_s);
        is_fine.then(|| Self {
            time: text_of(value, "time"),
            columns,
            width_s,
            buckets,
            explained: share_of(value, "explained"),
        })
    }
}

/// The narrowest width that needs no more buckets than this.
fn width_s(times: &[i64], buckets_max: usize) -> Option<u64> {
    let span_s = times.last()?.saturating_sub(*times.first()?).unsigned_abs() / 1000;
    WIDTHS_S.into_iter().find(|width_s| span_s / width_s < buckets_max as u64)
}

/// `finer` is in the order of time. O(n).
fn gathered(finer: &[Bucket], width_s: u64) -> Vec<Bucket> {
    let start = |ms: i64| cells::stretch_start(ms, width_s);
    finer
        .chunk_by(|a, b| start(a.from_ms) == start(b.from_ms))
        .filter_map(|run| {
            let first = run.first()?;
            let mut values = vec![Extent::NONE; first.values.len()];
            for bucket in run {
                values.iter_mut().zip(&bucket.values).for_each(|(sum, value)| *sum = sum.with(*value));
            }
            let rows = run.iter().fold(0u64, |rows, bucket| rows.saturating_add(bucket.rows));
            Some(Bucket { from_ms: start(first.from_ms), rows, values })
        })
        .collect()
}

/// The variance of the means of `coarse` over that of `fine`, mean over the columns.
fn explained(fine: &[Bucket], coarse: &[Bucket]) -> f64 {
    let columns = fine.first().map_or(0, |bucket| bucket.values.len());
    let variance = |buckets: &[Bucket], at: usize| {
        let filled = || buckets.iter().map(move |bucket| bucket.values[at]).filter(|value| value.count > 0.0);
        let all = filled().fold(Extent::NONE, Extent::with);
        filled()
            .map(|value| (value.mean - all.mean) * ((value.mean - all.mean) * (value.count / all.count)))
            .sum::<f64>()
    };
    let share = |at: usize| {
        let (before, after) = (variance(fine, at), variance(coarse, at));
        // A constant is explained by its mean.
        let share = if before > 0.0 { after / before } else { 1.0 };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    };
    (0..columns).map(share).sum::<f64>() / columns.max(1) as f64
}
