//! Contents are named by their hash: equal bytes are stored once, whoever they belong to and however they came about.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{Policy, PutOptions, Reason, days};
use support::{TENANT, World, noise, policy};

fn slow() -> Policy {
    Policy { applies_to: Default::default(), warm_after: Some(days(15)), half_life: days(9), ..policy() }
}

fn two_policies() -> World {
    let world = World::new();
    world.store.put_policy(Policy { name: "slow".into(), ..slow() }).unwrap();
    world
}

fn put_slow(world: &World, name: &str, bytes: &[u8]) {
    let options = PutOptions { policy: Some("slow".into()), ..Default::default() };
    world.store.put(name, bytes, &options).unwrap();
}

#[test]
fn two_names_one_content_two_policies() {
    let world = two_policies();
    world.put("quick", &noise(1, 1000));
    put_slow(&world, "slow", &noise(1, 1000));
    assert_eq!(world.store.totals().unwrap().contents, 1);
    world.tick_after(12);
    assert_eq!((world.stage("quick"), world.stage("slow")), (1, 0));
    assert_eq!(world.bytes("slow"), noise(1, 1000), "the slow one keeps every byte");
    assert_eq!(world.store.totals().unwrap().contents, 2);
    world.check();
    world.tick_after(4);
    assert_eq!((world.stage("quick"), world.stage("slow")), (1, 1));
    assert_eq!(world.store.totals().unwrap().contents, 1, "their degraded bytes are equal again");
    world.check();
}

#[test]
fn deleting_one_of_two_names_keeps_the_bytes_for_the_other() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.put("b", &noise(1, 1000));
    world.store.delete(TENANT, "a").unwrap();
    assert_eq!(world.bytes("b"), noise(1, 1000));
    world.check();
    world.store.delete(TENANT, "b").unwrap();
    assert_eq!(world.store.totals().unwrap().contents, 0);
    world.check();
    world.put("c", &noise(1, 1000));
    assert_eq!(world.bytes("c"), noise(1, 1000));
    world.check();
}

#[test]
fn different_originals_with_equal_degraded_bytes_share_them() {
    let world = World::new();
    let (mut left, mut right) = (noise(1, 1000), noise(1, 1000));
    left[999] = 1;
    right[999] = 2;
    world.put("left", &left);
    world.put("right", &right);
    // In the same blob file there is also what both will become.
    world.put("half", &noise(1, 1000)[..500]);
    world.store.set_pinned(TENANT, "half", true).unwrap();
    assert_eq!(world.store.totals().unwrap().contents, 3);
    let report = world.tick_after(12);
    assert_eq!((report.moved, report.left_alone), (2, 0));
    assert_eq!((world.bytes("left"), world.bytes("right")), (left[..500].to_vec(), left[..500].to_vec()));
    assert_eq!(world.store.totals().unwrap().contents, 1);
    world.check();
}

#[test]
fn a_chain_of_contents_that_become_each_other_is_done_in_one_tick() {
    let world = World::new();
    let bytes = noise(3, 1024);
    for len in [1024, 512, 256, 128] {
        world.put(&format!("{len:04}"), &bytes[..len]);
    }
    let report = world.tick_after(12);
    assert_eq!((report.moved, report.left_alone), (4, 0));
    for len in [1024, 512, 256, 128] {
        assert_eq!(world.bytes(&format!("{len:04}")), bytes[..len / 2]);
    }
    world.check();
}

/// An object that arrives at a content which is itself still to be moved must not move on with it.
#[test]
fn a_forced_tick_takes_nobody_two_stages_through_a_shared_content() {
    let world = World::new();
    let bytes = noise(3, 1024);
    for len in [128, 1024, 256, 512] {
        world.put(&format!("{len:04}"), &bytes[..len]);
        world.store.db().seal_bins().unwrap();
    }
    assert_eq!(world.force().moved, 4);
    for len in [1024, 512, 256, 128] {
        assert_eq!(world.stage(&format!("{len:04}")), 1);
        assert_eq!(world.bytes(&format!("{len:04}")), bytes[..len / 2]);
    }
    world.check();
}

#[test]
fn putting_the_same_bytes_again_refreshes_without_storing_them() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.clock.advance(days(9));
    world.put("a", &noise(1, 1000));
    world.tick_after(5);
    assert_eq!((world.stage("a"), world.store.stat(TENANT, "a").unwrap().generation), (0, 2));
    world.check();
}

