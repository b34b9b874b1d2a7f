//! The `patina` command line: one file a subcommand.
//!
//! Rules that every subcommand keeps:
//!
//! - results go to stdout, everything else to stderr;
//! - exit status 0 is success, 1 an operation that failed, 2 wrong usage;
//! - an error is one line, `patina: …`, that says what to do next (SQL adds the lines with the caret);
//! - a reader that goes away (`patina ls | head`) is no error;
//! - a command that only reads never creates a database.
//!
//! A database is safe against being killed at any moment, so Ctrl-C needs no handler; the commands that can
//! say something useful about how far they came ([`import`]), that clear away what they began ([`get`], [`export`]) or
//! that can stop a query early ([`sql`]) have one.

mod budget;
mod check;
mod checkpoint;
mod compact;
mod completions;
mod control;
mod demo;
mod export;
mod failure;
mod forecast;
mod foreign;
mod get;
mod history;
mod import;
mod interrupt;
mod json;
mod ls;
mod open;
mod output;
mod pieces;
mod policy;
mod progress;
mod put;
mod repl;
mod salvage;
mod sources;
mod sql;
mod stat;
mod status;
mod tick;
mod time;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::failure::WrongUsage;
use self::open::{Folder, Recovery};

/// An object database whose compaction is a decay engine.
#[derive(Parser)]
#[command(name = "patina", version, about, max_term_width = 100)]
struct Arguments {
    /// The database's folder [default: $PATINA_DIR, else ./patina-data]
    #[arg(short = 'C', long = "dir", value_name = "DIR", global = true)]
    dir: Option<PathBuf>,

    /// What becomes of damage in the logs when a command opens the database [default: strict]
    #[arg(long, value_name = "MODE", value_enum, global = true)]
    log_recovery: Option<Recovery>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Open the terminal; statements come from stdin when that is not a terminal
    Repl(repl::Arguments),
    /// Store files, one object each, or stdin under a name
    Put(put::Arguments),
    /// Store files and whole trees
    Import(import::Arguments),
    /// Write an object's bytes, as they are now, to stdout or a file
    Get(get::Arguments),
    /// List objects
    Ls(ls::Arguments),
    /// Show everything about one object, with its history
    Stat(stat::Arguments),
    /// Show what happened to an object, or to all
    History(history::Arguments),
    /// Write many objects as files
    Export(export::Arguments),
    /// Delete objects; their history stays
    Rm(control::Named),
    /// Rename an object
    Mv(control::Move),
    /// Count as a read of objects
    Touch(control::Named),
    /// Keep objects from decay
    Pin(control::Named),
    /// Let pinned objects decay again
    Unpin(control::Named),
    /// Let nothing degrade, overwrite or delete objects until they are released
    Hold(control::Hold),
    /// Release held objects
    Release(control::Release),
    /// Bring kept originals back
    Restore(control::Named),
    /// Take the bytes of objects away and leave their rows
    Purge(control::Named),
    /// List, show, change and drop policies
    #[command(subcommand)]
    Policy(policy::Command),
    /// Run one round of decay; with --watch, run rounds whenever something is due
    Tick(tick::Arguments),
    /// Show the budgets and what blocks them, set one, or take one away
    Budget(budget::Arguments),
    /// Change the policy, the rate or the keeping of the original of objects
    Set(control::Set),
    /// Show what decays in the time to come if nobody reads
    Forecast(forecast::Arguments),
    /// Run SQL statements
    Sql(sql::Arguments),
    /// Show objects and bytes by stage and type, and the disk
    Status(status::Arguments),
    /// Read every byte and say what is damaged; exit status 1 if anything is
    Verify(verify::Arguments),
    /// Copy all that can still be read to a new database; exit status 1 if anything is lost
    Salvage(salvage::Arguments),
    /// Make a second database that holds what this one holds, sharing its bytes
    Checkpoint(checkpoint::Arguments),
    /// Merge all tables, to give back the space of what was deleted and replaced
    Compact(compact::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
    /// Show the whole life cycle on the samples that come with it
    Demo(demo::Arguments),
}

impl Command {
    /// The others read its files as they are, or have nothing to do with it.
    fn opens_the_database(&self) -> bool {
        !matches!(self, Self::Verify(_) | Self::Salvage(_) | Self::Completions(_) | Self::Demo(_))
    }
}

/// Parses the command line, runs it, and turns what came of it into an exit status.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    let folder = Folder::choose(arguments.dir, arguments.log_recovery);
    failure::exit(run(arguments.command, &folder))
}

fn run(command: Option<Command>, folder: &Folder) -> anyhow::Result<()> {
    let command = command.unwrap_or_else(|| Command::Repl(repl::Arguments::default()));
    if folder.says_how_to_open() && !command.opens_the_database() {
        let message =
            "--log-recovery is for the commands that open the database, and this one does not: leave it out";
        anyhow::bail!(WrongUsage(message.to_owned()));
    }
    match command {
        Command::Repl(arguments) => repl::run(&arguments, folder),
        Command::Put(arguments) => put::run(&arguments, folder),
        Command::Import(arguments) => import::run(&arguments, folder),
        Command::Get(arguments) => get::run(&arguments, folder),
        Command::Ls(arguments) => ls::run(&arguments, folder),
        Command::Stat(arguments) => stat::run(&arguments, folder),
        Command::History(arguments) => history::run(&arguments, folder),
        Command::Export(arguments) => export::run(&arguments, folder),
        Command::Rm(objects) => control::rm(&objects, folder),
        Command::Mv(arguments) => control::mv(&arguments, folder),
        Command::Touch(objects) => control::touch(&objects, folder),
        Command::Pin(objects) => control::pin(&objects, folder),
        Command::Unpin(objects) => control::unpin(&objects, folder),
        Command::Hold(arguments) => control::hold(&arguments, folder),
        Command::Release(arguments) => control::release(&arguments, folder),
        Command::Restore(objects) => control::restore(&objects, folder),
        Command::Purge(objects) => control::purge(&objects, folder),
        Command::Policy(command) => policy::run(&command, folder),
        Command::Tick(arguments) => tick::run(&arguments, folder),
        Command::Budget(arguments) => budget::run(&arguments, folder),
        Command::Set(arguments) => control::set(&arguments, folder),
        Command::Forecast(arguments) => forecast::run(&arguments, folder),
        Command::Sql(arguments) => sql::run(&arguments, folder),
        Command::Status(arguments) => status::run(&arguments, folder),
        Command::Verify(arguments) => verify::run(&arguments, folder),
        Command::Salvage(arguments) => salvage::run(&arguments, folder),
        Command::Checkpoint(arguments) => checkpoint::run(&arguments, folder),
        Command::Compact(arguments) => compact::run(&arguments, folder),
        Command::Completions(arguments) => completions::run::<Arguments>(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    }
}
