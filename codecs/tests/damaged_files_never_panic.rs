//! Promise: whatever the bytes and whatever they claim to be, `detect` and `degrade` give a usable answer.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the samples are files")]

use patina_codecs::{
    ARCHIVE_MIME, Content, Degraded, Depth, HEAD_BYTES_MAX, JSON_MIME, LOG_MIME, Limits, METADATA_MIME,
    Params, TABLE_MIME, TRACE_BYTES_MAX, WORKBOOK_MIME,
};
use patina_codecs::{degrade, detect};
use proptest::prelude::*;

const DEPTHS: [Depth; 3] = [Depth::Warm, Depth::Cold, Depth::Trace];

const MIMES: [&str; 41] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/tiff",
    "text/plain",
    "text/markdown",
    "text/html",
    "text/x-rust",
    "text/x-log",
    "text/csv",
    "text/tab-separated-values",
    TABLE_MIME,
    LOG_MIME,
    JSON_MIME,
    "application/json",
    "application/x-npy",
    "application/x-safetensors",
    "application/zip",
    "application/gzip",
    "application/x-tar",
    "application/x-npz",
    "application/pdf",
    "application/rtf",
    "application/msword",
    "application/vnd.ms-powerpoint",
    "application/epub+zip",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.ms-excel",
    "audio/wav",
    "audio/flac",
    ARCHIVE_MIME,
    WORKBOOK_MIME,
    METADATA_MIME,
    "application/octet-stream",
    "",
];

