//! `patina verify`: reads every byte of the database and says what is damaged. It opens nothing and changes nothing, so it
//! also works on a database that cannot be opened any more.

use std::io::Write;

use anyhow::Result;
use patinadb::storage::{Problem, VerifyReport};
use serde_json::{Value, json};

use super::failure::AlreadyReported;
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
    let mut progress = Progress::new("verifying");
    let report = folder.verify(|at| progress.at(at.bytes_done, Some(at.bytes_total)))?;
    drop(progress);
    let mut out = output::stdout();
    if arguments.json {
        writeln!(out, "{:#}", as_json(&report))?;
    } else {
        show(&report, &mut out)?;
    }
    out.flush()?;
    if report.is_sound() { Ok(()) } else { Err(AlreadyReported.into()) }
}

fn show(report: &VerifyReport, out: &mut impl Write) -> Result<()> {
    for problem in &report.problems {
        writeln!(out, "{}", problem.message)?;
    }
    let unsaid = report.problems_total - report.problems.len() as u64;
    if unsaid > 0 {
        writeln!(out, "and {unsaid} more")?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    let verdict = match report.problems_total {
        0 => "no problems".to_owned(),
        problems => output::count(problems, "problem"),
    };
    writeln!(
        out,
        "{verdict} in {}: {} with {}, {} with {}, {} followed, {} with {}",
        output::size(report.bytes),
        output::count(report.tables, "table"),
        plural(report.entries, "entry", "entries"),
        output::count(report.blob_files, "blob file"),
        output::count(report.blob_records, "record"),
        output::count(report.references, "reference"),
        output::count(report.logs, "log"),
        plural(report.batches, "batch", "batches"),
    )?;
    Ok(())
}

fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn as_json(report: &VerifyReport) -> Value {
    let problem = |problem: &Problem| {
        json!({
            "file": problem.file.as_ref().map(|path| path.display().to_string()),
            "offset": problem.offset,
            "message": problem.message,
        })
    };
    json!({
        "sound": report.is_sound(),
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        "problems_total": report.problems_total,
        "notes": report.notes,
        "bytes": report.bytes,
        "tables": report.tables,
        "entries": report.entries,
        "blob_files": report.blob_files,
        "blob_records": report.blob_records,
        "references": report.references,
        "logs": report.logs,
        "batches": report.batches,
    })
}
