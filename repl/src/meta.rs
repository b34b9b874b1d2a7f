//! Meta-commands: about the terminal, not the data. Each is a line of its own that begins with a dot.

use std::io::{self, BufWriter, Write};

use crate::render::Format;
use crate::run::Terminal;

/// What follows a meta-command.
pub(crate) enum After {
    /// The next line.
    Go,
    /// The end.
    Quit,
    /// A message for the person.
    Failed(String),
}

/// The commands with what they do.
pub(crate) const COMMANDS: [(&str, &str, &str); 8] = [
    (".help", "", "this list"),
    (".tables", "", "the tables"),
    (".schema", "[TABLE]", "the columns of a table, or the definitions of all user tables"),
    (".mode", "[FORMAT]", "how results are written: table, json, jsonl, csv or markdown"),
    (".output", "[FILE]", "write results to a file; without FILE, here again"),
    (".timer", "on|off", "show how long statements take"),
    (".stats", "", "figures about the database"),
    (".quit", "", "leave; also \\q, or Ctrl-D"),
];

/// Whether a line is a meta-command.
pub(crate) fn is_meta(line: &str) -> bool {
    let line = line.trim();
    line == "\\q"
        || line.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Runs a line that [`is_meta`].
pub(crate) fn run(terminal: &mut Terminal<'_>, line: &str) -> io::Result<After> {
    let line = line.trim().trim_end_matches(';');
    let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = unquoted(argument.trim());
    match command.to_ascii_lowercase().as_str() {
        ".quit" | ".exit" | "\\q" => return Ok(After::Quit),
        ".help" => help(terminal)?,
        ".tables" => return statement(terminal, "SELECT name, kind, columns FROM tables"),
        ".schema" if argument.is_empty() => {
            return statement(terminal, "SELECT sql FROM tables WHERE kind = 'user' ORDER BY name");
        }
        ".schema" => return statement(terminal, &format!("DESCRIBE \"{}\"", argument.replace('"', "\"\""))),
        ".stats" => return statement(terminal, "SELECT name, value FROM stats"),
        ".mode" => return mode(terminal, argument),
        ".output" => return output(terminal, argument),
        ".timer" => match argument.to_ascii_lowercase().as_str() {
            "on" => terminal.style.timing = true,
            "off" => terminal.style.timing = false,
            "" => terminal.style.timing = !terminal.style.timing,
            other => return Ok(After::Failed(format!(".timer takes on or off, not {other}"))),
        },
        other => return Ok(After::Failed(format!("there is no command {other}; .help lists them"))),
    }
    Ok(After::Go)
}

fn unquoted(argument: &str) -> &str {
    let inner = argument.strip_prefix(['\'', '"']).and_then(|rest| rest.strip_suffix(['\'', '"']));
    inner.unwrap_or(argument)
}

fn statement(terminal: &mut Terminal<'_>, sql: &str) -> io::Result<After> {
    Ok(match terminal.execute(sql)? {
        Ok(()) => After::Go,
        Err(error) => After::Failed(error.message().to_owned()),
    })
}

fn help(terminal: &mut Terminal<'_>) -> io::Result<()> {
    for (name, argument, what) in COMMANDS {
        writeln!(terminal.out, "{:<18} {what}", format!("{name} {argument}"))?;
    }
    writeln!(
        terminal.out,
        "\nStatements end with ; or at the end of a line that is complete, for example:\n  \
         SELECT FROM objects WHERE stage = 2\n  \
         SELECT stage, count(*), sum(stored) FROM objects GROUP BY stage\n  \
         TICK DRY RUN\n\
         Tab completes, Ctrl-C cancels a statement or clears the line."
    )
}

fn mode(terminal: &mut Terminal<'_>, argument: &str) -> io::Result<After> {
    if argument.is_empty() {
        writeln!(terminal.out, "{}", terminal.style.format)?;
        return Ok(After::Go);
    }
    match argument.parse::<Format>() {
        Ok(format) => terminal.style.format = format,
        Err(unknown) => return Ok(After::Failed(unknown.to_string())),
    }
    Ok(After::Go)
}

#[expect(clippy::disallowed_methods, reason = "a person names a file for the results")]
fn output(terminal: &mut Terminal<'_>, argument: &str) -> io::Result<After> {
    if let Some(mut before) = terminal.file.take() {
        before.flush()?;
    }
    if argument.is_empty() || argument == "stdout" {
        return Ok(After::Go);
    }
    match std::fs::File::create(argument) {
        Ok(file) => terminal.file = Some(BufWriter::new(file)),
        Err(error) => return Ok(After::Failed(format!("{argument} cannot be written: {error}"))),
    }
    Ok(After::Go)
}
