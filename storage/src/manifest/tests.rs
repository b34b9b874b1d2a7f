use super::*;
use crate::options::TableCompression;
use crate::vfs::MemVfs;
use proptest::prelude::*;

fn dir() -> &'static Path {
    Path::new("db")
}

fn edit_strategy() -> impl Strategy<Value = Edit> {
    let keyspace = (0u32..9, "[a-z]{1,8}").prop_map(|(id, name)| {
        let options = KeyspaceOptions {
            compression: [TableCompression::None; crate::version::LEVELS],
            separate_bytes: (id % 2 == 0).then_some(id * 1000),
            blob_class: id as u8,
        };
        (KeyspaceId(id), name, options)
    });
    let table =
        (0u32..9, 0u64..1 << 63, any::<u8>(), any::<bool>()).prop_map(|(keyspace, id, level, add)| {
            let (keyspace, id) = (KeyspaceId(keyspace), FileId(id));
            if add { TableEdit::Add { keyspace, id, level } } else { TableEdit::Remove { keyspace, id } }
        });
    let blob = (0u64..9, 0u8..5, any::<u64>(), 0..3).prop_map(|(id, class, number, kind)| match kind {
        0 => BlobEdit::Open {
            id: FileId(id),
            keyspace: KeyspaceId(u32::from(class)),
            bin: Bin { class, due_ms: number },
            origin: if number % 2 == 0 { BlobOrigin::User } else { BlobOrigin::Separated },
        },
        1 if class > 2 => BlobEdit::Durable { id: FileId(id), bytes: number },
        1 => BlobEdit::Seal { id: FileId(id), bytes: number, records: 3 },
        _ => BlobEdit::Retire { id: FileId(id) },
    });
    (
        prop::option::of(0u64..1 << 40),
        prop::collection::vec(keyspace, 0..3),
        prop::collection::vec(table, 0..5),
        prop::collection::vec(blob, 0..5),
        prop::collection::vec((0u32..9).prop_map(KeyspaceId), 0..2),
    )
        .prop_map(|(number, keyspaces, tables, blobs, dropped)| Edit {
            next_keyspace: number.map(|number| number as u32),
            dropped,
            ingested: tables
                .iter()
                .filter_map(|table| match table {
                    TableEdit::Add { id, .. } => Some((*id, Seqno(id.0 >> 9))),
                    TableEdit::Remove { .. } => None,
                })
                .collect(),
            logs: number.into_iter().map(FileId).collect(),
            next_file: number,
            last_seqno: number.map(Seqno),
            first_log: number.map(FileId),
            keyspaces,
            tables,
            blobs,
            closed: None,
        })
}

proptest! {
    #[test]
    fn edits_round_trip(edit in edit_strategy()) {
        prop_assert_eq!(Edit::decode(&edit.encode()), Some(edit));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = Edit::decode(&bytes);
        let _ = format::decode_current(&bytes);
    }

    #[test]
    fn a_snapshot_edit_makes_the_same_state(edits in prop::collection::vec(edit_strategy(), 0..10)) {
        let mut state = State::default();
        for edit in &edits {
            state.apply(edit);
        }
        state.tables.retain(|_, tables| !tables.is_empty());
        let mut again = State::default();
        again.apply(&state.to_edit());
        prop_assert_eq!(again, state);
    }
}

#[test]
fn after_a_crash_at_any_call_the_state_is_the_old_or_the_new() {
    let begun = |vfs: &MemVfs| {
        crate::vfs::make_dir(vfs, dir()).unwrap();
        Manifest::create(Arc::new(vfs.clone()), dir(), State::default())
    };
    let edit = Edit {
        blobs: vec![BlobEdit::Open {
            id: FileId(9),
            keyspace: KeyspaceId(0),
            bin: Bin { class: 1, due_ms: 2 },
            origin: BlobOrigin::User,
        }],
        ..Edit::default()
    };
    for calls in 0.. {
        let vfs = MemVfs::new();
        drop(begun(&vfs).unwrap());
        let state = Manifest::read(&vfs, dir()).unwrap();
        vfs.fail_after(calls);
        let mut durable = false;
        if let Ok(mut manifest) = Manifest::create(Arc::new(vfs.clone()), dir(), state) {
            durable = manifest.append(edit.clone()).is_ok();
        }
        let finished = vfs.crash();
        let state = Manifest::read(&finished, dir()).unwrap();
        assert!(!durable || state.blobs.len() == 1, "call {calls}");
        if durable {
            return;
        }
    }
}

