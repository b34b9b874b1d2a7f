//! Promise: a bad input gets one clear line that says what to do, exit status 1 or 2, and loses nothing.

use std::fs;

use crate::sandbox::{Run, Sandbox, sample};

/// A sandbox whose database holds one object, to see that it survives.
fn with_one_object() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("kept.txt", b"what was there before");
    sandbox.prints(&["put", "kept.txt"]);
    sandbox
}

fn assert_nothing_lost(sandbox: &Sandbox) {
    assert_eq!(sandbox.prints(&["get", "kept.txt"]), "what was there before");
}

/// One line on stderr that starts with `patina: ` and says all of `says`.
fn assert_one_line(run: &Run, status: i32, says: &[&str]) {
    assert_eq!(run.status, status, "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("patina: "), "{}", run.stderr);
    for part in says {
        assert!(run.stderr.contains(part), "{part:?} is missing in {}", run.stderr);
    }
}

/// The same, with the statement and a caret line below.
fn assert_line_and_caret(run: &Run, says: &[&str], caret: &str) {
    assert_eq!(run.status, 1, "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let [message, _, carets] = lines[..] else { panic!("three lines were expected: {}", run.stderr) };
    assert!(message.starts_with("patina: "), "{message}");
    for part in says {
        assert!(message.contains(part), "{part:?} is missing in {message}");
    }
    assert_eq!(carets, caret, "{}", run.stderr);
}

#[test]
#[cfg(target_os = "linux")]
fn an_unreadable_file() {
    let sandbox = with_one_object();
    // Readable by its mode for every user, root too, and yet reading it fails.
    let run = sandbox.patina(&["put", "/proc/self/mem", "--name", "mem"]);
    assert_one_line(&run, 1, &["/proc/self/mem"]);
    assert_nothing_lost(&sandbox);
    assert_eq!(sandbox.names(), ["kept.txt"]);
}

#[test]
fn a_mistyped_path_leaves_no_database_behind() {
    let sandbox = Sandbox::new();
    assert_one_line(&sandbox.patina(&["put", "nothing.txt"]), 1, &["nothing.txt", "no such file"]);
    assert_one_line(&sandbox.patina(&["ls"]), 1, &["there is no database"]);
}

#[test]
#[cfg(unix)]
fn a_file_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = with_one_object();
    let secret = sandbox.file("secret.txt", b"not for everyone");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&secret).is_ok() {
        return; // the superuser reads everything
    }
    let run = sandbox.patina(&["put", "secret.txt"]);
    assert_one_line(&run, 1, &["secret.txt", "permission denied", "make it readable"]);
    assert_nothing_lost(&sandbox);
}

#[test]
fn a_file_that_is_not_there() {
    let sandbox = with_one_object();
    assert_one_line(
        &sandbox.patina(&["put", "nothing.txt"]),
        1,
        &["nothing.txt", "no such file", "check the path"],
    );
    assert_nothing_lost(&sandbox);
}

#[test]
fn a_folder_given_as_a_file() {
    let sandbox = with_one_object();
    sandbox.file("folder/a.txt", b"inside");
    assert_one_line(&sandbox.patina(&["put", "folder"]), 1, &["folder is a folder", "patina import folder"]);
    assert_one_line(&sandbox.patina(&["get", "kept.txt", "-o", "folder"]), 1, &["folder is a folder"]);
    assert_eq!(fs::read(sandbox.path().join("folder/a.txt")).unwrap(), b"inside");
    assert_nothing_lost(&sandbox);
}

#[test]
fn an_empty_file() {
    let sandbox = with_one_object();
    sandbox.file("empty.txt", b"");
    assert_one_line(&sandbox.patina(&["put", "empty.txt"]), 1, &["empty.txt is empty", "nothing to store"]);
    assert_one_line(&sandbox.patina(&["put", "-", "--name", "x"]), 1, &["stdin is empty"]);
    assert_eq!(sandbox.names(), ["kept.txt"]);
    assert_nothing_lost(&sandbox);
}

#[test]
fn a_truncated_jpeg_is_stored_as_it_is_and_said() {
    let sandbox = with_one_object();
    let whole = sample("rocket.jpg");
    let half = &whole[..whole.len() / 2];
    sandbox.file("half.jpg", half);
    let run = sandbox.patina(&["put", "half.jpg"]);
    assert_one_line(&run, 1, &["half.jpg", "JPEG that is cut off", "put a whole copy"]);
    assert_eq!(sandbox.patina(&["get", "half.jpg"]).stdout, half);
    // Decay keeps the bytes of a picture it cannot decode, however often it comes by.
    sandbox.prints(&["tick", "--force"]);
    assert_eq!(sandbox.patina(&["get", "half.jpg"]).stdout, half);
    assert_nothing_lost(&sandbox);
}

#[test]
fn an_unknown_column() {
    let sandbox = with_one_object();
    let run = sandbox.patina(&["sql", "SELECT nmae FROM objects"]);
    assert_line_and_caret(&run, &["nmae", "name"], "       ^^^^");
    assert_nothing_lost(&sandbox);
}

#[test]
fn a_syntax_error() {
    let sandbox = with_one_object();
    let run = sandbox.patina(&["sql", "SELECT name FORM objects WHERE stage = 1"]);
    assert_line_and_caret(&run, &["FORM", "FROM"], "            ^^^^");
    assert!(run.stdout.is_empty());
    assert_nothing_lost(&sandbox);
}

