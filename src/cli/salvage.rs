//! `patina salvage`: a new database of all that can still be read of this one, which need not be one that can be opened.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use patinadb::Salvaged;
use patinadb::storage::Loss;
use serde_json::{Value, json};

use super::failure::AlreadyReported;
use super::open::Folder;
use super::output;
use super::progress::Progress;

#[derive(clap::Args)]
pub struct Arguments {
    /// Where to: a new or empty folder
    dest: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let mut progress = Progress::new("salvaging");
    let salvaged = folder.salvage(&arguments.dest, |at| progress.at(at.bytes_done, Some(at.bytes_total)))?;
    drop(progress);
    let mut out = output::stdout();
    if arguments.json {
        writeln!(out, "{:#}", as_json(&salvaged, arguments))?;
    } else {
        show(&salvaged, arguments, &mut out)?;
    }
    out.flush()?;
    if salvaged.is_whole() { Ok(()) } else { Err(AlreadyReported.into()) }
}

fn show(salvaged: &Salvaged, arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let Salvaged { storage, objects, tables } = salvaged;
    for loss in &storage.losses {
        match &loss.keyspace {
            Some(keyspace) => writeln!(out, "{} (in {keyspace})", loss.message)?,
            None => writeln!(out, "{}", loss.message)?,
        }
    }
    let unsaid = storage.losses_total - storage.losses.len() as u64;
    if unsaid > 0 {
        writeln!(out, "and {unsaid} more")?;
    }
    let lists = [
        ("lost", &objects.lost),
        ("original lost", &objects.originals_lost),
        ("name without an object", &objects.names_lost),
        ("its name was taken, now", &objects.renamed),
        ("its name is lost, now", &objects.unnamed),
        ("definition of a table lost", &tables.definitions_lost),
        ("a table without its definition, now", &tables.unnamed),
        ("row lost", &tables.rows_lost),
    ];
    for (what, names) in lists {
        for name in names {
            writeln!(out, "{what}: {}", output::name(name))?;
        }
    }
    let unsaid = tables.rows_lost_total - tables.rows_lost.len() as u64;
    if unsaid > 0 {
        writeln!(out, "and {} more", output::count(unsaid, "row"))?;
    }
    for id in &objects.rows_lost {
        writeln!(out, "lost: object {id}, whose name is not known")?;
    }
    for note in &storage.notes {
        writeln!(out, "note: {note}")?;
    }
    writeln!(
        out,
        "{}: {} and {} with {} in {}, {}",
        arguments.dest.display(),
        output::count(objects.objects, "object"),
        output::count(tables.tables, "table"),
        output::count(storage.keys, "key"),
        output::size(storage.bytes),
        if salvaged.is_whole() {
            "nothing was lost".to_owned()
        } else {
            format!("{}, see above", output::count(storage.losses_total, "damage"))
        }
    )?;
    Ok(())
}

fn as_json(salvaged: &Salvaged, arguments: &Arguments) -> Value {
    let Salvaged { storage, objects, tables } = salvaged;
    let loss = |loss: &Loss| {
        let keys = loss.keys.as_ref();
        json!({
            "file": loss.file.as_ref().map(|path| path.display().to_string()),
            "offset": loss.offset,
            "keyspace": loss.keyspace,
            "first_key": keys.map(|(first, _)| first.escape_ascii().to_string()),
            "last_key": keys.map(|(_, last)| last.escape_ascii().to_string()),
            "message": loss.message,
        })
    };
    json!({
        "dest": arguments.dest.display().to_string(),
        "whole": salvaged.is_whole(),
        "losses": storage.losses.iter().map(loss).collect::<Vec<_>>(),
        "losses_total": storage.losses_total,
        "notes": storage.notes,
        "keyspaces": storage.keyspaces,
        "keys": storage.keys,
        "keys_without_reference": storage.keys_without_reference,
        "bytes": storage.bytes,
        "objects": objects.objects,
        "objects_lost": objects.lost,
        "originals_lost": objects.originals_lost,
        "rows_lost": objects.rows_lost.iter().map(|id| id.0).collect::<Vec<_>>(),
        "names_lost": objects.names_lost,
        "renamed": objects.renamed,
        "unnamed": objects.unnamed,
        "tables": tables.tables,
        "table_rows": tables.rows,
        "table_rows_lost": tables.rows_lost,
        "table_rows_lost_total": tables.rows_lost_total,
        "definitions_lost": tables.definitions_lost,
        "tables_unnamed": tables.unnamed,
    })
}
