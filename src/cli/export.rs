//! `patina export GLOB DIR`: many objects as files, as they are now. Counts as no access.
//!
//! A file has the object's name below DIR; a summary, which is not the object, gets `.trace.json` after it. Names that
//! would lead out of DIR are refused, files that are there are left alone unless told otherwise; the rest goes on, and
//! the exit status is 1 at the end.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use patinadb::{ListFilter, ObjectInfo, Patina, Stage};

use super::failure::{AlreadyReported, report};
use super::get::write_file;
use super::ls::{literal_prefix, matcher};
use super::open::Folder;
use super::output;

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
    let progress =
        if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    let (mut files, mut bytes, mut failed, mut purged) = (0_u64, 0_u64, 0_u64, 0_u64);
    for info in patina.list(&filter)? {
        let info = info?;
        if !matcher.is_match(&info.name) {
            continue;
        }
        if info.stage == Stage::Purged {
            purged += 1;
            continue;
        }
        match export(arguments, &patina, &info) {
            Ok(written) => {
                files += 1;
                bytes += written;
                progress.set_message(format!("{files} written"));
                progress.tick();
            }
            Err(error) => {
                failed += 1;
                progress.suspend(|| report(&format!("{}: {error:#}", output::name(&info.name))));
            }
        }
    }
    progress.finish_and_clear();
    patina.close()?;
    if files + failed + purged == 0 {
        bail!("no object is named like {}: list the names with `patina ls`", arguments.glob);
    }
    let mut out = output::stdout();
    write!(out, "{}, {}", output::count(files, "file"), output::size(bytes))?;
    if purged > 0 {
        write!(out, "; {} purged, with nothing left to write", output::count(purged, "object"))?;
    }
    writeln!(out)?;
    out.flush()?;
    if failed == 0 { Ok(()) } else { Err(AlreadyReported.into()) }
}

fn export(arguments: &Arguments, patina: &Patina, info: &ObjectInfo) -> Result<u64> {
    let name = match info.stage {
        Stage::Trace => format!("{}{TRACE_SUFFIX}", info.name),
        _ => info.name.clone(),
    };
    let path = arguments.into.join(relative(&name)?);
    if !arguments.overwrite && path.symlink_metadata().is_ok() {
        bail!("{} is there already: move it away, or add --overwrite", path.display());
    }
    let object = patina.objects().peek(&info.tenant, &info.name)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    }
    write_file(&path, &object.bytes)?;
    Ok(object.bytes.len() as u64)
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
