//! `patina sql "…"`: statements from an argument, a file or stdin; the rows to stdout.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use patina_repl::render::{Format, Printer};

use super::failure::WrongUsage;
use super::interrupt::Interrupted;
use super::open::Folder;
use super::output;

#[derive(clap::Args)]
pub struct Arguments {
    /// Statements, separated by semicolons
    #[arg(value_name = "SQL", conflicts_with = "file")]
    statements: Option<String>,

    /// Read the statements from this file, or from stdin if it is `-`
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// How rows are printed: table, json (an array a statement), jsonl (an object a row), csv or markdown
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let statements = statements(arguments)?;
    let patina = folder.open_existing()?;
    let mut session = patina.session()?;
    let handle = session.interrupt_handle();
    let _listening = Interrupted::on_ctrl_c(move || handle.interrupt())?;
    let mut out = output::stdout();
    let mut printer = Printer::new(&mut out, output::style(arguments.format));
    let ran = session.execute(&statements, &[], &mut printer);
    if ran.is_err() {
        printer.abandon();
    }
    printer.finish()?;
    out.flush()?;
    ran?;
    drop(session);
    Ok(patina.close()?)
}

fn statements(arguments: &Arguments) -> Result<String> {
    match (&arguments.statements, &arguments.file) {
        (Some(statements), _) => Ok(statements.clone()),
        (None, Some(path)) if path.as_os_str() != "-" => fs::read_to_string(path)
            .with_context(|| format!("cannot read {}: check the path, and that it is text", path.display())),
        (None, file) => {
            if file.is_none() && io::stdin().is_terminal() {
                bail!(WrongUsage(
                    "no statement: write `patina sql \"SELECT …\"`, or open the terminal with `patina`"
                        .into()
                ));
            }
            io::read_to_string(io::stdin()).context("cannot read the statements from stdin")
        }
    }
}
