//! `patina status`: objects, bytes and heat by stage and type, what the database takes on disk, and what compaction has
//! still to do: tables over the limits of their levels, and blob bytes that nothing refers to.

use std::io::Write;

use anyhow::Result;
use patinadb::{Patina, Stage, Sum, Totals};
use serde_json::json;

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
    let disk = Disk::of(&patina, folder)?;
    let mut out = output::stdout();
    if arguments.json {
        let mut status = json::totals(&totals);
        status["disk_bytes"] = json!(disk.bytes);
        status["merge_debt_bytes"] = json!(disk.merge_debt_bytes);
        status["garbage_bytes"] = json!(disk.garbage_bytes);
        writeln!(out, "{status:#}")?;
    } else {
        show(&totals, &disk, &mut out)?;
    }
    out.flush()?;
    Ok(patina.close()?)
}

struct Disk {
    bytes: u64,
    merge_debt_bytes: u64,
    garbage_bytes: u64,
}

impl Disk {
    fn of(patina: &Patina, folder: &Folder) -> Result<Self> {
        let files = patina.objects().blob_files()?;
        Ok(Self {
            bytes: folder.disk_bytes(),
            merge_debt_bytes: patina
                .storage()
                .stats()
                .keyspaces
                .iter()
                .map(|keyspace| keyspace.debt_bytes)
                .sum(),
            garbage_bytes: files.iter().map(|file| file.garbage_bytes).sum(),
        })
    }
}

fn heading(label: &str, out: &mut impl Write) -> Result<()> {
    let [objects, size, stored, left, heat] = ["objects", "size", "stored", "left", "heat"];
    Ok(writeln!(out, "{label:<10} {objects:>8} {size:>11} {stored:>11} {left:>6} {heat:>7}")?)
}

fn show(totals: &Totals, disk: &Disk, out: &mut impl Write) -> Result<()> {
    heading("stage", out)?;
    for (stage, sum) in Stage::ALL.iter().zip(&totals.by_stage) {
        line(stage.as_str(), sum, out)?;
    }
    writeln!(out)?;
    heading("type", out)?;
    for (kind, sum) in &totals.by_kind {
        line(kind.as_str(), sum, out)?;
    }
    writeln!(out)?;
    line("all", &totals.all, out)?;
    let contents = output::count(totals.contents, "distinct content");
    let (content_bytes, disk_bytes) = (output::size(totals.content_bytes), output::size(disk.bytes));
    writeln!(out, "\n{contents}, {content_bytes}; on disk {disk_bytes}")?;
    let (merge, garbage) = (output::size(disk.merge_debt_bytes), output::size(disk.garbage_bytes));
    writeln!(out, "compaction has {merge} of tables to merge and {garbage} of blobs to reclaim")?;
    Ok(())
}

fn line(label: &str, sum: &Sum, out: &mut impl Write) -> Result<()> {
    let (size, stored) = (output::size(sum.size), output::size(sum.stored));
    let left = if sum.size == 0 { String::new() } else { format!("{:.0}%", percent(sum.stored, sum.size)) };
    let heat = if sum.objects == 0 { String::new() } else { format!("{:.3}", sum.mean_heat()) };
    writeln!(out, "{label:<10} {:>8} {size:>11} {stored:>11} {left:>6} {heat:>7}", sum.objects)?;
    Ok(())
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}