#[test]
fn a_failed_edit_makes_the_manifest_read_only() {
    let vfs = MemVfs::new();
    crate::vfs::make_dir(&vfs, dir()).unwrap();
    let mut manifest = Manifest::create(Arc::new(vfs.clone()), dir(), State::default()).unwrap();
    vfs.fail_after(1);
    assert_eq!(manifest.append(Edit::default()).unwrap_err().kind(), ErrorKind::Io);
    vfs.heal();
    assert_eq!(manifest.append(Edit::default()).unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[test]
fn a_manifest_that_lost_its_end_after_a_clean_close_is_corruption() {
    let vfs = MemVfs::new();
    crate::vfs::make_dir(&vfs, dir()).unwrap();
    let mut manifest = Manifest::create(Arc::new(vfs.clone()), dir(), State::default()).unwrap();
    manifest.append(Edit { last_seqno: Some(Seqno(5)), ..Edit::default() }).unwrap();
    manifest.close(FileId(3), 77).unwrap();
    let state = Manifest::read(&vfs, dir()).unwrap();
    assert_eq!((state.last_seqno, state.closed), (Seqno(5), Some((FileId(3), 77))));
    let path = dir().join(manifest_name(manifest.log_id()));
    let len = vfs.bytes(&path).unwrap().len();
    for cut in 0..len {
        let shorter = vfs.kill();
        shorter.damage(&path, |bytes| bytes.truncate(cut)).unwrap();
        assert!(Manifest::read(&shorter, dir()).is_err(), "cut at {cut}");
    }
}

fn numbered(round: u64) -> Edit {
    Edit { last_seqno: Some(Seqno(round)), ..Edit::default() }
}

#[test]
fn an_edit_counts_if_the_power_fails_while_the_log_begins_anew() {
    for calls in 2.. {
        let vfs = MemVfs::new();
        crate::vfs::make_dir(&vfs, dir()).unwrap();
        let mut manifest = Manifest::create(Arc::new(vfs.clone()), dir(), State::default()).unwrap();
        let first = manifest.log_id();
        manifest.append(numbered(1)).unwrap();
        assert_eq!(manifest.log_id(), first);
        manifest.rotate_at = 0;
        // The edit's write and its sync pass.
        vfs.fail_after(calls);
        let outcome = manifest.append(numbered(2));
        for image in [vfs.crash(), vfs.kill()] {
            assert_eq!(Manifest::read(&image, dir()).unwrap().last_seqno, Seqno(2), "call {calls}");
        }
        if outcome.is_ok() && manifest.log_id() != first {
            return;
        }
    }
}

#[test]
fn a_full_disk_stops_neither_the_manifest_nor_its_edits() {
    let vfs = MemVfs::new();
    crate::vfs::make_dir(&vfs, dir()).unwrap();
    let mut manifest = Manifest::create(Arc::new(vfs.clone()), dir(), State::default()).unwrap();
    let first = manifest.log_id();
    vfs.fill_after(0);
    assert_eq!(manifest.append(numbered(1)).unwrap_err().kind(), ErrorKind::NoSpace);
    vfs.heal();
    // Room for the edit's write, none for the new log.
    manifest.rotate_at = 0;
    vfs.fill_after(1);
    manifest.append(numbered(2)).unwrap();
    assert_eq!(manifest.log_id(), first);
    vfs.heal();
    manifest.rotate_at = 0;
    manifest.append(numbered(3)).unwrap();
    assert_ne!(manifest.log_id(), first);
    assert_eq!(Manifest::read(&vfs.crash(), dir()).unwrap(), manifest.state);
}
