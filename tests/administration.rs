//! Promise: whoever looks after a database can check it, copy it while it is whole, and shrink it, from the command line.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::sandbox::{Sandbox, all_samples, sample};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The largest file of the database with this suffix.
fn file(sandbox: &Sandbox, suffix: &str) -> PathBuf {
    let entries =
        fs::read_dir(sandbox.path().join("patina-data")).unwrap().map(|entry| entry.unwrap().path());
    let with_suffix = entries.filter(|path| path.extension().is_some_and(|extension| extension == suffix));
    with_suffix.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn a_whole_database_verifies() {
    let sandbox = Sandbox::with_samples();
    let said = sandbox.prints(&["verify"]);
    assert!(said.starts_with("no problems in "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let report = json(&sandbox.prints(&["verify", "--json"]));
    assert_eq!((report["sound"].as_bool(), report["problems_total"].as_u64()), (Some(true), Some(0)));
    assert!(report["references"].as_u64().unwrap() >= all_samples().len() as u64, "{report}");
}

#[test]
fn damage_is_named_and_is_a_failure() {
    for suffix in ["sst", "blob"] {
        let sandbox = Sandbox::with_samples();
        // An import this small may still be in the log alone.
        sandbox.prints(&["compact"]);
        let path = file(&sandbox, suffix);
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let run = sandbox.patina(&["verify"]);
        let said = String::from_utf8(run.stdout).unwrap();
        assert_eq!((run.status, run.stderr.as_str()), (1, ""), "{said}");
        assert!(said.contains(name) && said.contains("damaged at byte"), "{said}");
        let run = sandbox.patina(&["verify", "--json"]);
        let report = json(&String::from_utf8(run.stdout).unwrap());
        assert_eq!(run.status, 1);
        assert!(report["problems"][0]["file"].as_str().unwrap().ends_with(name), "{report}");
        assert!(report["problems"][0]["offset"].is_u64(), "{report}");
    }
}

#[test]
fn what_cannot_be_opened_can_be_verified() {
    let sandbox = Sandbox::with_samples();
    fs::remove_file(sandbox.path().join("patina-data/CURRENT")).unwrap();
    assert_eq!(sandbox.patina(&["ls"]).status, 1);
    let run = sandbox.patina(&["verify"]);
    let said = String::from_utf8(run.stdout).unwrap();
    assert_eq!(run.status, 1);
    assert!(said.contains("CURRENT") && said.contains("1 problem in"), "{said}");
}

#[test]
fn verifying_nothing_says_so_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let run = sandbox.patina(&["verify"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("there is no database in patina-data"), "{}", run.stderr);
    assert!(!sandbox.path().join("patina-data").exists());
}

#[test]
fn a_checkpoint_is_a_database_of_its_own() {
    let sandbox = Sandbox::with_samples();
    let report = json(&sandbox.prints(&["checkpoint", "copy", "--json"]));
    assert!(report["files_linked"].as_u64().unwrap() >= 2, "{report}");
    sandbox.file("late.txt", b"after the checkpoint");
    sandbox.prints(&["put", "late.txt"]);
    fs::remove_dir_all(sandbox.path().join("patina-data")).unwrap();
    for (name, bytes) in all_samples() {
        let got = sandbox.patina(&["-C", "copy", "get", &format!("samples/{name}")]);
        assert!(got.status == 0 && got.stdout == bytes, "{name}: {}", got.stderr);
    }
    assert_eq!(sandbox.patina(&["-C", "copy", "get", "late.txt"]).status, 1);
    assert!(sandbox.prints(&["-C", "copy", "verify"]).starts_with("no problems"));
}

#[test]
fn a_checkpoint_goes_nowhere_near_other_files() {
    let sandbox = Sandbox::with_samples();
    sandbox.file("full/diary.txt", b"mine");
    let run = sandbox.patina(&["checkpoint", "full"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("diary.txt") && run.stderr.lines().count() == 1, "{}", run.stderr);
    assert_eq!(fs::read_dir(sandbox.path().join("full")).unwrap().count(), 1);
    assert_eq!(sandbox.patina(&["checkpoint"]).status, 2, "no destination is wrong usage");
}

#[test]
fn compacting_keeps_every_object() {
    let sandbox = Sandbox::with_samples();
    let sizes = json(&sandbox.prints(&["compact", "--json"]));
    assert!(sizes["bytes_after"].as_u64().unwrap() > 0, "{sizes}");
    assert!(sandbox.prints(&["compact"]).contains(" on disk, "));
    let got = sandbox.patina(&["get", "samples/chelsea.png"]);
    assert!(got.stdout == sample("chelsea.png"));
    assert!(sandbox.prints(&["verify"]).starts_with("no problems"));
    let levels = sandbox.prints(&[
        "sql",
        "SELECT keyspace, sum(tables) AS n FROM levels GROUP BY 1",
        "--format",
        "jsonl",
    ]);
    assert!(
        levels.lines().count() > 1 && levels.lines().all(|line| json(line)["n"].as_u64() >= Some(1)),
        "{levels}"
    );
}

#[test]
fn a_whole_database_is_salvaged_whole() {
    let sandbox = Sandbox::with_samples();
    let report = json(&sandbox.prints(&["salvage", "copy", "--json"]));
    assert_eq!(report["whole"].as_bool(), Some(true), "{report}");
    assert!(report["objects"].as_u64().unwrap() >= all_samples().len() as u64, "{report}");
    for (name, bytes) in all_samples() {
        let got = sandbox.patina(&["-C", "copy", "get", &format!("samples/{name}")]);
        assert!(got.status == 0 && got.stdout == bytes, "{name}: {}", got.stderr);
    }
    assert!(sandbox.prints(&["-C", "copy", "verify"]).starts_with("no problems"));
    let again = sandbox.patina(&["salvage", "copy"]);
    assert_eq!(again.status, 1, "it holds something");
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
}

#[test]
fn what_a_lost_manifest_leaves_is_salvaged_with_every_object() {
    let sandbox = Sandbox::with_samples();
    sandbox.prints(&["compact"]);
    fs::remove_file(sandbox.path().join("patina-data/CURRENT")).unwrap();
    let run = sandbox.patina(&["ls"]);
    assert!(run.status == 1 && run.stderr.contains("patina salvage"), "{}", run.stderr);
    let run = sandbox.patina(&["salvage", "copy"]);
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(run.status == 1 && said.contains("CURRENT"), "{said} {}", run.stderr);
    for (name, bytes) in all_samples() {
        let got = sandbox.patina(&["-C", "copy", "get", &format!("samples/{name}")]);
        assert!(got.status == 0 && got.stdout == bytes, "{name}: {}", got.stderr);
    }
}

#[test]
fn objects_whose_bytes_are_lost_are_named_and_the_others_are_there() {
    let sandbox = Sandbox::with_samples();
    sandbox.prints(&["compact"]);
    let path = file(&sandbox, "blob");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let run = sandbox.patina(&["salvage", "copy"]);
    let said = String::from_utf8(run.stdout).unwrap();
    assert_eq!((run.status, run.stderr.as_str()), (1, ""), "{said}");
    let lost: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("lost: ")).collect();
    assert_eq!(lost.len(), 1, "{said}");
    for (name, bytes) in all_samples() {
        let name = format!("samples/{name}");
        let got = sandbox.patina(&["-C", "copy", "get", &name]);
        if lost[0] == name {
            assert!(got.status == 1 && got.stderr.contains("history"), "{}", got.stderr);
            let history = sandbox.prints(&["-C", "copy", "history", &name]);
            assert!(history.contains("salvaged"), "{history}");
        } else {
            assert!(got.status == 0 && got.stdout == bytes, "{name}: {}", got.stderr);
        }
    }
    assert!(sandbox.prints(&["-C", "copy", "verify"]).starts_with("no problems"));
}

/// Flips a bit of what was written last, which is in the newest log.
fn damage_newest_log(sandbox: &Sandbox) {
    let entries =
        fs::read_dir(sandbox.path().join("patina-data")).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")).max().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_damaged_log_is_given_up_only_by_who_says_so() {
    for mode in ["up-to-damage", "skip-damaged"] {
        let sandbox = Sandbox::new();
        for name in ["kept.txt", "last.txt"] {
            sandbox.file(name, name.as_bytes());
            sandbox.prints(&["put", name]);
        }
        damage_newest_log(&sandbox);
        for strict in [&["ls"][..], &["--log-recovery", "strict", "ls"]] {
            let run = sandbox.patina(strict);
            assert_eq!((run.status, run.stderr.lines().count()), (1, 1), "{}", run.stderr);
            for part in [".log is damaged at byte", "patina salvage", "--log-recovery up-to-damage"] {
                assert!(run.stderr.contains(part), "{part:?} is missing in {}", run.stderr);
            }
        }
        // It gives nothing up itself.
        assert_eq!(sandbox.patina(&["verify"]).status, 1);
        let run = sandbox.patina(&["ls", "--log-recovery", mode]);
        assert_eq!(run.status, 0, "{mode}: {}", run.stderr);
        assert!(run.stderr.contains("given up: ") && run.stderr.contains(".log.damaged"), "{}", run.stderr);
        assert_eq!(sandbox.prints(&["get", "kept.txt"]), "kept.txt", "{mode}");
        assert!(file(&sandbox, "damaged").exists());
        assert!(sandbox.prints(&["verify"]).contains("no problems"), "{mode}");
    }
}

#[test]
fn who_opens_nothing_recovers_no_log() {
    let sandbox = Sandbox::with_samples();
    for command in [&["verify"][..], &["salvage", "copy"], &["completions", "bash"], &["demo"]] {
        let run = sandbox.patina(&[&["--log-recovery", "skip-damaged"][..], command].concat());
        assert_eq!(run.status, 2, "{}", run.stderr);
        assert!(run.stderr.contains("--log-recovery is for the commands that open"), "{}", run.stderr);
    }
    let run = sandbox.patina(&["--log-recovery", "lenient", "ls"]);
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(run.stderr.contains("skip-damaged"), "{}", run.stderr);
}
