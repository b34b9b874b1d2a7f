//! Pixels in memory, and the few things done to them.

use std::borrow::Cow;

use fast_image_resize::images::{Image as Canvas, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::registry::Refusal;

/// Rows from the top, without padding; one byte a pixel (grey) or three (red, green, blue), and one more where there is
/// transparency (0 is seen through).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    channels: usize,
    pixels: Vec<u8>,
}

/// How a picture is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// For people: Lanczos with three lobes.
    Sharp,
    /// For measuring: no ringing.
    Smooth,
}

impl Picture {
    /// Errors when the pixels are not `width × height × channels` bytes, or no bytes at all.
    pub(super) fn new(width: u32, height: u32, channels: usize, pixels: Vec<u8>) -> Result<Self, Refusal> {
        let expected = u64::from(width) * u64::from(height) * channels as u64;
        if expected == 0 || expected != pixels.len() as u64 || !matches!(channels, 1..=4) {
            return Err(Refusal::new("cannot be decoded: the decoder gave another number of pixels"));
        }
        Ok(Self { width, height, channels, pixels })
    }

    pub(super) fn is_grey(&self) -> bool {
        self.channels <= 2
    }

    pub(super) fn has_alpha(&self) -> bool {
        self.channels.is_multiple_of(2)
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The picture at another size; neither side may be 0.
    pub(super) fn resized(&self, width: u32, height: u32, filter: Filter) -> Result<Self, Refusal> {
        if (width, height) == (self.width, self.height) {
            return Ok(self.clone());
        }
        let failed = |error: &dyn std::fmt::Display| Refusal::new(format!("cannot be scaled: {error}"));
        // Where there is transparency, the colours are weighed by it, so that unseen ones do not bleed into the seen.
        let pixel_type = match self.channels {
            1 => PixelType::U8,
            2 => PixelType::U8x2,
            3 => PixelType::U8x3,
            _ => PixelType::U8x4,
        };
        let source = ImageRef::new(self.width, self.height, &self.pixels, pixel_type)
            .map_err(|error| failed(&error))?;
        let mut canvas = Canvas::new(width.max(1), height.max(1), pixel_type);
        let filter = match filter {
            Filter::Sharp => FilterType::Lanczos3,
            Filter::Smooth => FilterType::Bilinear,
        };
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
        Resizer::new().resize(&source, &mut canvas, &options).map_err(|error| failed(&error))?;
        Self::new(width.max(1), height.max(1), self.channels, canvas.into_vec())
    }

    /// Scaled so that the longest side has at most `side_px`; never enlarged.
    pub(super) fn fitted(&self, side_px: u32) -> Result<Self, Refusal> {
        let (width, height) = fit(self.width, self.height, side_px);
        self.resized(width, height, Filter::Sharp)
    }

    /// Without transparency: seen before a ground of one grey; the same picture if it has none.
    pub(super) fn flattened(&self, ground: u8) -> Cow<'_, Self> {
        if !self.has_alpha() {
            return Cow::Borrowed(self);
        }
        let channels = self.channels - 1;
        let mut pixels = Vec::with_capacity(self.pixels.len() / self.channels * channels);
        for pixel in self.pixels.chunks_exact(self.channels) {
            let alpha = u32::from(pixel[channels]);
            let blend = |value: &u8| {
                ((u32::from(*value) * alpha + u32::from(ground) * (255 - alpha) + 127) / 255) as u8
            };
            pixels.extend(pixel[..channels].iter().map(blend));
        }
        Cow::Owned(Self { width: self.width, height: self.height, channels, pixels })
    }

    /// Brightness (ITU-R BT.601, as in JPEG) before white.
    pub(super) fn luma(&self) -> Vec<f32> {
        if self.has_alpha() {
            return self.flattened(u8::MAX).luma();
        }
        if self.is_grey() {
            return self.pixels.iter().map(|value| f32::from(*value)).collect();
        }
        let weigh =
            |rgb: &[u8]| 0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2]);
        self.pixels.chunks_exact(3).map(weigh).collect()
    }

    /// The pixels with all four channels, opaque where there is no transparency.
    pub(super) fn rgba(&self) -> Vec<u8> {
        let spread = |pixel: &[u8]| match pixel {
            [red, green, blue, alpha] => [*red, *green, *blue, *alpha],
            [red, green, blue] => [*red, *green, *blue, 255],
            [grey, alpha] => [*grey, *grey, *grey, *alpha],
            [grey, ..] => [*grey, *grey, *grey, 255],
            [] => [0; 4],
        };
        self.pixels.chunks_exact(self.channels).flat_map(spread).collect()
    }

    /// With three channels for colour, all the same.
    pub(super) fn coloured(&self) -> Self {
        let colour = if self.has_alpha() { 4 } else { 3 };
        let pixels = self.rgba().chunks_exact(4).flat_map(|pixel| &pixel[..colour]).copied().collect();
        Self { width: self.width, height: self.height, channels: colour, pixels }
    }

    /// Turned and mirrored as an EXIF orientation (1–8) says; others leave it as it is.
    pub(super) fn oriented(self, orientation: u16) -> Self {
        let (width, height) = (self.width as usize, self.height as usize);
        let swaps_sides = (5..=8).contains(&orientation);
        let (out_width, out_height) = if swaps_sides { (height, width) } else { (width, height) };
        // Where the pixel shown at (x, y) is stored.
        let stored = |x: usize, y: usize| match orientation {
            2 => (width - 1 - x, y),
            3 => (width - 1 - x, height - 1 - y),
            4 => (x, height - 1 - y),
            5 => (y, x),
            6 => (y, height - 1 - x),
            7 => (width - 1 - y, height - 1 - x),
            8 => (width - 1 - y, x),
            _ => (x, y),
        };
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..out_height {
            for x in 0..out_width {
                let (from_x, from_y) = stored(x, y);
                let at = (from_y * width + from_x) * self.channels;
                pixels.extend_from_slice(&self.pixels[at..at + self.channels]);
            }
        }
        Self { width: out_width as u32, height: out_height as u32, channels: self.channels, pixels }
    }

    /// A rectangle of it, which must lie inside.
    pub(super) fn rows_of(
        &self,
        left: u32,
        top: u32,
        width: u32,
        height: u32,
    ) -> impl Iterator<Item = &[u8]> {
        let stride = self.width as usize * self.channels;
        let row_bytes = width as usize * self.channels;
        (top..top + height).map(move |y| {
            let at = y as usize * stride + left as usize * self.channels;
            &self.pixels[at..at + row_bytes]
        })
    }
}

/// The size with a longest side of at most `side_px`, of the same shape.
pub(super) fn fit(width: u32, height: u32, side_px: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= side_px {
        return (width, height);
    }
    let scaled = |side: u32| {
        let rounded =
            (u64::from(side) * u64::from(side_px) + u64::from(longest) / 2) / u64::from(longest.max(1));
        u32::try_from(rounded).unwrap_or(side_px).max(1)
    };
    (scaled(width), scaled(height))
}
