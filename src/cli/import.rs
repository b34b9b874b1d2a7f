//! `patina import PATH…`: files and whole trees, a batch at a time.
//!
//! A batch is stored by one call and is durable when that returns; only then are its names printed (`-v`). A file
//! that cannot be read or stored is said on stderr, the rest goes on, and the exit status is 1 at the end. Killed or
//! interrupted, an import leaves whole objects only; running it again goes through all files once more.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use patinadb::{ErrorKind, Patina, PutOptions};

use super::failure::{AlreadyReported, report};
use super::interrupt::Interrupted;
use super::open::Folder;
use super::put::{ObjectOptions, damage_line};
use super::sources::{self, Source};
use super::{check, output};

/// A batch is full at this many files or bytes, whichever comes first: enough to share one fsync, few enough that
/// little is read again after an interruption.
const BATCH_FILES_MAX: usize = 64;
const BATCH_BYTES_MAX: u64 = 8 << 20;

#[derive(clap::Args)]
pub struct Arguments {
    /// Files and folders; folders are read with everything below them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

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
    let patina = folder.open_or_create()?;
    let interrupted = Interrupted::on_ctrl_c(|| {})?;
    let mut import = Import {
        patina: &patina,
        options: arguments.options.to_put_options(),
        verbose: arguments.verbose,
        progress: progress_bar(arguments, folder.path()),
        batch: Batch::default(),
        names: (arguments.paths.len() > 1).then(BTreeSet::new),
        outcome: Outcome::default(),
    };
    for source in sources::walk(&arguments.paths, &arguments.prefix, folder.path()) {
        import.take(source)?;
        if interrupted.is_set() {
            break;
        }
    }
    import.store_batch()?;
    import.progress.finish_and_clear();
    let outcome = import.outcome;
    patina.close()?;
    finish(&outcome, interrupted.is_set())
}

struct Import<'a> {
    patina: &'a Patina,
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
    /// Reads one file into the batch, and stores the batch when it is full.
    fn take(&mut self, source: Result<Source, String>) -> Result<()> {
        match source.and_then(|source| self.load(source)) {
            Ok((name, bytes)) => {
                self.batch.bytes += bytes.len() as u64;
                self.batch.items.push((name, bytes));
            }
            Err(line) => self.fault(&line),
        }
        if self.batch.items.len() >= BATCH_FILES_MAX || self.batch.bytes >= BATCH_BYTES_MAX {
            self.store_batch()?;
        }
        Ok(())
    }

    fn load(&mut self, source: Source) -> Result<(String, Bytes), String> {
        let bytes = check::read(&source.path)?;
        if self.names.as_mut().is_some_and(|names| !names.insert(source.name.clone())) {
            let path = source.path.display();
            return Err(format!(
                "{path}: {} was imported just now from elsewhere: use --prefix",
                source.name
            ));
        }
        Ok((source.name, bytes.into()))
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
            done.iter().try_for_each(|(name, bytes)| self.stored(name, bytes))?;
            if let (Some(error), Some((name, _))) = (refused, left.first()) {
                self.fault(&format!("{}: {error}", output::name(name)));
            }
            rest = left.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    fn stored(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let shown = output::name(name);
        self.outcome.objects += 1;
        self.outcome.bytes += bytes.len() as u64;
        self.progress.inc(bytes.len() as u64);
        if self.verbose {
            let mut out = output::stdout();
            writeln!(out, "{shown}")?;
            out.flush()?;
        }
        if let Some(damage) = check::damage(bytes) {
            self.fault(&damage_line(&shown, damage));
        }
        Ok(())
    }

    fn fault(&mut self, line: &str) {
        self.outcome.faults += 1;
        self.progress.suspend(|| report(line));
    }
}

/// A bar over all bytes to be read, on a terminal; elsewhere one that shows nothing.
fn progress_bar(arguments: &Arguments, database: &Path) -> ProgressBar {
    if !std::io::stderr().is_terminal() || arguments.verbose {
        return ProgressBar::hidden();
    }
    let all = sources::walk(&arguments.paths, &arguments.prefix, database);
    let bar = ProgressBar::new(all.flatten().map(|source| source.bytes).sum());
    let style =
        ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    if let Ok(style) = style {
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
