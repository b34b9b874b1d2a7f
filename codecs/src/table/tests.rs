use proptest::prelude::*;
use serde_json::Value;

use crate::degrade::{Content, Degraded, Depth, degrade};
use crate::params::{Limits, Params};

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

fn json_of(degraded: &Degraded) -> Value {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    serde_json::from_slice(bytes).unwrap()
}

/// People with a code, an age, a height, and a city out of four.
fn people(separator: &str, rows: usize) -> String {
    let mut text = ["code", "age", "height", "city"].join(separator) + "\n";
    for row in 0..rows {
        let city = ["Rome", "Oslo", "Rome", "\"Paris, Texas\""][row % 4];
        let cells = [
            format!("{:05}", row * 7),
            (row % 90).to_string(),
            format!("1.{:02}", row % 97),
            city.to_owned(),
        ];
        text.push_str(&cells.join(separator));
        text.push('\n');
    }
    text
}

fn hourly(rows: usize) -> String {
    let mut text = "when,temp,station\n".to_owned();
    for row in 0..rows {
        let (day, hour) = (row / 24, row % 24);
        let time = crate::statistics::cells::time_text(1_262_304_000_000 + row as i64 * 3_600_000);
        text.push_str(&format!(
            "{time},{:.1},north\n",
            10.0 + day as f64 / 10.0 + (hour as f64 - 12.0).abs() / 4.0
        ));
    }
    text
}

