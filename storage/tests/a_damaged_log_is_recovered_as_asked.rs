//! Promise: what becomes of damage in the logs is what `Options::log_recovery` says, it is reported, and the log is kept.
//!
//! `Strict` opens nothing; `UpToDamage` gives the writes before the damage; `SkipDamaged` gives every whole batch. A torn end is no damage in any of
//! them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const DIR: &str = "db";
const MODES: [LogRecovery; 3] = [LogRecovery::Strict, LogRecovery::UpToDamage, LogRecovery::SkipDamaged];

fn options(log_recovery: LogRecovery) -> Options {
    Options {
        background_threads: 0,
        memtable_bytes: 4 << 10,
        sealed_memtables_max: 8,
        log_recovery,
        ..Options::default()
    }
}

fn key(n: usize) -> String {
    format!("key{n:02}")
}

/// A process that was killed after so many synced writes; where each ends in the log that it went to.
fn killed(writes: usize, value_bytes: usize) -> (MemVfs, Vec<(PathBuf, usize)>) {
    let vfs = MemVfs::new();
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new(DIR), options(LogRecovery::Strict)).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    let mut ends = Vec::new();
    for n in 0..writes {
        keyspace.put(key(n), vec![1 + n as u8; value_bytes]).unwrap();
        let log = logs(&vfs).pop().unwrap();
        ends.push((log.clone(), written_bytes(&vfs, &log)));
    }
    (vfs.kill(), ends)
}

/// Without the zeros behind the records. No value here ends with one.
fn written_bytes(vfs: &MemVfs, log: &Path) -> usize {
    vfs.bytes(log).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1
}

fn files(vfs: &MemVfs, suffix: &str) -> Vec<PathBuf> {
    let names = vfs.list(Path::new(DIR)).unwrap();
    names.iter().filter(|name| name.ends_with(suffix)).map(|name| Path::new(DIR).join(name)).collect()
}

fn logs(vfs: &MemVfs) -> Vec<PathBuf> {
    files(vfs, ".log")
}

struct Opened {
    /// The writes that are there, each with its whole value.
    writes: Vec<usize>,
    /// File and offset of what was given up.
    given_up: Vec<(PathBuf, Option<u64>)>,
    is_torn: bool,
    /// The logs that were kept.
    kept: Vec<PathBuf>,
}

fn open(vfs: &MemVfs, mode: LogRecovery) -> Result<Opened> {
    let vfs = vfs.kill();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let listener = Some(
        Arc::new(move |event: &Event| told.lock().unwrap().push(event.clone())) as Arc<dyn EventListener>
    );
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new(DIR), Options { listener, ..options(mode) })?;
    let keyspace = db.keyspace("k", KeyspaceOptions::default())?;
    let mut writes = Vec::new();
    for entry in keyspace.range(..) {
        let entry = entry?;
        let n = std::str::from_utf8(&entry.key()[3..]).unwrap().parse().unwrap();
        assert!(entry.value()?.iter().all(|byte| *byte == 1 + n as u8));
        writes.push(n);
    }
    drop(keyspace);
    db.close()?;
    assert!(Db::verify_closed(Arc::new(vfs.clone()), Path::new(DIR), |_| {})?.is_sound());
    let events = seen.lock().unwrap();
    let given_up = events.iter().filter_map(|event| match event {
        Event::LogGivenUp { file, offset, .. } => Some((file.clone(), *offset)),
        _ => None,
    });
    let is_torn = events.iter().any(|event| matches!(event, Event::Recovered { torn: Some(_), .. }));
    let (given_up, kept) = (given_up.collect(), files(&vfs, ".damaged"));
    // What was recovered is there from now on, in every mode.
    let again = Db::open_with(Arc::new(vfs), Path::new(DIR), options(LogRecovery::Strict))?;
    assert_eq!(again.keyspace("k", KeyspaceOptions::default())?.range(..).count(), writes.len());
    Ok(Opened { writes, given_up, is_torn, kept })
}

