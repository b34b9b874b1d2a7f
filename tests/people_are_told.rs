//! Promise: what is printed fits the window and is said in words, what cannot work is refused with what to write instead,
//! and whatever `--json` prints is JSON.

use serde_json::Value;

use crate::sandbox::{Run, Sandbox};

fn with_a_text() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("notes/a.txt", b"The lighthouse warns ships.");
    sandbox.prints(&["put", "notes/a.txt"]);
    sandbox
}

/// One line on stderr with all of this, and nothing on stdout.
fn assert_refused(run: &Run, status: i32, says: &[&str]) {
    assert_eq!(run.status, status, "{}", run.stderr);
    assert!(run.stdout.is_empty());
    assert!(run.stderr.lines().count() == 1 || status == 2, "{}", run.stderr);
    for part in says {
        assert!(run.stderr.contains(part), "{part:?} is missing in {}", run.stderr);
    }
}

#[test]
fn all_json_is_json() {
    let sandbox = with_a_text();
    for arguments in [
        &["ls", "--json"][..],
        &["stat", "notes/a.txt", "--json"],
        &["history", "--json"],
        &["history", "notes/a.txt", "--json"],
        &["tick", "--dry-run", "--force", "--json"],
        &["tick", "--json"],
        &["tick", "--pause", "--json"],
        &["tick", "--resume", "--json"],
        &["budget", "5MB", "--json"],
        &["budget", "--json"],
        &["forecast", "--json"],
        &["policy", "list", "--json"],
        &["policy", "show", "text", "--json"],
        &["status", "--json"],
        &["verify", "--json"],
        &["checkpoint", "copy", "--json"],
        &["salvage", "saved", "--json"],
        &["compact", "--json"],
        &["sql", "SELECT FROM objects", "--format", "json"],
        &["sql", "SELECT FROM objects", "--format", "jsonl"],
    ] {
        let text = sandbox.prints(arguments);
        let values: Result<Vec<Value>, _> =
            serde_json::Deserializer::from_str(&text).into_iter::<Value>().collect();
        let values = values.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"));
        assert!(!values.is_empty(), "{arguments:?} printed nothing");
        assert!(values.iter().all(|value| value.is_object() || value.is_array()), "{arguments:?}: {text}");
    }
}

#[test]
fn a_policy_is_shown_as_it_would_be_set() {
    let sandbox = with_a_text();
    let shown = sandbox.prints(&["policy", "show", "text"]);
    for line in
        ["purge_after            never", "keep_original          false", "name_glob              null"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} is missing in {shown}");
    }
    let settings: Vec<String> = shown
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .filter(|(name, _)| !["name", "built_in", "version"].contains(name))
        .map(|(name, value)| format!("{name}={}", value.trim()))
        .collect();
    let set = [&["policy", "set", "copy"], &settings.iter().map(String::as_str).collect::<Vec<_>>()[..]];
    sandbox.prints(&set.concat());
    let copy = sandbox.prints(&["policy", "show", "copy"]);
    let same = |text: &str| text.lines().skip(1).take(settings.len()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(same(&copy), same(&shown));
    let list = sandbox.prints(&["policy", "list"]);
    assert!(list.contains("never") && list.contains("copy"), "{list}");
}

#[test]
fn a_wrong_setting_is_said_without_a_statement_that_nobody_typed() {
    let sandbox = with_a_text();
    for (setting, says) in [("warm_afte=7 days", "warm_after"), ("warm_after=7 dayz", "'7 days'")] {
        let run = sandbox.patina(&["policy", "set", "mine", setting]);
        assert_refused(&run, 1, &[says]);
        assert!(!run.stderr.contains("CREATE"), "{}", run.stderr);
    }
}

#[test]
fn a_hold_has_a_reason() {
    let sandbox = with_a_text();
    for arguments in [
        &["hold", "notes/a.txt", "--reason", ""][..],
        &["hold", "notes/a.txt", "--reason", " "],
        &["put", "notes/a.txt", "--name", "b", "--hold", ""],
    ] {
        assert_refused(&sandbox.patina(arguments), 1, &["needs a reason"]);
    }
    assert_eq!(sandbox.names(), ["notes/a.txt"]);
    assert_eq!(sandbox.objects()[0]["held"], false);
}

