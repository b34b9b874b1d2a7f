//! Crashes: an image of the disk at each call of a script, each opened and compared with the model; and crashes while these are opened.

use crate::model::{Allowed, History, State, contents};
use crate::workload::{COPY, DIR, Run, WORKLOADS, open_in, options, script};
use patina_storage::*;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It dies; the system lives on.
    Kill,
    /// The power fails, and nothing survives that was not synced.
    Least,
    /// The power fails, and a share survives that depends on the seed.
    Seed(u64),
}

impl End {
    pub fn image(self, vfs: &MemVfs) -> MemVfs {
        match self {
            Self::Kill => vfs.kill(),
            Self::Least => vfs.crash(),
            Self::Seed(seed) => vfs.crash_with(seed),
        }
    }

    pub fn allowed(self, history: &History) -> Allowed {
        if self == Self::Kill { history.after_kill() } else { history.after_power_loss() }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("kill"),
            Self::Least => f.write_str("least"),
            Self::Seed(seed) => write!(f, "{seed}"),
        }
    }
}

impl FromStr for End {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(match text {
            "kill" => Self::Kill,
            "least" => Self::Least,
            seed => Self::Seed(seed.parse()?),
        })
    }
}

/// A call of a script, or of the opening after a crash, and how the process ends just before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub call: u64,
    pub end: End,
}

/// What is told of a failure: where, and what.
pub type Failures = Arc<Mutex<Vec<String>>>;

/// Calls back before each call that changes something, with its number.
struct EachCall<F> {
    vfs: MemVfs,
    calls: Mutex<u64>,
    act: F,
}

impl<F: Fn(&MemVfs, u64) + Send + Sync + 'static> VfsHooks for EachCall<F> {
    fn before(&self, call: VfsCall, _: &Path) -> io::Result<()> {
        if VfsCall::CHANGES.contains(&call) {
            let number = {
                let mut calls = self.calls.lock().unwrap();
                *calls += 1;
                *calls - 1
            };
            (self.act)(&self.vfs, number);
        }
        Ok(())
    }
}

/// The same files; `act` is called before each call that changes something.
fn watched(vfs: &MemVfs, act: impl Fn(&MemVfs, u64) + Send + Sync + 'static) -> MemVfs {
    vfs.hooked(EachCall { vfs: vfs.clone(), calls: Mutex::new(0), act })
}

/// A panic is a failure like any other, so that it is told with its point.
pub fn guarded<T>(check: impl FnOnce() -> std::result::Result<T, String>) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!(
            "a panic: {}",
            text.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
        ))
    })
}

/// Opens an image, and checks all that is promised of it. Gives what it holds.
pub fn check(image: &MemVfs, allowed: &Allowed) -> std::result::Result<State, String> {
    let told = |what: &'static str| move |error: Error| format!("{what}: {error}");
    let db = open_in(image, DIR).map_err(told("it does not open"))?;
    let found = contents(&db).map_err(told("it cannot be read"))?;
    allowed.check(&found)?;
    check_sound(&db)?;
    check_files(image, &db)?;
    // It takes writes, and closes.
    let keyspace = db.keyspace("after", KeyspaceOptions::default()).map_err(told("it makes no keyspace"))?;
    keyspace.put("key", "value").map_err(told("it takes no writes"))?;
    drop(keyspace);
    db.close().map_err(told("it does not close"))?;
    check_copy(image, allowed)?;
    Ok(found)
}

fn check_sound(db: &Db) -> std::result::Result<(), String> {
    let report = db.verify().map_err(|error| format!("it cannot be verified: {error}"))?;
    if report.is_sound() { Ok(()) } else { Err(format!("it is not sound: {:#?}", report.problems)) }
}

