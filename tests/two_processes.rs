//! Promise: a database is open in one process at a time; the second is told so, and neither loses anything.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use patinadb::Patina;

use crate::sandbox::Sandbox;

/// A `patina repl` that has the database open and waits for statements.
fn holding_it_open(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["repl"]);
    let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    holder.stdin.as_mut().unwrap().write_all(b"SELECT 'it is open';\n").unwrap();
    holder.stdin.as_mut().unwrap().flush().unwrap();
    let mut answer = BufReader::new(holder.stdout.as_mut().unwrap());
    let mut line = String::new();
    while !line.contains("it is open") {
        line.clear();
        assert!(answer.read_line(&mut line).unwrap() > 0, "the answer never came");
    }
    holder
}

#[test]
fn the_second_process_is_told_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"kept");
    sandbox.prints(&["put", "a.txt"]);
    let mut holder = holding_it_open(&sandbox);
    for command in [&["ls"][..], &["put", "a.txt"], &["sql", "SELECT 1"]] {
        let run = sandbox.patina(command);
        assert_eq!(run.status, 1);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.starts_with("patina: ") && run.stderr.contains("patina-data"), "{}", run.stderr);
        assert!(run.stderr.contains("open"), "{}", run.stderr);
        assert!(run.stderr.contains("close") || run.stderr.contains("wait"), "{}", run.stderr);
    }
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(sandbox.prints(&["get", "a.txt"]), "kept");
}

#[test]
fn a_process_that_was_killed_leaves_no_lock_behind() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"kept");
    sandbox.prints(&["put", "a.txt"]);
    let mut holder = holding_it_open(&sandbox);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(sandbox.prints(&["get", "a.txt"]), "kept");
}

#[test]
fn one_process_opens_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = Patina::open(folder.path()).unwrap();
    let second = Patina::open(folder.path());
    assert!(second.is_err_and(|error| error.to_string().contains("open")));
    first.close().unwrap();
    Patina::open(folder.path()).unwrap();
}
