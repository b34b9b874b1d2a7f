//! What the threads of a child do until they are killed.

use crate::expected::*;
use crate::{ACCOUNTS, Keys, MONEY, account, bank, scan};
use patina_storage::*;
use std::path::Path;

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

/// Keys that a thread has in a keyspace.
const KEYS: u64 = 48;

/// A thread with keys of its own.
pub struct Worker<'a> {
    pub db: &'a Db,
    pub keys: &'a Keys,
    pub thread: usize,
    pub journal: Journal,
    pub decays: &'a Decays,
    pub rng: Rng,
    /// What makes its values unlike those of other threads and other children.
    pub ids: u64,
    /// A snapshot, and what it showed when it was taken.
    pub held: Option<(Snapshot, Seen)>,
}

/// Number and stage of what is under the keys of a thread.
pub type Seen = [Vec<(KeyNumber, ValueId, u8)>; 2];

impl Worker<'_> {
    pub fn step(&mut self) {
        match self.rng.below(100) {
            0..50 => self.write(),
            50..58 => self.blob(),
            58 => self.stream(),
            59..69 => self.transaction(),
            69..71 => self.ingest(),
            71..92 => self.get(),
            92 => self.scan(),
            93..95 => self.look_back(),
            95 => self.db.flush().unwrap(),
            96 => self.db.sync().unwrap(),
            _ => bank(self.db, &self.keys[0]),
        }
    }

    fn keyspace(&mut self) -> usize {
        self.rng.below(2) as usize
    }

    fn key_number(&mut self) -> KeyNumber {
        self.rng.below(KEYS) as KeyNumber
    }

    fn durability(&mut self) -> Durability {
        if self.rng.one_in(4) { Durability::Sync } else { Durability::Buffered }
    }

    fn new_value(&mut self, len_max: u64) -> ValueId {
        self.ids += 1;
        self.ids << LEN_BITS | self.rng.below(len_max)
    }

    fn value_for_batch(&mut self) -> ValueId {
        let len_max = [40, 40, 200, 2_000][self.rng.below(4) as usize];
        self.new_value(len_max)
    }

    fn random_op(&mut self) -> Op {
        let (keyspace, key) = (self.keyspace(), self.key_number());
        match self.rng.below(12) {
            0 => Op::DeleteRange(keyspace, key, key + self.rng.below(6) as KeyNumber),
            1..4 => Op::Delete(keyspace, key),
            _ => Op::Put(keyspace, key, self.value_for_batch()),
        }
    }

    fn add_to(&self, batch: &mut WriteBatch, op: &Op) {
        let bytes = |number: KeyNumber| key(self.thread, number);
        match *op {
            Op::Put(keyspace, number, id) => batch.put(&self.keys[keyspace], bytes(number), value(id, 0)),
            Op::Delete(keyspace, number) => batch.delete(&self.keys[keyspace], bytes(number)),
            Op::DeleteRange(keyspace, start, end) => {
                batch.delete_range(&self.keys[keyspace], bytes(start), bytes(end));
            }
            Op::Drop => unreachable!("it is no part of a batch"),
        }
    }

    fn write(&mut self) {
        let count = if self.rng.one_in(8) { 40 } else { 1 + self.rng.below(4) };
        let ops: Vec<Op> = (0..count).map(|_| self.random_op()).collect();
        let mut batch = self.db.batch();
        ops.iter().for_each(|op| self.add_to(&mut batch, op));
        let durability = self.durability();
        self.journal.tries(ops);
        self.db.write(batch, durability).unwrap();
        self.journal.acknowledged();
    }

    fn bin(&mut self) -> Bin {
        Bin { class: 0, due_ms: self.rng.below(3) }
    }

    fn put_blob(&mut self, keyspace: usize, number: KeyNumber, id: ValueId, blob: &PendingBlob) {
        let mut batch = self.db.batch();
        batch.put_blob(&self.keys[keyspace], key(self.thread, number), blob);
        let mut ops = vec![Op::Put(keyspace, number, id)];
        if self.rng.one_in(3) {
            let other = self.random_op();
            self.add_to(&mut batch, &other);
            ops.push(other);
        }
        let durability = self.durability();
        self.journal.tries(ops);
        self.db.write(batch, durability).unwrap();
        self.journal.acknowledged();
    }

    fn blob(&mut self) {
        let (keyspace, number, bin) = (self.keyspace(), self.key_number(), self.bin());
        let id = self.new_value(8_000);
        let bytes = value(id, 0);
        let blob = self.db.append_blob(
            &self.keys[keyspace],
            bin,
            &key(self.thread, number),
            &bytes,
            Compression::Fast,
        );
        let blob = blob.unwrap();
        // Now and then nobody puts it.
        if !self.rng.one_in(8) {
            self.put_blob(keyspace, number, id, &blob);
        }
    }

    fn stream(&mut self) {
        let (keyspace, number, bin) = (self.keyspace(), self.key_number(), self.bin());
        let id = self.new_value(300_000) + 280_000;
        let mut writer = self.db.blob_writer(&self.keys[keyspace], bin, Compression::Fast);
        for piece in value(id, 0).chunks(70_000) {
            writer.append(piece).unwrap();
        }
        if self.rng.one_in(6) {
            return;
        }
        let blob = writer.finish(&key(self.thread, number)).unwrap();
        self.put_blob(keyspace, number, id, &blob);
    }

    /// Moves money between two accounts, and changes keys of its own with it.
    fn transaction(&mut self) {
        let mut tx = self.db.transaction();
        let (from, to) = (self.rng.below(ACCOUNTS), self.rng.below(ACCOUNTS));
        let bank = &self.keys[0];
        let read = |tx: &mut Transaction, n| -> u64 {
            let bytes = tx.get_for_update(bank, &account(n)).unwrap().unwrap();
            std::str::from_utf8(&bytes).unwrap().parse().unwrap()
        };
        let amount = self.rng.below(MONEY / 4).min(read(&mut tx, from));
        let less = read(&mut tx, from) - amount;
        tx.put(bank, account(from), less.to_string());
        let more = read(&mut tx, to) + amount;
        tx.put(bank, account(to), more.to_string());
        let mut ops = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            let (keyspace, number) = (self.keyspace(), self.key_number());
            if self.rng.one_in(4) {
                tx.delete(&self.keys[keyspace], key(self.thread, number));
                ops.push(Op::Delete(keyspace, number));
            } else {
                let id = self.value_for_batch();
                tx.put(&self.keys[keyspace], key(self.thread, number), value(id, 0));
                ops.push(Op::Put(keyspace, number, id));
            }
        }
        let durability = self.durability();
        self.journal.tries(ops);
        match tx.commit(durability) {
            Ok(_) => self.journal.acknowledged(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                self.journal.refused();
            }
        }
    }

    fn ingest(&mut self) {
        let (keyspace, first) = (self.keyspace(), self.key_number());
        let mut ingest = self.db.ingest(&self.keys[keyspace]).unwrap();
        let mut ops = Vec::new();
        for number in first..first + 1 + self.rng.below(5) as KeyNumber {
            let id = self.value_for_batch();
            ingest.put(&key(self.thread, number), &value(id, 0)).unwrap();
            ops.push(Op::Put(keyspace, number, id));
        }
        if self.rng.one_in(8) {
            return;
        }
        self.journal.tries(ops);
        ingest.finish().unwrap();
        self.journal.acknowledged();
    }

    fn get(&mut self) {
        let (keyspace, number) = (self.keyspace(), self.key_number());
        let expected = self.journal.state[keyspace].get(&number).copied();
        let least = expected.map_or(0, |id| self.decays.reached(id));
        let found = self.keys[keyspace].get(&key(self.thread, number)).unwrap();
        let found = found.map(|bytes| read_value(&bytes));
        assert_eq!(found.map(|(id, _)| id), expected, "thread {} does not read its own write", self.thread);
        assert!(found.is_none_or(|(_, stage)| stage >= least), "a value is in an earlier stage again");
    }

    /// What a snapshot of now shows of the own keys.
    fn seen(&self, snapshot: &Snapshot) -> Seen {
        [0, 1].map(|keyspace| scan(snapshot, &self.keys[keyspace], self.thread))
    }

    fn scan(&mut self) {
        let snapshot = self.db.snapshot();
        for (seen, expected) in self.seen(&snapshot).iter().zip(&self.journal.state) {
            let seen = seen.iter().map(|(number, id, _)| (*number, *id));
            assert!(seen.eq(expected.iter().map(|(number, id)| (*number, *id))), "a snapshot of now differs");
        }
    }

    /// A snapshot must show the same until it is dropped.
    fn look_back(&mut self) {
        let held = self.held.take();
        if let Some((snapshot, seen)) = &held {
            assert_eq!(self.seen(snapshot), *seen, "a snapshot changed");
        }
        self.held = held.filter(|_| !self.rng.one_in(3));
        if self.held.is_none() {
            let snapshot = self.db.snapshot();
            let seen = self.seen(&snapshot);
            self.held = Some((snapshot, seen));
        }
    }
}

