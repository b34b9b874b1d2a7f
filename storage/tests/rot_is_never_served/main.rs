//! Promise (I2): whatever happens to the bytes of a database, reading gives the right answer or an error that names the file and, where bytes
//! are damaged, the offset; never other data, a panic, or memory without bound.
//!
//! Every byte of every file of a small database is flipped in turn, in one bit and in all, and every file cut at every length, lost,
//! swapped, doubled, lengthened; then everything is read. A larger one is damaged at random; `PATINA_LONG_TESTS=1` makes it larger, and the
//! tries many. What was tried is printed (`--nocapture`).
//!
//! The process was killed, so one thing cannot be noticed by its nature: whether the last bytes of the log were ever there. So of the batches after the
//! last one that a later one says was synced (here the last two of four), damage to one of them takes it and those after it away, and
//! the opening says that the log was torn; and a log that was cut is a shorter log. Nothing else may be missing: see [`Damage::allows`].
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the counts go into the documentation")]

mod database;
mod memory;

use database::{DIR, Database, Reading};
use patina_storage::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What opening and reading the small database may hold, whatever its bytes say: its budgets, and what is read whole.
const PEAK_BYTES_MAX: usize = 8 << 20;
const THREADS: usize = 2;
/// What ends the manifest: a chunk without a record.
const MARK_BYTES: usize = 19;

fn is_long() -> bool {
    std::env::var_os("PATINA_LONG_TESTS").is_some()
}

/// Runs all cases, on two threads.
fn each<T: Sync>(cases: &[T], run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(case);
                }
            });
        }
    });
}

/// What was found, for the figures.
#[derive(Default)]
struct Tally {
    right: AtomicUsize,
    errors: AtomicUsize,
    shorter: AtomicUsize,
}

impl Tally {
    fn print(&self, what: &str) {
        let [right, errors, shorter] =
            [&self.right, &self.errors, &self.shorter].map(|count| count.load(Ordering::Relaxed));
        let all = right + errors + shorter;
        println!("{what}: {all} tried: {right} the right answer, {errors} an error, {shorter} a shorter log");
    }
}

/// Where the damage is.
struct Damage<'a> {
    path: &'a Path,
    from: u64,
    to: u64,
}

impl Damage<'_> {
    /// Whether the log may be shorter, to so many batches: those before the damage. If the last batch is whole, it says which of the others were
    /// synced, and these may not be missing.
    fn allows(&self, database: &Database, batches: usize) -> bool {
        let ends = &database.batch_ends;
        let whole = ends.iter().filter(|end| **end <= self.from).count();
        let last_is_whole = self.to <= ends[ends.len() - 2];
        self.path == database.log && batches == whole && (batches >= database.vouched || !last_is_whole)
    }
}

