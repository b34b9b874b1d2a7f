//! Promise (I1, I2, I4, I8): wherever a script is interrupted, by the death of the process, a power loss or a failing disk, the database opens
//! again and holds what the script had written after one of its steps: all that was acknowledged, nothing by half, nothing between two
//! stages; `verify` finds nothing, no file is left over, and it takes writes.
//!
//! Every I/O call of every script is such a place; of the largest script each eighth. With `PATINA_LONG_TESTS=1` more seeds, all calls, more crashes during recovery, and all
//! faults are tried. Each failure says with which command it alone is tried again.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod crash;
mod fault;
mod full;
mod model;
mod workload;

use crash::{Failures, Plan, Tally};
use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use workload::{FULL, Run, WORKLOADS};

fn is_long() -> bool {
    std::env::var_os("PATINA_LONG_TESTS").is_some()
}

/// The first few, and how many there are.
fn assert_none(failures: &Failures) {
    let failures = failures.lock().unwrap();
    let first: Vec<&str> = failures.iter().take(5).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} failures, the first of them:\n{}", failures.len(), first.join("\n"));
}

#[test]
fn crashes_at_every_call_lose_nothing() {
    let failures = Failures::default();
    let plan = |workload: &str| Plan {
        seeds: if is_long() { 20 } else { 2 },
        calls_every: if workload == FULL && !is_long() { 8 } else { 1 },
        recovery_every: if is_long() {
            40
        } else if workload == FULL {
            96
        } else {
            192
        },
        only: None,
    };
    let tallies = crash::run_all(plan, &failures);
    let mut total = 0;
    for (name, Tally { calls, images, recoveries, recovery_images }) in tallies {
        println!(
            "{name}: {images} crashes at {calls} calls; {recovery_images} crashes during {recoveries} recoveries"
        );
        total += images + recovery_images;
    }
    println!("{total} crashes in all");
    assert_none(&failures);
}

/// One fault a run, of each kind, at the first and the last call that it can meet and at some between; or at all.
#[test]
fn faults_at_any_call_are_told_or_change_nothing() {
    let failures = Failures::default();
    let tried = fault::run_all(if is_long() { u64::MAX } else { 5 }, &failures);
    for (kind, runs) in &tried {
        println!("{kind}: {runs} faults");
    }
    println!("{} faults in all", tried.iter().map(|(_, runs)| runs).sum::<u64>());
    assert_none(&failures);
}

/// The calls of a script.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<(VfsCall, String)>>>);

impl Trace {
    fn calls(&self) -> Vec<(VfsCall, String)> {
        self.0.lock().unwrap().clone()
    }
}

impl VfsHooks for Trace {
    fn before(&self, call: VfsCall, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().push((call, path.display().to_string()));
        Ok(())
    }
}

/// Else a point that failed could not be tried again.
#[test]
fn a_script_makes_the_same_calls_each_time() {
    for (name, script) in WORKLOADS {
        let trace = || {
            let calls = Trace::default();
            script(&mut Run::new(&MemVfs::new().hooked(calls.clone()), false)).unwrap();
            calls.calls()
        };
        let (first, second) = (trace(), trace());
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}: {:?}", differs.map(|at| (&first[at], &second[at])));
        assert_eq!(first.len(), second.len(), "{name}");
    }
}
