//! PNG, WebP, GIF, BMP and TIFF, through the `image` library.

use std::io::{BufRead, Cursor, Seek};

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{
    AnimationDecoder, DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader,
};

use super::picture::Picture;
use super::{Loss, Source};
use crate::deadline::{Deadline, Watched};
use crate::params::Limits;
use crate::registry::Refusal;

/// The decoder for a media type.
pub(super) fn format_of(mime: &str) -> Option<ImageFormat> {
    Some(match mime {
        "image/png" | "image/apng" => ImageFormat::Png,
        "image/webp" => ImageFormat::WebP,
        "image/gif" => ImageFormat::Gif,
        "image/bmp" | "image/x-ms-bmp" => ImageFormat::Bmp,
        "image/tiff" => ImageFormat::Tiff,
        _ => return None,
    })
}

pub(super) fn load(
    bytes: &[u8],
    format: ImageFormat,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Source, Refusal> {
    let mut reader = ImageReader::with_format(Watched::new(bytes, deadline), format);
    let mut bounds = image::Limits::default();
    bounds.max_image_width = Some(limits.side_px);
    bounds.max_image_height = Some(limits.side_px);
    bounds.max_alloc = Some(limits.pixels.saturating_mul(8));
    reader.limits(bounds.clone());
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    limits.check_picture(width, height).map_err(Refusal::new)?;
    let original = decoder.original_color_type();
    if decoder.total_bytes() > limits.pixels.saturating_mul(4) || is_foreign(original) {
        return Err(Refusal::new(format!(
            "cannot be decoded: pixels of type {original:?} are not supported"
        )));
    }
    let icc = decoder.icc_profile().ok().flatten();
    let exif = decoder.exif_metadata().ok().flatten();
    let orientation = decoder.orientation().map_or(1, |orientation| u16::from(orientation.to_exif()));
    let decoded = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let mut losses = Vec::new();
    let picture = in_eight_bits(decoded, &mut losses)?.oriented(orientation);
    deadline.check()?;
    if is_animated(bytes, format, bounds, deadline)? {
        losses.push(Loss::Animation);
    }
    if format == ImageFormat::Tiff && has_pages(bytes) {
        losses.push(Loss::Pages);
    }
    Ok(Source { full_px: (picture.width, picture.height), picture, icc, exif, losses })
}

fn failed(error: ImageError) -> Refusal {
    let message: String = error.to_string().chars().take(160).collect();
    Refusal::new(format!("cannot be decoded: {message}"))
}

/// Colours that would need a conversion this crate does not make.
fn is_foreign(color: ExtendedColorType) -> bool {
    matches!(
        color,
        ExtendedColorType::Cmyk8
            | ExtendedColorType::Cmyk16
            | ExtendedColorType::Rgb32F
            | ExtendedColorType::Rgba32F
            | ExtendedColorType::Unknown(_)
    )
}

/// Eight bits a channel, which is noted where it loses something; a channel of transparency that hides nothing is dropped.
fn in_eight_bits(decoded: DynamicImage, losses: &mut Vec<Loss>) -> Result<Picture, Refusal> {
    let color = decoded.color();
    if color.bytes_per_pixel() > color.channel_count() {
        losses.push(Loss::Depth16);
    }
    let (width, height) = (decoded.width(), decoded.height());
    let (channels, pixels) = match (color.has_alpha(), color.has_color()) {
        (false, false) => (1, decoded.into_luma8().into_raw()),
        (false, true) => (3, decoded.into_rgb8().into_raw()),
        (true, false) => (2, decoded.into_luma_alpha8().into_raw()),
        (true, true) => (4, decoded.into_rgba8().into_raw()),
    };
    let is_opaque = |pixel: &[u8]| pixel.last() == Some(&u8::MAX);
    if color.has_alpha() && pixels.chunks_exact(channels).all(is_opaque) {
        let seen = pixels.chunks_exact(channels).flat_map(|pixel| &pixel[..channels - 1]).copied().collect();
        return Picture::new(width, height, channels - 1, seen);
    }
    Picture::new(width, height, channels, pixels)
}

fn is_animated(
    bytes: &[u8],
    format: ImageFormat,
    bounds: image::Limits,
    deadline: &Deadline,
) -> Result<bool, Refusal> {
    match format {
        ImageFormat::Png => PngDecoder::new(Cursor::new(bytes)).and_then(|png| png.is_apng()).map_err(failed),
        ImageFormat::WebP => {
            WebPDecoder::new(Cursor::new(bytes)).map(|webp| webp.has_animation()).map_err(failed)
        }
        ImageFormat::Gif => has_second_frame(Watched::new(bytes, deadline), bounds),
        _ => Ok(false),
    }
}

/// A second frame that cannot be read counts: something is there that would be lost.
fn has_second_frame(bytes: impl BufRead + Seek, bounds: image::Limits) -> Result<bool, Refusal> {
    let mut gif = GifDecoder::new(bytes).map_err(failed)?;
    gif.set_limits(bounds).map_err(failed)?;
    Ok(gif.into_frames().nth(1).is_some())
}

/// Whether a TIFF's first directory names a second one.
fn has_pages(bytes: &[u8]) -> bool {
    next_directory(bytes).is_some_and(|offset| offset != 0)
}

fn next_directory(bytes: &[u8]) -> Option<u64> {
    let little = bytes.starts_with(b"II");
    let number = |at: u64, len: usize| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let digits = bytes.get(at..at.checked_add(len)?)?;
        let fold = |value: u64, digit: &u8| value << 8 | u64::from(*digit);
        Some(if little { digits.iter().rev().fold(0, fold) } else { digits.iter().fold(0, fold) })
    };
    let (first_at, offset_len, count_len, entry_len) = match number(2, 2)? {
        42 => (4, 4, 2, 12),
        43 => (8, 8, 8, 20),
        _ => return None,
    };
    let directory = number(first_at, offset_len)?;
    let entries = number(directory, count_len)?;
    let next_at = entries.checked_mul(entry_len)?.checked_add(directory)?.checked_add(count_len as u64)?;
    number(next_at, offset_len)
}
