//! Fewer samples a second, without the tones that no longer fit.
//!
//! A windowed sinc (A. V. Oppenheim, R. W. Schafer, *Discrete-Time Signal Processing*, ch. 4) in as many phases as the
//! ratio of the rates needs. O(output · taps).

use std::f64::consts::PI;

/// Zero crossings of the sinc on either side.
const CROSSINGS: f64 = 16.0;
/// Of the lower Nyquist frequency: where the filter cuts.
const CUTOFF: f64 = 0.92;

pub(super) struct Resampler {
    /// Output samples for `down` input samples.
    up: usize,
    down: usize,
    /// `phases[phase]` has the weights of `2 * half` inputs.
    phases: Vec<Vec<f32>>,
    half: usize,
    /// Inputs from number `first` on, with `half` zeros before the first one.
    held: Vec<f32>,
    first: usize,
    taken: usize,
    out: Vec<f32>,
}

impl Resampler {
    pub(super) fn new(from_hz: u32, to_hz: u32) -> Self {
        let divisor = greatest_common_divisor(from_hz.max(1), to_hz.max(1));
        let (up, down) = ((to_hz.max(1) / divisor) as usize, (from_hz.max(1) / divisor) as usize);
        let ratio = f64::from(to_hz.max(1)) / f64::from(from_hz.max(1));
        let half = if up == down { 1 } else { (CROSSINGS / ratio).ceil() as usize };
        let phases = (0..up).map(|phase| weights(phase as f64 / up as f64, half, ratio * CUTOFF)).collect();
        Self { up, down, phases, half, held: vec![0.0; half], first: 0, taken: 0, out: Vec::new() }
    }

    pub(super) fn take(&mut self, samples: &[f32]) {
        self.taken += samples.len();
        if self.up == self.down {
            self.out.extend_from_slice(samples);
            return;
        }
        self.held.extend_from_slice(samples);
        self.advance();
    }

    pub(super) fn finish(mut self) -> Vec<f32> {
        if self.up != self.down {
            let wanted = (self.taken as u128 * self.up as u128 / self.down as u128) as usize;
            self.held.extend(std::iter::repeat_n(0.0, self.half));
            self.advance();
            self.out.truncate(wanted);
        }
        self.out
    }

    /// Makes the outputs whose inputs are all there.
    fn advance(&mut self) {
        loop {
            let position = self.out.len() as u128 * self.down as u128;
            let (whole, phase) =
                ((position / self.up as u128) as usize, (position % self.up as u128) as usize);
            // Input number n is at `n + half - first`; the window begins `half - 1` before it.
            let start = whole + 1 - self.first;
            let Some(window) = self.held.get(start..start + 2 * self.half) else { break };
            let Some(weights) = self.phases.get(phase) else { break };
            self.out.push(window.iter().zip(weights).map(|(sample, weight)| sample * weight).sum());
        }
        let position = self.out.len() as u128 * self.down as u128 / self.up as u128;
        let passed = (position as usize).saturating_sub(self.first).min(self.held.len());
        self.held.drain(..passed);
        self.first += passed;
    }
}

/// For an output that lies `fraction` behind an input; sums to one, so that silence and loudness stay.
fn weights(fraction: f64, half: usize, cutoff: f64) -> Vec<f32> {
    let width = half as f64;
    let raw: Vec<f64> = (0..2 * half)
        .map(|tap| {
            let distance = tap as f64 - (width - 1.0) - fraction;
            let x = PI * distance * cutoff;
            let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
            let at = (distance / width).clamp(-1.0, 1.0);
            // Blackman's window.
            sinc * (0.42 + 0.5 * (PI * at).cos() + 0.08 * (2.0 * PI * at).cos())
        })
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|weight| (weight / sum) as f32).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
