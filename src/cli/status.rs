//! `patina status`: objects, bytes and heat by stage and type, what the database takes on disk, and what compaction has
//! still to do: tables over the limits of their levels, and blob bytes that nothing refers to; and how the budgets stand.
//!
//! With `--watch` it looks again and again. A database is open in one process at a time, so each look opens and closes
//! it; between two looks others may have it, and if they keep it, the screen says so until they are done.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use patinadb::{Clock, Patina, Stage, Sum, SystemClock, Totals};
use serde_json::json;

use super::failure::report;
use super::interrupt::Interrupted;
use super::open::Folder;
use super::{budget, json, output, time};

#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON object; with --watch one a line
    #[arg(long)]
    json: bool,

    /// Look again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    match arguments.watch {
        Some(seconds) => watch(arguments, folder, Duration::from_secs(seconds)),
        None => {
            let look = look(arguments, folder)?;
            let mut out = output::stdout();
            out.write_all(&look)?;
            Ok(out.flush()?)
        }
    }
}

/// What there is to show now.
fn look(arguments: &Arguments, folder: &Folder) -> Result<Vec<u8>> {
    let patina = folder.open_existing()?;
    let totals = patina.objects().totals()?;
    let disk = Disk::of(&patina, folder)?;
    let budgets = patina.objects().budget_status()?;
    let is_paused = patina.objects().is_decay_paused();
    patina.close()?;
    let mut out = Vec::new();
    if arguments.json {
        let mut status = json::totals(&totals);
        status["disk_bytes"] = json!(disk.bytes);
        status["merge_debt_bytes"] = json!(disk.merge_debt_bytes);
        status["garbage_bytes"] = json!(disk.garbage_bytes);
        status["budgets"] = budgets.iter().map(json::budget).collect();
        status["decay_paused"] = json!(is_paused);
        match arguments.watch {
            Some(_) => writeln!(out, "{status}")?,
            None => writeln!(out, "{status:#}")?,
        }
    } else {
        show(&totals, &disk, &mut out)?;
        budgets.iter().try_for_each(|status| budget::lines(status, &mut out))?;
        if is_paused {
            writeln!(out, "decay is paused: `patina tick --resume` lets it go on")?;
        }
    }
    Ok(out)
}

/// From the top-left corner over what was there, and nothing left of it below.
const REDRAW: &str = "\x1b[H\x1b[J";

fn watch(arguments: &Arguments, folder: &Folder, period: Duration) -> Result<()> {
    let interrupted = Interrupted::on_ctrl_c(|| {})?;
    let redraws = std::io::stdout().is_terminal() && !arguments.json;
    loop {
        let (seen, complaint) = match look(arguments, folder) {
            Ok(seen) => (seen, None),
            Err(error) if is_locked(&error) => (Vec::new(), Some(error)),
            Err(error) => return Err(error),
        };
        let mut out = output::stdout();
        if redraws {
            write!(out, "{REDRAW}")?;
        }
        if !arguments.json {
            let (at, every) = (time::local(SystemClock.now()), period.as_secs());
            writeln!(out, "{}, {at}, every {every} s, Ctrl-C ends", folder.path().display())?;
        }
        out.write_all(&seen)?;
        match complaint {
            Some(error) if redraws => writeln!(out, "{error:#}; trying again")?,
            Some(error) => report(&format!("{error:#}; trying again")),
            None => {}
        }
        if !redraws && !arguments.json {
            writeln!(out)?;
        }
        out.flush()?;
        drop(out);
        if interrupted.wait(period) {
            return Ok(());
        }
    }
}

fn is_locked(error: &anyhow::Error) -> bool {
    use patinadb::storage::ErrorKind::Locked;
    match error.downcast_ref::<patinadb::Error>() {
        Some(patinadb::Error::Storage(error)) => error.kind() == Locked,
        Some(patinadb::Error::Objects(error)) => error.kind() == patinadb::ErrorKind::Storage(Locked),
        _ => false,
    }
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
