//! What the scenarios share: a store in memory on a manual clock, a quick transform, a dump of everything.

#![allow(dead_code, reason = "each scenario uses a part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use parking_lot::Mutex;
use patina_codecs::{Content, Degraded, Depth, Limits, Params};
use patina_objects::{
    AppliesTo, ManualClock, ObjectStore, Policy, PutOptions, StoreOptions, TickOptions, TickReport,
    Timestamp, Transform, days,
};
use patina_storage::{Db, KeyspaceOptions, MemVfs, Options};
use proptest::prelude::ProptestConfig;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const TENANT: &str = "default";

/// The day on which every scenario begins.
pub const START: Timestamp = Timestamp(20_000 * 86_400_000);

/// Keyspaces with their keys and values.
pub type Dump = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

type Hook = Box<dyn FnMut(&[u8]) + Send>;

/// Half of the bytes at warm, a quarter at cold, the length as a trace. Bytes that begin with "same" are kept, those
/// that begin with "mild" at warm only, those that begin with "fail" make it fail. A hook sees the bytes before each transform.
#[derive(Default)]
pub struct Halving {
    pub hook: Mutex<Option<Hook>>,
}

impl Transform for Halving {
    fn degrade(
        &self,
        bytes: &[u8],
        media_type: &str,
        depth: Depth,
        _: &Params,
        _: &Limits,
    ) -> Result<Degraded, String> {
        if let Some(hook) = self.hook.lock().as_mut() {
            hook(bytes);
        }
        if bytes.starts_with(b"fail") {
            return Err("the transform was told to fail".to_owned());
        }
        let same = bytes.starts_with(b"same") || (bytes.starts_with(b"mild") && depth == Depth::Warm);
        let (content, fidelity) = match depth {
            Depth::Trace => (Content::Trace(format!("{{\"bytes\":{}}}", bytes.len())), 0.01),
            Depth::Warm | Depth::Cold if same => (Content::Same, 1.0),
            Depth::Warm => (Content::Bytes(bytes[..bytes.len() / 2].to_vec()), 0.5),
            Depth::Cold => (Content::Bytes(bytes[..bytes.len() / 4].to_vec()), 0.25),
        };
        Ok(Degraded {
            content,
            media_type: media_type.to_owned(),
            fidelity,
            metric: "share",
            codec: "halving",
            version: 1,
            params: String::new(),
            note: None,
        })
    }
}

/// So many cases of a property, or more of them with PATINA_LONG_TESTS=1.
pub fn cases(usual: u32, long: u32) -> ProptestConfig {
    let is_long = std::env::var_os("PATINA_LONG_TESTS").is_some();
    ProptestConfig {
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::with_cases(if is_long { long } else { usual })
    }
}

/// A store with all its surroundings.
pub struct World {
    pub vfs: MemVfs,
    pub clock: ManualClock,
    pub transform: Arc<Halving>,
    pub store: ObjectStore,
}

impl World {
    pub fn new() -> Self {
        let world = Self::on(MemVfs::new(), START);
        world.store.put_policy(policy()).unwrap();
        world
    }

    pub fn on(vfs: MemVfs, now: Timestamp) -> Self {
        let clock = ManualClock::new(now);
        let transform = Arc::new(Halving::default());
        let store = open(&vfs, &clock, &transform).unwrap();
        Self { vfs, clock, transform, store }
    }

    /// The same clock on what a power loss would leave.
    pub fn after_power_loss(&self) -> Self {
        Self::on(self.vfs.crash(), patina_objects::Clock::now(&self.clock))
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.store.put(name, bytes, &PutOptions::default()).unwrap();
    }

    pub fn tick(&self) -> TickReport {
        self.store.tick(&TickOptions::default()).unwrap()
    }

    pub fn force(&self) -> TickReport {
        self.store.tick(&TickOptions { force: true, ..Default::default() }).unwrap()
    }

    pub fn tick_after(&self, count: u64) -> TickReport {
        self.clock.advance(days(count));
        self.tick()
    }

    pub fn stage(&self, name: &str) -> u8 {
        self.store.stat(TENANT, name).unwrap().stage.number()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.store.peek(TENANT, name).unwrap().bytes.to_vec()
    }

    /// Every key and value of every keyspace.
    pub fn dump(&self) -> Dump {
        let db = self.store.db();
        let read = |name: &String| {
            let keyspace = db.keyspace(name, KeyspaceOptions::default()).unwrap();
            let pair = |entry: patina_storage::Result<patina_storage::Entry>| {
                let entry = entry.unwrap();
                (entry.key().to_vec(), entry.value().unwrap().to_vec())
            };
            keyspace.range(..).map(pair).collect()
        };
        db.keyspaces().iter().map(|name| (name.clone(), read(name))).collect()
    }

    /// What must be true of any store at any time.
    pub fn check(&self) {
        let dump = self.dump();
        let infos: Vec<_> = self.store.list(&Default::default()).unwrap().map(Result::unwrap).collect();
        let mut refs: Vec<Vec<u8>> = Vec::new();
        for info in &infos {
            if let Some(hash) = info.content_hash {
                refs.push([&hash[..], &info.id.0.to_be_bytes()].concat());
            }
            if info.original_kept {
                refs.push([&info.origin_hash[..], &info.id.0.to_be_bytes()].concat());
            }
            if info.stage.number() <= 3 {
                let object = self.store.peek(&info.tenant, &info.name).unwrap();
                assert_eq!(object.stage, info.stage);
            }
            let history = self.store.history(Some(info.id)).unwrap().map(Result::unwrap);
            let bytes = history.fold(0, |sum, row| sum + row.bytes_after as i64 - row.bytes_before as i64);
            assert_eq!(bytes, info.stored as i64, "the history of '{}' does not add up", info.name);
        }
        refs.sort();
        let found: Vec<Vec<u8>> = dump["refs"].iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(found, refs, "references and rows disagree");
        let mut referred: Vec<Vec<u8>> = refs.iter().map(|key| key[..32].to_vec()).collect();
        referred.dedup();
        let contents: Vec<Vec<u8>> = dump["contents"].iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(contents, referred, "contents without references, or references without contents");
        assert_eq!(dump["stages"].len(), infos.len());
        assert_eq!(dump["names"].len(), infos.len());
        assert!(dump["due"].len() <= infos.len());
        self.store.verify_history().unwrap();
    }
}

pub fn open(
    vfs: &MemVfs,
    clock: &ManualClock,
    transform: &Arc<Halving>,
) -> Result<ObjectStore, patina_objects::Error> {
    let options = Options { memtable_bytes: 1 << 20, ..Options::default() };
    let db = Db::open_with(Arc::new(vfs.clone()), Path::new("db"), options)?;
    let transform: Arc<dyn Transform> = transform.clone();
    ObjectStore::open(db, Arc::new(clock.clone()), StoreOptions { transform, ..Default::default() })
}

/// Takes every object: warm after 10 days, cold after 20, trace after 40, purged after 80.
pub fn policy() -> Policy {
    Policy {
        applies_to: AppliesTo { name_glob: Some("**".into()), ..Default::default() },
        warm_after: Some(days(10)),
        cold_after: Some(days(20)),
        trace_after: Some(days(40)),
        purge_after: Some(days(80)),
        grace: Duration::ZERO,
        half_life: days(5),
        ..Policy::new("quick")
    }
}

/// Bytes that do not compress, different for each seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
