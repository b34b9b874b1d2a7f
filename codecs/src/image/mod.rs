//! Pictures: JPEG of the same size, then a small JPEG, then a thumbnail's hash.
//!
//! # Invariants
//!
//! - A header's claim of size is held against the limits before pixels are allocated.
//! - What a JPEG cannot carry (transparency, animation, further pages, data behind the picture) is not lost
//!   at [`Depth::Warm`]: such a picture stays as it is. At [`Depth::Cold`] it is lost and the note says so.
//! - The orientation that a camera wrote beside the pixels is applied to the pixels, and the tag dropped.
//! - The colour profile goes along; so do the camera's data, all but the bulky ones at warm and those a
//!   person asks for (when, where, with what, whose) at cold.
//! - Each JPEG that is written is decoded and compared with the source before it is offered. If they do not
//!   show the same picture, the source stays.
//! - Files are baseline and interleaved: there are decoders that read other valid files to garbage.
//!
//! # Example
//!
//! A 2048×1536 photograph of 769 kB: warm searches the JPEG quality until the structural similarity of some
//! full-resolution tiles reaches the target; cold decodes at half size in the cosine domain, scales to
//! 1024×768 and writes quality 35; the trace keeps 25 bytes of thumbnail, 8 bytes of perceptual hash, size,
//! date and camera.

mod exif;
mod jpeg;
mod picture;
#[cfg(feature = "images")]
mod raster;
mod similarity;
mod thumbnail;

use crate::degrade::Depth;
use crate::media::MediaType;
use crate::registry::{Codec, Input, Outcome, Refusal};
use picture::Picture;
use similarity::Comparison;

pub(crate) static IMAGE: Image = Image;

const JPEG_MIME: &str = "image/jpeg";

/// Below this similarity, or above this mean error of a channel, the output is not the same picture.
const SIMILARITY_MIN: f64 = 0.4;
const CHANNEL_ERROR_MAX: f64 = 24.0;

/// Bytes behind a picture that may be padding; more is a further picture or a film.
const TRAILER_PADDING_BYTES: usize = 4096;

pub(crate) struct Image;

impl Codec for Image {
    fn id(&self) -> &'static str {
        "image"
    }

    fn version(&self) -> u16 {
        1
    }

    fn accepts(&self, media: &MediaType) -> bool {
        #[cfg(feature = "images")]
        if raster::format_of(&media.mime).is_some() {
            return true;
        }
        media.mime == JPEG_MIME
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        match input.depth {
            Depth::Warm => warm(input),
            Depth::Cold => cold(input),
            Depth::Trace => thumbnail::trace(&load(input, Some(thumbnail::SOURCE_SIDE_PX))?),
        }
    }
}

/// A decoded file.
struct Source {
    /// Upright, without transparency; possibly decoded smaller than it is.
    picture: Picture,
    /// Width and height of the whole picture, upright.
    full_px: (u32, u32),
    icc: Option<Vec<u8>>,
    /// The camera's data, a TIFF structure.
    exif: Option<Vec<u8>>,
    losses: Vec<Loss>,
}

/// What the file holds and a JPEG does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "images"), expect(dead_code, reason = "JPEG alone has few of these"))]
enum Loss {
    Transparency,
    Animation,
    Pages,
    Trailer { bytes: usize },
    Depth16,
}

impl Loss {
    /// Whether it must not happen at the first stage.
    fn is_grave(self) -> bool {
        match self {
            Self::Transparency | Self::Animation | Self::Pages => true,
            Self::Trailer { bytes } => bytes > TRAILER_PADDING_BYTES,
            Self::Depth16 => false,
        }
    }

    fn kept_note(self) -> String {
        match self {
            Self::Transparency => "has transparency, which JPEG lacks: kept as it is".to_owned(),
            Self::Animation => "is animated, which JPEG is not: kept as it is".to_owned(),
            Self::Pages => "has several pages, which JPEG lacks: kept as it is".to_owned(),
            Self::Trailer { bytes } => format!("{bytes} bytes follow the picture: kept as it is"),
            Self::Depth16 => "has 16 bits a channel: kept as it is".to_owned(),
        }
    }

    fn lost_note(self) -> String {
        match self {
            Self::Transparency => "transparency flattened on white".to_owned(),
            Self::Animation => "only the first frame of the animation is left".to_owned(),
            Self::Pages => "only the first page is left".to_owned(),
            Self::Trailer { bytes } => format!("{bytes} bytes after the picture dropped"),
            Self::Depth16 => "16 bits a channel became 8".to_owned(),
        }
    }
}

