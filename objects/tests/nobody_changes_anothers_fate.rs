//! Objects that are held, pinned or poisonous, however many, change nothing for the others; what is on disk is what the history
//! says; stages only rise.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{Budget, PutOptions, days};
use proptest::prelude::*;
use std::collections::BTreeMap;
use support::{TENANT, World, cases, noise};

/// What an object is put with, on which day, and when it is read.
#[derive(Clone, Debug)]
struct Life {
    day: u64,
    bytes: usize,
    rate: f64,
    reads: Vec<u64>,
}

/// Somebody who cannot move.
#[derive(Clone, Debug)]
enum Neighbour {
    Held,
    Pinned,
    Poisonous,
}

const DAYS: u64 = 90;

fn life() -> impl Strategy<Value = Life> {
    let rates = prop::sample::select(vec![0.5, 1.0, 3.0]);
    (0..DAYS, 1usize..2000, rates, prop::collection::vec(0..DAYS, 0..4))
        .prop_map(|(day, bytes, rate, reads)| Life { day, bytes, rate, reads })
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    prop_oneof![Just(Neighbour::Held), Just(Neighbour::Pinned), Just(Neighbour::Poisonous)]
}

/// The stage of every life at the end of every day.
fn fates(lives: &[Life], neighbours: &[(u64, Neighbour)]) -> (World, Vec<BTreeMap<usize, u8>>) {
    let world = World::new();
    let mut fates = Vec::new();
    for day in 0..DAYS {
        for (n, _) in neighbours.iter().enumerate().filter(|(_, (put, _))| *put == day) {
            let (_, neighbour) = &neighbours[n];
            let hold = matches!(neighbour, Neighbour::Held).then(|| "case".to_owned());
            let pinned = matches!(neighbour, Neighbour::Pinned);
            let bytes = match neighbour {
                Neighbour::Poisonous => [b"fail".to_vec(), noise(n as u64, 300)].concat(),
                _ => noise(10_000 + n as u64, 300),
            };
            let options = PutOptions { hold, pinned, ..PutOptions::default() };
            world.store.put(&format!("neighbour {n}"), &bytes, &options).unwrap();
        }
        for (n, life) in lives.iter().enumerate() {
            let name = format!("{n}");
            if life.day == day {
                let options = PutOptions { rate: Some(life.rate), ..PutOptions::default() };
                world.store.put(&name, &noise(n as u64, life.bytes), &options).unwrap();
            }
            if life.day < day && life.reads.contains(&day) {
                // It may be purged by now.
                let _ = world.store.get(TENANT, &name);
            }
        }
        world.tick_after(1);
        let stages = (0..lives.len()).filter_map(|n| {
            let info = world.store.stat(TENANT, &format!("{n}")).ok()?;
            Some((n, info.stage.number()))
        });
        fates.push(stages.collect());
    }
    (world, fates)
}

proptest! {
    #![proptest_config(cases(12, 500))]
    #[test]
    fn held_pinned_and_poisonous_neighbours_change_nothing(
        lives in prop::collection::vec(life(), 1..10),
        neighbours in prop::collection::vec((0..DAYS, neighbour()), 1..10),
    ) {
        let (alone, without) = fates(&lives, &[]);
        let (among, with) = fates(&lives, &neighbours);
        prop_assert_eq!(&without, &with);
        for (before, after) in without.iter().zip(without.iter().skip(1)) {
            prop_assert!(before.iter().all(|(n, stage)| after[n] >= *stage), "a stage fell");
        }
        for (n, (_, neighbour)) in neighbours.iter().enumerate() {
            prop_assert_eq!(among.stage(&format!("neighbour {n}")), 0, "{:?}", neighbour);
        }
        alone.check();
        among.check();
    }

    #[test]
    fn the_historys_bytes_are_those_on_the_disk(lives in prop::collection::vec(life(), 1..10), budget in prop::option::of(1u64..10_000)) {
        let (world, _) = fates(&lives, &[]);
        if let Some(bytes) = budget {
            world.store.set_budget(None, Some(Budget { bytes, refuse_writes: false })).unwrap();
            world.tick_after(0);
        }
        let rows = world.store.history(None).unwrap().map(Result::unwrap);
        let told = rows.fold(0, |sum, row| sum + row.bytes_after as i64 - row.bytes_before as i64);
        let infos: Vec<_> = world.store.list(&Default::default()).unwrap().map(Result::unwrap).collect();
        let traces: u64 = infos.iter().filter(|info| info.stage.number() == 3).map(|info| info.stored).sum();
        let totals = world.store.totals().unwrap();
        // No two of these contents are equal, but degraded ones that came out empty may be.
        let shared = totals.all.stored - traces - totals.content_bytes;
        prop_assert_eq!(told as u64, totals.all.stored);
        prop_assert!(shared <= infos.len() as u64);
        let files = world.store.blob_files().unwrap();
        let live: u64 = files.iter().map(|file| file.live_bytes).sum();
        prop_assert!(live >= totals.content_bytes, "{live} of {}", totals.content_bytes);
        let on_disk: u64 = files.iter().map(|file| file.bytes).sum();
        prop_assert!(on_disk >= live);
    }
}

/// A snapshot reads what it saw, whatever a budget takes meanwhile.
#[test]
fn a_snapshot_outlives_what_a_budget_takes() {
    let world = World::new();
    let contents = world.store.db().keyspace("contents", Default::default()).unwrap();
    world.put("a", &noise(1, 5_000));
    let hash = world.store.stat(TENANT, "a").unwrap().content_hash.unwrap();
    let snapshot = world.store.db().snapshot();
    world.store.set_budget(None, Some(Budget { bytes: 1, refuse_writes: false })).unwrap();
    world.clock.advance(days(1));
    assert!(world.tick().moved > 0);
    assert_eq!(world.stage("a"), 3);
    assert_eq!(snapshot.get(&contents, &hash).unwrap().unwrap(), noise(1, 5_000));
    assert!(contents.get(&hash).unwrap().is_none());
    drop(snapshot);
    world.check();
}
