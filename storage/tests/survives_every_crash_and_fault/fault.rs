//! Faults: the n-th call of a kind fails, for each n. Every step of the script ends well or with an error that says what failed; what was
//! refused leaves no trace, what is read is right; and when the fault is gone the database opens with all that was acknowledged.

use crate::crash::{End, Failures, check, guarded};
use crate::workload::{FULL, Run, WORKLOADS, script};
use patina_storage::*;
use std::io;

/// A kind of fault.
pub struct Kind {
    pub name: &'static str,
    calls: &'static [VfsCall],
    error: io::ErrorKind,
    halfway: bool,
    lasts: bool,
}

const fn once(name: &'static str, calls: &'static [VfsCall], halfway: bool) -> Kind {
    Kind { name, calls, error: io::ErrorKind::Other, halfway, lasts: false }
}

pub const KINDS: [Kind; 23] = [
    once("write", &[VfsCall::Write], false),
    once("short-write", &[VfsCall::Write], true),
    Kind { error: io::ErrorKind::StorageFull, ..once("write-full", &[VfsCall::Write], true) },
    once("sync", &[VfsCall::Sync], false),
    once("sync-loses", &[VfsCall::Sync], true),
    once("sync-dir", &[VfsCall::SyncDir], false),
    once("create-dir", &[VfsCall::CreateDirAll], false),
    once("create", &[VfsCall::Create], false),
    once("create-done", &[VfsCall::Create], true),
    Kind { error: io::ErrorKind::StorageFull, ..once("create-full", &[VfsCall::Create], false) },
    once("rename", &[VfsCall::Rename], false),
    once("rename-done", &[VfsCall::Rename], true),
    once("remove", &[VfsCall::Remove], false),
    once("remove-done", &[VfsCall::Remove], true),
    once("link", &[VfsCall::HardLink], false),
    once("truncate", &[VfsCall::Truncate], false),
    once("truncate-done", &[VfsCall::Truncate], true),
    Kind { lasts: true, ..once("dead", VfsCall::CHANGES, false) },
    Kind { lasts: true, error: io::ErrorKind::StorageFull, ..once("full", VfsCall::NEED_SPACE, true) },
    once("read", &[VfsCall::Read], false),
    Kind { error: io::ErrorKind::UnexpectedEof, ..once("short-read", &[VfsCall::Read], true) },
    once("look", &[VfsCall::Open, VfsCall::List, VfsCall::Size], false),
    Kind { lasts: true, ..once("blind", VfsCall::LOOKS, false) },
];

/// One run of a script with one fault; `false` if the script has fewer such calls.
fn try_fault(workload: &str, kind: &Kind, n: u64) -> std::result::Result<bool, String> {
    let Kind { calls, error: cause, halfway, lasts, .. } = *kind;
    let vfs = MemVfs::new();
    let mut run = Run::new(&vfs, true);
    vfs.inject(Fault { calls, after: n, lasts, error: cause, halfway });
    script(workload)(&mut run).map_err(|error| format!("the script ended: {error}"))?;
    if !vfs.has_struck() {
        return Ok(false);
    }
    vfs.heal();
    for error in &run.errors {
        check_error(error, cause)?;
    }
    if let Some(wrong) = run.wrong.first() {
        return Err(wrong.clone());
    }
    // As it lies there, and after a power loss on top.
    let history = run.history.clone();
    drop(run);
    for end in [End::Kill, End::Least, End::Seed(n)] {
        check(&end.image(&vfs), &end.allowed(&history)).map_err(|what| format!("{end}: {what}"))?;
    }
    Ok(true)
}

/// It says what failed, or what to do.
fn check_error(error: &Error, cause: io::ErrorKind) -> std::result::Result<(), String> {
    let text = error.to_string();
    let is_clear = match error.kind() {
        ErrorKind::Io => text.contains("injected fault") && text.contains("cannot "),
        // A script's disk may be full without a fault.
        ErrorKind::NoSpace => text.contains("cannot ") || text.contains("only what frees space is written"),
        ErrorKind::ReadOnly => text.contains("reopen"),
        // A file that seems to be too short.
        ErrorKind::Corruption => {
            cause == io::ErrorKind::UnexpectedEof && text.contains("it ends before that")
        }
        _ => false,
    };
    if is_clear { Ok(()) } else { Err(format!("an unclear error: {:?}: {text}", error.kind())) }
}

/// How many calls of a kind a script makes.
fn count(workload: &str, kind: &Kind) -> u64 {
    let vfs = MemVfs::new();
    let counted = crate::Trace::default();
    let mut run = Run::new(&vfs.hooked(counted.clone()), true);
    let ended = script(workload)(&mut run);
    assert!(ended.is_ok() && run.errors.is_empty(), "{workload}: {:?}", run.errors);
    counted.calls().iter().filter(|(call, _)| kind.calls.contains(call)).count() as u64
}

/// Tries each kind on each workload, at most so many faults of each; or the one that the environment names. Gives how many for each kind.
pub fn run_all(max: u64, failures: &Failures) -> Vec<(&'static str, u64)> {
    let only = std::env::var("PATINA_FAULT").ok();
    let only: Option<Vec<&str>> = only.as_ref().map(|only| only.split('/').collect());
    let mut tried: Vec<(&str, u64)> = KINDS.iter().map(|kind| (kind.name, 0)).collect();
    for (workload, _) in WORKLOADS {
        for (kind, (_, tried)) in KINDS.iter().zip(&mut tried) {
            if only.as_ref().is_some_and(|only| only[0] != workload || only[1] != kind.name) {
                continue;
            }
            let calls = count(workload, kind);
            let max = if workload == FULL { max / 2 } else { max };
            let numbers: Vec<u64> = match &only {
                Some(only) => vec![only[2].parse().unwrap()],
                // The first, the last, and others between them.
                None if calls > max => (0..max).map(|n| n * (calls - 1) / (max - 1).max(1)).collect(),
                None => (0..calls).collect(),
            };
            for n in numbers {
                match guarded(|| try_fault(workload, kind, n)) {
                    Ok(struck) => *tried += u64::from(struck),
                    Err(what) => failures.lock().unwrap().push(format!(
                        "{what}\n  again: PATINA_FAULT={workload}/{}/{n} cargo test -p patina-storage --test \
                         survives_every_crash_and_fault fault",
                        kind.name
                    )),
                }
            }
        }
    }
    tried
}
