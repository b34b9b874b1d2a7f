//! `patina forecast PERIOD`: what decays on which day if nobody reads, and what is left.

use std::io::Write;

use anyhow::{Result, anyhow, bail};
use patinadb::{Forecast, Stage};
use serde_json::json;

use super::failure::WrongUsage;
use super::open::Folder;
use super::{json, output, time};

#[derive(clap::Args)]
pub struct Arguments {
    /// How far to look: 30d, 2years
    #[arg(value_name = "PERIOD", default_value = "30d")]
    period: String,

    /// As if every object followed this policy
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,

    /// Print one JSON object a day
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let days = days(&arguments.period)?;
    let patina = folder.open_existing()?;
    let under = arguments.policy.as_deref().map(|name| patina.objects().policy(name)).transpose()?;
    let forecast = patina.objects().forecast(days, under.as_ref())?;
    let mut out = output::stdout();
    if arguments.json {
        print_json(&forecast, &mut out)?
    } else {
        print(&forecast, &mut out)?
    }
    out.flush()?;
    Ok(patina.close()?)
}

/// Whole days; what is left over counts as one more.
fn days(period: &str) -> Result<u32> {
    let wrong = || anyhow!(WrongUsage(format!("\"{period}\" is no period: write it like 30d or 2years")));
    let period = humantime::parse_duration(period).map_err(|_| wrong())?;
    let days = period.as_secs().div_ceil(86_400);
    if days == 0 {
        bail!(WrongUsage("a forecast is for a day at least".into()));
    }
    u32::try_from(days).map_err(|_| wrong())
}

fn print_json(forecast: &Forecast, out: &mut impl Write) -> Result<()> {
    for day in &forecast.days {
        let line = json!({
            "day": day.day,
            "at": day.at.0,
            "arrived": json::arrived(&day.by_stage),
            "originals_dropped": day.originals_dropped,
            "forgotten": day.forgotten,
            "bytes_added": day.bytes_added,
            "stored_after": day.stored_after,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Only the days on which something happens.
fn print(forecast: &Forecast, out: &mut impl Write) -> Result<()> {
    let mut quiet = true;
    for day in &forecast.days {
        let arrived = Stage::ALL.iter().zip(&day.by_stage).filter(|(_, moves)| moves.objects > 0);
        let mut parts: Vec<String> =
            arrived.map(|(stage, moves)| format!("{} to {stage}", moves.objects)).collect();
        for (number, what) in [(day.originals_dropped, "originals dropped"), (day.forgotten, "forgotten")] {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        }
        if parts.is_empty() {
            continue;
        }
        quiet = false;
        let (at, left) = (time::local(day.at), output::size(day.stored_after));
        writeln!(out, "day {:<5} {at}  about {left:>10} left  {}", day.day, parts.join(", "))?;
    }
    let (days, now) = (output::count(forecast.days.len() as u64, "day"), output::size(forecast.stored_now));
    if quiet {
        writeln!(out, "nothing decays in {days}; {now} are stored")?;
    } else {
        writeln!(out, "{now} are stored now; the rest is an estimate, as if nobody read")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_whole_days() {
        assert_eq!((days("30d").unwrap(), days("25h").unwrap(), days("1year").unwrap()), (30, 2, 366));
        for wrong in ["", "soon", "0s", "99999999999years"] {
            assert!(days(wrong).unwrap_err().is::<WrongUsage>(), "{wrong}");
        }
    }
}
