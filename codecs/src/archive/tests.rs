use std::io::{Cursor, Write};

use ::zip::ZipWriter;
use ::zip::write::SimpleFileOptions;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::*;
use crate::degrade::{Content, Degraded, degrade};
use crate::digest::sha256_hex;
use crate::params::{Limits, Params};

pub(crate) fn zip_of(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tar_of(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn to(bytes: &[u8], mime: &str, depth: Depth, limits: &Limits) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), limits)
}

#[test]
fn an_archive_is_kept_then_becomes_its_listing_then_its_names() {
    let entries = [("docs/readme.md", noise(900)), ("src/main.rs", noise(5000)), ("src/lib.rs", noise(70))];
    let limits = Limits::default();
    for (original, mime) in [
        (zip_of(&entries), "application/zip"),
        (tar_of(&entries), "application/x-tar"),
        (gzip_of(&tar_of(&entries)), "application/gzip"),
    ] {
        assert_eq!(crate::detect(&original, "x").mime, mime);
        assert_eq!(to(&original, mime, Depth::Warm, &limits).content, Content::Same);
        let cold = to(&original, mime, Depth::Cold, &limits);
        let Content::Bytes(listing) = &cold.content else { panic!("{mime} kept: {:?}", cold.note) };
        let json: Value = serde_json::from_slice(listing).unwrap();
        assert_eq!((&json["bytes"], &json["entries"][1]["name"]), (&5970.into(), &"src/main.rs".into()));
        assert_eq!(json["entries"][1]["sha256"], sha256_hex(&entries[1].1).as_str());
        for (bytes, mime) in [(&original, mime), (listing, cold.media_type.as_str())] {
            let trace = to(bytes, mime, Depth::Trace, &limits);
            let Content::Trace(json) = &trace.content else { panic!("no trace") };
            assert!(json.contains("\"2 rs, 5070 bytes\"") && json.contains("docs/readme.md"), "{json}");
            assert!(trace.fidelity < 0.2);
        }
    }
}

#[test]
fn a_packed_file_is_an_archive_of_one() {
    let original = gzip_of(&noise(9000));
    let cold = to(&original, "application/gzip", Depth::Cold, &Limits::default());
    let Content::Bytes(listing) = &cold.content else { panic!("kept: {:?}", cold.note) };
    let json: Value = serde_json::from_slice(listing).unwrap();
    assert_eq!(json["entries"][0]["sha256"], sha256_hex(&noise(9000)).as_str());
}

#[test]
fn too_many_entries_are_refused() {
    let many: Vec<(String, Vec<u8>)> = (0..20).map(|n| (format!("{n}"), noise(100))).collect();
    let many: Vec<(&str, Vec<u8>)> =
        many.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let few = Limits { entries: 10, ..Limits::default() };
    let kept = to(&zip_of(&many), "application/zip", Depth::Cold, &few);
    assert!(kept.note.as_ref().unwrap().contains("20 entries are more than 10"), "{:?}", kept.note);
    let kept = to(&tar_of(&many), "application/x-tar", Depth::Cold, &few);
    assert!(kept.note.as_ref().unwrap().contains("more than 10 entries"), "{:?}", kept.note);
}

/// Ten megabytes of zeros pack to a thousandth.
#[test]
fn bombs_are_kept_unopened() {
    let zeros = vec![b'0'; 10 << 20];
    let bombs = [
        (zip_of(&[("zeros", zeros.clone())]), "application/zip"),
        (gzip_of(&zeros), "application/gzip"),
        (gzip_of(&tar_of(&[("zeros", zeros.clone())])), "application/gzip"),
    ];
    for (bomb, mime) in bombs {
        let kept = to(&bomb, mime, Depth::Cold, &Limits::default());
        assert_eq!(kept.content, Content::Same);
        assert!(kept.note.as_ref().unwrap().contains("unpacks to more than"), "{mime}: {:?}", kept.note);
        let generous = Limits { expansion: 2000, ..Limits::default() };
        assert!(matches!(to(&bomb, mime, Depth::Cold, &generous).content, Content::Bytes(_)), "{mime}");
    }
}

#[test]
fn an_archive_that_ends_early_is_kept() {
    let entries = [("a.bin", noise(9000)), ("b.bin", noise(9000))];
    for (original, mime) in [
        (zip_of(&entries), "application/zip"),
        (tar_of(&entries), "application/x-tar"),
        (gzip_of(&tar_of(&entries)), "application/gzip"),
    ] {
        let kept = to(&original[..original.len() / 2], mime, Depth::Cold, &Limits::default());
        assert_eq!(kept.content, Content::Same, "{mime}");
        assert!(kept.note.unwrap().starts_with("archive: "));
    }
}
