use proptest::prelude::*;

use super::*;
use crate::degrade::{Content, Degraded, Depth, degrade};
use crate::params::Params;

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

fn json_of(degraded: &Degraded) -> Value {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    serde_json::from_slice(bytes).unwrap()
}

fn record(n: usize) -> String {
    format!("{{\"id\":{n},\"who\":{{\"name\":\"name {}\",\"tags\":[\"a\",\"b\"]}},\"seen\":null}}", n % 5)
}

fn records(separator: &str) -> String {
    (0..1000).map(record).collect::<Vec<_>>().join(separator)
}

#[test]
fn an_array_and_its_lines_tell_the_same() {
    let array = json_of(&to(format!("[{}]", records(",\n")).as_bytes(), "application/json", Depth::Warm));
    let lines = json_of(&to(records("\n").as_bytes(), "application/x-ndjson", Depth::Warm));
    let paths = |value: &Value| -> Vec<String> {
        value["paths"]
            .as_array()
            .unwrap()
            .iter()
            .map(|path| path["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(paths(&array), ["$[].id", "$[].seen", "$[].who.name", "$[].who.tags[]"]);
    assert_eq!(paths(&lines), ["$.id", "$.seen", "$.who.name", "$.who.tags[]"]);
    assert_eq!(array["sample"], lines["sample"]);
    assert_eq!(array["sample"].as_array().unwrap().len(), 100);
    assert_eq!(array["paths"][0]["quantiles"][20], 999);
    assert_eq!(array["paths"][1]["nulls"], 1000);
    assert_eq!(array["arrays"][0], serde_json::json!({ "path": "$", "arrays": 1, "items": 1000 }));
}

#[test]
fn an_element_of_the_sample_is_an_element_of_the_source() {
    let text = records("\n");
    let warm = json_of(&to(text.as_bytes(), "application/x-ndjson", Depth::Warm));
    let known: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sample = warm["sample"].as_array().unwrap();
    assert_eq!(sample[0], known[0]);
    assert!(sample.iter().all(|element| known.contains(element)));
}

#[test]
fn keys_that_are_data_become_one_path() {
    let map: Vec<String> = (0..500).map(|n| format!("\"user-{n}\":{{\"age\":{}}}", n % 90)).collect();
    let warm = json_of(&to(format!("{{{}}}", map.join(",")).as_bytes(), "application/json", Depth::Warm));
    assert_eq!(warm["paths"].as_array().unwrap().len(), 1);
    assert_eq!(warm["paths"][0]["path"], "$.*.age");
    assert_eq!(warm["sample"][0].as_object().unwrap().len(), 50);
}

#[test]
fn cold_is_the_same_with_and_without_warm_and_fidelities_multiply() {
    let text = records("\n");
    let warm = to(text.as_bytes(), "application/x-ndjson", Depth::Warm);
    let Content::Bytes(bytes) = &warm.content else { panic!("kept") };
    let direct = to(text.as_bytes(), "application/x-ndjson", Depth::Cold);
    let by_warm = to(bytes, &warm.media_type, Depth::Cold);
    assert_eq!(json_of(&direct)["sample"], json_of(&by_warm)["sample"]);
    assert!((warm.fidelity * by_warm.fidelity - direct.fidelity).abs() < 0.01);
    assert!(direct.fidelity < warm.fidelity && warm.fidelity < 1.0);
    let Content::Trace(trace) = to(bytes, &warm.media_type, Depth::Trace).content else { panic!("no trace") };
    assert!(trace.contains("$.id integer 0 to 999"), "{trace}");
}

#[test]
fn what_goes_over_a_limit_is_kept_and_says_which() {
    let cases = [
        ("[".repeat(5000) + &"]".repeat(5000), "nested deeper than 127"),
        (format!("[{}]", vec!["0"; 2_000_010].join(",")), "more than 2000000 values"),
        ("{\"a\":1".to_owned(), "cannot be read"),
        ("[[],[],{}]".to_owned(), "has no values"),
    ];
    for (text, reason) in cases {
        let kept = to(text.as_bytes(), "application/json", Depth::Cold);
        assert_eq!(kept.content, Content::Same);
        assert!(kept.note.as_ref().unwrap().contains(reason), "{:?}", kept.note);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_document_gets_smaller_and_never_better(text in "(\\[|\\{\"[ab]\":|[0-9]{1,3}|\"[x-z]{0,4}\"|,|null|\\]|\\}|\n){0,60}") {
        let mut fidelity = 1.0;
        for depth in [Depth::Warm, Depth::Cold, Depth::Trace] {
            let degraded = to(text.as_bytes(), "application/json", depth);
            prop_assert!(degraded.fidelity <= fidelity);
            prop_assert!(!degraded.note.unwrap_or_default().contains("failed inside"));
            fidelity = if degraded.content == Content::Same { fidelity } else { degraded.fidelity };
        }
    }
}
