//! JSON and JSON by lines: the paths that occur, statistics of the values at each, and elements to look at.
//!
//! # Invariants
//!
//! - A sampled element is an element of the source; only its long arrays, long texts and large maps are cut.
//! - Cold is made from what warm holds ([`crate::summarised`]).
//! - The text is measured before it is parsed: its nesting and the number of its values are held against [`Limits`],
//!   because a value in memory takes up to thirty times its two bytes in the file.
//!
//! # Example
//!
//! `[{"name":"a","hp":130},{"name":"b","hp":165},…]` has the paths `$[].hp` (integer, quantiles) and `$[].name`
//! (text, distinct). An object of more than [`shape::MAP_KEYS`] members is a map: its keys are data, its path `$.*`.
//!
//! # Fidelity
//!
//! Metric `values`, as of tables: half for what the statistics hold of the values' distributions, half for the share
//! of the values that the sample holds. Paths that are not listed hold nothing.
//!
//! [`Limits`]: crate::Limits

mod sample;
mod shape;
mod summary;

use serde_json::Value;

use crate::media::{Kind, MediaType};
use crate::params::Limits;
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::summarised;
use crate::text::encoding;
use summary::Summary;

/// The media type of what is left of JSON.
pub const JSON_MIME: &str = "application/vnd.patina.json+json";

pub(crate) static JSON: Json = Json;

/// What the parser follows before it gives up.
const NESTING_MAX: u32 = 127;

pub(crate) struct Json;

impl Codec for Json {
    fn id(&self) -> &'static str {
        "json"
    }

    fn version(&self) -> u16 {
        1
    }

    fn accepts(&self, media: &MediaType) -> bool {
        media.kind == Kind::Json
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        let len_bytes = input.bytes.len() as u64;
        if len_bytes > input.limits.text_bytes {
            return Err(Refusal::new(format!("{len_bytes} bytes are more than {}", input.limits.text_bytes)));
        }
        let (text, _) = encoding::decode(input.bytes).ok_or_else(|| Refusal::new("is no text"))?;
        check(&text, input.limits)?;
        let documents: Vec<Value> = serde_json::Deserializer::from_str(&text)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::new(format!("cannot be read: {error}")))?;
        if input.media.mime == JSON_MIME {
            let summary = documents.first().and_then(Summary::read);
            let summary = summary.ok_or_else(|| Refusal::new("is no summary of JSON"))?;
            return Ok(summarised::outcome(&summary, true, input.depth));
        }
        input.deadline.check()?;
        let summary = Summary::of(documents).ok_or_else(|| Refusal::new("has no values"))?;
        Ok(summarised::outcome(&summary, false, input.depth))
    }
}

/// Holds nesting and number of values against the limits, without parsing. O(bytes).
fn check(text: &str, limits: &Limits) -> Result<(), Refusal> {
    let (mut depth, mut values) = (0u32, 0u64);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        if is_quoted {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => is_quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => is_quoted = true,
            b'[' | b'{' => {
                depth += 1;
                values += 1;
                if depth > limits.nesting.min(NESTING_MAX) {
                    return Err(Refusal::new(format!(
                        "is nested deeper than {}",
                        limits.nesting.min(NESTING_MAX)
                    )));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b'\n' if depth == 0 || byte == b',' => values += 1,
            _ => {}
        }
    }
    if values > limits.values {
        return Err(Refusal::new(format!("has more than {} values", limits.values)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
