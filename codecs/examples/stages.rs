//! What each stage leaves of files: writes it into a folder, and prints the table that docs/codecs.md shows.
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
                std::fs::write(Path::new(&out).join(format!("{name}.{}.{extension}", depth.as_str())), kept)?;
            }
            (line_name, line_type, original) = (String::new(), String::new(), String::new());
        }
    }
    Ok(())
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
