//! On a disk without a free byte objects are read, deleted, purged and decay; that makes room, with which objects are put again through the
//! same handle, and nothing that was acknowledged is lost on the way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{
    Clock, Error, ErrorKind, ManualClock, ObjectStore, PutOptions, Stage, StoreOptions, TickOptions, days,
};
use patina_storage::{Db, ErrorKind as StorageError, MemVfs, Options};
use std::path::Path;
use std::sync::Arc;
use support::{Halving, START, TENANT, World, noise, policy};

/// A database has a ballast from 2 MiB on.
const DISK_BYTES: u64 = 3 << 20;
const OBJECT_BYTES: usize = 5000;
const OBJECTS_MAX: u64 = 5000;

/// Files so small that what is compacted at once fits into the ballast of such a disk. The clock stands still: a disk that was found full is
/// not looked at again before something was freed.
fn options(background_threads: usize) -> Options {
    Options {
        memtable_bytes: 32 << 10,
        write_buffer_bytes_max: 128 << 10,
        table_bytes: 32 << 10,
        level1_bytes: 256 << 10,
        l0_tables_trigger: 2,
        l0_tables_slowdown: 1000,
        debt_slowdown_bytes: 1 << 40,
        blob_file_bytes: 64 << 10,
        background_threads,
        clock: Arc::new(patina_storage::ManualClock::new(1)),
        ..Options::default()
    }
}

fn open(vfs: &MemVfs, clock: &ManualClock, background_threads: usize) -> ObjectStore {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options(background_threads)).unwrap();
    let options = StoreOptions { transform: Arc::new(Halving::default()), ..Default::default() };
    ObjectStore::open(db, Arc::new(clock.clone()), options).unwrap()
}

/// A store on a disk of a fixed size, and how many objects there are.
struct Full {
    world: World,
    count: u64,
}

fn name(n: u64) -> String {
    format!("o{n}")
}

fn put(store: &ObjectStore, n: u64) -> Result<(), Error> {
    store.put(&name(n), &noise(n, OBJECT_BYTES), &PutOptions::default()).map(drop)
}

fn is_no_space(error: &Error) -> bool {
    error.kind() == ErrorKind::Storage(StorageError::NoSpace)
}

impl Full {
    /// Puts until nothing more is taken.
    fn new(background_threads: usize) -> Self {
        let (vfs, clock) = (MemVfs::new(), ManualClock::new(START));
        let store = open(&vfs, &clock, background_threads);
        store.put_policy(policy()).unwrap();
        vfs.limit_space(Some(DISK_BYTES));
        let (mut count, mut refused) = (0, 0);
        while refused < 5 {
            match put(&store, count) {
                Ok(()) => (count, refused) = (count + 1, 0),
                Err(error) => {
                    assert!(is_no_space(&error), "{error}");
                    assert_eq!(store.stat(TENANT, &name(count)).unwrap_err().kind(), ErrorKind::NotFound);
                    refused += 1;
                }
            }
            assert!(count < OBJECTS_MAX, "the disk is never full");
        }
        assert!(count > 400, "{count}");
        Self { world: World { vfs, clock, transform: Arc::default(), store }, count }
    }

    /// Each of these objects is whole in its stage. Gives how many have left the first.
    fn check(&self, objects: impl Iterator<Item = u64>) -> u64 {
        let mut moved = 0;
        for n in objects {
            let stage = self.world.store.stat(TENANT, &name(n)).unwrap().stage;
            let bytes = noise(n, OBJECT_BYTES);
            match stage {
                Stage::Hot => assert_eq!(self.world.bytes(&name(n)), bytes),
                Stage::Warm => assert_eq!(self.world.bytes(&name(n)), bytes[..OBJECT_BYTES / 2]),
                other => assert_eq!(other, Stage::Purged),
            }
            moved += u64::from(stage != Stage::Hot);
        }
        moved
    }

    /// Ticks until one has had room for all that is due.
    fn tick(&self, objects: impl Iterator<Item = u64> + Clone) {
        for _ in 0..20 {
            match self.world.store.tick(&TickOptions::default()) {
                Ok(_) => return,
                Err(error) => assert!(is_no_space(&error), "{error}"),
            }
            self.check(objects.clone());
        }
        self.world.tick();
    }

    /// There is room again, for the same handle, and after a power loss all is there.
    fn goes_on(&self, objects: impl Iterator<Item = u64> + Clone) {
        let store = &self.world.store;
        assert!(!store.db().stats().is_disk_full);
        let more = OBJECTS_MAX..OBJECTS_MAX + 100;
        more.clone().for_each(|n| put(store, n).unwrap());
        let all = objects.chain(more);
        let moved = self.check(all.clone());
        self.world.check();
        assert!(store.db().verify().unwrap().is_sound());
        let crashed = self.world.vfs.crash();
        crashed.limit_space(Some(DISK_BYTES));
        let world = World {
            store: open(&crashed, &self.world.clock, 1),
            vfs: crashed,
            clock: self.world.clock.clone(),
            transform: Arc::default(),
        };
        let after = Full { world, count: self.count };
        assert_eq!(after.check(all), moved);
        after.world.check();
    }
}

fn decay_makes_room(background_threads: usize) {
    let full = Full::new(background_threads);
    assert_eq!(full.check(0..full.count), 0);
    full.world.clock.advance(days(12));
    full.tick(0..full.count);
    assert_eq!(full.check(0..full.count), full.count, "all that was due has moved");
    full.goes_on(0..full.count);
}

#[test]
fn decay_makes_room_without_threads() {
    decay_makes_room(0);
}

#[test]
fn decay_makes_room_beside_the_background() {
    decay_makes_room(2);
}

#[test]
fn deletions_and_purges_make_room() {
    let full = Full::new(1);
    let store = &full.world.store;
    let kept = full.count - full.count / 3..full.count;
    for n in 0..kept.start {
        if n % 2 == 0 {
            store.delete(TENANT, &name(n)).unwrap();
        } else {
            store.purge(TENANT, &name(n)).unwrap();
        }
    }
    full.tick(kept.clone());
    let left = (0..kept.start).filter(|n| n % 2 == 1).chain(kept);
    full.goes_on(left);
}

/// What was put long ago is purged, which takes no room but a row's.
#[test]
fn what_is_purged_by_its_age_makes_room() {
    let full = Full::new(1);
    full.world.clock.advance(days(100));
    full.world.store.get(TENANT, &name(0)).unwrap();
    full.tick(0..0);
    assert!(full.world.clock.now() > START);
    full.goes_on(0..0);
    full.world.check();
}

#[test]
fn a_full_disk_is_decayed_by_force() {
    let full = Full::new(1);
    for _ in 0..20 {
        match full.world.store.tick(&TickOptions { force: true, ..Default::default() }) {
            Ok(_) => break,
            Err(error) => assert!(is_no_space(&error), "{error}"),
        }
    }
    assert!(full.check(0..full.count) > full.count / 2);
    full.goes_on(0..full.count);
}

#[test]
fn a_full_disk_is_opened_and_decays() {
    let full = Full::new(1);
    let (vfs, clock) = (full.world.vfs.kill(), full.world.clock.clone());
    vfs.limit_space(Some(vfs.used_bytes()));
    clock.advance(days(12));
    let world = World { store: open(&vfs, &clock, 1), vfs, clock, transform: Arc::default() };
    let again = Full { world, count: full.count };
    again.tick(0..again.count);
    assert_eq!(again.check(0..again.count), again.count);
    again.goes_on(0..again.count);
}
