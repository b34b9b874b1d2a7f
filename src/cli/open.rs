//! Which database a command works on, and whether it may create it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use patinadb::storage::{VerifyProgress, VerifyReport};
use patinadb::{Builder, Db, Patina, Salvaged, StdVfs};
use walkdir::WalkDir;

const VARIABLE: &str = "PATINA_DIR";
const DEFAULT: &str = "patina-data";

/// The folder a command was pointed at.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of the command line, else of the environment, else `./patina-data`.
    pub fn choose(argument: Option<PathBuf>) -> Self {
        let from_environment = || env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self(argument.or_else(from_environment).unwrap_or_else(|| PathBuf::from(DEFAULT)))
    }

    /// Where the database is, or would be.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the database and creates it where there is none yet.
    pub fn open_or_create(&self) -> Result<Patina> {
        if self.0.is_file() {
            bail!("{} is a file, not a folder: name a folder with -C DIR", self.0.display());
        }
        Ok(Patina::open(&self.0)?)
    }

    /// Opens the database, which must be there: a command that only reads leaves no folder behind.
    pub fn open_existing(&self) -> Result<Patina> {
        self.open_existing_with(Patina::builder())
    }

    /// As [`Folder::open_existing`], with settings.
    pub fn open_existing_with(&self, builder: Builder) -> Result<Patina> {
        self.must_exist()?;
        Ok(builder.open(&self.0)?)
    }

    /// Verifies the database's files, whether it can be opened or not.
    pub fn verify(&self, progress: impl FnMut(&VerifyProgress<'_>)) -> Result<VerifyReport> {
        self.must_exist()?;
        Ok(Db::verify_closed(Arc::new(StdVfs), &self.0, progress)?)
    }

    /// Copies what can be read of the database, whether it can be opened or not.
    pub fn salvage(&self, dest: &Path, progress: impl FnMut(&VerifyProgress<'_>)) -> Result<Salvaged> {
        self.must_exist()?;
        Ok(Patina::salvage(&self.0, dest, progress)?)
    }

    /// Everything in the database's folder; files that vanish meanwhile count nothing.
    pub fn disk_bytes(&self) -> u64 {
        let entries = WalkDir::new(&self.0).into_iter().filter_map(Result::ok);
        let files = entries.filter(|entry| entry.file_type().is_file());
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    fn must_exist(&self) -> Result<()> {
        let shown = self.0.display();
        if self.0.is_file() {
            bail!("{shown} is a file, not a database's folder: name the folder with -C DIR");
        }
        if !self.0.is_dir() || self.is_empty()? {
            bail!(
                "there is no database in {shown}: create one with `patina put` or `patina import`, \
                 or name its folder with -C DIR"
            );
        }
        Ok(())
    }

    fn is_empty(&self) -> Result<bool> {
        let mut entries =
            fs::read_dir(&self.0).with_context(|| format!("cannot read the folder {}", self.0.display()))?;
        Ok(entries.next().is_none())
    }
}
