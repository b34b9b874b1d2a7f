//! Promise: the size of a file does not matter to memory, and what is interrupted leaves no half file behind.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
#[cfg(target_os = "linux")]
use std::process::{Child, Command};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::sandbox::{Run, Sandbox};

/// Well over what a command may have resident.
const LARGE_BYTES: u64 = 256 << 20;
/// Still over it.
const LESS_LARGE_BYTES: u64 = 128 << 20;
/// What a command may have resident at its peak, the program itself included.
#[cfg(target_os = "linux")]
const RESIDENT_BYTES_MAX: u64 = 96 << 20;
/// Just over what is read whole.
const STREAMED_BYTES: usize = (8 << 20) + 5;

/// Writes a file of bytes that cannot be compressed, and gives their hash.
fn noise(path: &Path, bytes: u64) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut state, mut hash) = (0x9e37_79b9_7f4a_7c15_u64, Sha256::new());
    let mut piece = Vec::with_capacity(1 << 16);
    let mut left = bytes as usize;
    while left > 0 {
        piece.clear();
        while piece.len() < 1 << 16 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        piece.truncate(left);
        left -= piece.len();
        hash.update(&piece);
        file.write_all(&piece).unwrap();
    }
    file.flush().unwrap();
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_same(left: &Path, right: &Path) {
    assert_eq!(left.metadata().unwrap().len(), right.metadata().unwrap().len(), "{}", right.display());
    let mut readers = [left, right].map(|path| BufReader::new(File::open(path).unwrap()));
    let mut pieces = [vec![0; 1 << 20], vec![0; 1 << 20]];
    let mut left = left.metadata().unwrap().len() as usize;
    while left > 0 {
        let len = left.min(1 << 20);
        for (reader, piece) in readers.iter_mut().zip(&mut pieces) {
            reader.read_exact(&mut piece[..len]).unwrap();
        }
        assert!(pieces[0][..len] == pieces[1][..len], "{} differs", right.display());
        left -= len;
    }
}

/// Waits for the end of a command, and gives the most it had resident.
#[cfg(target_os = "linux")]
fn peak_bytes(child: &mut Child) -> u64 {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak_kib = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return peak_kib << 10;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a command that must succeed within the memory allowed.
#[cfg(target_os = "linux")]
fn runs_in_little_memory(command: &mut Command) {
    let peak = peak_bytes(&mut command.spawn().unwrap());
    assert!(peak > 0, "the peak of {command:?} was not seen");
    assert!(peak <= RESIDENT_BYTES_MAX, "{command:?} had {peak} bytes resident");
}

#[test]
#[cfg(target_os = "linux")]
fn a_large_file_goes_in_and_out_through_little_memory() {
    let sandbox = Sandbox::new();
    let large = sandbox.path().join("large.bin");
    let hash = noise(&large, LARGE_BYTES);
    runs_in_little_memory(sandbox.command(&["put", "large.bin"]).stdout(Stdio::null()));
    let objects = sandbox.objects();
    assert_eq!(objects[0]["origin_hash"].as_str(), Some(hash.as_str()));
    assert_eq!(objects[0]["size"].as_u64(), Some(LARGE_BYTES));
    runs_in_little_memory(&mut sandbox.command(&["get", "large.bin", "-o", "got.bin"]));
    assert_same(&large, &sandbox.path().join("got.bin"));
}

#[test]
#[cfg(target_os = "linux")]
fn pipes_imports_and_exports_need_little_memory() {
    let sandbox = Sandbox::new();
    let large = sandbox.path().join("tree/large.bin");
    let hash = noise(&large, LESS_LARGE_BYTES);
    sandbox.file("tree/small.txt", b"small");
    let out = |name: &str| sandbox.path().join(name);

    let stdin = File::open(&large).unwrap();
    runs_in_little_memory(
        sandbox.command(&["put", "-", "--name", "piped"]).stdin(stdin).stdout(Stdio::null()),
    );
    let stdout = File::create(out("printed.bin")).unwrap();
    runs_in_little_memory(sandbox.command(&["get", "piped"]).stdout(stdout));
    assert_same(&large, &out("printed.bin"));
    runs_in_little_memory(sandbox.command(&["import", "tree"]).stderr(Stdio::null()));
    assert_eq!(sandbox.objects().iter().filter(|object| object["origin_hash"] == *hash).count(), 2);
    runs_in_little_memory(sandbox.command(&["export", "tree/*", "exported"]).stdout(Stdio::null()));
    assert_same(&large, &out("exported/tree/large.bin"));
    assert_eq!(fs::read(out("exported/tree/small.txt")).unwrap(), b"small");
}

#[test]
#[cfg(target_os = "linux")]
fn a_large_record_of_another_store_comes_over_through_little_memory() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("large.bin");
    let key = noise(&file, LESS_LARGE_BYTES);
    fs::hard_link(&file, container(&sandbox).loose(&key)).unwrap();
    runs_in_little_memory(
        sandbox.command(&["import", "--from", "dostore", "container"]).stderr(Stdio::null()),
    );
    assert_eq!(sandbox.objects()[0]["origin_hash"].as_str(), Some(key.as_str()));
}

/// A container with nothing in it yet.
struct Container(PathBuf);

fn container(sandbox: &Sandbox) -> Container {
    let config = r#"{"container_version": 1, "loose_prefix_len": 2, "hash_type": "sha256", "compression_algorithm": "zlib+1"}"#;
    sandbox.file("container/config.json", config.as_bytes());
    Container(sandbox.path().join("container"))
}

impl Container {
    fn loose(&self, key: &str) -> PathBuf {
        let folder = self.0.join("loose").join(&key[..2]);
        fs::create_dir_all(&folder).unwrap();
        folder.join(&key[2..])
    }

