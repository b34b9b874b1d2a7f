//! `patina tick`: one round of decay, or what one would do.

use std::io::Write;

use anyhow::{Result, bail};
use patinadb::{Patina, Stage, TickOptions, TickReport, Timestamp};

use super::failure::WrongUsage;
use super::open::Folder;
use super::progress::Progress;
use super::{json, output, time};

#[derive(clap::Args)]
pub struct Arguments {
    /// Advance every unprotected object one stage, due or not
    #[arg(long)]
    force: bool,

    /// Only show what would move; nothing is written
    #[arg(long)]
    dry_run: bool,

    /// Judge as if it were this time: 2027-03-01, 2027-03-01T12:00:00Z, or +30d
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    now: Option<String>,

    /// Vouch for the clock, though it stands far ahead of the last time that was seen
    #[arg(long, conflicts_with_all = ["now", "dry_run"])]
    confirm_clock: bool,

    /// Print JSON: one object for a tick, one a line for a dry run
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_existing()?;
    let now = arguments.now.as_deref().map(|text| not_past(text, patina.now())).transpose()?;
    let options = TickOptions {
        force: arguments.force,
        now,
        confirm_clock: arguments.confirm_clock,
        ..TickOptions::default()
    };
    if arguments.dry_run {
        dry_run(&patina, &options, arguments.json)?;
    } else {
        tick(&patina, &options, arguments.json)?;
    }
    Ok(patina.close()?)
}

fn not_past(text: &str, now: Timestamp) -> Result<Timestamp> {
    let at = time::parse(text, now)?;
    if at < now {
        bail!(WrongUsage(format!("{text} is in the past: give a later time, or none for now")));
    }
    Ok(at)
}

fn tick(patina: &Patina, options: &TickOptions<'_>, as_json: bool) -> Result<()> {
    let report = Progress::spin("decaying", || patina.tick(options))?;
    let mut out = output::stdout();
    if as_json {
        writeln!(out, "{}", json::tick(&report))?;
    } else {
        writeln!(out, "{}", summary(&report))?;
    }
    Ok(out.flush()?)
}

fn dry_run(patina: &Patina, options: &TickOptions<'_>, as_json: bool) -> Result<()> {
    let moves = patina.dry_run(options)?;
    let mut out = output::stdout();
    for planned in &moves {
        if as_json {
            writeln!(out, "{}", json::planned(planned))?;
            continue;
        }
        writeln!(
            out,
            "{:<5} → {:<6} {:>10} → about {:<10} {}  ({})",
            planned.from.as_str(),
            planned.to.as_str(),
            output::size(planned.bytes_before),
            output::size(planned.bytes_after_estimate),
            output::name(&planned.name),
            planned.reason
        )?;
    }
    if !as_json {
        writeln!(out, "{} would move; nothing was written", output::count(moves.len() as u64, "object"))?;
    }
    Ok(out.flush()?)
}

/// What a tick did, in one line.
fn summary(report: &TickReport) -> String {
    let mut line = format!("{} moved", output::count(report.moved, "object"));
    if report.moved > 0 {
        let (before, after) = (output::size(report.bytes_before), output::size(report.bytes_after));
        line.push_str(&format!(", {before} → {after}"));
    }
    let arrived = Stage::ALL.iter().zip(&report.by_stage).filter(|(_, moves)| moves.objects > 0);
    for (stage, moves) in arrived {
        line.push_str(&format!("; {} {stage}", moves.objects));
    }
    let asides = [
        (report.forgotten, "forgotten"),
        (report.originals_dropped, "kept originals dropped, as their restore windows have passed"),
        (report.blocked, "blocked (held, pinned, or at the last stage)"),
        (report.left_alone, "left alone, as they were read or changed meanwhile"),
        (report.failed, "failed: see the error column of objects"),
    ];
    for (number, what) in asides.iter().filter(|(number, _)| *number > 0) {
        line.push_str(&format!("; {number} {what}"));
    }
    if report.limit_reached {
        line.push_str("; more is due, and waits for the limit of this hour");
    }
    line
}
