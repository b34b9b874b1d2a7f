//! Scripts: the same calls, in the same order, each time. No thread runs beside them, and the clock stands still.

use crate::full::full;
use crate::model::{History, State, Values, contents, digest};
use patina_storage::*;
use std::path::Path;
use std::sync::Arc;

pub const DIR: &str = "db";
pub const COPY: &str = "copy";
/// Longer than a chunk of a streamed value.
const STREAM_BYTES: usize = (256 << 10) + 700;

pub fn options() -> Options {
    options_at(ManualClock::new(1_000_000))
}

pub fn options_at(clock: ManualClock) -> Options {
    Options {
        memtable_bytes: 4 << 10,
        sealed_memtables_max: 1,
        write_buffer_bytes_max: 64 << 10,
        block_cache_bytes: 64 << 10,
        block_bytes: 256,
        table_bytes: 2 << 10,
        level1_bytes: 4 << 10,
        l0_tables_trigger: 2,
        blob_file_bytes: 4 << 10,
        open_bins_max: 2,
        background_threads: 0,
        clock: Arc::new(clock),
        ..Options::default()
    }
}

pub fn open_in(vfs: &MemVfs, dir: &str) -> Result<Db> {
    Db::open_with(Arc::new(vfs.clone()), Path::new(dir), options())
}

type Script = fn(&mut Run) -> Result<()>;

/// Name and script.
pub const WORKLOADS: [(&str, Script); 5] =
    [("writes", writes), ("blobs", blobs), ("streams", streams), ("keyspaces", keyspaces), (FULL, full)];

/// The one that is too large for all of its calls to be tried in a short run.
pub const FULL: &str = "full";

pub fn script(name: &str) -> Script {
    WORKLOADS.iter().find(|(other, _)| *other == name).unwrap_or_else(|| panic!("no workload {name}")).1
}

/// A script on its way.
pub struct Run {
    vfs: MemVfs,
    pub db: Option<Db>,
    pub history: History,
    /// Goes on after a step that failed; else the script ends there.
    goes_on: bool,
    /// Moves on when something fails, so that it is tried again.
    clock: ManualClock,
    /// What failed.
    pub errors: Vec<Error>,
    /// What was read and should not have been there.
    pub wrong: Vec<String>,
}

/// What failed rests for at most so long.
const REST_MS: u64 = 5_000;

/// Bytes that do not compress.
pub fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) * 2 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn values<'a>(state: &'a mut State, keyspace: &str) -> &'a mut Values {
    state.entry(keyspace.to_owned()).or_default()
}

pub fn remove(state: &mut State, keyspace: &str, key: &str) {
    values(state, keyspace).remove(key.as_bytes());
}

pub fn put(state: &mut State, keyspace: &str, key: &str, value: &[u8]) {
    values(state, keyspace).insert(key.into(), digest(value));
}

