//! Promise: everything that can be done to an object can be done by its name on the command line, and is undone the same way.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Run, Sandbox, samples};

fn stat(sandbox: &Sandbox, name: &str) -> Value {
    serde_json::from_str(&sandbox.prints(&["stat", "--json", name])).unwrap()
}

fn with_two_texts() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"The lighthouse warns ships.");
    sandbox.file("b.txt", b"Copper turns green.");
    sandbox.prints(&["put", "a.txt", "b.txt"]);
    sandbox
}

fn refused(run: &Run, says: &str) {
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("patina: ") && run.stderr.contains(says), "{}", run.stderr);
}

#[test]
fn an_original_that_is_kept_comes_back() {
    let sandbox = Sandbox::new();
    let picture = samples().join("chelsea.png");
    let picture = picture.to_str().unwrap();
    sandbox.prints(&["put", picture, "--name", "kept.png", "--keep-original"]);
    sandbox.prints(&["put", picture, "--name", "plain.png"]);
    sandbox.prints(&["tick", "--force"]);
    let kept = stat(&sandbox, "kept.png");
    assert_eq!((kept["stage"].as_u64(), kept["original_kept"].as_bool()), (Some(1), Some(true)));
    assert!(sandbox.prints(&["stat", "kept.png"]).contains("kept until "));
    let restored = sandbox.prints(&["restore", "kept.png"]);
    assert!(restored.starts_with("kept.png: restored: image/png"), "{restored}");
    assert_eq!(stat(&sandbox, "kept.png")["stage"], 0);
    assert!(sandbox.patina(&["get", "kept.png"]).stdout == fs::read(picture).unwrap());
    let run = sandbox.patina(&["restore", "plain.png"]);
    refused(&run, "its warm form");
    assert_eq!(run.stderr.lines().count(), 1);
    refused(&sandbox.patina(&["restore", "kept.png"]), "nothing to restore");
}

#[test]
fn a_hold_protects_until_it_is_released() {
    let sandbox = with_two_texts();
    let held = sandbox.prints(&["hold", "a.txt", "b.txt", "--reason", "case 17"]);
    assert_eq!(held, "a.txt: held by hold 1\nb.txt: held by hold 1\n");
    sandbox.prints(&["hold", "a.txt", "--reason", "audit", "--until", "+90d"]);
    for command in ["rm", "purge"] {
        refused(&sandbox.patina(&[command, "a.txt"]), "case 17");
    }
    sandbox.prints(&["release", "a.txt", "--id", "1"]);
    refused(&sandbox.patina(&["release", "a.txt", "--id", "1"]), "no hold 1");
    refused(&sandbox.patina(&["rm", "a.txt"]), "audit");
    assert_eq!(sandbox.prints(&["release", "a.txt"]), "a.txt: 1 hold released\n");
    sandbox.prints(&["purge", "a.txt"]);
    assert_eq!(stat(&sandbox, "a.txt")["stage"], 4);
    assert_eq!(sandbox.patina(&["hold", "a.txt", "--reason", "late", "--until", "2001-01-01"]).status, 1);
    assert_eq!(sandbox.patina(&["hold", "a.txt"]).status, 2, "a hold needs a reason");
}

#[test]
fn pin_unpin_touch_and_mv() {
    let sandbox = with_two_texts();
    sandbox.prints(&["pin", "a.txt"]);
    sandbox.prints(&["tick", "--force"]);
    assert_eq!([0, 1].map(|n| sandbox.objects()[n]["stage"].as_u64()), [Some(0), Some(1)]);
    sandbox.prints(&["unpin", "a.txt"]);
    sandbox.prints(&["touch", "a.txt"]);
    sandbox.prints(&["mv", "a.txt", "texts/a.txt"]);
    assert_eq!(sandbox.names(), ["b.txt", "texts/a.txt"]);
    refused(&sandbox.patina(&["mv", "b.txt", "texts/a.txt"]), "already");
    assert_eq!(sandbox.patina(&["mv", "b.txt", "b.txt"]).status, 2);
}

#[test]
fn one_name_that_is_wrong_does_not_stop_the_others() {
    let sandbox = with_two_texts();
    let run = sandbox.patina(&["rm", "a.txt", "nothing.txt", "b.txt"]);
    refused(&run, "nothing.txt");
    assert_eq!(String::from_utf8(run.stdout).unwrap().lines().count(), 2);
    assert!(sandbox.names().is_empty());
}

