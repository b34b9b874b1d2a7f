//! `patina tick`: one round of decay, or what one would do, or all of them as they fall due.

use std::io::Write;

use std::time::Duration;

use anyhow::{Result, bail};
use bytesize::ByteSize;
use patinadb::{Patina, SchedulerOptions, Stage, StoreOptions, TickOptions, TickReport, Timestamp};

use super::failure::{self, WrongUsage};
use super::interrupt::Interrupted;
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

    /// Let it be this time: 2027-03-01, 2027-03-01T12:00:00Z, or +30d; the database's clock does not go back after it,
    /// but a dry run only looks
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    now: Option<String>,

    /// Vouch for the clock, though it stands far ahead of the last time that was seen
    #[arg(long, conflicts_with_all = ["now", "dry_run"])]
    confirm_clock: bool,

    /// Go on: run a round whenever something is due or a budget is exceeded, until Ctrl-C
    #[arg(long, conflicts_with_all = ["now", "dry_run", "force"])]
    watch: bool,

    /// With --watch: the share of one processor core that decay may take, above 0 to 1
    #[arg(long, value_name = "SHARE", requires = "watch", default_value_t = 0.5)]
    busy_share: f64,

    /// With --watch: the longest time between two looks, as 60s or 5m
    #[arg(long, value_name = "PERIOD", requires = "watch", default_value = "60s", value_parser = period)]
    every: Duration,

    /// The most bytes to degrade in an hour, as 500MB or 10GiB
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["dry_run", "force"], value_parser = size)]
    bytes_per_hour: Option<ByteSize>,

    /// Let nothing decay by itself until --resume, whoever has the database open; no round is run
    #[arg(long, conflicts_with_all = ["now", "dry_run", "force", "confirm_clock", "watch", "resume"])]
    pause: bool,

    /// End a pause; no round is run
    #[arg(long, conflicts_with_all = ["now", "dry_run", "force", "confirm_clock", "watch"])]
    resume: bool,

    /// Print JSON: one object, for a dry run one a line
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let degraded_bytes_per_hour_max = arguments.bytes_per_hour.map(|size| size.as_u64());
    let options = StoreOptions { degraded_bytes_per_hour_max, ..StoreOptions::default() };
    let patina = folder.open_existing_with(Patina::builder().store_options(options))?;
    if arguments.pause || arguments.resume {
        patina.objects().set_decay_paused(arguments.pause)?;
        say_paused(arguments)?;
        return Ok(patina.close()?);
    }
    if arguments.watch {
        return watch(arguments, patina);
    }
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
        if let Some(at) = now {
            let at = time::local(at);
            failure::report(&format!(
                "the database's clock stands at {at} from now on, for what is put as well"
            ));
        }
    }
    Ok(patina.close()?)
}

fn period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text).ok().filter(|period| !period.is_zero());
    period.ok_or_else(|| "write it like 60s or 5m".to_owned())
}

fn size(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|_| "write it like 500MB or 10GiB".to_owned())
}

fn say_paused(arguments: &Arguments) -> Result<()> {
    let mut out = output::stdout();
    match (arguments.json, arguments.pause) {
        (true, paused) => writeln!(out, "{}", serde_json::json!({ "decay_paused": paused }))?,
        (false, true) => writeln!(out, "decay is paused: `patina tick --resume` lets it go on")?,
        (false, false) => writeln!(out, "decay goes on: it is not paused")?,
    }
    Ok(out.flush()?)
}

/// How often to look whether a round is done.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the scheduler and prints a line for each round, until Ctrl-C. What was begun is brought to its end.
fn watch(arguments: &Arguments, patina: Patina) -> Result<()> {
    if arguments.confirm_clock {
        patina.objects().confirm_clock()?;
    }
    let look_every = arguments.every;
    let usual = SchedulerOptions::default();
    let pause_max = usual.pause_max.max(look_every);
    let busy_share = arguments.busy_share;
    patina.start_scheduler(SchedulerOptions { look_every, busy_share, pause_max, ..usual })?;
    let interrupted = Interrupted::on_ctrl_c(|| {})?;
    let (mut rounds, mut complaint) = (0, None);
    loop {
        let ends = interrupted.wait(LOOK);
        if ends {
            patina.objects().flush_touches()?;
        }
        let Some(status) = patina.scheduler_status() else { break };
        if let Some(report) = status.last.filter(|_| status.rounds > rounds) {
            rounds = status.rounds;
            print(&report, arguments.json)?;
        }
        if status.error != complaint {
            status.error.iter().for_each(|error| failure::report(error));
            complaint = status.error;
        }
        if ends {
            break;
        }
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

/// One round. Ctrl-C ends it after the objects at hand; what it did by then is reported and stays.
fn tick(patina: &Patina, options: &TickOptions<'_>, as_json: bool) -> Result<()> {
    let interrupted = Interrupted::on_ctrl_c(|| {})?;
    let options = TickOptions { stop: Some(interrupted.flag()), ..*options };
    let report = Progress::spin("decaying", || patina.tick(&options))?;
    print(&report, as_json)
}

fn print(report: &TickReport, as_json: bool) -> Result<()> {
    let mut out = output::stdout();
    if as_json {
        writeln!(out, "{}", json::tick(report))?;
    } else {
        writeln!(out, "{}", summary(report))?;
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
    if report.stopped {
        let rest = if report.forced { "stays as it is" } else { "is for the next tick" };
        line.push_str(&format!("; interrupted: what was begun is done, the rest {rest}"));
    }
    for budget in &report.budgets {
        let whose = budget.after.tenant.as_ref().map_or_else(String::new, |tenant| format!(" of {tenant}"));
        let (before, after) = (output::size(budget.used_bytes_before), output::size(budget.after.used_bytes));
        line.push_str(&format!("; budget{whose}: {before} → {after}"));
        if budget.short_by_bytes > 0 {
            let short = output::size(budget.short_by_bytes);
            line.push_str(&format!(", {short} too many, and nothing more may go: see patina budget"));
        }
    }
    line
}
