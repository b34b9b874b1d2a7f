//! The codecs that ship, on files of several types, through every stage.

mod support;

use patina_objects::{Kind, ManualClock, ObjectStore, PutOptions, Stage, StoreOptions, TickOptions};
use patina_storage::{Db, Options};
use std::sync::Arc;
use support::{START, TENANT};

const FILES: [(&str, Kind, &[u8]); 5] = [
    ("rocket.jpg", Kind::Image, include_bytes!("../../samples/rocket.jpg")),
    ("cc0.txt", Kind::Text, include_bytes!("../../samples/cc0.txt")),
    ("cars.json", Kind::Json, include_bytes!("../../samples/cars.json")),
    ("data-model.pdf", Kind::Document, include_bytes!("../../samples/data-model.pdf")),
    ("tensor.npy", Kind::Tensor, include_bytes!("../../samples/breast_cancer_f64.npy")),
];

#[test]
fn files_of_several_types_get_smaller_stage_by_stage_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let store = ObjectStore::open(db, clock, StoreOptions::default()).unwrap();
    let items = FILES.map(|(name, _, bytes)| (name.to_owned(), bytes.into(), PutOptions::default()));
    store.put_many(items).unwrap();
    for (name, kind, bytes) in FILES {
        let info = store.stat(TENANT, name).unwrap();
        assert_eq!((info.kind, info.policy.as_str(), info.size), (kind, kind.as_str(), bytes.len() as u64));
        assert_eq!(store.get(TENANT, name).unwrap().bytes, bytes);
    }
    let mut totals = vec![store.totals().unwrap().content_bytes];
    for stage in [Stage::Warm, Stage::Cold, Stage::Trace] {
        let report = store.tick(&TickOptions { force: true, ..Default::default() }).unwrap();
        assert_eq!((report.moved, report.failed), (FILES.len() as u64, 0));
        for (name, _, _) in FILES {
            let info = store.stat(TENANT, name).unwrap();
            assert_eq!((info.stage, info.error), (stage, None));
        }
        totals.push(store.totals().unwrap().content_bytes);
    }
    assert!(totals.windows(2).all(|pair| pair[1] < pair[0]), "{totals:?}");
    assert_eq!(totals[3], 0);
    let trace = store.get(TENANT, "rocket.jpg").unwrap();
    assert!(trace.media_type == "application/json" && trace.fidelity < 0.1);
    store.verify_history().unwrap();
    store.close().unwrap();
}
