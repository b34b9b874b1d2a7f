//! An original that is kept stays beside the degraded form until its window has passed, comes back whole, and goes once,
//! whatever interrupts it; what holds or pins the object protects it too.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{ErrorKind, Policy, PutOptions, Reason, Stage, TickOptions, days};
use support::{TENANT, World, noise, policy};

const WINDOW_DAYS: u64 = 15;

fn keeping() -> PutOptions {
    PutOptions { keep_original: true, ..PutOptions::default() }
}

/// Warm after 10 days, cold after 20, and so on; a window of 15 days, for those who ask for it.
fn world() -> World {
    let world = World::new();
    world.store.put_policy(Policy { restore_window: days(WINDOW_DAYS), ..policy() }).unwrap();
    world
}

fn put_kept(world: &World, name: &str, bytes: &[u8]) {
    world.store.put(name, bytes, &keeping()).unwrap();
}

fn reasons(world: &World, name: &str) -> Vec<Reason> {
    let id = world.store.stat(TENANT, name).unwrap().id;
    world.store.history(Some(id)).unwrap().map(|row| row.unwrap().reason).collect()
}

#[test]
fn it_stays_from_the_first_loss_until_the_window_has_passed() {
    let world = world();
    put_kept(&world, "a", &noise(1, 1000));
    world.put("b", &noise(2, 1000));
    world.tick_after(10);
    let lost_at = world.store.now();
    let info = world.store.stat(TENANT, "a").unwrap();
    assert_eq!((info.stage, info.original_kept), (Stage::Warm, true));
    assert_eq!(info.restore_until, Some(lost_at.after(days(WINDOW_DAYS))));
    let plain = world.store.stat(TENANT, "b").unwrap();
    assert!(!plain.original_kept && plain.restore_until.is_none());
    assert!(info.stored >= plain.stored + 1000, "{} and {}", info.stored, plain.stored);
    world.check();

    world.tick_after(10);
    let colder = world.store.stat(TENANT, "a").unwrap();
    assert_eq!((colder.stage, colder.restore_until), (Stage::Cold, info.restore_until));
    assert_eq!(world.tick_after(4).originals_dropped, 0);
    let planned =
        world.store.dry_run(&TickOptions { now: info.restore_until, ..Default::default() }).unwrap();
    assert_eq!((planned.len(), planned[0].from, planned[0].to), (1, Stage::Cold, Stage::Cold));
    assert!(planned[0].bytes_after_estimate + 1000 <= planned[0].bytes_before);
    let report = world.tick_after(1);
    assert_eq!((report.originals_dropped, report.moved), (1, 0));
    let after = world.store.stat(TENANT, "a").unwrap();
    assert_eq!((after.stage, after.original_kept, after.restore_until), (Stage::Cold, false, None));
    assert_eq!(after.stored, planned[0].bytes_after_estimate);
    assert_eq!(after.stored, world.store.stat(TENANT, "b").unwrap().stored);
    assert_eq!(reasons(&world, "a"), [Reason::Put, Reason::Due, Reason::Due, Reason::DropOriginal]);
    assert_eq!(world.tick_after(1).originals_dropped, 0);
    world.check();
}

#[test]
fn its_bytes_leave_the_disk_when_it_goes() {
    let world = world();
    put_kept(&world, "a", &noise(1, 100_000));
    world.tick_after(10);
    let live = |world: &World| -> u64 {
        world.store.blob_files().unwrap().iter().map(|file| file.live_bytes + file.garbage_bytes).sum()
    };
    assert!(live(&world) > 150_000);
    world.tick_after(WINDOW_DAYS);
    assert!(live(&world) < 60_000, "{} bytes are still there", live(&world));
    world.check();
}

