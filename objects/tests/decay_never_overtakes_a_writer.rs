//! What a person does to an object while its transform runs is left as they made it. The transform's hook is that
//! moment: it runs between the judgement and the commit.

mod support;

use parking_lot::Mutex;
use patina_objects::{
    Budget, Clock, ErrorKind, ManualClock, ObjectStore, PutOptions, Stage, StoreOptions, TickOptions,
    TickReport, Timestamp, days,
};
use patina_storage::{Db, MemVfs, Options};
use std::sync::Arc;
use support::{Halving, START, TENANT, World, noise, policy};

/// A world with two objects that are due; `action` is done to "a" while the transform of "a" runs, once.
fn interrupted(action: impl Fn(&ObjectStore) + Send + 'static) -> World {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.put("b", &noise(2, 1000));
    world.clock.advance(days(12));
    let store = world.store.clone();
    let first = noise(1, 1000);
    let done = Arc::new(Mutex::new(false));
    let hook_done = Arc::clone(&done);
    *world.transform.hook.lock() = Some(Box::new(move |bytes| {
        if bytes == first && !*hook_done.lock() {
            *hook_done.lock() = true;
            action(&store);
        }
    }));
    world.tick();
    assert!(*done.lock(), "the transform of 'a' was to run");
    *world.transform.hook.lock() = None;
    assert_eq!(world.stage("b"), 1, "'b' is nobody's business");
    world.check();
    world
}

#[test]
fn an_overwritten_object_keeps_its_new_bytes() {
    let world = interrupted(|store| {
        store.put("a", &noise(9, 700), &PutOptions::default()).unwrap();
    });
    assert_eq!((world.stage("a"), world.bytes("a")), (0, noise(9, 700)));
}

#[test]
fn a_deleted_object_stays_deleted() {
    let world = interrupted(|store| store.delete(TENANT, "a").unwrap());
    assert_eq!(world.store.stat(TENANT, "a").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.store.totals().unwrap().contents, 1);
}

#[test]
fn a_held_object_keeps_its_bytes() {
    let world = interrupted(|store| {
        store.hold(TENANT, "a", "case 17", None).unwrap();
    });
    assert_eq!((world.stage("a"), world.bytes("a")), (0, noise(1, 1000)));
    world.store.release(TENANT, "a", None).unwrap();
    world.tick();
    assert_eq!(world.stage("a"), 1);
}

#[test]
fn a_pinned_object_keeps_its_bytes() {
    let world = interrupted(|store| store.set_pinned(TENANT, "a", true).unwrap());
    assert_eq!((world.stage("a"), world.bytes("a")), (0, noise(1, 1000)));
}

#[test]
fn an_object_that_is_read_keeps_its_bytes() {
    let world = interrupted(|store| {
        store.get(TENANT, "a").unwrap();
    });
    assert_eq!((world.stage("a"), world.bytes("a")), (0, noise(1, 1000)));
}

#[test]
fn a_read_too_soon_to_count_still_stops_the_transform_it_meets() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.clock.advance(days(1));
    world.store.get(TENANT, "a").unwrap();
    let store = world.store.clone();
    *world.transform.hook.lock() = Some(Box::new(move |_| {
        store.get(TENANT, "a").unwrap();
    }));
    let report = world.force();
    assert_eq!((report.moved, report.left_alone, world.stage("a")), (0, 1, 0));
    *world.transform.hook.lock() = None;
    world.force();
    assert_eq!(world.stage("a"), 1);
}

#[test]
fn an_object_that_is_overwritten_while_its_transform_fails_has_not_failed() {
    let world = World::new();
    world.put("a", b"fail: this one cannot be transformed");
    world.clock.advance(days(12));
    let store = world.store.clone();
    *world.transform.hook.lock() = Some(Box::new(move |_| {
        store.put("a", b"fine", &PutOptions::default()).unwrap();
    }));
    world.tick();
    *world.transform.hook.lock() = None;
    assert_eq!(world.store.stat(TENANT, "a").unwrap().error, None);
    assert_eq!(world.tick_after(10).moved, 1);
    world.check();
}

/// Once the change of a policy has returned, no tick that began before purges by the old one.
#[test]
fn a_policy_that_changes_while_objects_are_purged_spares_the_rest() {
    let world = World::new();
    let item = |n: u64| (format!("o{n}"), noise(n, 20).into(), PutOptions::default());
    world.store.put_many((0..1500).map(item)).unwrap();
    world.tick_after(40);
    world.clock.advance(days(60));
    let purged = || world.store.totals().unwrap().by_stage[4].objects;
    let spared = std::thread::scope(|scope| {
        let tick = scope.spawn(|| world.store.tick(&Default::default()).unwrap());
        while purged() == 0 {
            std::thread::yield_now();
        }
        world.store.put_policy(patina_objects::Policy { purge_after: None, ..policy() }).unwrap();
        let then = purged();
        tick.join().unwrap();
        assert_eq!(purged(), then);
        1500 - then
    });
    assert_eq!(world.dump()["due"].len(), 0, "{spared} were spared");
    world.check();
}

