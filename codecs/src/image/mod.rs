//! Pictures: JPEG of the same size, then a small JPEG, then a thumbnail's hash.
//!
//! # Invariants
//!
//! - A header's claim of size is held against the limits before pixels are allocated.
//! - Animation, further pages and data behind the picture are not lost at [`Depth::Warm`]: such a picture stays as it is.
//!   At [`Depth::Cold`] they are lost and the note says so.
//! - What becomes of transparency says [`Params::transparency`](crate::Params::transparency), and where it is lost the note.
//! - The orientation that a camera wrote beside the pixels is applied to the pixels, and the tag dropped.
//! - The colour profile goes along at warm; from cold on colours are converted to sRGB, and measured there ([`colour`]).
//!   The camera's data go along, all but the bulky ones at warm and those a person asks for (when, where, with what, whose)
//!   at cold.
//! - Each picture that is written is decoded and compared with the source before it is offered. If they do not
//!   show the same picture, the source stays.
//! - JPEGs are baseline and interleaved: there are decoders that read other valid files to garbage.
//!
//! # Example
//!
//! A 2048×1536 photograph of 769 kB: warm searches the JPEG quality until the structural similarity of some
//! full-resolution tiles reaches the target; cold decodes at half size in the cosine domain, scales to
//! 1024×768 and writes quality 35; the trace keeps 25 bytes of thumbnail, 8 bytes of perceptual hash, size,
//! date and camera.

#[cfg(feature = "images")]
mod colour;
mod exif;
mod jpeg;
mod picture;
mod quality;
#[cfg(feature = "images")]
mod raster;
mod similarity;
mod target;
mod thumbnail;
#[cfg(feature = "images")]
mod webp;

use crate::degrade::Depth;
use crate::media::MediaType;
use crate::registry::{Codec, Input, Outcome, Refusal};
use picture::Picture;
use similarity::Comparison;
use target::{Carried, Target};

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
        2
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
            Depth::Trace => trace(input),
        }
    }
}

/// A decoded file.
struct Source {
    /// Upright; possibly decoded smaller than it is.
    picture: Picture,
    /// Width and height of the whole picture, upright.
    full_px: (u32, u32),
    icc: Option<Vec<u8>>,
    /// The camera's data, a TIFF structure.
    exif: Option<Vec<u8>>,
    losses: Vec<Loss>,
}

/// What the file holds and no single picture of eight bits a channel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "images"), expect(dead_code, reason = "JPEG alone has few of these"))]
enum Loss {
    Animation,
    Pages,
    Trailer { bytes: usize },
    Depth16,
}

impl Loss {
    /// Whether it must not happen at the first stage.
    fn is_grave(self) -> bool {
        match self {
            Self::Animation | Self::Pages => true,
            Self::Trailer { bytes } => bytes > TRAILER_PADDING_BYTES,
            Self::Depth16 => false,
        }
    }

    fn kept_note(self) -> String {
        match self {
            Self::Animation => "is animated, and only a frame would be left: kept as it is".to_owned(),
            Self::Pages => "has several pages, and only one would be left: kept as it is".to_owned(),
            Self::Trailer { bytes } => format!("{bytes} bytes follow the picture: kept as it is"),
            Self::Depth16 => "has 16 bits a channel: kept as it is".to_owned(),
        }
    }

