//! Promise: a codec from elsewhere is used like those of this crate, is named in the answer, and can do no harm.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use patina_codecs::{
    Clock, Codec, Content, Depth, Input, Kind, Limits, MediaType, Outcome, Params, Refusal, Registry,
};

const MIME: &str = "application/x-points";

/// Points of eight bytes after a magic; warm keeps every second one.
struct Points;

impl Codec for Points {
    fn id(&self) -> &'static str {
        "points"
    }

    fn version(&self) -> u16 {
        3
    }

    fn accepts(&self, media: &MediaType) -> bool {
        media.mime == MIME
    }

    fn detect(&self, head: &[u8], _: &str) -> Option<MediaType> {
        head.starts_with(b"PTS1").then(|| MediaType { kind: Kind::Other, mime: MIME.into() })
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        let points = input.bytes.strip_prefix(b"PTS1").ok_or_else(|| Refusal::new("has no magic"))?;
        if input.depth == Depth::Trace {
            let json = format!("{{\"points\":{}}}", points.len() / 8);
            return Ok(Outcome::Trace { json, fidelity: 0.01, metric: "points", note: None });
        }
        let mut bytes = b"PTS1".to_vec();
        for (at, point) in points.chunks(8).enumerate() {
            input.deadline.check()?;
            if point == b"explode!" {
                panic!("a point exploded");
            }
            if at % 2 == 0 {
                bytes.extend(point);
            }
        }
        let mime = MIME.to_owned();
        let params = "step=2".to_owned();
        Ok(Outcome::Bytes { bytes, mime, fidelity: 0.5, metric: "points", params, note: None })
    }
}

fn registry() -> Registry {
    Registry::new().with(Arc::new(Points))
}

fn points(count: usize) -> Vec<u8> {
    [b"PTS1".to_vec(), b"12345678".repeat(count)].concat()
}

#[test]
fn it_recognises_and_treats_its_own_type() {
    let file = points(100);
    assert_eq!(registry().detect(&file, "cloud.txt").mime, MIME);
    assert_eq!(registry().codecs()[0], ("points", 3));
    let (params, limits) = (Params::default(), Limits::default());
    let warm = registry().degrade(&file, MIME, Depth::Warm, &params, &limits);
    assert_eq!((warm.codec, warm.version, warm.params.as_str()), ("points", 3, "step=2"));
    let Content::Bytes(less) = &warm.content else { panic!("kept: {:?}", warm.note) };
    assert_eq!(*less, points(50));
    let trace = registry().degrade(less, MIME, Depth::Trace, &params, &limits);
    assert_eq!(trace.content, Content::Trace("{\"points\":50}".to_owned()));
}

#[test]
fn without_it_the_type_is_unknown() {
    let (params, limits) = (Params::default(), Limits::default());
    let warm = Registry::new().degrade(&points(100), MIME, Depth::Warm, &params, &limits);
    assert_eq!((warm.codec, warm.content), ("opaque", Content::Same));
}

#[test]
fn when_it_refuses_or_panics_the_object_is_kept() {
    let (params, limits) = (Params::default(), Limits::default());
    for (bytes, reason) in [
        (b"no magic at all".to_vec(), "points: has no magic"),
        ([points(3), b"explode!".to_vec()].concat(), "points: failed inside: a point exploded"),
    ] {
        let kept = registry().degrade(&bytes, MIME, Depth::Cold, &params, &limits);
        assert_eq!(kept.content, Content::Same);
        assert!(kept.note.as_ref().is_some_and(|note| note.starts_with(reason)), "{:?}", kept.note);
    }
}

#[test]
fn it_is_asked_before_a_codec_that_it_replaces() {
    struct Shouting;

    impl Codec for Shouting {
        fn id(&self) -> &'static str {
            "shouting"
        }

        fn version(&self) -> u16 {
            1
        }

        fn accepts(&self, media: &MediaType) -> bool {
            media.mime == "text/plain"
        }

        fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
            if input.bytes.len() > 500 {
                return Err(Refusal::new("is too long to shout"));
            }
            let (mime, params) = ("text/plain".to_owned(), String::new());
            Ok(Outcome::Bytes {
                bytes: b"HEY".to_vec(),
                mime,
                fidelity: 0.1,
                metric: "noise",
                params,
                note: None,
            })
        }
    }

    let registry = Registry::new().with(Arc::new(Shouting));
    let (params, limits) = (Params::default(), Limits::default());
    let sentence = "The harbour has a lighthouse. ";
    let short = registry.degrade(sentence.repeat(3).as_bytes(), "text/plain", Depth::Warm, &params, &limits);
    assert_eq!(short.codec, "shouting");
    // The next one takes what it refuses, and the note says why.
    let long = registry.degrade(sentence.repeat(90).as_bytes(), "text/plain", Depth::Warm, &params, &limits);
    assert_eq!(long.codec, "text");
    assert!(long.note.is_some_and(|note| note.starts_with("shouting: is too long to shout; ")));
}

#[test]
fn its_time_is_limited_by_the_clock_that_is_given() {
    let asked = Arc::new(AtomicU64::new(0));
    let hand = asked.clone();
    // A second passes whenever somebody looks.
    let clock: Clock = Arc::new(move || Duration::from_secs(hand.fetch_add(1, Ordering::Relaxed)));
    let registry = registry().with_clock(clock);
    let params = Params::default();
    let hurried = Limits { time_ms: 10_000, ..Limits::default() };
    let kept = registry.degrade(&points(100), MIME, Depth::Warm, &params, &hurried);
    assert_eq!(kept.content, Content::Same);
    assert_eq!(kept.note.as_deref(), Some("points: takes longer than 10000 ms; kept as it is"));
    assert!(asked.load(Ordering::Relaxed) < 15);
    let calm = Limits { time_ms: 1_000_000, ..Limits::default() };
    let warm = registry.degrade(&points(100), MIME, Depth::Warm, &params, &calm);
    assert!(matches!(warm.content, Content::Bytes(_)));
}
