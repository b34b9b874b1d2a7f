//! Promise: whatever the options, whatever is flushed, compacted or reopened in between, the database answers like a map, and a
//! snapshot like the map when it was taken.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, Option<u16>)>),
    Blob(u8, u16),
    DeleteRange(Bound<u8>, Bound<u8>),
    /// A batch with a range deletion between two writes of the same keys.
    Replace(u8, u8, u8),
    Snapshot,
    DropSnapshot,
    Flush,
    Compact,
    CompactBins,
    Reopen,
    Kill,
    /// After so many calls the disk fails, or is full, until it is healed.
    Fail {
        after: u64,
        full: bool,
    },
    Heal,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = prop::collection::vec((any::<u8>(), prop::option::weighted(0.7, any::<u16>())), 1..12);
    let bound = || {
        prop_oneof![
            3 => any::<u8>().prop_map(Bound::Included),
            3 => any::<u8>().prop_map(Bound::Excluded),
            1 => Just(Bound::Unbounded)
        ]
    };
    let step = prop_oneof![
        8 => write.prop_map(Step::Write),
        3 => (any::<u8>(), any::<u16>()).prop_map(|(key, value)| Step::Blob(key, value)),
        2 => (bound(), bound()).prop_map(|(start, end)| Step::DeleteRange(start, end)),
        1 => (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(a, b, c)| Step::Replace(a, b, c)),
        2 => Just(Step::Snapshot),
        1 => Just(Step::DropSnapshot),
        1 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::CompactBins),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => (0u64..40, any::<bool>()).prop_map(|(after, full)| Step::Fail { after, full }),
        2 => Just(Step::Heal),
    ];
    prop::collection::vec(step, 1..60)
}

fn option_sets() -> impl Strategy<Value = Options> {
    let memtable = prop_oneof![Just(4usize << 10), Just(64 << 10)];
    let block = prop_oneof![Just(256usize), Just(4096)];
    (memtable, block, 1usize..4, 1usize..3, 0usize..4).prop_map(
        |(memtable_bytes, block_bytes, l0_tables_trigger, open_bins_max, background_threads)| Options {
            background_threads,
            memtable_bytes,
            block_bytes,
            table_bytes: 4 << 10,
            level1_bytes: 8 << 10,
            blob_file_bytes: 4 << 10,
            l0_tables_trigger,
            open_bins_max,
            block_cache_bytes: 16 << 10,
            ..Options::default()
        },
    )
}

/// Keeps everything; carries it two hours on.
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

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(key: u8) -> Vec<u8> {
    match key % 8 {
        // Keys at the ends of prefixes: none, and bytes that have no successor.
        0 => vec![0xff; usize::from(key / 64)],
        _ => [b"key/", &[key / 16][..], &vec![key; usize::from(key % 5)]].concat(),
    }
}

fn value(value: u16) -> Vec<u8> {
    value.to_be_bytes().repeat(usize::from(value % 60))
}

