use super::*;
use std::time::Duration;

fn target<'a>(name: &'a str, kind: Kind, size_bytes: u64) -> Target<'a> {
    Target { tenant: "default", name, kind, size_bytes }
}

fn globbed(name: &str, glob: &str) -> Policy {
    Policy {
        applies_to: AppliesTo { name_glob: Some(glob.into()), ..Default::default() },
        ..Policy::new(name)
    }
}

#[test]
fn every_builtin_is_valid_and_never_purges() {
    let set = PolicySet::builtins();
    assert_eq!(set.iter().count(), Kind::ALL.len());
    for policy in set.iter() {
        policy.validate().unwrap();
        assert!(policy.purge_after.is_none() && policy.is_builtin());
    }
}

#[test]
fn every_problem_is_listed() {
    let policy = Policy {
        warm_after: Some(days(10)),
        cold_after: Some(days(10)),
        trace_after: Some(days(5)),
        forget_after: Some(days(1)),
        half_life: Duration::ZERO,
        scan_weight: 1.5,
        weight: f64::INFINITY,
        fidelity_floor: f64::NAN,
        grace: days(365_001),
        keep_original: true,
        restore_window: Duration::ZERO,
        applies_to: AppliesTo {
            name_glob: Some("a[".into()),
            size_min_bytes: Some(2),
            size_max_bytes: Some(1),
            ..Default::default()
        },
        ..Policy::new("")
    };
    let message = policy.validate().unwrap_err().to_string();
    for part in [
        "name must have",
        "cold_after must be longer than warm_after",
        "trace_after must be longer than cold_after",
        "forget_after needs purge_after",
        "half_life must be",
        "scan_weight",
        "weight must be above",
        "fidelity_floor",
        "grace must be at most",
        "keep_original",
        "'a['",
        "size_min_bytes",
    ] {
        assert!(message.contains(part), "{part} is missing from: {message}");
    }
}

#[test]
fn a_left_out_stage_does_not_hide_falling_durations() {
    let policy = Policy { cold_after: None, trace_after: Some(days(1)), ..Policy::new("p") };
    assert!(
        policy.validate().unwrap_err().to_string().contains("trace_after must be longer than warm_after")
    );
}

#[test]
fn the_most_specific_policy_wins() {
    let mut set = PolicySet::builtins();
    set.insert(globbed("photos", "photos/**"));
    set.insert(globbed("raw photos", "photos/raw/**"));
    set.insert(Policy {
        applies_to: AppliesTo {
            kinds: vec![Kind::Image],
            size_min_bytes: Some(1 << 20),
            ..Default::default()
        },
        ..Policy::new("big images")
    });
    set.insert(Policy::new("explicit only"));
    let choose = |name, kind, size| set.choose(target(name, kind, size)).name.clone();
    assert_eq!(choose("a.jpg", Kind::Image, 10), "image");
    assert_eq!(choose("a.jpg", Kind::Image, 2 << 20), "big images");
    assert_eq!(choose("photos/a.jpg", Kind::Image, 2 << 20), "photos");
    assert_eq!(choose("photos/raw/x/a.jpg", Kind::Image, 1), "raw photos");
    assert_eq!(choose("a.txt", Kind::Text, 2 << 20), "text");
}

#[test]
fn a_tenants_policy_leaves_other_tenants_alone() {
    let mut set = PolicySet::builtins();
    set.insert(Policy {
        tenant: Some("acme".into()),
        applies_to: AppliesTo::kind(Kind::Log),
        ..Policy::new("acme logs")
    });
    assert_eq!(set.choose(target("a.log", Kind::Log, 1)).name, "log");
    assert_eq!(set.choose(Target { tenant: "acme", ..target("a.log", Kind::Log, 1) }).name, "acme logs");
}

#[test]
fn objects_of_a_dropped_policy_follow_their_type() {
    let mut set = PolicySet::builtins();
    set.insert(globbed("gone", "x/*"));
    set.remove("gone");
    assert_eq!(set.of("gone", Kind::Audio).name, "audio");
    assert!(set.named("gone").unwrap_err().to_string().contains("audio"));
}
