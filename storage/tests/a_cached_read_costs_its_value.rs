//! Promise: reading a key whose blocks are cached allocates nothing but the value that it returns.
#![expect(unsafe_code, reason = "an allocator can only be wrapped by unsafe functions")]

use patina_storage::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

/// Counts what the asking thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Not there any more when a thread ends: what it allocates then is not asked for.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: all calls go to the system's allocator as they are; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(run: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATIONS.get();
    let result = run();
    (result, ALLOCATIONS.get() - before)
}

fn key(i: u32) -> Vec<u8> {
    // Longer than what would fit into a buffer on the stack.
    format!("{i:08}{}", "x".repeat(300)).into_bytes()
}

#[test]
fn a_cached_read_allocates_only_its_value() {
    let options = Options { table_bytes: 64 << 10, level1_bytes: 64 << 10, ..Options::default() };
    let db = Db::open_with(Arc::new(MemVfs::new()), "db".as_ref(), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    let write = |range: std::ops::Range<u32>, len: usize| {
        let mut batch = db.batch();
        range.for_each(|i| batch.put(&keyspace, key(2 * i), vec![i as u8; len]));
        db.write(batch, Durability::Buffered).unwrap();
    };
    write(0..2000, 100);
    write(500..510, 5000);
    let mut batch = db.batch();
    batch.delete_range(&keyspace, key(3000), key(3100));
    db.write(batch, Durability::Buffered).unwrap();
    db.compact().unwrap();
    // Two levels, and a memtable.
    write(100..200, 100);
    db.flush().unwrap();
    write(150..160, 100);
    let keys: Vec<_> = (0..4000).step_by(7).map(key).collect();
    let read = || keys.iter().filter(|key| keyspace.get(key).unwrap().is_some()).count();
    let cold = read();
    for key in &keys {
        let (value, allocated) = allocations(|| keyspace.get(key).unwrap());
        assert!(allocated <= u64::from(value.is_some()), "{allocated} for {value:?}");
    }
    assert_eq!(read(), cold);
    let (snapshot, deleted) = (db.snapshot(), key(3050));
    assert_eq!(allocations(|| snapshot.get(&keyspace, &deleted).unwrap()), (None, 0));
}
