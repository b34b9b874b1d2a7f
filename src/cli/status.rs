//! `patina status`: objects and bytes by stage and type, and what the database takes on disk.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use patinadb::{Stage, Sum, Totals};
use serde_json::json;
use walkdir::WalkDir;

use super::open::Folder;
use super::{json, output};

#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_existing()?;
    let totals = patina.objects().totals()?;
    let disk_bytes = disk_bytes(folder.path());
    let mut out = output::stdout();
    if arguments.json {
        let mut status = json::totals(&totals);
        status["disk_bytes"] = json!(disk_bytes);
        writeln!(out, "{status:#}")?;
    } else {
        show(&totals, disk_bytes, &mut out)?;
    }
    out.flush()?;
    Ok(patina.close()?)
}

fn show(totals: &Totals, disk_bytes: u64, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{:<10} {:>8} {:>11} {:>11} {:>6}", "stage", "objects", "size", "stored", "left")?;
    for (stage, sum) in Stage::ALL.iter().zip(&totals.by_stage) {
        line(stage.as_str(), sum, out)?;
    }
    writeln!(out, "\n{:<10} {:>8} {:>11} {:>11} {:>6}", "type", "objects", "size", "stored", "left")?;
    for (kind, sum) in &totals.by_kind {
        line(kind.as_str(), sum, out)?;
    }
    writeln!(out)?;
    line("all", &totals.all, out)?;
    let contents = output::count(totals.contents, "distinct content");
    writeln!(
        out,
        "{contents}, {}; on disk {}",
        output::size(totals.content_bytes),
        output::size(disk_bytes)
    )?;
    Ok(())
}

fn line(label: &str, sum: &Sum, out: &mut impl Write) -> Result<()> {
    let (size, stored) = (output::size(sum.size), output::size(sum.stored));
    let left = if sum.size == 0 { String::new() } else { format!("{:.0}%", percent(sum.stored, sum.size)) };
    writeln!(out, "{label:<10} {:>8} {size:>11} {stored:>11} {left:>6}", sum.objects)?;
    Ok(())
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// Everything in the database's folder; files that vanish meanwhile count nothing.
fn disk_bytes(folder: &Path) -> u64 {
    let files =
        WalkDir::new(folder).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