/// Small, valid files of many formats, made of a few bytes each, and what warm leaves of some.
fn seeds() -> Vec<Vec<u8>> {
    let mut jpeg = Vec::new();
    let pixels: Vec<u8> = (0..48 * 40 * 3).map(|i| (i * i % 251) as u8).collect();
    jpeg_encoder::Encoder::new(&mut jpeg, 80).encode(&pixels, 48, 40, jpeg_encoder::ColorType::Rgb).unwrap();
    let mut progressive = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut progressive, 80);
    encoder.set_progressive(true);
    encoder.encode(&pixels, 48, 40, jpeg_encoder::ColorType::Rgb).unwrap();
    let mut bmp = b"BM\x76\x16\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x30\0\0\0\x28\0\0\0\x01\0\x18\0".to_vec();
    bmp.extend([0; 24]);
    bmp.extend(&pixels);
    let gif =
        b"GIF89a\x02\0\x02\0\x80\0\0\xff\0\0\0\0\xff,\0\0\0\0\x02\0\x02\0\0\x02\x03\x44\x02\x05\0;".to_vec();
    let png =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\
        \xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\xab\xce\x54\xd1\0\0\0\0IEND\xaeB`\x82"
            .to_vec();
    let texts = [
        "# Title\n\nA sentence stands here. Another one follows it! And a third?\n\n- item one\n- item two\n",
        "<html><head><title>T</title></head><body><p>One. Two.</p><script>x<y</script></body></html>",
        "id,name\n1,a\n2,b\n3,c\n",
        "{\"a\": [1, 2, {\"b\": null}]}",
        "{\\rtf1\\ansi{\\fonttbl{\\f0\\fcharset204 A;}}\\pard\\f0 Gr\\'fcn\\u8230 ?{\\pict 00}{\\v x}a\\cell\\row\\par}",
        "{\"size\":5,\"sha256\":\"00\",\"magic\":\"ff\",\"media_type\":\"x/y\"}",
    ];
    let mut seeds = vec![jpeg, progressive, bmp, gif, png];
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    seeds
}

/// Rows of many types in the order of time.
fn table() -> String {
    let row = |n: u32| format!("2024-01-{:02} {:02}:30,{n},0.{n},name {}\n", 1 + n / 24 % 28, n % 24, n % 7);
    (0..600).fold("when,count,share,\"who, where\"\n".to_owned(), |text, n| text + &row(n))
}

/// Larger files that have summaries, with those summaries; each with its media type.
fn summaries() -> Vec<(Vec<u8>, String)> {
    let json =
        table().lines().map(|line| format!("{{\"row\":{line:?},\"of\":[1,null]}}\n")).collect::<String>();
    let level = |n: usize| if n.is_multiple_of(20) { "ERROR" } else { "INFO" };
    let log: String = table()
        .lines()
        .enumerate()
        .map(|(n, line)| line.replace(',', &format!(" {} count ", level(n))) + "\n")
        .collect();
    let sources = [(table(), "text/csv"), (json, "application/x-ndjson"), (log, "text/x-log")];
    let mut all: Vec<(Vec<u8>, String)> =
        sources.into_iter().map(|(text, mime)| (text.into_bytes(), mime.to_owned())).collect();
    let mut npy = b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (50, 4), }".to_vec();
    npy.resize(127, b' ');
    npy.push(b'\n');
    npy.extend((0..200).flat_map(|n| (f64::from(n) / 7.0).to_le_bytes()));
    all.push((npy, "application/x-npy".to_owned()));
    for (bytes, mime) in all.clone() {
        for depth in [Depth::Warm, Depth::Cold] {
            let degraded = degrade(&bytes, &mime, depth, &Params::default(), &Limits::default());
            let Content::Bytes(less) = degraded.content else { panic!("{mime}: {:?}", degraded.note) };
            all.push((less, degraded.media_type));
        }
    }
    all
}

fn assert_usable(degraded: &Degraded, depth: Depth, input: &[u8]) {
    assert!((0.0..=1.0).contains(&degraded.fidelity));
    match &degraded.content {
        Content::Bytes(bytes) => {
            assert!(depth != Depth::Trace);
            assert!(bytes.len() * 10 <= input.len() * 9, "{} of {}", bytes.len(), input.len());
        }
        Content::Same => {
            assert!(depth != Depth::Trace);
            assert_eq!(degraded.fidelity, 1.0);
        }
        Content::Trace(json) => {
            assert!(depth == Depth::Trace && json.len() <= TRACE_BYTES_MAX);
            assert!(serde_json::from_str::<serde_json::Value>(json).unwrap().is_object());
        }
    }
}

fn assert_survives(bytes: &[u8], mime: &str) {
    let (params, limits) = (Params::default(), Limits::default());
    for depth in DEPTHS {
        let degraded = degrade(bytes, mime, depth, &params, &limits);
        assert_usable(&degraded, depth, bytes);
        if let Content::Bytes(less) = &degraded.content {
            let trace = degrade(less, &degraded.media_type, Depth::Trace, &params, &limits);
            assert_usable(&trace, Depth::Trace, less);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_bytes_under_any_type(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        mime in proptest::sample::select(&MIMES[..]),
        name in "\\PC{0,12}",
    ) {
        detect(&bytes, &name);
        assert_survives(&bytes, mime);
    }

    #[test]
    fn any_damage_to_a_valid_file(
        seed in proptest::sample::select(seeds()),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..12),
        len in any::<proptest::sample::Index>(),
        is_cut in any::<bool>(),
        other in proptest::option::weighted(0.2, proptest::sample::select(&MIMES[..])),
    ) {
        let mut bytes = seed;
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(len.index(bytes.len() + 1));
        }
        let media = detect(&bytes, "");
        assert_survives(&bytes, other.unwrap_or(&media.mime));
    }

    #[test]
    fn any_damage_to_a_summary_or_its_source(
        (mut bytes, mime) in proptest::sample::select(summaries()),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        len in any::<proptest::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(len.index(bytes.len() + 1));
        }
        assert_survives(&bytes, &mime);
    }

    #[test]
    fn a_head_of_any_length(cut in 0..HEAD_BYTES_MAX + 10, fill in any::<u8>()) {
        let mut head = vec![fill; cut];
        for (at, byte) in head.iter_mut().enumerate().step_by(97) {
            *byte = at as u8;
        }
        detect(&head, "x.bin");
    }
}

/// Deep nesting must not exhaust the stack.
#[test]
fn nesting_without_end_is_survived() {
    for opening in ["[", "{\"a\":", "<div>", "> ", "((((", "- "] {
        let bytes = opening.repeat(20_000).into_bytes();
        let media = detect(&bytes, "");
        assert_survives(&bytes, &media.mime);
        assert_survives(&bytes, METADATA_MIME);
    }
}

/// The seeds must be read by the codecs that they are there to test, or the property above tests nothing.
#[test]
fn the_seeds_are_valid() {
    for seed in seeds() {
        let media = detect(&seed, "");
        let known = media.mime != "application/octet-stream";
        assert!(known, "{:?}", seed.get(..8));
        if media.mime == "image/jpeg" {
            let trace = degrade(&seed, &media.mime, Depth::Trace, &Params::default(), &Limits::default());
            assert_eq!(trace.codec, "image", "{:?}", trace.note);
        }
    }
    let Content::Trace(_) = degrade(b"x", "", Depth::Trace, &Params::default(), &Limits::default()).content
    else {
        panic!("a trace was expected");
    };
}

/// Real files, cut and with bits flipped at places spread over them. `PATINA_LONG_TESTS=1` tries thousands.
#[test]
fn damaged_copies_of_every_sample_are_survived() {
    let is_long = std::env::var_os("PATINA_LONG_TESTS").is_some();
    let mut all = Tally::default();
    for (folder, copies) in [("../samples", 3), ("tests/fixtures", 12)] {
        let copies = if is_long { 400 } else { copies };
        let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(folder).unwrap() {
            damage(&entry.unwrap().path(), copies, &mut all);
        }
    }
    println!("{all:?}");
    assert_eq!(all.copies, all.smaller + all.kept + all.traced);
}

/// What became of the damaged copies.
#[derive(Debug, Default)]
struct Tally {
    files: usize,
    copies: usize,
    /// Of which panics of libraries were caught in so many.
    caught: usize,
    smaller: usize,
    kept: usize,
    traced: usize,
}

fn damage(path: &std::path::Path, copies: usize, all: &mut Tally) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let bytes = std::fs::read(path).unwrap();
    let media = detect(&bytes[..bytes.len().min(HEAD_BYTES_MAX)], name);
    all.files += 1;
    for copy in 0..copies {
        let mut damaged = bytes.clone();
        let place = |salt: usize| (copy * 7919 + salt * 104_729 + 13) * 31 % bytes.len();
        // Depth and kind of damage in every combination.
        if (copy + copy / 3) % 3 == 0 {
            damaged.truncate(place(0));
        } else {
            // The headers at both ends are where damage does most.
            (0..8).for_each(|salt| damaged[place(salt)] ^= 1 << (salt % 8));
            let near = place(9) % 512;
            damaged[near % bytes.len()] ^= 1 << (copy % 8);
            damaged[bytes.len() - 1 - near % bytes.len()] ^= 1 << (copy % 8);
        }
        let depth = DEPTHS[copy % 3];
        let degraded = degrade(&damaged, &media.mime, depth, &Params::default(), &Limits::default());
        assert_usable(&degraded, depth, &damaged);
        // Panics are caught; those of libraries for PDF, sheets and sound are their own, the others would be ours.
        let note = degraded.note.unwrap_or_default();
        let is_foreign = ["document: ", "table: ", "audio: "].iter().any(|codec| note.starts_with(codec));
        assert!(is_foreign || !note.contains("failed inside"), "{name}, copy {copy}: {note}");
        all.copies += 1;
        all.caught += usize::from(note.contains("failed inside"));
        match degraded.content {
            Content::Bytes(_) => all.smaller += 1,
            Content::Same => all.kept += 1,
            Content::Trace(_) => all.traced += 1,
        }
    }
}