#[test]
fn each_flipped_byte_of_a_log_is_treated_as_asked() {
    const WRITES: usize = 6;
    let (vfs, ends) = killed(WRITES, 20);
    let log = logs(&vfs).pop().unwrap();
    // No later write says that the last one was synced.
    let last_begins = ends[WRITES - 2].1;
    for at in 0..ends[WRITES - 1].1 {
        let rotten = vfs.kill();
        rotten.damage(&log, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
        let hit = ends.iter().position(|(_, end)| at < *end).unwrap();
        let is_header = at < 16;
        for mode in MODES {
            let opened = open(&rotten, mode);
            if at >= last_begins {
                let opened = opened.unwrap();
                assert_eq!(opened.writes, Vec::from_iter(0..WRITES - 1), "{mode:?} byte {at}");
                assert!(
                    opened.is_torn && opened.given_up.is_empty() && opened.kept.is_empty(),
                    "{mode:?} byte {at}"
                );
                continue;
            }
            let expected: Vec<usize> = match mode {
                LogRecovery::Strict => {
                    let error = opened.err().unwrap();
                    assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}");
                    assert_eq!(error.location().unwrap().0, log, "byte {at}: {error}");
                    assert!(error.to_string().contains("patina salvage"), "{error}");
                    assert!(error.to_string().contains("Options::log_recovery"), "{error}");
                    continue;
                }
                LogRecovery::UpToDamage if is_header => Vec::new(),
                LogRecovery::UpToDamage => (0..hit).collect(),
                LogRecovery::SkipDamaged => (0..WRITES).filter(|n| is_header || *n != hit).collect(),
            };
            let opened = opened.unwrap();
            assert_eq!(opened.writes, expected, "{mode:?} byte {at}");
            let offset = if hit == 0 { 16 } else { ends[hit - 1].1 as u64 };
            assert_eq!(
                opened.given_up,
                [(log.clone(), Some(if is_header { 0 } else { offset }))],
                "{mode:?}"
            );
            assert_eq!(
                opened.kept,
                [PathBuf::from(format!("{}.damaged", log.display()))],
                "{mode:?} byte {at}"
            );
        }
    }
}

