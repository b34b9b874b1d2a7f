//! A damaged row, a damaged content or a full disk stops what needs it, and nothing else: neither opening, nor reading,
//! nor the decay of others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{
    Clock, ErrorKind, ObjectStore, Policy, PutOptions, Reason, StoreOptions, TickOptions, Timestamp, days,
};
use patina_storage::{Db, Options, Vfs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{START, TENANT, World, noise, policy};

/// Adds fields to the stored row of an object; of a field that is there twice, the last counts.
fn add_to_row(world: &World, id: u64, fields: &[u8]) {
    let objects = world.store.db().keyspace("objects", Default::default()).unwrap();
    let key = id.to_be_bytes().to_vec();
    let row = objects.get(&key).unwrap().unwrap();
    objects.put(key, [&row[..], fields].concat()).unwrap();
}

fn stricter() -> Policy {
    Policy { warm_after: Some(days(2)), ..policy() }
}

#[test]
fn a_damaged_row_keeps_no_other_from_its_new_policy_nor_the_store_from_opening() {
    let world = World::new();
    world.put("bad", &noise(1, 100));
    world.put("good", &noise(2, 100));
    add_to_row(&world, 1, &[0xff]);
    world.store.put_policy(stricter()).unwrap();
    world.tick_after(3);
    assert_eq!(world.stage("good"), 1);

    let meta = world.store.db().keyspace("meta", Default::default()).unwrap();
    meta.put(b"reindex".to_vec(), Vec::new()).unwrap();
    world.store.sync().unwrap();
    let after = world.after_power_loss();
    assert_eq!(after.bytes("good"), noise(2, 100)[..50]);
}

#[test]
fn marks_of_an_object_whose_row_is_damaged_stop_no_tick() {
    let world = World::new();
    world.put("bad", &noise(1, 100));
    world.put("good", &noise(2, 100));
    world.clock.advance(days(1));
    world.store.get(TENANT, "bad").unwrap();
    add_to_row(&world, 1, &[0xff]);
    let planned =
        world.store.dry_run(&TickOptions { now: Some(START.after(days(30))), ..Default::default() });
    assert_eq!(planned.unwrap().len(), 1);
    let report = world.tick_after(12);
    assert_eq!((report.moved, world.stage("good")), (1, 1));
}

#[test]
fn a_row_with_impossible_values_is_damaged_and_never_decays() {
    let number = |tag: [u8; 2], value: f64| [&tag[..], &value.to_le_bytes()].concat();
    let rows = [
        vec![0x58, 99],                          // stage
        number([0xa1, 0x01], f64::NAN),          // rate
        number([0xa1, 0x01], -1.0),              // rate
        number([0x81, 0x01], f64::NEG_INFINITY), // effective_ms
    ];
    for fields in rows {
        let world = World::new();
        world.put("a", &noise(1, 100));
        add_to_row(&world, 1, &fields);
        world.tick_after(100);
        world.force();
        assert_eq!(world.store.get(TENANT, "a").unwrap_err().kind(), ErrorKind::Corruption);
        assert_eq!(world.store.totals().unwrap_err().kind(), ErrorKind::Corruption);
        assert_eq!(world.store.history(None).unwrap().count(), 1, "{fields:?}");
    }
}

#[test]
fn reading_goes_on_while_the_disk_is_full() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.put(name, name.as_bytes());
    }
    let vfs = world.vfs.clone();
    drop(world.store);
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default()).unwrap();
    let options = StoreOptions { pending_touches_max: 1, ..Default::default() };
    world.clock.advance(days(1));
    let store = ObjectStore::open(db, Arc::new(world.clock.clone()), options).unwrap();
    vfs.fill_after(0);
    for name in ["a", "b", "c", "a"] {
        assert_eq!(store.get(TENANT, name).unwrap().bytes, name.as_bytes());
    }
    assert!(store.tick(&TickOptions::default()).is_err());
    vfs.heal();
    store.tick(&TickOptions::default()).unwrap();
    assert_eq!(store.stat(TENANT, "a").unwrap().accessed_at, world.clock.now());
}

