//! A person at the keyboard.

use std::io::Write;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::editor::Helper;
use crate::meta::{self, After};
use crate::run::{Ended, Error, ReplOptions, Terminal};

const PROMPT: &str = "patina> ";

/// Lines kept in the history.
const HISTORY_LINES_MAX: usize = 10_000;

pub(crate) fn run(terminal: &mut Terminal<'_>, options: &ReplOptions) -> Result<Ended, Error> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .build();
    let mut editor: Editor<Helper, DefaultHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Helper::new(terminal.session.names())));
    if let Some(path) = &options.history {
        // There is none yet the first time.
        let _ = editor.load_history(path);
    }
    let interrupt = terminal.session.interrupt_handle();
    // The editor reads Ctrl-C as a key; this is for while a statement runs. Another handler may be there already.
    let _ = ctrlc::set_handler(move || interrupt.interrupt());
    if let Some(banner) = &options.banner {
        writeln!(terminal.out, "{banner}")?;
    }
    let ended = lines(terminal, &mut editor);
    if let Some(path) = &options.history
        && let Err(error) = editor.save_history(path)
    {
        writeln!(terminal.err, "the history of lines cannot be kept in {}: {error}", path.display())?;
    }
    if let Some(file) = &mut terminal.file {
        file.flush()?;
    }
    ended
}

fn lines(terminal: &mut Terminal<'_>, editor: &mut Editor<Helper, DefaultHistory>) -> Result<Ended, Error> {
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(Ended::Done),
            Err(error) => return Err(error.into()),
        };
        if line.trim().is_empty() {
            continue;
        }
        editor.add_history_entry(line.trim_end())?;
        terminal.style.width = window_width(editor);
        if run_text(terminal, &line)? == Next::Quit {
            return Ok(Ended::Done);
        }
    }
}

#[derive(PartialEq)]
enum Next {
    Line,
    Quit,
}

/// Runs what was entered: meta-commands first, if it begins with them (several lines can be pasted), then the rest.
fn run_text(terminal: &mut Terminal<'_>, text: &str) -> Result<Next, Error> {
    let mut rest = text;
    while let Some(line) = rest.lines().next()
        && (meta::is_meta(line) || line.trim().is_empty())
    {
        rest = rest.get(line.len()..).unwrap_or("").trim_start_matches(['\r', '\n']);
        if line.trim().is_empty() {
            continue;
        }
        match meta::run(terminal, line)? {
            After::Go => {}
            After::Quit => return Ok(Next::Quit),
            After::Failed(problem) => writeln!(terminal.err, "{problem}")?,
        }
    }
    if let Err(error) = terminal.execute(rest)? {
        writeln!(terminal.err, "{error}")?;
    }
    Ok(Next::Line)
}

fn window_width(editor: &mut Editor<Helper, DefaultHistory>) -> Option<u16> {
    let (columns, _) = editor.dimensions()?;
    Some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Format, Style};
    use crate::testing::session;

    #[test]
    fn pasted_lines_may_begin_with_meta_commands() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut terminal = Terminal {
            session: session(),
            style: Style::plain(Format::Table),
            file: None,
            out: &mut out,
            err: &mut err,
        };
        let ended = run_text(&mut terminal, ".mode csv\n\n.nope\nSELECT 1 AS a,\n2 AS b");
        assert!(ended.is_ok_and(|next| next == Next::Line));
        assert!(run_text(&mut terminal, "\\q\nSELECT 1").is_ok_and(|next| next == Next::Quit));
        assert_eq!(String::from_utf8(out).unwrap(), "a,b\n1,2\n");
        assert_eq!(String::from_utf8(err).unwrap(), "there is no command .nope; .help lists them\n");
    }
}
