//! Promise: after `close` whatever would change the database gives `Closed`, whatever kind of handle it is called on, and changes
//! nothing; what only reads goes on, right as before, until its handle is dropped.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::Arc;

const BIN: Bin = Bin { class: 0, due_ms: 9 };

struct Keeps;

impl BinOwner for Keeps {
    type Plan = ();

    fn judge(&self, record: &LiveRecord<'_>) -> Result<Judgement<()>> {
        Ok(Judgement::Keep { bin: record.bin })
    }

    fn commit(&self, (): (), _: &[PendingBlob]) -> Result<bool> {
        unreachable!("nothing is rewritten")
    }
}

fn open(vfs: &MemVfs) -> (Db, Keyspace) {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

fn put_blob(db: &Db, keyspace: &Keyspace, key: &str, bytes: &[u8]) {
    let blob = db.append_blob(keyspace, BIN, key.as_bytes(), bytes, Compression::None).unwrap();
    let mut batch = db.batch();
    batch.put_blob(keyspace, key.to_owned(), &blob);
    db.write(batch, Durability::Sync).unwrap();
}

/// With a value in a table, one in the memtable, a blob in a sealed file and one in an open file.
fn filled(vfs: &MemVfs) -> (Db, Keyspace) {
    let (db, keyspace) = open(vfs);
    keyspace.put("table", "1").unwrap();
    put_blob(&db, &keyspace, "sealed", &[7; 3000]);
    db.seal_bins().unwrap();
    db.flush().unwrap();
    put_blob(&db, &keyspace, "streamed", &vec![9; 600_000]);
    keyspace.put("memory", "2").unwrap();
    (db, keyspace)
}

#[test]
fn what_would_change_it_gives_closed_and_changes_nothing() {
    let vfs = MemVfs::new();
    let (db, keyspace) = filled(&vfs);
    let mut transaction = db.transaction();
    transaction.put(&keyspace, "k", "v");
    let pending = db.append_blob(&keyspace, BIN, b"pending", b"bytes", Compression::None).unwrap();
    let mut begun = db.blob_writer(&keyspace, BIN, Compression::None);
    begun.append(&[1; 300_000]).unwrap();
    let mut ingest = db.ingest(&keyspace).unwrap();
    ingest.put(b"ingested", b"v").unwrap();
    let file = db.blob_files(&keyspace).unwrap()[0].id;
    let before = db.snapshot();
    let seqno = db.stats().seqno;
    db.clone().close().unwrap();
    db.clone().close().unwrap();

    let write = |fill: &dyn Fn(&mut WriteBatch)| {
        let mut batch = db.batch();
        fill(&mut batch);
        db.write(batch, Durability::Buffered).map(drop)
    };
    let none = KeyspaceOptions::default();
    let calls: Vec<(&str, Result<()>)> = vec![
        ("put", keyspace.put("k", "v").map(drop)),
        ("delete", keyspace.delete("table").map(drop)),
        ("delete_range", keyspace.delete_range(..).map(drop)),
        ("write", write(&|batch| batch.put(&keyspace, "k", "v"))),
        ("write of a blob", write(&|batch| batch.put_blob(&keyspace, "pending", &pending))),
        ("write of nothing", write(&|batch| batch.require_unchanged(&keyspace, "", &before))),
        ("commit", transaction.commit(Durability::Sync).map(drop)),
        ("transaction", {
            let mut late = db.transaction();
            assert_eq!(late.get(&keyspace, b"table").unwrap().unwrap(), "1");
            late.put(&keyspace, "k", "v");
            late.commit(Durability::Sync).map(drop)
        }),
        ("sync", db.sync()),
        ("flush", db.flush()),
        ("compact", db.compact()),
        ("compact_range", keyspace.compact_range(..)),
        ("compact_bin", db.compact_bin(&keyspace, file, &Keeps).map(drop)),
        ("seal_bins", db.seal_bins()),
        ("checkpoint", db.checkpoint("copy").map(drop)),
        ("a new keyspace", db.keyspace("other", none).map(drop)),
        ("drop_keyspace", db.drop_keyspace(&keyspace)),
        ("set_keyspace_options", db.set_keyspace_options(&keyspace, none)),
        ("append_blob", db.append_blob(&keyspace, BIN, b"k", b"v", Compression::None).map(drop)),
        ("append_blob_from", {
            let mut reader = &[3; 400_000][..];
            db.append_blob_from(&keyspace, BIN, b"k", &mut reader, Compression::None).map(drop)
        }),
        ("append to a begun blob", begun.append(&[2; 300_000])),
        ("ingest", db.ingest(&keyspace).map(drop)),
        ("put of an ingestion", ingest.put(b"late", b"v")),
        ("finish of an ingestion", ingest.finish().map(drop)),
    ];
    for (call, result) in calls {
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::Closed), "{call}");
    }
    assert_eq!(db.stats().seqno, seqno);
    drop((begun, pending, before, keyspace, db));

    let report = Db::verify_closed(Arc::new(vfs.clone()), Path::new("db"), |_| {}).unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
    let (db, keyspace) = open(&vfs);
    let keys: Vec<_> = keyspace.range(..).map(|entry| entry.unwrap().key().clone()).collect();
    assert_eq!(keys, ["memory", "sealed", "streamed", "table"]);
    assert_eq!(db.keyspaces(), ["k"]);
}

#[test]
fn what_only_reads_goes_on() {
    let vfs = MemVfs::new();
    let (db, keyspace) = filled(&vfs);
    let snapshot = db.snapshot();
    let transaction = db.transaction();
    let mut iter = keyspace.range(..);
    assert_eq!(iter.next().unwrap().unwrap().key(), "memory");
    let entry = keyspace.prefix(b"sealed").next().unwrap().unwrap();
    let mut reader = keyspace.reader(b"streamed").unwrap().unwrap();
    assert_eq!(reader.read_range(0..2).unwrap(), [9, 9][..]);
    db.clone().close().unwrap();

    assert_eq!(keyspace.get(b"table").unwrap().unwrap(), "1");
    assert_eq!(keyspace.get_versioned(b"memory").unwrap().unwrap().0, "2");
    assert!(keyspace.blob_ref(b"sealed").unwrap().is_some());
    assert_eq!(keyspace.multi_get(["table", "none"]).unwrap(), [Some("1".into()), None]);
    assert_eq!(keyspace.range(..).rev().count(), 4);
    assert_eq!(keyspace.options().unwrap(), KeyspaceOptions::default());
    assert_eq!(keyspace.reader(b"streamed").unwrap().unwrap().len(), 600_000);
    assert_eq!(snapshot.get(&keyspace, b"streamed").unwrap().unwrap().len(), 600_000);
    assert_eq!(transaction.get(&keyspace, b"sealed").unwrap().unwrap().len(), 3000);
    assert_eq!(transaction.range(&keyspace, ..).count(), 4);
    assert_eq!(db.blob_files(&keyspace).unwrap().len(), 2);
    assert_eq!(db.keyspaces(), ["k"]);
    assert_eq!(db.keyspace("k", KeyspaceOptions::default()).unwrap().range(..).count(), 4);
    let report = db.verify().unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);

    // The last that can read by themselves, without a database or a keyspace.
    drop((db, keyspace, snapshot, transaction));
    assert_eq!(iter.count(), 3);
    assert_eq!(entry.value().unwrap(), [7; 3000][..]);
    assert_eq!(reader.read_range(599_990..600_000).unwrap(), [9; 10][..]);
}
