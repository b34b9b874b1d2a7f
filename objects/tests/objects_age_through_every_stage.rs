//! From put to purge, on real files' worth of storage, by due times and by force.

mod support;

use patina_objects::{
    ErrorKind, HoldId, ListFilter, ObjectId, Policy, PutOptions, Stage, TickOptions, Timestamp, days,
};
use support::{START, TENANT, World, noise, policy};

#[test]
fn an_object_that_nobody_reads_goes_through_every_stage_on_its_days() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let mut found = Vec::new();
    for day in 1..=90 {
        let report = world.tick_after(1);
        if report.moved > 0 {
            let info = world.store.stat(TENANT, "a").unwrap();
            found.push((day, info.stage.number(), info.stored, info.fidelity));
        }
        world.check();
    }
    assert_eq!(found, [(10, 1, 500, 0.5), (20, 2, 125, 0.125), (40, 3, 13, 0.125 * 0.01), (80, 4, 0, 0.0)]);
    assert_eq!(world.store.get(TENANT, "a").unwrap_err().kind(), ErrorKind::Gone);
    let info = world.store.stat(TENANT, "a").unwrap();
    assert_eq!((info.fidelity, info.content_hash, info.next_decay_at), (0.0, None, None));
}

#[test]
fn a_late_tick_makes_one_transform_and_reaches_the_same_end() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.tick_after(25);
    assert_eq!(world.stage("a"), 2);
    assert_eq!(world.bytes("a"), noise(1, 1000)[..250]);
    assert_eq!(world.store.stat(TENANT, "a").unwrap().fidelity, 0.25);
    world.check();

    let late = World::new();
    late.put("a", &noise(1, 1000));
    let report = late.tick_after(500);
    assert_eq!((report.moved, report.purged), (2, 1));
    let steps: Vec<_> =
        late.store.history(None).unwrap().map(|row| row.unwrap().to.unwrap().number()).collect();
    assert_eq!(steps, [0, 3, 4]);
}

#[test]
fn grace_keeps_a_late_object_in_its_last_stage() {
    let world = World::new();
    world.store.put_policy(Policy { grace: days(7), ..policy() }).unwrap();
    world.put("a", &noise(1, 1000));
    world.tick_after(500);
    assert_eq!(world.stage("a"), 3);
    assert_eq!(world.store.get(TENANT, "a").unwrap().bytes, "{\"bytes\":1000}");
    world.tick_after(6);
    assert_eq!(world.stage("a"), 3);
    world.tick_after(1);
    assert_eq!(world.stage("a"), 3, "the read put the purge off");
    world.tick_after(200);
    assert_eq!(world.stage("a"), 4);
}

#[test]
fn a_purged_row_is_forgotten_and_its_history_stays() {
    let world = World::new();
    world.store.put_policy(Policy { forget_after: Some(days(30)), ..policy() }).unwrap();
    world.put("a", &noise(1, 1000));
    world.tick_after(80);
    world.tick_after(29);
    assert_eq!(world.stage("a"), 4);
    assert_eq!(world.tick_after(1).forgotten, 1);
    assert_eq!(world.store.stat(TENANT, "a").unwrap_err().kind(), ErrorKind::NotFound);
    let last = world.store.history(Some(ObjectId(1))).unwrap().last().unwrap().unwrap();
    assert_eq!((last.from, last.to, last.reason.as_str()), (Some(Stage::Purged), None, "forget"));
    world.check();
}

#[test]
fn reading_puts_decay_off_and_never_writes_by_itself() {
    let world = World::new();
    world.put("read", &noise(1, 1000));
    world.put("unread", &noise(2, 1000));
    world.clock.advance(days(9));
    let before = world.dump();
    world.store.get(TENANT, "read").unwrap();
    assert_eq!(world.dump(), before);
    world.tick_after(2);
    assert_eq!((world.stage("read"), world.stage("unread")), (0, 1));
    let info = world.store.stat(TENANT, "read").unwrap();
    assert_eq!(info.accessed_at, START.after(days(9)));
    assert!(info.effective_at > START.after(days(9)));
}

#[test]
fn stores_go_between_threads_and_cursors_outlive_their_call() {
    fn sound<T: Send + Sync + Clone + 'static>() {}
    fn movable<T: Send + 'static>() {}
    sound::<patina_objects::ObjectStore>();
    movable::<patina_objects::Objects>();
    movable::<patina_objects::History>();
}

