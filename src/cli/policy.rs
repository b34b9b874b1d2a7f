//! `patina policy list|show|set|drop`: policies, by the same settings as in SQL.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Result, anyhow, bail};
use patina_repl::render::{Format, Printer};
use patinadb::{Patina, Value};

use super::failure::WrongUsage;
use super::open::Folder;
use super::output;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Every policy with its periods
    List {
        /// Print one JSON object a line, with every setting
        #[arg(long)]
        json: bool,
    },
    /// Every setting of one policy
    Show {
        /// The policy's name
        name: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Change a policy, or make a new one
    Set {
        /// The policy's name
        name: String,
        /// Settings such as warm_after='7 days' purge_after=never keep_original=true; `policy show` has them all
        #[arg(value_name = "SETTING=VALUE", required = true)]
        settings: Vec<String>,
    },
    /// Drop a policy; its objects follow the built-in one of their type from then on
    Drop {
        /// The policy's name
        name: String,
    },
}

pub fn run(command: &Command, folder: &Folder) -> Result<()> {
    let patina = match command {
        Command::Set { .. } => folder.open_or_create()?,
        _ => folder.open_existing()?,
    };
    match command {
        Command::List { json: false } => {
            let sql = "SELECT name, applies_to, coalesce(warm_after, 'never') AS warm_after, \
                       coalesce(cold_after, 'never') AS cold_after, coalesce(trace_after, 'never') AS trace_after, \
                       coalesce(purge_after, 'never') AS purge_after, half_life, keep_original, name_glob \
                       FROM policies";
            print(&patina, sql, Format::Table)?;
        }
        Command::List { json: true } => print(&patina, "SELECT * FROM policies", Format::Jsonl)?,
        Command::Show { name, json } => show(&patina, name, *json)?,
        Command::Set { name, settings } => set(&patina, name, settings)?,
        Command::Drop { name } => print(&patina, &format!("DROP POLICY {}", quoted(name)), Format::Table)?,
    }
    Ok(patina.close()?)
}

fn print(patina: &Patina, sql: &str, format: Format) -> Result<()> {
    let mut session = patina.session()?;
    let mut out = output::stdout();
    let mut printer = Printer::new(&mut out, output::style(format));
    let ran = session.execute(sql, &[], &mut printer);
    if ran.is_err() {
        printer.abandon();
    }
    printer.finish()?;
    out.flush()?;
    Ok(ran?)
}

fn show(patina: &Patina, name: &str, as_json: bool) -> Result<()> {
    // Says which policies there are if this is none.
    patina.objects().policy(name)?;
    if as_json {
        let sql = format!("SELECT * FROM policies WHERE name = {}", text(name));
        return print(patina, &sql, Format::Jsonl);
    }
    let rows = patina.query("SELECT * FROM policies WHERE name = ?", [name])?;
    let mut out = output::stdout();
    let columns = rows.columns().to_vec();
    for row in rows {
        for (column, value) in columns.iter().zip(row.values()) {
            writeln!(out, "{column:<22} {}", shown(column, value))?;
        }
    }
    Ok(out.flush()?)
}

/// A setting as `policy set` would take it.
fn shown(column: &str, value: &Value) -> String {
    let is_switch = ["legal_hold", "keep_original", "built_in"].contains(&column);
    match value {
        Value::Null if column.ends_with("_after") => "never".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Integer(number) if is_switch => (*number != 0).to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => output::name(text).into_owned(),
        Value::Blob(bytes) => super::json::hex(bytes),
    }
}

fn set(patina: &Patina, name: &str, settings: &[String]) -> Result<()> {
    let assignments =
        settings.iter().map(|setting| assignment(setting)).collect::<Result<Vec<_>>>()?.join(", ");
    let is_there = patina.policies().iter().any(|policy| policy.name == name);
    let name = quoted(name);
    let statement = match is_there {
        true => format!("ALTER POLICY {name} SET {assignments}"),
        false => format!("CREATE POLICY {name} ({assignments})"),
    };
    // Nobody typed this statement: what is wrong is said without the place in it.
    print(patina, &statement, Format::Table).map_err(|error| match error.downcast::<patina_query::Error>() {
        Ok(error) => anyhow!("{}", error.message()),
        Err(error) => error,
    })
}

/// `warm_after=7 days` as SQL: numbers and words that SQL knows as they are, the rest as text.
fn assignment(setting: &str) -> Result<String> {
    let usage = || WrongUsage(format!("\"{setting}\" is no setting: write it like warm_after='7 days'"));
    let Some((name, value)) = setting.split_once('=') else { bail!(usage()) };
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        bail!(usage());
    }
    let is_number =
        value.parse::<f64>().is_ok() && value.chars().all(|c| c.is_ascii_digit() || ".-+eE".contains(c));
    let is_word = ["null", "never", "true", "false", "on", "off", "yes", "no"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word));
    let mut assignment = format!("{name} = ");
    let unsigned = value.strip_prefix('+').unwrap_or(value);
    if is_number || is_word {
        assignment.push_str(unsigned)
    } else {
        write!(assignment, "{}", text(value))?
    }
    Ok(assignment)
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_sql() {
        let cases = [
            ("warm_after=7 days", "warm_after = '7 days'"),
            ("purge_after=Never", "purge_after = Never"),
            ("weight=2.5", "weight = 2.5"),
            ("rate=-1", "rate = -1"),
            ("name_glob=it's/**", "name_glob = 'it''s/**'"),
            ("weight=inf", "weight = 'inf'"),
        ];
        for (setting, sql) in cases {
            assert_eq!(assignment(setting).unwrap(), sql);
        }
        for wrong in ["warm_after", "=1", "a b=1", "x);--=1"] {
            assert!(assignment(wrong).unwrap_err().is::<WrongUsage>(), "{wrong}");
        }
    }
}