fn check(database: &Database, damage: &Damage<'_>, reading: &Reading, tally: &Tally, case: &str) {
    assert!(reading.wrong.is_empty(), "{case}: {:?}", reading.wrong);
    assert!(reading.peak_bytes <= PEAK_BYTES_MAX, "{case}: {} bytes", reading.peak_bytes);
    for error in &reading.errors {
        let (file, offset) = error.location().ok_or_else(|| format!("{case}: no file in: {error}")).unwrap();
        assert!(file.starts_with(DIR), "{case}: {error}");
        assert!(offset.is_some() || error.kind() != ErrorKind::Corruption, "{case}: no offset in: {error}");
    }
    let all = database.batch_ends.len();
    let count = match (reading.errors.is_empty(), reading.batches == all) {
        (false, _) => &tally.errors,
        (true, true) => &tally.right,
        (true, false) => {
            let batches = reading.batches;
            assert!(damage.allows(database, batches), "{case}: {batches} batches of {all}");
            &tally.shorter
        }
    };
    count.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn the_whole_database_is_read_and_sound() {
    let database = Database::make(1);
    let reading = database.read(&database.vfs.kill());
    assert!(
        reading.errors.is_empty() && reading.wrong.is_empty(),
        "{:?} {:?}",
        reading.errors,
        reading.wrong
    );
    assert_eq!(reading.batches, 4);
    assert!(reading.peak_bytes < PEAK_BYTES_MAX / 2, "{}", reading.peak_bytes);
    assert!(verify(&database.vfs).is_sound());
    let files = database.files();
    let count =
        |suffix: &str| files.iter().filter(|(path, _)| path.to_string_lossy().ends_with(suffix)).count();
    assert!(count(".sst") >= 8 && count(".blob") >= 3 && count(".log") == 1, "{files:?}");
    let bytes: usize = files.iter().map(|(_, len)| len).sum();
    println!("the database: {} files, {bytes} bytes", files.len());
}

fn verify(vfs: &MemVfs) -> VerifyReport {
    Db::verify_closed(Arc::new(vfs.clone()), Path::new(DIR), |_| {}).unwrap()
}

fn flip_each_byte(database: &Database, change: fn(u8, usize) -> u8, verifies: bool, what: &str) {
    // It says that the last edit was synced, and nothing else.
    let is_mark = |path: &Path, at| {
        path.to_string_lossy().contains("MANIFEST")
            && at + MARK_BYTES >= database.vfs.bytes(path).unwrap().len()
    };
    let cases = database.places();
    let tally = Tally::default();
    each(&cases, |(path, at)| {
        let case = format!("{what} of byte {at} of {}", path.display());
        let rotten = database.vfs.kill();
        rotten.damage(path, |bytes| bytes[*at] = change(bytes[*at], *at)).unwrap();
        let report = verifies.then(|| verify(&rotten));
        let reading = database.read(&rotten);
        check(database, &Damage { path, from: *at as u64, to: *at as u64 + 1 }, &reading, &tally, &case);
        let Some(report) = report else { return };
        let is_noticed = !report.is_sound();
        if !reading.errors.is_empty() {
            assert!(is_noticed, "{case}: verify finds nothing, reading {:?}", reading.errors);
        } else if reading.batches < database.batch_ends.len() {
            assert!(reading.is_torn && !report.notes.is_empty(), "{case}: nothing tells of the lost batches");
        } else if database.is_room(path, *at) {
            assert!(
                *path != database.log || reading.is_torn && !report.notes.is_empty(),
                "{case}: nothing tells that the log ends torn"
            );
        } else if !path.ends_with("LOCK") && !is_mark(path, *at) {
            assert!(is_noticed, "{case}: verify finds nothing");
        }
    });
    tally.print(what);
}

#[test]
fn every_flipped_bit_gives_the_right_answer_or_an_error_and_verify_finds_it() {
    flip_each_byte(&Database::make(1), |byte, at| byte ^ 1 << (at % 8), true, "one bit");
}

#[test]
fn every_inverted_byte_gives_the_right_answer_or_an_error() {
    flip_each_byte(&Database::make(1), |byte, _| !byte, false, "the inversion");
}

#[test]
fn a_file_cut_at_any_length_is_an_error_or_a_shorter_log() {
    let database = Database::make(1);
    let cases = database.places();
    let tally = Tally::default();
    each(&cases, |(path, at)| {
        let case = format!("{} cut at {at}", path.display());
        let cut = database.vfs.kill();
        cut.damage(path, |bytes| bytes.truncate(*at)).unwrap();
        let report = verify(&cut);
        let reading = database.read(&cut);
        check(&database, &Damage { path, from: *at as u64, to: u64::MAX }, &reading, &tally, &case);
        assert!(
            reading.errors.is_empty() || !report.is_sound(),
            "{case}: verify finds nothing: {:?}",
            reading.errors
        );
    });
    tally.print("cut files");
}

/// Changes of whole files: the change, applied to a copy, and the file that it is about.
fn changes_of_files(database: &Database) -> Vec<(String, PathBuf, MemVfs)> {
    let mut changes = Vec::new();
    let files = database.files();
    let dir = Path::new(DIR);
    let put =
        |vfs: &MemVfs, path: &Path, bytes: &[u8]| vfs.create(path).unwrap().write_all_at(bytes, 0).unwrap();
    for (path, len) in &files {
        let bytes = database.vfs.bytes(path).unwrap();
        let mut change = |what: &str, make: &dyn Fn(&MemVfs)| {
            let changed = database.vfs.kill();
            make(&changed);
            changes.push((format!("{} {what}", path.display()), path.clone(), changed));
        };
        change("lost", &|vfs| vfs.remove(path).unwrap());
        for (what, tail) in [("zeros", vec![0; 100]), ("noise", vec![0xa5; 5000]), ("itself", bytes.clone())]
        {
            change(&format!("followed by {what}"), &|vfs| {
                vfs.damage(path, |bytes| bytes.extend(&tail)).unwrap();
            });
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let suffix = path.extension().map(|suffix| suffix.to_str().unwrap());
        if let Some(suffix) = suffix {
            for number in [1u64, 90_000, 1 << 40] {
                let other = dir.join(format!("{number:06}.{suffix}"));
                change(&format!("also as {number}"), &|vfs| put(vfs, &other, &bytes));
            }
        } else if name.starts_with("MANIFEST") {
            change("also as 77", &|vfs| put(vfs, &dir.join("MANIFEST-000077"), &bytes));
        }
        let kin = files
            .iter()
            .filter(|(other, _)| suffix.is_some() && other.extension() == path.extension() && other > path);
        for (other, other_len) in kin {
            change(&format!("swapped with {}", other.display()), &|vfs| {
                put(vfs, path, &database.vfs.bytes(other).unwrap());
                put(vfs, other, &bytes);
            });
            change(&format!("in the place of {}", other.display()), &|vfs| put(vfs, other, &bytes));
            // Not a byte of it where it belongs, its length as it should be.
            change(&format!("shifted, and as long as {}", other.display()), &|vfs| {
                let shifted: Vec<u8> =
                    bytes.iter().cycle().skip(1).take(*other_len.max(len)).copied().collect();
                put(vfs, other, &shifted);
            });
        }
    }
    changes
}

#[test]
fn lost_lengthened_swapped_and_doubled_files_are_an_error_or_no_matter() {
    let database = Database::make(1);
    let tally = Tally::default();
    each(&changes_of_files(&database), |(case, path, changed)| {
        let report = verify(changed);
        let reading = database.read(changed);
        check(&database, &Damage { path, from: u64::MAX, to: u64::MAX }, &reading, &tally, case);
        assert!(
            reading.errors.is_empty() || !report.is_sound(),
            "{case}: verify finds nothing: {:?}",
            reading.errors
        );
    });
    tally.print("changed files");
}

/// Numbers that look random, always the same.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }
}

#[test]
fn ranges_of_a_larger_database_zeroed_overwritten_or_moved_are_an_error() {
    let (scale, tries) = if is_long() { (40, 20_000) } else { (8, 400) };
    let database = Database::make(scale);
    let files = database.files();
    let tally = Tally::default();
    let seeds: Vec<u64> = (0..tries).collect();
    each(&seeds, |seed| {
        let mut noise = Noise(*seed ^ 0x5bd1_e995);
        let (path, len) = &files[noise.next(files.len())];
        let len = &database.records_end(path).min(*len);
        let from = noise.next(*len);
        let longest = 1 << noise.next(13);
        let to = (from + 1 + noise.next(longest)).min(*len);
        let kind = noise.next(3);
        let rotten = database.vfs.kill();
        rotten
            .damage(path, |bytes| match kind {
                0 => bytes[from..to].fill(0),
                1 => bytes[from..to].iter_mut().for_each(|byte| *byte = noise.next(256) as u8),
                _ => bytes[from..to].rotate_left(1),
            })
            .unwrap();
        let case = format!("seed {seed}: {} {from}..{to} kind {kind}", path.display());
        let is_changed = rotten.bytes(path).unwrap() != database.vfs.bytes(path).unwrap();
        let report = verify(&rotten);
        let reading = database.read(&rotten);
        check(&database, &Damage { path, from: from as u64, to: to as u64 }, &reading, &tally, &case);
        assert!(is_changed || reading.errors.is_empty(), "{case}");
        assert!(
            reading.errors.is_empty() || !report.is_sound(),
            "{case}: verify finds nothing: {:?}",
            reading.errors
        );
    });
    tally.print("damaged ranges");
}

/// Of one flipped bit, salvaging loses what stands there and nothing else; each seventh byte by default, all in long runs.
#[test]
fn what_one_flipped_bit_leaves_is_salvaged() {
    let database = Database::make(1);
    let every = if is_long() { 1 } else { 7 };
    let cases: Vec<_> = database.places().into_iter().step_by(every).collect();
    let (whole, lost, keys) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    each(&cases, |(path, at)| {
        let case = format!("byte {at} of {}", path.display());
        let rotten = database.vfs.kill();
        rotten.damage(path, |bytes| bytes[*at] ^= 1 << (at % 8)).unwrap();
        let (report, missing) = database.salvage(&rotten, &case);
        // A block of the smallest tables holds all of their keys.
        assert!(missing <= 5, "{case}: {missing} keys are lost: {:?}", report.losses);
        let names_manifest = path.to_string_lossy().contains("MANIFEST") || path.ends_with("CURRENT");
        assert!(missing == 0 || !names_manifest, "{case}: {missing} keys are lost");
        let is_elsewhere = |loss: &Loss| loss.file.as_deref() != Some(&**path);
        assert!(!report.losses.iter().any(is_elsewhere) || names_manifest, "{case}: {:?}", report.losses);
        if report.losses_total == 0 { &whole } else { &lost }.fetch_add(1, Ordering::Relaxed);
        keys.fetch_add(missing, Ordering::Relaxed);
    });
    println!(
        "salvaged: {} tried: {whole:?} copied whole, {lost:?} with losses, of {keys:?} keys in all",
        cases.len()
    );
}

#[test]
fn what_lost_cut_or_swapped_files_leave_is_salvaged() {
    let database = Database::make(1);
    let mut cases = changes_of_files(&database);
    for (path, len) in database.files() {
        for at in (0..len.min(database.records_end(&path))).step_by(if is_long() { 1 } else { 41 }) {
            let cut = database.vfs.kill();
            cut.damage(&path, |bytes| bytes.truncate(at)).unwrap();
            cases.push((format!("{} cut at {at}", path.display()), path.clone(), cut));
        }
    }
    each(&cases, |(case, _, changed)| {
        let (report, missing) = database.salvage(changed, case);
        assert!(missing == 0 || report.losses_total > 0, "{case}: {missing} keys are lost without a word");
    });
}

/// Whoever is to salvage it must find what the first failure found, not the traces of each attempt.
#[test]
fn a_database_that_cannot_be_opened_stays_as_it_is() {
    let database = Database::make(1);
    let dir = Path::new(DIR);
    let names = database.vfs.list(dir).unwrap();
    for suffix in [".sst", ".log", ".blob"] {
        let vfs = database.vfs.kill();
        let path = dir.join(names.iter().rfind(|name| name.ends_with(suffix)).unwrap());
        // The end of a table is looked at when it is opened, of the others the beginning.
        let at = if suffix == ".sst" { vfs.bytes(&path).unwrap().len() - 30 } else { 40 };
        vfs.damage(&path, |bytes| bytes[at] ^= 1).unwrap();
        let before: Vec<_> = names.iter().map(|name| vfs.bytes(&dir.join(name)).unwrap()).collect();
        let reading = database.read(&vfs);
        assert!(!reading.is_open, "{suffix}: {:?}", reading.errors);
        assert_eq!(vfs.list(dir).unwrap(), names);
        let after: Vec<_> = names.iter().map(|name| vfs.bytes(&dir.join(name)).unwrap()).collect();
        assert!(before == after && vfs.writes() == 0, "{suffix}");
    }
}
