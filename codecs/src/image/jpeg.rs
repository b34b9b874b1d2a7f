//! Reading and writing JPEG.

use std::ops::RangeInclusive;

use jpeg_decoder::{Decoder, ImageInfo, PixelFormat};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder};

use super::picture::{Picture, fit};
use super::{Loss, Source, exif, similarity};
use crate::deadline::{Deadline, Watched};
use crate::params::Limits;
use crate::registry::Refusal;

/// The quality search looks at this many tiles a side …
const TILES: u32 = 3;
/// … of this many pixels a side: together just under the proxy's pixels, and whole blocks of 16.
const TILE_PX: u32 = 160;

/// What goes into the file beside pixels.
pub(super) struct Carried<'a> {
    pub(super) icc: Option<&'a [u8]>,
    pub(super) exif: Option<Vec<u8>>,
}

/// Decodes; with `side_px` at the smallest size the cosine transform gives (½, ¼, ⅛) whose longest side is
/// not below it.
pub(super) fn load(
    bytes: &[u8],
    side_px: Option<u32>,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Source, Refusal> {
    let failed = |error: jpeg_decoder::Error| Refusal::new(format!("cannot be decoded: {error}"));
    let mut reader = Watched::new(bytes, deadline);
    let mut decoder = Decoder::new(&mut reader);
    decoder.read_info().map_err(failed)?;
    let full = decoder.info().ok_or_else(|| Refusal::new("cannot be decoded: it has no header"))?;
    let (full_width, full_height) = (u32::from(full.width), u32::from(full.height));
    limits.check_picture(full_width, full_height).map_err(Refusal::new)?;
    let channels = channels(full)?;
    decoder.set_max_decoding_buffer_size(full_width as usize * full_height as usize * channels);
    if let Some(side_px) = side_px {
        let (width, height) = fit(full_width, full_height, side_px);
        let side = |px: u32| u16::try_from(px).unwrap_or(u16::MAX);
        decoder.scale(side(width), side(height)).map_err(failed)?;
    }
    let pixels = decoder.decode().map_err(failed)?;
    let info = decoder.info().unwrap_or(full);
    let exif = decoder.exif_data().map(<[u8]>::to_vec);
    let icc = decoder.icc_profile();
    drop(decoder);
    let orientation = exif.as_deref().map_or(1, exif::orientation);
    let picture = Picture::new(u32::from(info.width), u32::from(info.height), channels, pixels)?;
    let trailer_bytes = reader.rest_bytes();
    let losses = if trailer_bytes == 0 { Vec::new() } else { vec![Loss::Trailer { bytes: trailer_bytes }] };
    Ok(Source {
        picture: picture.oriented(orientation),
        full_px: if orientation >= 5 { (full_height, full_width) } else { (full_width, full_height) },
        icc,
        exif,
        losses,
    })
}

fn channels(info: ImageInfo) -> Result<usize, Refusal> {
    match info.pixel_format {
        PixelFormat::L8 => Ok(1),
        PixelFormat::RGB24 => Ok(3),
        PixelFormat::L16 => Err(Refusal::new("has 16 bits a channel, lossless")),
        PixelFormat::CMYK32 => Err(Refusal::new("is in CMYK, made for print")),
    }
}

/// Writes a baseline, interleaved file.
pub(super) fn encode(picture: &Picture, quality: u8, carried: &Carried<'_>) -> Result<Vec<u8>, Refusal> {
    let failed = |error: jpeg_encoder::EncodingError| Refusal::new(format!("cannot be encoded: {error}"));
    let side = |px: u32| u16::try_from(px).map_err(|_| Refusal::new("a side is too long for JPEG"));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    // The top-left pixel of each block, the default, makes edges of colour crawl.
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    if let Some(exif) = &carried.exif {
        encoder.add_exif_metadata(exif).map_err(failed)?;
    }
    if let Some(icc) = carried.icc {
        encoder.add_icc_profile(icc).map_err(failed)?;
    }
    let color = if picture.is_grey() { ColorType::Luma } else { ColorType::Rgb };
    encoder.encode(picture.pixels(), side(picture.width)?, side(picture.height)?, color).map_err(failed)?;
    Ok(bytes)
}

/// The lowest quality whose structural similarity reaches the target, by bisection, or the highest allowed.
///
/// It is measured at full resolution, because the reduced proxy hides what quality is about; on nine tiles
/// from all over the picture, because a whole one would be encoded and decoded six times.
pub(super) fn search_quality(
    picture: &Picture,
    target_ssim: f64,
    allowed: RangeInclusive<u8>,
    deadline: &Deadline,
) -> Result<u8, Refusal> {
    let sample = mosaic(picture)?;
    let luma = sample.luma();
    let nothing = Carried { icc: None, exif: None };
    let reached = |quality: u8| -> Result<bool, Refusal> {
        deadline.check()?;
        let bytes = encode(&sample, quality, &nothing)?;
        let decoded = load(&bytes, None, &Limits::default(), deadline)?;
        Ok(similarity::ssim(&luma, &decoded.picture.luma(), sample.width as usize) >= target_ssim)
    };
    let (mut low, mut high) = allowed.into_inner();
    while low < high {
        let middle = low + (high - low) / 2;
        if reached(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(high)
}

/// The whole picture when it is small, else a square of tiles spread over it.
fn mosaic(picture: &Picture) -> Result<Picture, Refusal> {
    let side_px = TILES * TILE_PX;
    if picture.width < side_px || picture.height < side_px {
        let (width, height) = (picture.width.min(2 * side_px), picture.height.min(2 * side_px));
        let (left, top) = ((picture.width - width) / 2, (picture.height - height) / 2);
        let pixels = picture.rows_of(left, top, width, height).flatten().copied().collect();
        return Picture::new(width, height, picture.channels(), pixels);
    }
    // Whole blocks, so that what a former JPEG left in the source meets the same grid.
    let start = |whole: u32, tile: u32| (whole - TILE_PX) * tile / (TILES - 1) / 16 * 16;
    let mut pixels = Vec::with_capacity(side_px as usize * side_px as usize * picture.channels());
    for tile_row in 0..TILES {
        let mut columns: Vec<_> = (0..TILES)
            .map(|tile| {
                let (left, top) = (start(picture.width, tile), start(picture.height, tile_row));
                picture.rows_of(left, top, TILE_PX, TILE_PX)
            })
            .collect();
        for _ in 0..TILE_PX {
            pixels.extend(columns.iter_mut().filter_map(Iterator::next).flatten());
        }
    }
    Picture::new(side_px, side_px, picture.channels(), pixels)
}
