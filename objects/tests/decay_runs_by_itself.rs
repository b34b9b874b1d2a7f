//! The scheduler moves what is due without being told, stops when it is told, and neither an error nor a jump of the clock
//! ends it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use parking_lot::Mutex;
use patina_objects::{
    Budget, ErrorKind, ObjectStore, Scheduler, SchedulerOptions, SchedulerStatus, StoreOptions, days,
};
use patina_storage::{Db, ManualClock, MemVfs, Options};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use support::{World, noise, policy};

fn started(world: &World) -> Scheduler {
    world.store.start_scheduler(SchedulerOptions::default()).unwrap()
}

/// Waits until the status is as wanted; a scheduler that never gets there fails the test.
fn wait_for(scheduler: &Scheduler, wanted: impl Fn(&SchedulerStatus) -> bool) -> SchedulerStatus {
    for _ in 0..2_000 {
        let status = scheduler.status();
        if wanted(&status) {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    unreachable!("it stays at {:?}", scheduler.status());
}

#[test]
fn what_is_due_moves_by_itself_and_nothing_before() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let scheduler = started(&world);
    let status = wait_for(&scheduler, |status| status.next_look_at.is_some());
    assert_eq!(status.rounds, 0, "nothing is due");
    for (round, stage) in [(1, 1), (2, 2)] {
        world.clock.advance(days(10));
        scheduler.wake();
        let status = wait_for(&scheduler, |status| status.rounds == round);
        assert_eq!((status.last.unwrap().moved, world.stage("a")), (1, stage));
    }
    scheduler.stop();
    world.clock.advance(days(1000));
    world.check();
    assert_eq!(world.stage("a"), 2);
}

#[test]
fn a_short_sleep_needs_no_waking() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let look_every = Duration::from_millis(5);
    let options = SchedulerOptions { look_every, ..SchedulerOptions::default() };
    let scheduler = world.store.start_scheduler(options).unwrap();
    world.clock.advance(days(10));
    wait_for(&scheduler, |status| status.rounds > 0);
    assert_eq!(world.stage("a"), 1);
}

#[test]
fn a_pause_begins_nothing_and_a_resume_goes_on() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let scheduler = started(&world);
    scheduler.pause();
    world.clock.advance(days(10));
    scheduler.wake();
    std::thread::sleep(Duration::from_millis(50));
    let status = scheduler.status();
    assert!(status.paused && status.rounds == 0 && world.stage("a") == 0);
    scheduler.resume();
    wait_for(&scheduler, |status| status.rounds == 1);
    assert_eq!(world.stage("a"), 1);
}

#[test]
fn a_pause_for_all_is_remembered_and_ends_for_all() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let scheduler = started(&world);
    world.store.set_decay_paused(true).unwrap();
    world.clock.advance(days(10));
    scheduler.wake();
    std::thread::sleep(Duration::from_millis(50));
    let status = scheduler.status();
    assert!(status.paused && status.rounds == 0 && world.stage("a") == 0, "{status:?}");
    let elsewhere = World::on(world.vfs.kill(), world.store.now());
    assert!(elsewhere.store.is_decay_paused());
    assert_eq!(elsewhere.tick().moved, 1, "who asks for a round gets one");
    world.store.set_decay_paused(false).unwrap();
    wait_for(&scheduler, |status| status.rounds == 1 && !status.paused);
    assert_eq!(world.stage("a"), 1);
}

#[test]
fn a_budget_is_kept_though_nothing_is_due() {
    let world = World::new();
    let scheduler = started(&world);
    for n in 0..10u64 {
        world.put(&format!("o{n}"), &noise(n, 1000));
    }
    world.store.set_budget(None, Some(Budget { bytes: 5_000, refuse_writes: false })).unwrap();
    wait_for(&scheduler, |status| status.last.as_ref().is_some_and(|report| !report.budgets.is_empty()));
    assert!(world.store.budget_status().unwrap()[0].used_bytes <= 4_500);
    let rounds = scheduler.status().rounds;
    scheduler.wake();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(scheduler.status().rounds, rounds, "what is kept needs no round");
    world.check();
}

#[test]
fn a_stop_in_the_middle_brings_what_was_begun_to_its_end() {
    let world = World::new();
    for n in 0..20u64 {
        world.put(&format!("o{n}"), &noise(n, 1000));
    }
    let (begun, has_begun) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    *world.transform.hook.lock() = Some(Box::new(move |_| {
        let _ = begun.send(());
        let _ = is_released.recv();
    }));
    let scheduler = started(&world);
    world.clock.advance(days(10));
    scheduler.wake();
    has_begun.recv().unwrap();
    let stopping = std::thread::spawn(move || scheduler.stop());
    std::thread::sleep(Duration::from_millis(20));
    assert!(!stopping.is_finished(), "a transform is under way");
    drop(release);
    stopping.join().unwrap();
    *world.transform.hook.lock() = None;
    let moved = (0..20).filter(|n| world.stage(&format!("o{n}")) == 1).count();
    assert!((1..20).contains(&moved), "{moved} were moved");
    world.check();
    world.tick();
    assert!((0..20).all(|n| world.stage(&format!("o{n}")) == 1));
}

