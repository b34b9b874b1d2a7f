//! Statements from a pipe: no prompt, no colours, and the first failure ends it.
//!
//! Lines are gathered until one ends a statement with a semicolon; meta-commands stand on lines of their own. What
//! is left at the end is run too.

use std::io::{BufRead, Read};

use patina_query::{LexemeClass, lex};

use crate::meta::{self, After};
use crate::run::{Ended, Error, Terminal};

/// The longest statement that is gathered, in bytes.
const STATEMENT_BYTES_MAX: usize = 64 << 20;

pub(crate) fn run(terminal: &mut Terminal<'_>, input: &mut dyn BufRead) -> Result<Ended, Error> {
    let mut gathered = String::new();
    let mut first_line = 1;
    let mut line_number = 0;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let at_end = (&mut *input).take(STATEMENT_BYTES_MAX as u64).read_until(b'\n', &mut bytes)? == 0;
        line_number += 1;
        let Ok(line) = std::str::from_utf8(&bytes) else {
            writeln!(terminal.err, "patina: line {line_number}: this is not UTF-8 text")?;
            return Ok(Ended::Failed);
        };
        if gathered.trim().is_empty() {
            gathered.clear();
            first_line = line_number;
            if meta::is_meta(line) {
                match meta::run(terminal, line.trim())? {
                    After::Quit => return Ok(Ended::Done),
                    After::Go => continue,
                    After::Failed(problem) => {
                        writeln!(terminal.err, "patina: line {line_number}: {problem}")?;
                        return Ok(Ended::Failed);
                    }
                }
            }
        }
        gathered.push_str(line);
        if gathered.len() >= STATEMENT_BYTES_MAX {
            writeln!(terminal.err, "patina: line {first_line}: the statement is longer than 64 MiB")?;
            return Ok(Ended::Failed);
        }
        if at_end || (line.contains(';') && ends_statement(&gathered)) {
            if let Err(error) = terminal.execute(&gathered)? {
                let at = first_line + error.line().unwrap_or(1) - 1;
                writeln!(terminal.err, "patina: line {at}: {error}")?;
                return Ok(Ended::Failed);
            }
            gathered.clear();
        }
        if at_end {
            return Ok(Ended::Done);
        }
    }
}

/// Whether the last thing in the text, comments aside, is a semicolon.
fn ends_statement(text: &str) -> bool {
    let lexemes = lex(text);
    let mut last = lexemes.iter().rev().filter(|lexeme| {
        let piece = text.get(lexeme.range.clone()).unwrap_or("");
        let is_comment = lexeme.class == LexemeClass::Comment && lexeme.closed;
        !(is_comment || piece.trim().is_empty())
    });
    last.next().is_some_and(|lexeme| lexeme.class == LexemeClass::End)
}

#[cfg(test)]
mod tests {
    use crate::run::Ended;
    use crate::testing::piped;

    #[test]
    fn statements_run_in_order_and_may_span_lines() {
        let (ended, out, err) = piped(
            "CREATE TABLE t (a);\nINSERT INTO t\n  VALUES (1), -- one; not the end\n  ('x;y'); COUNT t;\n\
             .mode jsonl\nSELECT a\nFROM t WHERE a CONTAINS ';'",
        );
        assert_eq!((ended, err.as_str()), (Ended::Done, ""));
        assert_eq!(out, "count\n2\n{\"a\": \"x;y\"}\n");
    }

    #[test]
    fn the_first_failure_ends_the_run_and_names_its_line() {
        let (ended, out, err) =
            piped("SELECT 1 AS a;\n\n-- two\nSELECT 2;\nSELECT\n  nmae\nFROM objects;\nSELECT 3;\n");
        assert_eq!(ended, Ended::Failed);
        assert_eq!(out, "a\n1\n2\n2\n");
        assert_eq!(err, "patina: line 6: there is no column nmae; did you mean name?\n  nmae\n  ^^^^\n");
    }

    #[test]
    fn unknown_meta_commands_and_unfinished_statements_fail() {
        let (ended, _, err) = piped("SELECT 1;\n.nope\n");
        assert_eq!(
            (ended, err.as_str()),
            (Ended::Failed, "patina: line 2: there is no command .nope; .help lists them\n")
        );
        let (ended, _, err) = piped("SELECT 'abc\n");
        assert_eq!(ended, Ended::Failed);
        assert!(err.starts_with("patina: line 1: this text is never closed"), "{err}");
    }

    #[test]
    fn bytes_that_are_no_text_fail_with_their_line() {
        let (ended, out, err) = piped(b"SELECT 1 AS a;\nSELECT '\xff';\n");
        assert_eq!((ended, out.as_str()), (Ended::Failed, "a\n1\n"));
        assert_eq!(err, "patina: line 2: this is not UTF-8 text\n");
    }

    #[test]
    fn quitting_leaves_the_rest_alone() {
        for quit in [".quit", "\\q", ".exit;"] {
            assert_eq!(piped(format!("SELECT 1 AS a;\n{quit}\nSELECT nonsense;\n")).1, "a\n1\n");
        }
    }

    #[test]
    fn meta_commands_show_tables_and_schemas() {
        let (_, out, _) = piped("CREATE TABLE t (a INTEGER, b);\n.schema\n.schema t\n.mode\n");
        assert_eq!(
            out,
            "sql\n\"CREATE TABLE t (a INTEGER, b)\"\nname,type,not_null,default_value,primary_key\n\
             a,INTEGER,false,,false\nb,,false,,false\ncsv\n"
        );
        let (_, out, _) = piped(".tables\n");
        assert!(out.contains("objects,system,24"), "{out}");
        let (_, out, _) = piped(".help\n.stats\n");
        assert!(out.contains(".quit") && out.contains("objects,2"), "{out}");
    }

    #[test]
    fn output_goes_to_a_file_until_it_is_called_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let script = format!(".output {}\nSELECT 1 AS a;\n.output\nSELECT 2 AS a;\n", path.display());
        assert_eq!(piped(&script).1, "a\n2\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n1\n");
        let (ended, _, err) = piped(format!(".output {}\n", folder.path().display()));
        assert_eq!(ended, Ended::Failed);
        assert!(err.contains("cannot be written"), "{err}");
    }
}
