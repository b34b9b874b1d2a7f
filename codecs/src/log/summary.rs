//! What is left of a log, and how it gets less.

use serde_json::{Map, Value};

use super::LOG_MIME;
use crate::readable::{Members, count_of, list_of, text_of, texts_of};
use crate::statistics::{RANGE_WORTH, cells};
use crate::summarised::Summarised;
use crate::trace::{TraceBuilder, cut};

const FORM: &str = "log 1";
const TEMPLATES_COLD: usize = 60;
const ERRORS_COLD: usize = 10;
const BUCKETS_WARM: u64 = 200;
const BUCKETS_COLD: u64 = 32;
const BUCKETS_TRACE: u64 = 12;
/// A minute to about a year.
const WIDTHS_S: [u64; 9] = [60, 300, 900, 3_600, 21_600, 86_400, 604_800, 2_592_000, 31_104_000];

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) lines: u64,
    pub(super) records: u64,
    /// Of all messages.
    pub(super) words: u64,
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
    pub(super) levels: Vec<(String, u64)>,
    pub(super) buckets: Vec<Bucket>,
    /// The most frequent first.
    pub(super) templates: Vec<Template>,
    /// Records that are errors, …
    pub(super) errors: u64,
    /// … and those of them that are kept.
    pub(super) error_lines: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    pub(super) count: u64,
    pub(super) level: String,
    pub(super) text: String,
    /// Words that are no holes.
    pub(super) constants: u64,
    pub(super) parameters: Vec<String>,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) example: String,
    pub(super) is_error: bool,
}

/// Records within a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    from_ms: i64,
    records: u64,
    errors: u64,
}

impl Bucket {
    /// Of times in any order; empty without times.
    pub(super) fn of(times: &[(i64, bool)]) -> Vec<Self> {
        let mut each: Vec<Self> = times
            .iter()
            .map(|(ms, is_error)| Self { from_ms: *ms, records: 1, errors: u64::from(*is_error) })
            .collect();
        each.sort_by_key(|bucket| bucket.from_ms);
        Self::gathered(&each, BUCKETS_WARM)
    }

    /// In the narrowest buckets that are no more than this many. O(n).
    fn gathered(finer: &[Self], buckets_max: u64) -> Vec<Self> {
        let (Some(first), Some(last)) = (finer.first(), finer.last()) else { return Vec::new() };
        let span_s = last.from_ms.saturating_sub(first.from_ms).unsigned_abs() / 1000;
        let Some(width_s) = WIDTHS_S.into_iter().find(|width_s| span_s / width_s < buckets_max) else {
            return Vec::new();
        };
        let start = |ms: i64| cells::stretch_start(ms, width_s);
        let sum = |run: &[Self], of: fn(&Self) -> u64| run.iter().map(of).fold(0, u64::saturating_add);
        finer
            .chunk_by(|a, b| start(a.from_ms) == start(b.from_ms))
            .filter_map(|run| {
                let from_ms = start(run.first()?.from_ms);
                let (records, errors) = (sum(run, |bucket| bucket.records), sum(run, |bucket| bucket.errors));
                Some(Self { from_ms, records, errors })
            })
            .collect()
    }

    fn line(&self) -> String {
        format!("{},{},{}", cells::time_text(self.from_ms), self.records, self.errors)
    }

    fn read(line: &str) -> Option<Self> {
        let mut parts = line.split(',');
        let from_ms = cells::time_of(parts.next()?)?;
        Some(Self { from_ms, records: parts.next()?.parse().ok()?, errors: parts.next()?.parse().ok()? })
    }
}

impl Template {
    fn write(&self) -> String {
        let mut members = Members::inline();
        members.add("count", self.count);
        if !self.level.is_empty() {
            members.add("level", self.level.as_str());
        }
        members.add("template", self.text.as_str());
        members.add("constants", self.constants);
        if !self.parameters.is_empty() {
            members.add("parameters", self.parameters.clone());
        }
        if !self.first.is_empty() {
            members.add("first", self.first.as_str());
            members.add("last", self.last.as_str());
        }
        members.add("example", self.example.as_str());
        if self.is_error {
            members.add("error", true);
        }
        members.finish()
    }

    fn read(value: &Value) -> Self {
        Self {
            count: count_of(value, "count"),
            level: text_of(value, "level"),
            text: text_of(value, "template"),
            constants: count_of(value, "constants"),
            parameters: texts_of(value, "parameters"),
            first: text_of(value, "first"),
            last: text_of(value, "last"),
            example: text_of(value, "example"),
            is_error: value.get("error").and_then(Value::as_bool).unwrap_or_default(),
        }
    }
}

