//! Promise: decay and its budget are set, seen, paused and watched from the command line; nonsense changes nothing.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::Sandbox;

fn budget(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&sandbox.prints(&["budget", "--json"])).unwrap()
}

#[test]
fn a_budget_is_set_seen_kept_and_taken_away() {
    let sandbox = Sandbox::with_samples();
    assert!(sandbox.prints(&["budget"]).contains("no budget is set"));
    let shown = sandbox.prints(&["budget", "2MB"]);
    assert!(shown.contains("of 2.0 MB are used") || shown.contains("are used ("), "{shown}");
    let used = budget(&sandbox)["used"].as_u64().unwrap();
    sandbox.prints(&["budget", &(used / 2).to_string()]);
    let status = sandbox.prints(&["status"]);
    assert!(status.contains("budget: "), "{status}");
    let ticked = sandbox.prints(&["tick"]);
    assert!(ticked.contains("budget: "), "{ticked}");
    let after = budget(&sandbox);
    assert!(after["used"].as_u64().unwrap() <= used / 2, "{after}");
    assert_eq!(after["excess_bytes"], 0);
    let reasons = sandbox.prints(&["history", "--json"]);
    assert!(reasons.lines().any(|line| line.contains("\"reason\":\"budget\"")));

    sandbox.prints(&["budget", "1", "--refuse-writes"]);
    sandbox.file("more.txt", b"The lighthouse warns ships.");
    let refused = sandbox.patina(&["put", "more.txt"]);
    assert!(refused.status == 1 && refused.stderr.contains("budget"), "{}", refused.stderr);
    sandbox.prints(&["tick"]);
    assert!(sandbox.prints(&["budget"]).contains("cannot go"));
    sandbox.prints(&["budget", "none"]);
    sandbox.prints(&["put", "more.txt"]);
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"The lighthouse warns ships.");
    sandbox.prints(&["put", "a.txt"]);
    for (arguments, status) in [
        (&["budget", "much"][..], 2),
        (&["budget", "0"], 1),
        (&["budget", "none"], 1),
        (&["budget", "--refuse-writes"], 2),
        (&["set", "a.txt"], 2),
        (&["set", "a.txt", "--rate", "0"], 1),
        (&["set", "a.txt", "--rate", "NaN"], 1),
        (&["set", "a.txt", "--policy", "nope"], 1),
        (&["set", "nothing", "--rate", "2"], 1),
        (&["tick", "--now", "1999-01-01"], 2),
        (&["tick", "--now", "99999-01-01"], 2),
        (&["tick", "--now", "+90000y"], 2),
        (&["tick", "--watch", "--busy-share", "0"], 1),
        (&["tick", "--pause", "--resume"], 2),
        (&["forecast", "0d"], 2),
        (&["forecast", "10000years"], 1),
        (&["restore", "a.txt"], 1),
        (&["release", "a.txt"], 1),
        (&["purge", "nothing"], 1),
    ] {
        let run = sandbox.patina(arguments);
        assert_eq!(run.status, status, "{arguments:?}: {}", run.stderr);
        assert!(!run.stderr.is_empty(), "{arguments:?} says why");
    }
    let object = &sandbox.objects()[0];
    assert_eq!(
        (object["stage"].as_u64(), object["rate"].as_f64(), object["policy"].as_str()),
        (Some(0), Some(1.0), Some("text"))
    );
    // The last day of the calendar is a time like others: what is due by then moves, and later ticks begin there.
    sandbox.prints(&["tick", "--now", "9999-12-30"]);
    assert_eq!(sandbox.objects()[0]["stage"], 3);
    assert_eq!(sandbox.patina(&["tick", "--now", "+1h"]).status, 0);
    assert_eq!(sandbox.patina(&["tick", "--now", "+1d"]).status, 2);
}

#[test]
fn policy_rate_and_keeping_are_set_by_name() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"The lighthouse warns ships.");
    sandbox.prints(&["put", "a.txt"]);
    let done = sandbox.prints(&["set", "a.txt", "--policy", "log", "--rate", "2", "--keep-original", "true"]);
    assert_eq!(done, "a.txt: follows log, ages at rate 2, its original will be kept\n");
    let object = &sandbox.objects()[0];
    assert_eq!((object["policy"].as_str(), object["rate"].as_f64()), (Some("log"), Some(2.0)));
    assert_eq!(object["keep_original"], true);
}

#[test]
fn decay_is_paused_and_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"The lighthouse warns ships.");
    sandbox.prints(&["put", "a.txt"]);
    sandbox.prints(&["tick", "--pause"]);
    assert!(sandbox.prints(&["status"]).contains("decay is paused"));
    sandbox.prints(&["tick", "--resume"]);
    assert!(!sandbox.prints(&["status"]).contains("decay is paused"));
}

#[cfg(unix)]
#[test]
fn a_watch_keeps_the_budget_by_itself_and_ctrl_c_ends_it_well() {
    use std::io::{BufRead, BufReader};
    use std::process::Command;

    let sandbox = Sandbox::with_samples();
    let used = {
        sandbox.prints(&["budget", "1GB"]);
        budget(&sandbox)["used"].as_u64().unwrap()
    };
    sandbox.prints(&["budget", &(used / 2).to_string()]);
    let mut command = sandbox.command(&["tick", "--watch", "--every", "1s", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    assert!(report["moved"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["budgets"][0]["short_by_bytes"], 0);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    for _ in 0..200 {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("Ctrl-C did not end it");
}
