//! Colour profiles (ICC.1:2022): which pictures are in sRGB already, and how others get there.
//!
//! A picture without a profile is shown as sRGB (IEC 61966-2-1), so one that was converted needs none: a profile may weigh
//! more than a small picture.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::picture::Picture;
use crate::registry::Refusal;

/// Colours of the probe are this far apart.
const PROBE_STEP: usize = 51;
/// How far a channel may be moved by a profile that says sRGB in its own words.
const SAME_MAX: u8 = 2;

/// A picture seen through its profile.
#[derive(Debug)]
pub(super) enum Seen {
    /// The profile says what is assumed without one.
    AsSrgb,
    /// Its colours in sRGB; what lies outside is moved to the border.
    Converted(Picture),
}

/// `None` where the profile cannot be read or is for another kind of pixels. O(pixels).
pub(super) fn in_srgb(picture: &Picture, profile: &[u8]) -> Result<Option<Seen>, Refusal> {
    let (space, from, to) = match picture.channels() {
        1 => (DataColorSpace::Gray, Layout::Gray, Layout::Rgb),
        2 => (DataColorSpace::Gray, Layout::GrayAlpha, Layout::Rgba),
        3 => (DataColorSpace::Rgb, Layout::Rgb, Layout::Rgb),
        _ => (DataColorSpace::Rgb, Layout::Rgba, Layout::Rgba),
    };
    let Ok(profile) = ColorProfile::new_from_slice(profile) else { return Ok(None) };
    if profile.color_space != space {
        return Ok(None);
    }
    let options = TransformOptions::default();
    let Ok(transform) = profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, options) else {
        return Ok(None);
    };
    let transformed = |pixels: &[u8]| -> Option<Vec<u8>> {
        let mut out = vec![0; pixels.len() / from.channels() * to.channels()];
        transform.transform(pixels, &mut out).ok()?;
        Some(match picture.is_grey() {
            true => out.chunks_exact(to.channels()).flat_map(|pixel| grey_of(pixel, from)).collect(),
            false => out,
        })
    };
    let probe = probe(from);
    let Some(seen) = transformed(&probe) else { return Ok(None) };
    if probe.iter().zip(&seen).all(|(before, after)| before.abs_diff(*after) <= SAME_MAX) {
        return Ok(Some(Seen::AsSrgb));
    }
    let Some(pixels) = transformed(picture.pixels()) else { return Ok(None) };
    Picture::new(picture.width, picture.height, picture.channels(), pixels).map(Seen::Converted).map(Some)
}

/// Grey has equal channels in sRGB.
fn grey_of(pixel: &[u8], layout: Layout) -> impl Iterator<Item = u8> {
    let alpha = pixel.get(3).filter(|_| layout == Layout::GrayAlpha);
    pixel.first().copied().into_iter().chain(alpha.copied())
}

/// Colours from all over the space, opaque.
fn probe(layout: Layout) -> Vec<u8> {
    let levels = || (0..=u8::MAX).step_by(PROBE_STEP);
    match layout {
        Layout::Gray => levels().collect(),
        Layout::GrayAlpha => levels().flat_map(|grey| [grey, u8::MAX]).collect(),
        _ => {
            let colours = levels().flat_map(|r| levels().flat_map(move |g| levels().map(move |b| [r, g, b])));
            let alpha = (layout == Layout::Rgba).then_some(u8::MAX);
            colours.flat_map(|colour| colour.into_iter().chain(alpha)).collect()
        }
    }
}
