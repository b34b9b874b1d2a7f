//! From an error to the one line on stderr and the exit status.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// The command was called in a way that can never work: exit status 2.
#[derive(Debug)]
pub struct WrongUsage(pub String);

impl Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Something failed that was already said on stderr: exit status 1, nothing more to print.
#[derive(Debug)]
pub struct AlreadyReported;

impl Display for AlreadyReported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reported above")
    }
}

impl std::error::Error for AlreadyReported {}

/// Prints what clap has to say: help and version are results, the rest is wrong usage.
pub fn usage(error: &clap::Error) -> ExitCode {
    // Where it cannot be printed there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(WRONG_USAGE) } else { ExitCode::SUCCESS }
}

/// Prints the error, if there is one to print, and says how the process ends.
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if reader_went_away(&error) {
        return ExitCode::SUCCESS;
    }
    if error.is::<AlreadyReported>() {
        return ExitCode::from(FAILED);
    }
    report(&one_line(&error));
    ExitCode::from(if error.is::<WrongUsage>() { WRONG_USAGE } else { FAILED })
}

/// Reports an error after which the command goes on; a reader that went away ends it.
pub fn say(error: anyhow::Error) -> anyhow::Result<()> {
    if reader_went_away(&error) {
        return Err(error);
    }
    report(&one_line(&error));
    Ok(())
}

/// One line on stderr, `patina: …`. A stderr that cannot be written leaves nobody to tell.
pub fn report(message: &str) {
    let _ = writeln!(io::stderr().lock(), "patina: {}", message.trim_end());
}

/// The error and its causes, without those that an outer message already quotes.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    line
}

fn reader_went_away(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_that_was_quoted_is_not_said_again() {
        let error =
            anyhow::anyhow!("disk full").context("cannot write a: disk full").context("cannot import");
        assert_eq!(one_line(&error), "cannot import: cannot write a: disk full");
    }

    #[test]
    fn a_broken_pipe_is_recognised_below_other_context() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        let error = Err::<(), _>(broken).context("cannot write the list").unwrap_err();
        assert!(reader_went_away(&error));
        let other = anyhow::Error::from(io::Error::from(io::ErrorKind::NotFound));
        assert!(!reader_went_away(&other));
    }
}
