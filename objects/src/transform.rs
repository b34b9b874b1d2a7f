//! The seam between the life cycle and what makes bytes smaller.
//!
//! The life cycle asks for a depth and gets bytes, a summary, or "keep them" with a measured fidelity. Which codec
//! does it is no concern of this crate; an embedder may put its own in front, and tests put one that is quick.

use patina_codecs::{Degraded, Depth, Limits, Params};

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
}

/// The codecs of `patina-codecs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CodecTransform;

impl Transform for CodecTransform {
    fn degrade(
        &self,
        bytes: &[u8],
        media_type: &str,
        depth: Depth,
        params: &Params,
        limits: &Limits,
    ) -> Result<Degraded, String> {
        Ok(patina_codecs::degrade(bytes, media_type, depth, params, limits))
    }
}
