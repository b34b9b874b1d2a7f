//! Promise: the demo shows the whole life cycle, the same on every run.

use std::fs;

use patinadb::{Patina, Value};

use crate::sandbox::{Sandbox, sample};

/// The months' lines, as numbers: hot, warm, cold, trace, purged.
fn months(output: &str) -> Vec<Vec<u64>> {
    let is_month = |line: &&str| line.starts_with("202") && line.split_whitespace().count() >= 8;
    let counts =
        |line: &str| line.split_whitespace().skip(1).take(5).map(|count| count.parse().unwrap()).collect();
    output.lines().filter(is_month).map(counts).collect()
}

#[test]
fn three_years_show_every_stage() {
    let sandbox = Sandbox::new();
    let output = sandbox.prints(&["demo", "--keep", "kept"]);
    assert!(output.lines().all(|line| line.chars().count() <= 80), "{output}");

    let months = months(&output);
    assert_eq!(months.len(), 36, "{output}");
    for stage in 0..5 {
        assert!(months.iter().any(|month| month[stage] > 0), "no object was ever at stage {stage}: {output}");
    }
    assert!(months.iter().all(|month| month.iter().sum::<u64>() == 15), "objects come and go: {output}");
    assert!(output.contains('█'), "the chart: {output}");
    assert_eq!(output.matches("\nSELECT ").count(), 3, "three statements: {output}");

    let db = Patina::open(sandbox.path().join("kept")).unwrap();
    let row = db.query("SELECT count(DISTINCT stage) AS stages FROM objects", ()).unwrap().next().unwrap();
    let Some(Value::Integer(stages)) = row.get("stages") else { panic!("{row:?}") };
    assert!(*stages >= 3, "only {stages} stages are left at the end: {output}");
}

#[test]
fn the_pictures_are_written_before_and_after() {
    let sandbox = Sandbox::new();
    sandbox.prints(&["demo"]);
    let folder = sandbox.path().join("patina-demo");
    let before = fs::read(folder.join("coffee.0-hot.png")).unwrap();
    assert!(before == sample("coffee.png"));
    let sizes =
        ["coffee.1-warm.jpg", "coffee.2-cold.jpg"].map(|name| fs::metadata(folder.join(name)).unwrap().len());
    assert!(sizes[0] < before.len() as u64 && sizes[1] < sizes[0], "{sizes:?}");
}

#[test]
fn every_run_prints_the_same() {
    let sandbox = Sandbox::new();
    let first = sandbox.prints(&["demo"]);
    assert_eq!(first, sandbox.prints(&["demo"]));
}

#[test]
fn it_does_not_touch_a_folder_that_is_used() {
    let sandbox = Sandbox::new();
    sandbox.file("mine/note.txt", b"mine");
    let run = sandbox.patina(&["demo", "--keep", "mine"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("mine is not empty"), "{}", run.stderr);
    assert_eq!(fs::read_dir(sandbox.path().join("mine")).unwrap().count(), 1);
}