#[test]
fn history_outlives_the_object_and_verifies() {
    let sandbox = with_two_texts();
    sandbox.prints(&["rm", "a.txt"]);
    let history = sandbox.prints(&["history", "a.txt"]);
    assert!(history.lines().count() == 2 && history.contains("delete"), "{history}");
    let all = sandbox.prints(&["history", "--json"]);
    let reasons: Vec<Value> =
        all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["reason"].clone()).collect();
    assert_eq!(reasons, ["put", "put", "delete"]);
    assert!(sandbox.prints(&["history", "--verify"]).contains("3 rows"));
    refused(&sandbox.patina(&["history", "c.txt"]), "never was");
}

#[test]
fn export_writes_what_matches_and_nothing_outside() {
    let sandbox = with_two_texts();
    sandbox.file("deep.txt", b"deep");
    for name in ["notes/x/deep.txt", "../outside.txt", "gone.txt"] {
        sandbox.prints(&["put", "deep.txt", "--name", name]);
    }
    sandbox.prints(&["purge", "gone.txt"]);
    let run = sandbox.patina(&["export", "**", "out"]);
    refused(&run, "../outside.txt");
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(said.starts_with("3 files") && said.contains("1 object purged"), "{said}");
    assert_eq!(fs::read(sandbox.path().join("out/notes/x/deep.txt")).unwrap(), b"deep");
    assert!(!sandbox.path().join("outside.txt").exists());
    refused(&sandbox.patina(&["export", "a.txt", "out"]), "--overwrite");
    sandbox.file("out/a.txt", b"old");
    sandbox.prints(&["export", "a.txt", "out", "--overwrite"]);
    assert_eq!(fs::read(sandbox.path().join("out/a.txt")).unwrap(), b"The lighthouse warns ships.");
    refused(&sandbox.patina(&["export", "z*", "out"]), "no object");
    let accessed = |sandbox: &Sandbox| sandbox.objects()[1]["effective_at"].clone();
    let before = accessed(&sandbox);
    sandbox
        .prints(&["export", "**", "again", "--overwrite"].map(|word| if word == "**" { "a*" } else { word }));
    assert_eq!(accessed(&sandbox), before, "an export is no access");
}

#[test]
fn policies_are_listed_shown_set_and_dropped() {
    let sandbox = Sandbox::new();
    let set = ["policy", "set", "camera", "applies_to=image", "name_glob=camera/**", "warm_after=7 days"];
    sandbox.prints(&set);
    sandbox.prints(&[
        "policy",
        "set",
        "camera",
        "keep_original=true",
        "restore_window=90 days",
        "cold_side_px=800",
    ]);
    let shown: Value =
        serde_json::from_str(&sandbox.prints(&["policy", "show", "camera", "--json"])).unwrap();
    assert_eq!(
        (shown["warm_after"].as_str(), shown["restore_window"].as_str()),
        (Some("7 days"), Some("90 days"))
    );
    assert_eq!((shown["cold_side_px"].as_u64(), shown["name_glob"].as_str()), (Some(800), Some("camera/**")));
    assert!(sandbox.prints(&["policy", "show", "camera"]).contains("restore_window         90 days"));
    assert!(sandbox.prints(&["policy", "list"]).contains("camera"));
    refused(&sandbox.patina(&["policy", "set", "camera", "restore_window=0"]), "restore_window");
    refused(&sandbox.patina(&["policy", "set", "camera", "half_life=-3"]), "half_life");
    refused(&sandbox.patina(&["policy", "drop", "image"]), "built in");
    sandbox.prints(&["policy", "drop", "camera"]);
    refused(&sandbox.patina(&["policy", "show", "camera"]), "there is no policy");
    assert_eq!(sandbox.patina(&["policy", "set", "camera", "warm_after"]).status, 2);
}

#[test]
fn completions_name_every_command() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.prints(&["completions", shell]);
        for command in ["restore", "policy", "completions", "status"] {
            assert!(script.contains(command), "{command} is missing for {shell}");
        }
    }
    assert_eq!(sandbox.patina(&["completions", "nosuch"]).status, 2);
}
