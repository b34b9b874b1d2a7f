//! `patina compact`: merges all tables, so that what was deleted and replaced takes no space in them any more.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::open::Folder;
use super::output;
use super::progress::Progress;

#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_existing()?;
    let before = folder.disk_bytes();
    Progress::spin("compacting", || patina.storage().compact())?;
    // Closing lets go of the files that were replaced.
    patina.close()?;
    let after = folder.disk_bytes();
    let mut out = output::stdout();
    if arguments.json {
        writeln!(out, "{}", json!({ "bytes_before": before, "bytes_after": after }))?;
    } else {
        writeln!(out, "{} on disk, {} before", output::size(after), output::size(before))?;
    }
    Ok(out.flush()?)
}
