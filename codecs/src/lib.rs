//! Pure functions from bytes to smaller bytes, with the fidelity measured.
//!
//! # Problem
//!
//! An object that nobody reads should cost less each year, and should stay worth something for as long as
//! possible. For a photograph that means fewer bits for each pixel, later fewer pixels; for a text, the
//! sentences that carry most; for bytes nobody understands, the same bytes, and at last a description of
//! them. This crate knows how each type gets smaller. It does no I/O, reads no clock and keeps no state.
//!
//! # Invariants
//!
//! - [`degrade()`] always gives a usable answer, for any bytes under any media type: it never fails and never
//!   panics. A codec that cannot treat its input hands over to a safer one, and the note says why.
//! - The same bytes, type, depth and parameters give the same output.
//! - Nothing that a header claims is believed before it was held against [`Limits`].
//! - An output that is not at least 10 % smaller than its input is not used.
//! - The fidelity is measured on the output, never assumed, and 1 only where the bytes are unchanged.
//! - The output is again an input: a reduced picture is a JPEG, a summary is text, and [`degrade()`] takes
//!   them further under the media type it gave them.
//!
//! # Example
//!
//! ```
//! use patina_codecs::{Content, Depth, Kind, Limits, Params, degrade, detect};
//!
//! let text = "# Lighthouses\n\n\
//!     A lighthouse warns ships of the rocks near the coast. It was a windy day. \
//!     The light of a tall lighthouse reaches ships twenty miles from the coast. \
//!     People like sandwiches. The keeper of the lighthouse lit the lamp each evening.\n";
//! let media = detect(text.as_bytes(), "notes.md");
//! assert_eq!((media.kind, media.mime.as_ref()), (Kind::Text, "text/markdown"));
//!
//! let (params, limits) = (Params::default(), Limits::default());
//! let warm = degrade(text.as_bytes(), &media.mime, Depth::Warm, &params, &limits);
//! let Content::Bytes(summary) = &warm.content else { panic!("a summary was expected") };
//! let summary = std::str::from_utf8(summary).unwrap();
//! assert!(summary.starts_with("# Lighthouses"));
//! assert!(summary.len() < text.len() / 2);
//! assert!(warm.fidelity > 0.0 && warm.fidelity < 1.0);
//!
//! let trace = degrade(summary.as_bytes(), &warm.media_type, Depth::Trace, &params, &limits);
//! let Content::Trace(json) = &trace.content else { panic!("a trace was expected") };
//! assert!(json.contains("Lighthouses") && json.len() <= 1024);
//! ```

#[cfg(feature = "archives")]
mod archive;
#[cfg(feature = "audio")]
mod audio;
mod deadline;
mod degrade;
mod detect;
mod digest;
#[cfg(feature = "documents")]
mod document;
mod image;
mod json;
mod log;
mod media;
mod metadata;
mod opaque;
mod params;
mod readable;
mod registry;
mod statistics;
mod summarised;
mod table;
mod tensor;
mod text;
mod trace;
#[cfg(feature = "archives")]
mod unpack;

pub use deadline::{Clock, Deadline};
pub use degrade::{Content, Degraded, Depth, catches_panics, degrade, degrade_large};
pub use detect::{HEAD_BYTES_MAX, detect};
pub use json::JSON_MIME;
pub use log::LOG_MIME;
pub use media::{ARCHIVE_MIME, Kind, MediaType};
pub use metadata::METADATA_MIME;
pub use params::{InvalidParams, Limits, Params, PictureFormat, Transparency};
pub use registry::{Codec, Input, Outcome, Refusal, Registry};
pub use table::{TABLE_MIME, WORKBOOK_MIME};
pub use trace::TRACE_BYTES_MAX;
