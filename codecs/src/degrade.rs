//! The one entry: picks the codec, guards it, and judges what it gives.
//!
//! The codecs that accept a media type form a chain, safest last ([`crate::registry`]). A codec that
//! refuses, errs or panics hands over to the next one. Where a type is also a plainer one (JSON, tables by lines and
//! logs are texts: [`MediaType::plainer`]), the codecs of that one are asked next, so a log with too many records is still
//! worth its weightiest lines. After a refusal the chain does not end in the codec
//! that throws bytes away because nobody understands them: a picture that this release cannot decode is
//! still somebody's picture. So a broken file is kept whole at [`Depth::Warm`] and [`Depth::Cold`], and
//! only a [`Depth::Trace`], which must have no bytes, describes it from outside.
//!
//! Examples: a truncated JPEG at `Cold` → `image` refuses ("unexpected end of file") → kept, fidelity 1,
//! note `image: cannot be decoded: … ; kept as it is`. JSON nested 200 deep at `Warm` → `json` refuses → `text` gives its
//! weightiest sentences, note `json: is nested deeper than 127; read as text/plain; 12 of 40 sentences kept`.

use std::cell::Cell;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::media::MediaType;
use crate::metadata::Facts;
use crate::opaque;
use crate::params::{Limits, Params};
use crate::registry::{Codec, Input, Outcome, Refusal, Registry};
use crate::trace::TRACE_BYTES_MAX;

/// How far an object is taken. The numbers are those of the life cycle's stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    /// The first loss: still good for everyday use.
    Warm = 1,
    /// The strong loss: still recognisable.
    Cold = 2,
    /// A description of at most [`TRACE_BYTES_MAX`] bytes and no bytes of its own.
    Trace = 3,
}

impl Depth {
    /// The name of the stage: `"warm"`, `"cold"`, `"trace"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Trace => "trace",
        }
    }
}

/// What is left of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Smaller bytes, of type [`Degraded::media_type`].
    Bytes(Vec<u8>),
    /// The same bytes; store them with the strongest lossless compression.
    Same,
    /// A JSON object of at most [`TRACE_BYTES_MAX`] bytes; only at [`Depth::Trace`], and always there.
    Trace(String),
}

/// The answer of [`degrade()`].
#[derive(Clone, Debug, PartialEq)]
pub struct Degraded {
    /// What is left.
    pub content: Content,
    /// The media type the content has now; with [`Content::Same`] the one that was given.
    pub media_type: String,
    /// How much of *this input* is left, 0–1, measured; 1 only with [`Content::Same`].
    pub fidelity: f64,
    /// What the fidelity measures, such as `"ssim"`.
    pub metric: &'static str,
    /// The codec that made or kept the content.
    pub codec: &'static str,
    /// Its version; it rises when the output for the same input changes.
    pub version: u16,
    /// The parameters it chose, as `name=value` separated by spaces.
    pub params: String,
    /// What a person should know: what was lost beside fidelity, or why nothing changed.
    pub note: Option<String>,
}

/// Degrades `bytes` of type `media_type` to `depth` with the codecs of this crate and no limit of time; a [`Registry`]
/// can have more of both.
///
/// Never fails and never panics: what no codec can treat is kept ([`Content::Same`]), or at
/// [`Depth::Trace`] described from outside; the note says why. Deterministic.
///
/// ```
/// # use patina_codecs::{Content, Depth, Limits, Params, degrade};
/// let odd = degrade(b"not a JPEG", "image/jpeg", Depth::Cold, &Params::default(), &Limits::default());
/// assert_eq!((odd.content, odd.fidelity), (Content::Same, 1.0));
/// assert!(odd.note.unwrap().contains("cannot be decoded"));
/// ```
pub fn degrade(bytes: &[u8], media_type: &str, depth: Depth, params: &Params, limits: &Limits) -> Degraded {
    Registry::new().degrade(bytes, media_type, depth, params, limits)
}

/// As [`degrade()`], for bytes over [`Limits::input_bytes`], which no codec parses: they are read once at most, in pieces, and never
/// held as a whole. What some codec would understand is kept, with the reason; of the rest a description is left at [`Depth::Cold`]. A
/// trace describes either.
///
/// ```
/// # use patina_codecs::{Content, Depth, Limits, degrade_large};
/// let film = [7u8; 100_000];
/// let cold = degrade_large(&mut &film[..], 100_000, "video/x-raw", Depth::Cold, &Limits::default())?;
/// let Content::Bytes(description) = cold.content else { panic!("a description was expected") };
/// assert!(String::from_utf8(description).unwrap().contains("100000"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The reader's.
pub fn degrade_large(
    reader: &mut dyn Read,
    len: u64,
    media_type: &str,
    depth: Depth,
    limits: &Limits,
) -> io::Result<Degraded> {
    Registry::new().degrade_large(reader, len, media_type, depth, limits)
}