fn check(keyspace: &Keyspace, snapshot: Option<&Snapshot>, model: &Model, probe: u8) {
    let (low, high) = (key(probe), key(probe.wrapping_mul(67)));
    let found = match snapshot {
        Some(snapshot) => snapshot.get(keyspace, &low).unwrap(),
        None => keyspace.get(&low).unwrap(),
    };
    assert_eq!(found.as_deref(), model.get(&low).map(|value| &value[..]));
    // Many of these are empty, and many end before they begin.
    let ends = [
        (Bound::Included(low.clone()), Bound::Unbounded),
        (Bound::Excluded(low.clone()), Bound::Included(high.clone())),
        (Bound::Included(low.clone()), Bound::Excluded(high.clone())),
        (Bound::Excluded(high.clone()), Bound::Excluded(low.clone())),
        (Bound::Excluded(low.clone()), Bound::Excluded(low.clone())),
        (Bound::Unbounded, Bound::Included(high)),
    ];
    for (n, range) in ends.into_iter().enumerate() {
        let iter = match snapshot {
            Some(snapshot) => snapshot.range(keyspace, range.clone()),
            None => keyspace.range(range.clone()),
        };
        let expected = model.iter().filter(|(key, _)| range.contains(*key));
        assert!(contents(iter).iter().map(|(k, v)| (k, v)).eq(expected), "{range:?}");
        if n != usize::from(probe) % 6 {
            continue;
        }
        let iter = match snapshot {
            Some(snapshot) => snapshot.range(keyspace, range.clone()),
            None => keyspace.range(range.clone()),
        };
        check_both_ends(iter, model, &range, probe);
    }
    let keys: Vec<Vec<u8>> = (0..=255).step_by(5).map(|k: u8| key(k.wrapping_mul(probe | 1))).collect();
    let found = match snapshot {
        Some(snapshot) => snapshot.multi_get(keyspace, &keys).unwrap(),
        None => keyspace.multi_get(&keys).unwrap(),
    };
    assert!(
        found.iter().map(|found| found.as_deref()).eq(keys.iter().map(|key| model.get(key).map(|v| &v[..])))
    );
    for prefix in [&low[..low.len() / 2], &[], &[0xff], &[0xff, 0xff]] {
        let iter = match snapshot {
            Some(snapshot) => snapshot.prefix(keyspace, prefix),
            None => keyspace.prefix(prefix),
        };
        let expected = model.iter().filter(|(key, _)| key.starts_with(prefix));
        assert!(contents(iter).iter().map(|(k, v)| (k, v)).eq(expected), "prefix {prefix:?}");
    }
}

/// Steps from both ends, in an order that `pattern` gives, until they meet; and then again from a place within.
fn check_both_ends(mut iter: Iter, model: &Model, range: &(Bound<Vec<u8>>, Bound<Vec<u8>>), pattern: u8) {
    let mut left: std::collections::VecDeque<_> =
        model.iter().filter(|(key, _)| range.contains(*key)).collect();
    let mut turns = (0..).map(|n| pattern.rotate_left(n) & 1 == 0);
    let mut seek = Some(key(pattern)).filter(|_| pattern.is_multiple_of(3));
    let mut given_back: Option<Vec<u8>> = None;
    loop {
        let forward = turns.next().unwrap();
        let (found, expected) =
            if forward { (iter.next(), left.pop_front()) } else { (iter.next_back(), left.pop_back()) };
        let found =
            found.map(|entry| entry.unwrap()).map(|e| (e.key().to_vec(), e.value().unwrap().to_vec()));
        assert_eq!(found.as_ref().map(|(k, v)| (k, v)), expected, "{range:?}");
        let Some((key, _)) = expected else { break };
        if !forward {
            given_back = Some(key.clone());
        }
        if let Some(to) = seek.take() {
            iter.seek(&to);
            let is_left = |key: &Vec<u8>| *key >= to && given_back.as_ref().is_none_or(|given| key < given);
            left = model.iter().filter(|(key, _)| range.contains(*key) && is_left(key)).collect();
        }
    }
    assert!(iter.next().is_none() && iter.next_back().is_none());
}

fn contents(iter: Iter) -> Vec<(Vec<u8>, Vec<u8>)> {
    iter.map(|entry| entry.unwrap()).map(|e| (e.key().to_vec(), e.value().unwrap().to_vec())).collect()
}

