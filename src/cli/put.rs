//! `patina put FILE…` and `patina put - --name N`: one object each.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use patinadb::{Access, Patina, PutOptions};

use super::check::{Contents, Stream};
use super::failure::{self, AlreadyReported, WrongUsage, report};
use super::open::Folder;
use super::pieces::{Each, Watched};
use super::progress::Progress;
use super::{check, output, sources};

const STDIN: &str = "-";

#[derive(clap::Args)]
pub struct Arguments {
    /// Files to store; `-` reads one object from stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The object's name; without it a file is named by its path
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    options: ObjectOptions,
}

/// What `put` and `import` let an object be given on its way in.
#[derive(clap::Args)]
pub struct ObjectOptions {
    /// The policy it decays by; without it the one that applies to its type
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,

    /// How fast it decays: 0.5 takes twice as long, 2 half as long
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    rate: Option<f64>,

    /// Keep the original beside the degraded form for the policy's restore window, so that it can be restored
    #[arg(long)]
    keep_original: bool,

    /// Put it under a hold for this reason: nothing changes it until it is released
    #[arg(long, value_name = "REASON")]
    hold: Option<String>,

    /// The tenant it belongs to
    #[arg(long, value_name = "TENANT", default_value = patinadb::DEFAULT_TENANT)]
    tenant: String,
}

impl ObjectOptions {
    /// The same, for the library.
    pub fn to_put_options(&self) -> PutOptions {
        PutOptions {
            tenant: self.tenant.clone(),
            policy: self.policy.clone(),
            rate: self.rate,
            keep_original: self.keep_original,
            hold: self.hold.clone(),
            ..PutOptions::default()
        }
    }
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let names = names(arguments)?;
    let options = arguments.options.to_put_options();
    // Opened by the first file that can be read: a mistyped path leaves no empty database behind.
    let mut opened: Option<Patina> = None;
    let mut is_whole = true;
    for (path, name) in arguments.files.iter().zip(&names) {
        let stored = match open(path) {
            Ok(contents) => {
                let patina = match &opened {
                    Some(patina) => patina,
                    None => opened.insert(folder.open_or_create()?),
                };
                put(patina, contents, name, &options)
            }
            Err(error) => Err(error),
        };
        is_whole &= match stored {
            Err(error) if arguments.files.len() > 1 => {
                failure::say(error)?;
                false
            }
            stored => stored?,
        };
    }
    opened.map_or(Ok(()), Patina::close)?;
    if is_whole { Ok(()) } else { Err(AlreadyReported.into()) }
}

fn open(path: &Path) -> Result<Contents> {
    if path.as_os_str() == STDIN { open_stdin() } else { check::open(path).map_err(|line| anyhow!(line)) }
}

/// The name of every file, none of them twice: the second would overwrite the first.
fn names(arguments: &Arguments) -> Result<Vec<String>> {
    if let Some(name) = &arguments.name {
        if arguments.files.len() > 1 {
            bail!(WrongUsage("--name is for one file: put the others in a command of their own".into()));
        }
        return Ok(vec![name.clone()]);
    }
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    for path in &arguments.files {
        let name = name_of(path)?;
        if !seen.insert(name.clone()) {
            bail!(WrongUsage(format!("two files would be named {name}: put one of them with --name")));
        }
        names.push(name);
    }
    Ok(names)
}

fn name_of(path: &Path) -> Result<String> {
    if path.as_os_str() == STDIN {
        bail!(WrongUsage("what comes from stdin needs a name: add --name NAME".into()));
    }
    sources::object_name(path, path, "").ok_or_else(|| {
        anyhow!("{}: no object name can be made of this path: give one with --name", path.display())
    })
}

/// Stores one object and says so; false if it is stored but something is wrong with it.
fn put(patina: &Patina, contents: Contents, name: &str, options: &PutOptions) -> Result<bool> {
    let damage = match contents {
        Contents::Whole(bytes) => {
            patina.put_with(name, &bytes, options)?;
            check::damage(&mut io::Cursor::new(bytes))?
        }
        Contents::Stream(stream) => {
            let mut progress = Progress::new("storing");
            let (mut done, total) = (0, stream.bytes);
            let mut each = |len| {
                done += len;
                progress.at(done, total);
                Ok(())
            };
            put_stream(patina, stream, name, options, &mut each)?
                .map_err(|unread| anyhow!("{}: {unread}; nothing was changed", output::name(name)))?
        }
    };
    let info = patina.objects().stat(&options.tenant, name)?;
    let shown = output::name(name);
    let mut out = output::stdout();
    writeln!(out, "{shown}: object {}, {}, {}", info.id, info.media_type, output::size(info.size))?;
    out.flush()?;
    if let Some(damage) = damage {
        report(&damage_line(&shown, damage));
    }
    Ok(damage.is_none())
}

/// Stores what is too large to be held, and gives what is plainly wrong with it; or why it could not be read, and
/// then nothing was stored.
pub fn put_stream(
    patina: &Patina,
    mut stream: Stream,
    name: &str,
    options: &PutOptions,
    each: Each<'_>,
) -> Result<Result<Option<&'static str>, String>> {
    let mut watched = Watched::new(stream.reader.as_mut(), each);
    match (patina.put_reader(name, &mut watched, options), watched.failed) {
        (Ok(_), _) => {
            let mut stored = patina.objects().reader(&options.tenant, name, Access::Unseen)?;
            Ok(Ok(check::damage(&mut stored)?))
        }
        (Err(_), Some(unread)) => Ok(Err(unread)),
        (Err(error), None) => Err(error.into()),
    }
}

/// The line for a picture that was stored but is not whole.
pub fn damage_line(name: &str, damage: &str) -> String {
    format!("{name} is {damage}: it is stored as it is; put a whole copy under this name to replace it")
}

fn open_stdin() -> Result<Contents> {
    match check::read_or_stream(io::stdin(), None).context("cannot read stdin")? {
        Some(contents) => Ok(contents),
        None => bail!("stdin is empty: there is nothing to store"),
    }
}