#[test]
fn a_restore_brings_the_bytes_the_type_and_stage_zero_back() {
    let world = world();
    put_kept(&world, "a", &noise(1, 1000));
    for day in [10, 10] {
        world.tick_after(day);
    }
    let before = world.store.stat(TENANT, "a").unwrap();
    assert_eq!(before.stage, Stage::Cold);
    world.store.restore(TENANT, "a").unwrap();
    let info = world.store.stat(TENANT, "a").unwrap();
    assert_eq!((info.stage, info.fidelity, info.original_kept), (Stage::Hot, 1.0, false));
    assert_eq!((info.content_hash, info.restore_until), (Some(info.origin_hash), None));
    assert_eq!(world.bytes("a"), noise(1, 1000));
    assert!(info.stored < before.stored && info.generation == before.generation);
    let rows: Vec<_> = world.store.history(Some(info.id)).unwrap().map(Result::unwrap).collect();
    let last = rows.last().unwrap();
    assert_eq!((last.reason, last.from, last.to), (Reason::Restore, Some(Stage::Cold), Some(Stage::Hot)));
    assert_eq!((last.bytes_before, last.bytes_after), (before.stored, info.stored));
    world.check();

    assert_eq!(world.tick_after(9).moved, 0, "it counts as an access");
    world.tick_after(20);
    let again = world.store.stat(TENANT, "a").unwrap();
    assert!(again.stage > Stage::Hot && again.original_kept, "the next loss keeps it again");
    world.check();
}

#[test]
fn a_loss_by_trace_or_purge_alone_is_a_loss_too() {
    let world = World::new();
    let only = |name: &str, policy: Policy| {
        let policy = Policy { name: name.into(), warm_after: None, cold_after: None, ..policy };
        world.store.put_policy(Policy { restore_window: days(WINDOW_DAYS), ..policy }).unwrap();
        let options = PutOptions { policy: Some(name.to_owned()), ..keeping() };
        world.store.put(name, &noise(1, 1000), &options).unwrap();
    };
    only("trace", Policy { trace_after: Some(days(10)), purge_after: None, ..policy() });
    only(
        "purge",
        Policy { trace_after: None, purge_after: Some(days(10)), forget_after: Some(days(1)), ..policy() },
    );
    world.tick_after(10);
    assert_eq!([world.stage("trace"), world.stage("purge")], [3, 4]);
    let error = world.store.get(TENANT, "purge").unwrap_err();
    assert!(error.to_string().contains("restore"), "{error}");
    world.check();
    world.tick_after(WINDOW_DAYS - 1);
    assert_eq!(world.stage("purge"), 4, "the row is not forgotten before its original");
    for name in ["trace", "purge"] {
        world.store.restore(TENANT, name).unwrap();
        assert_eq!((world.stage(name), world.bytes(name)), (0, noise(1, 1000)));
    }
    world.check();
    world.tick_after(11);
    let report = world.tick_after(WINDOW_DAYS);
    assert_eq!((report.originals_dropped, report.forgotten), (2, 1));
    world.check();
}

#[test]
fn bytes_that_decay_kept_need_no_second_copy() {
    let world = world();
    let bytes = [b"same".to_vec(), noise(1, 500)].concat();
    put_kept(&world, "a", &bytes);
    world.tick_after(10);
    let info = world.store.stat(TENANT, "a").unwrap();
    assert_eq!((info.stage, info.original_kept), (Stage::Warm, false));
    world.store.restore(TENANT, "a").unwrap();
    assert_eq!((world.stage("a"), world.bytes("a")), (0, bytes));
    world.check();
}

