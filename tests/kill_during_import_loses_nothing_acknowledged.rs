//! Promise: a `kill -9` during an import loses nothing that was acknowledged, and leaves whole objects only.
//!
//! `patina import -v` prints a name once its object is durable. Whatever was printed before the kill must be there
//! when the database is opened again, and whatever is there must be the file, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use patinadb::Patina;

use crate::sandbox::Sandbox;

const FILES: u64 = 500;

/// Bytes that do not compress, different for every file.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(len);
    bytes
}

/// Name and bytes of every file of the tree, by the name its object will have.
fn tree(sandbox: &Sandbox) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for seed in 1..=FILES {
        let name = format!("tree/{}/{seed:04}.bin", seed % 7);
        let bytes = noise(seed, 1_000 + (seed as usize * 397) % 30_000);
        sandbox.file(&name, &bytes);
        files.insert(name, bytes);
    }
    files
}

/// Starts an import, kills it after `acknowledged` names (and a pause), and gives every name it had printed.
fn killed_import(sandbox: &Sandbox, acknowledged: usize, pause: Duration) -> BTreeSet<String> {
    let mut command = sandbox.command(&["import", "-v", "tree"]);
    let mut import = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut printed = BufReader::new(import.stdout.take().unwrap());
    let mut text = String::new();
    for _ in 0..acknowledged {
        printed.read_line(&mut text).unwrap();
    }
    thread::sleep(pause);
    import.kill().unwrap();
    import.wait().unwrap();
    printed.read_to_string(&mut text).unwrap();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

/// Opens the database as the next process would, and holds it against the files.
fn check(sandbox: &Sandbox, files: &BTreeMap<String, Vec<u8>>, acknowledged: &BTreeSet<String>) -> usize {
    let listed: BTreeSet<String> = sandbox.names().into_iter().collect();
    let lost: Vec<_> = acknowledged.difference(&listed).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let patina = Patina::open(sandbox.path().join("patina-data")).unwrap();
    for name in &listed {
        let object = patina.get(name).unwrap();
        assert!(object.bytes[..] == files[name][..], "{name} is not the file that was imported");
    }
    patina.close().unwrap();
    listed.len()
}

#[test]
fn at_several_moments() {
    let moments = [(1, 0), (64, 3), (130, 0), (200, 11), (330, 1), (450, 7)];
    for (acknowledged, pause_ms) in moments {
        let sandbox = Sandbox::new();
        let files = tree(&sandbox);
        let printed = killed_import(&sandbox, acknowledged, Duration::from_millis(pause_ms));
        assert!(printed.len() >= acknowledged);
        let there = check(&sandbox, &files, &printed);
        assert!(there >= printed.len());
    }
}

#[test]
fn again_and_again_until_it_is_through() {
    let sandbox = Sandbox::new();
    let files = tree(&sandbox);
    let mut acknowledged = BTreeSet::new();
    for round in 0..4 {
        acknowledged.extend(killed_import(&sandbox, 40 + 90 * round, Duration::from_millis(2)));
        check(&sandbox, &files, &acknowledged);
    }
    sandbox.prints(&["import", "tree"]);
    assert_eq!(check(&sandbox, &files, &acknowledged) as u64, FILES);
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_it_between_two_batches() {
    let sandbox = Sandbox::new();
    let files = tree(&sandbox);
    let mut command = sandbox.command(&["import", "-v", "tree"]);
    let mut import = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(import.stdout.take().unwrap());
    let mut text = String::new();
    printed.read_line(&mut text).unwrap();
    let interrupt =
        std::process::Command::new("kill").args(["-INT", &import.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    printed.read_to_string(&mut text).unwrap();
    let output = import.wait_with_output().unwrap();
    let acknowledged: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(check(&sandbox, &files, &acknowledged), acknowledged.len());
    if acknowledged.len() < files.len() {
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains("run the same import again"));
    }
}