fn over_limit(len: u64, limits: &Limits) -> Refusal {
    Refusal::new(format!("{len} bytes are more than {}", limits.input_bytes))
}

impl Registry {
    /// Degrades `bytes` of type `media_type` to `depth`; see [`degrade()`].
    ///
    /// Deterministic, but for one thing: with a clock, a slow machine may have to keep what a fast one makes smaller.
    pub fn degrade(
        &self,
        bytes: &[u8],
        media_type: &str,
        depth: Depth,
        params: &Params,
        limits: &Limits,
    ) -> Degraded {
        let media = MediaType::from_mime(media_type);
        let params = params.in_range();
        let deadline = self.deadline(limits);
        let input = Input { bytes, media: &media, depth, params: &params, limits, deadline: &deadline };
        let asked = Asked::of(&input);
        let mut refusals = Vec::new();
        let known = self.first_of(&input, &asked, &mut refusals);
        // A limit that every codec has is no reason to ask another.
        let is_for_all = asked.len > limits.input_bytes || deadline.is_over();
        let plainer = media.plainer().filter(|_| known.is_none() && !refusals.is_empty() && !is_for_all);
        let treated = match &plainer {
            None => known,
            Some(plainer) => {
                refusals.push(format!("read as {}", plainer.mime));
                self.first_of(&Input { media: plainer, ..input }, &asked, &mut refusals)
            }
        };
        let is_described = refusals.is_empty() || depth == Depth::Trace;
        let treated = treated.or_else(|| {
            is_described.then(|| treated_by(&opaque::OPAQUE, &input, &asked, &mut refusals)).flatten()
        });
        match treated {
            Some(mut degraded) => {
                degraded.note = joined(&refusals, degraded.note);
                degraded
            }
            None => last_resort(&asked, &refusals),
        }
    }

    /// What the first codec gives that knows the type of the input and does not refuse it; the refusals are told.
    fn first_of(&self, input: &Input<'_>, asked: &Asked<'_>, refusals: &mut Vec<String>) -> Option<Degraded> {
        self.knowing(input.media).find_map(|codec| treated_by(codec, input, asked, refusals))
    }

    /// The codecs for a type, without the one that takes anything.
    fn knowing<'a>(&'a self, media: &'a MediaType) -> impl Iterator<Item = &'a dyn Codec> {
        self.chain(media).filter(|codec| codec.id() != opaque::OPAQUE.id())
    }

    /// As [`Registry::degrade`], for bytes that are too many to be parsed; see [`degrade_large()`].
    ///
    /// # Errors
    /// The reader's.
    pub fn degrade_large(
        &self,
        reader: &mut dyn Read,
        len: u64,
        media_type: &str,
        depth: Depth,
        limits: &Limits,
    ) -> io::Result<Degraded> {
        let media = MediaType::from_mime(media_type);
        let asked = Asked { len, media: &media, depth, limits };
        let told = |codec: &dyn Codec| format!("{}: {}", codec.id(), over_limit(len, limits));
        let refusals: Vec<String> = self.knowing(&media).map(told).collect();
        if depth == Depth::Warm && refusals.is_empty() {
            return Ok(kept(&opaque::OPAQUE, &asked, None));
        }
        if depth != Depth::Trace && !refusals.is_empty() {
            return Ok(last_resort(&asked, &refusals));
        }
        let mut facts = Facts::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(len) => facts.add(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let judged = judge(&opaque::OPAQUE, &asked, opaque::described(&facts, &media, depth));
        Ok(match judged {
            Ok(mut degraded) => {
                degraded.note = joined(&refusals, degraded.note);
                degraded
            }
            Err(_) => last_resort(&asked, &refusals),
        })
    }
}

/// What a codec gives, if it may be used; else it is told why not.
fn treated_by(
    codec: &dyn Codec,
    input: &Input<'_>,
    asked: &Asked<'_>,
    refusals: &mut Vec<String>,
) -> Option<Degraded> {
    let is_safest = codec.id() == opaque::OPAQUE.id();
    let answer = if is_safest { guarded(codec, input) } else { limited(codec, input) };
    match answer.and_then(|outcome| judge(codec, asked, outcome)) {
        Ok(degraded) => Some(degraded),
        Err(refusal) => {
            refusals.push(format!("{}: {refusal}", codec.id()));
            None
        }
    }
}

/// Runs a codec unless the input is over the limit for parsing or the time is over.
fn limited(codec: &dyn Codec, input: &Input<'_>) -> Result<Outcome, Refusal> {
    let len = input.bytes.len() as u64;
    if len > input.limits.input_bytes {
        return Err(over_limit(len, input.limits));
    }
    input.deadline.check()?;
    guarded(codec, input)
}

thread_local! {
    static CATCHES: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs a codec, so that a panic now is caught and told in the note. A program's panic hook may ask,
/// so as not to alarm people with a file that a decoder stumbles over.
///
/// ```
/// let alarm = std::panic::take_hook();
/// std::panic::set_hook(Box::new(move |panic| {
///     if !patina_codecs::catches_panics() {
///         alarm(panic);
///     }
/// }));
/// ```
pub fn catches_panics() -> bool {
    CATCHES.get()
}

fn guarded(codec: &dyn Codec, input: &Input<'_>) -> Result<Outcome, Refusal> {
    // Codecs hold no state, so nothing half-changed can be seen after a panic.
    let before = CATCHES.replace(true);
    let answer = catch_unwind(AssertUnwindSafe(|| codec.degrade(input)));
    CATCHES.set(before);
    answer.unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Refusal::new(format!("failed inside: {}", message.chars().take(120).collect::<String>())))
    })
}

