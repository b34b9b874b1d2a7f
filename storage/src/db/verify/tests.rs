//! What no damage of bytes can bring about, only a bug: made here by edits that no job would make.

use crate::manifest::{BlobEdit, Edit, TableEdit};
use crate::version::ReadState;
use crate::*;
use std::path::Path;
use std::sync::Arc;

fn open(vfs: &MemVfs) -> (Db, Keyspace) {
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), Options::default()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    (db, keyspace)
}

/// Moves each table of level 0 to the level that `level_of` gives for its place (0 is the newest).
fn move_tables(db: &Db, keyspace: &Keyspace, level_of: impl Fn(usize) -> usize) {
    let inner = &db.inner;
    let tables = inner.read_state().tree(keyspace.id()).unwrap().levels[0].clone();
    let keyspace = keyspace.id();
    let edits = tables.iter().enumerate().flat_map(|(n, table)| {
        let add = TableEdit::Add { keyspace, id: table.id, level: level_of(n) as u8 };
        [TableEdit::Remove { keyspace, id: table.id }, add]
    });
    let edit = Edit { tables: edits.collect(), ..Edit::default() };
    let change = |state: &mut ReadState| {
        let tree = Arc::make_mut(Arc::make_mut(&mut state.version).get_mut(&keyspace).unwrap());
        for (n, table) in tables.iter().enumerate() {
            tree.remove(table);
            tree.add(level_of(n), table.clone());
        }
    };
    inner.apply(edit, change).unwrap();
}

/// What an open database finds, and what is found in its files once it was closed.
fn problems(vfs: &MemVfs, db: Db, keyspace: Keyspace) -> [Vec<String>; 2] {
    let texts =
        |report: VerifyReport| report.problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>();
    let open = texts(db.verify().unwrap());
    drop((db, keyspace));
    [open, texts(Db::verify_closed(Arc::new(vfs.clone()), Path::new("db"), |_| {}).unwrap())]
}

#[test]
fn an_old_version_above_a_newer_one_is_found() {
    for swapped in [false, true] {
        let vfs = MemVfs::new();
        let (db, keyspace) = open(&vfs);
        for value in ["old", "new"] {
            keyspace.put("key", value).unwrap();
            db.flush().unwrap();
        }
        move_tables(&db, &keyspace, |place| if (place == 0) == swapped { 2 } else { 1 });
        for found in problems(&vfs, db, keyspace) {
            assert_eq!(!found.is_empty(), swapped, "{found:?}");
            assert!(found.iter().all(|text| text.contains("'key'")), "{found:?}");
        }
    }
}

#[test]
fn tables_of_one_level_that_overlap_are_found() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs);
    for keys in [["a", "m"], ["h", "z"]] {
        for key in keys {
            keyspace.put(key, "v").unwrap();
        }
        db.flush().unwrap();
    }
    move_tables(&db, &keyspace, |_| 3);
    for found in problems(&vfs, db, keyspace) {
        assert!(found.len() == 1 && found[0].contains("overlap"), "{found:?}");
    }
}

#[test]
fn a_reference_to_a_file_that_is_gone_is_found_unless_it_was_replaced() {
    for replaced in [false, true] {
        let vfs = MemVfs::new();
        let (db, keyspace) = open(&vfs);
        let bin = Bin { class: 0, due_ms: 1 };
        let blob = db.append_blob(&keyspace, bin, b"key", &[7; 100], Compression::None).unwrap();
        let mut batch = db.batch();
        batch.put_blob(&keyspace, "key", &blob);
        db.write(batch, Durability::Sync).unwrap();
        db.flush().unwrap();
        if replaced {
            // In the log alone: what was closed must be judged with it.
            keyspace.put("key", "inline").unwrap();
        }
        db.seal_bins().unwrap();
        let id = blob.blob_ref().file;
        db.inner.apply(Edit { blobs: vec![BlobEdit::Retire { id }], ..Edit::default() }, |_| {}).unwrap();
        drop(blob);
        let [open, closed] = problems(&vfs, db, keyspace);
        assert_eq!(open, [""; 0], "the open database has the file still");
        assert_eq!(!closed.is_empty(), !replaced, "{closed:?}");
        assert!(closed.iter().all(|text| text.contains("'key' refers to blob file")), "{closed:?}");
    }
}

#[test]
fn a_manifest_that_changed_behind_an_open_database_is_found() {
    let vfs = MemVfs::new();
    let (db, keyspace) = open(&vfs);
    keyspace.put("key", "value").unwrap();
    db.flush().unwrap();
    db.inner.manifest.lock().state.last_seqno = Seqno(77);
    let [open, closed] = problems(&vfs, db, keyspace);
    assert!(open.len() == 1 && open[0].contains("MANIFEST-"), "{open:?}");
    assert_eq!(closed, [""; 0]);
}
