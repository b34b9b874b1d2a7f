//! Promise: dependencies point one way, and the engine stays lean.
//!
//! Reads cargo's own view of the workspace, so a line in a manifest is enough to fail this.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate, and which crates of the workspace it may depend on. Its tests may use every crate above its row.
const MAY_DEPEND_ON: [(&str, &[&str]); 6] = [
    ("patina-storage", &[]),
    ("patina-codecs", &[]),
    ("patina-objects", &["patina-storage", "patina-codecs"]),
    ("patina-query", &["patina-objects", "patina-storage"]),
    ("patina-repl", &["patina-query"]),
    ("patinadb", &["patina-storage", "patina-codecs", "patina-objects", "patina-query", "patina-repl"]),
];

/// What would make the engine heavy: pictures, SQL, HTTP, async runtimes, terminals, command lines.
const NOT_IN_STORAGE: [&str; 19] = [
    "image",
    "jpeg-decoder",
    "jpeg-encoder",
    "fast_image_resize",
    "rusqlite",
    "libsqlite3-sys",
    "sqlparser",
    "tokio",
    "async-std",
    "futures",
    "smol",
    "hyper",
    "axum",
    "http",
    "reqwest",
    "rustyline",
    "clap",
    "serde_json",
    "jiff",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a crate's manifest names.
#[derive(Default)]
struct Manifest {
    dependencies: Vec<String>,
    for_tests: Vec<String>,
}

fn workspace() -> BTreeMap<String, Manifest> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let mut manifest = Manifest::default();
            for dependency in package["dependencies"].as_array().unwrap() {
                let list = if dependency["kind"] == "dev" {
                    &mut manifest.for_tests
                } else {
                    &mut manifest.dependencies
                };
                list.push(text(&dependency["name"]));
            }
            (text(&package["name"]), manifest)
        })
        .collect()
}

/// Everything linked into `package`, whatever its features.
fn closure(package: &str) -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--package",
        package,
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--all-features",
    ]);
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn dependencies_point_down_the_table() {
    let workspace = workspace();
    let members: BTreeSet<&str> = workspace.keys().map(String::as_str).collect();
    let listed: BTreeSet<&str> = MAY_DEPEND_ON.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, listed, "every crate has its row");
    for (row, (name, allowed)) in MAY_DEPEND_ON.iter().enumerate() {
        let manifest = &workspace[*name];
        let own =
            |names: &[String]| names.iter().filter(|name| members.contains(name.as_str())).cloned().collect();
        let (dependencies, for_tests): (Vec<String>, Vec<String>) =
            (own(&manifest.dependencies), own(&manifest.for_tests));
        for dependency in dependencies {
            assert!(allowed.contains(&dependency.as_str()), "{name} may not use {dependency}");
        }
        let above: Vec<&str> = MAY_DEPEND_ON[..row].iter().map(|(name, _)| *name).collect();
        for dependency in for_tests {
            assert!(above.contains(&dependency.as_str()), "the tests of {name} may not use {dependency}");
        }
    }
}

#[test]
fn the_engine_links_no_image_sql_http_or_async_crate() {
    let linked = closure("patina-storage");
    assert!(linked.contains("zstd"), "the closure was read: {linked:?}");
    for banned in NOT_IN_STORAGE {
        assert!(!linked.contains(banned), "patina-storage links {banned}");
    }
}

#[test]
fn codecs_are_pure() {
    let linked = closure("patina-codecs");
    assert!(linked.contains("jpeg-decoder"), "the closure was read: {linked:?}");
    for banned in ["patina-storage", "tokio", "rusqlite", "rustyline", "clap", "tempfile", "walkdir"] {
        assert!(!linked.contains(banned), "patina-codecs links {banned}");
    }
}

#[test]
fn the_library_alone_carries_no_terminal_and_no_command_line() {
    let tree = cargo(&[
        "tree",
        "--package",
        "patinadb",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--no-default-features",
    ]);
    for banned in ["clap", "rustyline", "patina-repl", "indicatif", "image"] {
        let is_linked = tree.lines().any(|line| line.split_whitespace().next() == Some(banned));
        assert!(!is_linked, "patinadb without default features links {banned}");
    }
}