/// Objects in a file of their own each, whose transforms take so long.
fn slow(world: &World, objects: u64, takes: Duration) {
    for n in 0..objects {
        world.put(&format!("o{n}"), &noise(n, 1000));
        world.store.db().seal_bins().unwrap();
    }
    *world.transform.hook.lock() = Some(Box::new(move |_| std::thread::sleep(takes)));
    world.clock.advance(days(10));
}

#[test]
fn within_a_round_it_keeps_to_its_share_of_the_time() {
    let world = World::new();
    slow(&world, 5, Duration::from_millis(10));
    let now_us = || world.store.db().clock().monotonic_us();
    let begun_us = now_us();
    let options = SchedulerOptions { busy_share: 0.1, ..SchedulerOptions::default() };
    let scheduler = world.store.start_scheduler(options).unwrap();
    let status = wait_for(&scheduler, |status| status.rounds > 0);
    assert_eq!(status.last.unwrap().moved, 5);
    // 50 ms of work, and after each of the first four 10 ms of it at least nine times as much rest.
    let took_us = now_us() - begun_us;
    assert!(took_us > 50_000 + 4 * 90_000, "{took_us}");
}

#[test]
fn a_clock_that_stands_still_does_not_keep_it_resting() {
    let mut world = World::new();
    let hands = Arc::new(ManualClock::new(0));
    let options = Options { clock: hands.clone(), ..Options::default() };
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options).unwrap();
    let store_options = StoreOptions { transform: world.transform.clone(), ..StoreOptions::default() };
    world.store = ObjectStore::open(db, Arc::new(world.clock.clone()), store_options).unwrap();
    world.store.put_policy(policy()).unwrap();
    slow(&world, 3, Duration::ZERO);
    *world.transform.hook.lock() = Some(Box::new(move |_| hands.advance_ms(5)));
    let options = SchedulerOptions { busy_share: 0.1, ..SchedulerOptions::default() };
    let scheduler = world.store.start_scheduler(options).unwrap();
    wait_for(&scheduler, |status| status.rounds > 0);
}

#[test]
fn nobody_waits_for_its_rests() {
    let world = World::new();
    slow(&world, 20, Duration::from_millis(20));
    // It would rest for half an hour after each.
    let options = SchedulerOptions { busy_share: 1e-5, ..SchedulerOptions::default() };
    let scheduler = world.store.start_scheduler(options.clone()).unwrap();
    while world.stage("o0") == 0 {
        std::thread::yield_now();
    }
    scheduler.stop();
    let moved = (0..20).filter(|n| world.stage(&format!("o{n}")) == 1).count();
    assert!(moved < 20, "it was stopped in a rest");
    let _scheduler = world.store.start_scheduler(options).unwrap();
    while (0..20).filter(|n| world.stage(&format!("o{n}")) == 1).count() == moved {
        std::thread::yield_now();
    }
    world.tick();
    assert!((0..20).all(|n| world.stage(&format!("o{n}")) == 1));
}

#[test]
fn an_error_is_told_and_does_not_end_it() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let scheduler = started(&world);
    world.vfs.fill_after(0);
    world.clock.advance(days(10));
    scheduler.wake();
    let status = wait_for(&scheduler, |status| status.error.is_some());
    assert!(status.failures > 0 && status.rounds == 0);
    assert_eq!(world.stage("a"), 0);
}

/// The niceness of the thread that asks.
#[cfg(target_os = "linux")]
fn niceness() -> i64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // The 19th of all; number and name are before these.
    fields.split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn its_threads_give_way_to_others() {
    let world = World::new();
    for n in 0..8 {
        world.put(&format!("o{n}"), &noise(n, 1000));
    }
    world.clock.advance(days(10));
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let in_transforms = Arc::clone(&seen);
    let note = move |_: &[u8]| {
        in_transforms.lock().insert(niceness());
    };
    *world.transform.hook.lock() = Some(Box::new(note));
    let before = niceness();
    let options = SchedulerOptions { niceness: 19, ..SchedulerOptions::default() };
    let scheduler = world.store.start_scheduler(options).unwrap();
    wait_for(&scheduler, |status| status.rounds > 0);
    assert_eq!((seen.lock().clone(), niceness()), (BTreeSet::from([19]), before));
}

#[test]
fn options_that_make_no_sense_are_refused_with_every_problem() {
    let world = World::new();
    let (look_every, busy_share) = (Duration::ZERO, f64::NAN);
    let wrong = SchedulerOptions { look_every, busy_share, niceness: 20, ..Default::default() };
    let error = world.store.start_scheduler(wrong).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("look_every") && error.to_string().contains("busy_share"), "{error}");
    assert!(error.to_string().contains("niceness"), "{error}");
}
