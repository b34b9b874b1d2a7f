//! Promise: every public item of this crate has an example, which the tests run. Those of a trait's methods are in the trait's.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line begins an item that others may use; what is `pub(crate)` or re-exported does not.
fn is_public(line: &str) -> bool {
    let kinds = ["const", "enum", "fn", "static", "struct", "trait", "type"];
    let kind = line.trim_start().strip_prefix("pub ").and_then(|rest| rest.split(' ').next());
    kind.is_some_and(|kind| kinds.contains(&kind))
}

/// The lines that begin an item whose comment has no example.
fn without_example(source: &str) -> Vec<&str> {
    let mut has_example = false;
    let mut found = Vec::new();
    for line in source.lines() {
        let start = line.trim_start();
        if start.starts_with("///") || start.starts_with("#[") {
            has_example |= start.contains("```");
            continue;
        }
        if is_public(line) && !has_example {
            found.push(start);
        }
        has_example = false;
    }
    found
}

#[test]
fn every_public_item_has_an_example() {
    let mut paths = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut paths);
    assert!(paths.len() > 30, "{paths:?}");
    let missing: Vec<String> = paths
        .iter()
        .flat_map(|path| {
            let source = fs::read_to_string(path).unwrap();
            let items = without_example(&source).into_iter();
            items.map(|item| format!("{}: {item}", path.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(missing.is_empty(), "no example:\n{}", missing.join("\n"));
}

#[test]
fn what_has_none_is_noticed() {
    let source = "/// Text.\n///\n/// ```\n/// a();\n/// ```\n#[inline]\npub fn a() {}\n\n/// Text.\npub struct B;\npub(crate) fn c() {}\n";
    assert_eq!(without_example(source), ["pub struct B;"]);
}
