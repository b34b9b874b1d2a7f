//! Promise: the commands do what their help says, for people and for programs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::sandbox::{Sandbox, all_samples, sample};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_was_imported_comes_back_byte_for_byte() {
    let sandbox = Sandbox::with_samples();
    for (name, bytes) in all_samples() {
        let got = sandbox.patina(&["get", &format!("samples/{name}")]);
        assert_eq!(got.status, 0, "{}", got.stderr);
        assert!(got.stdout == bytes, "{name} came back different");
    }
    assert_eq!(sandbox.names().len(), all_samples().len() + 1, "the samples and the table of their origins");
}

#[test]
fn stdin_is_stored_under_the_name_given() {
    let sandbox = Sandbox::new();
    let put = sandbox.patina_reading(&["put", "-", "--name", "notes/a.txt"], b"from a pipe");
    assert_eq!((put.status, put.stderr.as_str()), (0, ""));
    assert!(String::from_utf8(put.stdout).unwrap().starts_with("notes/a.txt: object "));
    assert_eq!(sandbox.prints(&["get", "notes/a.txt"]), "from a pipe");
}

#[test]
fn putting_again_replaces() {
    let sandbox = Sandbox::new();
    for text in ["first", "second"] {
        sandbox.file("a.txt", text.as_bytes());
        sandbox.prints(&["put", "a.txt"]);
    }
    assert_eq!(sandbox.prints(&["get", "a.txt"]), "second");
    assert_eq!(sandbox.names(), ["a.txt"]);
}