/// No file is there that the database does not need.
fn check_files(image: &MemVfs, db: &Db) -> std::result::Result<(), String> {
    let names = image.list(Path::new(DIR)).unwrap();
    let count = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).count();
    let stats = db.stats();
    let tables: usize = stats.keyspaces.iter().flat_map(|ks| &ks.levels).map(|(tables, _)| tables).sum();
    let manifests = names.iter().filter(|name| name.starts_with("MANIFEST-")).count();
    let found = [count(".sst"), count(".blob"), count(".log"), manifests, names.len()];
    let ballast = usize::from(stats.ballast_bytes > 0);
    let ours = [tables, stats.blob_files, 1, 1, tables + stats.blob_files + 3 + ballast];
    if found != ours {
        return Err(format!("files are left over: {names:?}; expected {ours:?}"));
    }
    let ballast_bytes = image.bytes(&Path::new(DIR).join("BALLAST")).map_or(0, |bytes| bytes.len() as u64);
    if ballast_bytes == stats.ballast_bytes {
        Ok(())
    } else {
        Err(format!("the ballast has {ballast_bytes} bytes, not {}", stats.ballast_bytes))
    }
}

/// The checkpoint, if it is a database, holds what it should; and it is one if it was acknowledged.
fn check_copy(image: &MemVfs, allowed: &Allowed) -> std::result::Result<(), String> {
    let existing = Options { create_if_missing: false, ..options() };
    match Db::open_with(Arc::new(image.clone()), Path::new(COPY), existing) {
        Ok(copy) => {
            let found = contents(&copy).map_err(|error| format!("the checkpoint cannot be read: {error}"))?;
            let holds = |state: Arc<State>| *state == found;
            if !allowed.checkpoint.clone().is_none_or(holds) {
                return Err("the checkpoint is not what it was".to_owned());
            }
            check_sound(&copy)
        }
        // Until it has a `CURRENT` it is none.
        Err(_) if allowed.checkpoint.is_none() && !image.list(Path::new(COPY)).is_ok_and(has_current) => {
            Ok(())
        }
        Err(error) => Err(format!("the checkpoint does not open: {error}")),
    }
}

fn has_current(names: Vec<String>) -> bool {
    names.iter().any(|name| name == "CURRENT")
}

/// How much is tried, and what came of it.
#[derive(Default)]
pub struct Tally {
    pub calls: u64,
    pub images: u64,
    pub recoveries: u64,
    pub recovery_images: u64,
}

/// Which points of a script are tried.
pub struct Plan {
    /// Seeded images a call, beside the one of a kill and the least one.
    pub seeds: u64,
    /// Of so many calls one is tried.
    pub calls_every: u64,
    /// Of so many images one is also crashed at each call of its opening.
    pub recovery_every: u64,
    /// Only this one, and only this call of its opening.
    pub only: Option<(Point, Option<Point>)>,
}

/// A seed of its own for each image.
fn seed_of(call: u64, n: u64) -> u64 {
    call.wrapping_mul(1000).wrapping_add(n)
}

/// Runs a workload once, and tries the image of each of its calls.
pub fn run(workload: &'static str, plan: Plan, failures: &Failures) -> Tally {
    let vfs = MemVfs::new();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let history = History::default();
    let probe = {
        let (tally, history, failures) = (tally.clone(), history.clone(), failures.clone());
        move |vfs: &MemVfs, call: u64| {
            tally.lock().unwrap().calls = call + 1;
            if plan.only.is_none() && !call.is_multiple_of(plan.calls_every) {
                return;
            }
            let ends = [End::Kill, End::Least].into_iter();
            for end in ends.chain((0..plan.seeds).map(|n| End::Seed(seed_of(call, n)))) {
                let point = Point { call, end };
                let second = match plan.only {
                    None => None,
                    Some((only, second)) if only == point => second,
                    Some((only, _))
                        if only.call == call && matches!((only.end, end), (End::Seed(_), End::Least)) =>
                    {
                        // A seed that the plan does not have.
                        try_point(vfs, workload, only, &history, (&plan, None), &tally, &failures);
                        continue;
                    }
                    Some(_) => continue,
                };
                try_point(vfs, workload, point, &history, (&plan, second), &tally, &failures);
            }
        }
    };
    let mut run = Run::new(&watched(&vfs, probe), false);
    run.history = history;
    if let Err(error) = script(workload)(&mut run) {
        failures.lock().unwrap().push(format!("{workload}: the script itself failed: {error}"));
    }
    failures.lock().unwrap().extend(run.wrong.drain(..).map(|what| format!("{workload}: {what}")));
    drop(run);
    Arc::into_inner(tally).map(|tally| tally.into_inner().unwrap()).unwrap_or_default()
}

