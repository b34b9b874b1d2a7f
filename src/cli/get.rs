//! `patina get NAME [-o FILE]`: an object's bytes as they are now.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use patinadb::ObjectReader;

use super::failure::WrongUsage;
use super::interrupt::Interrupted;
use super::open::Folder;
use super::output;
use super::pieces::{self, Each};
use super::progress::Progress;

/// More than this is not shown on a terminal.
const SHOWN_BYTES_MAX: u64 = 16 << 20;

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
    let mut object = patina.objects().get_reader(&arguments.tenant, &arguments.name)?;
    match &arguments.output {
        Some(path) if is_device(path) => write_device(path, &mut object)?,
        Some(path) => {
            // Stopped between two pieces: nothing half written is left beside the target.
            let interrupted = Interrupted::on_ctrl_c(|| {})?;
            let mut progress = Progress::new("writing");
            let (mut done, total) = (0, object.len());
            let mut each = |len| {
                done += len;
                progress.at(done, Some(total));
                pieces::unless(&interrupted)
            };
            write_file(path, &mut object, &mut each)?;
        }
        None => write_stdout(&arguments.name, &mut object)?,
    }
    // It holds the database.
    drop(object);
    Ok(patina.close()?)
}

fn write_stdout(name: &str, object: &mut ObjectReader) -> Result<()> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        let (shown, size) = (output::name(name), output::size(object.len()));
        if object.len() > SHOWN_BYTES_MAX {
            bail!(WrongUsage(format!("{shown} has {size}: write it to a file with -o FILE, or pipe it on")));
        }
        if !is_text(&object.read_range(0..object.len())?) {
            bail!(WrongUsage(format!(
                "{shown} is binary ({size}): write it to a file with -o FILE, or pipe it on"
            )));
        }
    }
    let mut out = stdout.lock();
    pieces::copy(object, &mut out, &mut |_| Ok(()))
        .map_err(|failed| failed.said("cannot write to stdout"))?;
    Ok(out.flush()?)
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace()))
}

/// A device or a named pipe is written into: renaming would put a file in its place.
fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn write_device(path: &Path, object: &mut ObjectReader) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut device = std::fs::OpenOptions::new().write(true).open(path).with_context(failed)?;
    pieces::copy(object, &mut device, &mut |_| Ok(())).map_err(|error| error.said(&failed()))
}

/// Writes beside the target first and renames, so that a failure leaves the file that was there, or none.
pub fn write_file(path: &Path, object: &mut ObjectReader, each: Each<'_>) -> Result<()> {
    if is_device(path) {
        return write_device(path, object);
    }
    let failed = || format!("cannot write {}", path.display());
    if path.is_dir() {
        bail!("{} is a folder: name a file in it", path.display());
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".patina-");
    #[cfg(unix)]
    builder.permissions(usual_permissions());
    let mut file = builder.tempfile_in(folder).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("there is no folder {}: make it, or choose another place", folder.display())
        }
        // Not the whole error: it names the temporary file.
        kind => anyhow!("cannot write into {}: {kind}; choose another place", folder.display()),
    })?;
    pieces::copy(object, &mut file, each).map_err(|error| error.said(&failed()))?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).map_err(|error| anyhow!(error.error).context(failed()))?;
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

    fn reader(bytes: &[u8]) -> ObjectReader {
        let db =
            patinadb::Patina::builder().vfs(std::sync::Arc::new(patinadb::MemVfs::new())).open("db").unwrap();
        db.put("object", bytes).unwrap();
        db.get_reader("object").unwrap()
    }

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
        let mut other_side = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        write_file(&path, &mut reader(b"bytes"), &mut |_| Ok(())).unwrap();
        assert!(path.metadata().unwrap().file_type().is_fifo());
        let mut read = [0; 5];
        io::Read::read_exact(&mut other_side, &mut read).unwrap();
        assert_eq!(&read, b"bytes");
    }

    #[test]
    fn the_file_that_was_there_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let (mut each, mut stop) = (|_| Ok(()), |_| Err(io::Error::other("interrupted")));
        let content = || std::fs::read_to_string(&path).unwrap();
        for bytes in ["first, longer", "second"] {
            write_file(&path, &mut reader(bytes.as_bytes()), &mut each).unwrap();
            assert_eq!(content(), bytes);
        }
        let stopped = write_file(&path, &mut reader(b"third"), &mut stop).unwrap_err();
        assert_eq!((stopped.to_string().as_str(), content().as_str()), ("interrupted", "second"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        let refused = write_file(folder.path(), &mut reader(b"x"), &mut each).unwrap_err();
        assert!(refused.to_string().contains("is a folder"));
    }
}