#[test]
fn sharing_a_content_that_is_compressed_harder_is_in_the_history() {
    let world = two_policies();
    let lines: String = (0..4000).map(|n| format!("line {} of {}\n", n * 7919 % 4001, n % 97)).collect();
    let bytes = format!("same{lines}").into_bytes();
    world.put("quick", &bytes);
    put_slow(&world, "slow", &bytes);
    let stored = world.store.stat(TENANT, "slow").unwrap().stored;
    world.tick_after(12);
    let info = world.store.stat(TENANT, "slow").unwrap();
    assert!(info.stage.number() == 0 && info.stored < stored, "{} is not below {stored}", info.stored);
    assert_eq!(world.bytes("slow"), bytes);
    let last = world.store.history(Some(info.id)).unwrap().last().unwrap().unwrap();
    assert_eq!((last.reason, last.bytes_before, last.bytes_after), (Reason::Repack, stored, info.stored));
    world.check();
}

#[test]
fn one_that_stays_at_its_floor_while_its_content_is_compressed_harder_says_so_too() {
    let world = two_policies();
    let floor = Policy { warm_after: None, cold_after: Some(days(11)), fidelity_floor: 0.9, ..slow() };
    world.store.put_policy(Policy { name: "slow".into(), ..floor }).unwrap();
    let lines: String = (0..4000).map(|n| format!("line {} of {}\n", n * 7919 % 4001, n % 97)).collect();
    let bytes = format!("mild{lines}").into_bytes();
    world.put("quick", &bytes);
    put_slow(&world, "floor", &bytes);
    let stored = world.store.stat(TENANT, "floor").unwrap().stored;
    world.tick_after(12);
    let info = world.store.stat(TENANT, "floor").unwrap();
    assert!(info.stage.number() == 0 && info.stored < stored, "{} is not below {stored}", info.stored);
    world.check();
}

#[test]
fn garbage_that_a_full_disk_kept_is_freed_by_the_next_tick() {
    let live = |world: &World| -> (u64, u64) {
        let files = world.store.blob_files().unwrap();
        files.iter().fold((0, 0), |(live, dead), file| (live + file.live_bytes, dead + file.garbage_bytes))
    };
    for space in 0..12 {
        let world = World::new();
        for n in 0..30u64 {
            world.put(&format!("o{n}"), &noise(n, 2000));
        }
        for n in 0..25u64 {
            world.store.delete(TENANT, &format!("o{n}")).unwrap();
        }
        world.vfs.fill_after(space);
        let _ = world.store.tick(&Default::default());
        world.vfs.heal();
        world.tick();
        let (live, garbage) = live(&world);
        assert!(garbage <= live, "space for {space} calls: {garbage} bytes of garbage, {live} live");
        world.check();
    }
}

#[test]
fn garbage_is_freed() {
    let world = World::new();
    for n in 0..30u64 {
        world.put(&format!("o{n}"), &noise(n, 2000));
    }
    for n in 0..25u64 {
        world.store.delete(TENANT, &format!("o{n}")).unwrap();
    }
    world.store.tick(&Default::default()).unwrap();
    let files = world.store.db().blob_files(&contents(&world)).unwrap();
    let (bytes, live) = files.iter().fold((0, 0), |sum, file| (sum.0 + file.bytes, sum.1 + file.live_bytes));
    assert!(live >= 10_000 && bytes <= 2 * live, "{bytes} bytes for {live} live ones");
    assert_eq!(world.bytes("o27"), noise(27, 2000));
}

/// A reader's snapshot keeps what it saw, byte for byte, through decay and the compaction of what decay left.
#[test]
fn a_snapshot_reads_the_old_bytes_after_the_object_has_decayed() {
    let world = World::new();
    for n in 0..5u64 {
        world.put(&format!("o{n}"), &noise(n, 1000));
    }
    let hashes =
        [0, 1, 2, 3, 4].map(|n| world.store.stat(TENANT, &format!("o{n}")).unwrap().content_hash.unwrap());
    let snapshot = world.store.db().snapshot();
    world.tick_after(25);
    world.tick_after(500);
    world.store.db().flush().unwrap();
    world.store.db().compact().unwrap();
    for (n, hash) in hashes.iter().enumerate() {
        assert_eq!(snapshot.get(&contents(&world), hash).unwrap().unwrap(), noise(n as u64, 1000));
    }
    drop(snapshot);
    assert_eq!(world.store.totals().unwrap().contents, 0);
    world.check();
}

fn contents(world: &World) -> patina_storage::Keyspace {
    world.store.db().keyspace("contents", Default::default()).unwrap()
}
