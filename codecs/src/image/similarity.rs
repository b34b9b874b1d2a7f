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
const WINDOW: usize = 2 * RADIUS + 1;
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
        ssim: Reference::new(source.luma(), source.width as usize).ssim(&output.luma()),
        channel_error: error as f64 / source.pixels().len().max(1) as f64,
    }
}

/// Width and height of a picture's proxy.
pub(super) fn proxy_size(picture: &Picture) -> (u32, u32) {
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    let scale = (f64::from(PROXY_PIXELS_MAX) / (width * height)).sqrt().min(1.0);
    (((width * scale) as u32).max(1), ((height * scale) as u32).max(1))
}

/// A grey picture that others of its size are compared with: what depends on it alone is computed once.
pub(super) struct Reference {
    luma: Vec<f32>,
    width: usize,
    kernel: [f32; WINDOW],
    /// Around each pixel.
    means: Vec<f32>,
    variances: Vec<f32>,
}

impl Reference {
    /// `luma` is rows of `width` pixels, 0–255. Time and memory are proportional to its pixels.
    pub(super) fn new(luma: Vec<f32>, width: usize) -> Self {
        let kernel = kernel();
        let mut means = Vec::with_capacity(luma.len());
        let mut variances = Vec::with_capacity(luma.len());
        let rows = |row: usize| &luma[row * width..(row + 1) * width];
        blurred_rows(
            &kernel,
            width,
            luma.len() / width.max(1),
            |row, planes: [&mut [f32]; 2]| {
                let [plain, square] = planes;
                plain.copy_from_slice(rows(row));
                square.iter_mut().zip(rows(row)).for_each(|(out, value)| *out = value * value);
            },
            |_, [mean, square]| {
                means.extend_from_slice(mean);
                variances
                    .extend(mean.iter().zip(square).map(|(mean, square)| (square - mean * mean).max(0.0)));
            },
        );
        Self { luma, width, kernel, means, variances }
    }

    /// Mean structural similarity of it and an equally large picture.
    pub(super) fn ssim(&self, other: &[f32]) -> f64 {
        let width = self.width;
        let line = |row: usize| row * width..(row + 1) * width;
        let mut sum = 0.0f64;
        blurred_rows(
            &self.kernel,
            width,
            self.luma.len().min(other.len()) / width.max(1),
            |row, planes: [&mut [f32]; 3]| {
                let [plain, square, product] = planes;
                let (ours, theirs) = (&self.luma[line(row)], &other[line(row)]);
                plain.copy_from_slice(theirs);
                square.iter_mut().zip(theirs).for_each(|(out, value)| *out = value * value);
                product.iter_mut().zip(ours.iter().zip(theirs)).for_each(|(out, (a, b))| *out = a * b);
            },
            |row, [mean, square, product]| {
                let (means, variances) = (&self.means[line(row)], &self.variances[line(row)]);
                let mut row_sum = 0.0f32;
                for at in 0..width {
                    let (m1, m2) = (means[at], mean[at]);
                    let variance_other = (square[at] - m2 * m2).max(0.0);
                    let covariance = product[at] - m1 * m2;
                    let likeness = (2.0 * m1 * m2 + C1) * (2.0 * covariance + C2);
                    row_sum += likeness / ((m1 * m1 + m2 * m2 + C1) * (variances[at] + variance_other + C2));
                }
                sum += f64::from(row_sum);
            },
        );
        sum / self.luma.len().max(1) as f64
    }
}

/// Gaussian blur of `N` planes at once, rows then columns, the border pixel repeated.
///
/// `fill` writes a row of each plane, `take` gets the blurred rows in order. Only as many rows as the window
/// is high are in memory, and all inner loops run along a row, so that they become vector instructions.
fn blurred_rows<const N: usize>(
    kernel: &[f32; WINDOW],
    width: usize,
    height: usize,
    mut fill: impl FnMut(usize, [&mut [f32]; N]),
    mut take: impl FnMut(usize, [&[f32]; N]),
) {
    let mut padded: [Vec<f32>; N] = std::array::from_fn(|_| vec![0.0; width + 2 * RADIUS]);
    let mut across: [[Vec<f32>; WINDOW]; N] =
        std::array::from_fn(|_| std::array::from_fn(|_| vec![0.0; width]));
    let mut down: [Vec<f32>; N] = std::array::from_fn(|_| vec![0.0; width]);
    let mut filled = 0;
    for row in 0..height {
        while filled < height.min(row + RADIUS + 1) {
            fill(filled, padded.each_mut().map(|plane| &mut plane[RADIUS..RADIUS + width]));
            for (plane, rows) in padded.iter_mut().zip(&mut across) {
                let (first, last) = (plane[RADIUS], plane[RADIUS + width - 1]);
                plane[..RADIUS].fill(first);
                plane[RADIUS + width..].fill(last);
                weigh(kernel, &mut rows[filled % WINDOW], |k| &plane[k..k + width]);
            }
            filled += 1;
        }
        for (rows, out) in across.iter().zip(&mut down) {
            let at = |k: usize| (row + k).saturating_sub(RADIUS).min(height - 1) % WINDOW;
            weigh(kernel, out, |k| &rows[at(k)]);
        }
        take(row, down.each_ref().map(Vec::as_slice));
    }
}

/// The sum of the window's rows, each times its weight.
fn weigh<'a>(kernel: &[f32; WINDOW], out: &mut [f32], row: impl Fn(usize) -> &'a [f32]) {
    let width = out.len();
    // Equally long, so that no index below needs a check.
    let rows: [&[f32]; WINDOW] = std::array::from_fn(|k| &row(k)[..width]);
    for (at, out) in out.iter_mut().enumerate() {
        let mut sum = kernel[RADIUS] * rows[RADIUS][at];
        for k in 0..RADIUS {
            sum += kernel[k] * (rows[k][at] + rows[WINDOW - 1 - k][at]);
        }
        *out = sum;
    }
}

fn kernel() -> [f32; WINDOW] {
    let mut kernel = [0.0f32; WINDOW];
    for (k, weight) in kernel.iter_mut().enumerate() {
        let distance = k as f32 - RADIUS as f32;
        *weight = (-distance * distance / (2.0 * SIGMA * SIGMA)).exp();
    }
    let sum: f32 = kernel.iter().sum();
    kernel.map(|weight| weight / sum)
}
