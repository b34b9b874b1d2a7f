//! `patina get NAME [-o FILE]`: an object's bytes as they are now.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::failure::WrongUsage;
use super::open::Folder;
use super::output;

#[derive(clap::Args)]
pub struct Arguments {
    /// The object's name
    name: String,

    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The tenant it belongs to
    #[arg(long, value_name = "TENANT", default_value = patinadb::DEFAULT_TENANT)]
    tenant: String,
}

pub fn run(arguments: &Arguments, folder: &Folder) -> Result<()> {
    let patina = folder.open_existing()?;
    let object = patina.objects().get(&arguments.tenant, &arguments.name)?;
    match &arguments.output {
        Some(path) => write_file(path, &object.bytes)?,
        None => write_stdout(&arguments.name, &object.bytes)?,
    }
    Ok(patina.close()?)
}

fn write_stdout(name: &str, bytes: &[u8]) -> Result<()> {
    let stdout = io::stdout();
    if stdout.is_terminal() && !is_text(bytes) {
        bail!(WrongUsage(format!(
            "{} is binary ({}): write it to a file with -o FILE, or pipe it on",
            output::name(name),
            output::size(bytes.len() as u64)
        )));
    }
    let mut out = stdout.lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace()))
}

/// Writes beside the target first and renames, so that a failure leaves the file that was there. A device or a
/// named pipe is written into: renaming would put a file in its place.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.is_dir() {
        bail!("{} is a folder: name a file in it", path.display());
    }
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut device| device.write_all(bytes))
            .with_context(|| format!("cannot write {}", path.display()));
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".patina-");
    #[cfg(unix)]
    builder.permissions(usual_permissions());
    let mut file = builder
        .tempfile_in(folder)
        .with_context(|| format!("cannot write into {}: choose another place with -o", folder.display()))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.persist(path)
        .map_err(|failed| anyhow!(failed.error).context(format!("cannot write {}", path.display())))?;
    Ok(())
}

/// A temporary file is private; what a person asked for gets the usual rights, less the umask.
#[cfg(unix)]
fn usual_permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o666)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_bytes_that_would_drive_a_terminal() {
        assert!(is_text("zwei\r\n\tZeilen ä\n".as_bytes()));
        assert!(!is_text(b"\x1b[2J"));
        assert!(!is_text(&[0xff, 0xd8]));
    }

    #[cfg(unix)]
    #[test]
    fn a_named_pipe_is_written_into_and_stays_one() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        // Opened for both, it does not wait for the other side.
        let mut reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        write_file(&path, b"bytes").unwrap();
        assert!(path.metadata().unwrap().file_type().is_fifo());
        let mut read = [0; 5];
        io::Read::read_exact(&mut reader, &mut read).unwrap();
        assert_eq!(&read, b"bytes");
    }

    #[test]
    fn the_file_that_was_there_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        for bytes in [&b"first, longer"[..], b"second"] {
            write_file(&path, bytes).unwrap();
            assert_eq!(super::super::check::read(&path).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        assert!(write_file(folder.path(), b"x").unwrap_err().to_string().contains("is a folder"));
    }
}
