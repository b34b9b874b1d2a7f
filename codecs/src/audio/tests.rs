use super::*;
use crate::degrade::{Content, Degraded, degrade};
use crate::params::{Limits, Params};

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

/// Seconds of a tone of each frequency, together, as `channels` channels of which the second is half as loud.
fn wav(rate_hz: u32, channels: u16, bits: u16, seconds: f64, tones_hz: &[f64]) -> Vec<u8> {
    let sample_format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels, sample_rate: rate_hz, bits_per_sample: bits, sample_format };
    let mut out = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut out, spec).unwrap();
    let full = f64::from((1u32 << (bits - 1)) - 1) * 0.8 / tones_hz.len() as f64;
    for at in 0..(f64::from(rate_hz) * seconds) as usize {
        let time = at as f64 / f64::from(rate_hz);
        let value: f64 = tones_hz.iter().map(|tone| (time * tone * std::f64::consts::TAU).sin()).sum();
        for channel in 0..channels {
            writer.write_sample((value * full / f64::from(channel + 1)).round() as i32).unwrap();
        }
    }
    writer.finalize().unwrap();
    out.into_inner()
}

fn bytes_of(degraded: &Degraded) -> &[u8] {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    bytes
}

fn samples_of(flac: &[u8]) -> (Form, Vec<i32>) {
    let deadline = crate::Deadline::never();
    let mut stream = Stream::flac(BufReader::new(Watched::new(flac, &deadline))).unwrap();
    let (mut all, mut block) = (Vec::new(), Vec::new());
    loop {
        stream.read(&mut block).unwrap();
        if block.is_empty() {
            return (stream.form().clone(), all);
        }
        all.extend_from_slice(&block);
    }
}

#[test]
fn warm_holds_every_sample() {
    for (rate, channels, bits) in [(44_100, 2, 16), (48_000, 1, 24), (8_000, 1, 8), (22_050, 3, 16)] {
        let original = wav(rate, channels, bits, 1.0, &[440.0, 1000.0]);
        let warm = to(&original, WAV, Depth::Warm);
        let (form, samples) = samples_of(bytes_of(&warm));
        assert_eq!((form.rate_hz, form.channels, form.bits), (rate, channels.into(), bits.into()));
        let expected: Vec<i32> = hound::WavReader::new(original.as_slice())
            .unwrap()
            .samples::<i32>()
            .map(Result::unwrap)
            .collect();
        assert_eq!(samples, expected);
        assert_eq!(warm.fidelity, 1.0 - CONTAINER_WORTH);
        assert_eq!(to(bytes_of(&warm), FLAC, Depth::Warm).content, Content::Same);
    }
}

#[test]
fn cold_is_one_channel_that_still_sounds_the_same_below_its_limit() {
    let original = wav(44_100, 2, 16, 2.0, &[440.0, 3000.0]);
    let cold = to(&original, WAV, Depth::Cold);
    let (form, samples) = samples_of(bytes_of(&cold));
    assert_eq!((form.rate_hz, form.channels, samples.len()), (16_000, 1, 32_000));
    assert_eq!(form.brief(), "44100 Hz, 2 channels, 16 bits");
    assert!(cold.fidelity > 0.7, "{}", cold.fidelity);
    // The loudest sample of two tones of 0.4, as the mean of a channel and its half.
    let peak = samples.iter().map(|sample| sample.abs()).max().unwrap();
    assert!((18_000..20_500).contains(&peak), "{peak}");
    let high = to(&wav(44_100, 1, 16, 2.0, &[12_000.0]), WAV, Depth::Cold);
    assert!(high.fidelity < 0.3, "a tone that no longer fits is lost: {}", high.fidelity);
    let (_, samples) = samples_of(bytes_of(&high));
    // Where the tone begins and ends there is a click, which has every frequency.
    let within = &samples[200..samples.len() - 200];
    assert!(within.iter().all(|sample| sample.abs() < 20), "and is not heard as another one");
}

#[test]
fn the_trace_is_the_same_after_each_stage() {
    let original = wav(44_100, 2, 16, 3.0, &[300.0]);
    let warm = to(&original, WAV, Depth::Warm);
    let cold = to(bytes_of(&warm), FLAC, Depth::Cold);
    assert_eq!(cold.content, to(&original, WAV, Depth::Cold).content);
    for (bytes, mime) in [(original.as_slice(), WAV), (bytes_of(&warm), FLAC), (bytes_of(&cold), FLAC)] {
        let trace = to(bytes, mime, Depth::Trace);
        let Content::Trace(json) = &trace.content else { panic!("no trace: {:?}", trace.note) };
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            (&json["duration_s"], &json["sound"]),
            (&3.0.into(), &"44100 Hz, 2 channels, 16 bits".into())
        );
        assert_eq!(json["envelope"].as_str().unwrap().chars().count(), 30);
        assert!((-9.0..-5.0).contains(&json["loudness_db"].as_f64().unwrap()), "{json}");
    }
}

#[test]
fn what_cannot_be_held_is_kept_and_said() {
    let original = wav(44_100, 1, 16, 2.0, &[440.0]);
    let cut = to(&original[..original.len() / 2], WAV, Depth::Warm);
    assert_eq!(cut.content, Content::Same);
    assert!(cut.note.unwrap().contains("cannot be decoded"));
    let short = Limits { audio_s: 1, ..Limits::default() };
    let long = degrade(&original, WAV, Depth::Cold, &Params::default(), &short);
    assert!(long.note.unwrap().contains("longer than 1 seconds"));
    let mut marked = original.clone();
    marked.extend(b"cue \x04\0\0\0\0\0\0\0");
    assert!(to(&marked, WAV, Depth::Warm).note.unwrap().contains("lost: cue"));
}

#[test]
fn any_ratio_of_rates_keeps_length_and_loudness() {
    for from_hz in [16_001, 17_640, 22_050, 44_100, 48_000, 96_000] {
        let input: Vec<f32> = (0..from_hz).map(|at| (at as f32 * 0.05).sin()).collect();
        let mut resampler = Resampler::new(from_hz, COLD_RATE_HZ);
        input.chunks(1000).for_each(|chunk| resampler.take(chunk));
        let out = resampler.finish();
        assert_eq!(out.len(), 16_000, "{from_hz}");
        let power = |samples: &[f32]| {
            samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
        };
        assert!((power(&out) / power(&input) - 1.0).abs() < 0.02, "{from_hz}");
    }
}