impl Run {
    pub fn new(vfs: &MemVfs, goes_on: bool) -> Self {
        Self {
            vfs: vfs.clone(),
            db: None,
            history: History::default(),
            goes_on,
            clock: ManualClock::new(1_000_000),
            errors: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn judge(&mut self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error) if self.goes_on => {
                self.clock.advance_ms(REST_MS);
                self.errors.push(error);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// A write: what it changes, and the call that does it.
    pub fn write(
        &mut self,
        durability: Durability,
        change: impl FnOnce(&mut State),
        call: impl FnOnce(&Db) -> Result<()>,
    ) -> Result<()> {
        let Some(db) = self.db.clone() else { return Ok(()) };
        let outcome = recorded(&db, &self.history, durability, change, || call(&db));
        self.judge(outcome)
    }

    /// What changes no value. If it ends well, all that was acknowledged before is durable.
    pub fn tend(&mut self, call: impl FnOnce(&Db) -> Result<()>) -> Result<()> {
        let Some(db) = self.db.clone() else { return Ok(()) };
        let outcome = call(&db);
        if outcome.is_ok() {
            self.history.settle();
        }
        self.judge(outcome)
    }

    fn open(&mut self) -> Result<()> {
        self.open_with(options_at)
    }

    pub fn open_with(&mut self, options: impl FnOnce(ManualClock) -> Options) -> Result<()> {
        let options = options(self.clock.clone());
        let opened = Db::open_with(Arc::new(self.vfs.clone()), Path::new(DIR), options);
        let opened = opened.map(|db| self.db = Some(db));
        self.judge(opened)?;
        // Of a write of which nobody knew whether it was there it is known now.
        if let Some(found) = self.look()? {
            self.history.begin_with(found);
        } else {
            self.db = None;
        }
        Ok(())
    }

    /// A put that a full disk refuses. A fault may have made room for it.
    pub fn refused(
        &mut self,
        change: impl FnOnce(&mut State),
        call: impl FnOnce(&Db) -> Result<()>,
    ) -> Result<()> {
        let Some(db) = self.db.clone() else { return Ok(()) };
        match recorded(&db, &self.history, Durability::Sync, change, || call(&db)) {
            Err(error) if error.kind() == ErrorKind::NoSpace => Ok(()),
            outcome => {
                self.wrong
                    .extend((outcome.is_ok() && !self.goes_on).then(|| "a full disk took a put".into()));
                self.judge(outcome)
            }
        }
    }

    /// What the database says of itself, unless a fault may have changed it.
    pub fn expect(&mut self, what: &str, holds: impl FnOnce(&Stats) -> bool) {
        if let Some(stats) = self.db.as_ref().filter(|_| !self.goes_on).map(Db::stats)
            && !holds(&stats)
        {
            self.wrong.push(format!("not so: {what}: {stats:?}"));
        }
    }

    /// From here on nothing has room but what is freed, until the script ends: an image of the disk is as large as it has to be.
    pub fn fill_disk(&mut self) {
        self.vfs.limit_space(Some(self.vfs.used_bytes()));
    }

    /// Reads everything. What could not be read is read again: an error must not be remembered as an answer.
    fn look(&mut self) -> Result<Option<State>> {
        let Some(db) = self.db.clone() else { return Ok(None) };
        let mut found = contents(&db);
        if let Err(error) = found {
            self.judge(Err(error))?;
            found = contents(&db);
        }
        match found {
            Ok(found) => {
                self.wrong.extend(self.history.visible().check(&found).err());
                Ok(Some(found))
            }
            Err(error) => self.judge(Err(error)).map(|()| None),
        }
    }

    pub fn close(&mut self) -> Result<()> {
        self.look()?;
        let Some(db) = self.db.take() else { return Ok(()) };
        let closed = db.close();
        if closed.is_ok() {
            self.history.settle();
        }
        self.judge(closed)
    }

    /// Opens a keyspace for the steps that follow.
    pub fn keyspace(&mut self, name: &str, options: KeyspaceOptions) -> Result<Option<Keyspace>> {
        let mut made = None;
        let change = |state: &mut State| {
            values(state, name);
        };
        self.write(Durability::Sync, change, |db| {
            made = Some(db.keyspace(name, options)?);
            Ok(())
        })?;
        Ok(made)
    }

    pub fn put(&mut self, ks: &Option<Keyspace>, name: &str, key: &str, value: &[u8]) -> Result<()> {
        let Some(ks) = ks else { return Ok(()) };
        self.write(
            Durability::Sync,
            |state| put(state, name, key, value),
            |_| ks.put(key.to_owned(), value.to_vec()).map(drop),
        )
    }
}

/// A write that is refused leaves no trace. Of one after which the database is read-only nobody knows.
fn recorded<T>(
    db: &Db,
    history: &History,
    durability: Durability,
    change: impl FnOnce(&mut State),
    call: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let was_read_only = db.stats().read_only.is_some();
    history.begin(change);
    let outcome = call();
    match &outcome {
        Ok(_) => history.acknowledge(durability),
        Err(_) if !was_read_only && db.stats().read_only.is_some() => {}
        Err(_) => history.refuse(),
    }
    outcome
}

/// Puts, deletions of both kinds, batches and transactions in two keyspaces, through flushes and merges.
fn writes(run: &mut Run) -> Result<()> {
    run.open()?;
    let left = run.keyspace("left", KeyspaceOptions::default())?;
    let right = run.keyspace("right", KeyspaceOptions::default())?;
    let (Some(left), Some(right)) = (left, right) else { return Ok(()) };
    for i in 0..36u32 {
        let key = format!("key{:02}", i * 7 % 20);
        let value = noise(i, 20 + i as usize * 17 % 300);
        match i % 6 {
            0 | 3 => run.put(&Some(left.clone()), "left", &key, &value)?,
            1 => run.write(
                Durability::Buffered,
                |state| {
                    for n in 0..4 {
                        put(state, "left", &format!("{key}{n}"), &value);
                        put(state, "right", &format!("{key}{n}"), &value);
                    }
                    values(state, "left").remove(key.as_bytes());
                },
                |db| {
                    let mut batch = db.batch();
                    for n in 0..4 {
                        batch.put(&left, format!("{key}{n}"), value.clone());
                        batch.put(&right, format!("{key}{n}"), value.clone());
                    }
                    batch.delete(&left, key.clone());
                    db.write(batch, Durability::Buffered).map(drop)
                },
            )?,
            2 => run.write(
                Durability::Sync,
                |state| {
                    put(state, "right", &key, &value);
                    values(state, "left").remove(key.as_bytes());
                },
                |db| {
                    let mut transaction = db.transaction();
                    transaction.get_for_update(&left, key.as_bytes())?;
                    transaction.put(&right, key.clone(), value.clone());
                    transaction.delete(&left, key.clone());
                    transaction.commit(Durability::Sync).map(drop)
                },
            )?,
            4 => run.write(
                Durability::Sync,
                |state| {
                    values(state, "right").retain(|key, _| !(&b"key05"[..]..b"key09").contains(&&key[..]))
                },
                |_| right.delete_range(b"key05".to_vec()..b"key09".to_vec()).map(drop),
            )?,
            _ => run.write(
                Durability::Sync,
                |state| remove(state, "right", &key),
                |_| right.delete(key.clone()).map(drop),
            )?,
        }
        if i == 17 {
            run.tend(Db::flush)?;
        }
    }
    run.tend(Db::compact)?;
    run.close()
}

/// Halves what is of class 0, once, and notes beside it that it did.
struct Halver {
    db: Db,
    history: History,
    blobs: Keyspace,
    notes: Keyspace,
}

impl BinOwner for Halver {
    type Plan = (bytes::Bytes, Seqno);

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Self::Plan>> {
        if record.bin.class > 0 || record.key.ends_with(b"kept") {
            return Ok(Judgement::Keep { bin: Bin { class: 2, ..record.bin } });
        }
        let half = NewBlob {
            key: record.key.clone(),
            value: record.read()?.slice(..record.blob.len as usize / 2).into(),
            bin: Bin { class: 1, ..record.bin },
            compression: Compression::None,
        };
        Ok(Judgement::Rewrite { outputs: vec![half], plan: (record.key.clone(), record.seqno) })
    }

    fn commit(&self, (key, seqno): Self::Plan, blobs: &[PendingBlob]) -> Result<bool> {
        let Some(bytes) = halved(&key) else { return Ok(false) };
        let change = |state: &mut State| {
            values(state, "blobs").insert(key.to_vec(), digest(&bytes));
            values(state, "notes").insert(key.to_vec(), digest(b"halved"));
        };
        let mut batch = self.db.batch();
        batch.require_version(&self.blobs, key.clone(), seqno);
        batch.put(&self.notes, key.clone(), "halved");
        batch.put_blob(&self.blobs, key.clone(), &blobs[0]);
        let write = || self.db.write(batch, Durability::Buffered).map(|_| true);
        recorded(&self.db, &self.history, Durability::Buffered, change, write)
    }
}

fn blob_bytes(i: u32) -> Vec<u8> {
    noise(i, 300 + i as usize * 53 % 900)
}

fn halved(key: &[u8]) -> Option<Vec<u8>> {
    let digits = key.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'));
    let whole = blob_bytes(digits.fold(0, |number, digit| number * 10 + digit));
    Some(whole[..whole.len() / 2].to_vec())
}

/// Values in bins, which their owner lets decay; what is deleted, and what is carried.
fn blobs(run: &mut Run) -> Result<()> {
    run.open()?;
    let (blobs, notes) = (
        run.keyspace("blobs", KeyspaceOptions::default())?,
        run.keyspace("notes", KeyspaceOptions::default())?,
    );
    let (Some(blobs), Some(notes)) = (blobs, notes) else { return Ok(()) };
    for i in 0..18u32 {
        let key = format!("{i:02}{}", if i % 5 == 0 { "kept" } else { "" });
        let durability = if i % 3 == 0 { Durability::Sync } else { Durability::Buffered };
        let bytes = blob_bytes(i);
        run.write(
            durability,
            |state| {
                put(state, "blobs", &key, &bytes);
                put(state, "notes", &key, b"whole");
            },
            |db| {
                let bin = Bin { class: 0, due_ms: u64::from(i % 3) };
                let blob = db.append_blob(&blobs, bin, key.as_bytes(), &bytes, Compression::None)?;
                let mut batch = db.batch();
                batch.put_blob(&blobs, key.clone(), &blob);
                batch.put(&notes, key.clone(), "whole");
                db.write(batch, durability).map(drop)
            },
        )?;
        if i % 6 == 4 {
            let gone = format!("{:02}", i - 1);
            run.write(
                Durability::Buffered,
                |state| ["blobs", "notes"].into_iter().for_each(|ks| remove(state, ks, &gone)),
                |db| {
                    let mut batch = db.batch();
                    batch.delete(&blobs, gone.clone());
                    batch.delete(&notes, gone.clone());
                    db.write(batch, Durability::Buffered).map(drop)
                },
            )?;
        }
        if i == 11 {
            run.tend(Db::flush)?;
        }
    }
    let history = run.history.clone();
    run.tend(|db| {
        db.seal_bins()?;
        let halver = Halver { db: db.clone(), history, blobs: blobs.clone(), notes: notes.clone() };
        for file in db.blob_files(&blobs)? {
            db.compact_bin(&blobs, file.id, &halver)?;
        }
        db.sync()
    })?;
    run.tend(Db::compact)?;
    run.close()
}

/// Values that are written in pieces: one put, one given up, one deleted and its file compacted.
fn streams(run: &mut Run) -> Result<()> {
    run.open()?;
    let files = run.keyspace("files", KeyspaceOptions::default())?;
    let Some(ks) = files.clone() else { return Ok(()) };
    let bin = Bin { class: 0, due_ms: 7 };
    for i in 0..3u32 {
        let (key, bytes) = (format!("{i}"), noise(i, STREAM_BYTES + i as usize));
        run.write(
            if i == 1 { Durability::Buffered } else { Durability::Sync },
            |state| put(state, "files", &key, &bytes),
            |db| {
                let mut writer = db.blob_writer(&ks, bin, Compression::None);
                bytes.chunks(100_000).try_for_each(|piece| writer.append(piece))?;
                let blob = writer.finish(key.as_bytes())?;
                let mut batch = db.batch();
                batch.put_blob(&ks, key.clone(), &blob);
                db.write(batch, if i == 1 { Durability::Buffered } else { Durability::Sync }).map(drop)
            },
        )?;
        run.put(&files, "files", &format!("small{i}"), &noise(i, 40))?;
    }
    run.tend(|db| {
        let mut given_up = db.blob_writer(&ks, bin, Compression::None);
        given_up.append(&noise(9, STREAM_BYTES))?;
        drop(given_up);
        db.sync()
    })?;
    run.write(
        Durability::Sync,
        |state| ["0", "2"].into_iter().for_each(|key| remove(state, "files", key)),
        |db| {
            let mut batch = db.batch();
            batch.delete(&ks, "0");
            batch.delete(&ks, "2");
            db.write(batch, Durability::Sync).map(drop)
        },
    )?;
    run.tend(|db| {
        db.seal_bins()?;
        for file in db.blob_files(&ks)? {
            db.compact_bin(&ks, file.id, &Carrier)?;
        }
        db.sync()
    })?;
    run.close()
}

/// Carries everything to another class.
pub struct Carrier;

impl BinOwner for Carrier {
    type Plan = ();

    fn judge(&self, _: &LiveRecord<'_>) -> Result<Judgement<()>> {
        Ok(Judgement::Keep { bin: Bin { class: 1, due_ms: 9 } })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
        panic!("nothing is rewritten")
    }
}

/// Separated values, an ingested load, a dropped keyspace, a checkpoint, and a database that is closed and opened again.
fn keyspaces(run: &mut Run) -> Result<()> {
    run.open()?;
    let separating = KeyspaceOptions { separate_bytes: Some(64), ..KeyspaceOptions::default() };
    let kept = run.keyspace("kept", separating)?;
    let gone = run.keyspace("gone", KeyspaceOptions::default())?;
    for i in 0..24u32 {
        let key = format!("key{:02}", i * 5 % 12);
        run.put(&kept, "kept", &key, &noise(i, if i % 4 == 0 { 20 } else { 150 + i as usize }))?;
        if i % 4 == 1 {
            run.put(&gone, "gone", &key, &noise(i, 90))?;
        }
    }
    run.tend(Db::flush)?;
    if let Some(ks) = &kept {
        run.write(
            Durability::Sync,
            |state| (0..30u32).for_each(|i| put(state, "kept", &format!("load{i:02}"), &noise(i, 80))),
            |db| {
                let mut ingest = db.ingest(ks)?;
                for i in 0..30u32 {
                    ingest.put(format!("load{i:02}").as_bytes(), &noise(i, 80))?;
                }
                ingest.finish().map(drop)
            },
        )?;
    }
    if let Some(ks) = &gone {
        run.write(Durability::Sync, |state| drop(state.remove("gone")), |db| db.drop_keyspace(ks))?;
    }
    let history = run.history.clone();
    run.tend(|db| db.checkpoint(COPY).map(|_| history.checkpoint_taken()))?;
    run.put(&kept, "kept", "after", b"the checkpoint")?;
    drop((kept, gone));
    run.close()?;
    run.open()?;
    let kept = run.keyspace("kept", separating)?;
    for i in 0..10u32 {
        run.put(&kept, "kept", &format!("key{i:02}"), &noise(i + 50, 120))?;
    }
    run.tend(Db::compact)?;
    drop(kept);
    run.close()
}
