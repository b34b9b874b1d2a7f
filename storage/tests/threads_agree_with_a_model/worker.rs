//! A thread that does random things and writes down what it did and saw.

use crate::history::*;
use crate::{Acknowledged, Crash, Keys};
use patina_storage::*;
use std::collections::BTreeMap;
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

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
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
            25..31 => self.blob(),
            31 => self.stream(),
            32..38 => self.update(),
            38..42 => self.transaction(),
            42..45 => self.update_if_unchanged(),
            45..47 => self.ingest(),
            47 => self.temporary_keyspace(),
            48..62 => self.get_now(),
            62..69 => self.get_at(),
            69..72 => self.multi_get(),
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
        self.numbered(bytes.max(8))
    }

    fn numbered(&mut self, bytes: u64) -> ValueId {
        self.values.fetch_add(1, Ordering::Relaxed) << FIRST_NUMBER_BIT | bytes
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
        let result = self.db.write(batch, durability);
        self.committed(result, durability, ops, required);
    }

    fn committed(
        &mut self,
        result: Result<Seqno>,
        durability: Durability,
        ops: Vec<Op>,
        required: Vec<Required>,
    ) {
        match result {
            Ok(_) if ops.is_empty() => {}
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

    /// Removes all keys between two, few more often than many.
    fn remove_range(&mut self, batch: &mut WriteBatch) -> Option<Op> {
        let (keyspace, start) = (self.keyspace(), key(&mut self.rng));
        let end = if self.rng.one_in(3) { key(&mut self.rng) } else { [&start[..], b"~"].concat() };
        batch.delete_range(&self.keyspaces[keyspace], start.clone(), end.clone());
        (start < end).then_some(Op::RemoveRange { keyspace, start, end })
    }

    fn write(&mut self) {
        let mut batch = self.db.batch();
        let count = if self.rng.one_in(10) { 30 } else { 1 + self.rng.below(4) };
        let op = |_| match self.rng.one_in(12) {
            true => self.remove_range(&mut batch),
            false => Some(self.set_random(&mut batch)),
        };
        let ops = (0..count).filter_map(op).collect();
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

    /// A blob that is written chunk by chunk; now and then it is given up.
    fn stream(&mut self) {
        let (keyspace, key) = (self.keyspace(), key(&mut self.rng));
        let len = self.rng.below(VALUE_BYTES_MAX);
        let id = self.numbered(len) | LONG_VALUE;
        let bin = Bin { class: keyspace as u8, due_ms: self.rng.below(4) };
        let handle = &self.keyspaces[keyspace];
        let mut writer = self.db.blob_writer(handle, bin, Compression::Fast);
        for piece in value(id).chunks(100_000) {
            writer.append(piece).unwrap();
        }
        if self.rng.one_in(4) {
            return;
        }
        let blob = writer.finish(&key).unwrap();
        let mut batch = self.db.batch();
        batch.put_blob(handle, key.clone(), &blob);
        self.commit(batch, vec![Op::Set { keyspace, key, id: Some(id) }], Vec::new());
    }

    /// Sorted entries, durable and visible at once.
    fn ingest(&mut self) {
        let keyspace = self.keyspace();
        let mut entries = BTreeMap::new();
        let (few, first) = (self.rng.one_in(2), key(&mut self.rng));
        for _ in 0..1 + self.rng.below(12) {
            let key =
                if few { [&first[..], &[self.rng.below(9) as u8]].concat() } else { key(&mut self.rng) };
            entries.insert(key, self.new_value());
        }
        let mut ingest = self.db.ingest(&self.keyspaces[keyspace]).unwrap();
        for (key, id) in &entries {
            ingest.put(key, &value(*id)).unwrap();
        }
        let last = ingest.finish().map(|report| report.seqno);
        let entries = entries.into_iter().collect();
        self.committed(last, Durability::Sync, vec![Op::Load { keyspace, entries }], Vec::new());
    }

    /// A keyspace that nobody else knows comes and goes, beside whatever the others have the pool do.
    fn temporary_keyspace(&mut self) {
        let name = format!("temporary-{:x}", self.rng.next());
        let options = self.keyspaces[self.rng.below(KEYSPACES as u64) as usize].options().unwrap();
        let mut expected = BTreeMap::new();
        let temporary = self.db.keyspace(&name, options).unwrap();
        let entries = |snapshot: &Snapshot| -> Entries {
            let entries = snapshot.range(&temporary, ..).map(|entry| entry.unwrap());
            entries.map(|entry| (entry.key().to_vec(), value_id(&entry.value().unwrap()))).collect()
        };
        for _ in 0..1 + self.rng.below(3) {
            let mut batch = self.db.batch();
            for _ in 0..20 {
                let (key, id) = (key(&mut self.rng), self.new_value());
                batch.put(&temporary, key.clone(), value(id));
                expected.insert(key, id);
            }
            self.db.write(batch, Durability::Buffered).unwrap();
            if self.rng.one_in(2) {
                self.db.flush().unwrap();
            }
        }
        let before = self.db.snapshot();
        let expected: Entries = expected.into_iter().collect();
        assert_eq!(entries(&before), expected, "{name}");
        self.db.drop_keyspace(&temporary).unwrap();
        assert_eq!(temporary.get(b"").unwrap_err().kind(), ErrorKind::KeyspaceDropped);
        let again = self.db.keyspace(&name, options).unwrap();
        assert_eq!(again.range(..).count(), 0, "{name} came back");
        self.db.drop_keyspace(&again).unwrap();
        assert_eq!(entries(&before), expected, "{name}, after it was dropped");
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

    fn transaction(&mut self) {
        let mut tx = self.db.transaction();
        let since = tx.seqno().0;
        let (mut own, mut required) = (BTreeMap::new(), Vec::new());
        for _ in 0..1 + self.rng.below(6) {
            let (keyspace, key) = (self.keyspace(), key(&mut self.rng));
            let handle = &self.keyspaces[keyspace];
            let for_update = self.rng.one_in(2);
            let found = if for_update { tx.get_for_update(handle, &key) } else { tx.get(handle, &key) };
            let id = found.unwrap().map(|bytes| value_id(&bytes));
            match own.get(&(keyspace, key.clone())) {
                Some(written) => assert_eq!(id, *written, "a transaction does not read its own write"),
                None => self.log.seen.push(Seen::Get { keyspace, key: key.clone(), at: since, id }),
            }
            if for_update {
                required.push(Required::Unwritten { keyspace, key: key.clone(), since });
            }
            let id = (!self.rng.one_in(4)).then(|| self.new_value());
            let savepoint = self.rng.one_in(4).then(|| tx.savepoint());
            match id {
                Some(id) => tx.put(handle, key.clone(), value(id)),
                None => tx.delete(handle, key.clone()),
            }
            match savepoint {
                Some(savepoint) => tx.rollback_to(savepoint).unwrap(),
                None => drop(own.insert((keyspace, key), id)),
            }
        }
        let unwritten =
            own.keys().cloned().map(|(keyspace, key)| Required::Unwritten { keyspace, key, since });
        required.extend(unwritten);
        let ops: Vec<Op> =
            own.into_iter().map(|((keyspace, key), id)| Op::Set { keyspace, key, id }).collect();
        let durability = self.durability();
        let result = tx.commit(durability);
        self.committed(result, durability, ops, required);
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

    fn multi_get(&mut self) {
        let keyspace = self.keyspace();
        let snapshot = self.snapshot();
        let keys: Vec<Key> = (0..self.rng.below(20)).map(|_| key(&mut self.rng)).collect();
        let found = snapshot.multi_get(&self.keyspaces[keyspace], &keys).unwrap();
        for (key, value) in keys.into_iter().zip(found) {
            let id = value.map(|bytes| value_id(&bytes));
            self.log.seen.push(Seen::Get { keyspace, key, at: snapshot.seqno().0, id });
        }
    }

    /// From one end, from the other, or from both in turn; then perhaps again from another key on.
    fn scan(&mut self) {
        let keyspace = self.keyspace();
        let snapshot = self.snapshot();
        let mut bounds = bounds(&mut self.rng);
        let mut iter = snapshot.range(&self.keyspaces[keyspace], bounds.clone());
        self.walk(&mut iter, keyspace, bounds.clone(), snapshot.seqno());
        if self.rng.one_in(4) {
            let mut iter = snapshot.range(&self.keyspaces[keyspace], bounds.clone());
            for _ in 0..self.rng.below(9) {
                iter.next();
            }
            let from = key(&mut self.rng);
            iter.seek(&from);
            let is_inside = match &bounds.0 {
                Bound::Unbounded => true,
                Bound::Included(low) => *low <= from,
                Bound::Excluded(low) => *low < from,
            };
            if is_inside {
                bounds.0 = Bound::Included(from);
            }
            self.walk(&mut iter, keyspace, bounds, snapshot.seqno());
        }
    }

    fn walk(&mut self, iter: &mut Iter, keyspace: usize, bounds: Bounds, at: Seqno) {
        let entries_max = if self.rng.one_in(2) { u64::MAX } else { self.rng.below(20) };
        let back_in_four = [0, 4, self.rng.below(5)][self.rng.below(3) as usize];
        let (mut front, mut back) = (Vec::new(), Vec::new());
        let mut complete = false;
        for _ in 0..entries_max {
            let is_back = self.rng.below(4) < back_in_four;
            let Some(entry) = (if is_back { iter.next_back() } else { iter.next() }) else {
                complete = true;
                break;
            };
            let entry = entry.unwrap();
            let entry = (entry.key().to_vec(), value_id(&entry.value().unwrap()));
            if is_back { back.push(entry) } else { front.push(entry) }
        }
        self.log.seen.push(Seen::Scan { keyspace, bounds, at: at.0, front, back, complete });
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
