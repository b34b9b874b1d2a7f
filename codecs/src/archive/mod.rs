//! Archives: what was in them.
//!
//! # Invariants
//!
//! - Warm keeps every byte: what is compressed already gets no smaller without being opened.
//! - Cold lists the entries with their sizes and SHA-256, so that one can tell whether another copy of a file is the
//!   one that was in here. Everything is unpacked once for that, through 64 KiB of memory ([`Unpacking`]).
//! - An archive that cannot be read to its end, that is encrypted, or that unpacks to more than the limits is kept as
//!   it is: nobody knows what would be lost.
//!
//! # Example
//!
//! A zip of three sources (6 kB) becomes 600 bytes: a line for each with its name, size and hash.
//!
//! # Fidelity
//!
//! Metric `entries`: a listing is no substitute for files. It counts for [`LISTED_WORTH`], the trace for a tenth of
//! that, times the share of the entries that it names.

mod tar;
pub(crate) mod zip;

use flate2::bufread::MultiGzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::deadline::Watched;
use crate::degrade::Depth;
use crate::digest::hex;
use crate::media::{ARCHIVE_MIME, MediaType};
use crate::readable::{Members, count_of, list_of, text_of};
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::summarised::{self, Summarised};
use crate::trace::{TraceBuilder, cut};
use crate::unpack::Unpacking;
use zip::Zip;

pub(crate) static ARCHIVE: Archive = Archive;

const FORM: &str = "archive 1";
const LISTED_WORTH: f64 = 0.05;
const TRACE_WORTH: f64 = 0.1;
const EXTENSIONS_MAX: usize = 12;

pub(crate) struct Archive;

impl Codec for Archive {
    fn id(&self) -> &'static str {
        "archive"
    }

    fn version(&self) -> u16 {
        1
    }

    fn accepts(&self, media: &MediaType) -> bool {
        matches!(
            media.mime.as_ref(),
            "application/zip"
                | "application/java-archive"
                | "application/x-tar"
                | "application/gzip"
                | "application/x-compressed-tar"
                | ARCHIVE_MIME
        )
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        if input.media.mime == ARCHIVE_MIME {
            let value = serde_json::from_slice(input.bytes)
                .map_err(|error| Refusal::new(format!("is no listing: {error}")))?;
            let listing = Listing::read(&value).ok_or_else(|| Refusal::new("is no listing"))?;
            return Ok(summarised::outcome(&listing, true, input.depth));
        }
        if input.depth == Depth::Warm {
            return Ok(Outcome::Keep { note: None });
        }
        let entries = match input.media.mime.as_ref() {
            "application/x-tar" => {
                tar::entries(Watched::new(input.bytes, input.deadline), &mut Unpacking::of(input), input)?
            }
            "application/gzip" | "application/x-compressed-tar" => of_gzip(input)?,
            _ => of_zip(input)?,
        };
        if entries.is_empty() {
            return Err(Refusal::new("has no entries"));
        }
        Ok(summarised::outcome(&Listing { entries }, false, input.depth))
    }
}

fn of_zip(input: &Input<'_>) -> Result<Vec<Entry>, Refusal> {
    let mut zip = Zip::open(input)?;
    (0..zip.len())
        .map(|at| {
            let mut hash = Sha256::new();
            let name = zip.pass(at, |block| hash.update(block))?;
            Ok(Entry { sha256: hash_of(hash, name.bytes), name: name.name, bytes: name.bytes })
        })
        .collect()
}

/// A tar inside is listed; anything else is one entry.
fn of_gzip(input: &Input<'_>) -> Result<Vec<Entry>, Refusal> {
    let open = || MultiGzDecoder::new(Watched::new(input.bytes, input.deadline));
    let mut head = [0; tar::HEADER_BYTES];
    if tar::read_full(&mut open(), &mut head) == tar::HEADER_BYTES && tar::is_tar(&head) {
        return tar::entries(open(), &mut Unpacking::of(input), input);
    }
    let reader = open();
    let name = reader.header().and_then(|header| header.filename()).map(String::from_utf8_lossy);
    let name = name.unwrap_or_default().into_owned();
    let mut hash = Sha256::new();
    let bytes = Unpacking::of(input).pass(reader, &name, |block| {
        hash.update(block);
        Ok(())
    })?;
    Ok(vec![Entry { sha256: hash_of(hash, bytes), name, bytes }])
}

