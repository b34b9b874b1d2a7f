//! The seam between the life cycle and what makes bytes smaller.
//!
//! The life cycle asks for a depth and gets bytes, a summary, or "keep them" with a measured fidelity. Which codec
//! does it is no concern of this crate; an embedder may put its own in front, and tests put one that is quick.

use patina_codecs::{Degraded, Depth, Limits, MediaType, Params, Registry};
use std::io::Read;

/// Turns an object's bytes into what its next stage keeps.
pub trait Transform: Send + Sync {
    /// Degrades `bytes` of type `media_type` to `depth`. Must be deterministic. [`patina_codecs::Content::Trace`] is
    /// the answer to [`Depth::Trace`] and to nothing else.
    ///
    /// # Errors
    /// A sentence for a person. The object stays as it is and is tried again later, five times at most.
    fn degrade(
        &self,
        bytes: &[u8],
        media_type: &str,
        depth: Depth,
        params: &Params,
        limits: &Limits,
    ) -> Result<Degraded, String>;

    /// Tells the type of a new object from its first bytes (up to [`patina_codecs::HEAD_BYTES_MAX`]) and its name, where
    /// whoever put it did not say.
    fn detect(&self, head: &[u8], name: &str) -> MediaType {
        patina_codecs::detect(head, name)
    }

    /// As [`Transform::degrade`], for an object over [`Limits::input_bytes`], which is never held in memory as a whole. Unless
    /// replaced it is kept, or described from outside: see [`patina_codecs::degrade_large`].
    ///
    /// # Errors
    /// As [`Transform::degrade`].
    fn degrade_large(
        &self,
        reader: &mut dyn Read,
        len: u64,
        media_type: &str,
        depth: Depth,
        limits: &Limits,
    ) -> Result<Degraded, String> {
        patina_codecs::degrade_large(reader, len, media_type, depth, limits)
            .map_err(|error| error.to_string())
    }
}

/// The codecs of a [`Registry`]: those of `patina-codecs`, and those that the embedder adds.
///
/// ```
/// # use std::sync::Arc;
/// # use patina_codecs::{Codec, Input, MediaType, Outcome, Refusal};
/// use patina_objects::{CodecTransform, Registry, StoreOptions};
///
/// # struct Scans;
/// # impl Codec for Scans {
/// #     fn id(&self) -> &'static str { "scans" }
/// #     fn version(&self) -> u16 { 1 }
/// #     fn accepts(&self, media: &MediaType) -> bool { media.mime == "application/dicom" }
/// #     fn degrade(&self, _: &Input<'_>) -> Result<Outcome, Refusal> { Ok(Outcome::Keep { note: None }) }
/// # }
/// let registry = Registry::new().with(Arc::new(Scans));
/// let options = StoreOptions { transform: Arc::new(CodecTransform::new(registry)), ..StoreOptions::default() };
/// ```
#[derive(Clone, Debug, Default)]
pub struct CodecTransform {
    registry: Registry,
}

impl CodecTransform {
    /// With these codecs; the history tells the id and the version of the one that was used.
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }
}

impl Transform for CodecTransform {
    fn degrade(
        &self,
        bytes: &[u8],
        media_type: &str,
        depth: Depth,
        params: &Params,
        limits: &Limits,
    ) -> Result<Degraded, String> {
        Ok(self.registry.degrade(bytes, media_type, depth, params, limits))
    }

    fn degrade_large(
        &self,
        reader: &mut dyn Read,
        len: u64,
        media_type: &str,
        depth: Depth,
        limits: &Limits,
    ) -> Result<Degraded, String> {
        self.registry.degrade_large(reader, len, media_type, depth, limits).map_err(|error| error.to_string())
    }

    fn detect(&self, head: &[u8], name: &str) -> MediaType {
        self.registry.detect(head, name)
    }
}