/// One step of work. What it writes is in the model when it is acknowledged.
fn work(db: &Db, keyspace: &Keyspace, step: Step, model: &mut Model) -> Result<()> {
    match step {
        Step::Write(ops) => {
            let mut batch = db.batch();
            let mut next = model.clone();
            for (k, v) in ops {
                match v {
                    Some(v) => {
                        next.insert(key(k), value(v));
                        batch.put(keyspace, key(k), value(v));
                    }
                    None => {
                        next.remove(&key(k));
                        batch.delete(keyspace, key(k));
                    }
                }
            }
            db.write(batch, Durability::Buffered)?;
            *model = next;
        }
        Step::Blob(k, v) => {
            let bin = Bin { class: k % 2, due_ms: u64::from(v % 5) };
            let blob = db.append_blob(keyspace, bin, &key(k), &value(v), Compression::Fast)?;
            let mut batch = db.batch();
            batch.put_blob(keyspace, key(k), &blob);
            db.write(batch, Durability::Buffered)?;
            model.insert(key(k), value(v));
        }
        Step::DeleteRange(start, end) => {
            let range = (start.map(key), end.map(key));
            let after = |key: &Vec<u8>| [key, &[0][..]].concat();
            let start = match &range.0 {
                Bound::Included(start) => start.clone(),
                Bound::Excluded(start) => after(start),
                Bound::Unbounded => Vec::new(),
            };
            let end = match &range.1 {
                Bound::Included(end) => after(end),
                Bound::Excluded(end) => end.clone(),
                Bound::Unbounded => vec![0xff; 9],
            };
            let mut batch = db.batch();
            batch.delete_range(keyspace, start, end);
            db.write(batch, Durability::Buffered)?;
            model.retain(|key, _| !range.contains(key));
        }
        Step::Replace(a, b, kept) => {
            let (start, end) = (key(a).min(key(b)), key(a).max(key(b)));
            let mut batch = db.batch();
            batch.put(keyspace, start.clone(), "gone");
            batch.delete_range(keyspace, start.clone(), end.clone());
            batch.put(keyspace, key(kept), "kept");
            db.write(batch, Durability::Buffered)?;
            model.insert(start.clone(), b"gone".to_vec());
            model.retain(|key, _| !(&start <= key && key < &end));
            model.insert(key(kept), b"kept".to_vec());
        }
        Step::Flush => db.flush()?,
        Step::Compact => db.compact()?,
        Step::CompactBins => {
            db.seal_bins()?;
            for file in db.blob_files(keyspace)? {
                let report = db.compact_bin(keyspace, file.id, &Keeper)?;
                assert!(!report.busy);
                // References that a range deletion or a newer version hides count as live until a merge drops them, never the reverse.
                assert!(report.retired || (file.live_bytes * 2 >= file.bytes && file.bytes > 0));
            }
        }
        _ => unreachable!("no work"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PATINA_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96)
    ))]

    #[test]
    fn answers_match_a_model(steps in steps(), options in option_sets()) {
        let mut vfs = MemVfs::new();
        let mut model = Model::new();
        let mut snapshots: Vec<(Snapshot, Model)> = Vec::new();
        let open = |vfs: &MemVfs| {
            let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options.clone()).unwrap();
            let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
            (db, keyspace)
        };
        let (mut db, mut keyspace) = open(&vfs);
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Snapshot => snapshots.push((db.snapshot(), model.clone())),
                Step::DropSnapshot => drop(snapshots.pop()),
                Step::Fail { after, full: true } => vfs.fill_after(after),
                Step::Fail { after, full: false } => vfs.fail_after(after),
                Step::Heal => vfs.heal(),
                Step::Reopen | Step::Kill => {
                    vfs.heal();
                    snapshots.clear();
                    if matches!(step, Step::Kill) {
                        vfs = vfs.kill();
                    }
                    drop((db, keyspace));
                    (db, keyspace) = open(&vfs);
                }
                step => {
                    if let Err(error) = work(&db, &keyspace, step, &mut model) {
                        let expected = [ErrorKind::Io, ErrorKind::NoSpace, ErrorKind::ReadOnly];
                        prop_assert!(expected.contains(&error.kind()), "{error}");
                    }
                }
            }
            check(&keyspace, None, &model, n as u8);
            for (snapshot, model) in &snapshots {
                check(&keyspace, Some(snapshot), model, n as u8);
            }
        }
    }
}
