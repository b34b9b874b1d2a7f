use serde_json::Value;

use crate::{Content, Depth, Limits, METADATA_MIME, Params, degrade};

fn to(bytes: &[u8], mime: &str, depth: Depth) -> crate::Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

fn object(content: &Content) -> Value {
    match content {
        Content::Bytes(bytes) => serde_json::from_slice(bytes).unwrap(),
        Content::Trace(json) => serde_json::from_str(json).unwrap(),
        Content::Same => panic!("nothing was degraded"),
    }
}

fn noise() -> Vec<u8> {
    (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn warm_keeps_every_byte_and_cold_describes_them() {
    let bytes = noise();
    let warm = to(&bytes, "application/x-7z-compressed", Depth::Warm);
    assert_eq!((warm.content, warm.fidelity), (Content::Same, 1.0));
    let cold = to(&bytes, "application/x-7z-compressed", Depth::Cold);
    assert_eq!(cold.media_type, METADATA_MIME);
    assert!(cold.fidelity < 0.01, "{}", cold.fidelity);
    let described = object(&cold.content);
    assert_eq!(described["size"], 10_000);
    assert_eq!(described["media_type"], "application/x-7z-compressed");
    assert_eq!(described["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(described["head_hex"].as_str().unwrap().len(), 128);
    assert!(described["entropy_bits"].as_f64().unwrap() > 7.0);
}

#[test]
fn a_trace_of_a_description_speaks_of_the_original() {
    let bytes = noise();
    let cold = to(&bytes, "application/x-7z-compressed", Depth::Cold);
    let Content::Bytes(description) = &cold.content else { panic!("no description") };
    let trace = to(description, &cold.media_type, Depth::Trace);
    let direct = to(&bytes, "application/x-7z-compressed", Depth::Trace);
    assert_eq!(object(&trace.content), object(&direct.content));
    assert_eq!(trace.codec, "metadata");
}

#[test]
fn a_description_does_not_shrink_before_the_trace() {
    let cold = to(&noise(), "application/x-7z-compressed", Depth::Cold);
    let Content::Bytes(description) = &cold.content else { panic!("no description") };
    for depth in [Depth::Warm, Depth::Cold] {
        assert_eq!(to(description, METADATA_MIME, depth).content, Content::Same);
    }
}

#[test]
fn what_only_claims_to_be_a_description_is_opaque() {
    for claim in [&b"[1, 2]"[..], b"{\"size\": \"big\", \"sha256\": 1}", b"\xff\xfe\xfd"] {
        let trace = to(claim, METADATA_MIME, Depth::Trace);
        assert_eq!(object(&trace.content)["size"], claim.len());
        assert_eq!(trace.codec, "opaque");
    }
}

#[test]
fn the_head_of_a_text_of_unknown_type_can_be_read() {
    let table: String = (0..2_000).map(|row| format!("{row},Zürich,{}\n", row * row)).collect();
    let described = object(&to(table.as_bytes(), "application/x-unheard-of", Depth::Cold).content);
    let head = described["head_text"].as_str().unwrap();
    assert!(head.starts_with("0,Zürich,0\n1,Zürich,1\n"));
    assert_eq!(head.chars().count(), 512);
}

#[test]
fn a_small_file_is_not_replaced_by_a_longer_description() {
    assert_eq!(to(b"\x00\x01\x02\x03", "application/x-7z-compressed", Depth::Cold).content, Content::Same);
}

#[test]
fn a_hostile_media_type_cannot_break_the_bound_of_a_trace() {
    let mime = "\u{10ffff}\"\\".repeat(5_000);
    let trace = to(&noise(), &mime, Depth::Trace);
    let Content::Trace(json) = &trace.content else { panic!("no trace") };
    assert!(json.len() <= crate::TRACE_BYTES_MAX);
    assert_eq!(object(&trace.content)["size"], 10_000);
}
