//! `patina demo`: three years in a few seconds, on the samples that ship with the binary.
//!
//! Time is a manual clock that starts on a fixed day, so the output is the same on every run. Some objects are
//! read as the months go by and live longer for it; the others pass through warm, cold and trace, as the policies
//! in [`life`] say. What the pictures look like on the way is written to a folder.

mod chart;
mod life;
mod pictures;
mod samples;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use patina_repl::render::{Format, Printer, Style};
use patinadb::{ManualClock, Patina};

use self::life::{Life, Month};
use self::pictures::Pictures;
use super::output;

const CHART_ROWS: usize = 8;

/// What the demo asks at its end.
const STATEMENTS: [&str; 3] = [
    "SELECT stage, count(*), sum(size), sum(stored), round(avg(fidelity), 3) AS fidelity FROM objects GROUP BY stage",
    "SELECT name, type, stored, round(fidelity, 3) AS fidelity FROM objects WHERE stage = 2 ORDER BY stored DESC",
    "SELECT name, to_stage, bytes_before, bytes_after, round(fidelity, 3) AS fidelity, codec FROM history \
     WHERE name = 'coffee.png' ORDER BY seq",
];

#[derive(clap::Args)]
pub struct Arguments {
    /// Keep the database in this folder, which must be new or empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// Write the pictures before and after to this folder
    #[arg(long, value_name = "DIR", default_value = "patina-demo")]
    pictures: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let temporary = tempfile::tempdir().context("cannot make a temporary folder: use --keep DIR")?;
    let folder = match &arguments.keep {
        Some(folder) => unused(folder)?,
        None => temporary.path(),
    };
    let clock = ManualClock::new(life::START);
    let patina = Patina::builder().clock(clock.clone()).open(folder)?;
    let pictures = Pictures::new(&arguments.pictures)?;
    let mut out = output::stdout();

    let months = simulate(&patina, clock, pictures, &mut out)?;
    show_chart(&months, &mut out)?;
    writeln!(out, "\nThe pictures, before and after: {}\n", arguments.pictures.display())?;
    for statement in STATEMENTS {
        show_statement(&patina, statement, &mut out)?;
    }
    if let Some(folder) = &arguments.keep {
        let folder = folder.display();
        writeln!(out, "The database is kept: patina -C {folder} sql \"SELECT FROM objects\"")?;
    }
    out.flush()?;
    Ok(patina.close()?)
}

fn unused(folder: &Path) -> Result<&Path> {
    let is_used = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if is_used {
        bail!(
            "{} is not empty: name a new folder with --keep, so that nothing in it is touched",
            folder.display()
        );
    }
    Ok(folder)
}

/// Lives through the months and prints a line for each as it ends.
fn simulate(
    patina: &Patina,
    clock: ManualClock,
    pictures: Pictures,
    out: &mut impl Write,
) -> Result<Vec<Month>> {
    let mut life = Life::begin(patina, clock, pictures)?;
    writeln!(out, "{}\n", life.story())?;
    writeln!(out, "month     hot  warm  cold  trace  purged      stored       saved")?;
    let mut months = Vec::new();
    while let Some(month) = life.next_month()? {
        let [hot, warm, cold, trace, purged] = month.objects;
        let (stored, saved) = (output::size(month.stored_bytes), output::size(month.saved_bytes()));
        writeln!(
            out,
            "{}  {hot:>4}  {warm:>4}  {cold:>4}  {trace:>5}  {purged:>6}  {stored:>10}  {saved:>10}",
            month.name
        )?;
        out.flush()?;
        months.push(month);
    }
    Ok(months)
}

fn show_chart(months: &[Month], out: &mut impl Write) -> Result<()> {
    let values: Vec<u64> = months.iter().map(|month| month.stored_bytes).collect();
    let top = months.first().map_or(0, |month| month.original_bytes);
    let marks: Vec<(usize, &str)> =
        months.iter().enumerate().step_by(6).map(|(index, month)| (index, month.name.as_str())).collect();
    writeln!(out, "\nBytes stored at the end of each month; the top is what was imported.\n")?;
    write!(out, "{}", chart::draw(&values, top, CHART_ROWS, &marks, output::size))?;
    Ok(())
}

fn show_statement(patina: &Patina, statement: &str, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{}", wrapped(statement))?;
    let style = Style { width: Some(chart::COLUMNS), ..Style::plain(Format::Table) };
    let mut printer = Printer::new(&mut *out, style);
    patina.session()?.execute(statement, &[], &mut printer)?;
    printer.finish()?;
    Ok(writeln!(out)?)
}

/// A statement over as many lines as a terminal needs.
fn wrapped(statement: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in statement.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > usize::from(chart::COLUMNS) {
            lines.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}
