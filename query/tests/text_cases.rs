//! Statements and what they give, as text: each file of `tests/cases` is a script for one fresh database.
//!
//! A case is one or more lines of SQL, a line `----`, the expected output, and an empty line. Rows are written with
//! `|` between values, messages after `ok: `, errors after `error: ` with the caret as it is shown. A line that
//! begins with `#` is a comment; `#put name text`, `#days n` and `#reopen` change the world between cases.
//! `UPDATE_CASES=1 cargo test` rewrites the expectations.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads its cases"
)]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::{World, line};
use patina_query::Session;

fn run(session: &mut Session, sql: &str) -> String {
    let mut output = String::new();
    match session.query(sql, &[]) {
        Ok(results) => {
            for result in results {
                if !result.columns.is_empty() {
                    let names: Vec<&str> = result.columns.iter().map(|column| column.name.as_str()).collect();
                    let _ = writeln!(output, "[{}]", names.join("|"));
                }
                for row in &result.rows {
                    let _ = writeln!(output, "{}", line(row));
                }
                if let Some(message) = &result.outcome.message {
                    let _ = writeln!(output, "ok: {message}");
                }
            }
        }
        Err(error) => {
            let _ = writeln!(output, "error: {error}");
        }
    }
    output
}

fn direct(mut world: World, words: &str) -> World {
    let mut parts = words.splitn(3, ' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("put"), Some(name), Some(text)) => world.put(name, text),
        (Some("days"), Some(count), _) => world.after_days(count.parse().expect("a number of days")),
        (Some("reopen"), ..) => world = world.reopen(),
        _ => {}
    }
    world
}

/// Runs a file; gives it with the actual outputs in place.
fn rerun(text: &str) -> String {
    let mut world = World::new();
    let mut session = Some(world.session());
    let mut actual = String::new();
    let mut lines = text.lines().peekable();
    while let Some(first) = lines.next() {
        if first.is_empty() || first.starts_with('#') {
            let _ = writeln!(actual, "{first}");
            if let Some(words) = first.strip_prefix('#') {
                drop(session.take());
                world = direct(world, words);
                session = Some(world.session());
            }
            continue;
        }
        let mut sql = first.to_owned();
        while let Some(next) = lines.next_if(|line| *line != "----") {
            let _ = write!(sql, "\n{next}");
        }
        lines.next();
        while lines.next_if(|line| !line.is_empty()).is_some() {}
        let output = run(session.as_mut().expect("a session"), &sql);
        let _ = write!(actual, "{sql}\n----\n{output}");
    }
    actual
}

#[test]
fn every_case_gives_what_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the cases").map(|entry| entry.expect("a case").path()).collect();
    files.sort();
    assert!(files.len() >= 4, "the cases are missing");
    for file in files {
        let expected = std::fs::read_to_string(&file).expect("a readable case");
        let actual = rerun(&expected);
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, &actual).expect("the case is rewritten");
        } else {
            let differing = actual.lines().zip(expected.lines()).enumerate().find(|(_, (a, b))| a != b);
            if let Some((number, (actual, expected))) = differing {
                panic!("{}:{}\n  gives    {actual}\n  expected {expected}", file.display(), number + 1);
            }
            assert_eq!(actual.lines().count(), expected.lines().count(), "{}", file.display());
        }
    }
}
