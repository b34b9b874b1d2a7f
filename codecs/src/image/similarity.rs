//! How much alike two pictures look.
//!
//! Structural similarity (SSIM): Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image quality assessment:
//! from error visibility to structural similarity", IEEE Transactions on Image Processing 13(4), 2004. Luma,
//! Gaussian window of 11×11 with σ = 1.5, K₁ = 0.01, K₂ = 0.03, mean over all pixels; the window repeats the
//! border pixel at the border. 1 means equal.
//!
//! Two whole pictures are compared on a proxy of at most [`PROXY_PIXELS_MAX`] pixels, to which both are
//! scaled: what a person sees who looks at the whole picture on a screen, at a bounded cost.

use super::picture::{Filter, Picture};
use crate::registry::Refusal;

pub(super) const PROXY_PIXELS_MAX: u32 = 250_000;

const RADIUS: usize = 5;
const SIGMA: f32 = 1.5;
const C1: f32 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f32 = (0.03 * 255.0) * (0.03 * 255.0);

/// The outcome of comparing two pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    /// Structural similarity of the luma, up to 1.
    pub(super) ssim: f64,
    /// Mean absolute difference of all channels, 0–255: also sees wrong colours.
    pub(super) channel_error: f64,
}

/// Compares on a proxy that is no larger than either picture. Where there is transparency, before white and before black, and
/// the worse counts: before one ground alone, what is lost of the transparency could be hidden.
pub(super) fn compare(source: &Picture, output: &Picture) -> Result<Comparison, Refusal> {
    if source.is_grey() != output.is_grey() {
        return Err(Refusal::new("the written picture has other channels: kept as it is"));
    }
    let smaller = if output.width <= source.width { output } else { source };
    let (width, height) = proxy_size(smaller);
    let has_alpha = source.has_alpha() || output.has_alpha();
    let source = source.resized(width, height, Filter::Smooth)?;
    let output = output.resized(width, height, Filter::Smooth)?;
    let before = |ground: u8| of_equal_size(&source.flattened(ground), &output.flattened(ground));
    let white = before(u8::MAX);
    if !has_alpha {
        return Ok(white);
    }
    let black = before(0);
    Ok(Comparison {
        ssim: white.ssim.min(black.ssim),
        channel_error: white.channel_error.max(black.channel_error),
    })
}

fn of_equal_size(source: &Picture, output: &Picture) -> Comparison {
    let error: u64 =
        source.pixels().iter().zip(output.pixels()).map(|(one, other)| u64::from(one.abs_diff(*other))).sum();
    Comparison {
        ssim: ssim(&source.luma(), &output.luma(), source.width as usize),
        channel_error: error as f64 / source.pixels().len().max(1) as f64,
    }
}

/// The longest side of a picture's proxy.
pub(super) fn proxy_side_px(picture: &Picture) -> u32 {
    let (width, height) = proxy_size(picture);
    width.max(height)
}

fn proxy_size(picture: &Picture) -> (u32, u32) {
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    let scale = (f64::from(PROXY_PIXELS_MAX) / (width * height)).sqrt().min(1.0);
    (((width * scale) as u32).max(1), ((height * scale) as u32).max(1))
}

/// Mean structural similarity of two equally large grey pictures with rows of `width` pixels.
pub(super) fn ssim(one: &[f32], other: &[f32], width: usize) -> f64 {
    let blur = |values: Vec<f32>| blurred(&values, width);
    let products = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<f32>>();
    let (mean_one, mean_other) = (blur(one.to_vec()), blur(other.to_vec()));
    let (square_one, square_other) = (blur(products(one, one)), blur(products(other, other)));
    let product = blur(products(one, other));
    let mut sum = 0.0f64;
    for at in 0..one.len() {
        let (m1, m2) = (mean_one[at], mean_other[at]);
        let variance_one = (square_one[at] - m1 * m1).max(0.0);
        let variance_other = (square_other[at] - m2 * m2).max(0.0);
        let covariance = product[at] - m1 * m2;
        let likeness = (2.0 * m1 * m2 + C1) * (2.0 * covariance + C2);
        sum += f64::from(likeness / ((m1 * m1 + m2 * m2 + C1) * (variance_one + variance_other + C2)));
    }
    sum / one.len().max(1) as f64
}

/// Gaussian blur, rows then columns, the border pixel repeated.
fn blurred(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width.max(1);
    let kernel = kernel();
    let mut across = vec![0.0f32; values.len()];
    for (row, out) in values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        for (x, out) in out.iter_mut().enumerate() {
            *out = if x >= RADIUS && x + RADIUS < width {
                kernel.iter().zip(&row[x - RADIUS..]).map(|(weight, value)| weight * value).sum()
            } else {
                let at = |k: usize| (x + k).saturating_sub(RADIUS).min(width - 1);
                kernel.iter().enumerate().map(|(k, weight)| weight * row[at(k)]).sum()
            };
        }
    }
    let mut down = vec![0.0f32; values.len()];
    for (y, out) in down.chunks_exact_mut(width).enumerate() {
        for (k, weight) in kernel.iter().enumerate() {
            let from = (y + k).saturating_sub(RADIUS).min(height - 1) * width;
            for (out, value) in out.iter_mut().zip(&across[from..from + width]) {
                *out += weight * value;
            }
        }
    }
    down
}

fn kernel() -> [f32; 2 * RADIUS + 1] {
    let mut kernel = [0.0f32; 2 * RADIUS + 1];
    for (k, weight) in kernel.iter_mut().enumerate() {
        let distance = k as f32 - RADIUS as f32;
        *weight = (-distance * distance / (2.0 * SIGMA * SIGMA)).exp();
    }
    let sum: f32 = kernel.iter().sum();
    kernel.map(|weight| weight / sum)
}
