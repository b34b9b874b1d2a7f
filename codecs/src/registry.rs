//! The codecs, those of this crate and those of others, in the order in which they are asked.
//!
//! A new codec of this crate is one file and one line in [`CODECS`]. A codec from elsewhere implements [`Codec`] and is
//! given to [`Registry::with`]; it comes before those of this crate, so it may also replace one.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "archives")]
use crate::archive;
#[cfg(feature = "audio")]
use crate::audio;
use crate::deadline::{Clock, Deadline};
use crate::degrade::Depth;
#[cfg(feature = "documents")]
use crate::document;
use crate::media::MediaType;
use crate::params::{Limits, Params};
use crate::{image, json, log, metadata, opaque, table, tensor, text};

/// What a codec is given.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The object, or what a former stage left of it.
    pub bytes: &'a [u8],
    /// What the bytes are said to be.
    pub media: &'a MediaType,
    /// How far to go.
    pub depth: Depth,
    /// Already brought into range.
    pub params: &'a Params,
    /// What the input may demand. The size of input and output is checked around the codec, the rest is its duty.
    pub limits: &'a Limits,
    /// To be asked in every loop whose length the input decides.
    pub deadline: &'a Deadline,
}

/// What a codec gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing to gain, or nothing may be lost yet; not at [`Depth::Trace`].
    Keep {
        /// Why.
        note: Option<String>,
    },
    /// Smaller bytes; not at [`Depth::Trace`].
    Bytes {
        /// What is left.
        bytes: Vec<u8>,
        /// What it is now. The codec that takes it further must accept this.
        mime: String,
        /// How much of the input that is, 0–1, measured.
        fidelity: f64,
        /// What the fidelity measures.
        metric: &'static str,
        /// The parameters that were chosen, as `name=value` separated by spaces.
        params: String,
        /// What was lost beside fidelity.
        note: Option<String>,
    },
    /// What remains at [`Depth::Trace`].
    Trace {
        /// A JSON object of at most [`TRACE_BYTES_MAX`](crate::TRACE_BYTES_MAX) bytes.
        json: String,
        /// How much of the input that is, 0–1.
        fidelity: f64,
        /// What the fidelity measures.
        metric: &'static str,
        /// What a person should know.
        note: Option<String>,
    },
}

/// Why a codec cannot treat this input; the next safer one is asked, and the history tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    /// The reason, as the end of a sentence that begins with the codec's name.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// One way to make one family of types smaller. Deterministic and without state.
///
/// It may refuse, err and even panic: the object is then kept, or treated by a safer codec.
///
/// ```
/// use std::sync::Arc;
/// use patina_codecs::{Codec, Content, Depth, Input, Limits, MediaType, Outcome, Params, Refusal, Registry};
///
/// /// Keeps every fourth measurement of a made-up format.
/// struct EveryFourth;
///
/// impl Codec for EveryFourth {
///     fn id(&self) -> &'static str { "every-fourth" }
///     fn version(&self) -> u16 { 1 }
///     fn accepts(&self, media: &MediaType) -> bool { media.mime == "application/x-measurements" }
///     fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
///         if input.depth == Depth::Trace {
///             let json = format!("{{\"measurements\":{}}}", input.bytes.len());
///             return Ok(Outcome::Trace { json, fidelity: 0.0, metric: "measurements", note: None });
///         }
///         Ok(Outcome::Bytes {
///             bytes: input.bytes.iter().copied().step_by(4).collect(),
///             mime: "application/x-measurements".to_owned(),
///             fidelity: 0.25,
///             metric: "measurements",
///             params: "step=4".to_owned(),
///             note: None,
///         })
///     }
/// }
///
/// let registry = Registry::new().with(Arc::new(EveryFourth));
/// let (params, limits) = (Params::default(), Limits::default());
/// let warm = registry.degrade(&[7; 400], "application/x-measurements", Depth::Warm, &params, &limits);
/// assert_eq!((warm.codec, warm.version, warm.fidelity), ("every-fourth", 1, 0.25));
/// assert_eq!(warm.content, Content::Bytes(vec![7; 100]));
/// ```
pub trait Codec: Send + Sync {
    /// The name in the history.
    fn id(&self) -> &'static str;

    /// Rises when the output for the same input changes.
    fn version(&self) -> u16;

    /// Whether this codec knows the type.
    fn accepts(&self, media: &MediaType) -> bool;

    /// Recognises a file of its own by its first bytes (up to [`HEAD_BYTES_MAX`](crate::HEAD_BYTES_MAX)) and its name,
    /// before this crate does. Needed only for types that [`detect`](crate::detect()) does not know.
    fn detect(&self, _head: &[u8], _name: &str) -> Option<MediaType> {
        None
    }

    /// Takes the input to its depth.
    ///
    /// # Errors
    /// A refusal, and nothing is lost by it.
    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal>;
}

/// Every codec of this crate, the most specific first, the safest last.
static CODECS: &[&dyn Codec] = &[
    &metadata::METADATA,
    &image::IMAGE,
    &table::TABLE,
    &json::JSON,
    &log::LOG,
    &tensor::TENSOR,
    #[cfg(feature = "audio")]
    &audio::AUDIO,
    #[cfg(feature = "documents")]
    &document::DOCUMENT,
    #[cfg(feature = "archives")]
    &archive::ARCHIVE,
    &text::TEXT,
    &opaque::OPAQUE,
];

/// The codecs that a store uses, and the clock that their time is measured by. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry {
    /// From elsewhere, the last registered first.
    others: Vec<Arc<dyn Codec>>,
    clock: Option<Clock>,
}

impl Registry {
    /// The codecs of this crate, and no limit of time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a codec that is asked before all that are there.
    #[must_use]
    pub fn with(mut self, codec: Arc<dyn Codec>) -> Self {
        self.others.insert(0, codec);
        self
    }

    /// Holds every transform to [`Limits::time_ms`] by this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Tells the type of a file, see [`detect`](crate::detect()); registered codecs are asked first.
    pub fn detect(&self, head: &[u8], name: &str) -> MediaType {
        let own = self.others.iter().find_map(|codec| codec.detect(head, name));
        own.unwrap_or_else(|| crate::detect(head, name))
    }

    /// The id and version of every codec, in the order in which they are asked.
    pub fn codecs(&self) -> Vec<(&'static str, u16)> {
        self.all().map(|codec| (codec.id(), codec.version())).collect()
    }

    pub(crate) fn deadline(&self, limits: &Limits) -> Deadline {
        match &self.clock {
            Some(clock) => Deadline::after(std::time::Duration::from_millis(limits.time_ms), clock),
            None => Deadline::never(),
        }
    }

    /// The codecs that know the type, in the order in which to ask them.
    pub(crate) fn chain<'a>(&'a self, media: &'a MediaType) -> impl Iterator<Item = &'a dyn Codec> {
        self.all().filter(|codec| codec.accepts(media))
    }

    fn all(&self) -> impl Iterator<Item = &dyn Codec> {
        self.others.iter().map(Arc::as_ref).chain(CODECS.iter().map(|codec| *codec as &dyn Codec))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("codecs", &self.codecs())
            .field("timed", &self.clock.is_some())
            .finish()
    }
}