impl Summary {
    /// Reads what [`Summarised::write`] wrote.
    pub(super) fn read(value: &Value) -> Option<Self> {
        if text_of(value, "patina") != FORM {
            return None;
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let levels = value.get("levels").and_then(Value::as_object).map(|levels| {
            levels.iter().map(|(level, count)| (level.clone(), count.as_u64().unwrap_or_default())).collect()
        });
        Some(Self {
            lines: count_of(value, "lines"),
            records: count_of(value, "records"),
            words: count_of(value, "words"),
            first: text("first"),
            last: text("last"),
            levels: levels.unwrap_or_default(),
            buckets: texts_of(value, "histogram").iter().filter_map(|line| Bucket::read(line)).collect(),
            templates: list_of(value, "templates").iter().map(Template::read).collect(),
            errors: count_of(value, "errors_in_all"),
            error_lines: texts_of(value, "errors"),
        })
    }

    /// The share of all words that the constant words of the templates give back.
    fn told(&self) -> f64 {
        let told: f64 =
            self.templates.iter().map(|template| template.count as f64 * template.constants as f64).sum();
        (told / self.words.max(1) as f64).min(1.0)
    }

    fn levels(&self) -> Map<String, Value> {
        self.levels.iter().map(|(level, count)| (level.clone(), Value::from(*count))).collect()
    }
}

impl Summarised for Summary {
    const MIME: &'static str = LOG_MIME;
    const METRIC: &'static str = "templates";

    fn fidelity(&self) -> f64 {
        if self.errors == 0 {
            return self.told();
        }
        let recalled = self.error_lines.len() as f64 / self.errors as f64;
        (recalled.min(1.0) + self.told()) / 2.0
    }

    /// The most frequent templates and those of errors, of each kind of error the example.
    fn reduced(&self) -> Self {
        let mut errors_left = TEMPLATES_COLD;
        let mut stays = |at: usize, template: &Template| {
            let is_late_error = at >= TEMPLATES_COLD && template.is_error && errors_left > 0;
            errors_left -= usize::from(is_late_error);
            at < TEMPLATES_COLD || is_late_error
        };
        let without_parameters =
            |template: &Template| Template { parameters: Vec::new(), ..template.clone() };
        let templates: Vec<Template> = self
            .templates
            .iter()
            .enumerate()
            .filter(|(at, template)| stays(*at, template))
            .map(|(_, template)| without_parameters(template))
            .collect();
        let examples =
            || templates.iter().filter(|template| template.is_error).map(|template| &template.example);
        let is_example = |line: &&String| {
            let first = line.lines().next().unwrap_or_default();
            examples().any(|example| example == first)
        };
        let mut error_lines: Vec<String> = Vec::new();
        for line in self.error_lines.iter().filter(is_example) {
            let first = line.lines().next().unwrap_or_default();
            if !error_lines.iter().any(|known| known == first) {
                error_lines.push(first.to_owned());
            }
        }
        if error_lines.is_empty() {
            // The errors share their templates with records that are none.
            error_lines = self.error_lines.iter().take(ERRORS_COLD).cloned().collect();
        }
        Self {
            templates,
            error_lines,
            buckets: Bucket::gathered(&self.buckets, BUCKETS_COLD),
            ..self.clone()
        }
    }

    fn trace(&self) -> (String, f64) {
        let mut trace = TraceBuilder::new();
        trace.add("lines", self.lines);
        trace.add("records", self.records);
        trace.add_some("first", self.first.as_deref());
        trace.add_some("last", self.last.as_deref());
        trace.add("levels", Value::Object(self.levels()));
        trace.add("errors", self.errors);
        let buckets: Vec<String> =
            Bucket::gathered(&self.buckets, BUCKETS_TRACE).iter().map(Bucket::line).collect();
        trace.add_list("histogram", buckets.iter().map(String::as_str));
        let described: Vec<String> = self
            .templates
            .iter()
            .map(|template| format!("{} × {} {}", template.count, template.level, cut(&template.text, 80)))
            .collect();
        let fitted = trace.add_list("templates", described.iter().map(String::as_str));
        let listed =
            Self { templates: self.templates.iter().take(fitted).cloned().collect(), ..self.clone() };
        (trace.finish(), listed.told() * RANGE_WORTH)
    }

    fn write(&self) -> String {
        let mut members = Members::lines();
        members.add("patina", FORM);
        members.add("lines", self.lines);
        members.add("records", self.records);
        members.add("words", self.words);
        members.add_some("first", self.first.as_deref());
        members.add_some("last", self.last.as_deref());
        members.add("levels", Value::Object(self.levels()));
        let mut histogram = vec!["from,records,errors".to_owned()];
        histogram.extend(self.buckets.iter().map(Bucket::line));
        if histogram.len() > 1 {
            members.add_texts("histogram", histogram.iter().map(String::as_str));
        }
        members.add_list("templates", &self.templates.iter().map(Template::write).collect::<Vec<_>>());
        members.add("errors_in_all", self.errors);
        members.add_texts("errors", self.error_lines.iter().map(String::as_str));
        members.finish()
    }

    fn params(&self) -> String {
        format!("templates={} errors={}", self.templates.len(), self.error_lines.len())
    }

    fn note(&self) -> String {
        let (kept, all) = (self.error_lines.len(), self.errors);
        format!("{} templates of {} records, {kept} of {all} errors kept", self.templates.len(), self.records)
    }
}
