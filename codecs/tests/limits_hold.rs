//! Promise: what an input may demand of the machine is limited, each limit can be set, and what goes over one is kept as
//! it is with the reason, without the memory or the time having been spent.

#![expect(clippy::disallowed_methods, reason = "the samples are files, and a limit of time is measured")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use patina_codecs::{Clock, Content, Degraded, Depth, Limits, Params, Registry, degrade};

fn file(name: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    let found = [format!("{root}/../samples/{name}"), format!("{root}/tests/fixtures/{name}")];
    found.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_else(|| panic!("no {name}"))
}

fn under(limits: &Limits, bytes: &[u8], mime: &str) -> Degraded {
    degrade(bytes, mime, Depth::Cold, &Params::default(), limits)
}

/// Kept, with this reason, in a moment.
fn assert_kept(limits: &Limits, bytes: &[u8], mime: &str, reason: &str) {
    let start = Instant::now();
    let kept = under(limits, bytes, mime);
    assert_eq!(kept.content, Content::Same, "{mime}: {reason}");
    assert!(kept.note.as_ref().is_some_and(|note| note.contains(reason)), "{mime}: {:?}", kept.note);
    assert!(start.elapsed() < Duration::from_secs(10), "{mime}: {reason} took {:?}", start.elapsed());
}

/// As the plainer type that it also is, or kept where there is none; with this reason, in a moment.
fn assert_held(limits: &Limits, bytes: &[u8], mime: &str, reason: &str, left_by: Option<&str>) {
    let Some(codec) = left_by else { return assert_kept(limits, bytes, mime, reason) };
    let read = under(limits, bytes, mime);
    assert_eq!(read.codec, codec, "{mime}: {reason}");
    assert!(matches!(read.content, Content::Bytes(_)), "{mime}: {reason}");
    assert!(read.note.as_ref().is_some_and(|note| note.contains(reason)), "{mime}: {:?}", read.note);
}

fn small() -> Limits {
    Limits {
        input_bytes: 300_000,
        text_bytes: 150_000,
        rows: 1000,
        columns: 4,
        values: 2000,
        nesting: 3,
        pixels: 10_000,
        side_px: 1000,
        entries: 1,
        expansion: 2,
        unpacked_bytes: 1000,
        pages: 1,
        audio_s: 0,
        time_ms: 60_000,
        output_bytes: 100,
    }
}

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

#[test]
fn each_limit_is_held_and_named() {
    let all = Limits::default();
    let few = small();
    let csv = file("airports.csv");
    let cases: [(&str, Limits, &str, &str); 16] = [
        (
            "exif-photo.jpg",
            Limits { input_bytes: 1000, ..all.clone() },
            "image/jpeg",
            "bytes are more than 1000",
        ),
        (
            "airports.csv",
            Limits { text_bytes: few.text_bytes, ..all.clone() },
            "text/csv",
            "bytes are more than 150000",
        ),
        ("airports.csv", Limits { rows: few.rows, ..all.clone() }, "text/csv", "more than 1000 rows"),
        (
            "airports.csv",
            Limits { columns: few.columns, ..all.clone() },
            "text/csv",
            "7 columns are more than 4",
        ),
        (
            "airports.csv",
            Limits { output_bytes: few.output_bytes, ..all.clone() },
            "text/csv",
            "is over the limit",
        ),
        (
            "cars.json",
            Limits { values: few.values, ..all.clone() },
            "application/json",
            "more than 2000 values",
        ),
        ("cars.json", Limits { nesting: 1, ..all.clone() }, "application/json", "nested deeper than 1"),
        (
            "rocket.jpg",
            Limits { pixels: few.pixels, ..all.clone() },
            "image/jpeg",
            "pixels are more than 10000",
        ),
        (
            "exif-photo.jpg",
            Limits { side_px: few.side_px, ..all.clone() },
            "image/jpeg",
            "a side is over 1000",
        ),
        ("book.xlsx", Limits { values: few.values / 10, ..all.clone() }, XLSX, "more than 200 cells"),
        (
            "book.xlsx",
            Limits { unpacked_bytes: few.unpacked_bytes, ..all.clone() },
            XLSX,
            "unpacks to more than 1000",
        ),
        (
            "texts.zip",
            Limits { entries: few.entries, ..all.clone() },
            "application/zip",
            "2 entries are more than 1",
        ),
        (
            "texts.tar.gz",
            Limits { entries: few.entries, ..all.clone() },
            "application/gzip",
            "more than 1 entries",
        ),
        (
            "scan.pdf",
            Limits { pages: few.pages, ..all.clone() },
            "application/pdf",
            "2 pages are more than 1",
        ),
        ("chord.wav", Limits { audio_s: few.audio_s, ..all.clone() }, "audio/wav", "longer than 0 seconds"),
        (
            "cc0.epub",
            Limits { pages: few.pages, ..all.clone() },
            "application/epub+zip",
            "chapters are more than 1",
        ),
    ];
    for (name, limits, mime, reason) in cases {
        let bytes = if name == "airports.csv" { csv.clone() } else { file(name) };
        let is_text = ["text/csv", "application/json"].contains(&mime);
        let is_for_texts_too =
            ["bytes are more than", "over the limit"].iter().any(|held| reason.contains(held));
        assert_held(&limits, &bytes, mime, reason, (is_text && !is_for_texts_too).then_some("text"));
        assert!(
            matches!(under(&all, &bytes, mime).content, Content::Bytes(_)),
            "{name} has nothing else against it"
        );
    }
}

/// Every type, with a clock that has run out after a few looks: the object is kept and the note says why.
#[test]
fn every_codec_ends_when_its_time_is_over() {
    use std::sync::atomic::{AtomicU64, Ordering};
    for (name, mime) in [
        ("coffee.png", "image/png"),
        ("exif-photo.jpg", "image/jpeg"),
        ("airports.csv", "text/csv"),
        ("cars.json", "application/json"),
        ("gpl-3.txt", "text/plain"),
        ("breast_cancer_f64.npy", "application/x-npy"),
        ("arrays.npz", "application/x-npz"),
        ("book.xlsx", XLSX),
        ("book.xls", "application/vnd.ms-excel"),
        ("temperatures.ods", "application/vnd.oasis.opendocument.spreadsheet"),
        ("data-model.pdf", "application/pdf"),
        ("cc0.odt", "application/vnd.oasis.opendocument.text"),
        ("texts.zip", "application/zip"),
        ("texts.tar.gz", "application/gzip"),
        ("chord.wav", "audio/wav"),
        ("chord.flac", "audio/flac"),
    ] {
        let bytes = file(name);
        let looks = Arc::new(AtomicU64::new(0));
        let hand = looks.clone();
        let clock: Clock = Arc::new(move || Duration::from_millis(hand.fetch_add(1, Ordering::Relaxed)));
        let limits = Limits { time_ms: 1, ..Limits::default() };
        let registry = Registry::new().with_clock(clock);
        let kept = registry.degrade(&bytes, mime, Depth::Cold, &Params::default(), &limits);
        assert_eq!(kept.content, Content::Same, "{name}");
        assert!(
            kept.note.as_ref().is_some_and(|note| note.contains("takes longer than 1 ms")),
            "{name}: {:?}",
            kept.note
        );
        assert!(looks.load(Ordering::Relaxed) < 20, "{name}: goes on after the end");
    }
}