#[test]
fn a_touch_counts_as_a_read_and_a_peek_does_not() {
    let world = World::new();
    for name in ["touched", "peeked"] {
        world.put(name, &noise(name.len() as u64, 1000));
    }
    world.clock.advance(days(9));
    world.store.touch(TENANT, "touched").unwrap();
    assert_eq!(world.bytes("peeked").len(), 1000);
    world.tick_after(2);
    assert_eq!((world.stage("touched"), world.stage("peeked")), (0, 1));
    assert_eq!(world.store.touch(TENANT, "nobody").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn listings_of_one_snapshot_agree() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let snapshot = world.store.db().snapshot();
    world.put("b", &noise(2, 1000));
    world.tick_after(12);
    let seen: Vec<_> = world.store.list_at(&snapshot, &ListFilter::default()).map(Result::unwrap).collect();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].name.as_str(), seen[0].stage), ("a", Stage::Hot));
    assert_eq!(world.store.history_at(&snapshot, None).count(), 1);
}

#[test]
fn forced_ticks_advance_one_stage_each_and_a_rate_changes_that() {
    let world = World::new();
    for (name, rate) in [("half", 0.5), ("one", 1.0), ("two", 2.0)] {
        let options = PutOptions { rate: Some(rate), ..Default::default() };
        world.store.put(name, &noise((rate * 10.0) as u64, 1000), &options).unwrap();
    }
    let stages = || ["half", "one", "two"].map(|name| world.stage(name));
    world.force();
    assert_eq!(stages(), [0, 1, 2]);
    world.force();
    // The surplus of "two" is carried: from cold it is one step to the trace, and one more waits.
    assert_eq!(stages(), [1, 2, 3]);
    world.force();
    assert_eq!(stages(), [1, 3, 4]);
    world.force();
    assert_eq!(stages(), [2, 4, 4]);
    world.check();
}

#[test]
fn a_policy_without_purge_never_loses_an_object() {
    let world = World::new();
    world.store.put_policy(Policy { purge_after: None, ..policy() }).unwrap();
    world.put("a", &noise(1, 1000));
    for _ in 0..10 {
        world.force();
    }
    world.tick_after(10_000);
    assert_eq!(world.stage("a"), 3);
    assert_eq!(world.store.stat(TENANT, "a").unwrap().next_decay_at, None);
}

#[test]
fn bytes_that_no_codec_makes_smaller_stay_the_same_through_warm_and_cold() {
    let world = World::new();
    let bytes = [b"same".to_vec(), b"abcdefgh".repeat(500)].concat();
    world.put("a", &bytes);
    let hot = world.store.stat(TENANT, "a").unwrap().stored;
    for stage in [1, 2] {
        world.force();
        assert_eq!(world.stage("a"), stage);
        assert_eq!(world.bytes("a"), bytes);
        let info = world.store.stat(TENANT, "a").unwrap();
        assert_eq!((info.fidelity, info.content_hash), (1.0, Some(info.origin_hash)));
        assert!(info.stored <= hot);
        world.check();
    }
    world.force();
    assert_eq!(world.stage("a"), 3);
    world.check();
}

#[test]
fn an_overwrite_begins_a_new_life() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let id = world.store.stat(TENANT, "a").unwrap().id;
    world.tick_after(25);
    world.put("a", &noise(2, 600));
    let info = world.store.stat(TENANT, "a").unwrap();
    assert_eq!((info.id, info.stage, info.generation, info.fidelity), (id, Stage::Hot, 2, 1.0));
    assert_eq!(world.bytes("a"), noise(2, 600));
    assert_eq!(info.next_decay_at, Some(START.after(days(35))));
    world.check();
    world.tick();
    world.check();
}

#[test]
fn a_tick_in_the_past_is_refused_and_changes_nothing() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let tick_at = |at: Timestamp| world.store.tick(&TickOptions { now: Some(at), ..Default::default() });
    tick_at(START.after(days(100))).unwrap();
    let before = world.dump();
    let error = tick_at(START.after(days(99))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("in the past"), "{error}");
    assert_eq!(world.dump(), before);
    // What is put now must not be overdue at once because decay was told of a later time.
    world.put("b", &noise(2, 100));
    world.tick();
    assert_eq!(world.stage("b"), 0);
}

#[test]
fn a_fidelity_floor_stops_decay_at_the_last_stage_above_it() {
    let world = World::new();
    world.store.put_policy(Policy { fidelity_floor: 0.4, ..policy() }).unwrap();
    world.put("late", &noise(1, 1000));
    world.tick_after(25);
    assert_eq!(world.stage("late"), 1, "cold would be below the floor, warm is not");
    world.tick_after(500);
    assert_eq!(world.stage("late"), 1);
    assert_eq!(world.store.stat(TENANT, "late").unwrap().next_decay_at, None);
    world.store.put_policy(policy()).unwrap();
    world.tick();
    assert_eq!(world.stage("late"), 4, "a changed policy brings it back");
    world.check();
}

