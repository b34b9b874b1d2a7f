//! The database that is damaged, and what is read of it.
//!
//! It is small, so that each of its bytes can be flipped, and has everything: keyspaces of each compression with tables in deep levels and in
//! level 0, deletions of both kinds, separated values, blobs in one piece and in chunks, an ingested table, and a log that was not flushed. Its
//! process was killed: nothing was closed.
//!
//! The log's batches are numbered. A reader sees how many of them there are ([`STEP`]), and must then see all of these and none of the others.

use crate::memory::peak_bytes;
use patina_storage::*;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub const DIR: &str = "db";
/// The key, of the first keyspace, that each batch of the log sets to its number.
const STEP: &[u8] = b"step";
const NAMES: [&str; 6] = ["plain", "lz4", "zstd", "separated", "files", "loaded"];
const BIN: Bin = Bin { class: 1, due_ms: 5 };
/// Read in pieces, never as one.
const STREAMED: &[u8] = b"streamed";
const STREAMED_BYTES: usize = 3 * (256 << 10) - 1000;

/// All values that each key ever had.
type Versions = BTreeMap<(&'static str, Vec<u8>), Vec<Vec<u8>>>;
type Contents = BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>;

/// A database as the death of its process left it, and what it must answer.
pub struct Database {
    pub vfs: MemVfs,
    /// By the number of the log's batches that are there.
    states: Vec<Contents>,
    versions: Versions,
    /// Where each batch of the log ends.
    pub batch_ends: Vec<u64>,
    /// So many batches of the log were synced, and are said to be by what was written after them.
    pub vouched: usize,
    pub log: PathBuf,
}

fn options() -> Options {
    Options {
        background_threads: 0,
        block_bytes: 256,
        table_bytes: 1 << 10,
        level1_bytes: 64 << 10,
        l0_tables_trigger: 100,
        l0_tables_slowdown: 200,
        memtable_bytes: 16 << 10,
        write_buffer_bytes_max: 1 << 20,
        block_cache_bytes: 1 << 20,
        clock: Arc::new(ManualClock::new(1_790_000_000_000)),
        ..Options::default()
    }
}

fn keyspace_options(name: &str) -> KeyspaceOptions {
    let compression = match name {
        "plain" | "loaded" => TableCompression::None,
        "lz4" => TableCompression::Lz4,
        _ => TableCompression::Zstd,
    };
    let separates = name == "separated";
    KeyspaceOptions {
        compression: [compression; 7],
        separate_bytes: separates.then_some(64),
        blob_class: if separates { 3 } else { 0 },
    }
}

fn value(n: usize, round: usize, len: usize) -> Vec<u8> {
    format!("{n}/{round} ").bytes().cycle().take(len).collect()
}

/// Writes to the database and to the model at once.
struct Writer {
    db: Db,
    keyspaces: BTreeMap<&'static str, Keyspace>,
    contents: Contents,
    versions: Versions,
}

impl Writer {
    fn new(vfs: &MemVfs) -> Self {
        let db = Db::open_with(Arc::new(vfs.clone()), Path::new(DIR), options()).unwrap();
        let made = |name| (name, db.keyspace(name, keyspace_options(name)).unwrap());
        let keyspaces = NAMES.into_iter().map(made).collect();
        Self {
            db,
            keyspaces,
            versions: Versions::new(),
            contents: NAMES.into_iter().map(|name| (name, BTreeMap::new())).collect(),
        }
    }

    fn put(&mut self, batch: &mut WriteBatch, name: &'static str, key: &[u8], value: Vec<u8>) {
        batch.put(&self.keyspaces[name], key.to_vec(), value.clone());
        self.know(name, key, value);
    }

    fn know(&mut self, name: &'static str, key: &[u8], value: Vec<u8>) {
        self.versions.entry((name, key.to_vec())).or_default().push(value.clone());
        self.contents.get_mut(name).unwrap().insert(key.to_vec(), value);
    }

    fn put_blob(&mut self, key: &[u8], value: Vec<u8>, compression: Compression) {
        let mut batch = self.db.batch();
        self.add_blob(&mut batch, key, value, compression);
        self.db.write(batch, Durability::Sync).unwrap();
    }

    fn add_blob(&mut self, batch: &mut WriteBatch, key: &[u8], value: Vec<u8>, compression: Compression) {
        let files = &self.keyspaces["files"];
        let blob = self.db.append_blob(files, BIN, key, &value, compression).unwrap();
        batch.put_blob(files, key.to_vec(), &blob);
        self.know("files", key, value);
    }

    fn fill(&mut self, round: usize, keys: usize) {
        for name in ["plain", "lz4", "zstd", "separated"] {
            let mut batch = self.db.batch();
            for n in 0..keys {
                self.put(&mut batch, name, format!("key{n:02}").as_bytes(), value(n, round, 40 + 20 * n));
            }
            self.db.write(batch, Durability::Sync).unwrap();
        }
    }

    fn delete(&mut self, name: &'static str, key: &[u8], start: &[u8], end: &[u8]) {
        let mut batch = self.db.batch();
        batch.delete(&self.keyspaces[name], key.to_vec());
        batch.delete_range(&self.keyspaces[name], start.to_vec(), end.to_vec());
        self.db.write(batch, Durability::Sync).unwrap();
        let range = (Bound::Included(start.to_vec()), Bound::Excluded(end.to_vec()));
        let contents = self.contents.get_mut(name).unwrap();
        let gone: Vec<_> = contents.range(range).map(|(key, _)| key.clone()).chain([key.to_vec()]).collect();
        gone.iter().for_each(|key| drop(contents.remove(key)));
    }

    fn ingest(&mut self, entries: usize) {
        let keyspace = self.keyspaces["loaded"].clone();
        let db = self.db.clone();
        let mut ingest = db.ingest(&keyspace).unwrap();
        for n in 0..entries {
            let (key, value) = (format!("load{n:03}").into_bytes(), value(n, 7, 30));
            ingest.put(&key, &value).unwrap();
            self.know("loaded", &key, value);
        }
        ingest.finish().unwrap();
    }
}

impl Database {
    /// `scale` 1: some kilobytes.
    pub fn make(scale: usize) -> Self {
        let vfs = MemVfs::new();
        let mut writer = Writer::new(&vfs);
        writer.fill(0, 5 * scale);
        writer.put_blob(b"dense", value(1, 9, 200 * scale), Compression::Dense);
        writer.put_blob(b"raw", value(2, 9, 60 * scale), Compression::None);
        writer.put_blob(STREAMED, vec![b's'; STREAMED_BYTES], Compression::Dense);
        writer.db.seal_bins().unwrap();
        writer.db.compact().unwrap();
        // Level 0; kept by a snapshot, that nothing of it is dropped.
        writer.delete("plain", b"key01", b"key03", b"key04");
        writer.delete("zstd", b"key00", b"key02", b"key03");
        writer.put_blob(b"open", value(3, 9, 50), Compression::None);
        writer.ingest(3 * scale);
        writer.db.flush().unwrap();
        writer.db.checkpoint("copy").unwrap();
        writer.put_blob(b"late", value(4, 9, 50), Compression::None);
        writer.db.flush().unwrap();

        let newest_log = || {
            let logs = vfs.list(Path::new(DIR)).unwrap().into_iter().filter(|name| name.ends_with(".log"));
            Path::new(DIR).join(logs.max().unwrap())
        };
        let log = newest_log();
        let (mut states, mut batch_ends) = (vec![writer.contents.clone()], Vec::new());
        // The fourth says that the second was synced, and nothing says it of the third and the fourth.
        let durabilities = [Durability::Sync, Durability::Sync, Durability::Buffered, Durability::Sync];
        for (step, durability) in durabilities.into_iter().enumerate() {
            let mut batch = writer.db.batch();
            if step == 1 {
                writer.add_blob(&mut batch, b"latest", value(5, 9, 40 * scale), Compression::None);
            }
            writer.put(&mut batch, "plain", STEP, vec![step as u8 + 1]);
            writer.put(&mut batch, "lz4", format!("log{step}").as_bytes(), value(step, 8, 30 * scale));
            writer.db.write(batch, durability).unwrap();
            states.push(writer.contents.clone());
            // The rest is room for more. No batch ends with a zero.
            let bytes = vfs.bytes(&log).unwrap();
            batch_ends.push(bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1);
        }
        assert_eq!(newest_log(), log);
        let versions = writer.versions;
        Self { vfs: vfs.kill(), states, versions, batch_ends, vouched: 2, log }
    }

    /// The database's own files, with their lengths.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let names = self.vfs.list(Path::new(DIR)).unwrap();
        let paths = names.iter().map(|name| Path::new(DIR).join(name));
        paths.map(|path| (path.clone(), self.vfs.bytes(&path).unwrap().len())).collect()
    }

    /// Every byte of every file; of the room behind records each 509th.
    pub fn places(&self) -> Vec<(PathBuf, usize)> {
        let places = self.files().into_iter().flat_map(|(path, len)| {
            let end = self.records_end(&path);
            let room = (end..len).filter(|at| at % 509 == 0);
            (0..end).chain(room).map(move |at| (path.clone(), at))
        });
        places.collect()
    }

    /// Whether a place is among the zeros at the end of the log or of an open blob file.
    pub fn is_room(&self, path: &Path, at: usize) -> bool {
        at >= self.records_end(path)
    }

    /// Where the room behind a file's records begins; its length if it has none.
    pub fn records_end(&self, path: &Path) -> usize {
        let may_have_room = path.extension().is_some_and(|suffix| suffix == "log" || suffix == "blob");
        let bytes = self.vfs.bytes(path).unwrap();
        let last = bytes.iter().rposition(|byte| *byte != 0 || !may_have_room);
        last.map_or(0, |last| last + 1)
    }

    /// Salvages a damaged copy and looks at what came of it: gives the report, and the keys that are missing.
    ///
    /// Each key must have a value that it once had; if nothing is said to be lost, all of them the right one, and no others be there.
    pub fn salvage(&self, vfs: &MemVfs, case: &str) -> (SalvageReport, usize) {
        let before: Vec<_> = self.files_of(vfs);
        let report = Db::salvage(Arc::new(vfs.clone()), Path::new(DIR), Path::new("saved"), |_| {}).unwrap();
        assert!(self.files_of(vfs) == before, "{case}: salvaging changed the database");
        let db = Db::open_with(Arc::new(vfs.clone()), Path::new("saved"), options()).unwrap();
        assert!(db.verify().unwrap().is_sound(), "{case}");
        let step = db.keyspace("plain", KeyspaceOptions::default()).unwrap().get(STEP).unwrap();
        let expected = &self.states[step.map_or(0, |step| usize::from(step[0]))];
        let (mut missing, mut right, mut others) = (0, 0, 0);
        for (name, contents) in expected {
            let keyspace = db.keyspace(name, KeyspaceOptions::default()).unwrap();
            missing += contents
                .keys()
                .filter(|key| {
                    keyspace.blob_ref(key).unwrap().is_none() && keyspace.get(key).unwrap().is_none()
                })
                .count();
            for entry in keyspace.range(..) {
                let entry = entry.unwrap();
                let (key, value) = (entry.key().to_vec(), entry.value().unwrap());
                if contents.get(&key).is_some_and(|expected| value == expected[..]) {
                    right += 1;
                    continue;
                }
                others += 1;
                let once = self
                    .versions
                    .get(&(*name, key.clone()))
                    .is_some_and(|all| all.iter().any(|old| value == old[..]));
                assert!(once, "{case}: a value that {name}/{} never had", key.escape_ascii());
            }
        }
        if report.losses_total == 0 {
            assert!(
                missing == 0 && others == 0,
                "{case}: {missing} missing, {others} others, {right} right: {report:?}"
            );
        }
        (report, missing)
    }

    fn files_of(&self, vfs: &MemVfs) -> Vec<(String, Vec<u8>)> {
        let names = vfs.list(Path::new(DIR)).unwrap().into_iter().filter(|name| name != "LOCK");
        names.map(|name| (name.clone(), vfs.bytes(&Path::new(DIR).join(name)).unwrap())).collect()
    }

    /// Opens a damaged copy and reads all of it, several ways.
    pub fn read(&self, vfs: &MemVfs) -> Reading {
        let (mut reading, peak_bytes) = peak_bytes(|| self.read_through(vfs));
        reading.peak_bytes = peak_bytes;
        reading
    }

    fn read_through(&self, vfs: &MemVfs) -> Reading {
        let mut reading = Reading { batches: self.batch_ends.len(), ..Reading::default() };
        let torn = Arc::new(Mutex::new(false));
        let told = torn.clone();
        let listener = move |event: &Event| {
            if let Event::Recovered { torn: Some(_), .. } = event {
                *told.lock().unwrap() = true;
            }
        };
        let options = Options { create_if_missing: false, listener: Some(Arc::new(listener)), ..options() };
        match Db::open_with(Arc::new(vfs.clone()), Path::new(DIR), options) {
            Err(error) => reading.errors.push(error),
            Ok(db) => {
                reading.is_open = true;
                self.read_all(&db, &mut reading);
            }
        }
        reading.is_torn = *torn.lock().unwrap();
        reading
    }

    fn read_all(&self, db: &Db, reading: &mut Reading) {
        let mut names = db.keyspaces();
        names.sort();
        if !names.iter().eq(self.states[0].keys()) {
            reading.wrong.push(format!("keyspaces {names:?}"));
            return;
        }
        let keyspace = |name| db.keyspace(name, KeyspaceOptions::default()).unwrap();
        match keyspace("plain").get(STEP) {
            Ok(step) => reading.batches = step.map_or(0, |step| usize::from(step[0])),
            Err(error) => reading.errors.push(error),
        }
        for (name, expected) in &self.states[reading.batches] {
            let keyspace = keyspace(name);
            for (key, value) in expected {
                let is_streamed = key == STREAMED;
                let got = if is_streamed { stream(&keyspace, value, reading) } else { keyspace.get(key) };
                match got {
                    Ok(got) if is_streamed || got.as_deref() == Some(&value[..]) => {}
                    Ok(_) => reading.wrong.push(format!("get of {name}/{}", key.escape_ascii())),
                    Err(error) => reading.errors.push(error),
                }
            }
            for absent in [&b"key01x"[..], b"nothing"] {
                match keyspace.get(absent) {
                    Ok(None) => {}
                    Ok(Some(_)) => reading.wrong.push(format!("{name} has a key too many")),
                    Err(error) => reading.errors.push(error),
                }
            }
            reading.walk(name, keyspace.range(..), expected.iter());
            reading.walk(name, keyspace.range(..).rev(), expected.iter().rev());
        }
    }
}

