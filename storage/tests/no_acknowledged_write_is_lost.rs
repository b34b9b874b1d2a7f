//! Promise (I1, I4): after a crash at any I/O call, by power loss or by the death of the process, every acknowledged durable write
//! is there, no batch is there in part, and every record of a compacted bin is wholly in its old form or wholly in its new.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use patina_storage::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn options() -> Options {
    Options {
        memtable_bytes: 4 << 10,
        block_bytes: 256,
        table_bytes: 2 << 10,
        level1_bytes: 4 << 10,
        l0_tables_trigger: 2,
        blob_file_bytes: 4 << 10,
        ..Options::default()
    }
}

fn open(vfs: &MemVfs) -> Result<(Db, Keyspace, Keyspace)> {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options())?;
    let pairs = db.keyspace("pairs", KeyspaceOptions::default())?;
    let blobs = db.keyspace("blobs", KeyspaceOptions::default())?;
    Ok((db, pairs, blobs))
}

/// Halves what is due; keeps the rest.
struct Halver {
    db: Db,
    blobs: Keyspace,
}

impl BinOwner for Halver {
    type Plan = (bytes::Bytes, Seqno);

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<Self::Plan>> {
        if record.bin.class > 0 {
            return Ok(Judgement::Keep { bin: record.bin });
        }
        let half = NewBlob {
            key: record.key.clone(),
            value: record.read()?.slice(..record.blob.len as usize / 2).into(),
            bin: Bin { class: 1, ..record.bin },
            compression: Compression::None,
        };
        Ok(Judgement::Rewrite { outputs: vec![half], plan: (record.key.clone(), record.seqno) })
    }

    fn commit(&self, (key, seqno): Self::Plan, blobs: &[PendingBlob]) -> Result<bool> {
        let mut batch = self.db.batch();
        batch.require_version(&self.blobs, key.clone(), seqno);
        batch.put_blob(&self.blobs, key, &blobs[0]);
        match self.db.write(batch, Durability::Buffered) {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            other => other.map(|_| true),
        }
    }
}

fn blob_bytes(i: u32) -> Vec<u8> {
    vec![i as u8; 600 + i as usize]
}

/// What was acknowledged before the first failure.
#[derive(Default, Debug)]
struct Acknowledged {
    /// Each batch writes its number under two keys.
    pairs: BTreeMap<u32, u32>,
    blobs: Vec<u32>,
    halved: bool,
}

fn script(vfs: &MemVfs, done: &mut Acknowledged) -> Result<()> {
    let (db, pairs, blobs) = open(vfs)?;
    for i in 0..40u32 {
        let mut batch = db.batch();
        for side in ["left", "right"] {
            batch.put(&pairs, format!("{side}{:02}", i % 16), [&i.to_be_bytes()[..], &[0; 90]].concat());
        }
        db.write(batch, Durability::Sync)?;
        done.pairs.insert(i % 16, i);
        if i % 4 == 0 {
            let key = format!("blob{i:02}");
            let bin = Bin { class: 0, due_ms: u64::from(i % 8) };
            let blob = db.append_blob(&blobs, bin, key.as_bytes(), &blob_bytes(i), Compression::None)?;
            let mut batch = db.batch();
            batch.put_blob(&blobs, key, &blob);
            db.write(batch, Durability::Sync)?;
            done.blobs.push(i);
        }
        if i == 20 {
            db.flush()?;
        }
    }
    db.seal_bins()?;
    let halver = Halver { db: db.clone(), blobs: blobs.clone() };
    for file in db.blob_files(&blobs)? {
        db.compact_bin(&blobs, file.id, &halver)?;
    }
    done.halved = true;
    db.compact()?;
    db.close()
}