#[test]
fn a_restore_that_cannot_be_says_what_is_still_there() {
    let world = world();
    world.put("a", &noise(1, 1000));
    let error = world.store.restore(TENANT, "a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    for (days, what) in [
        (10, "warm form: 500 bytes of"),
        (10, "cold form: 125 bytes"),
        (20, "summary of"),
        (40, "only its row"),
    ] {
        world.tick_after(days);
        let error = world.store.restore(TENANT, "a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Gone);
        assert!(error.to_string().contains(what) && error.to_string().contains("keep_original"), "{error}");
    }
    assert_eq!(world.store.restore(TENANT, "nothing").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn holds_and_pins_protect_the_kept_original() {
    let world = world();
    for name in ["held", "held for a time", "pinned", "free"] {
        put_kept(&world, name, &noise(name.len() as u64, 1000));
    }
    world.tick_after(10);
    let end = world.store.now().after(days(WINDOW_DAYS + 30));
    world.store.hold(TENANT, "held", "case 17", None).unwrap();
    world.store.hold(TENANT, "held for a time", "audit", Some(end)).unwrap();
    world.store.set_pinned(TENANT, "pinned", true).unwrap();
    let kept = |name: &str| world.store.stat(TENANT, name).unwrap().original_kept;
    world.clock.advance(days(WINDOW_DAYS + 29));
    world.force();
    world.tick();
    assert_eq!(["held", "held for a time", "pinned", "free"].map(kept), [true, true, true, false]);
    assert_eq!(world.store.purge(TENANT, "held").unwrap_err().kind(), ErrorKind::Held);
    assert_eq!(world.store.delete(TENANT, "held").unwrap_err().kind(), ErrorKind::Held);
    assert_eq!(
        world.dump()["due"].iter().filter(|(key, _)| key.ends_with(&[1])).count(),
        0,
        "not visited in vain"
    );
    world.tick_after(1);
    assert!(!kept("held for a time"));
    world.store.release(TENANT, "held", None).unwrap();
    world.store.set_pinned(TENANT, "pinned", false).unwrap();
    assert_eq!(world.tick().originals_dropped, 2);
    world.check();
}

#[test]
fn a_forced_tick_drops_no_original_before_its_time() {
    let world = world();
    put_kept(&world, "a", &noise(1, 1000));
    for _ in 0..4 {
        world.force();
    }
    assert_eq!(world.stage("a"), 4);
    world.store.restore(TENANT, "a").unwrap();
    assert_eq!(world.bytes("a"), noise(1, 1000));
    world.force();
    world.clock.advance(days(WINDOW_DAYS));
    assert_eq!(world.force().originals_dropped, 1);
    world.check();
}

#[test]
fn equal_originals_are_kept_as_long_as_anybody_does() {
    let world = world();
    put_kept(&world, "kept", &noise(1, 1000));
    put_kept(&world, "kept too", &noise(1, 1000));
    world.put("not kept", &noise(1, 1000));
    world.tick_after(10);
    assert_eq!(world.store.totals().unwrap().contents, 2, "the original and the warm form, each once");
    world.check();
    world.put("put again", &noise(1, 1000));
    world.store.delete(TENANT, "kept too").unwrap();
    world.check();
    world.store.restore(TENANT, "kept").unwrap();
    world.check();
    world.store.delete(TENANT, "kept").unwrap();
    assert_eq!(world.bytes("put again"), noise(1, 1000));
    world.store.delete(TENANT, "put again").unwrap();
    assert_eq!(world.store.totals().unwrap().contents, 1);
    world.check();
}

#[test]
fn a_new_generation_and_a_purge_take_the_original_along() {
    let world = world();
    for name in ["a", "b", "c"] {
        put_kept(&world, name, &noise(u64::from(name.as_bytes()[0]), 1000));
    }
    world.tick_after(10);
    world.put("a", &noise(9, 1000));
    world.store.purge(TENANT, "b").unwrap();
    put_kept(&world, "c", &noise(u64::from(b'c'), 1000));
    world.check();
    assert_eq!(world.store.restore(TENANT, "b").unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(world.store.purge(TENANT, "b").unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(reasons(&world, "b").last(), Some(&Reason::Purge));
    assert_eq!(world.bytes("c"), noise(u64::from(b'c'), 1000), "the kept original became the content");
    assert_eq!(world.store.totals().unwrap().contents, 2);
}

#[test]
fn a_policy_can_keep_every_original_and_changing_it_breaks_no_promise() {
    let world = World::new();
    let keeping = Policy { keep_original: true, restore_window: days(15), ..policy() };
    world.store.put_policy(keeping.clone()).unwrap();
    world.put("a", &noise(1, 1000));
    world.tick_after(10);
    let until = world.store.stat(TENANT, "a").unwrap().restore_until;
    assert!(until.is_some());
    world
        .store
        .put_policy(Policy { keep_original: false, restore_window: days(0), ..keeping.clone() })
        .unwrap();
    assert_eq!(world.store.stat(TENANT, "a").unwrap().restore_until, until);
    assert_eq!(world.tick_after(14).originals_dropped, 0);
    assert_eq!(world.tick_after(1).originals_dropped, 1);

    let refused = world.store.put_policy(Policy { restore_window: days(0), ..keeping }).unwrap_err();
    assert!(refused.to_string().contains("restore_window"), "{refused}");
    let refused = world.store.put("b", b"x", &self::keeping()).unwrap_err();
    assert!(refused.to_string().contains("restore_window"), "{refused}");
    assert_eq!(
        world.store.set_keep_original(TENANT, "a", true).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn an_original_that_cannot_be_read_is_no_reason_to_lose_the_rest() {
    let world = world();
    put_kept(&world, "a", &noise(1, 1000));
    world.tick_after(10);
    world.store.db().seal_bins().unwrap();
    let needle = noise(1, 1000)[700..720].to_vec();
    damage(&world, &needle);
    assert!(world.store.restore(TENANT, "a").is_err());
    assert_eq!((world.stage("a"), world.bytes("a")), (1, noise(1, 1000)[..500].to_vec()));
}

fn damage(world: &World, needle: &[u8]) {
    use patina_storage::Vfs;
    let dir = std::path::Path::new("db");
    for path in world.vfs.list(dir).unwrap().into_iter().map(|name| dir.join(name)) {
        let bytes = world.vfs.bytes(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            world.vfs.damage(&path, |bytes: &mut Vec<u8>| bytes[at] ^= 0xff).unwrap();
        }
    }
}

/// A power loss or a dying disk at any call: the object is as before or as after, and trying again ends the same.
fn is_atomic(act: impl Fn(&World) -> bool) {
    let prepared = world();
    put_kept(&prepared, "a", &noise(1, 1000));
    put_kept(&prepared, "twin", &noise(1, 1000));
    prepared.tick_after(10);
    prepared.clock.advance(days(WINDOW_DAYS - 5));
    prepared.tick();
    prepared.clock.advance(days(5));
    prepared.store.sync().unwrap();
    let now = patina_objects::Clock::now(&prepared.clock);
    let base = prepared.vfs.kill();
    let fate = |world: &World| {
        let info = world.store.stat(TENANT, "a").unwrap();
        (info.stage, info.stored, info.original_kept, world.bytes("a"))
    };
    let reference = World::on(base.kill(), now);
    let (old, calls_before) = (fate(&reference), reference.vfs.writes());
    assert!(act(&reference));
    let (new, calls) = (fate(&reference), reference.vfs.writes() - calls_before);
    assert!(old != new && calls > 1, "{calls} calls");
    for (failing, power_loss) in (0..calls).flat_map(|call| [(call, false), (call, true)]) {
        let broken = World::on(base.kill(), now);
        broken.vfs.fail_after(failing);
        act(&broken);
        let left = if power_loss { broken.vfs.crash() } else { broken.vfs.kill() };
        drop(broken);
        let world = World::on(left, now);
        let found = fate(&world);
        assert!(found == old || found == new, "call {failing}: {found:?}");
        world.check();
        if found == old {
            assert!(act(&world));
            assert_eq!(fate(&world), new, "call {failing}");
            world.check();
        }
    }
}

#[test]
fn a_restore_is_atomic() {
    is_atomic(|world| world.store.restore(TENANT, "a").is_ok());
}

#[test]
fn dropping_an_original_is_atomic() {
    is_atomic(|world| world.store.tick(&TickOptions::default()).is_ok());
}

#[test]
fn a_restore_during_the_transform_wins() {
    let world = world();
    put_kept(&world, "a", &noise(1, 1000));
    world.tick_after(10);
    let store = world.store.clone();
    *world.transform.hook.lock() = Some(Box::new(move |_| {
        let _ = store.restore(TENANT, "a");
    }));
    world.tick_after(10);
    *world.transform.hook.lock() = None;
    assert_eq!((world.stage("a"), world.bytes("a")), (0, noise(1, 1000)));
    world.check();
}
