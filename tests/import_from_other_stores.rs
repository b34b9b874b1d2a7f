//! What other stores hold comes over whole, checked against their own hashes and framing, or is named as left out.
//!
//! The stores in `fixtures/stores/` were made by the programs that own the formats.

use std::fs;
use std::path::Path;

use crate::sandbox::Sandbox;

/// A copy of a store: reading a container makes SQLite's side files, and some tests damage it.
fn copy_of(store: &str, sandbox: &Sandbox) -> String {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores").join(store);
    for entry in walkdir::WalkDir::new(&from) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let below = entry.path().strip_prefix(from.parent().unwrap()).unwrap();
            sandbox.file(below.to_str().unwrap(), &fs::read(entry.path()).unwrap());
        }
    }
    sandbox.path().join(store).to_str().unwrap().to_owned()
}

fn names(sandbox: &Sandbox) -> Vec<String> {
    let mut names: Vec<String> =
        sandbox.objects().iter().map(|object| object["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

const ONLY_LOOSE: &str = "7a6b6643bd75ea0cc37fa12849e6dc14503ec78c3406edb6d1c68680faee307f";
const LOOSE_AND_PACKED: &str = "79cda2ae7885b8b041c08a59b69122cef09b337ac17aea053d13829c9470a4a2";
const PACKED: [&str; 2] = [
    "989254dda0834bd71081c7f7dc562b2f90fe262a4966dee9cb270a4d3294fec8",
    "f00da776050825d1b4b1d9321747da04d9be1b9cd14caf61044a8d189d844f85",
];

#[test]
fn a_container_comes_over_loose_and_packed_each_object_once() {
    for kind in ["dostore", "rsdos"] {
        let sandbox = Sandbox::new();
        let container = copy_of("container", &sandbox);
        let run = sandbox.patina(&["import", "--from", kind, "--prefix", "old/", &container]);
        assert_eq!((run.status, run.stderr.as_str()), (0, "patina: imported 4 objects, 600 B\n"));
        let expected = [LOOSE_AND_PACKED, ONLY_LOOSE, PACKED[0], PACKED[1]].map(|key| format!("old/{key}"));
        assert_eq!(names(&sandbox), expected);
        for object in sandbox.objects() {
            let name = object["name"].as_str().unwrap();
            assert_eq!(object["origin_hash"].as_str(), name.strip_prefix("old/"), "{object}");
        }
        let bytes = sandbox.prints(&["get", &format!("old/{LOOSE_AND_PACKED}")]);
        assert_eq!(bytes, "both loose and packed, compressed ".repeat(8));
    }
}

#[test]
fn a_damaged_loose_object_is_taken_from_its_pack() {
    let sandbox = Sandbox::new();
    let container = copy_of("container", &sandbox);
    let (folder, file) = LOOSE_AND_PACKED.split_at(2);
    sandbox.file(&format!("container/loose/{folder}/{file}"), b"cut o");
    let run = sandbox.patina(&["import", "--from", "dostore", &container]);
    assert_eq!((run.status, run.stderr.as_str()), (0, "patina: imported 4 objects, 600 B\n"));
}

#[test]
fn what_does_not_hash_to_its_name_is_named_and_left_out() {
    let sandbox = Sandbox::new();
    let container = copy_of("container", &sandbox);
    let (folder, file) = ONLY_LOOSE.split_at(2);
    sandbox.file(&format!("container/loose/{folder}/{file}"), b"other bytes");
    let mut pack = fs::read(sandbox.path().join("container/packs/0")).unwrap();
    pack[310] ^= 1;
    sandbox.file("container/packs/0", &pack);
    let run = sandbox.patina(&["import", "--from", "dostore", &container]);
    assert_eq!(run.status, 1);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains(ONLY_LOOSE) && lines[0].contains("damaged; left out"), "{lines:?}");
    assert!(lines[1].contains(PACKED[0]) && lines[1].contains("damaged; left out"), "{lines:?}");
    assert_eq!(names(&sandbox), [LOOSE_AND_PACKED, PACKED[1]]);
}

#[test]
fn an_offset_log_comes_over_record_by_record_at_every_width() {
    for bits in ["32", "48", "53"] {
        let sandbox = Sandbox::new();
        let log = copy_of(&format!("log{bits}.offset"), &sandbox);
        let run = sandbox.patina(&["import", "--from", "flume", &log]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        let names = names(&sandbox);
        assert_eq!(names.len(), 3);
        assert!(names[0].ends_with(&format!("log{bits}.offset/0000000000000000")), "{names:?}");
        let texts: Vec<String> = names.iter().map(|name| sandbox.prints(&["get", name])).collect();
        assert_eq!(
            texts,
            [r#"{"n":1,"text":"one"}"#, r#"{"n":2,"text":"two"}"#, r#"{"n":3,"text":"three"}"#]
        );
    }
}

#[test]
fn a_deleted_record_is_skipped_and_a_torn_one_ends_the_log() {
    let sandbox = Sandbox::new();
    let log = copy_of("log32.offset", &sandbox);
    let mut bytes = fs::read(&log).unwrap();
    bytes[4..24].fill(0);
    bytes.truncate(bytes.len() - 3);
    sandbox.file("log32.offset", &bytes);
    let run = sandbox.patina(&["import", "--from", "flume", &log]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("the record at offset 64 is torn or damaged"), "{}", run.stderr);
    assert_eq!(names(&sandbox).len(), 1);
}

#[test]
fn a_path_that_is_no_such_store_is_one_line_and_makes_no_database() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("photo.jpg", b"\xff\xd8\xff\xe0 not a log");
    for (kind, path) in [
        ("dostore", sandbox.path()),
        ("dostore", &file),
        ("flume", sandbox.path()),
        ("flume", &file),
        ("flume", &sandbox.path().join("missing")),
    ] {
        let run = sandbox.patina(&["import", "--from", kind, path.to_str().unwrap()]);
        assert_eq!((run.status, run.stderr.lines().count()), (1, 1), "{kind}: {}", run.stderr);
        assert!(!sandbox.path().join("patina-data").exists());
    }
}
