//! On a disk without a free byte objects are read, deleted, purged and decay; that makes room, with which objects are put again through the
//! same handle, and nothing that was acknowledged is lost on the way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{
    Clock, Error, ErrorKind, ManualClock, ObjectStore, PutOptions, Stage, StoreOptions, TickOptions, days,
};
use patina_storage::{Db, ErrorKind as StorageError, MemVfs, Options, Vfs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{Halving, START, TENANT, World, noise, policy};

/// A database has a ballast from 2 MiB on.
const DISK_BYTES: u64 = 3 << 20;
const OBJECT_BYTES: usize = 5000;
const OBJECTS_MAX: u64 = 5000;

/// Files so small that what is compacted at once fits into the ballast of such a disk.
fn options(background_threads: usize, clock: &patina_storage::ManualClock) -> Options {
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
        clock: Arc::new(clock.clone()),
        ..Options::default()
    }
}

/// A store on a disk of a fixed size, and how many objects there are.
struct Full {
    world: World,
    /// Storage's clock: when a full disk is looked at again.
    storage_clock: patina_storage::ManualClock,
    count: u64,
}

fn open(vfs: &MemVfs, clock: &ManualClock, background_threads: usize, count: u64) -> Full {
    let storage_clock = patina_storage::ManualClock::new(1);
    let options = options(background_threads, &storage_clock);
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options).unwrap();
    let options = StoreOptions { transform: Arc::new(Halving::default()), ..Default::default() };
    let store = ObjectStore::open(db, Arc::new(clock.clone()), options).unwrap();
    let world = World { store, vfs: vfs.clone(), clock: clock.clone(), transform: Arc::default() };
    Full { world, storage_clock, count }
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
        let mut full = open(&MemVfs::new(), &ManualClock::new(START), background_threads, 0);
        let store = &full.world.store;
        store.put_policy(policy()).unwrap();
        full.world.vfs.limit_space(Some(DISK_BYTES));
        let (mut count, mut refused) = (0, 0);
        while refused < 5 {
            match put(store, count) {
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
        full.count = count;
        full
    }

    /// Each of these objects is whole in its stage. Gives how many have left the first.
    fn check(&self, objects: impl Iterator<Item = u64>) -> u64 {
        let mut moved = 0;
        for n in objects {
            let stage = self.world.store.stat(TENANT, &name(n)).unwrap().stage;
            let bytes = noise(n, OBJECT_BYTES);
            match stage {
                Stage::Hot => assert_eq!(self.world.bytes(&name(n)), bytes),
                // A forced tick that found the disk full, and was asked for again, may have moved it twice.
                Stage::Warm | Stage::Cold => {
                    let left = self.world.bytes(&name(n));
                    assert!(
                        left.len() <= OBJECT_BYTES / 2 && bytes.starts_with(&left),
                        "{stage} {}",
                        left.len()
                    );
                }
                other => assert_eq!(other, Stage::Purged),
            }
            moved += u64::from(stage != Stage::Hot);
        }
        moved
    }

    /// Ticks until one has had room for all that is due.
    fn tick(&self, objects: impl Iterator<Item = u64> + Clone) {
        self.insist(
            |store| store.tick(&TickOptions::default()),
            || {
                self.check(objects.clone());
            },
        );
    }

    /// What frees space is done, at once or when flushes and merges, which take the same reserve, have made room.
    fn insist<T>(&self, call: impl Fn(&ObjectStore) -> Result<T, Error>, meanwhile: impl Fn()) -> T {
        for _ in 0..40 {
            match call(&self.world.store) {
                Ok(done) => return done,
                Err(error) => assert!(is_no_space(&error), "{error}"),
            }
            meanwhile();
            self.storage_clock.advance_ms(60_000);
            std::thread::sleep(Duration::from_millis(5));
        }
        call(&self.world.store).unwrap()
    }

    /// There is room again, for the same handle, and after a power loss all is there.
    fn goes_on(&self, objects: impl Iterator<Item = u64> + Clone) {
        let store = &self.world.store;
        for _ in 0..400 {
            if !store.db().stats().is_disk_full {
                break;
            }
            // Flushes and merges are to make it, and are looked after again.
            self.storage_clock.advance_ms(60_000);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!store.db().stats().is_disk_full);
        let more = OBJECTS_MAX..OBJECTS_MAX + 100;
        more.clone().for_each(|n| self.insist(|store| put(store, n), || ()));
        let all = objects.chain(more);
        let moved = self.check(all.clone());
        self.world.check();
        assert!(store.db().verify().unwrap().is_sound());
        let crashed = self.world.vfs.crash();
        crashed.limit_space(Some(DISK_BYTES));
        let after = open(&crashed, &self.world.clock, 1, self.count);
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
    let kept = full.count - full.count / 3..full.count;
    for n in 0..kept.start {
        if n % 2 == 0 {
            full.insist(|store| store.delete(TENANT, &name(n)), || ());
        } else {
            full.insist(|store| store.purge(TENANT, &name(n)), || ());
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
    full.insist(|store| store.tick(&TickOptions { force: true, ..Default::default() }), || ());
    assert!(full.check(0..full.count) > full.count / 2);
    full.goes_on(0..full.count);
}

/// If flushes and merges had the reserve at the moment of the death, somebody has to make as much room as it was.
#[test]
fn a_full_disk_is_opened_and_decays() {
    const RESERVE_BYTES: u64 = 128 << 10;
    let full = Full::new(1);
    let (vfs, clock) = (full.world.vfs.kill(), full.world.clock.clone());
    let has_reserve = vfs.open(Path::new("db/BALLAST")).is_ok();
    vfs.limit_space(Some(vfs.used_bytes() + if has_reserve { 0 } else { RESERVE_BYTES }));
    clock.advance(days(12));
    let again = open(&vfs, &clock, 1, full.count);
    again.tick(0..again.count);
    assert_eq!(again.check(0..again.count), again.count);
    again.goes_on(0..again.count);
}
