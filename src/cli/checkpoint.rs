//! `patina checkpoint`: a second database that holds what this one holds now, sharing its bytes by hard links.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::open::Folder;
use super::output;
use super::progress::Progress;

#[derive(clap::Args)]
pub struct Arguments {
    /// Where to: a new or empty folder, on the same disk to share bytes instead of copying them
    dest: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_existing()?;
    let report = Progress::spin("linking", || patina.checkpoint(&arguments.dest))?;
    let mut out = output::stdout();
    if arguments.json {
        let report = json!({
            "dest": arguments.dest.display().to_string(),
            "seqno": report.seqno.0,
            "files_linked": report.files_linked,
            "files_copied": report.files_copied,
            "bytes": report.bytes,
        });
        writeln!(out, "{report}")?;
    } else {
        writeln!(
            out,
            "{}: {} linked, {} copied, {}",
            arguments.dest.display(),
            output::count(report.files_linked, "file"),
            report.files_copied,
            output::size(report.bytes)
        )?;
    }
    out.flush()?;
    Ok(patina.close()?)
}
