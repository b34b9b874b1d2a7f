//! `patina import PATH…`: files and whole trees, a batch at a time.
//!
//! A batch is stored by one call and is durable when that returns; only then are its names printed (`-v`). A file
//! that cannot be read or stored is said on stderr, the rest goes on, and the exit status is 1 at the end. Killed or
//! interrupted, an import leaves whole objects only; running it again goes through all files once more.
//!
//! What is too large for a batch is stored by itself while it is read ([`check::open`]).
//!
//! With `--from` the paths are other stores ([`foreign`]), whose records become objects in the same way.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{Cursor, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use patinadb::{ErrorKind, Patina, PutOptions};

use super::check::{Contents, Stream};
use super::failure::{AlreadyReported, report};
use super::foreign::{self, Record, Store};
use super::interrupt::Interrupted;
use super::open::Folder;
use super::pieces;
use super::put::{ObjectOptions, damage_line, put_stream};
use super::sources::{self, Source};
use super::{check, output};

/// Something to be stored, or a line that says why it cannot be.
type Found<T> = Result<T, String>;

/// A batch is full at this many files or bytes, whichever comes first: enough to share one fsync, few enough that
/// little is read again after an interruption.
const BATCH_FILES_MAX: usize = 64;
const BATCH_BYTES_MAX: u64 = 8 << 20;

#[derive(clap::Args)]
pub struct Arguments {
    /// Files and folders; folders are read with everything below them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// The paths are stores of this kind: take what is in them, checked against their own hashes
    #[arg(long, value_name = "STORE")]
    from: Option<Store>,

    /// Put this in front of every name
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,

    /// Print each name once its object is durable
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    options: ObjectOptions,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    // Opened first: a path that holds no such store leaves no empty database behind.
    let records = arguments.from.map(|store| foreign::records(store, &arguments.paths, &arguments.prefix));
    let records = records.transpose().map_err(|line| anyhow!(line))?;
    let patina = folder.open_or_create()?;
    let interrupted = Interrupted::on_ctrl_c(|| {})?;
    let mut import = Import {
        patina: &patina,
        interrupted,
        options: arguments.options.to_put_options(),
        verbose: arguments.verbose,
        progress: progress_bar(arguments, folder.path()),
        batch: Batch::default(),
        names: (arguments.paths.len() > 1).then(BTreeSet::new),
        outcome: Outcome::default(),
    };
    match records {
        Some(records) => import.take_all(records, Import::load_record)?,
        None => {
            let files = sources::walk(&arguments.paths, &arguments.prefix, folder.path());
            import.take_all(files, Import::load_file)?;
        }
    }
    import.progress.finish_and_clear();
    let (outcome, interrupted) = (import.outcome, import.interrupted);
    patina.close()?;
    finish(&outcome, interrupted.is_set())
}

struct Import<'a> {
    patina: &'a Patina,
    interrupted: Interrupted,
    options: PutOptions,
    verbose: bool,
    progress: ProgressBar,
    batch: Batch,
    /// Names taken so far, to catch two files that would overwrite one another. One path alone names each file once.
    names: Option<BTreeSet<String>>,
    outcome: Outcome,
}

#[derive(Default)]
struct Batch {
    items: Vec<(String, Bytes)>,
    bytes: u64,
}

#[derive(Default)]
struct Outcome {
    objects: u64,
    bytes: u64,
    faults: u64,
}

