//! Promise: an embedder's own codec recognises, degrades and is named with its version in the history.

use patina_codecs::{Codec, Depth, Input, Kind, MediaType, Outcome, Refusal};
use patina_objects::{
    CodecTransform, ManualClock, ObjectStore, PutOptions, Registry, Stage, StoreOptions, TickOptions,
    Timestamp,
};
use patina_storage::{Db, MemVfs, Options};
use std::path::Path;
use std::sync::Arc;

const MIME: &str = "application/x-points";
const TENANT: &str = "default";

/// Keeps every second byte after a magic.
struct Points;

impl Codec for Points {
    fn id(&self) -> &'static str {
        "points"
    }

    fn version(&self) -> u16 {
        7
    }

    fn accepts(&self, media: &MediaType) -> bool {
        media.mime == MIME
    }

    fn detect(&self, head: &[u8], _: &str) -> Option<MediaType> {
        head.starts_with(b"PTS1").then(|| MediaType { kind: Kind::Other, mime: MIME.into() })
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        if input.depth == Depth::Trace {
            let json = format!("{{\"points\":{}}}", input.bytes.len());
            return Ok(Outcome::Trace { json, fidelity: 0.01, metric: "points", note: None });
        }
        let kept = input.bytes.iter().skip(4).step_by(2);
        Ok(Outcome::Bytes {
            bytes: b"PTS1".iter().chain(kept).copied().collect(),
            mime: MIME.to_owned(),
            fidelity: 0.5,
            metric: "points",
            params: "step=2".to_owned(),
            note: Some("every second point".to_owned()),
        })
    }
}

#[test]
fn an_own_codec_is_used_and_named() {
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), Options::default()).unwrap();
    let registry = Registry::new().with(Arc::new(Points));
    let transform = Arc::new(CodecTransform::new(registry));
    let options = StoreOptions { transform, ..StoreOptions::default() };
    let store = ObjectStore::open(db, Arc::new(ManualClock::new(Timestamp(1))), options).unwrap();
    let cloud = [b"PTS1".to_vec(), (0..4000u32).map(|n| (n * n % 251) as u8).collect()].concat();
    let id = store.put("cloud.bin", &cloud, &PutOptions::default()).unwrap();
    assert_eq!(store.stat(TENANT, "cloud.bin").unwrap().media_type, MIME);
    store.tick(&TickOptions { force: true, ..TickOptions::default() }).unwrap();
    let warm = store.get(TENANT, "cloud.bin").unwrap();
    assert_eq!((warm.bytes.len(), warm.media_type.as_str(), warm.fidelity), (2004, MIME, 0.5));
    let rows: Vec<_> = store.history(Some(id)).unwrap().collect::<Result<_, _>>().unwrap();
    let row = rows.iter().find(|row| row.to == Some(Stage::Warm)).unwrap();
    assert_eq!(
        (row.codec.as_str(), row.params.as_str(), row.metric.as_str()),
        ("points@7", "step=2", "points")
    );
    assert_eq!(row.note, "every second point");
}
