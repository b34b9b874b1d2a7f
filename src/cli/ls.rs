//! `patina ls [GLOB]`: one line an object, in the order of the names.

use std::io::Write;

use anyhow::{Result, anyhow};
use globset::{GlobBuilder, GlobMatcher};
use patinadb::{ListFilter, ObjectInfo};

use super::failure::{WrongUsage, report};
use super::open::Folder;
use super::{json, output};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only names like this: `*` is anything but a slash, `**` anything, `?` one character
    #[arg(value_name = "GLOB")]
    glob: Option<String>,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    /// The tenant whose objects to list
    #[arg(long, value_name = "TENANT", default_value = patinadb::DEFAULT_TENANT)]
    tenant: String,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let matcher = arguments.glob.as_deref().map(matcher).transpose()?;
    let patina = folder.open_existing()?;
    let filter = ListFilter {
        tenant: Some(arguments.tenant.clone()),
        // With an empty prefix too: it asks for the index of the names, and so for their order.
        name_prefix: Some(arguments.glob.as_deref().map(literal_prefix).unwrap_or_default()),
        ..ListFilter::default()
    };
    let mut out = output::stdout();
    let mut is_empty = true;
    for info in patina.list(&filter)? {
        let info = info?;
        if matcher.as_ref().is_some_and(|matcher| !matcher.is_match(&info.name)) {
            continue;
        }
        is_empty = false;
        if arguments.json {
            writeln!(out, "{}", json::object(&info))?;
        } else {
            writeln!(out, "{}", line(&info))?;
        }
    }
    out.flush()?;
    if is_empty
        && !arguments.json
        && let Some(glob) = &arguments.glob
    {
        report(&none_is_named(glob));
    }
    Ok(patina.close()?)
}

/// For a pattern that nothing matches.
pub fn none_is_named(glob: &str) -> String {
    let hint = match glob.contains('*') && !glob.contains("**") {
        true => "a `*` stops at a slash and `**` does not; ",
        false => "",
    };
    format!("no object is named like {}: {hint}`patina ls` lists the names", output::name(glob))
}

/// Stage, fidelity, original and stored size, type, name.
fn line(info: &ObjectInfo) -> String {
    format!(
        "{:<6} {:>5.3} {:>10} {:>10}  {:<8} {}",
        info.stage.as_str(),
        info.fidelity,
        output::size(info.size),
        output::size(info.stored),
        info.kind.as_str(),
        output::name(&info.name)
    )
}

/// A name pattern; one that cannot be read is wrong usage.
pub fn matcher(glob: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(glob).literal_separator(true).build();
    let glob = glob
        .map_err(|error| anyhow!(WrongUsage(format!("{error}: quote the pattern and check its brackets"))))?;
    Ok(glob.compile_matcher())
}

/// What every matching name begins with, so that the name index can be used.
pub fn literal_prefix(glob: &str) -> String {
    glob.chars().take_while(|c| !matches!(c, '*' | '?' | '[' | '{' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_narrows_the_scan_to_its_literal_start() {
        assert_eq!(literal_prefix("photos/2026-*.jpg"), "photos/2026-");
        assert_eq!(literal_prefix("*.jpg"), "");
        assert_eq!(literal_prefix("a\\*b"), "a");
        assert_eq!(literal_prefix("plain.txt"), "plain.txt");
    }

    #[test]
    fn who_forgot_the_second_star_is_told_of_it() {
        assert!(none_is_named("*").contains("`**` does not"));
        assert!(!none_is_named("**.jpg").contains("`**` does not"));
        assert_eq!(none_is_named("a"), "no object is named like a: `patina ls` lists the names");
    }

    #[test]
    fn a_star_stops_at_a_slash() {
        assert!(matcher("photos/*").unwrap().is_match("photos/a.jpg"));
        assert!(!matcher("photos/*").unwrap().is_match("photos/x/a.jpg"));
        assert!(matcher("photos/**").unwrap().is_match("photos/x/a.jpg"));
        assert!(matcher("photos/[").unwrap_err().is::<WrongUsage>());
    }
}
