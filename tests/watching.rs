//! Promise: `patina status --watch` looks again and again, lets others at the database between two looks, says so when it
//! is kept from looking, and ends well.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::Sandbox;

fn watch(sandbox: &Sandbox, more: &[&str]) -> Child {
    let arguments = [&["status", "--watch", "1"], more].concat();
    let mut command = sandbox.command(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ctrl_c(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// Puts, which may have to wait for the moment of a look.
fn put(sandbox: &Sandbox, file: &str) {
    for _ in 0..50 {
        if sandbox.patina(&["put", file]).status == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the watch never let go of the database");
}

#[test]
fn it_sees_what_others_do_and_ctrl_c_ends_it_well() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"first");
    sandbox.file("b.txt", b"second");
    sandbox.prints(&["put", "a.txt"]);
    let mut child = watch(&sandbox, &["--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut objects = || -> u64 {
        let status: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        status["all"]["objects"].as_u64().unwrap()
    };
    assert_eq!(objects(), 1);
    put(&sandbox, "b.txt");
    while objects() < 2 {}
    ctrl_c(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_says_that_the_database_is_open_elsewhere_and_tries_again() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"first");
    sandbox.prints(&["put", "a.txt"]);
    let mut holder = sandbox.command(&["repl"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    holder.stdin.as_mut().unwrap().write_all(b"SELECT 'it is open';\n").unwrap();
    let mut answers = BufReader::new(holder.stdout.take().unwrap()).lines();
    while !answers.next().unwrap().unwrap().contains("it is open") {}
    let mut child = watch(&sandbox, &[]);
    let mut complaint = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut complaint).unwrap();
    assert!(complaint.contains("open") && complaint.contains("trying again"), "{complaint}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("all")), "it goes on once it can");
    ctrl_c(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn piped_it_writes_plain_blocks() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"first");
    sandbox.prints(&["put", "a.txt"]);
    let child = watch(&sandbox, &[]);
    std::thread::sleep(Duration::from_millis(1500));
    ctrl_c(&child);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("every 1 s") && text.contains("hot") && !text.contains('\x1b'), "{text}");
    assert_eq!(sandbox.patina(&["status", "--watch", "0"]).status, 2);
    assert_eq!(
        Sandbox::new().patina(&["status", "--watch"]).status,
        1,
        "no database is an error, not a wait"
    );
}
