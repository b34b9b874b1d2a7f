//! Writing WebP (RFC 9649): lossless, and lossy with the feature `webp`.
//!
//! libwebp gives a file of pixels alone. What goes along (profile, camera's data) needs the extended form of the container:
//!
//! ```text
//! "RIFF" u32 length "WEBP"
//!   "VP8X" u32 10 | u8 flags: profile 0x20, transparency 0x10, camera's data 0x08 | 3 zeros | u24 width - 1 | u24 height - 1
//!   "ICCP"?  "ALPH"?  "VP8 "  "EXIF"?      each: name, u32 length, bytes, a zero where the length is odd
//! ```

use image::ImageEncoder;
use image::codecs::webp::WebPEncoder;

use super::picture::Picture;
use super::target::Carried;
use crate::registry::Refusal;

pub(super) const MIME: &str = "image/webp";

/// Writes every pixel as it is.
pub(super) fn encode_lossless(picture: &Picture, carried: &Carried<'_>) -> Result<Vec<u8>, Refusal> {
    let failed = |error: &dyn std::fmt::Display| Refusal::new(format!("cannot be encoded: {error}"));
    let color = match picture.channels() {
        1 => image::ExtendedColorType::L8,
        2 => image::ExtendedColorType::La8,
        3 => image::ExtendedColorType::Rgb8,
        _ => image::ExtendedColorType::Rgba8,
    };
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut bytes);
    if let Some(icc) = carried.icc {
        encoder.set_icc_profile(icc.to_vec()).map_err(|error| failed(&error))?;
    }
    if let Some(exif) = &carried.exif {
        encoder.set_exif_metadata(exif.clone()).map_err(|error| failed(&error))?;
    }
    encoder
        .write_image(picture.pixels(), picture.width, picture.height, color)
        .map_err(|error| failed(&error))?;
    Ok(bytes)
}

#[cfg(feature = "webp")]
pub(super) use lossy::encode;

#[cfg(feature = "webp")]
mod lossy {
    use webp::{Encoder, WebPConfig};

    use super::{Carried, Picture, Refusal};

    const PROFILE: u8 = 0x20;
    const TRANSPARENCY: u8 = 0x10;
    const CAMERA: u8 = 0x08;
    const FILE_HEADER_BYTES: usize = 12;
    const CHUNK_HEADER_BYTES: usize = 8;

    /// Writes the lossy form of a coloured picture; transparency stays exact. One thread, so the same pixels give the same bytes.
    pub(in super::super) fn encode(
        picture: &Picture,
        quality: u8,
        carried: &Carried<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let (width, height) = (picture.width, picture.height);
        let encoder = match picture.channels() {
            3 => Encoder::from_rgb(picture.pixels(), width, height),
            4 => Encoder::from_rgba(picture.pixels(), width, height),
            _ => return Err(Refusal::new("cannot be encoded: WebP knows no grey")),
        };
        let mut config =
            WebPConfig::new().map_err(|()| Refusal::new("cannot be encoded: libwebp has another version"))?;
        config.quality = f32::from(quality);
        let plain = encoder
            .encode_advanced(&config)
            .map_err(|error| Refusal::new(format!("cannot be encoded: {error:?}")))?;
        extended(&plain, picture, carried)
    }

    /// The same pixels in the extended form, with what goes along.
    fn extended(plain: &[u8], picture: &Picture, carried: &Carried<'_>) -> Result<Vec<u8>, Refusal> {
        let (alpha, pixels) = (chunk_of(plain, b"ALPH"), chunk_of(plain, b"VP8 "));
        let pixels = pixels.ok_or_else(|| Refusal::new("cannot be encoded: libwebp gave no pixels"))?;
        let flag = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        let flags = flag(PROFILE, carried.icc.is_some())
            | flag(TRANSPARENCY, alpha.is_some())
            | flag(CAMERA, carried.exif.is_some());
        let mut header = vec![flags, 0, 0, 0];
        for side in [picture.width, picture.height] {
            header.extend(&side.saturating_sub(1).to_le_bytes()[..3]);
        }
        let mut chunks = Vec::with_capacity(plain.len());
        push_chunk(&mut chunks, b"VP8X", Some(&header));
        push_chunk(&mut chunks, b"ICCP", carried.icc);
        push_chunk(&mut chunks, b"ALPH", alpha);
        push_chunk(&mut chunks, b"VP8 ", Some(pixels));
        push_chunk(&mut chunks, b"EXIF", carried.exif.as_deref());
        let len = u32::try_from(chunks.len() + 4).map_err(|_| Refusal::new("is too large for WebP"))?;
        Ok([b"RIFF".as_slice(), &len.to_le_bytes(), b"WEBP", &chunks].concat())
    }

    fn push_chunk(out: &mut Vec<u8>, name: &[u8; 4], bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else { return };
        out.extend(name);
        out.extend((bytes.len() as u32).to_le_bytes());
        out.extend(bytes);
        if !bytes.len().is_multiple_of(2) {
            out.push(0);
        }
    }

    /// The first chunk with this name.
    fn chunk_of<'a>(file: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
        let mut rest = file.get(FILE_HEADER_BYTES..)?;
        loop {
            let (header, after) = rest.split_at_checked(CHUNK_HEADER_BYTES)?;
            let len = usize::try_from(u32::from_le_bytes(*header.last_chunk()?)).ok()?;
            if header.starts_with(name) {
                return after.get(..len);
            }
            rest = after.get(len.checked_add(len % 2)?..)?;
        }
    }
}
