//! What each stage leaves of files: writes it into a folder, and prints the table that docs/codecs.md shows. The trace of a
//! picture is also drawn, as a JPEG.
//!
//! ```text
//! cargo run --release -p patina-codecs --all-features --example stages -- OUT samples/*
//! ```
//!
//! The times are the median of five runs on this machine.

#![expect(clippy::disallowed_methods, reason = "reads a person's files and tells how long it took")]
#![expect(clippy::print_stdout, reason = "prints a table")]

use std::path::Path;
use std::time::Instant;

use patina_codecs::{Content, Depth, HEAD_BYTES_MAX, Limits, Params, degrade, detect};

const RUNS: usize = 5;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().unwrap_or_else(|| "stages".to_owned());
    std::fs::create_dir_all(&out)?;
    println!("| file | type | original | stage | bytes | fidelity | ms | note |");
    println!("|---|---|---|---|---|---|---|---|");
    for path in arguments {
        let path = Path::new(&path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(path)?;
        let media = detect(bytes.get(..HEAD_BYTES_MAX).unwrap_or(&bytes), &name);
        let (mut line_name, mut line_type) = (name.clone(), media.kind.to_string());
        let mut original = bytes.len().to_string();
        for depth in [Depth::Warm, Depth::Cold, Depth::Trace] {
            let mut times = Vec::new();
            let mut run = || {
                let start = Instant::now();
                let degraded = degrade(&bytes, &media.mime, depth, &Params::default(), &Limits::default());
                times.push(start.elapsed().as_secs_f64() * 1000.0);
                degraded
            };
            let degraded = run();
            (1..RUNS).for_each(|_| {
                run();
            });
            times.sort_by(f64::total_cmp);
            let (kept, extension) = match &degraded.content {
                Content::Bytes(less) => (less.clone(), extension_of(&degraded.media_type)),
                Content::Same => (Vec::new(), "same"),
                Content::Trace(json) => (json.clone().into_bytes(), "json"),
            };
            let bytes_now = if degraded.content == Content::Same { bytes.len() } else { kept.len() };
            println!(
                "| {line_name} | {line_type} | {original} | {} | {bytes_now} | {:.4} {} | {:.1} | {} |",
                depth.as_str(),
                degraded.fidelity,
                degraded.metric,
                times.get(RUNS / 2).copied().unwrap_or_default(),
                degraded.note.unwrap_or_default(),
            );
            if extension != "same" {
                let file = Path::new(&out).join(format!("{name}.{}.{extension}", depth.as_str()));
                if let Some(picture) = drawn(&degraded.content) {
                    std::fs::write(file.with_extension("jpg"), picture)?;
                }
                std::fs::write(file, kept)?;
            }
            (line_name, line_type, original) = (String::new(), String::new(), String::new());
        }
    }
    Ok(())
}

/// What the 25 bytes of a thumbnail's hash still show, sixteen times as large.
fn drawn(content: &Content) -> Option<Vec<u8>> {
    const TIMES: usize = 16;
    let Content::Trace(json) = content else { return None };
    let trace: serde_json::Value = serde_json::from_str(json).ok()?;
    let hash = unbase64(trace.get("thumbhash")?.as_str()?)?;
    let (width, height, rgba) = thumbhash::thumb_hash_to_rgba(&hash).ok()?;
    let mut pixels = Vec::new();
    for y in 0..height * TIMES {
        for x in 0..width * TIMES {
            let at = (y / TIMES * width + x / TIMES) * 4;
            pixels.extend(rgba.get(at..at + 3)?);
        }
    }
    let side = |px: usize| u16::try_from(px * TIMES).ok();
    let mut jpeg = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 80);
    encoder.encode(&pixels, side(width)?, side(height)?, jpeg_encoder::ColorType::Rgb).ok()?;
    Some(jpeg)
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut group, mut bits) = (Vec::new(), 0u32, 0);
    for c in text.trim_end_matches('=').chars() {
        group = group << 6 | u32::try_from(ALPHABET.find(c)?).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits & 255) as u8);
        }
    }
    Some(bytes)
}

fn extension_of(mime: &str) -> &'static str {
    match mime {
        "image/jpeg" => "jpg",
        "audio/flac" => "flac",
        "application/x-npy" => "npy",
        "application/x-npz" => "npz",
        "application/x-safetensors" => "safetensors",
        "text/markdown" => "md",
        mime if mime.ends_with("json") => "json",
        mime if mime.starts_with("text/") => "txt",
        _ => "bin",
    }
}
