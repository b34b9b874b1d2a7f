//! Which database a command works on, and whether it may create it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use patinadb::Patina;

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
        Ok(Patina::open(&self.0)?)
    }

    fn is_empty(&self) -> Result<bool> {
        let mut entries =
            fs::read_dir(&self.0).with_context(|| format!("cannot read the folder {}", self.0.display()))?;
        Ok(entries.next().is_none())
    }
}
