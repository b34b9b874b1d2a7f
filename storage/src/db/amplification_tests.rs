//! How much is written and kept for what the user wrote and keeps. Without threads, and with all merges done after each flush, the
//! figures depend on nothing but the code.

use super::tests::{keyspace, settle};
use crate::*;
use std::path::Path;
use std::sync::Arc;

/// Bytes that do not compress.
fn noise(state: &mut u64, len: usize) -> Vec<u8> {
    let step = |()| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 56) as u8
    };
    std::iter::repeat_n((), len).map(step).collect()
}

struct Measured {
    /// Bytes of tables written, for each byte of the user.
    written: f64,
    /// Bytes of tables at rest, for each byte that they have when nothing but what lives is in them: at most, and on average.
    space_max: f64,
    space_mean: f64,
}

/// Each of so many keys is written once, in random order, then keys are overwritten at random, four times as many.
fn measure(keys: u32) -> Measured {
    let options = Options {
        background_threads: 0,
        memtable_bytes: 32 << 10,
        block_bytes: 1 << 10,
        table_bytes: 16 << 10,
        level1_bytes: 64 << 10,
        ..Options::default()
    };
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), options).unwrap();
    let ks = keyspace(&db);
    let (mut random, mut user_bytes) = (1, 0u64);
    let put = |n: u32, random: &mut u64| {
        let mut batch = db.batch();
        batch.put(&ks, format!("{:016x}", u64::from(n.wrapping_mul(2_654_435_761))), noise(random, 100));
        db.write(batch, Durability::Buffered).unwrap();
        116
    };
    let rest = || {
        if !db.inner.read_state().sealed.is_empty() {
            db.flush().unwrap();
            settle(&db);
        }
    };
    let table_bytes = || db.stats().keyspaces[0].levels.iter().map(|(_, bytes)| bytes).sum::<u64>();
    for n in 0..keys {
        user_bytes += put(n, &mut random);
        rest();
    }
    let mut kept = Vec::new();
    for step in 0..4 * keys {
        let n = u32::from_be_bytes(noise(&mut random, 4).try_into().unwrap()) % keys;
        user_bytes += put(n, &mut random);
        rest();
        if step % (keys / 10) == 0 {
            kept.push(table_bytes());
        }
    }
    let written: u64 = db.stats().traffic.iter().map(|level| level.written_bytes).sum();
    db.compact().unwrap();
    let live = table_bytes() as f64;
    let ratios = || kept.iter().map(|bytes| *bytes as f64 / live);
    Measured {
        written: written as f64 / user_bytes as f64,
        space_max: ratios().fold(0.0, f64::max),
        space_mean: ratios().sum::<f64>() / kept.len() as f64,
    }
}

/// The figures are quoted in docs/storage.md; the long run gives all three.
#[test]
fn little_is_written_and_kept_beside_what_lives() {
    let long = std::env::var_os("PATINA_LONG_TESTS").is_some();
    let sizes: &[u32] = if long { &[4_000, 10_000, 25_000] } else { &[4_000] };
    for keys in sizes {
        let Measured { written, space_max, space_mean } = measure(*keys);
        println!("{keys} keys: written {written:.2}, kept {space_mean:.3}, at most {space_max:.3}");
        assert!(written < 14.0, "{written}");
        assert!(space_mean < 1.12 && space_max < 1.16, "{space_mean} {space_max}");
    }
}
