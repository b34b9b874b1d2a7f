//! `patina completions SHELL`: a script for the shell, made from the arguments themselves.

use std::io::Write;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::output;

#[derive(clap::Args)]
pub struct Arguments {
    /// The shell to write it for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run<A: CommandFactory>(arguments: &Arguments) -> Result<()> {
    // Written at once, so that a reader that goes away is an error we see and not a panic.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut A::command(), "patina", &mut script);
    let mut out = output::stdout();
    out.write_all(&script)?;
    Ok(out.flush()?)
}
