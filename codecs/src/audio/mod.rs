//! Sound: without loss first, then as speech needs it, then how loud it was when.
//!
//! # Invariants
//!
//! - Warm holds every sample: FLAC of the same rate, channels and bits, decoded again and compared before it is offered.
//!   What the file holds beside samples (marks of an editor, the text of its tags) is lost and named in the note.
//! - Cold is one channel of 16 bits at 16 kHz at most: every word of speech can be understood.
//! - The trace is the same after each stage: what the original was travels along in a tag ([`ORIGINAL_TAG`]).
//! - Samples are read as a stream; only the reduced channel is held in memory.
//!
//! # Example
//!
//! Ten seconds in stereo at 44.1 kHz (1.8 MB) become about 1 MB, then 200 kB, then a line of 64 levels.
//!
//! # Fidelity
//!
//! Metric `spectrum` ([`spectrum`]): how near the levels in bands of frequency are to the original's, over windows of
//! time, weighed by how loud they were. Each channel of the original is compared with what is left. What is described
//! counts a hundredth.

mod resample;
mod spectrum;
mod stream;

use flac_codec::encode::{FlacSampleWriter, Options};
use std::io::{BufReader, Cursor};

use crate::deadline::Watched;
use crate::degrade::Depth;
use crate::media::MediaType;
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::trace::TraceBuilder;
use resample::Resampler;
use spectrum::Windows;
use stream::{Form, Stream};

pub(crate) static AUDIO: Audio = Audio;

const WAV: &str = "audio/wav";
const FLAC: &str = "audio/flac";
const METRIC: &str = "spectrum";
const COLD_RATE_HZ: u32 = 16_000;
const COLD_BITS: u32 = 16;
const CHANNELS_MAX: u32 = 8;
const RATE_HZ_MAX: u32 = 384_000;
/// What the file around the samples is worth.
const CONTAINER_WORTH: f64 = 0.0001;
const DESCRIBED_WORTH: f64 = 0.01;
/// What the original was.
const ORIGINAL_TAG: &str = "PATINA_ORIGINAL";
/// Of the envelope in the trace.
const LEVELS: usize = 64;
/// Blocks from silent to loud, for levels from this many decibels below full scale.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SILENCE_DB: f64 = -60.0;

pub(crate) struct Audio;

impl Codec for Audio {
    fn id(&self) -> &'static str {
        "audio"
    }

    fn version(&self) -> u16 {
        1
    }

    fn accepts(&self, media: &MediaType) -> bool {
        matches!(media.mime.as_ref(), WAV | FLAC)
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        let form = open(input)?.form().clone();
        check(&form, input)?;
        match input.depth {
            Depth::Warm if form.is_flac => {
                Ok(Outcome::Keep { note: Some("is packed without loss already".to_owned()) })
            }
            Depth::Warm if form.is_float => Ok(Outcome::Keep {
                note: Some("has samples of floats, which FLAC lacks: kept as it is".to_owned()),
            }),
            Depth::Warm => warm(input, &form),
            Depth::Cold => cold(input, &form),
            Depth::Trace => trace(input, &form),
        }
    }
}

fn open<'a>(input: &Input<'a>) -> Result<Stream<'a>, Refusal> {
    let reader = BufReader::new(Watched::new(input.bytes, input.deadline));
    if input.media.mime == FLAC { Stream::flac(reader) } else { Stream::wav(reader, input.bytes) }
}

fn check(form: &Form, input: &Input<'_>) -> Result<(), Refusal> {
    if form.channels == 0 || form.channels > CHANNELS_MAX {
        return Err(Refusal::new(format!("has {} channels", form.channels)));
    }
    if form.rate_hz == 0 || form.rate_hz > RATE_HZ_MAX {
        return Err(Refusal::new(format!("has {} samples a second", form.rate_hz)));
    }
    let limit_s = input.limits.audio_s;
    if form.frames.is_some_and(|frames| frames / u64::from(form.rate_hz) > limit_s) {
        return Err(Refusal::new(format!("is longer than {limit_s} seconds")));
    }
    Ok(())
}

/// Gives blocks of samples, channel by channel in turn, to `each`; the frames in all.
fn pass(
    input: &Input<'_>,
    mut stream: Stream<'_>,
    mut each: impl FnMut(&[i32]) -> Result<(), Refusal>,
) -> Result<u64, Refusal> {
    let form = stream.form().clone();
    let frames_max = input.limits.audio_s.saturating_mul(u64::from(form.rate_hz));
    let mut frames = 0u64;
    let mut block = Vec::new();
    loop {
        input.deadline.check()?;
        stream.read(&mut block)?;
        if block.is_empty() {
            break;
        }
        frames += block.len() as u64 / u64::from(form.channels);
        if frames > frames_max {
            return Err(Refusal::new(format!("is longer than {} seconds", input.limits.audio_s)));
        }
        each(&block)?;
    }
    if frames == 0 { Err(Refusal::new("has no samples")) } else { Ok(frames) }
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(format!("cannot be written as FLAC: {error}"))
}

/// The same samples.
fn warm(input: &Input<'_>, form: &Form) -> Result<Outcome, Refusal> {
    let mut bytes = Cursor::new(Vec::new());
    let channels = u8::try_from(form.channels).map_err(failed)?;
    let options = Options::default().no_padding().no_seektable().tag(ORIGINAL_TAG, form.brief());
    let mut writer = FlacSampleWriter::new(&mut bytes, options, form.rate_hz, form.bits, channels, None)
        .map_err(failed)?;
    let frames = pass(input, open(input)?, |block| writer.write(block).map_err(failed))?;
    writer.finalize().map_err(failed)?;
    let bytes = bytes.into_inner();
    verify(input, &bytes)?;
    let mut note = "the same samples".to_owned();
    if !form.others.is_empty() {
        note.push_str(&format!("; what else the file held is lost: {}", form.others.join(", ")));
    }
    Ok(Outcome::Bytes {
        bytes,
        mime: FLAC.to_owned(),
        fidelity: 1.0 - CONTAINER_WORTH,
        metric: METRIC,
        params: format!(
            "rate={} channels={} bits={} frames={frames}",
            form.rate_hz, form.channels, form.bits
        ),
        note: Some(note),
    })
}

