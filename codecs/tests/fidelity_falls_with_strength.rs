//! Promise: whatever makes the output say less makes its fidelity lower, in every metric, and docs/codecs.md tells what each measures.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the samples are files")]

use std::collections::BTreeSet;

use patina_codecs::{
    Content, Degraded, Depth, HEAD_BYTES_MAX, Limits, METADATA_MIME, Params, degrade, detect,
};

const DEPTHS: [Depth; 3] = [Depth::Warm, Depth::Cold, Depth::Trace];

fn file(name: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    let found = [format!("{root}/../samples/{name}"), format!("{root}/tests/fixtures/{name}")];
    found.iter().find_map(|path| std::fs::read(path).ok()).unwrap()
}

fn to(bytes: &[u8], name: &str, depth: Depth, params: &Params) -> Degraded {
    let media = detect(&bytes[..bytes.len().min(HEAD_BYTES_MAX)], name);
    degrade(bytes, &media.mime, depth, params, &Limits::default())
}

/// Each step of `stronger` leaves less than the one before, and something less than the first at last.
fn assert_falls(name: &str, depth: Depth, what: &str, stronger: &[Params]) {
    let bytes = file(name);
    let mut fidelities = Vec::new();
    for params in stronger {
        let degraded = to(&bytes, name, depth, params);
        assert!(matches!(degraded.content, Content::Bytes(_)), "{name} {what}: {:?}", degraded.note);
        fidelities.push(degraded.fidelity);
    }
    assert!(fidelities.windows(2).all(|pair| pair[1] <= pair[0]), "{name} by {what}: {fidelities:?}");
    assert!(fidelities.last() < fidelities.first(), "{name} by {what}: {fidelities:?}");
}

#[test]
fn pictures_are_less_faithful_with_less_quality_and_fewer_pixels() {
    let names: &[&str] = if cfg!(feature = "images") {
        &["camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg"]
    } else {
        &["rocket.jpg", "hubble_deep_field.jpg"]
    };
    let warm = |quality| Params {
        warm_jpeg_quality_min: quality,
        warm_jpeg_quality_max: quality,
        ..Params::default()
    };
    for name in names {
        assert_falls(name, Depth::Warm, "warm quality", &[70, 55, 40, 25, 10].map(warm));
        let cold = |cold_quality| Params { cold_quality, ..Params::default() };
        assert_falls(name, Depth::Cold, "cold quality", &[60, 35, 20, 10].map(cold));
        let side = |cold_side_px| Params { cold_side_px, ..Params::default() };
        assert_falls(name, Depth::Cold, "side", &[400, 200, 100, 50].map(side));
    }
}

#[test]
fn texts_are_less_faithful_with_fewer_sentences() {
    let mut names = vec!["gpl-3.txt", "cc0.txt"];
    if cfg!(feature = "documents") {
        names.extend(["data-model.pdf", "cc0.odt", "cc0.epub"]);
    }
    for name in names {
        let cold = |cold_share| Params { cold_share, ..Params::default() };
        assert_falls(name, Depth::Cold, "cold share", &[0.3, 0.2, 0.1, 0.05, 0.02].map(cold));
    }
    for name in ["gpl-3.txt", "cc0.txt"] {
        let warm = |warm_share| Params { warm_share, cold_share: 0.01, ..Params::default() };
        assert_falls(name, Depth::Warm, "warm share", &[0.6, 0.45, 0.3, 0.15, 0.05].map(warm));
    }
}

/// Lines of a service, so many that templates are worth it.
fn log() -> Vec<u8> {
    let line = |n: u32| match n % 50 {
        0 => format!(
            "2024-05-01T10:{:02}:{:02}Z ERROR disk {} is full: {} left\n",
            n / 60 % 60,
            n % 60,
            n % 7,
            n * 31
        ),
        _ => format!(
            "2024-05-01T10:{:02}:{:02}Z INFO request {} served in {} ms\n",
            n / 60 % 60,
            n % 60,
            n,
            n * 13 % 90
        ),
    };
    (0..3000).map(line).collect::<String>().into_bytes()
}

#[test]
fn every_metric_falls_with_depth_and_is_told_in_the_documentation() {
    let mut cases: Vec<(&str, Vec<u8>)> = [
        "rocket.jpg",
        "gpl-3.txt",
        "airports.csv",
        "seattle-temps.csv",
        "cars.json",
        "breast_cancer_f64.npy",
    ]
    .map(|name| (name, file(name)))
    .to_vec();
    let features = [
        ("images", cfg!(feature = "images"), &["camera.png"][..]),
        ("sheets", cfg!(feature = "sheets"), &["book.xlsx", "book.xls", "temperatures.ods"]),
        (
            "documents",
            cfg!(feature = "documents"),
            &["data-model.pdf", "report.docx", "cc0.epub", "scan.pdf"],
        ),
        ("audio", cfg!(feature = "audio"), &["chord.wav", "chord.flac"]),
        ("archives", cfg!(feature = "archives"), &["texts.zip", "texts.tar.gz", "arrays.npz"]),
    ];
    for (_, _, names) in features.iter().filter(|(_, is_there, _)| *is_there) {
        cases.extend(names.iter().map(|name| (*name, file(name))));
    }
    let opaque: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    cases.push(("service.log", log()));
    cases.push(("blob", opaque.clone()));
    let mut metrics = BTreeSet::new();
    for (name, bytes) in &cases {
        let mut fidelity = 1.0;
        for depth in DEPTHS {
            let degraded = to(bytes, name, depth, &Params::default());
            metrics.insert(degraded.metric);
            assert!(
                degraded.fidelity <= fidelity,
                "{name} {depth:?}: {} after {fidelity}",
                degraded.fidelity
            );
            assert!(degraded.fidelity < 1.0 || degraded.content == Content::Same, "{name} {depth:?}");
            fidelity = degraded.fidelity;
        }
        assert!(fidelity < 0.1, "{name}: a trace of {fidelity}");
    }
    let described = to(&opaque, "blob", Depth::Cold, &Params::default());
    let Content::Bytes(description) = described.content else { panic!("a description was expected") };
    let params = Params::default();
    let trace = degrade(&description, METADATA_MIME, Depth::Trace, &params, &Limits::default());
    assert!(trace.fidelity < 1.0);
    metrics.insert(trace.metric);
    if features.iter().all(|(_, is_there, _)| *is_there) {
        assert!(metrics.len() >= 10, "{metrics:?}");
    }
    let documentation =
        std::fs::read_to_string(format!("{}/../docs/codecs.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for metric in metrics {
        assert!(documentation.contains(&format!("\n| `{metric}` | ")), "{metric} is not explained");
    }
}