    /// Puts bytes into pack 0, as the object of that key.
    fn pack(&self, key: &str, bytes: &[u8]) {
        fs::create_dir_all(self.0.join("packs")).unwrap();
        fs::write(self.0.join("packs/0"), bytes).unwrap();
        let index = rusqlite::Connection::open(self.0.join("packs.idx")).unwrap();
        let table = "CREATE TABLE db_object (id INTEGER PRIMARY KEY, hashkey, compressed, size, offset, length, pack_id)";
        index.execute(table, ()).unwrap();
        let row = "INSERT INTO db_object VALUES (1, ?, 0, ?, 0, ?, 0)";
        let len = i64::try_from(bytes.len()).unwrap();
        index.execute(row, (key, len, len)).unwrap();
    }
}

#[test]
fn a_streamed_record_that_is_damaged_is_left_out_or_taken_from_its_other_place() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("whole.bin");
    let key = noise(&file, STREAMED_BYTES as u64);
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[STREAMED_BYTES - 1] ^= 1;
    let container = container(&sandbox);
    fs::write(container.loose(&key), &damaged).unwrap();

    let run = sandbox.patina(&["import", "--from", "dostore", "container"]);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!((run.status, lines.len()), (1, 2), "{lines:?}");
    assert!(lines[0].contains(&key) && lines[0].ends_with("it is damaged; left out"), "{lines:?}");
    assert_eq!(sandbox.names(), [""; 0]);

    container.pack(&key, &whole);
    let run = sandbox.patina(&["import", "--from", "dostore", "container"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, "patina: imported 1 object, 8.0 MiB\n"));
    assert_eq!(sandbox.patina(&["get", &key]).stdout, whole);
}

#[test]
fn a_damaged_record_does_not_stand_in_the_way_of_a_whole_one() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("whole.bin");
    let key = noise(&file, STREAMED_BYTES as u64);
    fs::copy(&file, container(&sandbox).loose(&key)).unwrap();
    for name in ["config.json", &format!("loose/{}/{}", &key[..2], &key[2..])] {
        let copy = sandbox.path().join("other").join(name);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::rename(sandbox.path().join("container").join(name), copy).unwrap();
    }
    let mut cut = fs::read(&file).unwrap();
    cut[0] ^= 1;
    fs::write(container(&sandbox).loose(&key), cut).unwrap();
    let run = sandbox.patina(&["import", "--from", "dostore", "container", "other"]);
    assert!(run.stderr.ends_with("imported 1 object, 8.0 MiB; 1 problem named above\n"), "{}", run.stderr);
    assert_eq!(sandbox.names(), [key]);
}

#[test]
fn a_streamed_record_of_a_log_comes_over_byte_for_byte() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("record.bin");
    noise(&file, STREAMED_BYTES as u64);
    let record = fs::read(&file).unwrap();
    let length = (STREAMED_BYTES as u32).to_be_bytes();
    let end = (STREAMED_BYTES as u32 + 12).to_be_bytes();
    sandbox.file("log.offset", &[&length[..], &record, &length, &end].concat());
    sandbox.patina(&["import", "--from", "flume", "log.offset"]);
    assert_eq!(sandbox.patina(&["get", "log.offset/0000000000000000"]).stdout, record);
}

/// What is in the sandbox's folder but the database.
fn files(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "patina-data").collect();
    names.sort();
    names
}

#[test]
#[cfg(unix)]
fn a_get_that_cannot_write_it_all_leaves_the_file_that_was_there() {
    let sandbox = Sandbox::new();
    noise(&sandbox.path().join("large.bin"), 96 << 20);
    sandbox.prints(&["put", "large.bin"]);
    sandbox.file("out.bin", b"older");
    // A file may have 64 MiB from here on, as if the disk were full then.
    let limited = |arguments: &[&str]| {
        let patina = sandbox.command(arguments);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 131072; exec \"$@\"", "sh"]);
        shell.arg(patina.get_program()).args(patina.get_args()).current_dir(sandbox.path());
        Run::of(shell.output().unwrap())
    };
    let run = limited(&["get", "large.bin", "-o", "out.bin"]);
    assert_eq!((run.status, run.stderr.lines().count()), (1, 1), "{}", run.stderr);
    assert!(run.stderr.starts_with("patina: cannot write out.bin: "), "{}", run.stderr);
    assert_eq!(fs::read(sandbox.path().join("out.bin")).unwrap(), b"older");
    assert_eq!(files(&sandbox), ["large.bin", "out.bin"]);

    let run = limited(&["export", "*", "exported"]);
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert_eq!(fs::read_dir(sandbox.path().join("exported")).unwrap().count(), 0);
}

#[test]
#[cfg(unix)]
fn an_interrupted_get_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    noise(&sandbox.path().join("large.bin"), LESS_LARGE_BYTES);
    sandbox.prints(&["put", "large.bin"]);
    for arguments in [&["get", "large.bin", "-o", "out/out.bin"][..], &["export", "*", "out", "--overwrite"]]
    {
        let folder = sandbox.path().join("out");
        fs::create_dir_all(&folder).unwrap();
        let mut command = sandbox.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while fs::read_dir(&folder).unwrap().next().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let signal = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(signal.unwrap().success());
        let run = Run::of(child.wait_with_output().unwrap());
        assert_eq!(run.status, 1, "{arguments:?}: {}", run.stderr);
        let said = [run.stderr.as_bytes(), &run.stdout].concat();
        assert!(String::from_utf8(said).unwrap().contains("interrupted"), "{arguments:?}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{arguments:?}");
    }
}
