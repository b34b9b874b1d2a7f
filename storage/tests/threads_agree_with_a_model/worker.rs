//! A thread that does random things and writes down what it did and saw.

use crate::history::*;
use crate::{Acknowledged, Crash, Keys};
use patina_storage::*;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

/// splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Keys that are prefixes of one another, end in bytes at the edges, and share little or much.
fn key(rng: &mut Rng) -> Key {
    let n = rng.below(250);
    let mut key = format!("{}/{:02}", n % 5, n / 5).into_bytes();
    key.resize(key.len() + (n % 3) as usize, [0, 0xff, b'x'][(n % 3) as usize]);
    key
}

fn bounds(rng: &mut Rng) -> Bounds {
    let mut bound = || match rng.below(5) {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Included(key(rng)),
        _ => Bound::Excluded(key(rng)),
    };
    let bounds = (bound(), bound());
    match &bounds {
        // Mostly the right way round.
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) if a > b => {
            if rng.one_in(8) { bounds } else { (bounds.1, bounds.0) }
        }
        _ => bounds,
    }
}

pub struct Worker<'a> {
    db: &'a Db,
    keyspaces: &'a Keys,
    acknowledged: &'a Acknowledged,
    values: &'a AtomicU64,
    rng: Rng,
    pub log: Log,
    /// Snapshots that outlive the round.
    pub held: Vec<Snapshot>,
    /// What a crash in the middle of the round would leave.
    pub crash: Option<Crash>,
}

/// Keeps every record; carries them two time units on.
struct Keeper;

impl BinOwner for Keeper {
    type Plan = ();

    fn judge(&self, record: &LiveRecord) -> Result<Judgement<()>> {
        Ok(Judgement::Keep { bin: Bin { class: record.bin.class, due_ms: record.bin.due_ms + 2 } })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
        unreachable!("nothing is rewritten")
    }
}

impl<'a> Worker<'a> {
    pub fn new(
        db: &'a Db,
        keyspaces: &'a Keys,
        acknowledged: &'a Acknowledged,
        values: &'a AtomicU64,
        seed: u64,
    ) -> Self {
        Self {
            db,
            keyspaces,
            acknowledged,
            values,
            rng: Rng(seed),
            log: Log::default(),
            held: Vec::new(),
            crash: None,
        }
    }

    /// Does `ops` things; before the one numbered `crash_at` it keeps what a crash would leave.
    pub fn work(&mut self, vfs: &MemVfs, ops: u64, crash_at: Option<u64>) {
        for n in 0..ops {
            if crash_at == Some(n) {
                self.crash = Some(self.crash(vfs));
            }
            self.step();
        }
    }