/// The mark that a visit of all objects is unfinished belongs to all changes: the next one must not remove it unseen.
#[test]
fn what_one_change_of_a_policy_could_not_visit_the_next_change_does() {
    let world = World::new();
    world.store.put_policy(Policy::new("elsewhere")).unwrap();
    world.put("a", &noise(1, 100));
    let due = world.dump()["due"].clone();
    let changed_at = (0..40).find(|count| {
        world.vfs.fill_after(*count);
        let failed = world.store.put_policy(stricter()).is_err();
        world.vfs.heal();
        let changed = world.store.policy("quick").unwrap().warm_after == stricter().warm_after;
        failed && changed && world.dump()["due"] == due
    });
    assert!(changed_at.is_some(), "no change failed between its commit and its visits");
    world.store.put_policy(Policy { warm_after: Some(days(3)), ..Policy::new("elsewhere") }).unwrap();
    world.tick_after(3);
    assert_eq!(world.stage("a"), 1);
}

fn damage(world: &World, needle: &[u8]) {
    let dir = Path::new("db");
    let at = |path: &PathBuf| {
        world.vfs.bytes(path).unwrap().windows(needle.len()).position(|window| window == needle)
    };
    let mut paths = world.vfs.list(dir).unwrap().into_iter().map(|name| dir.join(name));
    let path = paths.find(|path| at(path).is_some()).unwrap();
    let at = at(&path).unwrap();
    world.vfs.damage(&path, |bytes| bytes[at] ^= 0xff).unwrap();
}

#[test]
fn putting_damaged_bytes_again_repairs_them_for_all_who_share_them() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.put("b", &noise(1, 1000));
    world.store.db().seal_bins().unwrap();
    damage(&world, &noise(1, 1000)[400..420]);
    world.tick_after(12);
    assert!(world.store.stat(TENANT, "b").unwrap().error.is_some());
    world.put("a", &noise(1, 1000));
    assert_eq!((world.bytes("a"), world.bytes("b")), (noise(1, 1000), noise(1, 1000)));
    let b = world.store.stat(TENANT, "b").unwrap();
    assert_eq!(b.error, None);
    let last = world.store.history(Some(b.id)).unwrap().last().unwrap().unwrap();
    assert_eq!(last.reason, Reason::Repack);
    world.store.put("c", &noise(1, 1000), &PutOptions::default()).unwrap();
    world.check();
    world.tick();
    assert_eq!((world.stage("a"), world.stage("b"), world.stage("c")), (0, 1, 0));
    world.check();
}

#[test]
fn nothing_is_degraded_into_a_content_that_is_damaged() {
    let world = World::new();
    world.put("half", &noise(1, 1000)[..500]);
    world.store.set_pinned(TENANT, "half", true).unwrap();
    world.put("whole", &noise(1, 1000));
    world.store.db().seal_bins().unwrap();
    damage(&world, &noise(1, 1000)[400..420]);
    assert!(world.store.peek(TENANT, "half").is_err());
    let report = world.tick_after(12);
    assert_eq!((report.moved, report.failed), (0, 1));
    assert_eq!(world.bytes("whole"), noise(1, 1000));
    world.put("half", &noise(1, 1000)[..500]);
    world.tick_after(1);
    assert_eq!(world.bytes("whole"), noise(1, 1000)[..500]);
    world.check();
}

/// 10000-01-01T00:00:00Z.
const YEAR_10000: Timestamp = Timestamp(253_402_300_800_000);

/// Neither end of time overflows, moves what is not due, or keeps a tick from ending.
#[test]
fn both_ends_of_time_are_times_like_others() {
    for now in [Timestamp(0), Timestamp(u64::MAX - 1), Timestamp::NEVER] {
        let world = World::on(Default::default(), now);
        world.store.put_policy(policy()).unwrap();
        world.put("a", &noise(1, 100));
        world.store.hold(TENANT, "a", "until the end", Some(Timestamp::NEVER)).ok();
        world.store.release(TENANT, "a", None).ok();
        world.store.get(TENANT, "a").unwrap();
        assert_eq!(world.tick().moved, 0);
        world.force();
        assert_eq!(world.stage("a"), 1);
        assert!(world.store.dry_run(&TickOptions::default()).unwrap().is_empty());
        // Whoever gives such a time counts in other units, and would lose everything.
        for beyond in [YEAR_10000, Timestamp::NEVER] {
            let options = TickOptions { now: Some(beyond), ..Default::default() };
            let errors = [world.store.tick(&options).err(), world.store.dry_run(&options).err()];
            for error in errors {
                let error = error.unwrap();
                assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                assert!(error.to_string().contains("year 9999"), "{error}");
            }
            assert_eq!(world.stage("a"), 1);
        }
        let last = Some(Timestamp(YEAR_10000.0 - 1));
        world.store.tick(&TickOptions { now: last, ..Default::default() }).unwrap();
        world.put("b", &noise(2, 100));
        world.tick();
        assert_eq!(world.stage("b"), 0);
        world.check();
    }
}