#[test]
fn what_rots_in_the_room_behind_the_records_costs_nothing() {
    let (vfs, ends) = killed(6, 20);
    let log = logs(&vfs).pop().unwrap();
    let len = vfs.bytes(&log).unwrap().len();
    assert!(ends[5].1 < len);
    for at in (ends[5].1..len).step_by(997) {
        let rotten = vfs.kill();
        rotten.damage(&log, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
        for mode in MODES {
            let opened = open(&rotten, mode).unwrap();
            assert_eq!(opened.writes, Vec::from_iter(0..6), "{mode:?} byte {at}");
            assert!(opened.given_up.is_empty() && opened.kept.is_empty(), "{mode:?} byte {at}");
        }
    }
}

/// Zeros at the end of a log are room while a database is in use; after a clean close they are what the disk gives for what it lost. A manifest that
/// lost its end that way looked whole.
#[test]
fn zeros_instead_of_the_end_of_a_closed_database_are_no_room() {
    let vfs = MemVfs::new();
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new(DIR), options(LogRecovery::Strict)).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    for n in 0..6 {
        keyspace.put(key(n), vec![1 + n as u8; 20]).unwrap();
    }
    drop(keyspace);
    db.close().unwrap();
    let zeroed = |path: &Path, from: usize| {
        let vfs = vfs.kill();
        vfs.damage(path, |bytes| bytes[from..].fill(0)).unwrap();
        vfs
    };
    let log = logs(&vfs).pop().unwrap();
    for from in 0..written_bytes(&vfs, &log) {
        let error = open(&zeroed(&log, from), LogRecovery::Strict).err().ok_or(from).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{from}: {error}");
    }
    let names = vfs.list(Path::new(DIR)).unwrap();
    let manifest = Path::new(DIR).join(names.iter().find(|name| name.starts_with("MANIFEST")).unwrap());
    let mut refused = 0;
    for from in 0..written_bytes(&vfs, &manifest) {
        match open(&zeroed(&manifest, from), LogRecovery::Strict) {
            Ok(opened) => assert_eq!(opened.writes, Vec::from_iter(0..6), "{from}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "{from}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_torn_end_is_cut_off_in_every_mode() {
    let (vfs, ends) = killed(4, 20);
    let log = logs(&vfs).pop().unwrap();
    vfs.damage(&log, |bytes| bytes.truncate(ends[3].1 - 5)).unwrap();
    for mode in MODES {
        let opened = open(&vfs, mode).unwrap();
        assert_eq!(opened.writes, [0, 1, 2], "{mode:?}");
        assert!(opened.is_torn && opened.given_up.is_empty() && opened.kept.is_empty(), "{mode:?}");
    }
}

/// Each way in which one of several logs can lose something.
#[test]
fn of_several_logs_one_that_is_lost_or_shorter_is_treated_as_asked() {
    const WRITES: usize = 12;
    let (vfs, ends) = killed(WRITES, 1000);
    let logs = logs(&vfs);
    assert!(logs.len() >= 3, "{logs:?}");
    let second = &logs[1];
    let of_second: Vec<usize> = (0..WRITES).filter(|n| ends[*n].0 == *second).collect();
    let before: Vec<usize> = (0..of_second[0]).collect();
    let last_of_second = *of_second.last().unwrap();
    let shorter = |len: usize| {
        let vfs = vfs.kill();
        vfs.damage(second, |bytes| bytes.truncate(len)).unwrap();
        vfs
    };
    let lost = vfs.kill();
    lost.remove(second).unwrap();
    // A damaged copy, the writes that are lost, and the first of them.
    let without = |gone: &[usize]| (0..WRITES).filter(|n| !gone.contains(n)).collect::<Vec<_>>();
    let cases = [
        ("lost", lost, without(&of_second), before.clone()),
        ("empty", shorter(0), without(&of_second), before.clone()),
        ("without records", shorter(16), without(&of_second), before.clone()),
        // It ends after a whole record: only the mark of its end is missing.
        (
            "one record short",
            shorter(ends[last_of_second - 1].1),
            without(&[last_of_second]),
            (0..last_of_second).collect(),
        ),
        ("without the mark", shorter(ends[last_of_second].1), without(&[]), (0..=last_of_second).collect()),
    ];
    for (case, damaged, skipped, up_to) in cases {
        let error = open(&damaged, LogRecovery::Strict).err().ok_or(case).unwrap();
        assert_eq!(error.location().unwrap().0, second, "{case}: {error}");
        assert_eq!(open(&damaged, LogRecovery::UpToDamage).unwrap().writes, up_to, "{case}");
        assert_eq!(open(&damaged, LogRecovery::SkipDamaged).unwrap().writes, skipped, "{case}");
    }
    for mode in MODES {
        assert_eq!(open(&vfs, mode).unwrap().writes, without(&[]), "{mode:?}");
    }
}

/// A value may hold a copy of a chunk of the very log that it is in: nobody writes that again because of damage before it.
#[test]
fn a_copy_of_a_record_inside_a_value_is_not_taken_for_a_record() {
    let vfs = MemVfs::new();
    let db = Db::open_with(
        Arc::new(vfs.clone()),
        Path::new(DIR),
        Options { memtable_bytes: 1 << 20, ..options(LogRecovery::Strict) },
    )
    .unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    keyspace.put("a", "first").unwrap();
    let log = logs(&vfs).pop().unwrap();
    let first = vfs.bytes(&log).unwrap()[16..written_bytes(&vfs, &log)].to_vec();
    keyspace.put("a", "second").unwrap();
    let copy_begins = written_bytes(&vfs, &log);
    keyspace.put("copy", first).unwrap();
    keyspace.put("z", "last").unwrap();
    keyspace.put("z", "very last").unwrap();
    vfs.damage(&log, |bytes| bytes[copy_begins + 1] ^= 1).unwrap();
    let skipping =
        Db::open_with(Arc::new(vfs.kill()), Path::new(DIR), options(LogRecovery::SkipDamaged)).unwrap();
    let keyspace = skipping.keyspace("k", KeyspaceOptions::default()).unwrap();
    assert_eq!(keyspace.get(b"copy").unwrap(), None);
    assert_eq!(keyspace.get(b"a").unwrap().unwrap(), "second");
    assert_eq!(keyspace.get(b"z").unwrap().unwrap(), "very last");
}