#[test]
fn a_reason_cannot_drive_the_terminal() {
    let sandbox = with_a_text();
    sandbox.prints(&["hold", "notes/a.txt", "--reason", "\x1b[2Jgone\nfaked line"]);
    for arguments in [&["history"][..], &["stat", "notes/a.txt"]] {
        let shown = sandbox.prints(arguments);
        assert!(!shown.contains('\x1b') && !shown.contains("\nfaked"), "{shown:?}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_named_and_no_temporary_file_is() {
    let sandbox = with_a_text();
    let run = sandbox.patina(&["get", "notes/a.txt", "-o", "no/such/out.txt"]);
    assert_refused(&run, 1, &["there is no folder no/such", "make it"]);
    assert!(!run.stderr.contains(".patina-"), "{}", run.stderr);
}

#[test]
fn who_matches_nothing_is_told_why() {
    let sandbox = with_a_text();
    assert_refused(&sandbox.patina(&["ls", "*"]), 0, &["`**` does not"]);
    assert_refused(&sandbox.patina(&["ls", "x"]), 0, &["no object is named like x"]);
    assert_refused(&sandbox.patina(&["export", "*.txt", "out"]), 1, &["`**` does not"]);
    let run = sandbox.patina(&["ls", "x", "--json"]);
    assert!(run.stdout.is_empty() && run.stderr.is_empty());
}

#[test]
fn numbers_and_periods_that_make_no_sense_are_refused_with_what_to_write() {
    let sandbox = with_a_text();
    for (arguments, says) in [
        (&["tick", "--watch", "--every", "soon"][..], "60s or 5m"),
        (&["tick", "--watch", "--every", "0s"], "60s or 5m"),
        (&["tick", "--bytes-per-hour", "lots"], "500MB or 10GiB"),
        (&["budget", "-5"], "write 1000000, 10GiB or none"),
    ] {
        assert_refused(&sandbox.patina(arguments), 2, &[says]);
    }
    for arguments in [&["set", "notes/a.txt", "--rate", "-1"][..], &["put", "notes/a.txt", "--rate", "-1"]] {
        assert_refused(&sandbox.patina(arguments), 1, &["0.1 to 10", "-1"]);
    }
}

#[test]
fn a_pause_and_a_tick_ahead_say_what_follows_from_them() {
    let sandbox = with_a_text();
    assert!(sandbox.prints(&["tick", "--pause"]).contains("decay is paused"));
    assert!(sandbox.prints(&["tick", "--resume"]).contains("not paused"));
    assert!(sandbox.patina(&["tick", "--dry-run", "--now", "+2d"]).stderr.is_empty());
    let ahead = sandbox.patina(&["tick", "--now", "+2d"]);
    assert!(ahead.stderr.contains("clock stands at"), "{}", ahead.stderr);
}

/// What a command prints in a window of this width.
#[cfg(target_os = "linux")]
fn in_a_window(sandbox: &Sandbox, columns: u16, arguments: &str) -> Vec<String> {
    let patina = sandbox.command(&[]);
    let line = format!("stty cols {columns} rows 40; {} {arguments}", patina.get_program().to_str().unwrap());
    let mut window = std::process::Command::new("script");
    window.args(["-qec", &line, "/dev/null"]).current_dir(sandbox.path()).stdin(std::process::Stdio::null());
    let shown = String::from_utf8(window.output().unwrap().stdout).unwrap();
    let mut lines = Vec::new();
    for line in shown.lines() {
        // Without the sequences that colour it.
        let mut parts = line.split('\x1b');
        let mut text = parts.next().unwrap_or_default().to_owned();
        parts.for_each(|part| text.push_str(part.split_once('m').map_or("", |(_, rest)| rest)));
        lines.push(text.trim_end().to_owned());
    }
    lines
}

#[test]
#[cfg(target_os = "linux")]
fn tables_and_help_fit_the_window() {
    let sandbox = Sandbox::with_samples();
    for columns in [80, 120] {
        for arguments in
            ["sql 'SELECT FROM objects'", "policy list", "stat samples/rocket.jpg", "--help", "tick --help"]
        {
            let lines = in_a_window(&sandbox, columns, arguments);
            assert!(lines.len() > 10, "{arguments}: {lines:?}");
            let history = lines.iter().position(|line| line == "history").unwrap_or(lines.len());
            for line in &lines[..history] {
                assert!(line.chars().count() <= columns.into(), "{arguments} at {columns}: {line:?}");
            }
        }
    }
}
