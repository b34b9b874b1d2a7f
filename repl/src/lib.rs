//! The PatinaDB terminal: line editing, completion, rendering, meta-commands.
//!
//! [`run`] is the whole terminal over a [`patina_query::Session`]: an editor where there is a person, a reader of
//! statements where there is a pipe. [`render`] turns results into tables, JSON, CSV or Markdown and is there for
//! other commands too.
//!
//! ```
//! use patina_query::{Column, ColumnKind, Outcome, Sink, Value};
//! use patina_repl::render::{Format, Printer, Style};
//!
//! let mut out = Vec::new();
//! let mut printer = Printer::new(&mut out, Style::plain(Format::Csv));
//! printer.begin(&[Column { name: "n".into(), kind: ColumnKind::Plain }]);
//! let _ = printer.row(&[Value::Integer(1)]);
//! printer.end(Outcome::default());
//! printer.finish()?;
//! assert_eq!(out, b"n\n1\n");
//! # Ok::<(), std::io::Error>(())
//! ```

mod editor;
mod interactive;
mod meta;
mod pipe;
pub mod render;
mod run;
#[cfg(test)]
mod testing;

pub use run::{Ended, Error, ReplOptions, run};
