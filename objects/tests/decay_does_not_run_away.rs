//! A clock that jumps forward degrades nothing until somebody confirms it, nothing that is written meanwhile makes the
//! jump look like the past, and the bytes degraded in an hour stay within their limit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{
    Clock, ErrorKind, ManualClock, ObjectStore, PutOptions, StoreOptions, TickOptions, Timestamp, days,
};
use patina_storage::{Db, MemVfs, Options};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{Halving, START, TENANT, noise, policy};

/// A machine's clock: moved by the test, but not known to be.
#[derive(Clone)]
struct Machine(ManualClock);

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

fn open(vfs: &MemVfs, clock: &ManualClock, options: StoreOptions) -> ObjectStore {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default()).unwrap();
    let options = StoreOptions { transform: Arc::new(Halving::default()), ..options };
    ObjectStore::open(db, Arc::new(Machine(clock.clone())), options).unwrap()
}

fn put(store: &ObjectStore, name: &str, bytes: &[u8]) {
    store.put(name, bytes, &PutOptions::default()).unwrap();
}

fn stage(store: &ObjectStore, name: &str) -> u8 {
    store.stat(TENANT, name).unwrap().stage.number()
}

fn started(options: StoreOptions) -> (MemVfs, ManualClock, ObjectStore) {
    let (vfs, clock) = (MemVfs::new(), ManualClock::new(START));
    let store = open(&vfs, &clock, options);
    store.put_policy(policy()).unwrap();
    put(&store, "a", &noise(1, 1000));
    (vfs, clock, store)
}

fn refused(store: &ObjectStore, force: bool) {
    let error = store.tick(&TickOptions { force, ..Default::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClockJump);
    assert!(error.to_string().contains("--confirm-clock"), "{error}");
}

#[test]
fn a_jump_pauses_decay_until_it_is_confirmed() {
    let (vfs, clock, store) = started(StoreOptions::default());
    clock.advance(days(3650));
    refused(&store, false);
    refused(&store, true);
    put(&store, "b", &noise(2, 1000));
    store.get(TENANT, "b").unwrap();
    refused(&store, false);
    store.close().unwrap();
    let store = open(&vfs, &clock, StoreOptions::default());
    refused(&store, false);
    assert_eq!(stage(&store, "a"), 0);
    assert!(!store.dry_run(&TickOptions::default()).unwrap().is_empty(), "looking is allowed");

    store.tick(&TickOptions { confirm_clock: true, ..Default::default() }).unwrap();
    clock.advance(days(21));
    store.tick(&TickOptions::default()).unwrap();
    assert!(stage(&store, "b") > 0);
    clock.advance(days(31));
    refused(&store, false);
    store.confirm_clock().unwrap();
    store.tick(&TickOptions::default()).unwrap();
}

#[test]
fn a_clock_that_comes_back_to_its_senses_needs_nobody() {
    let (_, clock, store) = started(StoreOptions::default());
    clock.advance(days(9_000));
    refused(&store, false);
    clock.set(START.after(days(10)));
    store.tick(&TickOptions::default()).unwrap();
    assert_eq!(stage(&store, "a"), 1);
    clock.set(Timestamp(5));
    store.tick(&TickOptions::default()).unwrap();
    assert_eq!(store.now(), START.after(days(10)), "backwards it never goes");
}

#[test]
fn whatever_is_written_in_between_shows_that_time_went_by() {
    let (vfs, clock, mut store) = started(StoreOptions::default());
    for n in 0..6u64 {
        clock.advance(days(29));
        put(&store, &format!("o{n}"), &noise(10 + n, 100));
        store.close().unwrap();
        store = open(&vfs, &clock, StoreOptions::default());
    }
    store.tick(&TickOptions::default()).unwrap();
    assert_eq!(stage(&store, "a"), 4);
}

#[test]
fn a_time_that_is_given_and_a_guard_that_is_off_stop_nothing() {
    let (_, clock, store) = started(StoreOptions::default());
    store.tick(&TickOptions { now: Some(START.after(days(400))), ..Default::default() }).unwrap();
    assert!(stage(&store, "a") > 0);
    clock.advance(days(401));
    store.tick(&TickOptions::default()).unwrap();

    let (_, clock, store) = started(StoreOptions { clock_jump_max: None, ..Default::default() });
    clock.advance(days(100_000));
    store.tick(&TickOptions::default()).unwrap();
    assert_eq!(stage(&store, "a"), 4);
}

#[test]
fn no_more_than_the_limit_is_degraded_in_an_hour() {
    const LIMIT: u64 = 3_500;
    let options = || StoreOptions { degraded_bytes_per_hour_max: Some(LIMIT), ..Default::default() };
    let (vfs, clock, mut store) = started(options());
    for n in 2..=10u64 {
        put(&store, &format!("o{n}"), &noise(n, 1000));
    }
    clock.advance(days(12));
    let mut moved = Vec::new();
    for hour in 0..5 {
        let report = store.tick(&TickOptions::default()).unwrap();
        assert!(report.bytes_before <= LIMIT, "{} bytes in hour {hour}", report.bytes_before);
        moved.push((report.moved, report.limit_reached));
        // Neither another tick nor another process gets more out of the hour.
        store.close().unwrap();
        store = open(&vfs, &clock, options());
        clock.advance(Duration::from_secs(1800));
        assert_eq!(store.tick(&TickOptions::default()).unwrap().moved, 0);
        clock.advance(Duration::from_secs(1800));
    }
    assert_eq!(moved, [(3, true), (3, true), (3, true), (1, false), (0, false)]);
    put(&store, "large", &noise(99, 20_000));
    clock.advance(days(12));
    let report = store.tick(&TickOptions::default()).unwrap();
    assert!(report.limit_reached);
    while stage(&store, "large") == 0 {
        clock.advance(Duration::from_secs(3600));
        store.tick(&TickOptions::default()).unwrap();
        assert!(store.now() < START.after(days(26)), "what is larger than the limit goes alone");
    }
    assert!(
        store.tick(&TickOptions { force: true, ..Default::default() }).unwrap().moved >= 10,
        "an order is an order"
    );
    store.verify_history().unwrap();
}