/// Lets some values fall a stage; the class of a bin is the stage of what is in it.
struct Owner<'a> {
    db: &'a Db,
    contents: &'a Keyspace,
    decays: &'a Decays,
    durability: Durability,
    odds: u64,
}

impl BinOwner for Owner<'_> {
    type Plan = (ValueId, u8, Seqno);

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Self::Plan>> {
        let (id, stage) = read_value(&record.read()?);
        if stage == STAGE_MAX || (id >> LEN_BITS).wrapping_mul(self.odds) % 7 < 3 {
            return Ok(Judgement::Keep { bin: Bin { due_ms: record.bin.due_ms + 1, ..record.bin } });
        }
        let next = stage + 1;
        let bin = Bin { class: next, due_ms: record.bin.due_ms + 1 };
        let (key, value) = (record.key.clone(), NewValue::Bytes(value(id, next).into()));
        let output = NewBlob { key, value, bin, compression: Compression::Dense };
        Ok(Judgement::Rewrite { outputs: vec![output], plan: (id, next, record.seqno) })
    }

    fn commit(&self, (id, stage, judged): Self::Plan, blobs: &[PendingBlob]) -> Result<bool> {
        let mut batch = self.db.batch();
        let key = blobs[0].key().clone();
        batch.require_version(self.contents, key.clone(), judged);
        batch.put_blob(self.contents, key, &blobs[0]);
        match self.db.write(batch, self.durability) {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            other => {
                other?;
                self.decays.acknowledged(id, stage);
                Ok(true)
            }
        }
    }
}

