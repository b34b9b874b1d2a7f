use super::*;
use crate::deadline::Deadline;
use crate::media::Kind;

/// Gives what it was made with, or panics without.
struct Scripted(fn(&Input<'_>) -> Result<Outcome, Refusal>);

impl Codec for Scripted {
    fn id(&self) -> &'static str {
        "scripted"
    }

    fn version(&self) -> u16 {
        7
    }

    fn accepts(&self, _: &MediaType) -> bool {
        true
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        (self.0)(input)
    }
}

fn bytes_of(len: usize, fidelity: f64) -> Outcome {
    Outcome::Bytes {
        bytes: vec![b'x'; len],
        mime: "text/plain".to_owned(),
        fidelity,
        metric: "test",
        params: String::new(),
        note: None,
    }
}

/// Runs a scripted codec over 1000 bytes.
fn run(depth: Depth, script: fn(&Input<'_>) -> Result<Outcome, Refusal>) -> Result<Degraded, Refusal> {
    let media = MediaType::known(Kind::Other, "application/x-test");
    let (params, limits) = (Params::default(), Limits { output_bytes: 950, ..Limits::default() });
    let input = Input {
        bytes: &[0; 1000],
        media: &media,
        depth,
        params: &params,
        limits: &limits,
        deadline: &Deadline::never(),
    };
    let codec = Scripted(script);
    guarded(&codec, &input).and_then(|outcome| judge(&codec, &Asked::of(&input), outcome))
}

#[test]
fn a_panicking_codec_is_a_refusal_with_its_message() {
    let refusal = run(Depth::Warm, |input| panic!("{} bytes too odd", input.bytes.len())).unwrap_err();
    assert_eq!(refusal.to_string(), "failed inside: 1000 bytes too odd");
}

#[test]
fn an_output_that_saves_less_than_a_tenth_is_not_used() {
    let used = run(Depth::Warm, |_| Ok(bytes_of(900, 0.5))).unwrap();
    assert_eq!((used.content, used.fidelity), (Content::Bytes(vec![b'x'; 900]), 0.5));
    let unused = run(Depth::Warm, |_| Ok(bytes_of(901, 0.5))).unwrap();
    assert_eq!((unused.content, unused.fidelity, unused.metric), (Content::Same, 1.0, "identical"));
    assert_eq!(unused.media_type, "application/x-test");
    assert!(unused.note.unwrap().contains("901 bytes instead of 1000"));
}

#[test]
fn an_output_over_its_limit_is_refused() {
    let refusal = run(Depth::Warm, |_| Ok(bytes_of(951, 0.5))).unwrap_err();
    assert!(refusal.to_string().contains("951 bytes"), "{refusal}");
}

#[test]
fn a_fidelity_outside_its_range_is_brought_into_it() {
    assert_eq!(run(Depth::Warm, |_| Ok(bytes_of(10, f64::NAN))).unwrap().fidelity, 0.0);
    assert_eq!(run(Depth::Warm, |_| Ok(bytes_of(10, 1.5))).unwrap().fidelity, 1.0);
}

#[test]
fn only_a_short_trace_counts_as_a_trace() {
    let trace =
        |len: usize| Outcome::Trace { json: "x".repeat(len), fidelity: 0.1, metric: "test", note: None };
    assert!(run(Depth::Trace, |_| Ok(bytes_of(10, 0.5))).is_err());
    assert!(run(Depth::Trace, |_| Ok(Outcome::Keep { note: None })).is_err());
    assert!(judge_trace(trace(TRACE_BYTES_MAX + 1)).is_err());
    assert!(judge_trace(trace(TRACE_BYTES_MAX)).is_ok());
}

fn judge_trace(outcome: Outcome) -> Result<Degraded, Refusal> {
    let media = MediaType::known(Kind::Other, "application/x-test");
    let (params, limits) = (Params::default(), Limits::default());
    let input = Input {
        bytes: b"",
        media: &media,
        depth: Depth::Trace,
        params: &params,
        limits: &limits,
        deadline: &Deadline::never(),
    };
    judge(&opaque::OPAQUE, &Asked::of(&input), outcome)
}

#[test]
fn an_input_over_the_limit_is_kept_and_at_last_described() {
    let limits = Limits { input_bytes: 10, ..Limits::default() };
    let text = b"A text of more than ten bytes.";
    for depth in [Depth::Warm, Depth::Cold] {
        let kept = degrade(text, "text/plain", depth, &Params::default(), &limits);
        assert_eq!(kept.content, Content::Same);
        assert!(kept.note.unwrap().contains("30 bytes are more than 10"));
    }
    let traced = degrade(text, "text/plain", Depth::Trace, &Params::default(), &limits);
    assert!(matches!(traced.content, Content::Trace(json) if json.contains("\"size\":30")));
}

#[test]
fn a_file_that_its_codec_cannot_read_is_kept_until_the_trace() {
    let broken =
        b"\xff\xd8\xff\xe0 and then nothing of a picture, over and over and over and over and over again";
    for depth in [Depth::Warm, Depth::Cold] {
        let kept = degrade(broken, "image/jpeg", depth, &Params::default(), &Limits::default());
        assert_eq!((kept.content, kept.codec), (Content::Same, "opaque"), "{depth:?}");
        assert!(kept.note.unwrap().starts_with("image: cannot be decoded"));
    }
    let traced = degrade(broken, "image/jpeg", Depth::Trace, &Params::default(), &Limits::default());
    assert!(matches!(traced.content, Content::Trace(_)));
    assert_eq!(traced.codec, "opaque");
}

#[test]
fn no_bytes_stay_no_bytes() {
    for mime in ["", "text/plain", "image/jpeg", "application/zip", crate::METADATA_MIME] {
        for depth in [Depth::Warm, Depth::Cold] {
            let kept = degrade(b"", mime, depth, &Params::default(), &Limits::default());
            assert_eq!(kept.content, Content::Same, "{mime} {depth:?}");
        }
        let traced = degrade(b"", mime, Depth::Trace, &Params::default(), &Limits::default());
        assert!(matches!(traced.content, Content::Trace(_)), "{mime}");
    }
}

#[test]
fn every_bad_parameter_is_named_and_none_breaks_anything() {
    let bad = Params {
        warm_quality: f64::NAN,
        warm_jpeg_quality_min: 90,
        warm_jpeg_quality_max: 0,
        cold_side_px: 0,
        cold_quality: 0,
        warm_share: -1.0,
        cold_share: 7.0,
        ..Params::default()
    };
    assert_eq!(bad.validate().unwrap_err().problems.len(), 8);
    assert_eq!(Params::default().validate(), Ok(()));
    assert_eq!(bad.in_range().validate(), Ok(()));
    let text = "One sentence stands here. Another one stands there. ".repeat(20);
    let warm = degrade(text.as_bytes(), "text/plain", Depth::Warm, &bad, &Limits::default());
    assert!(matches!(warm.content, Content::Bytes(_)));
}

#[test]
fn what_is_too_large_to_be_parsed_comes_out_as_it_would_in_one_piece() {
    let limits = Limits { input_bytes: 1000, ..Limits::default() };
    let bytes = b"a line of text that goes on and on\n".repeat(3000);
    for mime in ["image/png", "text/plain", "application/octet-stream", "application/json"] {
        for depth in [Depth::Warm, Depth::Cold, Depth::Trace] {
            let whole = degrade(&bytes, mime, depth, &Params::default(), &limits);
            let large = degrade_large(&mut &bytes[..], bytes.len() as u64, mime, depth, &limits).unwrap();
            assert_eq!(large, whole, "{mime} at {depth:?}");
        }
    }
}

/// Sentences inside more arrays than the parser of JSON follows.
fn deep_json(sentences: usize) -> String {
    let sentence =
        |n: usize| format!("\"The harbour number {n} has a lighthouse. Ships of it carry salt.\",\n");
    let body: String = (0..sentences).map(sentence).collect();
    format!("{}\n{body}\"Done.\"{}", "[".repeat(200), "]".repeat(200))
}

#[test]
fn what_its_codec_refuses_is_treated_as_the_plainer_type_that_it_also_is() {
    let csv: String = (0..200).map(|n| format!("{n},place number {n} by the sea,{}\n", n * 7)).collect();
    let few = Limits { rows: 100, ..Limits::default() };
    let log: String =
        (0..200).map(|n| format!("2024-05-01T10:00:{:02}Z INFO pump {n} is on\n", n % 60)).collect();
    let mut broken = deep_json(60).trim_start_matches('[').replacen('\n', "[[\n", 1);
    broken.truncate(broken.trim_end_matches(']').len());
    for (text, mime, limits, reason) in [
        (deep_json(60), "application/json", &Limits::default(), "json: is nested deeper than 127; "),
        (broken, "application/json", &Limits::default(), "json: cannot be read: "),
        (csv, "text/csv", &few, "table: has more than 100 rows; "),
        (log, "text/x-log", &few, "log: has more than 100 records; "),
    ] {
        let mut fidelity = 1.0;
        for depth in [Depth::Warm, Depth::Cold] {
            let read = degrade(text.as_bytes(), mime, depth, &Params::default(), limits);
            let note = read.note.unwrap();
            assert!(note.starts_with(reason) && note.contains("; read as text/plain; "), "{mime}: {note}");
            assert_eq!((read.codec, read.metric, read.media_type.as_str()), ("text", "terms", "text/plain"));
            let Content::Bytes(bytes) = read.content else { panic!("{mime} {depth:?} was kept: {note}") };
            let left = String::from_utf8(bytes).unwrap();
            let kept_lines = left.lines().filter(|line| !line.starts_with("Further terms: "));
            assert!(kept_lines.clone().all(|line| text.contains(line)), "{mime}: what stays is verbatim");
            assert!(read.fidelity < fidelity, "{mime} {depth:?}: {} after {fidelity}", read.fidelity);
            fidelity = read.fidelity;
        }
        let traced = degrade(text.as_bytes(), mime, Depth::Trace, &Params::default(), limits);
        assert_eq!(traced.codec, "text", "{mime}");
        assert!(traced.note.unwrap().starts_with(reason));
    }
}

#[test]
fn what_is_no_text_either_is_kept_and_both_reasons_are_told() {
    let zeros = [b"[".repeat(200), vec![0; 500]].concat();
    let kept = degrade(&zeros, "application/json", Depth::Cold, &Params::default(), &Limits::default());
    assert_eq!((kept.content, kept.media_type.as_str()), (Content::Same, "application/json"));
    let note = "json: is no text; read as text/plain; text: is no text; kept as it is";
    assert_eq!(kept.note.as_deref(), Some(note));
    let empty =
        degrade(&b"[".repeat(500), "application/json", Depth::Cold, &Params::default(), &Limits::default());
    assert_eq!((empty.content, empty.codec), (Content::Same, "text"));
    assert!(empty.note.unwrap().contains("no word found"));
}

#[test]
fn a_summary_that_cannot_be_read_is_not_taken_for_a_text() {
    let broken = "no summary. ".repeat(80);
    for mime in [crate::JSON_MIME, crate::TABLE_MIME, crate::LOG_MIME, crate::WORKBOOK_MIME] {
        let kept = degrade(broken.as_bytes(), mime, Depth::Cold, &Params::default(), &Limits::default());
        assert_eq!((kept.content, kept.codec), (Content::Same, "opaque"), "{mime}");
    }
}

#[test]
fn a_codec_that_panics_hands_over_to_the_plainer_reading() {
    struct Falling;
    impl Codec for Falling {
        fn id(&self) -> &'static str {
            "json"
        }

        fn version(&self) -> u16 {
            1
        }

        fn accepts(&self, media: &MediaType) -> bool {
            media.kind == Kind::Json
        }

        fn degrade(&self, _: &Input<'_>) -> Result<Outcome, Refusal> {
            panic!("too odd")
        }
    }
    let registry = Registry::new().with(std::sync::Arc::new(Falling));
    let json = deep_json(60);
    let (params, limits) = (Params::default(), Limits::default());
    let read = registry.degrade(json.as_bytes(), "application/json", Depth::Warm, &params, &limits);
    assert_eq!(read.codec, "text");
    let note = read.note.unwrap();
    let start = "json: failed inside: too odd; json: is nested deeper than 127; read as text/plain; ";
    assert!(note.starts_with(start), "{note}");
}
