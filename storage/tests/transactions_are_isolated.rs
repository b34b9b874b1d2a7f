//! Promise: transactions are isolated. Each reads one moment and its own writes; of two that write the same key meanwhile one gets a
//! conflict that names it; what is read for update is as it was; nothing is there by half, after a crash neither.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use patina_storage::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn open(vfs: &MemVfs) -> (Db, Keyspace) {
    let options =
        Options { memtable_bytes: 8 << 10, block_bytes: 512, l0_tables_trigger: 2, ..Options::default() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

/// xorshift: the tests need numbers that look random and come again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn number(value: Option<Bytes>) -> u64 {
    value.map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
}

fn is_conflict(committed: &Result<Seqno>) -> bool {
    match committed {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            true
        }
    }
}

/// What another does meanwhile, wherever it lies by then, makes the commit fail; and what it does elsewhere does not.
#[test]
fn whoever_commits_second_gets_a_conflict_that_names_the_key() {
    type Other = fn(&Db, &Keyspace) -> Result<Seqno>;
    let others: [(Other, bool); 6] = [
        (|_, ks| ks.put("key", "theirs"), true),
        (|_, ks| ks.delete("key"), true),
        (|_, ks| ks.delete("new"), true),
        (
            |db, ks| {
                let bin = Bin { class: 0, due_ms: 1 };
                let blob = db.append_blob(ks, bin, b"new", b"bytes", Compression::None).unwrap();
                let mut batch = db.batch();
                batch.put_blob(ks, "new", &blob);
                db.write(batch, Durability::Buffered)
            },
            true,
        ),
        (|_, ks| ks.put("ke", ""), false),
        (|_, ks| ks.put("key2", ""), false),
    ];
    for (other, conflicts) in others {
        for settle in [|_: &Db| {}, |db: &Db| db.flush().unwrap(), |db: &Db| db.compact().unwrap()] {
            for update in [true, false] {
                let (db, ks) = open(&MemVfs::new());
                ks.put("key", "first").unwrap();
                settle(&db);
                let mut tx = db.transaction();
                if update {
                    tx.put(&ks, "key", "mine");
                    tx.put(&ks, "new", "mine");
                } else {
                    assert_eq!(tx.get_for_update(&ks, b"key").unwrap().unwrap(), "first");
                    assert_eq!(tx.get_for_update(&ks, b"new").unwrap(), None);
                    tx.put(&ks, "elsewhere", "mine");
                }
                other(&db, &ks).unwrap();
                settle(&db);
                let committed = tx.commit(Durability::Buffered);
                assert_eq!(is_conflict(&committed), conflicts);
                if let Err(error) = committed {
                    let (keyspace, key) = error.conflict().unwrap();
                    assert_eq!(keyspace, "k");
                    assert!(key == b"key" || key == b"new");
                    assert!(error.to_string().contains("keyspace \"k\""), "{error}");
                    assert_eq!(ks.get(b"elsewhere").unwrap(), None);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    PutBlob(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Savepoint,
    Rollback(usize),
    /// Others write; the transaction must not see it.
    Meanwhile(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..20, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => (0u8..20, any::<u8>()).prop_map(|(key, value)| Step::PutBlob(key, value)),
        2 => (0u8..20).prop_map(Step::Delete),
        1 => (0u8..20, 0u8..20).prop_map(|(a, b)| Step::DeleteRange(a, b)),
        1 => Just(Step::Savepoint),
        1 => (0usize..4).prop_map(Step::Rollback),
        1 => (20u8..30, any::<u8>()).prop_map(|(key, value)| Step::Meanwhile(key, value)),
    ]
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn check(tx: &Transaction, ks: &Keyspace, model: &Model) {
    let pairs = |iter: TransactionIter| -> Vec<(Vec<u8>, Vec<u8>)> {
        let pair = |entry: Entry| (entry.key().to_vec(), entry.value().unwrap().to_vec());
        iter.map(|entry| pair(entry.unwrap())).collect()
    };
    let expected = |range: Vec<(&Vec<u8>, &Vec<u8>)>| -> Vec<(Vec<u8>, Vec<u8>)> {
        range.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let all = expected(model.iter().collect());
    assert_eq!(pairs(tx.range(ks, ..)), all);
    // From both ends, which meet somewhere, whoever comes first there.
    for pattern in [0b0u8, 0b1111_1111, 0b1010_1010, 0b0110_0111, 0b0001_1000] {
        let (mut iter, mut front, mut back) = (tx.range(ks, ..), Vec::new(), Vec::new());
        for n in 0u32.. {
            let is_back = pattern.rotate_left(n) & 1 == 1;
            let Some(entry) = (if is_back { iter.next_back() } else { iter.next() }) else { break };
            let entry = entry.unwrap();
            let pair = (entry.key().to_vec(), entry.value().unwrap().to_vec());
            if is_back { back.push(pair) } else { front.push(pair) }
        }
        assert!(iter.next().is_none() && iter.next_back().is_none());
        front.extend(back.into_iter().rev());
        assert_eq!(front, all, "{pattern:b}");
    }
    for (a, b) in [(3u8, 11u8), (5, 5), (9, 2)] {
        let within = |key: &u8| (a..b).contains(key);
        let in_range = model.iter().filter(|(key, _)| within(&key[0])).collect();
        assert_eq!(pairs(tx.range(ks, vec![a]..vec![b])), expected(in_range));
    }
    for key in 0u8..30 {
        assert_eq!(tx.get(ks, &[key]).unwrap().map(|v| v.to_vec()), model.get(&vec![key]).cloned());
        let under = model.iter().filter(|(other, _)| other[0] == key).collect();
        assert_eq!(pairs(tx.prefix(ks, &[key])), expected(under));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_transaction_is_its_beginning_with_its_own_writes_laid_over(
        before in prop::collection::btree_map(0u8..20, any::<u8>(), 0..20),
        steps in prop::collection::vec(step(), 0..40),
        flushed in any::<bool>(),
        commits in any::<bool>(),
    ) {
        let (db, ks) = open(&MemVfs::new());
        for (key, value) in &before {
            ks.put(vec![*key], vec![*value]).unwrap();
        }
        if flushed {
            db.flush().unwrap();
        }
        let mut model: Model = before.iter().map(|(key, value)| (vec![*key], vec![*value])).collect();
        let committed = model.clone();
        let mut meanwhile = Model::new();
        let mut tx = db.transaction();
        let mut savepoints: Vec<(Savepoint, Model)> = Vec::new();
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    tx.put(&ks, vec![key], vec![value]);
                    model.insert(vec![key], vec![value]);
                }
                Step::PutBlob(key, value) => {
                    let bytes = vec![value; 300];
                    let bin = Bin { class: 0, due_ms: 1 };
                    let blob = db.append_blob(&ks, bin, &[key], &bytes, Compression::Fast).unwrap();
                    tx.put_blob(&ks, vec![key], &blob);
                    model.insert(vec![key], bytes);
                }
                Step::Delete(key) => {
                    tx.delete(&ks, vec![key]);
                    model.remove(&vec![key]);
                }
                Step::DeleteRange(a, b) => {
                    let count = tx.delete_range(&ks, vec![a]..vec![b]).unwrap();
                    let len = model.len();
                    model.retain(|key, _| !(a..b).contains(&key[0]));
                    prop_assert_eq!(count, len - model.len());
                }
                Step::Savepoint => savepoints.push((tx.savepoint(), model.clone())),
                Step::Rollback(back) => {
                    if let Some(at) = savepoints.len().checked_sub(1 + back) {
                        let gone = savepoints.last().unwrap().0;
                        tx.rollback_to(savepoints[at].0).unwrap();
                        model = savepoints[at].1.clone();
                        savepoints.truncate(at + 1);
                        if back > 0 {
                            prop_assert_eq!(tx.rollback_to(gone).unwrap_err().kind(), ErrorKind::InvalidArgument);
                        }
                    }
                }
                Step::Meanwhile(key, value) => {
                    ks.put(vec![key], vec![value]).unwrap();
                    meanwhile.insert(vec![key], vec![value]);
                }
            }
            check(&tx, &ks, &model);
        }
        let mut expected = if commits { tx.commit(Durability::Sync).unwrap(); model } else { drop(tx); committed };
        expected.extend(meanwhile);
        let found: Model = ks.range(..).map(|entry| {
            let entry = entry.unwrap();
            (entry.key().to_vec(), entry.value().unwrap().to_vec())
        }).collect();
        prop_assert_eq!(found, expected);
    }
}

const ACCOUNTS: u64 = 10;
const EACH: u64 = 100;

fn account(i: u64) -> Vec<u8> {
    format!("account{i}").into_bytes()
}

fn transfer(db: &Db, ks: &Keyspace, random: &mut Random) -> Result<Seqno> {
    let (from, to) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
    let mut tx = db.transaction();
    let balance = number(tx.get(ks, &account(from))?);
    let amount = random.below(balance + 1);
    tx.put(ks, account(from), (balance - amount).to_be_bytes().to_vec());
    let balance = number(tx.get(ks, &account(to))?);
    tx.put(ks, account(to), (balance + amount).to_be_bytes().to_vec());
    std::thread::yield_now();
    tx.commit(if random.below(4) == 0 { Durability::Sync } else { Durability::Buffered })
}

fn total(ks: &Keyspace) -> u64 {
    ks.prefix(b"account").map(|entry| number(Some(entry.unwrap().value().unwrap()))).sum()
}

#[test]
fn money_is_neither_made_nor_lost() {
    let vfs = MemVfs::new();
    let (db, ks) = open(&vfs);
    let mut batch = db.batch();
    for i in 0..ACCOUNTS {
        batch.put(&ks, account(i), EACH.to_be_bytes().to_vec());
    }
    db.write(batch, Durability::Sync).unwrap();
    let mut images = Vec::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let transfers: Vec<_> = (0..6u64)
            .map(|thread| {
                let (db, ks) = (&db, &ks);
                scope.spawn(move || {
                    let mut random = Random(thread + 1);
                    (0..300).filter(|_| is_conflict(&transfer(db, ks, &mut random))).count()
                })
            })
            .collect();
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(total(&ks), ACCOUNTS * EACH);
            }
        });
        for _ in 0..10 {
            std::thread::sleep(std::time::Duration::from_millis(3));
            images.extend([vfs.crash(), vfs.kill()]);
        }
        let conflicts: usize = transfers.into_iter().map(|thread| thread.join().unwrap()).sum();
        stop.store(true, Ordering::Relaxed);
        assert!(conflicts < 6 * 300, "all in vain");
    });
    for image in images.into_iter().chain([vfs.crash(), vfs.kill()]) {
        let (_db, ks) = open(&image);
        assert_eq!(total(&ks), ACCOUNTS * EACH, "after a crash");
    }
}

