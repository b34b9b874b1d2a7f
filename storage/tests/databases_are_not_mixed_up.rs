//! Promise: a keyspace, snapshot or blob of one database that is given to another is refused, and changes neither. Keyspaces are numbers
//! inside: that of one database means another keyspace, or none, in the other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patina_storage::*;
use std::path::Path;
use std::sync::Arc;

const BIN: Bin = Bin { class: 0, due_ms: 9 };

fn open(vfs: &MemVfs) -> (Db, Keyspace) {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    keyspace.put("k", "v").unwrap();
    (db, keyspace)
}

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

#[test]
fn what_is_of_another_database_is_refused() {
    let ((db, own), (other, alien)) = (open(&MemVfs::new()), open(&MemVfs::new()));
    let none = Compression::None;
    let blob = other.append_blob(&alien, BIN, b"b", b"bytes", none).unwrap();
    db.append_blob(&own, BIN, b"b", b"other", none).unwrap();
    let alien_snapshot = other.snapshot();
    let write = |fill: &dyn Fn(&mut WriteBatch)| {
        let mut batch = db.batch();
        fill(&mut batch);
        db.write(batch, Durability::Sync).map(drop)
    };
    let mut tx = db.transaction();
    tx.put(&alien, "k", "w");
    let mut with_blob = db.transaction();
    with_blob.put_blob(&own, "b", &blob);
    let snapshot = db.snapshot();
    let calls: Vec<(&str, Result<()>)> = vec![
        ("put", write(&|batch| batch.put(&alien, "k", "w"))),
        ("delete", write(&|batch| batch.delete(&alien, "k"))),
        ("delete_range", write(&|batch| batch.delete_range(&alien, "a", "z"))),
        ("put_blob into the own keyspace", write(&|batch| batch.put_blob(&own, "b", &blob))),
        ("put_blob into the other's", write(&|batch| batch.put_blob(&alien, "b", &blob))),
        (
            "both",
            write(&|batch| {
                batch.put(&own, "k", "w");
                batch.put(&alien, "k", "w");
            }),
        ),
        ("require_absent", write(&|batch| batch.require_absent(&alien, "k"))),
        ("require_version", write(&|batch| batch.require_version(&alien, "k", Seqno(1)))),
        ("require_unchanged", write(&|batch| batch.require_unchanged(&own, "k", &alien_snapshot))),
        ("commit", tx.commit(Durability::Sync).map(drop)),
        ("commit of a blob", with_blob.commit(Durability::Sync).map(drop)),
        ("get for update", db.transaction().get_for_update(&alien, b"k").map(drop)),
        ("get", snapshot.get(&alien, b"k").map(drop)),
        ("get_versioned", snapshot.get_versioned(&alien, b"k").map(drop)),
        ("blob_ref", snapshot.blob_ref(&alien, b"k").map(drop)),
        ("multi_get", snapshot.multi_get(&alien, ["k"]).map(drop)),
        ("reader", snapshot.reader(&alien, b"k").map(drop)),
        ("range", snapshot.range(&alien, ..).next().unwrap().map(drop)),
        ("append_blob", db.append_blob(&alien, BIN, b"k", b"v", none).map(drop)),
        ("blob_files", db.blob_files(&alien).map(drop)),
        ("compact_bin", db.compact_bin(&alien, FileId(1), &Keeps).map(drop)),
        ("ingest", db.ingest(&alien).map(drop)),
        ("set_keyspace_options", db.set_keyspace_options(&alien, KeyspaceOptions::default())),
        ("drop_keyspace", db.drop_keyspace(&alien)),
    ];
    for (call, result) in calls {
        let error = result.expect_err(call);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{call}");
        assert!(error.to_string().contains("another database"), "{call}: {error}");
    }
    for (db, keyspace) in [(db, own), (other, alien)] {
        assert_eq!(keyspace.get(b"k").unwrap().unwrap(), "v");
        assert_eq!(keyspace.range(..).count(), 1);
        assert_eq!(db.keyspaces(), ["k"]);
    }
}

/// The same directory, but what the snapshot saw may be gone, and the numbers of blobs count anew.
#[test]
fn an_earlier_opening_is_another_database() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs);
    let blob = db.append_blob(&keyspace, BIN, b"b", b"bytes", Compression::None).unwrap();
    let snapshot = db.snapshot();
    drop((db, keyspace));
    let (db, keyspace) = open(&vfs);
    assert_eq!(snapshot.get(&keyspace, b"k").unwrap_err().kind(), ErrorKind::InvalidArgument);
    let mut batch = db.batch();
    batch.put_blob(&keyspace, "b", &blob);
    assert_eq!(db.write(batch, Durability::Sync).unwrap_err().kind(), ErrorKind::InvalidArgument);
}