/// The thread that keeps the database in shape, and has a keyspace that comes and goes.
pub struct Caretaker<'a> {
    pub worker: Worker<'a>,
    pub folder: &'a Path,
    pub scratch: Option<Keyspace>,
    pub checkpoints: u64,
}

impl Caretaker<'_> {
    pub fn step(&mut self) {
        let db = self.worker.db;
        match self.worker.rng.below(20) {
            0..4 => self.compact_bins(),
            4..6 => db.flush().unwrap(),
            6 => db.compact().unwrap(),
            7..9 => {
                let start = key(self.worker.rng.below(8) as usize, 0);
                let keyspace = self.worker.keyspace();
                self.worker.keys[keyspace].compact_range(start..).unwrap();
            }
            9 => db.seal_bins().unwrap(),
            10 => self.checkpoint(),
            11..14 => self.drop_scratch(),
            _ => self.fill_scratch(),
        }
    }

    fn compact_bins(&mut self) {
        let (db, keyspace) = (self.worker.db, self.worker.keyspace());
        let (durability, odds) = (self.worker.durability(), self.worker.rng.next());
        let contents = &self.worker.keys[keyspace];
        let owner = Owner { db, contents, decays: self.worker.decays, durability, odds };
        if self.worker.rng.one_in(2) {
            db.seal_bins().unwrap();
        }
        let files = db.blob_files(contents).unwrap();
        for file in files.iter().filter(|file| file.bin.class <= STAGE_MAX).take(6) {
            db.compact_bin(contents, file.id, &owner).unwrap();
        }
    }

    /// A checkpoint is a database in which no money is missing.
    fn checkpoint(&mut self) {
        self.checkpoints += 1;
        let dir = self.folder.join(format!("checkpoint-{:x}-{}", self.worker.ids, self.checkpoints));
        self.worker.db.checkpoint(&dir).unwrap();
        let copy = Db::open(&dir, Options { background_threads: 0, ..Options::default() }).unwrap();
        bank(&copy, &copy.keyspace("a", KeyspaceOptions::default()).unwrap());
        copy.close().unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    fn drop_scratch(&mut self) {
        let Some(scratch) = self.scratch.take() else { return };
        self.worker.journal.tries(vec![Op::Drop]);
        self.worker.db.drop_keyspace(&scratch).unwrap();
        self.worker.journal.acknowledged();
    }

    fn fill_scratch(&mut self) {
        let db = self.worker.db;
        let made = || db.keyspace("scratch", KeyspaceOptions::default()).unwrap();
        let scratch = self.scratch.get_or_insert_with(made).clone();
        let mut batch = db.batch();
        let ops: Vec<Op> = (0..10)
            .map(|_| Op::Put(SCRATCH, self.worker.key_number(), self.worker.value_for_batch()))
            .collect();
        for op in &ops {
            let Op::Put(_, number, id) = op else { unreachable!("only these are made") };
            batch.put(&scratch, key(self.worker.thread, *number), value(*id, 0));
        }
        let durability = self.worker.durability();
        self.worker.journal.tries(ops);
        db.write(batch, durability).unwrap();
        self.worker.journal.acknowledged();
    }
}