/// Reads a value in pieces.
fn stream(keyspace: &Keyspace, expected: &[u8], reading: &mut Reading) -> Result<Option<bytes::Bytes>> {
    let Some(mut reader) = keyspace.reader(STREAMED)? else {
        reading.wrong.push("the streamed value is not there".to_owned());
        return Ok(None);
    };
    let (mut piece, mut at) = (vec![0; 128 << 10], 0);
    loop {
        match reader.read(&mut piece) {
            Ok(0) if at == expected.len() => return Ok(None),
            Ok(len) if len > 0 && expected.get(at..at + len) == Some(&piece[..len]) => at += len,
            Ok(_) => {
                reading.wrong.push(format!("the streamed value at {at}"));
                return Ok(None);
            }
            Err(error) => return Err(*error.into_inner().unwrap().downcast::<Error>().unwrap()),
        }
    }
}

/// What came of reading everything.
#[derive(Default)]
pub struct Reading {
    pub is_open: bool,
    /// So many batches of the log are there.
    pub batches: usize,
    /// The opening said that the log was torn.
    pub is_torn: bool,
    pub errors: Vec<Error>,
    /// What was neither right nor an error.
    pub wrong: Vec<String>,
    pub peak_bytes: usize,
}

impl Reading {
    /// Compares what an iterator gives, up to its first error. An entry whose value cannot be read has its key nevertheless.
    fn walk<'a>(
        &mut self,
        name: &str,
        entries: impl Iterator<Item = Result<Entry>>,
        mut expected: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>,
    ) {
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.errors.push(error),
            };
            let Some((key, value)) = expected.next().filter(|(key, _)| entry.key() == &key[..]) else {
                return self.wrong.push(format!("keys of {name} at {}", entry.key().escape_ascii()));
            };
            if key == STREAMED {
                continue;
            }
            match entry.value() {
                Ok(got) if got == value[..] => {}
                Ok(_) => self.wrong.push(format!("the value of {name}/{}", key.escape_ascii())),
                Err(error) => self.errors.push(error),
            }
        }
        if expected.next().is_some() {
            self.wrong.push(format!("{name} ends early"));
        }
    }
}
