//! Promise: what a file claims costs no memory, and what it is costs no more than its limits say, whatever is wrong with it.
//!
//! The bounds are those that docs/codecs.md states under "Limits".

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the samples are files")]

mod bombs;
/// The one that the storage's tests of rot count with.
#[path = "../../../storage/tests/rot_is_never_served/memory.rs"]
mod memory;

use std::path::PathBuf;

use memory::peak_bytes;
use patina_codecs::{Content, Depth, HEAD_BYTES_MAX, Limits, Params, degrade, detect};

const DEPTHS: [Depth; 3] = [Depth::Warm, Depth::Cold, Depth::Trace];

fn limits() -> Limits {
    Limits { rows: 100_000, values: 200_000, pixels: 5_000_000, ..Limits::default() }
}

/// What may be held while a file is treated under these limits, beside the file.
fn bound_bytes(file_bytes: usize, limits: &Limits) -> u64 {
    let file_bytes = file_bytes as u64;
    let unpacked_bytes = (file_bytes * limits.expansion).max(1 << 20).min(limits.unpacked_bytes);
    (32 << 20) + 32 * file_bytes + 3 * unpacked_bytes
}

#[test]
fn pictures_that_claim_to_be_giant_take_nothing() {
    for (name, mime, file) in bombs::pictures() {
        for depth in [Depth::Warm, Depth::Cold] {
            let (kept, held_bytes) =
                peak_bytes(|| degrade(&file, mime, depth, &Params::default(), &Limits::default()));
            assert_eq!(kept.content, Content::Same, "{name}");
            if kept.codec == "opaque" && depth == Depth::Warm && kept.note.is_none() {
                // This build has no codec for it.
                continue;
            }
            assert!(kept.note.as_ref().unwrap().starts_with("image: "), "{name}: {:?}", kept.note);
            assert!(held_bytes < 1 << 20, "{name} at {depth:?}: {held_bytes} bytes");
        }
    }
}

#[test]
fn bombs_take_no_more_than_their_limits() {
    let limits = limits();
    for (name, mime, file) in bombs::claims().into_iter().chain(bombs::packed()) {
        for depth in DEPTHS {
            let (left, held_bytes) = peak_bytes(|| degrade(&file, mime, depth, &Params::default(), &limits));
            println!(
                "{name} {depth:?}: {} bytes, held {held_bytes}, {} {:?}",
                file.len(),
                left.codec,
                left.note
            );
            let bound_bytes = bound_bytes(file.len(), &limits);
            assert!(held_bytes as u64 <= bound_bytes, "{name} at {depth:?}: {held_bytes} of {bound_bytes}");
        }
    }
}

fn files() -> Vec<PathBuf> {
    let root = env!("CARGO_MANIFEST_DIR");
    let folders = [format!("{root}/../samples"), format!("{root}/tests/fixtures")];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn damaged_files_take_no_more_than_whole_ones_may() {
    let limits = limits();
    for path in files() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let media = detect(&bytes[..bytes.len().min(HEAD_BYTES_MAX)], name);
        let mut most_bytes = 0;
        for copy in 0..6 {
            let mut damaged = bytes.clone();
            let place = |salt: usize| (copy * 7919 + salt * 104_729 + 13) * 31 % bytes.len();
            match copy {
                0 => {}
                1 => damaged.truncate(place(0)),
                _ => (0..6).for_each(|salt| damaged[place(salt) % 4096.min(bytes.len())] ^= 1 << salt),
            }
            let depth = DEPTHS[copy % 3];
            let (_, held_bytes) =
                peak_bytes(|| degrade(&damaged, &media.mime, depth, &Params::default(), &limits));
            most_bytes = most_bytes.max(held_bytes);
        }
        println!("{name}: {} bytes, held {most_bytes}", bytes.len());
        let pictures_bytes =
            if media.mime.starts_with("image/") || name == "scan.pdf" { 16 * limits.pixels } else { 0 };
        let bound_bytes = bound_bytes(bytes.len(), &limits) + pictures_bytes;
        assert!(most_bytes as u64 <= bound_bytes, "{name}: {most_bytes} of {bound_bytes}");
    }
}
