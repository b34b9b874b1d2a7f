//! `patina export GLOB DIR`: many objects as files, as they are now. Counts as no access.
//!
//! A file has the object's name below DIR; a summary, which is not the object, gets `.trace.json` after it. Names that
//! would lead out of DIR are refused, files that are there are left alone unless told otherwise; the rest goes on, and
//! the exit status is 1 at the end. Interrupted, an export leaves whole files only.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use patinadb::{Access, ListFilter, ObjectInfo, Patina, Stage};

use super::failure::{AlreadyReported, report};
use super::get::write_file;
use super::interrupt::Interrupted;
use super::ls::{literal_prefix, matcher, none_is_named};
use super::open::Folder;
use super::{output, pieces};

const TRACE_SUFFIX: &str = ".trace.json";

#[derive(clap::Args)]
pub struct Arguments {
    /// Only names like this: `*` is anything but a slash, `**` anything, `?` one character
    #[arg(value_name = "GLOB")]
    glob: String,

    /// The folder to write below; it is made if it is not there
    #[arg(value_name = "DIR")]
    into: PathBuf,

    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,

    /// The tenant whose objects to export
    #[arg(long, value_name = "TENANT", default_value = patinadb::DEFAULT_TENANT)]
    tenant: String,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let matcher = matcher(&arguments.glob)?;
    let patina = folder.open_existing()?;
    let filter = ListFilter {
        tenant: Some(arguments.tenant.clone()),
        name_prefix: Some(literal_prefix(&arguments.glob)),
        ..ListFilter::default()
    };
    let mut export = Export {
        arguments,
        patina: &patina,
        interrupted: Interrupted::on_ctrl_c(|| {})?,
        progress: progress(),
        outcome: Outcome::default(),
    };
    for info in patina.list(&filter)? {
        let info = info?;
        if matcher.is_match(&info.name) {
            export.take(&info);
        }
        if export.interrupted.is_set() {
            break;
        }
    }
    export.progress.finish_and_clear();
    let (outcome, interrupted) = (export.outcome, export.interrupted);
    patina.close()?;
    finish(arguments, &outcome, interrupted.is_set())
}

struct Export<'a> {
    arguments: &'a Arguments,
    patina: &'a Patina,
    interrupted: Interrupted,
    progress: ProgressBar,
    outcome: Outcome,
}

#[derive(Default)]
struct Outcome {
    files: u64,
    bytes: u64,
    failed: u64,
    purged: u64,
}

impl Export<'_> {
    /// Writes one object, or says why not.
    fn take(&mut self, info: &ObjectInfo) {
        if info.stage == Stage::Purged {
            self.outcome.purged += 1;
            return;
        }
        match self.write(info) {
            Ok(bytes) => {
                self.outcome.files += 1;
                self.outcome.bytes += bytes;
                self.progress.set_message(output::count(self.outcome.files, "file"));
            }
            // Not a fault of the object.
            Err(_) if self.interrupted.is_set() => {}
            Err(error) => {
                self.outcome.failed += 1;
                self.progress.suspend(|| report(&format!("{}: {error:#}", output::name(&info.name))));
            }
        }
    }

    fn write(&self, info: &ObjectInfo) -> Result<u64> {
        let name = match info.stage {
            Stage::Trace => format!("{}{TRACE_SUFFIX}", info.name),
            _ => info.name.clone(),
        };
        let path = self.arguments.into.join(relative(&name)?);
        if !self.arguments.overwrite && path.symlink_metadata().is_ok() {
            bail!("{} is there already: move it away, or add --overwrite", path.display());
        }
        let mut object = self.patina.objects().reader(&info.tenant, &info.name, Access::Unseen)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        let mut each = |len| {
            self.progress.inc(len);
            pieces::unless(&self.interrupted)
        };
        write_file(&path, &mut object, &mut each)?;
        Ok(object.len())
    }
}

/// What was written so far, on a terminal; how much there will be is not known.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bytes}, {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar
}

fn finish(arguments: &Arguments, outcome: &Outcome, interrupted: bool) -> Result<()> {
    let Outcome { files, bytes, failed, purged } = *outcome;
    if files + failed + purged == 0 && !interrupted {
        bail!(none_is_named(&arguments.glob));
    }
    let mut out = output::stdout();
    write!(out, "{}, {}", output::count(files, "file"), output::size(bytes))?;
    if purged > 0 {
        write!(out, "; {} purged, with nothing left to write", output::count(purged, "object"))?;
    }
    if interrupted {
        write!(out, "; interrupted: run it again with --overwrite for the rest")?;
    }
    writeln!(out)?;
    out.flush()?;
    if failed == 0 && !interrupted { Ok(()) } else { Err(AlreadyReported.into()) }
}

/// A name as a path that stays below where it is joined to.
fn relative(name: &str) -> Result<&Path> {
    let path = Path::new(name);
    let is_plain = |component: Component<'_>| matches!(component, Component::Normal(_));
    if name.is_empty() || name.ends_with('/') || !path.components().all(is_plain) {
        bail!("as a path the name would lead elsewhere: write it with `patina get NAME -o FILE`");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for name in ["../a", "/etc/passwd", "a/../../b", "..", "a/", ""] {
            assert!(relative(name).is_err(), "{name}");
        }
        assert_eq!(relative("photos/a b.jpg").unwrap(), Path::new("photos/a b.jpg"));
    }
}
