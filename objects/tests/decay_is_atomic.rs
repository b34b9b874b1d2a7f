//! A power loss or a dying disk at any I/O call of a tick leaves every object wholly in its old stage or wholly in its
//! new one, loses nothing else, and the next tick comes to the same end as one that was never interrupted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{Budget, ObjectInfo, PutOptions, TickOptions, days};
use patina_storage::MemVfs;
use support::{START, TENANT, World, noise, policy};

/// Objects for every path: plain, shared, unchanged by the codec, late for their trace, due for their purge.
fn prepared() -> (World, Vec<&'static str>) {
    let world = World::new();
    let names = vec!["plain", "shared1", "shared2", "same", "cold", "purge", "young"];
    world.put("purge", &noise(5, 900));
    world.tick_after(40);
    world.put("cold", &noise(4, 800));
    world.clock.advance(days(28));
    world.put("plain", &noise(1, 1000));
    world.put("shared1", &noise(2, 600));
    world.put("shared2", &noise(2, 600));
    world.put("same", &[b"same".to_vec(), b"0123456789".repeat(200)].concat());
    world.clock.advance(days(8));
    world.put("young", &noise(6, 400));
    world.clock.advance(days(4));
    world.store.sync().unwrap();
    (world, names)
}

type Fate = Vec<(u8, Vec<u8>, u64)>;

fn fates(world: &World, names: &[&str]) -> Fate {
    let fate = |name: &&str| {
        let info = world.store.stat(TENANT, name).unwrap();
        let bytes = if info.stage.number() < 4 { world.bytes(name) } else { Vec::new() };
        (info.stage.number(), bytes, info.stored)
    };
    names.iter().map(fate).collect()
}

fn interrupted_at(force: bool, power_loss: bool) {
    let (world, names) = prepared();
    let now = patina_objects::Clock::now(&world.clock);
    let base = world.vfs.kill();
    let old = fates(&world, &names);
    let options = TickOptions { force, ..Default::default() };
    let reference = World::on(base.kill(), now);
    let calls_before = reference.vfs.writes();
    reference.store.tick(&options).unwrap();
    let calls = reference.vfs.writes() - calls_before;
    let new = fates(&reference, &names);
    assert_ne!(old, new);
    assert!(calls > 10, "{calls} calls");
    let step = if force { 3 } else { 1 };
    for failing in (0..calls).step_by(step) {
        let broken = World::on(base.kill(), now);
        broken.vfs.fail_after(failing);
        let _ = broken.store.tick(&options);
        let left: MemVfs = if power_loss { broken.vfs.crash() } else { broken.vfs.kill() };
        drop(broken);
        let world = World::on(left, now);
        for (at, fate) in fates(&world, &names).iter().enumerate() {
            let whole = *fate == old[at] || *fate == new[at];
            assert!(
                whole,
                "call {failing}: '{}' is in stage {} with {} bytes",
                names[at],
                fate.0,
                fate.1.len()
            );
        }
        world.check();
        if !force {
            world.tick();
            assert_eq!(fates(&world, &names), new, "call {failing}");
            world.check();
        }
    }
}

#[test]
fn a_power_loss_at_any_call_of_a_natural_tick() {
    interrupted_at(false, true);
}

#[test]
fn a_dying_disk_at_any_call_of_a_natural_tick() {
    interrupted_at(false, false);
}

#[test]
fn a_power_loss_during_a_forced_tick() {
    interrupted_at(true, true);
}

#[test]
fn an_acknowledged_put_survives_a_power_loss_and_an_unfinished_one_leaves_nothing() {
    for failing in 0..40 {
        let world = World::new();
        world.put("first", &noise(1, 1000));
        world.vfs.fail_after(failing);
        let second = world.store.put("second", &noise(2, 1000), &PutOptions::default());
        let after = world.after_power_loss();
        assert_eq!(after.bytes("first"), noise(1, 1000));
        match (second, after.store.stat(TENANT, "second")) {
            (Ok(_), found) => assert_eq!(found.map(|info: ObjectInfo| info.size).unwrap(), 1000),
            (Err(_), Ok(_)) => assert_eq!(after.bytes("second"), noise(2, 1000)),
            (Err(_), Err(_)) => {}
        }
        after.check();
    }
}

/// A budget's round goes through the same commits: whatever call fails, no object is in between, nothing else is lost, and the next
/// round makes the rest of the room.
#[test]
fn a_power_loss_at_any_call_of_a_round_for_a_budget() {
    let (world, names) = prepared();
    world.tick();
    let limit = Budget { bytes: world.store.totals().unwrap().content_bytes / 2, refuse_writes: false };
    world.store.set_budget(None, Some(limit)).unwrap();
    let now = patina_objects::Clock::now(&world.clock);
    let base = world.vfs.kill();
    let old = fates(&world, &names);
    let stages = |fates: &Fate| fates.iter().map(|fate| fate.0).collect::<Vec<_>>();
    let reference = World::on(base.kill(), now);
    let calls_before = reference.vfs.writes();
    assert!(reference.tick().moved > 1);
    let calls = reference.vfs.writes() - calls_before;
    let new = fates(&reference, &names);
    for failing in (0..calls).step_by(if std::env::var_os("PATINA_LONG_TESTS").is_some() { 1 } else { 3 }) {
        let broken = World::on(base.kill(), now);
        broken.vfs.fail_after(failing);
        let _ = broken.store.tick(&TickOptions::default());
        let world = World::on(broken.vfs.crash(), now);
        for (at, fate) in fates(&world, &names).iter().enumerate() {
            assert!(
                *fate == old[at] || *fate == new[at],
                "call {failing}: '{}' in stage {}",
                names[at],
                fate.0
            );
        }
        world.check();
        world.tick();
        let used = world.store.budget_status().unwrap()[0].used_bytes;
        assert!(used <= limit.starts_above_bytes(), "call {failing}: {used} of {limit:?}");
        let ended = fates(&world, &names);
        assert!(stages(&ended).iter().zip(stages(&old)).all(|(after, before)| *after >= before));
        world.check();
    }
}

/// The change of a policy must reach every object that follows it, however it is interrupted: the due index would be
/// too late for them otherwise.
#[test]
fn an_interrupted_change_of_a_policy_reaches_every_object_at_the_next_opening() {
    for failing in 0..12 {
        let world = World::new();
        for n in 0..5u64 {
            world.put(&format!("o{n}"), &noise(n, 100));
        }
        world.vfs.fail_after(failing);
        let stricter = patina_objects::Policy { warm_after: Some(days(2)), ..policy() };
        let changed = world.store.put_policy(stricter).is_ok();
        let after = World::on(world.vfs.crash(), START);
        let version = after.store.policy("quick").unwrap().version;
        assert!(version == 2 || !changed);
        after.tick_after(3);
        assert_eq!(after.stage("o4"), if version == 2 { 1 } else { 0 }, "call {failing}");
    }
}