#[test]
fn listings_use_what_they_filter_by() {
    let world = World::new();
    for name in ["p/a", "p/b", "q/c"] {
        world.put(name, &noise(name.len() as u64 + u64::from(name.as_bytes()[2]), 400));
    }
    world.clock.advance(days(1));
    world.put("late", &noise(99, 400));
    world.tick_after(9);
    let names = |filter: ListFilter| -> Vec<String> {
        world.store.list(&filter).unwrap().map(|info| info.unwrap().name).collect()
    };
    let tenant = Some(TENANT.to_owned());
    let of_p = ListFilter { tenant: tenant.clone(), name_prefix: Some("p/".into()), ..Default::default() };
    assert_eq!(names(of_p.clone()), ["p/a", "p/b"]);
    assert_eq!(names(ListFilter { tenant: None, ..of_p }), ["p/a", "p/b"]);
    assert_eq!(names(ListFilter { stage: Some(Stage::Warm), ..Default::default() }), ["p/a", "p/b", "q/c"]);
    assert_eq!(names(ListFilter { stage: Some(Stage::Hot), tenant, ..Default::default() }), ["late"]);
    let due = ListFilter { due_before: Some(START.after(days(11))), ..Default::default() };
    assert_eq!(names(due), ["late"]);
    assert_eq!(names(ListFilter { id: Some(ObjectId(2)), ..Default::default() }), ["p/b"]);
    assert!(names(ListFilter { tenant: Some("nobody".into()), ..Default::default() }).is_empty());
    let totals = world.store.totals().unwrap();
    assert_eq!((totals.all.objects, totals.by_stage[0].objects, totals.by_stage[1].stored), (4, 1, 600));
    assert_eq!((totals.contents, totals.content_bytes), (4, 1000));
}

#[test]
fn bad_arguments_are_refused_with_a_way_out() {
    let world = World::new();
    world.put("a", b"x");
    let store = &world.store;
    let put = |name: &str, options: PutOptions| store.put(name, b"x", &options).unwrap_err();
    assert_eq!(put("", PutOptions::default()).kind(), ErrorKind::InvalidArgument);
    assert_eq!(put("a\0b", PutOptions::default()).kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        put("b", PutOptions { rate: Some(0.0), ..Default::default() }).kind(),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        put("b", PutOptions { rate: Some(f64::NAN), ..Default::default() }).kind(),
        ErrorKind::InvalidArgument
    );
    let unknown = put("b", PutOptions { policy: Some("nope".into()), ..Default::default() });
    assert!(unknown.kind() == ErrorKind::NotFound && unknown.to_string().contains("quick"), "{unknown}");
    assert_eq!(store.get(TENANT, "nope").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.release(TENANT, "a", Some(HoldId(1))).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.hold(TENANT, "a", "late", Some(START)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(store.rename(TENANT, "a", "a").unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(store.drop_policy("image").unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(store.drop_policy("nope").unwrap_err().kind(), ErrorKind::NotFound);
    let falling = Policy { cold_after: Some(days(1)), half_life: std::time::Duration::ZERO, ..policy() };
    let error = store.put_policy(falling).unwrap_err().to_string();
    assert!(error.contains("cold_after") && error.contains("half_life"), "{error}");
    assert_eq!(store.policy("quick").unwrap().version, 1);
}

#[test]
fn an_empty_object_lives_like_any_other() {
    let world = World::new();
    world.put("empty", b"");
    assert_eq!(world.bytes("empty"), b"");
    world.tick_after(500);
    assert_eq!(world.stage("empty"), 4);
    world.check();
}

#[test]
fn everything_is_there_after_closing_and_opening() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.clock.advance(days(9));
    world.store.get(TENANT, "a").unwrap();
    let (vfs, now) = (world.vfs.clone(), patina_objects::Clock::now(&world.clock));
    let expected = world.store.stat(TENANT, "a").unwrap();
    world.store.close().unwrap();
    let world = World::on(vfs, now);
    assert_eq!(world.store.stat(TENANT, "a").unwrap(), expected);
    assert_eq!(world.store.policy("quick").unwrap().version, 1);
    world.put("b", &noise(2, 10));
    assert_eq!(world.store.stat(TENANT, "b").unwrap().id, ObjectId(2));
    world.check();
}