#[test]
fn no_update_is_lost() {
    let (db, ks) = open(&MemVfs::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    loop {
                        let mut tx = db.transaction();
                        let count = number(tx.get(&ks, b"counter").unwrap());
                        tx.put(&ks, "counter", (count + 1).to_be_bytes().to_vec());
                        if !is_conflict(&tx.commit(Durability::Buffered)) {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(number(ks.get(b"counter").unwrap()), 400);
}

/// Of two on duty each may go if the other stays: whoever reads for update is not fooled by what the other does meanwhile.
#[test]
fn reading_for_update_prevents_write_skew() {
    let (db, ks) = open(&MemVfs::new());
    for round in 0..100u8 {
        for name in ["alice", "bob"] {
            ks.put(name, "on").unwrap();
        }
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for (me, other) in [("alice", "bob"), ("bob", "alice")] {
                let (db, ks, barrier) = (&db, &ks, &barrier);
                scope.spawn(move || {
                    let mut tx = db.transaction();
                    barrier.wait();
                    if tx.get_for_update(ks, other.as_bytes()).unwrap().is_some() {
                        tx.delete(ks, me);
                    }
                    is_conflict(&tx.commit(Durability::Buffered));
                });
            }
        });
        assert_eq!(ks.range(..).count(), 1, "round {round}: exactly one goes");
    }
}

/// A committed transaction, as it was seen by its thread.
struct Trace {
    begun: Seqno,
    committed: Seqno,
    reads: Vec<(u64, u64)>,
    writes: BTreeMap<u64, u64>,
}

/// Many threads, random transactions; afterwards the histories are held against the definition of snapshot isolation.
#[test]
fn every_history_is_one_of_snapshot_isolation() {
    const KEYS: u64 = 6;
    let (db, ks) = open(&MemVfs::new());
    let run = |thread: u64| {
        let mut random = Random(thread * 7919 + 13);
        let mut traces = Vec::new();
        for i in 1..250u64 {
            let mut tx = db.transaction();
            let (mut reads, mut writes) = (Vec::new(), BTreeMap::new());
            for _ in 0..=random.below(4) {
                let key = random.below(KEYS);
                if random.below(2) == 0 {
                    if !writes.contains_key(&key) {
                        reads.push((key, number(tx.get(&ks, &key.to_be_bytes()).unwrap())));
                    }
                } else {
                    // Unique to thread and transaction; 0 stands for a deletion.
                    let value = if random.below(5) == 0 { 0 } else { thread << 32 | i };
                    match value {
                        0 => tx.delete(&ks, key.to_be_bytes().to_vec()),
                        _ => tx.put(&ks, key.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()),
                    }
                    writes.insert(key, value);
                }
                std::thread::yield_now();
            }
            let begun = tx.seqno();
            let committed = tx.commit(Durability::Buffered);
            if !writes.is_empty() && !is_conflict(&committed) {
                traces.push(Trace { begun, committed: committed.unwrap(), reads, writes });
            }
            if i % 60 == 0 {
                db.flush().unwrap();
            }
        }
        traces
    };
    let run = &run;
    let mut traces: Vec<Trace> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    traces.sort_by_key(|trace| trace.committed);
    let mut versions: BTreeMap<(u64, Seqno), u64> = BTreeMap::new();
    for trace in &traces {
        versions.extend(trace.writes.iter().map(|(key, value)| ((*key, trace.committed), *value)));
    }
    for trace in &traces {
        for (key, value) in &trace.reads {
            let seen = versions.range((*key, Seqno(0))..=(*key, trace.begun)).next_back();
            assert_eq!(*value, seen.map_or(0, |(_, value)| *value), "a read of another moment");
        }
        for key in trace.writes.keys() {
            let from = Seqno(trace.begun.0 + 1);
            let others = versions.range((*key, from)..(*key, trace.committed)).count();
            assert_eq!(others, 0, "two wrote key {key} at once, and both committed");
        }
    }
    for key in 0..KEYS {
        let last = versions.range((key, Seqno(0))..=(key, Seqno(u64::MAX))).next_back();
        assert_eq!(number(ks.get(&key.to_be_bytes()).unwrap()), last.map_or(0, |(_, value)| *value));
    }
}

#[test]
fn what_ends_a_database_or_a_keyspace_ends_its_transactions() {
    let (db, ks) = open(&MemVfs::new());
    ks.put("key", "value").unwrap();
    let begin = || {
        let mut tx = db.transaction();
        tx.put(&ks, "key", "mine");
        tx
    };
    let (first, second, empty) = (begin(), begin(), db.transaction());
    db.drop_keyspace(&ks).unwrap();
    assert_eq!(first.get(&ks, b"key").unwrap().unwrap(), "mine");
    assert_eq!(first.commit(Durability::Sync).unwrap_err().kind(), ErrorKind::KeyspaceDropped);
    assert_eq!(empty.get(&ks, b"key").unwrap().unwrap(), "value");
    assert!(empty.commit(Durability::Sync).is_ok());
    db.clone().close().unwrap();
    assert_eq!(second.commit(Durability::Sync).unwrap_err().kind(), ErrorKind::Closed);
}
