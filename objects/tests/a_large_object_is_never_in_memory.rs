//! Promise: an object of any size is put, read and taken to its next stage in a few MiB of memory. In a file of its own: it counts every
//! allocation of the process.

#![expect(unsafe_code, reason = "an allocator can only be wrapped by unsafe functions")]

use patina_objects::{
    Limits, ManualClock, ObjectStore, PutOptions, Stage, StoreOptions, TickOptions, Timestamp,
};
use patina_storage::{Db, Options};
use sha2::{Digest, Sha256};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator as they are; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;
const BOUND: usize = 4 * MIB;

/// What is held does not depend on it.
fn object_bytes() -> u64 {
    if std::env::var_os("PATINA_LONG_TESTS").is_some() { 1 << 30 } else { 32 << 20 }
}

/// Bytes that do not compress, as many as asked for, made as they are read.
struct Noise {
    state: u64,
    left: u64,
}

impl Read for Noise {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(self.left as usize);
        for word in buf[..len].chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            word.copy_from_slice(&self.state.to_le_bytes()[..word.len()]);
        }
        self.left -= len as u64;
        Ok(len)
    }
}

fn within_bound<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let result = run();
    let taken = MOST.load(Ordering::Relaxed) - before;
    assert!(taken <= BOUND, "{what}: {taken} bytes were held at once, of {BOUND}");
    result
}

#[test]
fn a_large_object_takes_4_mib_of_memory_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    let limits = Limits { input_bytes: 1 << 20, ..Limits::default() };
    let options = StoreOptions { limits, ..StoreOptions::default() };
    let store = ObjectStore::open(db, Arc::new(ManualClock::new(Timestamp(1))), options).unwrap();
    let noise = || Noise { state: 7, left: object_bytes() };
    let put = |name: &str| store.put_reader(name, &mut noise(), &PutOptions::default()).unwrap();
    within_bound("put", || put("film.raw"));
    within_bound("put again", || put("copy.raw"));
    assert_eq!(store.totals().unwrap().contents, 1);
    within_bound("get", || {
        let mut reader = store.get_reader("default", "film.raw").unwrap();
        let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 << 10]);
        loop {
            let len = reader.read(&mut piece).unwrap();
            if len == 0 {
                break;
            }
            hash.update(&piece[..len]);
        }
        let expected = store.stat("default", "film.raw").unwrap().origin_hash;
        assert_eq!(hash.finalize()[..], expected[..]);
    });
    let force = TickOptions { force: true, ..TickOptions::default() };
    for stage in [Stage::Warm, Stage::Cold] {
        within_bound(stage.as_str(), || store.tick(&force).unwrap());
        assert_eq!(store.stat("default", "film.raw").unwrap().stage, stage);
    }
}