fn try_point(
    vfs: &MemVfs,
    workload: &str,
    point: Point,
    history: &History,
    (plan, second): (&Plan, Option<Point>),
    tally: &Mutex<Tally>,
    failures: &Failures,
) {
    let Point { call, end } = point;
    let image = end.image(vfs);
    let tell = |second: Option<Point>, what: String| {
        let place = second.map_or(String::new(), |second| format!("/{}/{}", second.call, second.end));
        let again = format!("PATINA_POINT={workload}/{call}/{end}{place}");
        failures.lock().unwrap().push(format!(
            "{what}\n  again: {again} cargo test -p patina-storage --test survives_every_crash_and_fault crash"
        ));
    };
    let images = {
        let mut tally = tally.lock().unwrap();
        tally.images += 1;
        tally.images
    };
    let found = guarded(|| check(&image.kill(), &end.allowed(history)));
    let found = match found {
        Ok(found) => found,
        Err(what) => return tell(None, what),
    };
    if second.is_none() && (plan.only.is_some() || !images.is_multiple_of(plan.recovery_every)) {
        return;
    }
    tally.lock().unwrap().recoveries += 1;
    // Whatever the first opening found must be found by the second.
    let expected = Arc::new(end.allowed(history).exactly(found));
    let crashed_again = Arc::new(Mutex::new(Vec::new()));
    let (failed, tried) = (crashed_again.clone(), Arc::new(Mutex::new(0)));
    let counted = tried.clone();
    let opened = image.kill();
    let probe = watched(&opened, move |vfs, call| {
        let ends = if call % 2 == 0 {
            [End::Kill, End::Seed(seed_of(call, 7))]
        } else {
            [End::Least, End::Seed(seed_of(call, 8))]
        };
        for end in ends {
            let point = Point { call, end };
            if second.is_some_and(|only| only != point) {
                continue;
            }
            *counted.lock().unwrap() += 1;
            if let Err(what) = guarded(|| check(&end.image(vfs), &expected)) {
                failed.lock().unwrap().push((point, what));
            }
        }
    });
    if let Err(error) = open_in(&probe, DIR).map(drop) {
        tell(None, format!("it does not open: {error}"));
    }
    tally.lock().unwrap().recovery_images += *tried.lock().unwrap();
    for (second, what) in crashed_again.lock().unwrap().drain(..) {
        tell(Some(second), what);
    }
}

/// All workloads, or the point that the environment names.
pub fn run_all(plan: impl Fn(&str) -> Plan, failures: &Failures) -> Vec<(&'static str, Tally)> {
    let only = std::env::var("PATINA_POINT").ok();
    let parse = |text: &str| {
        let parts: Vec<&str> = text.split('/').collect();
        let point = |at: usize| {
            let (call, end) = (parts.get(at)?.parse().ok()?, parts.get(at + 1)?.parse().ok()?);
            Some(Point { call, end })
        };
        (parts[0].to_owned(), point(1).expect("workload/call/end"), point(3))
    };
    let only = only.as_deref().map(parse);
    let wanted = WORKLOADS.iter().filter(|(name, _)| only.as_ref().is_none_or(|(only, ..)| only == name));
    let tallies = wanted.map(|(name, _)| {
        let only = only.as_ref().map(|(_, point, second)| (*point, *second));
        (*name, run(name, Plan { only, ..plan(name) }, failures))
    });
    tallies.collect()
}
