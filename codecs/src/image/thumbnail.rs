//! The trace of a picture: colours and shapes in 25 bytes, and a hash that finds look-alikes.
//!
//! ThumbHash (Evan Wallace, 2023) holds a few cosine coefficients of luma, colour and transparency; a picture of up to 32
//! pixels a side can be drawn from it. The perceptual hash is the difference hash: 9×8 grey pixels, one bit
//! for each pair of neighbours, set where brightness rises; similar pictures differ in few of the 64 bits.

use super::picture::{Filter, Picture, fit};
use super::similarity::{self, Reference};
use super::{Source, coverage, exif};
use crate::digest::{base64, hex};
use crate::registry::{Outcome, Refusal};
use crate::trace::TraceBuilder;

/// Decoding smaller than this would lose what the hashes see.
pub(super) const SOURCE_SIDE_PX: u32 = 256;

/// The library's bound for its input.
const THUMBHASH_SIDE_PX: u32 = 100;

pub(super) fn trace(source: &Source, note: Option<String>) -> Result<Outcome, Refusal> {
    let facts = source.exif.as_deref().map(exif::facts).unwrap_or_default();
    let (width_px, height_px) = facts.original_px.unwrap_or(source.full_px);
    let thumbhash = thumbhash(&source.picture)?;
    let mut trace = TraceBuilder::new();
    trace.add("width", width_px);
    trace.add("height", height_px);
    trace.add("thumbhash", base64(&thumbhash));
    trace.add("dhash", hex(&dhash(&source.picture)?.to_be_bytes()));
    trace.add_some("taken", facts.taken);
    trace.add_some("camera", facts.camera);
    Ok(Outcome::Trace { json: trace.finish(), fidelity: fidelity(source, &thumbhash)?, metric: "ssim", note })
}

fn thumbhash(picture: &Picture) -> Result<Vec<u8>, Refusal> {
    let (width, height) = fit(picture.width, picture.height, THUMBHASH_SIDE_PX);
    let small = picture.resized(width, height, Filter::Smooth)?;
    Ok(thumbhash::rgba_to_thumb_hash(width as usize, height as usize, &small.rgba()))
}

/// Rows from the top, the first pair in the highest bit.
pub(super) fn dhash(picture: &Picture) -> Result<u64, Refusal> {
    let luma = picture.resized(9, 8, Filter::Smooth)?.luma();
    let bits = luma.chunks_exact(9).flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0]));
    Ok(bits.fold(0, |hash, rises| hash << 1 | u64::from(rises)))
}

/// The picture drawn from the hash, compared with the source.
fn fidelity(source: &Source, thumbhash: &[u8]) -> Result<f64, Refusal> {
    let unreadable = || Refusal::new("the thumbnail cannot be read back");
    let (width, height, rgba) = thumbhash::thumb_hash_to_rgba(thumbhash).map_err(|()| unreadable())?;
    let drawn = Picture::new(width as u32, height as u32, 4, rgba)?.flattened(u8::MAX).into_owned();
    let (width, height) = similarity::proxy_size(&source.picture);
    let seen = drawn.resized(width, height, Filter::Smooth)?;
    let source_seen = source.picture.resized(width, height, Filter::Smooth)?;
    let ssim = Reference::new(source_seen.luma(), width as usize).ssim(&seen.luma());
    let drawn_px = fit(drawn.width, drawn.height, source.full_px.0.max(source.full_px.1));
    Ok(ssim.max(0.0) * coverage(source.full_px, drawn_px))
}