/// That the FLAC decodes to the samples it was made of.
fn verify(input: &Input<'_>, flac: &[u8]) -> Result<(), Refusal> {
    let differs = || Refusal::new("the written FLAC differs from its source: kept as it is");
    let mut decoded = Stream::flac(BufReader::new(Watched::new(flac, input.deadline)))?;
    let (mut block, mut at) = (Vec::new(), 0usize);
    pass(input, open(input)?, |expected| {
        for sample in expected {
            if at == block.len() {
                decoded.read(&mut block)?;
                at = 0;
            }
            if block.get(at) != Some(sample) {
                return Err(differs());
            }
            at += 1;
        }
        Ok(())
    })?;
    if at < block.len() {
        return Err(differs());
    }
    decoded.read(&mut block)?;
    if block.is_empty() { Ok(()) } else { Err(differs()) }
}

/// One channel, at most 16 kHz.
fn cold(input: &Input<'_>, form: &Form) -> Result<Outcome, Refusal> {
    let frames = match form.frames {
        Some(frames) => frames,
        None => pass(input, open(input)?, |_| Ok(()))?,
    };
    let rate_hz = form.rate_hz.min(COLD_RATE_HZ);
    let channels = form.channels as usize;
    let mut windows = Windows::new(form.rate_hz, channels, frames);
    let mut resampler = Resampler::new(form.rate_hz, rate_hz);
    let scale = form.scale();
    let mut mixed = Vec::new();
    pass(input, open(input)?, |block| {
        windows.take(block, scale);
        mixed.clear();
        mixed.extend(block.chunks_exact(channels).map(|frame| {
            (frame.iter().map(|sample| f64::from(*sample)).sum::<f64>() * scale / channels as f64) as f32
        }));
        resampler.take(&mixed);
        Ok(())
    })?;
    let full = f64::from(i16::MAX);
    let samples: Vec<i32> = resampler
        .finish()
        .iter()
        .map(|sample| (f64::from(*sample) * full).round().clamp(-full, full) as i32)
        .collect();
    input.deadline.check()?;
    let fidelity = windows.similarity(&samples, 1.0 / full, rate_hz);
    let mut bytes = Cursor::new(Vec::new());
    let options = Options::best().no_padding().no_seektable().tag(ORIGINAL_TAG, form.brief());
    let mut writer =
        FlacSampleWriter::new(&mut bytes, options, rate_hz, COLD_BITS, 1, None).map_err(failed)?;
    writer.write(&samples).map_err(failed)?;
    writer.finalize().map_err(failed)?;
    Ok(Outcome::Bytes {
        bytes: bytes.into_inner(),
        mime: FLAC.to_owned(),
        fidelity: fidelity.min(1.0 - CONTAINER_WORTH),
        metric: METRIC,
        params: format!("rate={rate_hz} channels=1 bits={COLD_BITS}"),
        note: Some(format!("{} became {rate_hz} Hz, 1 channel, {COLD_BITS} bits", form.described())),
    })
}

/// How long, how loud, and when.
fn trace(input: &Input<'_>, form: &Form) -> Result<Outcome, Refusal> {
    let channels = form.channels as usize;
    let scale = form.scale();
    // Power in tenths of a second; gathered to a few levels at the end, since the length may be unknown.
    let step = (form.rate_hz as usize / 10).max(1);
    let (mut powers, mut sum, mut count) = (Vec::new(), 0.0f64, 0usize);
    let mut peak = 0.0f64;
    let frames = pass(input, open(input)?, |block| {
        for frame in block.chunks_exact(channels) {
            for sample in frame {
                let value = f64::from(*sample) * scale;
                sum += value * value / channels as f64;
                peak = peak.max(value.abs());
            }
            count += 1;
            if count == step {
                powers.push(sum / count as f64);
                (sum, count) = (0.0, 0);
            }
        }
        Ok(())
    })?;
    if count > 0 {
        powers.push(sum / count as f64);
    }
    let decibel = |power: f64| (10.0 * power.max(1e-12).log10() * 10.0).round() / 10.0;
    let loudness = decibel(powers.iter().sum::<f64>() / powers.len().max(1) as f64);
    let width = powers.len().div_ceil(LEVELS).max(1);
    let envelope: String = powers
        .chunks(width)
        .map(|part| {
            let level = decibel(part.iter().sum::<f64>() / part.len() as f64);
            let share = ((level - SILENCE_DB) / -SILENCE_DB).clamp(0.0, 1.0);
            BLOCKS.get((share * 7.0).round() as usize).copied().unwrap_or('▁')
        })
        .collect();
    let mut trace = TraceBuilder::new();
    let duration_s = frames as f64 / f64::from(form.rate_hz);
    trace.add("duration_s", (duration_s * 10.0).round() / 10.0);
    trace.add("sound", form.described());
    for (name, value) in &form.tags {
        trace.add(name, value.as_str());
    }
    trace.add("loudness_db", loudness);
    trace.add("peak_db", decibel(peak * peak));
    trace.add("envelope", envelope);
    Ok(Outcome::Trace { json: trace.finish(), fidelity: DESCRIBED_WORTH, metric: METRIC, note: None })
}

#[cfg(test)]
mod tests;
