//! What is left of JSON, and how it gets less.

use serde_json::{Value, json};

use super::{JSON_MIME, sample, shape};
use crate::readable::{Members, count_of, list_of, text_of};
use crate::statistics::{RANGE_WORTH, Stats};
use crate::summarised::Summarised;
use crate::trace::TraceBuilder;

const FORM: &str = "json 1";
/// A longer example is no help at cold.
const EXAMPLE_BYTES_MAX: usize = 2048;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// One, or the lines of JSON by lines.
    documents: u64,
    values: u64,
    paths: Vec<(String, Stats)>,
    /// Path, arrays, items in all of them.
    arrays: Vec<(String, u64, u64)>,
    /// Values that the sample holds.
    kept: u64,
    sample: Vec<Value>,
}

impl Summary {
    /// `None` without values.
    pub(super) fn of(documents: Vec<Value>) -> Option<Self> {
        let shape = shape::of(&documents);
        if shape.values == 0 {
            return None;
        }
        let count = documents.len() as u64;
        // A single array is sampled like lines: an element a line.
        let elements = match <[Value; 1]>::try_from(documents) {
            Ok([Value::Array(items)]) => items,
            Ok([single]) => vec![single],
            Err(lines) => lines,
        };
        let mut kept = 0;
        let sample =
            sample::chosen(elements).into_iter().map(|element| sample::of(element, &mut kept)).collect();
        let shape::Shape { paths, arrays, values } = shape;
        Some(Self { documents: count, values, paths, arrays, kept, sample })
    }

    /// Reads what [`Summarised::write`] wrote.
    pub(super) fn read(value: &Value) -> Option<Self> {
        if text_of(value, "patina") != FORM {
            return None;
        }
        let array =
            |value: &Value| (text_of(value, "path"), count_of(value, "arrays"), count_of(value, "items"));
        Some(Self {
            documents: count_of(value, "documents"),
            values: count_of(value, "values_in_all"),
            paths: list_of(value, "paths")
                .iter()
                .map(|path| (text_of(path, "path"), Stats::read(path)))
                .collect(),
            arrays: list_of(value, "arrays").iter().map(array).collect(),
            kept: count_of(value, "values_in_sample"),
            sample: list_of(value, "sample").to_vec(),
        })
    }

    /// What the statistics hold, over all values.
    fn distributions(&self) -> f64 {
        let held = |stats: &Stats| stats.held * stats.values.saturating_add(stats.nulls) as f64;
        (self.paths.iter().map(|(_, stats)| held(stats)).sum::<f64>() / self.values.max(1) as f64).min(1.0)
    }
}

impl Summarised for Summary {
    const MIME: &'static str = JSON_MIME;
    const METRIC: &'static str = "values";

    fn fidelity(&self) -> f64 {
        (self.distributions() + (self.kept as f64 / self.values.max(1) as f64).min(1.0)) / 2.0
    }

    /// Fewer statistics and one example.
    fn reduced(&self) -> Self {
        let is_short = |example: &&Value| example.to_string().len() <= EXAMPLE_BYTES_MAX;
        let sample: Vec<Value> = self.sample.first().filter(is_short).cloned().into_iter().collect();
        let mut kept = 0;
        for example in sample.iter().cloned() {
            sample::of(example, &mut kept);
        }
        Self {
            paths: self.paths.iter().map(|(path, stats)| (path.clone(), stats.reduced())).collect(),
            kept: kept.min(self.kept),
            sample,
            ..self.clone()
        }
    }

    fn trace(&self) -> (String, f64) {
        let mut trace = TraceBuilder::new();
        trace.add("documents", self.documents);
        trace.add("values", self.values);
        let arrays: Vec<String> =
            self.arrays.iter().take(3).map(|(path, _, items)| format!("{path}: {items} items")).collect();
        trace.add_list("arrays", arrays.iter().map(String::as_str));
        let described: Vec<String> = self.paths.iter().map(|(path, stats)| stats.brief(path)).collect();
        let fitted = trace.add_list("paths", described.iter().map(String::as_str));
        let told = fitted as f64 / self.paths.len().max(1) as f64;
        (trace.finish(), self.distributions() / 2.0 * RANGE_WORTH * told)
    }

    fn write(&self) -> String {
        let mut members = Members::lines();
        members.add("patina", FORM);
        members.add("documents", self.documents);
        members.add("values_in_all", self.values);
        members.add("values_in_sample", self.kept);
        let array = |(path, arrays, items): &(String, u64, u64)| {
            json!({ "path": path, "arrays": arrays, "items": items }).to_string()
        };
        members.add_list("arrays", &self.arrays.iter().map(array).collect::<Vec<_>>());
        let path = |(path, stats): &(String, Stats)| {
            let mut members = Members::inline();
            members.add("path", path.as_str());
            stats.write(&mut members);
            members.finish()
        };
        members.add_list("paths", &self.paths.iter().map(path).collect::<Vec<_>>());
        members.add_list("sample", &self.sample.iter().map(Value::to_string).collect::<Vec<_>>());
        members.finish()
    }

    fn params(&self) -> String {
        format!("paths={} values={}", self.paths.len(), self.kept)
    }

    fn note(&self) -> String {
        format!("statistics of {} paths, {} of {} values kept", self.paths.len(), self.kept, self.values)
    }
}
