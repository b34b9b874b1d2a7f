//! Holds, pins and minimum retention stop decay, forced decay, overwriting and deleting; and what they stop costs
//! nobody else anything.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{ErrorKind, Policy, PutOptions, days};
use support::{TENANT, World, noise, policy};

#[test]
fn a_held_object_survives_everything() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let first = world.store.hold(TENANT, "a", "case 17", None).unwrap();
    let second = world.store.hold(TENANT, "a", "audit", None).unwrap();
    let before = world.store.stat(TENANT, "a").unwrap();
    assert!(before.held && before.next_decay_at.is_none());
    for _ in 0..6 {
        world.force();
    }
    world.tick_after(10_000);
    let error = world.store.delete(TENANT, "a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held);
    assert!(error.to_string().contains("1 (case 17)") && error.to_string().contains("2 (audit)"), "{error}");
    let error = world.store.put("a", b"new", &PutOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held);
    let after = world.store.stat(TENANT, "a").unwrap();
    assert_eq!(
        (world.bytes("a"), after.stage, after.content_hash),
        (noise(1, 1000), before.stage, before.content_hash)
    );

    world.store.release(TENANT, "a", Some(first)).unwrap();
    world.tick();
    assert_eq!(world.stage("a"), 0, "one hold still stands");
    assert_eq!(world.store.release(TENANT, "a", Some(first)).unwrap_err().kind(), ErrorKind::NotFound);
    world.store.release(TENANT, "a", Some(second)).unwrap();
    world.tick();
    assert_eq!(world.stage("a"), 4, "released, it is due at once");
    world.check();
}

#[test]
fn a_hold_with_an_end_ends_by_itself() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let end = world.store.now().after(days(30));
    world.store.hold(TENANT, "a", "until the end of the month", Some(end)).unwrap();
    world.tick_after(29);
    assert_eq!(world.stage("a"), 0);
    world.tick_after(1);
    assert_eq!(world.stage("a"), 2);
}

#[test]
fn a_pin_stops_decay_but_not_its_owner() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.store.set_pinned(TENANT, "a", true).unwrap();
    world.tick_after(1000);
    world.force();
    assert_eq!(world.stage("a"), 0);
    world.store.set_pinned(TENANT, "a", false).unwrap();
    world.tick();
    assert_eq!(world.stage("a"), 4);
    world.store.delete(TENANT, "a").unwrap();
    world.check();
}

#[test]
fn nothing_is_degraded_within_its_minimum_retention() {
    let world = World::new();
    world.store.put_policy(Policy { min_retention: days(100), ..policy() }).unwrap();
    world.put("a", &noise(1, 1000));
    world.tick_after(99);
    world.force();
    assert_eq!(world.stage("a"), 0);
    world.tick_after(1);
    assert_eq!(world.stage("a"), 4);
}

#[test]
fn a_policys_legal_hold_meets_every_new_object() {
    let world = World::new();
    world.store.put_policy(Policy { legal_hold: true, ..policy() }).unwrap();
    world.put("a", &noise(1, 1000));
    world.tick_after(1000);
    let info = world.store.stat(TENANT, "a").unwrap();
    assert_eq!((info.stage.number(), info.holds.len()), (0, 1));
    assert!(info.holds[0].reason.contains("quick"));
}

/// A store that walked over its held objects again in each tick let them fill the batch, and nothing else decayed.
#[test]
fn held_objects_starve_nobody() {
    let world = World::new();
    for n in 0..50u64 {
        world.put(&format!("held{n}"), &noise(n, 50));
        world.store.hold(TENANT, &format!("held{n}"), "case", None).unwrap();
    }
    world.put("free", &noise(1000, 50));
    assert_eq!(world.dump()["due"].len(), 1, "what is held is not in the due index");
    let report = world.tick_after(12);
    assert_eq!((report.moved, report.blocked, world.stage("free")), (1, 0, 1));
}

#[test]
fn a_failing_object_stops_nobody_and_is_quarantined_after_five_tries() {
    let world = World::new();
    world.put("bad", b"fail: this one cannot be transformed");
    world.put("good", &noise(1, 1000));
    let report = world.tick_after(12);
    assert_eq!((report.failed, report.moved, world.stage("good"), world.stage("bad")), (1, 1, 1, 0));
    let info = world.store.stat(TENANT, "bad").unwrap();
    assert!(info.error.unwrap().contains("told to fail"));
    assert_eq!(info.next_decay_at, Some(world.store.now().after(std::time::Duration::from_secs(3600))));
    let failures: u64 = (0..20).map(|_| world.tick_after(1).failed).sum();
    assert_eq!(failures, 4);
    assert_eq!(world.store.stat(TENANT, "bad").unwrap().next_decay_at, None);
    assert_eq!(world.bytes("bad"), b"fail: this one cannot be transformed");

    world.store.set_rate(TENANT, "bad", 2.0).unwrap();
    assert_eq!(world.store.stat(TENANT, "bad").unwrap().error, None);
    assert_eq!(world.tick().failed, 1, "whoever changes it lets it be tried anew");
    world.check();
}

#[test]
fn a_damaged_content_stops_none_of_its_file() {
    let world = World::new();
    for n in 0..5u64 {
        world.put(&format!("o{n}"), &noise(n, 1000));
    }
    world.store.db().seal_bins().unwrap();
    let needle = noise(2, 1000)[400..420].to_vec();
    let path = find_file_with(&world, &needle);
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
        bytes[at] ^= 0xff;
    };
    world.vfs.damage(&path, flip).unwrap();
    let report = world.tick_after(12);
    assert_eq!((report.moved, report.failed), (4, 1));
    assert_eq!([0, 1, 3, 4].map(|n| world.stage(&format!("o{n}"))), [1; 4]);
    let info = world.store.stat(TENANT, "o2").unwrap();
    assert_eq!(info.stage.number(), 0);
    assert!(info.error.unwrap().contains("damaged"));
}

fn find_file_with(world: &World, needle: &[u8]) -> std::path::PathBuf {
    use patina_storage::Vfs;
    let dir = std::path::Path::new("db");
    let paths = world.vfs.list(dir).unwrap().into_iter().map(|name| dir.join(name));
    let holds = |path: &std::path::PathBuf| {
        world.vfs.bytes(path).unwrap().windows(needle.len()).any(|window| window == needle)
    };
    paths.into_iter().find(holds).expect("a blob file holds the bytes as they are")
}
