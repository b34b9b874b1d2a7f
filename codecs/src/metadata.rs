//! The description that stands for bytes nobody understands, and the codec that takes it further.
//!
//! A cold opaque object *is* such a description, of type [`METADATA_MIME`]. What it says about size and
//! hash is about the original: when the description itself is degraded to a trace, these members are
//! carried over, never computed again from the description.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::degrade::Depth;
use crate::digest::{Histogram, hex};
use crate::media::MediaType;
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::trace::{TraceBuilder, cut};

/// The media type of a description.
pub const METADATA_MIME: &str = "application/vnd.patina.metadata+json";

/// The codec for descriptions.
pub(crate) static METADATA: Metadata = Metadata;

/// Bytes at the start of a file that tell its format.
const MAGIC_BYTES: usize = 16;
const HEAD_TEXT_CHARS: usize = 512;
const HEAD_HEX_BYTES: usize = 64;
/// Bytes that are kept of the beginning: enough for so many characters.
const HEAD_BYTES: usize = 4 * HEAD_TEXT_CHARS;
const MIME_CHARS_MAX: usize = 127;

/// Members that outlive the description, the worthiest first.
const LASTING: [&str; 4] = ["size", "sha256", "magic", "media_type"];

/// What a description says about bytes, gathered in one pass over them.
pub(crate) struct Facts {
    pub(crate) size: u64,
    hash: Sha256,
    histogram: Histogram,
    head: Vec<u8>,
}

impl Facts {
    pub(crate) fn new() -> Self {
        Self { size: 0, hash: Sha256::new(), histogram: Histogram::new(), head: Vec::new() }
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut facts = Self::new();
        facts.add(bytes);
        facts
    }

    /// The bytes that follow.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.hash.update(bytes);
        self.histogram.add(bytes);
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
    }

    fn lasting_members(&self, media: &MediaType) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("size".to_owned(), json!(self.size));
        members.insert("sha256".to_owned(), json!(hex(&self.hash.clone().finalize())));
        members.insert("magic".to_owned(), json!(hex(&self.head[..self.head.len().min(MAGIC_BYTES)])));
        members.insert("media_type".to_owned(), json!(cut(&media.mime, MIME_CHARS_MAX)));
        members
    }
}

/// Describes bytes; gives the JSON and how many of the bytes its excerpt holds.
pub(crate) fn describe(facts: &Facts, media: &MediaType) -> (String, usize) {
    let mut members = facts.lasting_members(media);
    members.insert("patina".to_owned(), json!("metadata 1"));
    let entropy_bits = facts.histogram.entropy_bits();
    members.insert("entropy_bits".to_owned(), json!((entropy_bits * 1000.0).round() / 1000.0));
    let excerpt_bytes = match printable_head(&facts.head) {
        Some(head) => {
            members.insert("head_text".to_owned(), json!(head));
            head.len()
        }
        None => {
            let head = &facts.head[..facts.head.len().min(HEAD_HEX_BYTES)];
            members.insert("head_hex".to_owned(), json!(hex(head)));
            members.insert("head_ascii".to_owned(), json!(ascii(head)));
            head.len()
        }
    };
    (Value::Object(members).to_string(), excerpt_bytes)
}

/// The trace of bytes nobody understands; gives the JSON and how many of the bytes it holds.
pub(crate) fn describe_briefly(facts: &Facts, media: &MediaType) -> (String, usize) {
    (trace_of(&facts.lasting_members(media)), facts.head.len().min(MAGIC_BYTES))
}

fn trace_of(members: &Map<String, Value>) -> String {
    let mut trace = TraceBuilder::new();
    for name in LASTING {
        trace.add_some(name, members.get(name).cloned());
    }
    trace.finish()
}

/// The first characters, if the head is text through and through.
fn printable_head(head: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of the head.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() || text.chars().any(is_odd) {
        return None;
    }
    Some(text.chars().take(HEAD_TEXT_CHARS).collect())
}

fn ascii(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect()
}

pub(crate) struct Metadata;

impl Codec for Metadata {
    fn id(&self) -> &'static str {
        "metadata"
    }

    fn version(&self) -> u16 {
        1
    }

    fn accepts(&self, media: &MediaType) -> bool {
        media.mime == METADATA_MIME
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        let Ok(Value::Object(members)) = serde_json::from_slice(input.bytes) else {
            return Err(Refusal::new("is no description"));
        };
        let has_size = members.get("size").is_some_and(Value::is_u64);
        let has_hash = members.get("sha256").is_some_and(Value::is_string);
        if !(has_size && has_hash) {
            return Err(Refusal::new("is a description without size and hash"));
        }
        if input.depth != Depth::Trace {
            return Ok(Outcome::Keep { note: Some("is already only a description".to_owned()) });
        }
        let kept = LASTING.iter().filter(|name| members.contains_key(**name)).count();
        Ok(Outcome::Trace {
            json: trace_of(&members),
            fidelity: kept as f64 / members.len().max(1) as f64,
            metric: "members",
            note: None,
        })
    }
}

#[cfg(test)]
mod tests;
