//! Promise: what a bin compaction holds in memory at once stays within `Options::transform_bytes_max`, whatever the size of the file, and
//! what is kept or carried in chunks is never held as a whole. In a file of its own: it counts every allocation of the process.
#![expect(unsafe_code, reason = "an allocator can only be wrapped by unsafe functions")]

use patina_storage::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;
const BUDGET: usize = 4 * MIB;
/// What compressing, chunks of streams and the like take beside the values.
const SLACK: usize = 3 * MIB;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; len];
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    bytes
}

/// Makes other bytes of the same length of what has a MiB; keeps or recompresses what is larger.
struct Owner {
    db: Db,
    files: Keyspace,
    keeps: bool,
}

impl BinOwner for Owner {
    type Plan = bytes::Bytes;

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Self::Plan>> {
        let bin = Bin { class: 1, due_ms: 9 };
        if self.keeps {
            return Ok(Judgement::Keep { bin });
        }
        let value = match record.blob.len as usize {
            MIB => NewValue::Bytes(record.read()?.iter().map(|byte| !byte).collect::<Vec<u8>>().into()),
            _ => NewValue::Same,
        };
        let blob = NewBlob { key: record.key.clone(), value, bin, compression: Compression::Dense };
        Ok(Judgement::Rewrite { outputs: vec![blob], plan: record.key.clone() })
    }

    fn commit(&self, key: Self::Plan, blobs: &[PendingBlob]) -> Result<bool> {
        let mut batch = self.db.batch();
        batch.put_blob(&self.files, key, &blobs[0]);
        self.db.write(batch, Durability::Buffered).map(|_| true)
    }
}

#[test]
fn memory_in_flight_stays_within_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        blob_file_bytes: 1 << 30,
        transform_threads: 4,
        transform_bytes_max: BUDGET as u64,
        ..Options::default()
    };
    let db = Db::open(dir.path(), options).unwrap();
    let files = db.keyspace("files", KeyspaceOptions::default()).unwrap();
    let due = Bin { class: 0, due_ms: 7 };
    for i in 0..65u64 {
        let len = if i == 30 { 48 * MIB } else { MIB };
        let blob = db.append_blob(&files, due, &i.to_be_bytes(), &noise(i, len), Compression::None).unwrap();
        let mut batch = db.batch();
        batch.put_blob(&files, i.to_be_bytes().to_vec(), &blob);
        db.write(batch, Durability::Buffered).unwrap();
    }
    db.seal_bins().unwrap();
    // Kept at first; then, as most of the file goes, carried.
    for (keeps, deleted, bound) in [(true, 0..0, SLACK), (false, 0..0, BUDGET + SLACK), (true, 32..65, SLACK)]
    {
        for i in deleted {
            files.delete((i as u64).to_be_bytes().to_vec()).unwrap();
        }
        let owner = Owner { db: db.clone(), files: files.clone(), keeps };
        for file in db.blob_files(&files).unwrap() {
            let before = NOW.load(Ordering::Relaxed);
            MOST.store(before, Ordering::Relaxed);
            db.compact_bin(&files, file.id, &owner).unwrap();
            let taken = MOST.load(Ordering::Relaxed) - before;
            assert!(taken <= bound, "{taken} bytes were held at once, of {bound}");
        }
    }
    assert!(
        files.get(&0u64.to_be_bytes()).unwrap().unwrap().iter().zip(noise(0, MIB)).all(|(a, b)| *a == !b)
    );
    assert!(files.get(&30u64.to_be_bytes()).unwrap().unwrap() == noise(30, 48 * MIB));
}