#[test]
fn every_dialect_gives_the_same_statistics() {
    let expected = json_of(&to(people(",", 400).as_bytes(), "text/csv", Depth::Warm));
    assert_eq!(expected["rows_in_all"], 400);
    let types: Vec<&str> = expected["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["text", "integer", "number", "text"]);
    assert_eq!(expected["columns"][3]["top"][0], serde_json::json!(["Rome", 200]));
    assert_eq!(expected["rows"]["header"], "code,age,height,city");
    for separator in ["\t", ";", "|"] {
        let other = json_of(&to(people(separator, 400).as_bytes(), "text/csv", Depth::Warm));
        assert_eq!(other["columns"], expected["columns"], "{separator:?}");
        assert_eq!(other["separator"], *separator);
    }
    let windows = people(",", 400).replace('\n', "\r\n");
    assert_eq!(json_of(&to(windows.as_bytes(), "text/csv", Depth::Warm)), expected);
}

#[test]
fn rows_that_are_kept_are_rows_of_the_table() {
    let text = people(",", 400);
    let warm = json_of(&to(text.as_bytes(), "text/csv", Depth::Warm));
    for (part, count) in [("head", 10), ("sample", 40), ("tail", 10)] {
        let rows = warm["rows"][part].as_array().unwrap();
        assert_eq!(rows.len(), count, "{part}");
        assert!(rows.iter().all(|row| text.lines().any(|line| line == row)), "{part}");
    }
}

#[test]
fn a_title_above_the_rows_is_no_header() {
    let mut text = "569,30,malignant\n".to_owned();
    (0..1000).for_each(|row| text.push_str(&format!("{row},{},{},{}\n", row * 2, row * 3, row % 2)));
    let warm = json_of(&to(text.as_bytes(), "text/csv", Depth::Warm));
    assert_eq!((&warm["rows_in_all"], &warm["columns"][3]["name"]), (&1000.into(), &"column 4".into()));
    assert_eq!(warm["rows"].get("header"), None);
}

#[test]
fn a_time_column_makes_a_series_and_wider_buckets_nest() {
    let text = hourly(24 * 100);
    let warm = to(text.as_bytes(), "text/csv", Depth::Warm);
    let series = json_of(&warm)["series"].clone();
    assert_eq!((&series["time"], &series["bucket_s"]), (&"when".into(), &21_600.into()));
    assert_eq!(series["csv"][0], "from,rows,temp least,temp mean,temp greatest");
    assert_eq!(series["csv"][1], "2010-01-01,6,11.8,12.3833,13");
    assert_eq!(series["csv"].as_array().unwrap().len(), 401);
    assert!(series["explained"].as_f64().unwrap() > 0.9);
    let cold = to(text.as_bytes(), "text/csv", Depth::Cold);
    let wider = json_of(&cold)["series"].clone();
    assert_eq!(wider["bucket_s"], 604_800);
    assert!(wider["explained"].as_f64() < series["explained"].as_f64());
    let rows: u64 = wider["csv"].as_array().unwrap()[1..]
        .iter()
        .map(|line| line.as_str().unwrap().split(',').nth(1).unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(rows, 2400);
}

#[test]
fn rows_out_of_order_are_no_series() {
    let mut lines: Vec<String> = hourly(500).lines().map(str::to_owned).collect();
    lines.swap(1, 300);
    let warm = json_of(&to(lines.join("\n").as_bytes(), "text/csv", Depth::Warm));
    assert_eq!(warm.get("series"), None);
}

#[test]
fn cold_is_the_same_with_and_without_warm_and_fidelities_multiply() {
    for text in [people(",", 2000), hourly(3000)] {
        let warm = to(text.as_bytes(), "text/csv", Depth::Warm);
        let Content::Bytes(bytes) = &warm.content else { panic!("kept") };
        let direct = to(text.as_bytes(), "text/csv", Depth::Cold);
        let by_warm = to(bytes, &warm.media_type, Depth::Cold);
        let (a, b) = (json_of(&direct), json_of(&by_warm));
        assert_eq!((&a["rows"], &a["series"]["bucket_s"]), (&b["rows"], &b["series"]["bucket_s"]));
        assert_eq!(a["columns"][1]["quantiles"], b["columns"][1]["quantiles"]);
        assert!((warm.fidelity * by_warm.fidelity - direct.fidelity).abs() < 0.01);
        assert!(direct.fidelity < warm.fidelity && warm.fidelity < 1.0);
        let trace = to(bytes, &warm.media_type, Depth::Trace);
        assert!(warm.fidelity * trace.fidelity < 0.05, "{}", trace.fidelity);
        let Content::Trace(json) = trace.content else { panic!("no trace") };
        assert!(json.contains("\"rows\":"), "{json}");
    }
}

#[test]
fn what_is_no_table_is_kept() {
    for text in ["a,b\n1,2,3\n4\n5,6,7,8\n9,1,2,3,4\n", ""] {
        let kept = to(text.as_bytes(), "text/csv", Depth::Cold);
        assert_eq!(kept.content, Content::Same, "{text:?}");
    }
    let few = Limits { rows: 100, ..Limits::default() };
    let kept = degrade(people(",", 200).as_bytes(), "text/csv", Depth::Warm, &Params::default(), &few);
    assert!(kept.note.unwrap().contains("more than 100 rows"));
    let narrow = Limits { columns: 3, ..Limits::default() };
    let kept = degrade(people(",", 200).as_bytes(), "text/csv", Depth::Warm, &Params::default(), &narrow);
    assert!(kept.note.unwrap().contains("4 columns are more than 3"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_table_gets_smaller_and_never_better(
        rows in proptest::collection::vec(proptest::collection::vec("[a-c0-9.,\"\n-]{0,5}", 1..5), 0..60),
    ) {
        let text: String = rows.iter().map(|row| row.join(",") + "\n").collect();
        let mut fidelity = 1.0;
        for depth in [Depth::Warm, Depth::Cold, Depth::Trace] {
            let degraded = to(text.as_bytes(), "text/csv", depth);
            prop_assert!(degraded.fidelity <= fidelity, "{depth:?}: {} after {fidelity}", degraded.fidelity);
            prop_assert!(!degraded.note.unwrap_or_default().contains("failed inside"));
            fidelity = if degraded.content == Content::Same { fidelity } else { degraded.fidelity };
        }
    }
}

#[test]
fn a_row_too_wide_is_refused_before_it_is_split_and_quoted_separators_are_none() {
    let few = Limits { columns: 4, ..Limits::default() };
    let quoted: String = (0..200).map(|n| format!("{n},\"a, \"\"b\"\", c, d, e, f\",{}\n", n * 7)).collect();
    let warm = crate::degrade(quoted.as_bytes(), "text/csv", Depth::Warm, &Params::default(), &few);
    assert_eq!(warm.codec, "table", "{:?}", warm.note);
    // A quote inside a cell hides nothing.
    let late = format!("{quoted}x\",1,2,3,4,5\n");
    let refused = crate::degrade(late.as_bytes(), "text/csv", Depth::Warm, &Params::default(), &few);
    assert!(refused.note.unwrap().starts_with("table: 6 columns are more than 4"));
}