/// Folders and empty files have none worth telling.
fn hash_of(hash: Sha256, bytes: u64) -> String {
    if bytes == 0 { String::new() } else { hex(&hash.finalize()) }
}

#[derive(Clone, Debug, PartialEq)]
struct Listing {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Listing {
    fn read(value: &Value) -> Option<Self> {
        let entry = |value: &Value| Entry {
            name: text_of(value, "name"),
            bytes: count_of(value, "bytes"),
            sha256: text_of(value, "sha256"),
        };
        let entries: Vec<Entry> = list_of(value, "entries").iter().map(entry).collect();
        (text_of(value, "patina") == FORM && !entries.is_empty()).then_some(Self { entries })
    }

    fn bytes(&self) -> u64 {
        self.entries.iter().fold(0, |sum, entry| entry.bytes.saturating_add(sum))
    }

    /// Files and bytes by extension, the most bytes first.
    fn extensions(&self) -> Vec<String> {
        let mut by_extension: std::collections::BTreeMap<&str, (u64, u64)> =
            std::collections::BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| !entry.name.ends_with('/')) {
            let file = entry.name.rsplit('/').next().unwrap_or_default();
            let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
            let (files, bytes) = by_extension.entry(extension).or_default();
            (*files, *bytes) = (*files + 1, bytes.saturating_add(entry.bytes));
        }
        let mut sorted: Vec<(&str, (u64, u64))> = by_extension.into_iter().collect();
        sorted.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
        let shown = |(extension, (files, bytes)): (&str, (u64, u64))| {
            let extension = if extension.is_empty() { "without extension" } else { extension };
            format!("{files} {}, {bytes} bytes", cut(extension, 20))
        };
        sorted.into_iter().take(EXTENSIONS_MAX).map(shown).collect()
    }
}

impl Summarised for Listing {
    const MIME: &'static str = ARCHIVE_MIME;
    const METRIC: &'static str = "entries";

    fn fidelity(&self) -> f64 {
        LISTED_WORTH
    }

    fn reduced(&self) -> Self {
        self.clone()
    }

    fn trace(&self) -> (String, f64) {
        let mut trace = TraceBuilder::new();
        trace.add("entries", self.entries.len());
        trace.add("bytes", self.bytes());
        let extensions = self.extensions();
        trace.add_list("extensions", extensions.iter().map(String::as_str));
        let names: Vec<String> = self.entries.iter().map(|entry| cut(&entry.name, 80)).collect();
        let fitted = trace.add_list("names", names.iter().map(String::as_str));
        (trace.finish(), LISTED_WORTH * TRACE_WORTH * fitted as f64 / self.entries.len().max(1) as f64)
    }

    fn write(&self) -> String {
        let entry = |entry: &Entry| {
            let mut members = Members::inline();
            members.add("name", entry.name.as_str());
            members.add("bytes", entry.bytes);
            members.add_some("sha256", Some(entry.sha256.as_str()).filter(|hash| !hash.is_empty()));
            members.finish()
        };
        let mut members = Members::lines();
        members.add("patina", FORM);
        members.add("bytes", self.bytes());
        members.add_list("entries", &self.entries.iter().map(entry).collect::<Vec<_>>());
        members.finish()
    }

    fn params(&self) -> String {
        format!("entries={}", self.entries.len())
    }

    fn note(&self) -> String {
        format!("only a listing of {} entries is left", self.entries.len())
    }
}

#[cfg(test)]
pub(crate) mod tests;
