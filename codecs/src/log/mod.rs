//! Logs: the sentences that a program says again and again, how often, when, and every error word for word.
//!
//! # Invariants
//!
//! - At warm every line of an error stays as it was, with the lines that belong to it (a stack trace).
//! - Every record belongs to one template at most; counts of templates, levels and buckets add up to the records, but
//!   for those of templates beyond [`drain::TEMPLATES_MAX`].
//! - Cold is made from what warm holds ([`crate::summarised`]).
//!
//! # Example
//!
//! `10:00:01 INFO user alice logged in from 10.0.0.7` and the same of bob are two records of the template
//! `INFO user <*> logged in from <*>`; its parameters are summed up as `text, often alice` and `text`.
//!
//! # Fidelity
//!
//! Metric `templates`: half for the errors, the share of their records that are kept word for word; half for all
//! records, the share of their words that the constant words of listed templates give back. Without errors the
//! second alone. What the trace lists counts a twentieth.

mod drain;
mod record;
mod summary;

use std::borrow::Cow;

use crate::media::{Kind, MediaType};
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::statistics::Stats;
use crate::summarised;
use crate::text::encoding;
use drain::Miner;
use record::Record;
use summary::{Bucket, Summary, Template};

/// The media type of what is left of a log.
pub const LOG_MIME: &str = "application/vnd.patina.log+json";

pub(crate) static LOG: Log = Log;

/// Parameters of a template that are summed up.
const PARAMETERS_MAX: usize = 12;
const RECORDS_BETWEEN_CHECKS: usize = 4096;

pub(crate) struct Log;

impl Codec for Log {
    fn id(&self) -> &'static str {
        "log"
    }

    fn version(&self) -> u16 {
        2
    }

    fn accepts(&self, media: &MediaType) -> bool {
        media.kind == Kind::Log
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        let len_bytes = input.bytes.len() as u64;
        if len_bytes > input.limits.text_bytes {
            return Err(Refusal::new(format!("{len_bytes} bytes are more than {}", input.limits.text_bytes)));
        }
        if input.media.mime == LOG_MIME {
            let value = serde_json::from_slice(input.bytes)
                .map_err(|error| Refusal::new(format!("is no summary of a log: {error}")))?;
            let summary = Summary::read(&value).ok_or_else(|| Refusal::new("is no summary of a log"))?;
            return Ok(summarised::outcome(&summary, true, input.depth));
        }
        let (text, _) = encoding::decode(input.bytes).ok_or_else(|| Refusal::new("is no text"))?;
        let records = record::all(&text);
        if records.len() as u64 > input.limits.rows {
            return Err(Refusal::new(format!("has more than {} records", input.limits.rows)));
        }
        if records.is_empty() {
            return Err(Refusal::new("has no records"));
        }
        Ok(summarised::outcome(&summarised_log(&text, &records, input)?, false, input.depth))
    }
}

/// All that warm holds. O(bytes · templates of one length).
fn summarised_log(text: &str, records: &[Record<'_>], input: &Input<'_>) -> Result<Summary, Refusal> {
    let mut miner = Miner::default();
    let mut homes: Vec<Option<usize>> = Vec::with_capacity(records.len());
    for (at, record) in records.iter().enumerate() {
        if at.is_multiple_of(RECORDS_BETWEEN_CHECKS) {
            input.deadline.check()?;
        }
        homes.push(miner.put(record));
    }
    let mut members: Vec<Vec<&Record<'_>>> = vec![Vec::new(); miner.templates().len()];
    for (record, home) in records.iter().zip(&homes) {
        if let Some(home) = home {
            members[*home].push(record);
        }
    }
    let mut templates: Vec<Template> = miner
        .templates()
        .iter()
        .zip(&members)
        .filter_map(|(words, members)| template(words, members))
        .collect();
    // A stable sort: of equals the one that came first.
    templates.sort_by_key(|template| std::cmp::Reverse(template.count));
    let errors: Vec<&Record<'_>> = records.iter().filter(|record| record.is_error).collect();
    let mut levels: Vec<(String, u64)> = Vec::new();
    for record in records {
        let level = record.level.unwrap_or("none");
        match levels.iter_mut().find(|(name, _)| name == level) {
            Some((_, count)) => *count += 1,
            None => levels.push((level.to_owned(), 1)),
        }
    }
    let times: Vec<(i64, bool)> =
        records.iter().filter_map(|record| Some((record.time_ms?, record.is_error))).collect();
    Ok(Summary {
        lines: text.lines().count() as u64,
        records: records.len() as u64,
        words: records.iter().map(|record| record.words().count() as u64).sum(),
        first: records.iter().find_map(|record| record.time.map(str::to_owned)),
        last: records.iter().rev().find_map(|record| record.time.map(str::to_owned)),
        levels,
        buckets: Bucket::of(&times),
        templates,
        errors: errors.len() as u64,
        error_lines: errors.iter().map(|record| record.text.to_owned()).collect(),
    })
}

fn template(words: &[Option<String>], members: &[&Record<'_>]) -> Option<Template> {
    let (first, last) = (members.first()?, members.last()?);
    let holes: Vec<usize> = (0..words.len()).filter(|at| words[*at].is_none()).collect();
    let parameters = holes.iter().take(PARAMETERS_MAX).map(|hole| {
        let values =
            members.iter().map(|record| Cow::Borrowed(bare(record.words().nth(*hole).unwrap_or_default())));
        let stats = Stats::of("", values, false);
        let brief = stats.brief("");
        format!("{}, {} different", brief.trim_start(), stats.distinct())
    });
    let shown: Vec<&str> = words.iter().map(|word| word.as_deref().unwrap_or(drain::HOLE)).collect();
    Some(Template {
        count: members.len() as u64,
        level: first.level.unwrap_or_default().to_owned(),
        text: shown.join(" "),
        constants: (words.len() - holes.len()) as u64,
        parameters: parameters.collect(),
        first: first.time.unwrap_or_default().to_owned(),
        last: last.time.unwrap_or_default().to_owned(),
        example: crate::trace::cut(first.line(), 300),
        is_error: first.is_error,
    })
}

/// Without the punctuation around it, and what stands before `=`.
fn bare(word: &str) -> &str {
    let value = word.split_once('=').map_or(word, |(_, value)| value);
    value.trim_matches(|c: char| {
        matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '"' | '\'' | ',' | ';' | ':' | '.')
    })
}

#[cfg(test)]
mod tests;