fn verify(vfs: &MemVfs, done: &Acknowledged, at: &str) {
    let (db, pairs, blobs) = open(vfs).unwrap_or_else(|error| panic!("{at}: {error}"));
    for slot in 0..16u32 {
        let read = |side: &str| {
            let value = pairs.get(format!("{side}{slot:02}").as_bytes()).unwrap();
            value.map(|value| u32::from_be_bytes(value[..4].try_into().unwrap()))
        };
        let (left, right) = (read("left"), read("right"));
        assert_eq!(left, right, "{at}: half a batch");
        assert!(left >= done.pairs.get(&slot).copied(), "{at}: slot {slot} is {left:?}");
    }
    for &i in &done.blobs {
        let found = blobs.get(format!("blob{i:02}").as_bytes()).unwrap();
        let found = found.unwrap_or_else(|| panic!("{at}: blob {i} is lost"));
        let whole = blob_bytes(i);
        let half = &whole[..whole.len() / 2];
        assert!(
            found == half || (!done.halved && found == whole),
            "{at}: blob {i} has {} bytes",
            found.len()
        );
    }
    // Nothing is left that nobody names, and the job can be run again to its end.
    db.seal_bins().unwrap();
    let halver = Halver { db: db.clone(), blobs: blobs.clone() };
    for file in db.blob_files(&blobs).unwrap() {
        db.compact_bin(&blobs, file.id, &halver).unwrap();
    }
    for &i in &done.blobs {
        let found = blobs.get(format!("blob{i:02}").as_bytes()).unwrap().unwrap();
        assert_eq!(found.len(), blob_bytes(i).len() / 2, "{at}: halved exactly once");
    }
    db.close().unwrap();
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged() {
    let whole = MemVfs::new();
    let mut done = Acknowledged::default();
    script(&whole, &mut done).unwrap();
    verify(&whole.crash(), &done, "after the end");
    let calls = whole.writes();
    assert!(calls > 200, "{calls} calls");
    for call in 0..calls {
        let vfs = MemVfs::new();
        vfs.fail_after(call);
        let mut done = Acknowledged::default();
        // The threads make the order of calls vary: late in the script a run may get through.
        let _ = script(&vfs, &mut done);
        verify(&vfs.crash(), &done, &format!("power loss at call {call}"));
        verify(&vfs.kill(), &done, &format!("kill at call {call}"));
    }
}

#[test]
fn a_second_crash_during_recovery_changes_nothing() {
    let vfs = MemVfs::new();
    vfs.fail_after(150);
    let mut done = Acknowledged::default();
    assert!(script(&vfs, &mut done).is_err());
    let crashed = vfs.crash();
    for call in 0..500 {
        let again = crashed.crash();
        again.fail_after(call);
        let opened = open(&again).is_ok();
        verify(&again.crash(), &done, &format!("second crash at call {call}"));
        if opened {
            return;
        }
    }
    panic!("recovery takes more than 500 calls");
}

/// Recovery ends a log at the first record whose blob is not there; what was acknowledged must not come after it.
#[test]
fn a_synced_write_outlives_a_buffered_blob_before_it() {
    let vfs = MemVfs::new();
    let (db, pairs, blobs) = open(&vfs).unwrap();
    let bin = Bin { class: 0, due_ms: 1 };
    for round in 0..3u8 {
        let key = vec![round];
        let blob = db.append_blob(&blobs, bin, &key, &[round; 300], Compression::None).unwrap();
        let mut batch = db.batch();
        batch.put_blob(&blobs, key.clone(), &blob);
        db.write(batch, Durability::Buffered).unwrap();
        pairs.put(key, "v").unwrap();
        let (_db, pairs, blobs) = open(&vfs.crash()).unwrap();
        assert_eq!(pairs.range(..).count(), usize::from(round) + 1);
        assert_eq!(blobs.range(..).count(), usize::from(round) + 1);
    }
}

/// Buffered writes may be lost with the power, last ones first; the database must open all the same.
#[test]
fn buffered_blobs_leave_no_hole_at_any_moment() {
    let vfs = MemVfs::new();
    let (db, pairs, blobs) = open(&vfs).unwrap();
    for i in 0..120u32 {
        let key = format!("blob{i:03}");
        let bin = Bin { class: 0, due_ms: 1 };
        let blob =
            db.append_blob(&blobs, bin, key.as_bytes(), &blob_bytes(i % 50), Compression::None).unwrap();
        let mut batch = db.batch();
        batch.put_blob(&blobs, key, &blob);
        batch.put(&pairs, format!("{i:03}"), vec![0; 300]);
        db.write(batch, Durability::Buffered).unwrap();
        let (_db, pairs, blobs) = open(&vfs.crash()).unwrap_or_else(|error| panic!("write {i}: {error}"));
        let found: Vec<_> = blobs.range(..).map(|entry| entry.unwrap().value().unwrap()).collect();
        assert_eq!(found.len(), pairs.range(..).count());
    }
}

/// Each attempt to open may die at the same place and leave its own traces, such as a log that was never begun.
#[test]
fn deaths_during_recovery_add_up_to_nothing() {
    let vfs = MemVfs::new();
    vfs.fail_after(150);
    let mut done = Acknowledged::default();
    assert!(script(&vfs, &mut done).is_err());
    for call in 0..500 {
        let mut vfs = vfs.kill();
        let mut opened = false;
        for attempt in 0..4 {
            vfs.fail_after(call);
            opened = open(&vfs).is_ok();
            vfs = if attempt == 2 { vfs.crash() } else { vfs.kill() };
        }
        verify(&vfs, &done, &format!("four deaths at call {call}"));
        if opened {
            return;
        }
    }
    panic!("recovery takes more than 500 calls");
}
