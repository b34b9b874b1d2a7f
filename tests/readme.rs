//! Promise: every command in the README works.
//!
//! The `sh` blocks run line by line in one folder that holds the README and the samples, with the built `patina` on
//! the path. A cargo or docker command is mapped to what it would run, so that the tests need neither network nor
//! a daemon; the `rust` block is a doctest of the library, the `sql` block runs as one text.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::sandbox::{Run, Sandbox, all_samples};

const README: &str = include_str!("../README.md");

/// The lines of all fenced blocks of a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut open: Option<&str> = None;
    for line in README.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(fence), None) => open = Some(fence),
            (Some(_), Some(_)) => open = None,
            (None, Some(fence)) if fence == language => found.push(line),
            (None, _) => {}
        }
    }
    assert_eq!(open, None, "a fence is left open");
    found
}

/// What a line of the README runs here; `None` for what was checked in another way.
fn runnable(line: &str) -> Option<String> {
    if let Some(arguments) = line.strip_prefix("cargo run --release -- ") {
        return Some(format!("patina {arguments}"));
    }
    if line.starts_with("cargo ") {
        let checks = include_str!("../.ci/run");
        assert!(checks.lines().any(|check| check.starts_with(line)), ".ci/run does not run `{line}`");
        return None;
    }
    if let Some(arguments) = line.strip_prefix("docker run ") {
        return Some(in_container(arguments));
    }
    if line.starts_with("docker ") {
        assert_eq!(line, "docker build -t patina .");
        return None;
    }
    Some(line.to_owned())
}

/// What `docker run` starts: the image's entry point with what follows the image's name.
fn in_container(arguments: &str) -> String {
    let dockerfile = include_str!("../Dockerfile");
    assert!(dockerfile.contains("ENTRYPOINT [\"/usr/local/bin/patina\"]"));
    assert!(dockerfile.contains("\nUSER patina\n"), "it does not run as root");
    assert!(dockerfile.contains("ENV PATINA_DIR=/data") && dockerfile.contains("VOLUME [\"/data\"]"));
    let (options, command) = arguments.rsplit_once(" patina").expect("the image is called patina");
    assert!(options.contains("--rm -v patina:/data"), "{options}");
    format!("patina -C container{command}")
}

fn shell(sandbox: &Sandbox, line: &str) -> Run {
    let folder = Path::new(env!("CARGO_BIN_EXE_patina")).parent().unwrap();
    let path = env::join_paths(
        [folder.to_owned()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())),
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .current_dir(sandbox.path())
        .env("PATH", path.unwrap())
        .env_remove("PATINA_DIR");
    Run::of(command.stdin(std::process::Stdio::null()).output().unwrap())
}

fn sandbox_like_a_clone() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("README.md", README.as_bytes());
    for (name, bytes) in all_samples() {
        sandbox.file(&format!("samples/{name}"), &bytes);
    }
    sandbox
}

#[test]
fn every_shell_command_works() {
    let sandbox = sandbox_like_a_clone();
    let lines = blocks("sh");
    assert!(lines.iter().filter(|line| line.starts_with("patina ")).count() > 10, "the tour was read");
    // What runs in a container finds a database of its own, as the volume would be.
    sandbox.prints(&["-C", "container", "put", "README.md"]);
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        let Some(command) = runnable(line) else { continue };
        let run = shell(&sandbox, &command);
        assert_eq!(run.status, 0, "`{line}`: {}", run.stderr);
    }
    assert!(fs::metadata(sandbox.path().join("patina-demo")).unwrap().is_dir());
}

#[test]
fn every_sql_statement_works() {
    let sandbox = sandbox_like_a_clone();
    sandbox.prints(&["import", "samples"]);
    let text = blocks("sql").join("\n");
    assert!(text.matches(';').count() >= 8, "the statements were read");
    sandbox.file("readme.sql", text.as_bytes());
    sandbox.prints(&["sql", "-f", "readme.sql"]);
}

#[test]
fn the_two_commands_are_there() {
    let lines = blocks("sh");
    assert_eq!(lines[..2], ["cargo run --release -- demo", "cargo test --workspace"]);
}

/// Links of a page, without those into the web and to its own headings.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.filter_map(|target| target.split('#').next());
    targets.filter(|target| !target.is_empty() && !target.starts_with("http"))
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    for page in pages.chain([root.join("README.md"), root.join("samples/README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            assert!(page.parent().unwrap().join(link).exists(), "{} links to {link}", page.display());
        }
    }
}
