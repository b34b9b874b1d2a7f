//! The entry: a person or a pipe, and what is common to both.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use patina_query::Session;

use crate::render::{Format, Printer, Style};
use crate::{interactive, pipe};

/// How the terminal is run.
#[derive(Clone, Debug, Default)]
pub struct ReplOptions {
    /// The file that keeps the history of lines, usually in the database's folder; `None` keeps none.
    pub history: Option<PathBuf>,
    /// The format at the start; `None` is a table.
    pub format: Option<Format>,
    /// Whether a person sits there; `None` finds out: standard input and output are both terminals.
    pub interactive: Option<bool>,
    /// A line to greet a person with.
    pub banner: Option<String>,
}

/// How the terminal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By its own will or at the end of the input.
    Done,
    /// At the first statement of a pipe that failed.
    Failed,
}

impl From<Ended> for std::process::ExitCode {
    /// 0 or 1.
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Done => Self::SUCCESS,
            Ended::Failed => Self::FAILURE,
        }
    }
}

/// What stops the terminal itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The output cannot be written, or the input read.
    #[error("the terminal cannot go on: {0}")]
    Io(#[from] io::Error),
    /// The line editor failed.
    #[error("the line editor failed: {0}")]
    Editor(#[from] rustyline::error::ReadlineError),
}

/// Runs statements and meta-commands from a person or a pipe until the end. Results go to `out`, errors to `err`.
///
/// # Errors
/// Only those of the terminal itself; a failing statement is shown, and ends a pipe with [`Ended::Failed`].
pub fn run(
    session: Session,
    options: ReplOptions,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Ended, Error> {
    let person =
        options.interactive.unwrap_or_else(|| io::stdin().is_terminal() && io::stdout().is_terminal());
    let style = if person {
        Style::terminal(options.format.unwrap_or_default(), None)
    } else {
        Style::plain(options.format.unwrap_or_default())
    };
    let mut terminal = Terminal { session, style, file: None, out, err };
    let ended = if person {
        interactive::run(&mut terminal, &options)
    } else {
        pipe::run(&mut terminal, &mut io::stdin().lock())
    };
    match ended {
        // The reader went away, as `head` does: there is nothing to report and nobody to report it to.
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Ended::Done),
        ended => ended,
    }
}

/// A session with its output.
pub(crate) struct Terminal<'a> {
    pub session: Session,
    pub style: Style,
    /// Where `.output` sends results.
    pub file: Option<BufWriter<File>>,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
}

impl Terminal<'_> {
    /// Runs a text; a failure of the statement is in the inner result.
    pub fn execute(&mut self, sql: &str) -> io::Result<Result<(), patina_query::Error>> {
        let mut style = self.style.clone();
        let out: &mut dyn Write = match &mut self.file {
            Some(file) => {
                style = Style { timing: false, ..Style::plain(style.format) };
                file
            }
            None => &mut *self.out,
        };
        let mut printer = Printer::new(out, style);
        let result = self.session.execute(sql, &[], &mut printer);
        if result.is_err() {
            printer.abandon();
        }
        printer.finish()?;
        Ok(result)
    }
}
