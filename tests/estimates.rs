//! Promise: what a dry run and a forecast expect of a stage is near to what real files come to. The usual shares of the types
//! (`objects/src/budget/usual.rs`) were taken from the table that this prints:
//!
//! `cargo test --test system estimates -- --nocapture`

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use patinadb::objects::PlannedMove;
use patinadb::{Kind, ListFilter, ManualClock, MemVfs, Patina, TickOptions, Timestamp};

use crate::sandbox::all_samples;

/// One type at one stage.
#[derive(Clone, Copy, Default)]
struct Seen {
    objects: u64,
    stored: u64,
    fidelity: f64,
}

/// Real files: the samples, the codecs' fixtures, and some of the project's own sources and a log.
fn put_files(db: &Patina) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, bytes) in all_samples() {
        db.put(&name, &bytes).unwrap();
    }
    for folder in ["codecs/tests/fixtures", "objects/src/budget", "storage/src/sst"] {
        for entry in fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_file() && name != "README.md" {
                db.put(&format!("{folder}/{name}"), &fs::read(entry.path()).unwrap()).unwrap();
            }
        }
    }
}

fn by_kind(db: &Patina) -> BTreeMap<&'static str, Seen> {
    let mut kinds: BTreeMap<&'static str, Seen> = BTreeMap::new();
    for info in db.list(&ListFilter::default()).unwrap().map(Result::unwrap) {
        let seen = kinds.entry(info.kind.as_str()).or_default();
        seen.objects += 1;
        seen.stored += info.stored;
        seen.fidelity += info.fidelity;
    }
    kinds
}

fn expected(db: &Patina, planned: &[PlannedMove]) -> BTreeMap<&'static str, u64> {
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    for planned in planned {
        *kinds.entry(db.stat(&planned.name).unwrap().kind.as_str()).or_default() +=
            planned.bytes_after_estimate;
    }
    kinds
}

#[test]
fn what_is_expected_of_a_stage_is_near_to_what_real_files_come_to() {
    let db = Patina::builder()
        .vfs(Arc::new(MemVfs::new()))
        .clock(ManualClock::new(Timestamp(1_767_225_600_000)))
        .open("db")
        .unwrap();
    put_files(&db);
    let force = TickOptions { force: true, ..TickOptions::default() };
    let hot = by_kind(&db);
    let mut shown: Vec<String> = Vec::new();
    for stage in ["warm", "cold"] {
        let expected = expected(&db, &db.dry_run(&force).unwrap());
        let report = db.tick(&force).unwrap();
        assert_eq!(report.failed, 0);
        for (kind, seen) in by_kind(&db) {
            let (before, expected) = (hot[kind].stored, expected[kind]);
            let share = seen.stored as f64 / before as f64;
            shown.push(format!(
                "| {kind} | {} | {before} | {stage} | {} | {share:.2} | {:.2} | {:.2} |",
                seen.objects,
                seen.stored,
                seen.fidelity / seen.objects as f64,
                expected as f64 / before as f64,
            ));
            // A type of which there are next to no bytes says nothing about the others of its type.
            if before > 10_000 && Kind::from_name(kind) != Some(Kind::Other) {
                let times = expected.max(seen.stored) as f64 / expected.min(seen.stored).max(1) as f64;
                assert!(
                    times < 2.0,
                    "{kind} at {stage}: {expected} were expected, {} came\n{}",
                    seen.stored,
                    shown.join("\n")
                );
            }
        }
    }
    println!(
        "| type | files | bytes hot | stage | bytes | share | fidelity | share expected |\n|---|---|---|---|---|---|---|---|"
    );
    shown.sort();
    shown.iter().for_each(|line| println!("{line}"));
}
