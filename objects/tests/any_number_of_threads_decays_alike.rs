//! Promise: the same calls on a manual clock leave the same bytes, whatever the number of threads that transform; and a transform that
//! panics is its object's failure alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{
    Clock, ManualClock, ObjectStore, PutOptions, StoreOptions, TickOptions, TickReport, Transform, days,
};
use patina_storage::{Db, MemVfs, Options, Vfs};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{Dump, Halving, START, TENANT, World, noise, policy};

type Files = BTreeMap<String, Vec<u8>>;

fn decayed(threads: usize, limit: Option<u64>) -> (Dump, Files, Vec<TickReport>) {
    let (vfs, clock) = (MemVfs::new(), ManualClock::new(START));
    let options = Options {
        transform_threads: threads,
        transform_bytes_max: 64 << 10,
        background_threads: 0,
        ..Options::default()
    };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let transform: Arc<dyn Transform> = Arc::new(Halving::default());
    let options = StoreOptions { transform, degraded_bytes_per_hour_max: limit, ..Default::default() };
    let store = ObjectStore::open(db, Arc::new(clock.clone()), options).unwrap();
    store.put_policy(policy()).unwrap();
    for n in 0..120u64 {
        let bytes = match n % 12 {
            0 => [b"same".to_vec(), b"0123456789".repeat(300 + n as usize)].concat(),
            1 => b"fail".to_vec(),
            2 => noise(n.saturating_sub(12), 2000),
            3 => noise(n, 2000)[..1000].to_vec(),
            // Of which the half is the one before.
            4 => noise(n - 1, 2000),
            _ => noise(n, 700 + 31 * n as usize),
        };
        store.put(&format!("o{n:03}"), &bytes, &PutOptions::default()).unwrap();
        clock.advance(Duration::from_secs(600));
    }
    let mut reports = Vec::new();
    for step in [10, 1, 4, 7, 25] {
        clock.advance(days(step));
        reports.push(store.tick(&TickOptions::default()).unwrap());
        store.verify_history().unwrap();
    }
    let world = World { vfs: vfs.clone(), clock, transform: Arc::default(), store };
    let dump = world.dump();
    world.store.db().seal_bins().unwrap();
    let mut files = Files::new();
    for name in vfs.list(Path::new("db")).unwrap().into_iter().filter(|name| name.ends_with(".blob")) {
        files.insert(name.clone(), vfs.bytes(&Path::new("db").join(name)).unwrap());
    }
    (dump, files, reports)
}

#[test]
fn one_thread_and_four_leave_the_same_bytes() {
    for limit in [None, Some(40_000)] {
        let one = decayed(1, limit);
        assert!(one.2.iter().map(|report| report.moved).sum::<u64>() > 50, "{:?}", one.2);
        assert_eq!(one.2.iter().any(|report| report.limit_reached), limit.is_some());
        let four = decayed(4, limit);
        assert_eq!(one.2, four.2);
        assert!(one.0 == four.0, "rows differ");
        assert!(one.1 == four.1, "blob files differ");
    }
}

#[test]
fn a_transform_that_panics_is_its_objects_failure() {
    let world = World::new();
    for n in 0..20u64 {
        world.put(&format!("o{n}"), &noise(n, 500));
    }
    let poison = noise(7, 500);
    *world.transform.hook.lock() = Some(Box::new(move |bytes| assert_ne!(bytes, poison, "poisoned")));
    let report = world.tick_after(12);
    assert_eq!((report.moved, report.failed), (19, 1));
    assert!(world.store.stat(TENANT, "o7").unwrap().error.unwrap().contains("panicked"));
    assert_eq!(world.bytes("o7"), noise(7, 500));
    *world.transform.hook.lock() = None;
    world.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(world.tick().moved, 1);
    assert!(world.clock.now() > START);
    world.check();
}
