//! Which database a command works on, and whether it may create it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use patinadb::storage::{Event, LogRecovery, Options, VerifyProgress, VerifyReport};
use patinadb::{Builder, Db, Patina, Salvaged, StdVfs};
use walkdir::WalkDir;

use super::failure;

const VARIABLE: &str = "PATINA_DIR";
const DEFAULT: &str = "patina-data";

/// What becomes of damage in the logs, which hold what was written last.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Recovery {
    /// The database is not opened
    Strict,
    /// The damage and all that was written after it is given up
    UpToDamage,
    /// Only what cannot be read is given up; what was written after it may rest on it
    SkipDamaged,
}

impl From<Recovery> for LogRecovery {
    fn from(recovery: Recovery) -> Self {
        match recovery {
            Recovery::Strict => Self::Strict,
            Recovery::UpToDamage => Self::UpToDamage,
            Recovery::SkipDamaged => Self::SkipDamaged,
        }
    }
}

/// The folder a command was pointed at, and how its database is to be opened.
pub struct Folder {
    path: PathBuf,
    log_recovery: Option<Recovery>,
}

impl Folder {
    /// The folder of the command line, else of the environment, else `./patina-data`.
    pub fn choose(argument: Option<PathBuf>, log_recovery: Option<Recovery>) -> Self {
        let from_environment = || env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = argument.or_else(from_environment).unwrap_or_else(|| PathBuf::from(DEFAULT));
        Self { path, log_recovery }
    }

    /// Where the database is, or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the command line says how to open the database.
    pub fn says_how_to_open(&self) -> bool {
        self.log_recovery.is_some()
    }

    /// Opens the database and creates it where there is none yet.
    pub fn open_or_create(&self) -> Result<Patina> {
        if self.path.is_file() {
            bail!("{} is a file, not a folder: name a folder with -C DIR", self.path.display());
        }
        Ok(self.as_told(Patina::builder()).open(&self.path)?)
    }

    /// Opens the database, which must be there: a command that only reads leaves no folder behind.
    pub fn open_existing(&self) -> Result<Patina> {
        self.open_existing_with(Patina::builder())
    }

    /// As [`Folder::open_existing`], with settings.
    pub fn open_existing_with(&self, builder: Builder) -> Result<Patina> {
        self.must_exist()?;
        Ok(self.as_told(builder).open(&self.path)?)
    }

    /// As the command line says. What is given up is told as it happens.
    fn as_told(&self, builder: Builder) -> Builder {
        let Some(recovery) = self.log_recovery else { return builder };
        builder.storage_options(Options {
            log_recovery: recovery.into(),
            listener: Some(Arc::new(tell_what_is_given_up)),
            ..Options::default()
        })
    }

    /// Verifies the database's files, whether it can be opened or not.
    pub fn verify(&self, progress: impl FnMut(&VerifyProgress<'_>)) -> Result<VerifyReport> {
        self.must_exist()?;
        Ok(Db::verify_closed(Arc::new(StdVfs), &self.path, progress)?)
    }

    /// Copies what can be read of the database, whether it can be opened or not.
    pub fn salvage(&self, dest: &Path, progress: impl FnMut(&VerifyProgress<'_>)) -> Result<Salvaged> {
        self.must_exist()?;
        Ok(Patina::salvage(&self.path, dest, progress)?)
    }

    /// Everything in the database's folder; files that vanish meanwhile count nothing.
    pub fn disk_bytes(&self) -> u64 {
        let entries = WalkDir::new(&self.path).into_iter().filter_map(Result::ok);
        let files = entries.filter(|entry| entry.file_type().is_file());
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    fn must_exist(&self) -> Result<()> {
        let shown = self.path.display();
        if self.path.is_file() {
            bail!("{shown} is a file, not a database's folder: name the folder with -C DIR");
        }
        if !self.path.is_dir() || self.is_empty()? {
            bail!(
                "there is no database in {shown}: create one with `patina put` or `patina import`, \
                 or name its folder with -C DIR"
            );
        }
        Ok(())
    }

    fn is_empty(&self) -> Result<bool> {
        let mut entries = fs::read_dir(&self.path)
            .with_context(|| format!("cannot read the folder {}", self.path.display()))?;
        Ok(entries.next().is_none())
    }
}

fn tell_what_is_given_up(event: &Event) {
    if let Event::LogGivenUp { file, message, .. } = event {
        failure::report(&format!("given up: {message}; the log is kept as {}.damaged", file.display()));
    }
}
