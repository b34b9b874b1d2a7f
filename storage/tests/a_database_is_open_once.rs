//! Promise: a database is open once, in one process. Whoever comes second is told who has it and what to do, and disturbs nothing; when
//! the holder closes, drops its last handle or dies, the next may open it, and finds all that was acknowledged.
//!
//! The test starts itself again as other processes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the test plays an operator who looks at the directory")]

use patina_storage::*;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const BIN: Bin = Bin { class: 0, due_ms: 9 };
const ROLE: &str = "PATINA_TEST_ROLE";
const DIR: &str = "PATINA_TEST_DIR";

fn open(dir: &Path) -> Result<(Db, Keyspace)> {
    let db = Db::open(dir, Options::default())?;
    let keyspace = db.keyspace("k", KeyspaceOptions::default())?;
    Ok((db, keyspace))
}

fn refused(dir: &Path) -> Error {
    open(dir).map(drop).unwrap_err()
}

/// One of this test's other processes.
fn process(role: &str, dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["plays_another_process", "--exact", "--nocapture", "--quiet"])
        .env(ROLE, role)
        .env(DIR, dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Waits until a process says so.
fn wait_for(process: &mut Child, word: &str) {
    let mut output = BufReader::new(process.stdout.as_mut().unwrap());
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "it ended without {word}");
    }
}

/// Not a test of its own: what the other processes do.
#[test]
fn plays_another_process() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    let dir = std::env::var_os(DIR).unwrap();
    match role.to_str().unwrap() {
        "holds" => {
            let (_db, keyspace) = open(Path::new(&dir)).unwrap();
            let mut batch = keyspace.db().batch();
            batch.put(&keyspace, "holder", std::process::id().to_string());
            keyspace.db().write(batch, Durability::Buffered).unwrap();
            std::io::stdout().write_all(b"\nis open\n").unwrap();
            // Until the other end is closed, or for ever.
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        "counts" => (0..COUNTS).for_each(|_| count(Path::new(&dir))),
        other => unreachable!("{other}"),
    }
}

const COUNTS: u64 = 6;

/// Opens it, however often that takes, adds one, and closes it.
fn count(dir: &Path) {
    let (db, keyspace) = loop {
        match open(dir) {
            Ok(opened) => break opened,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    let counted = keyspace
        .get(b"count")
        .unwrap()
        .map_or(0, |bytes| std::str::from_utf8(&bytes).unwrap().parse::<u64>().unwrap());
    let mut batch = db.batch();
    batch.put(&keyspace, "count", (counted + 1).to_string());
    db.write(batch, Durability::Buffered).unwrap();
    drop(keyspace);
    db.close().unwrap();
}

#[test]
fn a_second_process_is_told_which_has_it_and_disturbs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = process("holds", dir.path());
    wait_for(&mut holder, "is open");
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let (pid, this) = (format!("process {}", holder.id()), format!("process {}", std::process::id()));
    let told = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Locked);
        let text = error.to_string();
        assert!(text.contains(&pid) && text.contains("close it there") && !text.contains(&this), "{text}");
    };
    told(refused(dir.path()));
    told(refused(dir.path()));
    told(Db::verify_closed(Arc::new(StdVfs), dir.path(), |_| {}).map(drop).unwrap_err());
    assert_eq!(names(), before);
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    let (_db, keyspace) = open(dir.path()).unwrap();
    assert_eq!(keyspace.get(b"holder").unwrap().unwrap(), holder.id().to_string());
}

#[test]
fn a_process_that_was_killed_leaves_a_file_and_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut holder = process("holds", dir.path());
        wait_for(&mut holder, "is open");
        holder.kill().unwrap();
        holder.wait().unwrap();
        let left = std::fs::read_to_string(dir.path().join("LOCK")).unwrap();
        assert_eq!(left, format!("process {}", holder.id()));
        let (_db, keyspace) = open(dir.path()).unwrap();
        assert_eq!(keyspace.get(b"holder").unwrap().unwrap(), holder.id().to_string());
    }
    // Nor is a lock what somebody wrote, copied or removed.
    std::fs::write(dir.path().join("LOCK"), "process 1\nand more\n\u{0}").unwrap();
    open(dir.path()).unwrap();
    std::fs::remove_file(dir.path().join("LOCK")).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn processes_that_all_want_it_have_it_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let processes: Vec<_> = (0..4).map(|_| process("counts", dir.path())).collect();
    (0..COUNTS).for_each(|_| count(dir.path()));
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let (_db, keyspace) = open(dir.path()).unwrap();
    assert_eq!(keyspace.get(b"count").unwrap().unwrap(), (5 * COUNTS).to_string());
}

#[test]
fn threads_that_all_want_it_have_it_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..COUNTS).for_each(|_| count(dir.path())));
        }
    });
    let (_db, keyspace) = open(dir.path()).unwrap();
    assert_eq!(keyspace.get(b"count").unwrap().unwrap(), (6 * COUNTS).to_string());
}

/// A process inherits open files until it runs its own program, and a lock is one of an open file.
#[test]
fn a_process_that_is_started_meanwhile_does_not_inherit_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (db, keyspace) = open(dir.path()).unwrap();
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    drop((db, keyspace));
    open(dir.path()).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
}

/// A snapshot that was forgotten somewhere kept the directory locked until the process ended, although it cannot read without the
/// database.
#[test]
fn a_forgotten_snapshot_does_not_keep_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let (db, keyspace) = open(dir.path()).unwrap();
    keyspace.put("k", "v").unwrap();
    let forgotten = (db.snapshot(), db.snapshot().clone());
    let mut batch = db.batch();
    batch.put(&keyspace, "k", "w");
    drop((db, keyspace));
    let (db, keyspace) = open(dir.path()).unwrap();
    assert_eq!(keyspace.get(b"k").unwrap().unwrap(), "v");
    // They are not of this opening: what they saw may be gone.
    assert_eq!(forgotten.0.get(&keyspace, b"k").unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(db.write(batch, Durability::Sync).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn what_can_still_read_or_write_keeps_it_locked_and_the_message_says_so() {
    let dir = tempfile::tempdir().unwrap();
    type Begin = fn(&Db, &Keyspace) -> Box<dyn std::any::Any>;
    let begin: [Begin; 6] = [
        |db, _| Box::new(db.clone()),
        |_, keyspace| Box::new(keyspace.clone()),
        |db, _| Box::new(db.transaction()),
        |_, keyspace| Box::new(keyspace.range(..)),
        |_, keyspace| Box::new(keyspace.reader(b"k").unwrap()),
        |db, keyspace| {
            let mut writer = db.blob_writer(keyspace, BIN, Compression::None);
            writer.append(&[1; 300_000]).unwrap();
            Box::new(writer)
        },
    ];
    for begin in begin {
        let (db, keyspace) = open(dir.path()).unwrap();
        keyspace.put("k", "v").unwrap();
        let kept = begin(&db, &keyspace);
        drop(keyspace);
        db.close().unwrap();
        let error = refused(dir.path());
        assert_eq!(error.kind(), ErrorKind::Locked);
        let text = error.to_string();
        assert!(text.contains(&std::process::id().to_string()) && text.contains("is dropped"), "{text}");
        drop(kept);
        open(dir.path()).unwrap();
    }
}
