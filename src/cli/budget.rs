//! `patina budget [SIZE|none]`: how many bytes the objects may take.

use std::io::Write;

use anyhow::{Result, anyhow};
use bytesize::ByteSize;
use patinadb::{Budget, BudgetStatus, Patina};

use super::failure::WrongUsage;
use super::open::Folder;
use super::{json, output};

#[derive(clap::Args)]
pub struct Arguments {
    /// The budget to set, as 1000000 or 10GiB, or "none" to have none; without it the budgets are shown
    #[arg(value_name = "SIZE", allow_negative_numbers = true)]
    size: Option<String>,

    /// Only this tenant's objects; without it all that there are
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,

    /// Refuse puts beyond the budget, instead of taking them and letting decay follow
    #[arg(long, requires = "size")]
    refuse_writes: bool,

    /// Print one JSON object a budget
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_existing()?;
    if let Some(size) = &arguments.size {
        let bytes = size_of(size)?;
        let budget = bytes.map(|bytes| Budget { bytes, refuse_writes: arguments.refuse_writes });
        patina.objects().set_budget(arguments.tenant.as_deref(), budget)?;
    }
    let mut out = output::stdout();
    show(&patina, arguments, &mut out)?;
    out.flush()?;
    Ok(patina.close()?)
}

/// `None` is no budget.
fn size_of(text: &str) -> Result<Option<u64>> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let wrong = || anyhow!(WrongUsage(format!("\"{text}\" is no size: write 1000000, 10GiB or none")));
    text.parse::<ByteSize>().map(|size| Some(size.as_u64())).map_err(|_| wrong())
}

fn show(patina: &Patina, arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let mut budgets = patina.objects().budget_status()?;
    if arguments.tenant.is_some() {
        budgets.retain(|status| status.tenant == arguments.tenant);
    }
    for status in &budgets {
        if arguments.json {
            writeln!(out, "{}", json::budget(status))?;
        } else {
            lines(status, out)?;
        }
    }
    if budgets.is_empty() && !arguments.json {
        writeln!(out, "no budget is set: decay follows the policies alone")?;
    }
    Ok(())
}

/// One budget as text, for `patina status` as well.
pub fn lines(status: &BudgetStatus, out: &mut impl Write) -> Result<()> {
    let whose = status.tenant.as_ref().map_or_else(String::new, |tenant| format!(" of tenant {tenant}"));
    let (bytes, used) = (output::size(status.budget.bytes), output::size(status.used_bytes));
    let percent = status.used_bytes as f64 * 100.0 / status.budget.bytes as f64;
    writeln!(out, "budget{whose}: {used} of {bytes} are used ({percent:.0}%)")?;
    if status.excess_bytes() == 0 {
        return Ok(());
    }
    let excess = output::size(status.excess_bytes());
    writeln!(out, "  {excess} above the mark: the next round takes the least wanted of what may go")?;
    for sum in &status.blocked {
        let (objects, bytes) = (output::count(sum.objects, "object"), output::size(sum.bytes));
        writeln!(out, "  {bytes} in {objects} cannot go: {}", sum.by)?;
    }
    for object in &status.largest_blocked {
        let shared = match object.holders {
            1 => String::new(),
            holders => format!(", shared by {holders} objects"),
        };
        let (bytes, name) = (output::size(object.bytes), output::name(&object.name));
        writeln!(out, "    {bytes}  {name} ({}{shared})", object.by)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_none_are_read() {
        assert_eq!(size_of("1000").unwrap(), Some(1000));
        assert_eq!(size_of("10GiB").unwrap(), Some(10 << 30));
        assert_eq!(size_of("None").unwrap(), None);
        for wrong in ["", "much", "-5"] {
            assert!(size_of(wrong).unwrap_err().is::<WrongUsage>(), "{wrong}");
        }
    }

    #[test]
    fn a_budget_is_one_json_object() {
        let budget = Budget { bytes: 1000, refuse_writes: false };
        let status = BudgetStatus {
            tenant: None,
            budget,
            used_bytes: 990,
            blocked: Vec::new(),
            largest_blocked: Vec::new(),
        };
        assert_eq!(json::budget(&status)["excess_bytes"], 40);
    }
}
