use super::*;
use crate::clock::ManualClock;
use crate::model::StoreOptions;
use crate::transform::CodecTransform;
use patina_storage::{Db, MemVfs, Options};
use std::path::Path;

fn store() -> ObjectStore {
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), Options::default()).unwrap();
    ObjectStore::open(db, Arc::new(ManualClock::new(Timestamp(1))), StoreOptions::default()).unwrap()
}

fn put(store: &ObjectStore, name: &str) -> ObjectId {
    store.put(name, b"the bytes", &PutOptions::default()).unwrap()
}

/// A put that found its content in the store, and whose content went before it could commit, must not leave an object
/// without bytes.
#[test]
fn a_content_that_goes_before_the_commit_makes_the_put_read_again() {
    let store = store();
    put(&store, "a");
    let (inner, options) = (&store.inner, PutOptions::default());
    let incoming = Incoming::new("b", b"the bytes", &options, &CodecTransform::default()).unwrap();
    let (snapshot, mut batch) = (inner.db.snapshot(), inner.db.batch());
    let mut body = Body::Memory(b"the bytes");
    let row = ObjectRow::default();
    inner.put_content(&mut batch, &snapshot, &incoming, &row, &mut body, Timestamp(1)).unwrap();
    assert!(matches!(body, Body::Memory(_)), "the content is shared");
    batch.put(&inner.spaces.refs, keys::reference(incoming.content, ObjectId(2)), Vec::new());
    store.delete("default", "a").unwrap();
    assert!(inner.commit(batch, Vec::new()).unwrap_err().is_conflict());
}

/// Two writers who each drop what looks like the last but one reference: without a conflict, nobody would remove the
/// content.
#[test]
fn two_who_drop_the_last_references_at_once_do_not_leave_the_content_behind() {
    let store = store();
    let ids = [put(&store, "a"), put(&store, "b")];
    let inner = &store.inner;
    let content = ContentHash::of(b"the bytes");
    let snapshot = inner.db.snapshot();
    let [first, second] = ids.map(|id| {
        let mut batch = inner.db.batch();
        inner.drop_reference(&mut batch, &snapshot, content, id).unwrap();
        batch
    });
    inner.commit(first, Vec::new()).unwrap();
    assert!(inner.commit(second, Vec::new()).unwrap_err().is_conflict());
}

#[test]
fn what_is_compressed_already_is_not_compressed_again() {
    let wanted = |kind, mime| compression_of(kind, mime, Compression::Dense);
    assert_eq!(wanted(Kind::Image, "image/jpeg"), Compression::None);
    assert_eq!(wanted(Kind::Image, "image/bmp"), Compression::Dense);
    assert_eq!(wanted(Kind::Text, "text/plain"), Compression::Dense);
    let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    assert_eq!(wanted(Kind::Document, docx), Compression::None);
}
