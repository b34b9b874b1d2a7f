//! `patina stat NAME`: everything about one object, and what happened to it.

use std::io::Write;

use anyhow::Result;
use patinadb::ObjectInfo;
use serde_json::json;

use super::open::Folder;
use super::{history, json, output, time};

#[derive(clap::Args)]
pub struct Arguments {
    /// The object's name
    name: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// The tenant it belongs to
    #[arg(long, value_name = "TENANT", default_value = patinadb::DEFAULT_TENANT)]
    tenant: String,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_existing()?;
    let info = patina.objects().stat(&arguments.tenant, &arguments.name)?;
    let history = patina.history(Some(info.id))?.collect::<Result<Vec<_>, _>>()?;
    let mut out = output::stdout();
    if arguments.json {
        let mut object = json::object(&info);
        object["history"] = json!(history.iter().map(json::history).collect::<Vec<_>>());
        writeln!(out, "{object:#}")?;
    } else {
        show(&info, &mut out)?;
        writeln!(out, "\nhistory")?;
        for row in &history {
            writeln!(out, "  {}", history::line(row))?;
        }
    }
    out.flush()?;
    Ok(patina.close()?)
}

fn show(info: &ObjectInfo, out: &mut impl Write) -> Result<()> {
    let never = || "never".to_owned();
    let rows = [
        ("name", output::name(&info.name).into_owned()),
        ("id", info.id.to_string()),
        ("type", format!("{} ({})", info.kind.as_str(), info.media_type)),
        ("stage", format!("{} ({})", info.stage.number(), info.stage)),
        ("fidelity", format!("{:.4}", info.fidelity)),
        ("size", format!("{} ({} bytes)", output::size(info.size), info.size)),
        ("stored", format!("{} ({} bytes)", output::size(info.stored), info.stored)),
        ("policy", info.policy.clone()),
        ("rate", info.rate.to_string()),
        ("heat", format!("{:.3}", info.heat)),
        ("created", time::local(info.created_at)),
        ("accessed", time::local(info.accessed_at)),
        ("next decay", info.next_decay_at.map_or_else(never, time::local)),
        ("protected", protection(info)),
        ("original", original(info)),
        ("sha256", json::hex(&info.origin_hash)),
    ];
    for (label, value) in rows {
        writeln!(out, "{label:<11} {value}")?;
    }
    if let Some(error) = &info.error {
        writeln!(out, "{:<11} {error}", "error")?;
    }
    Ok(())
}

fn original(info: &ObjectInfo) -> String {
    match info.restore_until {
        Some(until) => format!("kept until {}: `patina restore` brings it back", time::local(until)),
        None if info.content_hash == Some(info.origin_hash) => "as it was put".to_owned(),
        None => "not kept".to_owned(),
    }
}

fn protection(info: &ObjectInfo) -> String {
    match (info.held, info.pinned) {
        (false, false) => "no".to_owned(),
        (true, false) => "held".to_owned(),
        (false, true) => "pinned".to_owned(),
        (true, true) => "held and pinned".to_owned(),
    }
}
