//! Promise: whatever is damaged of a store's files, what is salvaged of it is a store again: it opens, its indexes agree with its rows, every object is as it
//! was or named as lost, and no other is touched.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{ErrorKind, MendReport, ObjectStore, StoreOptions};
use patina_storage::{Db, MemVfs, Options, SalvageReport, Vfs};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{TENANT, World, noise};

const OBJECTS: u64 = 12;

/// Objects in each stage, renamed, deleted and overwritten ones, in tables and in the log; and what each name must give.
fn database() -> (World, MemVfs, BTreeMap<String, Vec<u8>>) {
    let world = World::new();
    for n in 0..OBJECTS {
        world.put(&format!("object{n}"), &noise(n, 200 + 50 * n as usize));
    }
    world.tick_after(12);
    world.store.delete(TENANT, "object3").unwrap();
    world.store.rename(TENANT, "object4", "renamed").unwrap();
    world.put("object5", b"once more");
    world.store.db().seal_bins().unwrap();
    world.store.db().compact().unwrap();
    world.put("late", b"only in the log");
    world.store.set_pinned(TENANT, "object6", true).unwrap();
    let infos = world.store.list(&Default::default()).unwrap().map(|info| info.unwrap().name);
    let expected = infos.map(|name| (name.clone(), world.bytes(&name))).collect();
    let killed = world.vfs.kill();
    (world, killed, expected)
}

fn salvage(world: &World, damaged: &MemVfs) -> (World, SalvageReport, MendReport) {
    let vfs: Arc<dyn Vfs> = Arc::new(damaged.clone());
    let salvaged = Db::salvage(vfs.clone(), Path::new("db"), Path::new("saved"), |_| {}).unwrap();
    let db = Db::open_with(vfs, Path::new("saved"), Options::default()).unwrap();
    let options = StoreOptions { transform: world.transform.clone(), ..Default::default() };
    let (store, mended) = ObjectStore::mend(db, Arc::new(world.clock.clone()), options).unwrap().unwrap();
    let (vfs, clock, transform) = (damaged.clone(), world.clock.clone(), world.transform.clone());
    (World { vfs, clock, transform, store }, salvaged, mended)
}

/// The indexes agree with the rows, and a tick finds nothing amiss.
fn check_indexes(world: &World) {
    let dump = world.dump();
    let infos: Vec<_> = world.store.list(&Default::default()).unwrap().map(|info| info.unwrap()).collect();
    for space in ["names", "stages", "objects"] {
        assert_eq!(dump[space].len(), infos.len(), "{space}");
    }
    let mut refs: Vec<Vec<u8>> = Vec::new();
    for info in &infos {
        refs.extend(info.content_hash.map(|hash| [&hash[..], &info.id.0.to_be_bytes()].concat()));
    }
    refs.sort();
    assert!(dump["refs"].iter().map(|(key, _)| key).eq(&refs));
    let mut contents: Vec<&[u8]> = refs.iter().map(|key| &key[..32]).collect();
    contents.dedup();
    assert!(dump["contents"].iter().map(|(key, _)| &key[..]).eq(contents));
}

#[test]
fn a_whole_store_is_salvaged_as_it_is() {
    let (world, killed, expected) = database();
    let (saved, salvaged, mended) = salvage(&world, &killed);
    assert_eq!((salvaged.losses_total, mended.is_whole(), mended.entries), (0, true, 0), "{mended:?}");
    for (name, bytes) in &expected {
        assert_eq!(saved.bytes(name), *bytes);
    }
    assert_eq!(saved.dump().len(), world.dump().len());
    saved.check();
}

/// Flips a bit in each of many places, and loses each file.
#[test]
fn what_is_left_of_a_damaged_store_is_a_store() {
    let (world, killed, expected) = database();
    let files = killed.list(Path::new("db")).unwrap().into_iter().filter(|name| name != "LOCK");
    let paths: Vec<PathBuf> = files.map(|name| Path::new("db").join(name)).collect();
    let every = if std::env::var_os("PATINA_LONG_TESTS").is_some() { 7 } else { 301 };
    let mut damaged = Vec::new();
    for path in &paths {
        for at in (0..killed.bytes(path).unwrap().len()).step_by(every) {
            let vfs = killed.kill();
            vfs.damage(path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
            damaged.push((format!("byte {at} of {}", path.display()), vfs));
        }
        let vfs = killed.kill();
        vfs.remove(path).unwrap();
        damaged.push((format!("{} lost", path.display()), vfs));
    }
    let (mut lost, mut whole) = (0, 0);
    for (case, vfs) in &damaged {
        let (saved, salvaged, mended) = salvage(&world, vfs);
        check_indexes(&saved);
        let mut missing = Vec::new();
        for (name, bytes) in &expected {
            match saved.store.peek(TENANT, name) {
                Ok(object) if object.bytes == bytes[..] => {}
                // The row is that of before a write whose record or block is lost.
                Ok(_) => assert!(salvaged.losses_total > 0, "{case}: {name}"),
                Err(error) => {
                    let is_named = error.kind() == ErrorKind::Gone && mended.lost.contains(name);
                    assert!(is_named || error.kind() == ErrorKind::NotFound, "{case}: {name}: {error}");
                    missing.push(name);
                }
            }
        }
        if missing.is_empty() {
            whole += 1
        } else {
            lost += 1
        }
        assert!(missing.is_empty() || salvaged.losses_total > 0, "{case}: {missing:?} without a word");
        // It goes on as a store.
        saved.put("new", b"new bytes");
        assert_eq!(saved.bytes("new"), b"new bytes");
        saved.tick();
    }
    assert!(lost > 3 && whole > 10, "{lost} with losses, {whole} whole");
}
