//! A dry run says what the same tick would do, and leaves every key and value of every keyspace as it was.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{PlannedMove, PutOptions, TickOptions, days};
use support::{START, TENANT, World, noise};

fn filled() -> World {
    let world = World::new();
    for n in 0..12u64 {
        let rate = [0.5, 1.0, 3.0][n as usize % 3];
        let options = PutOptions { rate: Some(rate), pinned: n % 5 == 4, ..Default::default() };
        world.store.put(&format!("o{n}"), &noise(n % 7, 1000), &options).unwrap();
        world.clock.advance(days(1));
    }
    world.store.hold(TENANT, "o1", "case", None).unwrap();
    world
}

fn told(planned: &[PlannedMove]) -> Vec<(u64, u8, u8)> {
    let mut moves: Vec<_> = planned.iter().map(|m| (m.object.0, m.from.number(), m.to.number())).collect();
    moves.sort_unstable();
    moves
}

/// The moves that the history gained.
fn done(world: &World, seen: u64) -> Vec<(u64, u8, u8)> {
    let rows = world.store.history(None).unwrap().map(Result::unwrap).filter(|row| row.seq > seen);
    let mut moves: Vec<_> =
        rows.map(|row| (row.object.0, row.from.unwrap().number(), row.to.unwrap().number())).collect();
    moves.sort_unstable();
    moves
}

#[test]
fn it_foretells_natural_and_forced_ticks_and_leaves_every_byte_as_it_was() {
    for (force, later) in [(false, 0), (false, 10), (false, 200), (true, 0)] {
        let world = filled();
        world.clock.advance(days(later));
        world.store.get(TENANT, "o0").unwrap();
        let (before, seen) = (world.dump(), world.store.verify_history().unwrap());
        let options = TickOptions { force, ..Default::default() };
        let planned = world.store.dry_run(&options).unwrap();
        assert_eq!(world.dump(), before);
        let report = world.store.tick(&options).unwrap();
        assert_eq!(told(&planned), done(&world, seen), "force {force}, {later} days later");
        assert_eq!(report.moved, planned.len() as u64);
        assert!(planned.iter().all(|m| m.bytes_after_estimate <= m.bytes_before));
        world.check();
    }
}

#[test]
fn it_moves_neither_the_decay_clock_nor_the_progress() {
    let world = filled();
    let options = TickOptions { now: Some(START.after(days(5000))), ..Default::default() };
    assert!(!world.store.dry_run(&options).unwrap().is_empty());
    world.tick();
    for _ in 0..5 {
        world.store.dry_run(&TickOptions { force: true, ..Default::default() }).unwrap();
    }
    assert!(world.store.list(&Default::default()).unwrap().all(|info| info.unwrap().progress == 0.0));
}
