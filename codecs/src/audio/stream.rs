//! WAV and FLAC as blocks of whole numbers.

use std::io::BufReader;

use flac_codec::decode::{FlacSampleReader, Metadata};
use flac_codec::metadata::VorbisComment;
use hound::{SampleFormat, WavReader};

use super::ORIGINAL_TAG;
use crate::deadline::Watched;
use crate::registry::Refusal;

type Reader<'a> = BufReader<Watched<'a>>;

/// Frames of a block.
const BLOCK_FRAMES: usize = 4096;
/// Floats are taken as whole numbers of this many bits.
const FLOAT_BITS: u32 = 24;
/// Parts of a WAV file that hold its samples, or nothing.
const KNOWN_PARTS: [&str; 7] = ["fmt ", "data", "fact", "PEAK", "JUNK", "PAD ", "FLLR"];
/// Tags that a trace tells.
const TOLD: [(&str, &str); 4] =
    [("title", "TITLE"), ("artist", "ARTIST"), ("album", "ALBUM"), ("date", "DATE")];

/// What the samples are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Form {
    pub(super) rate_hz: u32,
    pub(super) channels: u32,
    pub(super) bits: u32,
    /// Samples of a channel, if the file says.
    pub(super) frames: Option<u64>,
    pub(super) is_flac: bool,
    pub(super) is_float: bool,
    /// Parts of the file that hold something else.
    pub(super) others: Vec<String>,
    pub(super) tags: Vec<(&'static str, String)>,
    /// What the original was, when this is what is left of one.
    original: Option<String>,
}

impl Form {
    /// `44100 Hz, 2 channels, 16 bits`
    pub(super) fn brief(&self) -> String {
        let channels = if self.channels == 1 { "channel" } else { "channels" };
        let floats = if self.is_float { " (floats)" } else { "" };
        self.original.clone().unwrap_or_else(|| {
            format!("{} Hz, {} {channels}, {} bits{floats}", self.rate_hz, self.channels, self.bits)
        })
    }

    /// Of the original.
    pub(super) fn described(&self) -> String {
        crate::trace::cut(&self.brief(), 80)
    }

    /// From a sample to −1…1.
    pub(super) fn scale(&self) -> f64 {
        let bits = if self.is_float { FLOAT_BITS } else { self.bits };
        1.0 / (1u64 << bits.clamp(1, 32).saturating_sub(1)) as f64
    }
}

pub(super) struct Stream<'a> {
    form: Form,
    source: Source<'a>,
}

enum Source<'a> {
    Wav(WavReader<Reader<'a>>),
    Flac(FlacSampleReader<Reader<'a>>),
}

impl<'a> Stream<'a> {
    pub(super) fn wav(reader: Reader<'a>, bytes: &[u8]) -> Result<Self, Refusal> {
        let reader =
            WavReader::new(reader).map_err(|error| Refusal::new(format!("cannot be decoded: {error}")))?;
        let spec = reader.spec();
        let form = Form {
            rate_hz: spec.sample_rate,
            channels: u32::from(spec.channels),
            bits: u32::from(spec.bits_per_sample),
            frames: Some(u64::from(reader.duration())),
            is_flac: false,
            is_float: spec.sample_format == SampleFormat::Float,
            others: other_parts(bytes),
            tags: Vec::new(),
            original: None,
        };
        Ok(Self { form, source: Source::Wav(reader) })
    }

    pub(super) fn flac(reader: Reader<'a>) -> Result<Self, Refusal> {
        let reader = FlacSampleReader::new(reader)
            .map_err(|error| Refusal::new(format!("cannot be decoded: {error}")))?;
        let comment = reader.metadata().get::<VorbisComment>();
        let tag = |name: &str| comment.and_then(|comment| comment.get(name)).map(str::to_owned);
        let form = Form {
            rate_hz: reader.sample_rate(),
            channels: u32::from(reader.channel_count()),
            bits: reader.bits_per_sample(),
            frames: reader.total_samples(),
            is_flac: true,
            is_float: false,
            others: Vec::new(),
            tags: TOLD.into_iter().filter_map(|(name, tagged)| Some((name, tag(tagged)?))).collect(),
            original: tag(ORIGINAL_TAG),
        };
        Ok(Self { form, source: Source::Flac(reader) })
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    /// The next whole frames; none at the end. A file that ends early is refused: half of it is not the sound.
    pub(super) fn read(&mut self, block: &mut Vec<i32>) -> Result<(), Refusal> {
        let odd = |error: &dyn std::fmt::Display| Refusal::new(format!("cannot be decoded: {error}"));
        let channels = (self.form.channels as usize).max(1);
        let wanted = BLOCK_FRAMES * channels;
        block.clear();
        match &mut self.source {
            Source::Wav(reader) if self.form.is_float => {
                let full = f64::from(1u32 << (FLOAT_BITS - 1));
                for sample in reader.samples::<f32>().take(wanted) {
                    let value = f64::from(sample.map_err(|error| odd(&error))?);
                    let value = if value.is_finite() { value.clamp(-1.0, 1.0) } else { 0.0 };
                    block.push((value * full).round().min(full - 1.0) as i32);
                }
            }
            Source::Wav(reader) => {
                for sample in reader.samples::<i32>().take(wanted) {
                    block.push(sample.map_err(|error| odd(&error))?);
                }
            }
            Source::Flac(reader) => {
                block.resize(wanted, 0);
                let mut filled = 0;
                while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                    match reader.read(rest).map_err(|error| odd(&error))? {
                        0 => break,
                        read => filled += read,
                    }
                }
                block.truncate(filled);
            }
        }
        if !block.len().is_multiple_of(channels) {
            return Err(Refusal::new("cannot be decoded: ends within a frame"));
        }
        Ok(())
    }
}

/// The names of the parts of a WAV file that hold no samples. O(parts).
fn other_parts(bytes: &[u8]) -> Vec<String> {
    const PARTS_MAX: usize = 100;
    let mut names = Vec::new();
    let mut rest = bytes.get(12..).unwrap_or_default();
    for _ in 0..PARTS_MAX {
        let Some((head, after)) = rest.split_first_chunk::<8>() else { break };
        let (name, len) = head.split_at(4);
        let name = String::from_utf8_lossy(name).into_owned();
        let len = len.first_chunk::<4>().map_or(0, |len| u32::from_le_bytes(*len) as usize);
        let is_printable = name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if is_printable && !KNOWN_PARTS.contains(&name.as_str()) && !names.contains(&name) {
            names.push(name);
        }
        // Parts begin at even places.
        rest = after.get(len.saturating_add(len % 2)..).unwrap_or_default();
    }
    names
}
