//! The safest codec: for bytes that no other codec knows.
//!
//! Warm keeps every byte (storage compresses them as strongly as it can), cold leaves a description with an
//! excerpt of the head, the trace names size and hash. The fidelity is the share of the bytes that an
//! excerpt still holds, and never more than [`FIDELITY_MAX`]: a description is no substitute.

use crate::degrade::Depth;
use crate::media::MediaType;
use crate::metadata::{self, Facts, METADATA_MIME};
use crate::registry::{Codec, Input, Outcome, Refusal};

pub(crate) static OPAQUE: Opaque = Opaque;

const FIDELITY_MAX: f64 = 0.05;

pub(crate) struct Opaque;

impl Codec for Opaque {
    fn id(&self) -> &'static str {
        "opaque"
    }

    fn version(&self) -> u16 {
        1
    }

    fn accepts(&self, _: &MediaType) -> bool {
        true
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        Ok(match input.depth {
            Depth::Warm => Outcome::Keep { note: None },
            Depth::Cold | Depth::Trace => described(&Facts::of(input.bytes), input.media, input.depth),
        })
    }
}

/// What is left of bytes when only a description is: all of it at cold, its essence as a trace.
pub(crate) fn described(facts: &Facts, media: &MediaType, depth: Depth) -> Outcome {
    let fidelity = |held_bytes: usize| (held_bytes as f64 / facts.size.max(1) as f64).min(FIDELITY_MAX);
    if depth == Depth::Trace {
        let (json, held_bytes) = metadata::describe_briefly(facts, media);
        return Outcome::Trace { json, fidelity: fidelity(held_bytes), metric: "bytes", note: None };
    }
    let (json, held_bytes) = metadata::describe(facts, media);
    Outcome::Bytes {
        bytes: json.into_bytes(),
        mime: METADATA_MIME.to_owned(),
        fidelity: fidelity(held_bytes),
        metric: "bytes",
        params: String::new(),
        note: Some("only a description is left".to_owned()),
    }
}
