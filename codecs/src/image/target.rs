//! What a reduced picture is written as, and read back from to be measured.
//!
//! JPEG is what everything can show. WebP (RFC 9649) needs fewer bytes and can be seen through; the lossy form is written by
//! libwebp (feature `webp`) and read back by another decoder, the lossless one is what is left of transparency where a policy
//! wants JPEG and transparency kept.

use super::picture::Picture;
use super::{Source, jpeg};
use crate::deadline::Deadline;
use crate::params::Limits;
use crate::registry::Refusal;

/// What goes into the file beside pixels.
pub(super) struct Carried<'a> {
    pub(super) icc: Option<&'a [u8]>,
    pub(super) exif: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Jpeg,
    #[cfg(feature = "webp")]
    WebP,
    #[cfg(feature = "images")]
    WebPLossless,
}

impl Target {
    pub(super) fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => super::JPEG_MIME,
            #[cfg(feature = "webp")]
            Self::WebP => super::webp::MIME,
            #[cfg(feature = "images")]
            Self::WebPLossless => super::webp::MIME,
        }
    }

    /// As the parameters in the history name it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            #[cfg(feature = "webp")]
            Self::WebP => "webp",
            #[cfg(feature = "images")]
            Self::WebPLossless => "webp_lossless",
        }
    }

    pub(super) fn encode(
        self,
        picture: &Picture,
        quality: u8,
        carried: &Carried<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Jpeg => jpeg::encode(picture, quality, carried),
            #[cfg(feature = "webp")]
            Self::WebP => super::webp::encode(picture, quality, carried),
            #[cfg(feature = "images")]
            Self::WebPLossless => super::webp::encode_lossless(picture, carried),
        }
    }

    /// Decodes what it wrote; with `side_px`, possibly smaller, but with a longest side of at least that.
    pub(super) fn decode(
        self,
        bytes: &[u8],
        side_px: Option<u32>,
        limits: &Limits,
        deadline: &Deadline,
    ) -> Result<Source, Refusal> {
        match self {
            Self::Jpeg => jpeg::load(bytes, side_px, limits, deadline),
            #[cfg(feature = "images")]
            _ => super::raster::load(bytes, image::ImageFormat::WebP, limits, deadline),
        }
    }
}