/// What an answer is held against.
struct Asked<'a> {
    /// Bytes of the input.
    len: u64,
    media: &'a MediaType,
    depth: Depth,
    limits: &'a Limits,
}

impl<'a> Asked<'a> {
    fn of(input: &Input<'a>) -> Self {
        let Input { bytes, media, depth, limits, .. } = *input;
        Self { len: bytes.len() as u64, media, depth, limits }
    }
}

/// Whether what a codec gave may be used.
fn judge(codec: &dyn Codec, asked: &Asked<'_>, outcome: Outcome) -> Result<Degraded, Refusal> {
    match outcome {
        Outcome::Keep { note } if asked.depth == Depth::Trace => {
            Err(Refusal::new(note.unwrap_or_else(|| "gives no trace".to_owned())))
        }
        Outcome::Keep { note } => Ok(kept(codec, asked, note)),
        Outcome::Bytes { .. } if asked.depth == Depth::Trace => Err(Refusal::new("gives no trace")),
        Outcome::Bytes { bytes, mime, fidelity, metric, params, note } => {
            let len_bytes = bytes.len() as u64;
            if len_bytes > asked.limits.output_bytes {
                return Err(Refusal::new(format!("an output of {len_bytes} bytes is over the limit")));
            }
            if !is_worth_it(len_bytes, asked.len) {
                let note = format!(
                    "the output would have {len_bytes} bytes instead of {}, not 10% less: kept as it is",
                    asked.len
                );
                return Ok(kept(codec, asked, Some(note)));
            }
            Ok(Degraded {
                content: Content::Bytes(bytes),
                media_type: mime,
                fidelity: in_unit(fidelity),
                metric,
                codec: codec.id(),
                version: codec.version(),
                params,
                note,
            })
        }
        Outcome::Trace { json, fidelity, metric, note } => {
            if asked.depth != Depth::Trace || json.len() > TRACE_BYTES_MAX {
                return Err(Refusal::new(format!("a trace of {} bytes cannot be used", json.len())));
            }
            Ok(Degraded {
                content: Content::Trace(json),
                media_type: "application/json".to_owned(),
                fidelity: in_unit(fidelity),
                metric,
                codec: codec.id(),
                version: codec.version(),
                params: String::new(),
                note,
            })
        }
    }
}

/// At least a tenth smaller.
fn is_worth_it(output_bytes: u64, input_bytes: u64) -> bool {
    u128::from(output_bytes) * 10 <= u128::from(input_bytes) * 9
}

fn in_unit(fidelity: f64) -> f64 {
    if fidelity.is_finite() { fidelity.clamp(0.0, 1.0) } else { 0.0 }
}

fn kept(codec: &dyn Codec, asked: &Asked<'_>, note: Option<String>) -> Degraded {
    Degraded {
        content: Content::Same,
        media_type: asked.media.mime.clone().into_owned(),
        fidelity: 1.0,
        metric: "identical",
        codec: codec.id(),
        version: codec.version(),
        params: String::new(),
        note,
    }
}

fn last_resort(asked: &Asked<'_>, refusals: &[String]) -> Degraded {
    let mut degraded = kept(&opaque::OPAQUE, asked, Some("kept as it is".to_owned()));
    degraded.note = joined(refusals, degraded.note);
    if asked.depth == Depth::Trace {
        degraded.content = Content::Trace(format!("{{\"size\":{}}}", asked.len));
        degraded.media_type = "application/json".to_owned();
        (degraded.fidelity, degraded.metric) = (0.0, "bytes");
    }
    degraded
}

fn joined(refusals: &[String], note: Option<String>) -> Option<String> {
    let parts: Vec<&str> = refusals.iter().map(String::as_str).chain(note.as_deref()).collect();
    if parts.is_empty() { None } else { Some(parts.join("; ")) }
}

#[cfg(test)]
mod tests;
