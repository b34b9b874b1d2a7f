//! What the tests share: the real binary, run in a folder of its own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A temporary folder to run `patina` in; the database is `patina-data` inside.
pub struct Sandbox(TempDir);

/// How a run of `patina` ended.
pub struct Run {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A sandbox with the samples in its database.
    pub fn with_samples() -> Self {
        let sandbox = Self::new();
        let imported = sandbox.patina(&["import", samples().to_str().unwrap()]);
        assert_eq!(imported.status, 0, "{}", imported.stderr);
        sandbox
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, with the folders above it.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The command, ready to be spawned.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patina"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_remove("PATINA_DIR")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    pub fn patina(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    pub fn patina_reading(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Run::of(child.wait_with_output().unwrap())
    }

    /// Runs a command that must succeed and gives what it printed.
    pub fn prints(&self, arguments: &[&str]) -> String {
        let run = self.patina(arguments);
        assert_eq!(run.status, 0, "patina {arguments:?}: {}", run.stderr);
        String::from_utf8(run.stdout).unwrap()
    }

    /// The objects, as `ls --json` shows them.
    pub fn objects(&self) -> Vec<Value> {
        self.prints(&["ls", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.objects().iter().map(|object| object["name"].as_str().unwrap().to_owned()).collect()
    }
}

impl Run {
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The project's own samples.
pub fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

pub fn sample(name: &str) -> Vec<u8> {
    fs::read(samples().join(name)).unwrap()
}

/// The samples' names and bytes, without the table of their origins.
pub fn all_samples() -> Vec<(String, Vec<u8>)> {
    let files =
        fs::read_dir(samples()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files.filter(|name| name != "README.md").map(|name| (name.clone(), sample(&name))).collect()
}
