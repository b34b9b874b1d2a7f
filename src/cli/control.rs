//! What is done to single objects by name: `rm purge restore hold release pin unpin touch set mv`.
//!
//! Each is one call of the object store, so they share a file. Those that take several names go on after one that
//! fails, and end with status 1.

use std::io::Write;

use anyhow::{Result, bail};
use patinadb::objects::HoldId;
use patinadb::{ObjectStore, Timestamp};

use super::failure::{self, AlreadyReported, WrongUsage};
use super::open::Folder;
use super::{output, time};

/// Objects by name.
#[derive(clap::Args)]
pub struct Named {
    /// The objects' names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// The tenant they belong to
    #[arg(long, value_name = "TENANT", default_value = patinadb::DEFAULT_TENANT)]
    tenant: String,
}

#[derive(clap::Args)]
pub struct Hold {
    #[command(flatten)]
    objects: Named,

    /// Why: shown to whoever is refused
    #[arg(long, value_name = "REASON")]
    reason: String,

    /// When it ends by itself: 2027-03-01, 2027-03-01T12:00:00Z, or +90d; without it, when it is released
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
}

#[derive(clap::Args)]
pub struct Release {
    #[command(flatten)]
    objects: Named,

    /// Only the hold with this number; without it every hold there is
    #[arg(long, value_name = "NUMBER")]
    id: Option<u64>,
}

#[derive(clap::Args)]
pub struct Move {
    /// The object's name
    name: String,

    /// What to call it from now on
    new_name: String,

    /// The tenant it belongs to
    #[arg(long, value_name = "TENANT", default_value = patinadb::DEFAULT_TENANT)]
    tenant: String,
}

#[derive(clap::Args)]
#[group(id = "what", required = true, multiple = true, args = ["policy", "rate", "keep_original"])]
pub struct Set {
    #[command(flatten)]
    objects: Named,

    /// The policy to follow
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,

    /// How fast to age, 0.1 to 10
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    rate: Option<f64>,

    /// Whether to keep the original beside the degraded bytes for the policy's restore window
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    keep_original: Option<bool>,
}

pub fn set(arguments: &Set, folder: &Folder) -> Result<()> {
    each(&arguments.objects, folder, |store, tenant, name| {
        let mut done = Vec::new();
        if let Some(policy) = &arguments.policy {
            store.set_policy(tenant, name, policy)?;
            done.push(format!("follows {policy}"));
        }
        if let Some(rate) = arguments.rate {
            store.set_rate(tenant, name, rate)?;
            done.push(format!("ages at rate {rate}"));
        }
        if let Some(keep) = arguments.keep_original {
            store.set_keep_original(tenant, name, keep)?;
            done.push(
                if keep { "its original will be kept" } else { "its original will not be kept" }.into(),
            );
        }
        Ok(done.join(", "))
    })
}

pub fn rm(objects: &Named, folder: &Folder) -> Result<()> {
    each(objects, folder, |store, tenant, name| {
        store.delete(tenant, name)?;
        Ok("deleted; its history stays".to_owned())
    })
}

pub fn purge(objects: &Named, folder: &Folder) -> Result<()> {
    each(objects, folder, |store, tenant, name| {
        store.purge(tenant, name)?;
        Ok("purged; its row and history stay".to_owned())
    })
}

pub fn restore(objects: &Named, folder: &Folder) -> Result<()> {
    each(objects, folder, |store, tenant, name| {
        store.restore(tenant, name)?;
        let info = store.stat(tenant, name)?;
        Ok(format!("restored: {}, {}", info.media_type, output::size(info.size)))
    })
}

pub fn hold(arguments: &Hold, folder: &Folder) -> Result<()> {
    each(&arguments.objects, folder, |store, tenant, name| {
        let until = arguments.until.as_deref().map(|text| time::parse(text, store.now())).transpose()?;
        let id = store.hold(tenant, name, &arguments.reason, until)?;
        Ok(format!("held by hold {id}{}", until.map_or_else(String::new, shown_until)))
    })
}

fn shown_until(until: Timestamp) -> String {
    format!(" until {}", time::local(until))
}

pub fn release(arguments: &Release, folder: &Folder) -> Result<()> {
    each(&arguments.objects, folder, |store, tenant, name| {
        let released = store.release(tenant, name, arguments.id.map(HoldId))?;
        Ok(format!("{} released", output::count(released as u64, "hold")))
    })
}

pub fn pin(objects: &Named, folder: &Folder) -> Result<()> {
    each(objects, folder, |store, tenant, name| {
        store.set_pinned(tenant, name, true)?;
        Ok("pinned: it does not decay".to_owned())
    })
}

pub fn unpin(objects: &Named, folder: &Folder) -> Result<()> {
    each(objects, folder, |store, tenant, name| {
        store.set_pinned(tenant, name, false)?;
        Ok("no longer pinned".to_owned())
    })
}

pub fn touch(objects: &Named, folder: &Folder) -> Result<()> {
    each(objects, folder, |store, tenant, name| {
        store.touch(tenant, name)?;
        Ok("touched: counts as a read".to_owned())
    })
}

pub fn mv(arguments: &Move, folder: &Folder) -> Result<()> {
    if arguments.name == arguments.new_name {
        bail!(WrongUsage("the new name is the old one: give another".into()));
    }
    let patina = folder.open_existing()?;
    patina.objects().rename(&arguments.tenant, &arguments.name, &arguments.new_name)?;
    let mut out = output::stdout();
    writeln!(out, "{}: now {}", output::name(&arguments.name), output::name(&arguments.new_name))?;
    out.flush()?;
    Ok(patina.close()?)
}

/// Does one thing to each object and prints what came of it.
fn each(
    objects: &Named,
    folder: &Folder,
    act: impl Fn(&ObjectStore, &str, &str) -> Result<String>,
) -> Result<()> {
    let patina = folder.open_existing()?;
    let mut out = output::stdout();
    let mut all_done = true;
    for name in &objects.names {
        match act(patina.objects(), &objects.tenant, name) {
            Ok(done) => writeln!(out, "{}: {done}", output::name(name))?,
            Err(error) if objects.names.len() > 1 => {
                out.flush()?;
                failure::say(error)?;
                all_done = false;
            }
            Err(error) => return Err(error),
        }
    }
    out.flush()?;
    patina.close()?;
    if all_done { Ok(()) } else { Err(AlreadyReported.into()) }
}
