use super::*;
use crate::types::{Kind, Seqno};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

type InternalKey = (u32, Vec<u8>, Reverse<u64>);
type Model = BTreeMap<InternalKey, Vec<u8>>;

fn tag(seqno: u64) -> Tag {
    Tag::new(Seqno(seqno), Kind::Value)
}

fn contents_from(list: &Skiplist, from: &Probe) -> Vec<(InternalKey, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = list.at_or_after(from);
    let mut key = Vec::new();
    while let Some(node) = at {
        list.copy_key(node, &mut key);
        let internal = (list.keyspace(node).0, key.clone(), Reverse(list.tag(node).seqno().0));
        found.push((internal, list.value(node).to_vec()));
        at = list.after(node);
    }
    found
}

/// Keys around the padding: zeros at the end, and lengths around whole words.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => Just(0xff)], 0..19)
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    let len =
        prop_oneof![8 => 0usize..40, 1 => LARGE_VALUE_BYTES - 9..LARGE_VALUE_BYTES + 9, 1 => Just(9000)];
    (len, any::<u8>()).prop_map(|(len, byte)| (0..len).map(|at| byte.wrapping_add(at as u8)).collect())
}

proptest! {
    #[test]
    fn it_answers_like_an_ordered_map(
        entries in prop::collection::vec((0u32..3, keys(), values()), 0..120),
        probes in prop::collection::vec((0u32..4, keys(), 0u64..130), 1..20),
    ) {
        let list = Skiplist::new();
        let mut model = Model::new();
        for (seqno, (keyspace, key, value)) in (1..).zip(entries) {
            list.insert(&Probe::new(KeyspaceId(keyspace), &key, tag(seqno)), &value);
            model.insert((keyspace, key, Reverse(seqno)), value);
        }
        prop_assert_eq!(list.is_empty(), model.is_empty());
        for (keyspace, key, seqno) in probes {
            let probe = Probe::new(KeyspaceId(keyspace), &key, tag(seqno));
            let expected: Vec<_> =
                model.range((keyspace, key.clone(), Reverse(seqno))..).map(|(k, v)| (k.clone(), v.clone())).collect();
            let found = contents_from(&list, &probe);
            let is_of = list.at_or_after(&probe).is_some_and(|node| list.is_of(node, &probe));
            let first_is_of = expected.first().is_some_and(|((k, u, _), _)| (*k, u) == (keyspace, &key));
            let before = list.before(&probe).map(|node| {
                let mut key = Vec::new();
                list.copy_key(node, &mut key);
                (list.keyspace(node).0, key, Reverse(list.tag(node).seqno().0))
            });
            let expected_before = model.range(..(keyspace, key.clone(), Reverse(seqno))).next_back();
            prop_assert_eq!(before.as_ref(), expected_before.map(|(key, _)| key));
            prop_assert_eq!(is_of, first_is_of);
            prop_assert_eq!(found, expected);
        }
    }
}

/// What `bytes` says is what an allocator would be asked for, chunk ends aside.
#[test]
fn bytes_are_those_of_the_entries() {
    let list = Skiplist::new();
    let mut expected = 0;
    for seqno in 1..=20_000u64 {
        let value = vec![1; (seqno % 1500) as usize];
        list.insert(&Probe::new(KeyspaceId(1), &seqno.to_be_bytes(), tag(seqno)), &value);
        let links_head_key_length = (height(tag(seqno)) + 2 + 1 + 1) * 8;
        expected += links_head_key_length
            + if value.len() < 1024 { value.len().next_multiple_of(8) } else { value.len() + 32 };
    }
    assert_eq!(list.bytes(), expected);
    let chunks: usize = list.chunks.iter().filter_map(OnceLock::get).map(|chunk| chunk.len() * 8).sum();
    let large: usize = list.large.read().iter().map(|value| value.len() + 32).sum();
    assert!(chunks + large <= expected + expected / 7, "{chunks} in chunks, {large} large, {expected} used");
}

/// Threads insert interleaved keys; meanwhile a reader sees, at every pass, sorted and whole entries, and never fewer than before.
#[test]
fn many_threads_insert_while_others_read() {
    const THREADS: u64 = 4;
    const EACH: u64 = if cfg!(miri) { 50 } else { 5000 };
    let list = Skiplist::new();
    let done = AtomicBool::new(false);
    let start = Probe::new(KeyspaceId(0), b"", Tag(u64::MAX));
    let read = || {
        let (mut passes, mut seen) = (0, 0);
        while !done.load(Acquire) || passes == 0 {
            let found = contents_from(&list, &start);
            assert!(found.len() >= seen, "{} entries after {seen}", found.len());
            assert!(found.is_sorted_by(|a, b| a.0 < b.0));
            assert!(found.iter().all(|((_, key, _), value)| value == key));
            (passes, seen) = (passes + 1, found.len());
        }
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(read);
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let list = &list;
                scope.spawn(move || {
                    for n in 0..EACH {
                        let seqno = n * THREADS + thread + 1;
                        // Neighbours come from different threads at nearly the same time.
                        let key = (seqno % 1000).to_be_bytes();
                        let probe = Probe::new(KeyspaceId(1), &key, tag(seqno));
                        list.insert(&probe, &key);
                        assert_eq!(list.at_or_after(&probe).map(|node| list.tag(node)), Some(tag(seqno)));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Release);
        reader.join().unwrap();
    });
    assert_eq!(contents_from(&list, &start).len() as u64, THREADS * EACH);
    // Whatever order they came in, each level is a part of the one below, in the same order.
    for level in 1..HEIGHT_MAX {
        let along = |level: usize| {
            let list = &list;
            let mut at = NodeRef::HEAD;
            std::iter::from_fn(move || {
                at = NodeRef(list.link(at, level).load(Acquire)).present()?;
                Some(at)
            })
        };
        let mut below = along(level - 1);
        assert!(along(level).all(|node| below.any(|other| other == node)), "level {level}");
    }
}