#[test]
fn a_bad_statement_in_a_pipe() {
    let sandbox = with_one_object();
    let run =
        sandbox.patina_reading(&["repl"], b"SELECT 1;\nSELECT nmae FROM objects;\nDELETE FROM objects;\n");
    assert_line_and_caret(&run, &["line 2", "nmae", "name"], "       ^^^^");
    assert_nothing_lost(&sandbox);
}

#[test]
fn a_folder_that_is_no_database() {
    let sandbox = Sandbox::new();
    let note = sandbox.file("documents/note.txt", b"mine");
    for command in [&["ls"][..], &["put", "documents/note.txt"], &["repl"], &["import", "documents"]] {
        let run = sandbox.patina(&[&["-C", "documents"], command].concat());
        assert_one_line(&run, 1, &["documents", "database"]);
    }
    let entries = fs::read_dir(sandbox.path().join("documents")).unwrap().count();
    assert_eq!(
        (entries, fs::read(note).unwrap().as_slice()),
        (1, &b"mine"[..]),
        "nothing was added or changed"
    );
}

#[test]
fn a_database_that_is_not_there_is_not_made_by_reading() {
    let sandbox = Sandbox::new();
    let reads =
        [&["ls"][..], &["stat", "a"], &["get", "a"], &["tick"], &["status"], &["sql", "SELECT FROM objects"]];
    for command in reads {
        assert_one_line(&sandbox.patina(command), 1, &["no database in patina-data", "patina put", "-C DIR"]);
    }
    assert_eq!(fs::read_dir(sandbox.path()).unwrap().count(), 0);
}

#[test]
fn a_file_given_as_the_database() {
    let sandbox = with_one_object();
    assert_one_line(&sandbox.patina(&["-C", "kept.txt", "ls"]), 1, &["kept.txt is a file", "-C DIR"]);
    assert_one_line(
        &sandbox.patina(&["-C", "kept.txt", "put", "kept.txt"]),
        1,
        &["kept.txt is a file", "-C DIR"],
    );
    assert_nothing_lost(&sandbox);
}

#[test]
fn an_object_that_is_not_there() {
    let sandbox = with_one_object();
    for command in [&["get", "nothing"], &["stat", "nothing"]] {
        assert_one_line(&sandbox.patina(command), 1, &["nothing"]);
    }
}

#[test]
fn a_failed_get_leaves_the_file_that_was_there() {
    let sandbox = with_one_object();
    let target = sandbox.file("out.txt", b"older");
    assert_one_line(&sandbox.patina(&["get", "nothing", "-o", "out.txt"]), 1, &["nothing"]);
    assert_eq!(fs::read(target).unwrap(), b"older");
    assert_one_line(&sandbox.patina(&["get", "kept.txt", "-o", "no/such/out.txt"]), 1, &["no/such"]);
}

#[test]
fn wrong_usage_is_status_2() {
    let sandbox = with_one_object();
    assert_one_line(&sandbox.patina(&["put", "-"]), 2, &["--name"]);
    assert_one_line(&sandbox.patina(&["tick", "--now", "tomorrow"]), 2, &["tomorrow", "2027-03-01"]);
    assert_one_line(&sandbox.patina(&["tick", "--now", "2020-01-01"]), 2, &["2020-01-01", "in the past"]);
    assert_one_line(&sandbox.patina(&["put", "kept.txt", "./kept.txt"]), 2, &["kept.txt", "--name"]);
    assert_one_line(&sandbox.patina(&["ls", "a["]), 2, &["quote the pattern"]);
    assert_eq!(sandbox.patina(&["no-such-command"]).status, 2);
    assert_eq!(sandbox.patina(&["get"]).status, 2);
    assert_nothing_lost(&sandbox);
}

#[test]
fn one_bad_file_of_an_import_does_not_keep_out_the_others() {
    let sandbox = Sandbox::new();
    sandbox.file("tree/a.txt", b"first");
    sandbox.file("tree/b.txt", b"");
    sandbox.file("tree/c/d.txt", b"last");
    let run = sandbox.patina(&["import", "-v", "tree", "missing"]);
    assert_eq!(run.status, 1);
    assert_eq!(run.stdout, b"tree/a.txt\ntree/c/d.txt\n");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.stderr);
    assert!(lines.iter().any(|line| line.starts_with("patina: tree/b.txt is empty")));
    assert!(lines.iter().any(|line| line.starts_with("patina: missing: ")));
    assert_eq!(lines.last(), Some(&"patina: imported 2 objects, 9 B; 2 problems named above"));
    assert_eq!(sandbox.names(), ["tree/a.txt", "tree/c/d.txt"]);
}

#[test]
fn two_files_of_one_name_do_not_overwrite_each_other() {
    let sandbox = Sandbox::new();
    sandbox.file("a.txt", b"first");
    let other = sandbox.file("elsewhere/a.txt", b"second");
    let run = sandbox.patina(&["import", "a.txt", other.to_str().unwrap()]);
    assert_eq!(run.status, 1);
    assert!(
        run.stderr.contains("a.txt was imported just now from elsewhere: use --prefix"),
        "{}",
        run.stderr
    );
    assert_eq!(sandbox.prints(&["get", "a.txt"]), "first");
}

#[test]
fn one_bad_file_of_a_put_does_not_keep_out_the_others() {
    let sandbox = with_one_object();
    sandbox.file("empty.txt", b"");
    sandbox.file("more.txt", b"more");
    let run = sandbox.patina(&["put", "empty.txt", "more.txt"]);
    assert_one_line(&run, 1, &["empty.txt is empty"]);
    assert_eq!(sandbox.names(), ["kept.txt", "more.txt"]);
}