    fn crash(&mut self, vfs: &MemVfs) -> Crash {
        // Acknowledged first, crashed then.
        let (least, crash): (_, fn(&MemVfs) -> MemVfs) = match self.rng.one_in(2) {
            true => (&self.acknowledged.synced, MemVfs::crash),
            false => (&self.acknowledged.any, MemVfs::kill),
        };
        let at_least = least.load(Ordering::Acquire);
        Crash { image: crash(vfs), at_least }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..25 => self.write(),
            25..32 => self.blob(),
            32..42 => self.update(),
            42..46 => self.update_if_unchanged(),
            46..62 => self.get_now(),
            62..72 => self.get_at(),
            72..88 => self.scan(),
            88..90 => self.held.push(self.db.snapshot()),
            90..93 => self.db.flush().unwrap(),
            93 => self.db.compact().unwrap(),
            94..97 => self.compact_bins(),
            97 => self.sync(),
            _ => self.change_options(),
        }
    }

    fn new_value(&mut self) -> ValueId {
        let bytes = match self.rng.below(20) {
            0 => self.rng.below(VALUE_BYTES_MAX),
            1..5 => self.rng.below(700),
            _ => self.rng.below(60),
        };
        self.values.fetch_add(1, Ordering::Relaxed) << 14 | bytes.max(8)
    }

    fn keyspace(&mut self) -> usize {
        self.rng.below(KEYSPACES as u64) as usize
    }

    fn durability(&mut self) -> Durability {
        if self.rng.one_in(3) { Durability::Sync } else { Durability::Buffered }
    }

    /// Commits; a conflict changes nothing and is no more spoken of.
    fn commit(&mut self, batch: WriteBatch, ops: Vec<Op>, required: Vec<Required>) {
        let durability = self.durability();
        match self.db.write(batch, durability) {
            Ok(last) => {
                self.acknowledged.any.fetch_max(last.0, Ordering::AcqRel);
                if durability == Durability::Sync {
                    self.acknowledged.synced.fetch_max(last.0, Ordering::AcqRel);
                }
                assert!(self.db.snapshot().seqno() >= last, "an acknowledged write is not visible");
                self.log.writes.push(Write { last: last.0, ops, required });
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                assert!(!required.is_empty(), "{error}");
            }
        }
    }

    fn set(&mut self, batch: &mut WriteBatch, keyspace: usize, key: Key, id: Option<ValueId>) -> Op {
        match id {
            Some(id) => batch.put(&self.keyspaces[keyspace], key.clone(), value(id)),
            None => batch.delete(&self.keyspaces[keyspace], key.clone()),
        }
        Op::Set { keyspace, key, id }
    }

    fn set_random(&mut self, batch: &mut WriteBatch) -> Op {
        let (keyspace, key) = (self.keyspace(), key(&mut self.rng));
        let id = (!self.rng.one_in(4)).then(|| self.new_value());
        self.set(batch, keyspace, key, id)
    }

    fn write(&mut self) {
        let mut batch = self.db.batch();
        let count = if self.rng.one_in(10) { 30 } else { 1 + self.rng.below(4) };
        let ops = (0..count).map(|_| self.set_random(&mut batch)).collect();
        self.commit(batch, ops, Vec::new());
    }

    fn blob(&mut self) {
        let (keyspace, key) = (self.keyspace(), key(&mut self.rng));
        let id = self.new_value();
        // A blob file holds records of one keyspace.
        let bin = Bin { class: keyspace as u8, due_ms: self.rng.below(4) };
        let compressions = [Compression::None, Compression::Fast, Compression::Dense, Compression::Strong];
        let compression = compressions[self.rng.below(4) as usize];
        let handle = &self.keyspaces[keyspace];
        let blob = self.db.append_blob(handle, bin, &key, &value(id), compression).unwrap();
        let mut batch = self.db.batch();
        batch.put_blob(handle, key.clone(), &blob);
        self.commit(batch, vec![Op::Set { keyspace, key, id: Some(id) }], Vec::new());
    }

    /// Reads a key, and writes it again if nobody did meanwhile; another key changes with it.
    fn update(&mut self) {
        let (keyspace, key) = (self.keyspace(), key(&mut self.rng));
        let handle = &self.keyspaces[keyspace];
        let mut batch = self.db.batch();
        let found = handle.get_versioned(&key).unwrap();
        match &found {
            Some((_, seqno)) => batch.require_version(handle, key.clone(), *seqno),
            None => batch.require_absent(handle, key.clone()),
        }
        let required =
            Required::Value { keyspace, key: key.clone(), id: found.map(|(bytes, _)| value_id(&bytes)) };
        if self.rng.one_in(4) {
            std::thread::yield_now();
        }
        let id = Some(self.new_value());
        let ops = vec![self.set(&mut batch, keyspace, key, id), self.set_random(&mut batch)];
        self.commit(batch, ops, vec![required]);
    }

    fn update_if_unchanged(&mut self) {
        let (keyspace, mut prefix) = (self.keyspace(), key(&mut self.rng));
        prefix.truncate(1 + self.rng.below(4) as usize);
        let since = self.db.snapshot();
        let mut batch = self.db.batch();
        batch.require_unchanged(&self.keyspaces[keyspace], prefix.clone(), &since);
        let required = Required::Unchanged { keyspace, prefix, since: since.seqno().0 };
        let ops = vec![self.set_random(&mut batch)];
        self.commit(batch, ops, vec![required]);
    }

    fn get_now(&mut self) {
        let (keyspace, key) = (self.keyspace(), key(&mut self.rng));
        let after = self.db.snapshot().seqno().0;
        let id = self.keyspaces[keyspace].get(&key).unwrap().map(|bytes| value_id(&bytes));
        let before = self.db.snapshot().seqno().0;
        self.log.seen.push(Seen::GetNow { keyspace, key, after, before, id });
    }

    /// A snapshot of this moment, or one that was held for a while.
    fn snapshot(&mut self) -> Snapshot {
        match self.held.len() as u64 {
            0 => self.db.snapshot(),
            _ if self.rng.one_in(2) => self.db.snapshot(),
            held => self.held[self.rng.below(held) as usize].clone(),
        }
    }

    fn get_at(&mut self) {
        let (keyspace, key) = (self.keyspace(), key(&mut self.rng));
        let snapshot = self.snapshot();
        let id = snapshot.get(&self.keyspaces[keyspace], &key).unwrap().map(|bytes| value_id(&bytes));
        self.log.seen.push(Seen::Get { keyspace, key, at: snapshot.seqno().0, id });
    }

    fn scan(&mut self) {
        let keyspace = self.keyspace();
        let snapshot = self.snapshot();
        let bounds = bounds(&mut self.rng);
        let entries_max = if self.rng.one_in(2) { usize::MAX } else { self.rng.below(20) as usize };
        let mut iter = snapshot.range(&self.keyspaces[keyspace], bounds.clone());
        let mut entries = Vec::new();
        let mut complete = false;
        while entries.len() < entries_max {
            let Some(entry) = iter.next() else {
                complete = true;
                break;
            };
            let entry = entry.unwrap();
            entries.push((entry.key().to_vec(), value_id(&entry.value().unwrap())));
        }
        self.log.seen.push(Seen::Scan { keyspace, bounds, at: snapshot.seqno().0, entries, complete });
    }

    fn compact_bins(&mut self) {
        let keyspace = self.keyspace();
        let handle = &self.keyspaces[keyspace];
        if self.rng.one_in(3) {
            self.db.seal_bins().unwrap();
        }
        let files = self.db.blob_files(handle).unwrap();
        for file in files.iter().filter(|file| usize::from(file.bin.class) == keyspace).take(4) {
            self.db.compact_bin(handle, file.id, &Keeper).unwrap();
        }
    }

    fn sync(&mut self) {
        let visible = self.db.snapshot().seqno().0;
        self.db.sync().unwrap();
        self.acknowledged.synced.fetch_max(visible, Ordering::AcqRel);
    }

    fn change_options(&mut self) {
        let handle = &self.keyspaces[self.rng.below(KEYSPACES as u64) as usize];
        let mut options = handle.options().unwrap();
        let compressions = [TableCompression::None, TableCompression::Lz4, TableCompression::Zstd];
        options.compression[self.rng.below(7) as usize] = compressions[self.rng.below(3) as usize];
        self.db.set_keyspace_options(handle, options).unwrap();
    }
}
