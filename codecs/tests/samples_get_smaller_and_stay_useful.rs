//! Promise: real files are recognised, each depth makes them smaller, fidelity never rises with depth, the
//! same input gives the same output, and what one depth leaves, the next one takes further.

#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the samples are files")]

use patina_codecs::{
    Content, Degraded, Depth, HEAD_BYTES_MAX, Kind, Limits, Params, TRACE_BYTES_MAX, degrade, detect,
};

const OFFICE: &str = "application/vnd.openxmlformats-officedocument.";

/// Name, kind, media type (or its end, for office formats).
const SAMPLES: [(&str, Kind, &str); 16] = [
    ("README.md", Kind::Text, "text/markdown"),
    ("airports.csv", Kind::Table, "text/csv"),
    ("breast_cancer_f64.npy", Kind::Tensor, "application/x-npy"),
    ("camera.png", Kind::Image, "image/png"),
    ("cars.json", Kind::Json, "application/json"),
    ("cc0.txt", Kind::Text, "text/plain"),
    ("chelsea.png", Kind::Image, "image/png"),
    ("coffee.png", Kind::Image, "image/png"),
    ("data-model.pdf", Kind::Document, "application/pdf"),
    ("exif-photo.jpg", Kind::Image, "image/jpeg"),
    ("gpl-3.txt", Kind::Text, "text/plain"),
    ("hubble_deep_field.jpg", Kind::Image, "image/jpeg"),
    ("report.docx", Kind::Document, "wordprocessingml.document"),
    ("rocket.jpg", Kind::Image, "image/jpeg"),
    ("seattle-temps.csv", Kind::Table, "text/csv"),
    ("slides.pptx", Kind::Document, "presentationml.presentation"),
];

fn sample(name: &str) -> Vec<u8> {
    let path = format!("{}/../samples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

/// Whether this build has a codec that makes the type smaller at warm.
fn shrinks_at_warm(name: &str, kind: Kind, mime: &str) -> bool {
    matches!(kind, Kind::Text | Kind::Table | Kind::Json | Kind::Log | Kind::Tensor)
        || mime == "image/jpeg"
        || kind == Kind::Image && cfg!(feature = "images")
        // A document of hardly anything but pictures stays as it is.
        || kind == Kind::Document && cfg!(feature = "documents") && !["report.docx", "slides.pptx"].contains(&name)
}

#[test]
fn every_sample_is_recognised_by_its_content_alone() {
    for (name, kind, mime) in SAMPLES {
        let bytes = sample(name);
        let expected = if mime.contains('/') { mime.to_owned() } else { format!("{OFFICE}{mime}") };
        for claimed in [name, "", "wrong.bin"] {
            let media = detect(&bytes[..bytes.len().min(HEAD_BYTES_MAX)], claimed);
            assert_eq!((media.kind, media.mime.as_ref()), (kind, expected.as_str()), "{name} as {claimed:?}");
        }
    }
}

#[test]
fn each_depth_is_smaller_and_no_more_faithful_than_the_one_before() {
    for (name, kind, _) in SAMPLES {
        let bytes = sample(name);
        let mime = detect(&bytes[..bytes.len().min(HEAD_BYTES_MAX)], name).mime.into_owned();
        let (mut len_bytes, mut fidelity) = (bytes.len(), 1.0);
        for depth in [Depth::Warm, Depth::Cold, Depth::Trace] {
            let degraded = to(&bytes, &mime, depth);
            assert_eq!(degraded, to(&bytes, &mime, depth), "{name} is not deterministic");
            let now_bytes = match &degraded.content {
                Content::Bytes(less) => less.len(),
                Content::Same => bytes.len(),
                Content::Trace(json) => json.len(),
            };
            // What would fit into a row already need not get smaller.
            let is_little = len_bytes <= TRACE_BYTES_MAX;
            let must_shrink = !is_little && (depth != Depth::Warm || shrinks_at_warm(name, kind, &mime));
            let kept_bytes = if is_little { TRACE_BYTES_MAX } else { len_bytes };
            let limit_bytes = if must_shrink { len_bytes * 9 / 10 } else { kept_bytes };
            assert!(
                now_bytes <= limit_bytes,
                "{name} {depth:?}: {now_bytes} of {len_bytes} ({:?})",
                degraded.note
            );
            assert!(
                degraded.fidelity <= fidelity,
                "{name} {depth:?}: {} after {fidelity}",
                degraded.fidelity
            );
            (len_bytes, fidelity) = (now_bytes, degraded.fidelity);
        }
    }
}

#[test]
fn what_one_depth_leaves_the_next_takes_further() {
    for (name, ..) in SAMPLES {
        let mut bytes = sample(name);
        let mut mime = detect(&bytes[..bytes.len().min(HEAD_BYTES_MAX)], name).mime.into_owned();
        for depth in [Depth::Warm, Depth::Cold] {
            let degraded = to(&bytes, &mime, depth);
            mime = degraded.media_type;
            if let Content::Bytes(less) = degraded.content {
                bytes = less;
            }
        }
        let trace = to(&bytes, &mime, Depth::Trace);
        let Content::Trace(json) = &trace.content else { panic!("{name}: no trace") };
        assert!(trace.note.is_none(), "{name}: {:?}", trace.note);
        let trace: serde_json::Value = serde_json::from_str(json).unwrap();
        if let Some(size) = trace.get("size") {
            assert_eq!(*size, sample(name).len(), "{name}: the trace must speak of the original");
        }
    }
}

#[test]
fn a_photograph_keeps_when_and_with_what_it_was_taken() {
    let cold = to(&sample("exif-photo.jpg"), "image/jpeg", Depth::Cold);
    let Content::Bytes(small) = cold.content else { panic!("kept: {:?}", cold.note) };
    let Content::Trace(json) = to(&small, "image/jpeg", Depth::Trace).content else { panic!("no trace") };
    let trace: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(trace["taken"], "2001:10:02 14:57:31");
    assert!(trace["camera"].as_str().unwrap().contains("PhotoSmart 715"));
    assert_eq!((&trace["width"], &trace["height"]), (&2048.into(), &1536.into()));
}

#[test]
fn a_licence_keeps_its_headings_and_its_subject() {
    let text = String::from_utf8(sample("gpl-3.txt")).unwrap();
    let Content::Bytes(warm) = to(text.as_bytes(), "text/plain", Depth::Warm).content else { panic!("kept") };
    let warm = String::from_utf8(warm).unwrap();
    assert!(warm.starts_with("GNU GENERAL PUBLIC LICENSE"));
    for heading in ["0. Definitions.", "7. Additional Terms.", "11. Patents.", "16. Limitation of Liability."]
    {
        assert!(warm.contains(heading), "{heading}");
    }
    let Content::Trace(trace) = to(text.as_bytes(), "text/plain", Depth::Trace).content else {
        panic!("no trace")
    };
    let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
    let terms = trace["terms"].as_array().unwrap();
    for term in ["license", "work", "software", "patent"] {
        assert!(terms.contains(&term.into()), "{term} in {terms:?}");
    }
}
