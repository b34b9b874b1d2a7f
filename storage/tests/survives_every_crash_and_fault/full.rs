//! A disk that is full: the ballast is given up for deletions, and made again when they have made room.
//!
//! A database of less than 2 MiB has no ballast, so this one is larger than those of the other scripts, and not each of its calls is tried
//! in a short run.

use crate::model::State;
use crate::workload::{Carrier, Run, noise, options_at, put, remove};
use patina_storage::*;

/// A record in one piece.
const BLOB_BYTES: usize = 245_000;
/// With the others, enough for a ballast when those that go are gone.
const KEPT_BLOBS: u32 = 9;
const GOING_BLOBS: u32 = 2;
const ROWS: u32 = 8;

fn options(clock: ManualClock) -> Options {
    Options {
        memtable_bytes: 64 << 10,
        write_buffer_bytes_max: 256 << 10,
        table_bytes: 64 << 10,
        level1_bytes: 128 << 10,
        blob_file_bytes: 4 << 20,
        ..options_at(clock)
    }
}

/// Longer than a block of the disk: what names it does not fit into the block that the log has begun.
fn long_key() -> String {
    "long".repeat(200)
}

/// Puts blobs, those that are to go into a bin of their own.
fn put_blobs(run: &mut Run, blobs: &Keyspace) -> Result<()> {
    for i in 0..KEPT_BLOBS + GOING_BLOBS {
        let (key, bytes) = (format!("{i:02}"), noise(i, BLOB_BYTES));
        let durability = if i % 4 == 3 { Durability::Sync } else { Durability::Buffered };
        run.write(
            durability,
            |state| put(state, "blobs", &key, &bytes),
            |db| {
                let bin = Bin { class: 0, due_ms: if i < GOING_BLOBS { 1 } else { 2 } };
                let blob = db.append_blob(blobs, bin, key.as_bytes(), &bytes, Compression::None)?;
                let mut batch = db.batch();
                batch.put_blob(blobs, key.clone(), &blob);
                db.write(batch, durability).map(drop)
            },
        )?;
    }
    Ok(())
}

pub fn full(run: &mut Run) -> Result<()> {
    run.open_with(options)?;
    let blobs = run.keyspace("blobs", KeyspaceOptions::default())?;
    let rows = run.keyspace("rows", KeyspaceOptions::default())?;
    let (Some(blobs), Some(rows)) = (blobs, rows) else { return Ok(()) };
    put_blobs(run, &blobs)?;
    let rows = Some(rows);
    for i in 0..ROWS {
        run.put(&rows, "rows", &format!("{i}"), &noise(i + 100, 4000))?;
    }
    run.put(&rows, "rows", &long_key(), b"goes")?;
    run.tend(Db::seal_bins)?;
    run.tend(Db::flush)?;
    run.expect("it has a ballast", |stats| stats.ballast_bytes > 0);

    run.fill_disk();
    let refused = |run: &mut Run, key: &str| {
        let Some(rows) = &rows else { return Ok(()) };
        let value = noise(7, 3000);
        run.refused(
            |state| put(state, "rows", key, &value),
            |_| rows.put(key.to_owned(), value.clone()).map(drop),
        )
    };
    refused(run, "by the disk")?;
    let delete = |run: &mut Run, key: &str| {
        let Some(rows) = &rows else { return Ok(()) };
        let change = |state: &mut State| remove(state, "rows", key);
        run.write(Durability::Sync, change, |_| rows.delete(key.to_owned()).map(drop))
    };
    delete(run, &long_key())?;
    run.expect("the ballast is given up", |stats| stats.is_disk_full && stats.ballast_bytes == 0);
    refused(run, "by the database")?;
    delete(run, "3")?;
    let going = |i: u32| format!("{i:02}");
    run.write(
        Durability::Sync,
        |state| (0..GOING_BLOBS).for_each(|i| remove(state, "blobs", &going(i))),
        |db| {
            let mut batch = db.batch();
            (0..GOING_BLOBS).for_each(|i| batch.delete(&blobs, going(i)));
            db.write(batch, Durability::Sync).map(drop)
        },
    )?;
    run.tend(Db::compact)?;
    run.tend(|db| {
        db.blob_files(&blobs)?.iter().try_for_each(|file| db.compact_bin(&blobs, file.id, &Carrier).map(drop))
    })?;
    run.tend(Db::flush)?;
    run.expect("there is room again", |stats| !stats.is_disk_full && stats.ballast_bytes > 0);
    run.put(&rows, "rows", "after", &noise(9, 3000))?;
    drop((blobs, rows));
    run.close()
}
