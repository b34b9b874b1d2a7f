//! The table of codecs. A new codec is one file and one line in [`CODECS`].

use std::fmt;

use crate::degrade::Depth;
use crate::media::MediaType;
use crate::params::{Limits, Params};
use crate::{image, json, log, metadata, opaque, table, tensor, text};

/// What a codec is given.
pub(crate) struct Input<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) media: &'a MediaType,
    pub(crate) depth: Depth,
    /// Already brought into range.
    pub(crate) params: &'a Params,
    pub(crate) limits: &'a Limits,
}

/// What a codec gives.
pub(crate) enum Outcome {
    /// Nothing to gain, or nothing may be lost yet.
    Keep { note: Option<String> },
    /// Smaller bytes.
    Bytes {
        bytes: Vec<u8>,
        mime: String,
        fidelity: f64,
        metric: &'static str,
        params: String,
        note: Option<String>,
    },
    /// The description that remains at [`Depth::Trace`].
    Trace { json: String, fidelity: f64, metric: &'static str, note: Option<String> },
}

/// Why a codec cannot treat this input; the next safer one is asked.
#[derive(Debug)]
pub(crate) struct Refusal(String);

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One way to make one family of types smaller. Deterministic and without state.
pub(crate) trait Codec: Sync {
    /// The name in the history.
    fn id(&self) -> &'static str;
    /// Rises when the output for the same input changes.
    fn version(&self) -> u16;
    /// Whether this codec knows the type.
    fn accepts(&self, media: &MediaType) -> bool;
    /// Takes the input to its depth. A refusal loses nothing.
    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal>;
}

/// Every codec, the most specific first, the safest last.
static CODECS: &[&dyn Codec] = &[
    &metadata::METADATA,
    &image::IMAGE,
    &table::TABLE,
    &json::JSON,
    &log::LOG,
    &tensor::TENSOR,
    &text::TEXT,
    &opaque::OPAQUE,
];

/// The codecs that know the type, in the order in which to ask them.
pub(crate) fn chain(media: &MediaType) -> impl Iterator<Item = &'static dyn Codec> {
    CODECS.iter().copied().filter(|codec| codec.accepts(media))
}