/// Decodes; with `side_px`, possibly smaller, but with a longest side of at least that.
fn load(input: &Input<'_>, side_px: Option<u32>) -> Result<Source, Refusal> {
    if input.media.mime == JPEG_MIME {
        return jpeg::load(input.bytes, side_px, input.limits, input.deadline);
    }
    #[cfg(feature = "images")]
    if let Some(format) = raster::format_of(&input.media.mime) {
        return raster::load(input.bytes, format, input.limits, input.deadline);
    }
    Err(Refusal::new("no decoder for this format"))
}

fn warm(input: &Input<'_>) -> Result<Outcome, Refusal> {
    let source = load(input, None)?;
    if let Some(grave) = source.losses.iter().find(|loss| loss.is_grave()) {
        return Ok(Outcome::Keep { note: Some(grave.kept_note()) });
    }
    let params = input.params;
    let quality = jpeg::search_quality(
        &source.picture,
        params.warm_quality,
        params.warm_jpeg_quality_min..=params.warm_jpeg_quality_max,
        input.deadline,
    )?;
    let params = format!("quality={quality} target_ssim={}", params.warm_quality);
    finish(&source, &source.picture, quality, exif::Extent::Full, params, input)
}

fn cold(input: &Input<'_>) -> Result<Outcome, Refusal> {
    let side_px = input.params.cold_side_px;
    let source = load(input, Some(side_px))?;
    let reduced = source.picture.fitted(side_px)?;
    let quality = input.params.cold_quality;
    let params = format!("quality={quality} side={}", reduced.width.max(reduced.height));
    finish(&source, &reduced, quality, exif::Extent::Essential, params, input)
}

/// Encodes, decodes again, compares with the source.
fn finish(
    source: &Source,
    reduced: &Picture,
    quality: u8,
    extent: exif::Extent,
    params: String,
    input: &Input<'_>,
) -> Result<Outcome, Refusal> {
    let carried = jpeg::Carried {
        icc: source.icc.as_deref().filter(|profile| fits_profile(profile, reduced)),
        exif: exif::carried(source.exif.as_deref(), source.full_px, extent),
    };
    input.deadline.check()?;
    let bytes = jpeg::encode(reduced, quality, &carried)?;
    let check_side_px = 2 * similarity::proxy_side_px(reduced);
    let decoded = jpeg::load(&bytes, Some(check_side_px), input.limits, input.deadline)?;
    if decoded.full_px != (reduced.width, reduced.height) {
        return Err(Refusal::new("the written picture decodes to another size: kept as it is"));
    }
    let Comparison { ssim, channel_error } = similarity::compare(&source.picture, &decoded.picture)?;
    if ssim < SIMILARITY_MIN || channel_error > CHANNEL_ERROR_MAX {
        return Err(Refusal::new(format!(
            "the written picture differs too much (SSIM {ssim:.2}, mean error {channel_error:.0}): kept as it is"
        )));
    }
    Ok(Outcome::Bytes {
        bytes,
        mime: JPEG_MIME.to_owned(),
        fidelity: ssim * coverage(source.full_px, (reduced.width, reduced.height)),
        metric: "ssim",
        params,
        note: notes(source, carried.icc.is_some(), reduced),
    })
}

/// How much of the resolution along a side is left.
fn coverage(full_px: (u32, u32), reduced_px: (u32, u32)) -> f64 {
    f64::from(reduced_px.0.max(reduced_px.1)) / f64::from(full_px.0.max(full_px.1).max(1))
}

/// A profile describes a colour space; one for another space than the picture's would do harm.
fn fits_profile(profile: &[u8], picture: &Picture) -> bool {
    let space = profile.get(16..20);
    space == Some(if picture.is_grey() { &b"GRAY"[..] } else { &b"RGB "[..] })
}

fn notes(source: &Source, has_profile: bool, reduced: &Picture) -> Option<String> {
    let mut notes: Vec<String> = source.losses.iter().map(|loss| loss.lost_note()).collect();
    match (&source.icc, has_profile) {
        (Some(_), true) => notes.push("colour profile carried over".to_owned()),
        (Some(_), false) => notes.push("colour profile of another colour space dropped".to_owned()),
        (None, _) => {}
    }
    let (width_px, height_px) = source.full_px;
    if (width_px, height_px) != (reduced.width, reduced.height) {
        notes.push(format!("{width_px}×{height_px} became {}×{} pixels", reduced.width, reduced.height));
    }
    if notes.is_empty() { None } else { Some(notes.join("; ")) }
}

#[cfg(test)]
mod tests;
