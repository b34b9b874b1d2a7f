//! Promise: everything linked into `patina` may be shipped under PatinaDB's own licences.
//!
//! The list of licences is the one of `deny.toml`.

use std::collections::BTreeSet;
use std::process::Command;

fn allowed() -> Vec<&'static str> {
    let text = include_str!("../deny.toml");
    let start = text.find("allow = [").unwrap();
    let list = text.get(start..).unwrap().split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether an SPDX expression of `OR`, `AND`, `WITH` and brackets can be met by the allowed licences.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some(inner) = expression.strip_prefix('(') {
        let (inner, rest) = inner.split_once(')').unwrap();
        let inner = is_allowed(inner, allowed);
        return match rest.trim().split_once(' ') {
            None => inner,
            Some(("AND", rest)) => inner && is_allowed(rest, allowed),
            Some(("OR", rest)) => inner || is_allowed(rest, allowed),
            Some(other) => panic!("{other:?} in {expression}"),
        };
    }
    expression
        .split(" OR ")
        .any(|either| either.split(" AND ").all(|licence| allowed.contains(&licence.trim())))
}

#[test]
fn every_linked_crate_has_an_allowed_licence() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--package", "patinadb", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let allowed = allowed();
    let mut seen = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|').unwrap();
        assert!(is_allowed(licence, &allowed), "{package}: {licence} is not in deny.toml");
        seen += 1;
    }
    assert!(seen > 50, "only {seen} crates were read");
}

#[test]
fn every_direct_dependency_is_explained() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let used: BTreeSet<&str> = packages
        .flat_map(|package| package["dependencies"].as_array().unwrap())
        .map(|dependency| dependency["name"].as_str().unwrap())
        .filter(|name| !name.starts_with("patina"))
        .collect();
    let page = include_str!("../docs/dependencies.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let explained: BTreeSet<&str> = rows.filter(|name| *name != "crate").collect();
    assert_eq!(used, explained, "left: used, right: explained in docs/dependencies.md");
}

#[test]
fn expressions_are_understood() {
    let allowed = ["MIT", "IJG"];
    assert!(is_allowed("MIT OR GPL-3.0", &allowed));
    assert!(is_allowed("GPL-3.0/MIT", &allowed));
    assert!(is_allowed("(GPL-3.0 OR MIT) AND IJG", &allowed));
    assert!(!is_allowed("(GPL-3.0 OR MIT) AND AGPL-3.0", &allowed));
    assert!(!is_allowed("MIT AND GPL-3.0", &allowed));
    assert!(!is_allowed("LGPL-3.0", &allowed));
}

#[test]
fn both_licence_texts_are_there() {
    assert!(include_str!("../LICENSE-MIT").starts_with("MIT License"));
    assert!(include_str!("../LICENSE-APACHE").contains("END OF TERMS AND CONDITIONS"));
}