impl Import<'_> {
    fn take_all<T>(
        &mut self,
        all: impl Iterator<Item = Found<T>>,
        load: impl Fn(&mut Self, T) -> Found<Option<(String, Contents)>>,
    ) -> Result<()> {
        for found in all {
            let loaded = found.and_then(|found| load(self, found));
            self.take(loaded)?;
            if self.interrupted.is_set() {
                break;
            }
        }
        self.store_batch()
    }

    /// Adds one object to the batch, and stores the batch when it is full.
    fn take(&mut self, loaded: Found<Option<(String, Contents)>>) -> Result<()> {
        match loaded {
            Ok(Some((name, Contents::Whole(bytes)))) => {
                self.batch.bytes += bytes.len() as u64;
                self.batch.items.push((name, bytes.into()));
            }
            Ok(Some((name, Contents::Stream(stream)))) => {
                self.store_batch()?;
                self.store_stream(&name, stream)?;
            }
            Ok(None) => {}
            Err(line) => self.fault(&line),
        }
        if self.batch.items.len() >= BATCH_FILES_MAX || self.batch.bytes >= BATCH_BYTES_MAX {
            self.store_batch()?;
        }
        Ok(())
    }

    fn load_file(&mut self, source: Source) -> Found<Option<(String, Contents)>> {
        let contents = check::open(&source.path)?;
        if !self.is_new(&source.name) {
            let path = source.path.display();
            return Err(format!(
                "{path}: {} was imported just now from elsewhere: use --prefix",
                source.name
            ));
        }
        Ok(Some((source.name, contents)))
    }

    fn load_record(&mut self, record: Record) -> Found<Option<(String, Contents)>> {
        let contents = record.load()?;
        if self.is_new(&record.name) {
            return Ok(Some((record.name, contents)));
        }
        // Named by its content, which is stored already.
        if record.is_named_by_content() {
            return Ok(None);
        }
        Err(format!("{} was imported just now from another log: use --prefix", record.name))
    }

    fn is_new(&mut self, name: &str) -> bool {
        self.names.as_mut().is_none_or(|names| names.insert(name.to_owned()))
    }

    /// Stores what was gathered. An object that is refused is said and left out; when storage fails, nothing of the
    /// batch is acknowledged and the import ends.
    fn store_batch(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let mut rest = batch.items.as_slice();
        while !rest.is_empty() {
            let taken = Cell::new(0);
            let items = rest.iter().inspect(|_| taken.set(taken.get() + 1));
            let items = items.map(|(name, bytes)| (name.clone(), bytes.clone(), self.options.clone()));
            let refused = match self.patina.objects().put_many(items) {
                Ok(_) => None,
                Err(error) if matches!(error.kind(), ErrorKind::Storage(_)) => return Err(error.into()),
                Err(error) => Some(error),
            };
            // The object that is refused is the last one that was taken.
            let stored = taken.get() - usize::from(refused.is_some());
            let (done, left) = rest.split_at(stored);
            for (name, bytes) in done {
                self.progress.inc(bytes.len() as u64);
                let damage = check::damage(&mut Cursor::new(bytes))?;
                self.stored(name, bytes.len() as u64, damage)?;
            }
            if let (Some(error), Some((name, _))) = (refused, left.first()) {
                self.fault(&format!("{}: {error}", output::name(name)));
            }
            rest = left.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// Stores one that is too large for a batch.
    fn store_stream(&mut self, name: &str, stream: Stream) -> Result<()> {
        let (progress, interrupted) = (&self.progress, &self.interrupted);
        let mut bytes = 0;
        let mut each = |len| {
            bytes += len;
            progress.inc(len);
            pieces::unless(interrupted)
        };
        let wrong = match put_stream(self.patina, stream, name, &self.options, &mut each) {
            Ok(Ok(damage)) => return self.stored(name, bytes, damage),
            // Not a fault of the file.
            Ok(Err(_)) if self.interrupted.is_set() => return Ok(()),
            Ok(Err(unread)) => format!("{}: {unread}; left out", output::name(name)),
            Err(error) if is_refusal(&error) => format!("{}: {error:#}", output::name(name)),
            Err(error) => return Err(error),
        };
        // Another store may have a whole one.
        self.names.iter_mut().for_each(|names| {
            names.remove(name);
        });
        self.fault(&wrong);
        Ok(())
    }

    fn stored(&mut self, name: &str, bytes: u64, damage: Option<&str>) -> Result<()> {
        let shown = output::name(name);
        self.outcome.objects += 1;
        self.outcome.bytes += bytes;
        if self.verbose {
            let mut out = output::stdout();
            writeln!(out, "{shown}")?;
            out.flush()?;
        }
        if let Some(damage) = damage {
            self.fault(&damage_line(&shown, damage));
        }
        Ok(())
    }

    fn fault(&mut self, line: &str) {
        self.outcome.faults += 1;
        self.progress.suspend(|| report(line));
    }
}

/// Whether an object was refused; what else fails ends the import.
fn is_refusal(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<patinadb::Error>() {
        Some(patinadb::Error::Objects(error)) => !matches!(error.kind(), ErrorKind::Storage(_)),
        _ => false,
    }
}

/// A bar over all bytes to be read, on a terminal; elsewhere one that shows nothing.
fn progress_bar(arguments: &Arguments, database: &Path) -> ProgressBar {
    if !std::io::stderr().is_terminal() || arguments.verbose {
        return ProgressBar::hidden();
    }
    if arguments.from.is_some() {
        // How much a store holds is known only when it was read.
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        return with_template(bar, "{spinner} {bytes}, {bytes_per_sec}");
    }
    let all = sources::walk(&arguments.paths, &arguments.prefix, database);
    let bar = ProgressBar::new(all.flatten().map(|source| source.bytes).sum());
    with_template(bar, "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
}

fn with_template(bar: ProgressBar, template: &str) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn finish(outcome: &Outcome, interrupted: bool) -> Result<()> {
    let Outcome { objects, bytes, faults } = outcome;
    let mut line = format!("imported {}, {}", output::count(*objects, "object"), output::size(*bytes));
    if *faults > 0 {
        line.push_str(&format!("; {} named above", output::count(*faults, "problem")));
    }
    if interrupted {
        line.push_str("; interrupted: run the same import again for the rest");
    }
    report(&line);
    if *faults > 0 || interrupted { Err(AlreadyReported.into()) } else { Ok(()) }
}