type Tick<'a> = &'a dyn Fn(&ObjectStore) -> TickReport;

/// Reads an object whenever somebody asks for the time; a commit does so last.
struct Reading {
    time: ManualClock,
    read: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Clock for Reading {
    fn now(&self) -> Timestamp {
        // The read asks for the time as well.
        if let Some(read) = self.read.try_lock().as_deref().and_then(Option::as_ref) {
            read();
        }
        self.time.now()
    }

    fn is_hand_set(&self) -> bool {
        true
    }
}

/// No transform runs before a purge, so nothing but the commit itself comes between judging and committing. The reads are too
/// soon after another one to count: the judgement cannot know of them.
#[test]
fn an_object_that_is_read_while_it_is_purged_stays() {
    let natural = |store: &ObjectStore| store.tick(&TickOptions::default()).unwrap();
    let forced =
        |store: &ObjectStore| store.tick(&TickOptions { force: true, ..Default::default() }).unwrap();
    let by_budget = |store: &ObjectStore| {
        store.set_budget(None, Some(Budget { bytes: 1, refuse_writes: false })).unwrap();
        store.tick(&TickOptions::default()).unwrap()
    };
    let ways: [(u64, Tick<'_>); 3] = [(40, &natural), (1, &forced), (1, &by_budget)];
    for (way, (after_days, tick)) in ways.into_iter().enumerate() {
        let clock = Arc::new(Reading { time: ManualClock::new(START), read: Mutex::new(None) });
        let db = Db::open_with(Arc::new(MemVfs::new()), "db".as_ref(), Options::default()).unwrap();
        let options = StoreOptions { transform: Arc::new(Halving::default()), ..StoreOptions::default() };
        let store = ObjectStore::open(db, Arc::clone(&clock) as Arc<dyn Clock>, options).unwrap();
        store.put_policy(patina_objects::Policy { access_cooldown: days(1000), ..policy() }).unwrap();
        store.put("a", &noise(1, 1000), &PutOptions::default()).unwrap();
        clock.time.advance(days(40));
        store.tick(&TickOptions::default()).unwrap();
        let stage = || store.stat(TENANT, "a").unwrap().stage;
        assert_eq!(stage(), Stage::Trace);

        clock.time.advance(days(after_days));
        let reader = store.clone();
        *clock.read.lock() = Some(Box::new(move || drop(reader.get(TENANT, "a").unwrap())));
        let report = tick(&store);
        assert_eq!((report.purged, report.left_alone, stage()), (0, 1, Stage::Trace), "way {way}");
        *clock.read.lock() = None;
        assert_eq!((tick(&store).purged, stage()), (1, Stage::Purged), "way {way}: nobody reads it now");
        store.verify_history().unwrap();
    }
}

#[test]
fn a_policy_that_changes_meanwhile_decides() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.clock.advance(days(12));
    let store = world.store.clone();
    *world.transform.hook.lock() = Some(Box::new(move |_| {
        store.put_policy(patina_objects::Policy { warm_after: Some(days(15)), ..policy() }).unwrap();
    }));
    let report = world.tick();
    assert_eq!((report.moved, report.left_alone, world.bytes("a")), (0, 1, noise(1, 1000)));
    *world.transform.hook.lock() = None;
    assert_eq!(world.tick_after(2).moved, 0);
    assert_eq!(world.tick_after(1).moved, 1);
    world.check();
}

#[test]
fn a_reference_that_comes_meanwhile_keeps_the_content() {
    let world = interrupted(|store| {
        store.put("copy", &noise(1, 1000), &PutOptions::default()).unwrap();
    });
    assert_eq!((world.stage("copy"), world.bytes("copy")), (0, noise(1, 1000)));
    assert_eq!(world.stage("a"), 1, "a second look finds it due as before");
    assert_eq!(world.bytes("a"), noise(1, 1000)[..500]);
}

#[test]
fn threads_that_write_and_read_while_decay_runs_leave_a_sound_store() {
    let world = World::new();
    for n in 0..40u64 {
        world.put(&format!("o{n}"), &noise(n % 10, 300));
    }
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let store = world.store.clone();
            scope.spawn(move || {
                for n in 0..60u64 {
                    let name = format!("o{}", (n * 7 + thread * 3) % 40);
                    match (n + thread) % 4 {
                        0 => drop(store.put(&name, &noise(n % 10, 300), &PutOptions::default()).unwrap()),
                        1 => drop(store.delete(TENANT, &name)),
                        2 => drop(store.get(TENANT, &name)),
                        _ => drop(store.set_pinned(TENANT, &name, n % 3 == 0)),
                    }
                }
            });
        }
        for round in 0..12 {
            if round % 3 == 2 {
                world.force()
            } else {
                world.tick_after(6)
            };
        }
    });
    world.check();
    let stage = |info: Result<patina_objects::ObjectInfo, _>| -> Stage { info.unwrap().stage };
    let stages: Vec<Stage> = world.store.list(&Default::default()).unwrap().map(stage).collect();
    assert!(stages.iter().any(|stage| *stage > Stage::Hot));
}
