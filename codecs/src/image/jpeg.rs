//! Reading and writing JPEG.

use jpeg_decoder::{Decoder, ImageInfo, PixelFormat};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder};

use super::picture::{Picture, fit};
use super::target::Carried;
use super::{Loss, Source, exif};
use crate::deadline::{Deadline, Watched};
use crate::params::Limits;
use crate::registry::Refusal;

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

/// Writes a baseline, interleaved file of a picture without transparency.
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
