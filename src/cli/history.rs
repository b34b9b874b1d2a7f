//! `patina history [NAME]`: what happened to an object, or to all, and whether the record of it is unbroken.

use std::io::Write;

use anyhow::{Result, bail};
use patinadb::{ErrorKind, HistoryRow, Patina};

use super::open::Folder;
use super::{json, output, time};

#[derive(clap::Args)]
pub struct Arguments {
    /// The object's name, of one that was deleted too; without it everything that happened
    name: Option<String>,

    /// Only follow the chain of hashes from the first row to the last, and say whether it is whole
    #[arg(long, conflicts_with_all = ["name", "json"])]
    verify: bool,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    /// The tenant the object belongs to
    #[arg(long, value_name = "TENANT", default_value = patinadb::DEFAULT_TENANT)]
    tenant: String,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_existing()?;
    let mut out = output::stdout();
    if arguments.verify {
        let rows = patina.objects().verify_history()?;
        writeln!(
            out,
            "the history is whole: {}, each following from the one before",
            output::count(rows, "row")
        )?;
    } else {
        print(arguments, &patina, &mut out)?;
    }
    out.flush()?;
    Ok(patina.close()?)
}

fn print(arguments: &Arguments, patina: &Patina, out: &mut impl Write) -> Result<()> {
    let Arguments { name, tenant, .. } = arguments;
    let id = match name {
        Some(name) => match patina.objects().stat(tenant, name) {
            Ok(info) => Some(info.id),
            // One that was deleted is found by its name, in the history of all.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let mut printed = 0_u64;
    for row in patina.history(id)? {
        let row = row?;
        if id.is_none() && name.as_ref().is_some_and(|name| *name != row.name || *tenant != row.tenant) {
            continue;
        }
        printed += 1;
        match (arguments.json, name) {
            (true, _) => writeln!(out, "{}", json::history(&row))?,
            (false, Some(_)) => writeln!(out, "{}", line(&row))?,
            (false, None) => writeln!(out, "{}  {}", line(&row), output::name(&row.name))?,
        }
    }
    match name {
        Some(name) if printed == 0 => {
            bail!("there never was an object '{name}': list the names with `patina ls`")
        }
        _ => Ok(()),
    }
}

/// A row for people.
pub fn line(row: &HistoryRow) -> String {
    let from = row.from.map_or("", |stage| stage.as_str());
    let mut line = format!(
        "{}  {:<13} {from:>6} → {:<6} {:>10} → {:<10} fidelity {:.3}",
        time::local(row.at),
        row.reason.as_str(),
        row.to.map_or("", |stage| stage.as_str()),
        output::size(row.bytes_before),
        output::size(row.bytes_after),
        row.fidelity
    );
    for detail in [row.codec.as_str(), row.note.as_str()] {
        if !detail.is_empty() {
            line.push_str("  ");
            // A note can quote what somebody wrote.
            line.push_str(&output::name(detail));
        }
    }
    line
}
