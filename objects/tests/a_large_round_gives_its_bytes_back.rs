//! What a round frees is free on the file system when it returns: its own log does not take the room instead.

mod support;

use patina_objects::{ManualClock, ObjectStore, PutOptions, StoreOptions, TickOptions, days};
use patina_storage::{Db, MemVfs, Options};
use std::sync::Arc;
use std::time::Duration;
use support::{Halving, START, noise, policy};

const OBJECTS: u64 = 4_000;
const OBJECT_BYTES: usize = 2_000;
/// Half of what the transform frees: rows and history grow a little.
const FREED_BYTES: u64 = OBJECTS * OBJECT_BYTES as u64 / 4;

#[test]
fn many_small_objects_leave_less_on_the_disk_than_there_was() {
    let (vfs, clock) = (MemVfs::new(), ManualClock::new(START));
    let db = Db::open_with(Arc::new(vfs.clone()), "db".as_ref(), Options::default()).unwrap();
    let options = StoreOptions { transform: Arc::new(Halving::default()), ..StoreOptions::default() };
    let store = ObjectStore::open(db, Arc::new(clock.clone()), options).unwrap();
    store.put_policy(policy()).unwrap();
    let item = |n| (format!("o{n}"), noise(n, OBJECT_BYTES).into(), PutOptions::default());
    store.put_many((0..OBJECTS).map(item)).unwrap();
    store.db().seal_bins().unwrap();
    store.db().compact().unwrap();
    let before = vfs.used_bytes();

    clock.advance(days(12));
    assert_eq!(store.tick(&TickOptions::default()).unwrap().moved, OBJECTS);
    // Files that nothing refers to any more are removed in the background.
    for _ in 0..500 {
        if vfs.used_bytes() + FREED_BYTES < before {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(vfs.used_bytes() + FREED_BYTES < before, "{before} bytes before, {} after", vfs.used_bytes());
}