#[test]
fn get_writes_a_file_whole() {
    let sandbox = Sandbox::with_samples();
    sandbox.prints(&["get", "samples/chelsea.png", "-o", "cat.png"]);
    assert!(fs::read(sandbox.path().join("cat.png")).unwrap() == sample("chelsea.png"));
    let left: Vec<_> =
        fs::read_dir(sandbox.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the database and the picture: {left:?}");
}

#[test]
fn ls_takes_a_glob_and_shows_a_line_an_object() {
    let sandbox = Sandbox::with_samples();
    let pictures = sandbox.prints(&["ls", "samples/c*.png"]);
    let names: Vec<&str> = pictures.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(names, ["samples/camera.png", "samples/chelsea.png", "samples/coffee.png"]);
    assert!(pictures.lines().all(|line| line.starts_with("hot") && line.contains("image")), "{pictures}");
    assert_eq!(sandbox.prints(&["ls", "*.png"]), "", "a star stops at a slash");
}

#[test]
fn ls_for_programs_has_the_columns_of_sql() {
    let sandbox = Sandbox::with_samples();
    let object = json(&sandbox.prints(&["ls", "--json", "samples/rocket.jpg"]));
    assert_eq!(object["name"], "samples/rocket.jpg");
    assert_eq!((object["type"].as_str(), object["stage"].as_u64()), (Some("image"), Some(0)));
    assert_eq!(object["size"], sample("rocket.jpg").len());
    assert_eq!(object["origin_hash"].as_str().unwrap().len(), 64);
    let columns = sandbox.prints(&["sql", "SELECT FROM objects LIMIT 1", "--format", "jsonl"]);
    for column in json(&columns).as_object().unwrap().keys() {
        assert!(object.get(column).is_some(), "{column} of objects is missing in ls --json");
    }
}

#[test]
fn stat_tells_an_objects_story() {
    let sandbox = Sandbox::with_samples();
    sandbox.prints(&["tick", "--force"]);
    let text = sandbox.prints(&["stat", "samples/chelsea.png"]);
    assert!(text.contains("stage       1 (warm)"), "{text}");
    assert!(text.contains("put") && text.contains("forced"), "{text}");
    let object = json(&sandbox.prints(&["stat", "--json", "samples/chelsea.png"]));
    let history = object["history"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!((history[1]["from"].as_u64(), history[1]["to"].as_u64()), (Some(0), Some(1)));
    assert_eq!(history[1]["bytes_after"], object["stored"]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let sandbox = Sandbox::with_samples();
    let before = sandbox.prints(&["ls", "--json"]);
    let planned = sandbox.prints(&["tick", "--force", "--dry-run", "--json"]);
    assert_eq!(planned.lines().count(), all_samples().len() + 1);
    assert_eq!(json(planned.lines().next().unwrap())["to"], 1);
    let stages = |listing: &str| -> Vec<(Value, Value)> {
        listing.lines().map(json).map(|object| (object["stage"].clone(), object["stored"].clone())).collect()
    };
    assert_eq!(stages(&before), stages(&sandbox.prints(&["ls", "--json"])));
}

#[test]
fn time_can_be_given() {
    let sandbox = Sandbox::with_samples();
    let quiet = json(&sandbox.prints(&["tick", "--json", "--now", "+1d"]));
    assert_eq!(quiet["moved"], 0);
    let later = json(&sandbox.prints(&["tick", "--json", "--now", "+4000d"]));
    assert!(later["moved"].as_u64().unwrap() > 10, "{later}");
}

#[test]
fn a_forecast_tells_what_the_ticks_will_bring() {
    let sandbox = Sandbox::with_samples();
    let days = sandbox.prints(&["forecast", "100d", "--json"]);
    let told: u64 = days.lines().map(|day| json(day)["arrived"]["warm"]["objects"].as_u64().unwrap()).sum();
    assert_eq!(days.lines().count(), 100);
    assert!(told > 5, "{told} go to warm");
    assert!(sandbox.prints(&["forecast", "100d"]).contains("to warm"));
    assert!(sandbox.prints(&["forecast", "5d", "--policy", "document"]).starts_with("nothing decays"));
    let came = json(&sandbox.prints(&["tick", "--json", "--now", "+100d"]));
    let [warm, cold] = ["warm", "cold"].map(|stage| came["arrived"][stage]["objects"].as_u64().unwrap());
    assert_eq!(warm + cold, told, "who is cold by then came through warm in a forecast of daily ticks");
    assert_eq!(sandbox.patina(&["forecast", "soon"]).status, 2);
}

#[test]
fn a_clock_may_be_confirmed() {
    let sandbox = Sandbox::with_samples();
    assert_eq!(json(&sandbox.prints(&["tick", "--confirm-clock", "--json"]))["moved"], 0);
    assert_eq!(sandbox.patina(&["tick", "--confirm-clock", "--now", "+1d"]).status, 2);
}

#[test]
fn status_adds_up() {
    let sandbox = Sandbox::with_samples();
    let status = json(&sandbox.prints(&["status", "--json"]));
    let objects = sandbox.objects();
    assert_eq!(status["all"]["objects"], objects.len());
    let stored: u64 = objects.iter().map(|object| object["stored"].as_u64().unwrap()).sum();
    assert_eq!(status["all"]["stored"], stored);
    assert_eq!(status["stages"]["hot"]["objects"], objects.len());
    assert!(status["disk_bytes"].as_u64().unwrap() >= status["content_bytes"].as_u64().unwrap());
    let heat = status["all"]["heat"].as_f64().unwrap();
    assert!(heat > 0.99 && heat <= 1.0, "just put: {heat}");
    assert_eq!((status["merge_debt_bytes"].as_u64(), status["garbage_bytes"].as_u64()), (Some(0), Some(0)));
    sandbox.prints(&["tick", "--force"]);
    let shown = sandbox.prints(&["status"]);
    assert!(shown.contains("image") && shown.contains("to reclaim"), "{shown}");
}

#[test]
fn statements_come_from_an_argument_a_file_or_a_pipe() {
    let sandbox = Sandbox::with_samples();
    let statement = "SELECT count(*) AS n FROM objects WHERE type = 'image';";
    let expected = serde_json::json!({ "n": 6 });
    assert_eq!(json(&sandbox.prints(&["sql", "--format", "jsonl", statement])), expected);
    sandbox.file("q.sql", statement.as_bytes());
    assert_eq!(json(&sandbox.prints(&["sql", "--format", "jsonl", "-f", "q.sql"])), expected);
    let piped = sandbox.patina_reading(&["repl"], statement.as_bytes());
    assert_eq!((piped.status, piped.stderr.as_str()), (0, ""));
    assert!(String::from_utf8(piped.stdout).unwrap().contains('6'));
    let default = sandbox.patina_reading(&[], statement.as_bytes());
    assert!(String::from_utf8(default.stdout).unwrap().contains('6'), "no command is the terminal");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::new();
    for file in 0..3_000 {
        sandbox.file(&format!("many/{file:04}-with-a-name-long-enough-to-fill-a-pipe.txt"), &[b'x'; 9]);
    }
    sandbox.prints(&["import", "many"]);
    let mut command = sandbox.command(&["ls"]);
    let mut list = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, list.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("many/0000"));
    let output = list.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn an_import_leaves_out_its_own_database() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"first");
    sandbox.prints(&["put", "a.txt"]);
    sandbox.prints(&["import", "."]);
    assert_eq!(sandbox.names(), ["a.txt"]);
}

#[test]
fn a_prefix_and_a_policy_and_a_hold_go_with_an_object() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"evidence");
    sandbox.prints(&[
        "import", "a.txt", "--prefix", "case-17/", "--hold", "case 17", "--rate", "2", "--policy", "log",
    ]);
    let object = json(&sandbox.prints(&["ls", "--json"]));
    assert_eq!(object["name"], "case-17/a.txt");
    assert_eq!((object["held"].as_bool(), object["rate"].as_f64()), (Some(true), Some(2.0)));
    assert_eq!(object["policy"], "log");
    sandbox.prints(&["tick", "--force"]);
    assert_eq!(sandbox.prints(&["get", "case-17/a.txt"]), "evidence");
}

#[test]
fn help_and_version_are_results() {
    let sandbox = Sandbox::new();
    let help = sandbox.prints(&["--help"]);
    for command in ["repl", "put", "import", "get", "ls", "stat", "tick", "sql", "status", "demo"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in the help");
    }
    assert!(sandbox.prints(&["--version"]).starts_with("patina "));
}
