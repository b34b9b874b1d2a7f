//! How near two sounds are to each other, as an ear would say.
//!
//! At evenly spaced moments, the level in bands of a third of an octave is compared. A band whose level differs by
//! [`APART_DB`] or more is as good as lost; what was louder counts more; what nobody hears counts nothing. Bands above
//! what the lower rate can hold are lost by that.

use std::f64::consts::PI;

const WINDOWS: u64 = 160;
/// As a share of a second.
const WINDOW_S: f64 = 0.032;
const FLOOR_DB: f64 = -80.0;
const APART_DB: f64 = 30.0;
const LOWEST_HZ: f64 = 60.0;
const HIGHEST_HZ: f64 = 16_000.0;
/// A third of an octave.
const BAND_RATIO: f64 = 1.259_921_05;

/// Pieces of the original, taken as it passes by.
pub(super) struct Windows {
    rate_hz: u32,
    channels: usize,
    len: usize,
    /// The first frames of the windows that are still to come, the next one last.
    starts: Vec<u64>,
    passed: u64,
    /// Of each window its start and, channel by channel in turn, its samples.
    taken: Vec<(u64, Vec<f32>)>,
}

impl Windows {
    pub(super) fn new(rate_hz: u32, channels: usize, frames: u64) -> Self {
        let len = window_len(rate_hz);
        let span = frames.saturating_sub(len as u64);
        let count = WINDOWS.min(frames / len as u64 + 1);
        let mut starts: Vec<u64> = (0..count).map(|at| span * at / count.max(1)).collect();
        starts.dedup();
        starts.reverse();
        Self { rate_hz, channels: channels.max(1), len, starts, passed: 0, taken: Vec::new() }
    }

    /// Takes what it needs of a block of frames.
    pub(super) fn take(&mut self, block: &[i32], scale: f64) {
        let frames = (block.len() / self.channels) as u64;
        let end = self.passed + frames;
        while let Some(start) = self.starts.last().copied().filter(|start| *start < end) {
            self.starts.pop();
            self.taken.push((start, Vec::with_capacity(self.len * self.channels)));
        }
        let wanted = self.len * self.channels;
        for (start, samples) in self.taken.iter_mut().rev() {
            if samples.len() >= wanted {
                // Windows overlap only their neighbours: those before are full, too.
                if *start + (self.len as u64) < self.passed {
                    break;
                }
                continue;
            }
            let from = start.saturating_sub(self.passed) as usize * self.channels;
            let rest = block.get(from..).unwrap_or_default();
            let missing = wanted - samples.len();
            samples.extend(rest.iter().take(missing).map(|sample| (f64::from(*sample) * scale) as f32));
        }
        self.passed = end;
    }

    /// Compares with one channel at another rate. 1 is the same.
    pub(super) fn similarity(&self, reduced: &[i32], scale: f64, rate_hz: u32) -> f64 {
        let len = window_len(rate_hz);
        let edges = edges(self.rate_hz);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (start, samples) in &self.taken {
            let at = (*start as u128 * u128::from(rate_hz) / u128::from(self.rate_hz.max(1))) as usize;
            let now: Vec<f32> = (at..at + len)
                .map(|at| (f64::from(reduced.get(at).copied().unwrap_or(0)) * scale) as f32)
                .collect();
            let now = levels(&now, rate_hz, &edges);
            for channel in 0..self.channels {
                let was: Vec<f32> = samples.iter().copied().skip(channel).step_by(self.channels).collect();
                for (was, now) in levels(&was, self.rate_hz, &edges).iter().zip(&now) {
                    let weight = (was - FLOOR_DB).max(0.0);
                    sum += weight * (1.0 - ((was - now).abs() / APART_DB).min(1.0));
                    weights += weight;
                }
            }
        }
        if weights > 0.0 { sum / weights } else { 1.0 }
    }
}

/// A power of two near [`WINDOW_S`].
fn window_len(rate_hz: u32) -> usize {
    ((f64::from(rate_hz) * WINDOW_S) as usize).next_power_of_two().clamp(64, 16_384)
}

/// Between the bands.
fn edges(rate_hz: u32) -> Vec<f64> {
    let highest = HIGHEST_HZ.min(f64::from(rate_hz) / 2.0);
    std::iter::successors(Some(LOWEST_HZ), |edge| Some(edge * BAND_RATIO))
        .take_while(|edge| *edge <= highest)
        .collect()
}

/// The level of each band in decibels of full scale, never below the floor.
fn levels(samples: &[f32], rate_hz: u32, edges: &[f64]) -> Vec<f64> {
    let len = window_len(rate_hz);
    let hann = |at: usize| 0.5 - 0.5 * (2.0 * PI * at as f64 / len as f64).cos();
    let mut real: Vec<f64> =
        (0..len).map(|at| f64::from(samples.get(at).copied().unwrap_or(0.0)) * hann(at)).collect();
    let mut imaginary = vec![0.0; len];
    transform(&mut real, &mut imaginary);
    let width_hz = f64::from(rate_hz) / len as f64;
    // A full-scale sine has a power of one half, and the window halves its amplitude.
    let unit = 8.0 / (len as f64 * len as f64);
    edges
        .windows(2)
        .map(|edge| {
            let (low, high) = (edge.first().copied().unwrap_or(0.0), edge.last().copied().unwrap_or(0.0));
            // Low bands are narrower than a line of the spectrum: take the nearest.
            let first = ((low / width_hz).round() as usize).max(1);
            let last = ((high / width_hz).round() as usize).max(first + 1).min(len / 2);
            let power: f64 = (first..last)
                .map(|line| {
                    let (re, im) =
                        (real.get(line).copied().unwrap_or(0.0), imaginary.get(line).copied().unwrap_or(0.0));
                    re * re + im * im
                })
                .sum();
            (10.0 * (power * unit).max(1e-12).log10()).max(FLOOR_DB)
        })
        .collect()
}

/// The Fourier transform in place (J. W. Cooley, J. W. Tukey, 1965); the length is a power of two. O(n log n).
fn transform(real: &mut [f64], imaginary: &mut [f64]) {
    let len = real.len();
    let bits = len.trailing_zeros();
    for at in 0..len {
        let mirrored = at.reverse_bits() >> (usize::BITS - bits);
        if at < mirrored {
            real.swap(at, mirrored);
            imaginary.swap(at, mirrored);
        }
    }
    let mut size = 2;
    while size <= len {
        let (sine, cosine) = (-2.0 * PI / size as f64).sin_cos();
        for start in (0..len).step_by(size) {
            let (mut re, mut im) = (1.0, 0.0);
            for at in start..start + size / 2 {
                let other = at + size / 2;
                let (a, b) =
                    (real[other] * re - imaginary[other] * im, real[other] * im + imaginary[other] * re);
                (real[other], imaginary[other]) = (real[at] - a, imaginary[at] - b);
                (real[at], imaginary[at]) = (real[at] + a, imaginary[at] + b);
                (re, im) = (re * cosine - im * sine, re * sine + im * cosine);
            }
        }
        size *= 2;
    }
}
