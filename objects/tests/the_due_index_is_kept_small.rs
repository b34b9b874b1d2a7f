//! What cannot move is not in the due index, comes back when what stopped it changes, and costs a tick nothing; entries
//! that belong to nothing do not stay.

mod support;

use patina_objects::{Policy, PutOptions, days};
use patina_storage::KeyspaceOptions;
use std::time::Duration;
use support::{START, TENANT, World, noise, policy};

/// What is done to the world.
type Act<'a> = &'a dyn Fn();

fn due(world: &World) -> usize {
    world.dump()["due"].len()
}

#[test]
fn whatever_stops_an_object_takes_it_out_and_whatever_frees_it_brings_it_back() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let store = &world.store;
    let stops: [(Act<'_>, Act<'_>); 4] = [
        (&|| assert_eq!(store.hold(TENANT, "a", "case", None).unwrap().0, 1), &|| {
            drop(store.release(TENANT, "a", None))
        }),
        (&|| store.set_pinned(TENANT, "a", true).unwrap(), &|| store.set_pinned(TENANT, "a", false).unwrap()),
        (
            &|| {
                drop(store.put_policy(Policy {
                    warm_after: None,
                    cold_after: None,
                    trace_after: None,
                    purge_after: None,
                    ..policy()
                }))
            },
            &|| drop(store.put_policy(policy())),
        ),
        (
            &|| {
                store.put_policy(Policy { fidelity_floor: 0.9, purge_after: None, ..policy() }).unwrap();
                world.tick_after(50);
            },
            &|| drop(store.put_policy(policy())),
        ),
    ];
    for (number, (stop, free)) in stops.into_iter().enumerate() {
        assert_eq!(due(&world), 1, "before stop {number}");
        stop();
        assert_eq!(due(&world), 0, "after stop {number}");
        let report = world.tick_after(1);
        assert_eq!((report.blocked, report.postponed, report.moved), (0, 0, 0), "stop {number}");
        free();
    }
    world.tick();
    assert!(world.stage("a") > 0);
    world.check();
}

/// 2 000 objects by default, a million with PATINA_LONG_TESTS=1 (better with --release); the cost of the tick does not depend on it.
#[test]
fn any_number_of_held_objects_costs_a_tick_nothing() {
    let count = if std::env::var_os("PATINA_LONG_TESTS").is_some() { 1_000_000 } else { 2_000 };
    let cost = |objects: u64| {
        let world = World::new();
        let held = PutOptions { hold: Some("case".into()), ..PutOptions::default() };
        let items = (0..objects).map(|n| (format!("o{n}"), n.to_be_bytes().to_vec().into(), held.clone()));
        world.store.put_many(items).unwrap();
        world.tick();
        assert_eq!(world.store.next_due_at().unwrap(), None);
        let before = world.vfs.writes();
        let report = world.tick_after(1000);
        assert_eq!((report.blocked, report.postponed, report.moved), (0, 0, 0));
        world.vfs.writes() - before
    };
    // One write more may make room ahead in the log.
    assert!(cost(count).abs_diff(cost(1)) <= 1, "{} {}", cost(count), cost(1));
}

/// A file is full of objects that somebody read at other times: each tick finds a few of them due.
#[test]
fn a_tick_looks_at_what_is_due_and_at_nothing_else() {
    let world = World::new();
    let items = (0..500u64).map(|n| (format!("o{n}"), noise(n, 1000).into(), PutOptions::default()));
    world.store.put_many(items).unwrap();
    // Each hour ten of them are read; who is read first falls due first.
    for n in 0..500 {
        if n % 10 == 0 {
            world.clock.advance(Duration::from_hours(1));
        }
        world.store.get(TENANT, &format!("o{n}")).unwrap();
    }
    let (mut moved, mut ticks) = (0, 0);
    while moved < 200 {
        world.clock.advance(Duration::from_hours(1));
        let report = world.tick();
        assert_eq!(report.contents_judged, report.moved, "{report:?}");
        moved += report.moved;
        ticks += u64::from(report.moved > 0);
    }
    assert!(ticks > 10, "{ticks}");
    world.check();
}

#[test]
fn an_entry_that_belongs_to_nothing_is_removed() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.put("b", &noise(2, 1000));
    world.store.hold(TENANT, "b", "case", None).unwrap();
    let index = world.store.db().keyspace("due", KeyspaceOptions::default()).unwrap();
    let entry = |due_ms: u64, id: u64| [due_ms.to_be_bytes(), id.to_be_bytes()].concat();
    let orphans = [entry(START.0, 999), entry(START.0, 1), entry(START.0 + 5, 2), b"\0\0\0".to_vec()];
    for orphan in &orphans {
        index.put(orphan.clone(), Vec::new()).unwrap();
    }
    assert_eq!(due(&world), 1 + orphans.len());
    let report = world.tick_after(1);
    assert_eq!((report.moved, report.failed), (0, 0));
    let left: Vec<Vec<u8>> = world.dump()["due"].iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(left, [entry(START.after(days(10)).0, 1)]);
    assert_eq!(world.tick_after(9).moved, 1);
    world.check();
}

#[test]
fn a_failing_object_comes_back_after_ever_longer_pauses_and_then_only_when_somebody_changes_it() {
    let world = World::new();
    world.put("bad", b"fail: this one cannot be transformed");
    world.clock.advance(days(10));
    let hour_ms = 3_600_000;
    for pause_hours in [1, 2, 4, 8] {
        assert_eq!(world.tick().failed, 1);
        let next = world.store.stat(TENANT, "bad").unwrap().next_decay_at.unwrap();
        assert_eq!(next.0 - world.store.now().0, pause_hours * hour_ms);
        assert_eq!(world.tick().failed, 0, "not before its time");
        world.clock.set(next);
    }
    assert_eq!((world.tick().failed, due(&world)), (1, 0));
    assert_eq!(world.tick_after(5000).failed, 0);
    world.store.set_rate(TENANT, "bad", 2.0).unwrap();
    assert_eq!((due(&world), world.tick().failed), (1, 1));
}
