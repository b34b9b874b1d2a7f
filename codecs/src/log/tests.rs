use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::degrade::{Content, Degraded, Depth, degrade};
use crate::params::{Limits, Params};

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

fn json_of(degraded: &Degraded) -> Value {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    serde_json::from_slice(bytes).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Two hours of a server, an error every hundred lines, with a stack trace.
fn server_log() -> String {
    let mut log = String::new();
    for n in 0..1000 {
        let time = format!("2024-05-01 {:02}:{:02}:{:02},{:03}", 10 + n / 500, n / 9 % 60, n % 60, n % 1000);
        let user = ["alice", "bob", "carol"][n % 3];
        log.push_str(&match n % 100 {
            7 => format!(
                "{time} ERROR [worker-{n}] request {n} failed: timeout after {} ms\n  at com.example.Worker.run(Worker.java:{n})\nCaused by: late\n",
                n * 3
            ),
            50..=99 => format!("{time} DEBUG cache hit for key {:x}\n", n * 7919),
            _ => format!("{time} INFO user {user} logged in from 10.0.0.{}\n", n % 250),
        });
    }
    log
}

#[test]
fn a_log_becomes_its_templates() {
    let warm = json_of(&to(server_log().as_bytes(), "text/x-log", Depth::Warm));
    assert_eq!(warm["records"], 1000);
    assert_eq!(warm["lines"], 1020);
    assert_eq!(warm["levels"], serde_json::json!({ "DEBUG": 500, "ERROR": 10, "INFO": 490 }));
    let templates = warm["templates"].as_array().unwrap();
    let named: Vec<&str> = templates.iter().map(|template| template["template"].as_str().unwrap()).collect();
    assert!(named.contains(&"INFO user <*> logged in from <*>"), "{named:?}");
    assert!(named.contains(&"ERROR <*> request <*> failed: timeout after <*> ms"), "{named:?}");
    assert!(named.len() <= 6, "{named:?}");
    let logins =
        templates.iter().find(|template| template["template"].as_str().unwrap().contains("logged")).unwrap();
    assert_eq!((&logins["count"], &logins["first"]), (&490.into(), &"2024-05-01 10:00:00,000".into()));
    assert_eq!(texts(&logins["parameters"])[0], "text, often alice, 3 different");
    let records: u64 = texts(&warm["histogram"])[1..]
        .iter()
        .map(|line| line.split(',').nth(1).unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(records, 1000);
}

#[test]
fn every_error_stays_word_for_word_at_warm_and_one_of_each_kind_at_cold() {
    let log = server_log();
    let warm = json_of(&to(log.as_bytes(), "text/x-log", Depth::Warm));
    let errors = texts(&warm["errors"]);
    assert_eq!(errors.len(), 10);
    assert!(errors.iter().all(|error| log.contains(error) && error.ends_with("Caused by: late")));
    let cold = json_of(&to(log.as_bytes(), "text/x-log", Depth::Cold));
    assert_eq!(texts(&cold["errors"]).len(), 1);
    assert_eq!(cold["errors_in_all"], 10);
}

#[test]
fn errors_are_known_by_level_word_and_status() {
    let cases = [
        ("2024-05-01T10:00:00Z ERROR x", true),
        ("2024-05-01T10:00:00Z INFO no error here", false),
        ("2024-05-01T10:00:00Z level=error msg=\"x\"", true),
        ("May  1 10:00:00 host kernel: panic - not syncing", true),
        ("[2024-05-01 10:00:00] app.CRITICAL: x", false),
        ("10.0.0.1 - - [01/May/2024:10:00:00 +0000] \"GET / HTTP/1.1\" 503 12", true),
        ("10.0.0.1 - - [01/May/2024:10:00:00 +0000] \"GET /500 HTTP/1.1\" 200 12", false),
        ("Traceback (most recent call last):", true),
        ("job 7 failed: java.io.IOException: disk", true),
        ("ValueError: too many values", true),
        ("worker - error - queue is gone", true),
        ("finished with 3 errors", true),
        ("12:00:01 done, errors=2", true),
        ("finished with 0 errors", false),
        ("finished without errors", false),
        ("12:00:01 done, errors=0 warnings=1", false),
        ("12:00:01 result error=null", false),
        ("12:00:01 Errors: 0", false),
        ("writing to /var/log/error.log", false),
        ("error rate is 0.1%", false),
        ("an exceptional day, a terrorist film, panicle", false),
    ];
    for (line, is_error) in cases {
        let records = record::all(line);
        // Without a level, the word alone decides.
        let expected = is_error || line.contains("CRITICAL");
        assert_eq!(records[0].is_error, expected, "{line}");
    }
}

#[test]
fn times_of_logs_are_read() {
    let ms = |line: &str| record::all(line)[0].time_ms;
    assert_eq!(ms("2024-05-01 10:00:00,250 INFO x"), Some(1_714_557_600_250));
    assert_eq!(
        ms("1.1.1.1 - - [01/May/2024:12:00:00 +0200] \"GET / HTTP/1.1\" 200 1"),
        Some(1_714_557_600_000)
    );
    assert_eq!(ms("May  1 10:00:00 host x"), None);
    assert_eq!(record::all("May  1 10:00:00 host x")[0].time, Some("May  1 10:00:00"));
}

#[test]
fn cold_is_the_same_with_and_without_warm_and_fidelities_multiply() {
    let log = server_log();
    let warm = to(log.as_bytes(), "text/x-log", Depth::Warm);
    let Content::Bytes(bytes) = &warm.content else { panic!("kept") };
    let direct = to(log.as_bytes(), "text/x-log", Depth::Cold);
    let by_warm = to(bytes, &warm.media_type, Depth::Cold);
    assert_eq!(json_of(&direct), json_of(&by_warm));
    assert!((warm.fidelity * by_warm.fidelity - direct.fidelity).abs() < 1e-9);
    assert!(direct.fidelity < warm.fidelity && warm.fidelity < 1.0);
    let Content::Trace(trace) = to(bytes, &warm.media_type, Depth::Trace).content else { panic!("no trace") };
    let trace: Value = serde_json::from_str(&trace).unwrap();
    assert_eq!((&trace["lines"], &trace["last"]), (&1020.into(), &"2024-05-01 11:51:39,999".into()));
}

/// Random words must not make a template each without end, nor take quadratic time.
#[test]
fn noise_is_bounded() {
    let words = ["kvo", "rtz", "lmn", "qpa", "wex", "zzu", "ybb"];
    let line =
        |n: usize| (0..6).map(|at| words[(n * 31 + at * at * n / 7 + at) % 7]).collect::<Vec<_>>().join(" ");
    let log: String = (0..20_000)
        .map(|n| format!("2024-05-01 10:00:00 {}{}\n", ["a", "b", "c"][n % 3].repeat(n % 40), line(n)))
        .collect();
    let warm = to(log.as_bytes(), "text/x-log", Depth::Warm);
    assert!(warm.codec == "log" || warm.content == Content::Same);
    let mut miner = Miner::default();
    record::all(&log).iter().for_each(|record| {
        miner.put(record);
    });
    assert!(miner.templates().len() <= drain::TEMPLATES_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_lines_survive(lines in proptest::collection::vec("(2024-05-01 10:00:0[0-9] |May  1 10:00:00 |\\[| \\[|\\] \")?(ERROR|INFO|level=warn)?[ a-c0-9é\\]\"=]{0,20}", 0..40)) {
        let text = lines.join("\n");
        let mut fidelity = 1.0;
        for depth in [Depth::Warm, Depth::Cold, Depth::Trace] {
            let degraded = to(text.as_bytes(), "text/x-log", depth);
            prop_assert!(degraded.fidelity <= fidelity + 1e-9);
            prop_assert!(!degraded.note.unwrap_or_default().contains("failed inside"));
            fidelity = if degraded.content == Content::Same { fidelity } else { degraded.fidelity };
        }
    }
}
