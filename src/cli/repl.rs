//! `patina repl`, and `patina` alone: the terminal.

use std::io;

use anyhow::Result;
use patina_repl::{Ended, ReplOptions};
use patinadb::SchedulerOptions;

use super::failure::AlreadyReported;
use super::open::Folder;

/// In the database's folder: lines typed about a database stay with it.
const HISTORY_FILE: &str = "terminal-history";

#[derive(clap::Args, Default)]
pub struct Arguments {
    /// Let objects decay by themselves while the terminal is open
    #[arg(long)]
    decay: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_or_create()?;
    if arguments.decay {
        patina.start_scheduler(SchedulerOptions::default())?;
    }
    let options = ReplOptions {
        history: Some(folder.path().join(HISTORY_FILE)),
        banner: Some(format!(
            "PatinaDB {} on {}. Statements end with a semicolon; .help shows the rest.",
            env!("CARGO_PKG_VERSION"),
            folder.path().display()
        )),
        ..ReplOptions::default()
    };
    let ended = patina_repl::run(patina.session()?, options, &mut io::stdout(), &mut io::stderr())?;
    patina.close()?;
    match ended {
        Ended::Done => Ok(()),
        Ended::Failed => Err(AlreadyReported.into()),
    }
}
