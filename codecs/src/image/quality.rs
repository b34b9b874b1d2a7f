//! The search for the quality that a target of similarity asks for.

use std::ops::RangeInclusive;

use super::picture::Picture;
use super::similarity;
use super::target::{Carried, Target};
use crate::deadline::Deadline;
use crate::params::Limits;
use crate::registry::Refusal;

/// The search looks at this many tiles a side …
const TILES: u32 = 3;
/// … of this many pixels a side: together just under the proxy's pixels, and whole blocks of 16.
const TILE_PX: u32 = 160;

/// The lowest quality whose structural similarity reaches the target, by bisection, or the highest allowed.
///
/// It is measured at full resolution, because the reduced proxy hides what quality is about; on nine tiles
/// from all over the picture, because a whole one would be encoded and decoded six times.
pub(super) fn search(
    picture: &Picture,
    target: Target,
    target_ssim: f64,
    allowed: RangeInclusive<u8>,
    deadline: &Deadline,
) -> Result<u8, Refusal> {
    let sample = mosaic(picture)?;
    let reference = similarity::Reference::new(sample.luma(), sample.width as usize);
    let nothing = Carried { icc: None, exif: None };
    let reached = |quality: u8| -> Result<bool, Refusal> {
        deadline.check()?;
        let bytes = target.encode(&sample, quality, &nothing)?;
        let decoded = target.decode(&bytes, None, &Limits::default(), deadline)?;
        Ok(reference.ssim(&decoded.picture.luma()) >= target_ssim)
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