    fn lost_note(self) -> String {
        match self {
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
    let mut source = load(input, None)?;
    if let Some(grave) = source.losses.iter().find(|loss| loss.is_grave()) {
        return Ok(Outcome::Keep { note: Some(grave.kept_note()) });
    }
    let mut notes = source.lost();
    let Some(target) = source.target(input, &mut notes) else {
        return Ok(Outcome::Keep {
            note: Some("has transparency, which JPEG lacks: kept as it is".to_owned()),
        });
    };
    source.colour_for(target, &mut notes)?;
    let params = input.params;
    let quality = quality::search(
        &source.picture.flattened(u8::MAX),
        target,
        params.warm_quality,
        params.warm_jpeg_quality_min..=params.warm_jpeg_quality_max,
        input.deadline,
    )?;
    let params = format!("format={} quality={quality} target_ssim={}", target.as_str(), params.warm_quality);
    let reduced = Reduced { picture: &source.picture, quality, extent: exif::Extent::Full, params, notes };
    finish(&source, reduced, target, input)
}

fn cold(input: &Input<'_>) -> Result<Outcome, Refusal> {
    let side_px = input.params.cold_side_px;
    let mut source = load(input, Some(side_px))?;
    let mut notes = source.lost();
    // Without an answer there is transparency to keep and JPEG to write: every pixel as it is, of fewer pixels.
    #[cfg(feature = "images")]
    let lossless = Target::WebPLossless;
    #[cfg(not(feature = "images"))]
    let lossless = Target::Jpeg;
    let target = source.target(input, &mut notes).unwrap_or(lossless);
    source.convert_to_srgb(&mut notes)?;
    source.colour_for(target, &mut notes)?;
    let picture = source.picture.fitted(side_px)?;
    let quality = input.params.cold_quality;
    let side = picture.width.max(picture.height);
    let params = format!("format={} quality={quality} side={side}", target.as_str());
    let reduced = Reduced { picture: &picture, quality, extent: exif::Extent::Essential, params, notes };
    finish(&source, reduced, target, input)
}

fn trace(input: &Input<'_>) -> Result<Outcome, Refusal> {
    let mut source = load(input, Some(thumbnail::SOURCE_SIDE_PX))?;
    let mut notes = Vec::new();
    source.target(input, &mut notes);
    let note = notes.pop();
    source.convert_to_srgb(&mut notes)?;
    thumbnail::trace(&source, note)
}

impl Source {
    /// What the file holds and none of its outputs will, as notes.
    fn lost(&self) -> Vec<String> {
        self.losses.iter().map(|loss| loss.lost_note()).collect()
    }

    /// What to write, with the picture made such that it can be written; `None` where transparency must stay and the format
    /// that the policy wants has none.
    fn target(&mut self, input: &Input<'_>, notes: &mut Vec<String>) -> Option<Target> {
        if self.picture.has_alpha() && !input.params.transparency.is_kept_at(input.depth) {
            self.picture = self.picture.flattened(u8::MAX).into_owned();
            notes.push("transparency flattened on white".to_owned());
        }
        #[cfg(feature = "webp")]
        if input.params.picture_format == crate::PictureFormat::WebP {
            return Some(Target::WebP);
        }
        (!self.picture.has_alpha()).then_some(Target::Jpeg)
    }

    /// WebP knows no grey, so a profile for grey would fit no longer.
    fn colour_for(&mut self, target: Target, notes: &mut Vec<String>) -> Result<(), Refusal> {
        if target != Target::Jpeg && self.picture.is_grey() {
            self.convert_to_srgb(notes)?;
            self.picture = self.picture.coloured();
        }
        Ok(())
    }

    /// The colours as they look without a profile, where the profile can be read; else it stays.
    #[cfg(feature = "images")]
    fn convert_to_srgb(&mut self, notes: &mut Vec<String>) -> Result<(), Refusal> {
        let Some(profile) = &self.icc else { return Ok(()) };
        match colour::in_srgb(&self.picture, profile)? {
            Some(colour::Seen::AsSrgb) => self.icc = None,
            Some(colour::Seen::Converted(picture)) => {
                (self.picture, self.icc) = (picture, None);
                notes.push("colours converted to sRGB".to_owned());
            }
            None => {}
        }
        Ok(())
    }

    #[cfg(not(feature = "images"))]
    fn convert_to_srgb(&mut self, _: &mut Vec<String>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// What is about to be written.
struct Reduced<'a> {
    picture: &'a Picture,
    quality: u8,
    extent: exif::Extent,
    params: String,
    notes: Vec<String>,
}

/// Encodes, decodes again, compares with the source.
fn finish(
    source: &Source,
    reduced: Reduced<'_>,
    target: Target,
    input: &Input<'_>,
) -> Result<Outcome, Refusal> {
    let Reduced { picture, quality, extent, params, mut notes } = reduced;
    let carried = Carried {
        icc: source.icc.as_deref().filter(|profile| fits_profile(profile, picture)),
        exif: exif::carried(source.exif.as_deref(), source.full_px, extent),
    };
    input.deadline.check()?;
    let bytes = target.encode(picture, quality, &carried)?;
    let (proxy_width, proxy_height) = similarity::proxy_size(picture);
    let proxy_side_px = proxy_width.max(proxy_height);
    let decoded = target.decode(&bytes, Some(proxy_side_px), input.limits, input.deadline)?;
    if decoded.full_px != (picture.width, picture.height) {
        return Err(Refusal::new("the written picture decodes to another size: kept as it is"));
    }
    let Comparison { ssim, channel_error } = similarity::compare(&source.picture, &decoded.picture)?;
    if ssim < SIMILARITY_MIN || channel_error > CHANNEL_ERROR_MAX {
        return Err(Refusal::new(format!(
            "the written picture differs too much (SSIM {ssim:.2}, mean error {channel_error:.0}): kept as it is"
        )));
    }
    match (&source.icc, carried.icc) {
        (Some(_), Some(_)) => notes.push("colour profile carried over".to_owned()),
        (Some(_), None) => notes.push("colour profile of another colour space dropped".to_owned()),
        (None, _) => {}
    }
    let (width_px, height_px) = source.full_px;
    if (width_px, height_px) != (picture.width, picture.height) {
        notes.push(format!("{width_px}×{height_px} became {}×{} pixels", picture.width, picture.height));
    }
    Ok(Outcome::Bytes {
        bytes,
        mime: target.mime().to_owned(),
        fidelity: ssim * coverage(source.full_px, (picture.width, picture.height)),
        metric: "ssim",
        params,
        note: Some(notes.join("; ")).filter(|note| !note.is_empty()),
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

#[cfg(test)]
mod tests;
