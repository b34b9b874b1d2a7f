//! A budget takes the least wanted first and no more than it needs, breaks no promise made to an object, and says what blocks it
//! when it cannot be met.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{
    Budget, BudgetReport, ErrorKind, ObjectStore, Policy, Protection, PutOptions, Reason, StoreOptions,
    TickOptions, days,
};
use proptest::prelude::*;
use std::sync::Arc;
use support::{Halving, TENANT, World, cases, noise, policy};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

fn limit(world: &World, bytes: u64) {
    world.store.set_budget(None, Some(Budget { bytes, refuse_writes: false })).unwrap();
}

/// Objects of 1000 bytes, the first read the longest ago; none is due for five days.
fn filled(count: u64) -> World {
    let world = World::new();
    for n in 0..count {
        world.put(&format!("o{n:02}"), &noise(n, 1000));
        world.clock.advance(HOUR);
    }
    world
}

fn used(world: &World) -> u64 {
    world.store.totals().unwrap().content_bytes
}

fn only(world: &World) -> BudgetReport {
    let mut reports = world.tick().budgets;
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

fn stages(world: &World) -> Vec<u8> {
    world.store.list(&Default::default()).unwrap().map(|info| info.unwrap().stage.number()).collect()
}

#[test]
fn the_least_wanted_go_first_until_enough_is_free() {
    let world = filled(20);
    assert_eq!(used(&world), 20_000);
    limit(&world, 21_060);
    assert_eq!((world.tick().moved, used(&world)), (0, 20_000), "95% are not exceeded");
    world.store.get(TENANT, "o00").unwrap();
    limit(&world, 20_000);
    let report = only(&world);
    assert_eq!((report.used_bytes_before, report.short_by_bytes), (20_000, 0));
    assert!(report.after.used_bytes <= 18_000, "{report:?}");
    assert!(report.after.used_bytes > 17_000, "no more than is needed: {report:?}");
    assert_eq!(report.after.used_bytes, used(&world));
    let moved: Vec<usize> = (0..20).filter(|at| stages(&world)[*at] > 0).collect();
    assert_eq!(
        moved,
        (1..=moved.len()).collect::<Vec<_>>(),
        "the read one stays, the oldest of the others go"
    );
    let reasons: Vec<Reason> = world.store.history(None).unwrap().map(|row| row.unwrap().reason).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::Budget).count() as u64, report.moved);
    assert!(world.tick().budgets.is_empty(), "it is kept now");
    world.check();
}

#[test]
fn what_its_policy_values_more_goes_later() {
    let world = World::new();
    world.store.put_policy(Policy { weight: 1000.0, applies_to: Default::default(), ..policy() }).unwrap();
    world.store.put_policy(Policy { name: "cheap".into(), weight: 1.0, ..policy() }).unwrap();
    for n in 0..10u64 {
        let name = if n < 5 { "quick" } else { "cheap" };
        let options = PutOptions { policy: Some(name.into()), ..PutOptions::default() };
        world.store.put(&format!("o{n:02}"), &noise(n, 1000), &options).unwrap();
        world.clock.advance(HOUR);
    }
    limit(&world, 9_000);
    assert_eq!(only(&world).short_by_bytes, 0);
    assert_eq!(stages(&world)[..5], [0; 5]);
}

#[test]
fn a_budget_of_one_byte_takes_all_that_may_go_and_says_what_may_not() {
    let world = filled(6);
    world.store.hold(TENANT, "o00", "case 17", None).unwrap();
    world.store.hold(TENANT, "o01", "until then", Some(world.store.now().after(days(3)))).unwrap();
    world.store.set_pinned(TENANT, "o02", true).unwrap();
    world.store.set_keep_original(TENANT, "o03", true).unwrap();
    world.put("twin 1", &noise(99, 1000));
    world.put("twin 2", &noise(99, 1000));
    world.store.hold(TENANT, "twin 2", "case 18", None).unwrap();
    limit(&world, 1);
    let report = only(&world);
    assert_eq!(stages(&world), [0, 0, 0, 0, 3, 3, 0, 0]);
    let blocked: Vec<(Protection, u64, u64)> =
        report.after.blocked.iter().map(|sum| (sum.by, sum.objects, sum.bytes)).collect();
    assert!(blocked.contains(&(Protection::Held, 3, 3000)), "{blocked:?}");
    assert!(blocked.contains(&(Protection::Pinned, 1, 1000)), "{blocked:?}");
    assert!(blocked.contains(&(Protection::Original, 1, 1000)), "{blocked:?}");
    assert!(blocked.contains(&(Protection::Shared, 1, 1000)), "{blocked:?}");
    assert_eq!(report.short_by_bytes, report.after.used_bytes - 1);
    assert_eq!(report.after.used_bytes, 5_028, "four whole ones, one content of the twins, two traces");
    assert_eq!(report.after.largest_blocked[0].name, "o00");
    let twin = report.after.largest_blocked.iter().find(|object| object.name == "twin 1").unwrap();
    assert_eq!((twin.by, twin.holders), (Protection::Shared, 2));
    world.check();

    // What cannot be met is not tried at every tick, but when something changes.
    assert!(world.tick().budgets.is_empty());
    world.store.release(TENANT, "o00", None).unwrap();
    assert_eq!((only(&world).moved, world.stage("o00")), (3, 3));
    assert_eq!(
        (world.stage("o04"), world.stage("o05")),
        (4, 4),
        "their policy lets them be purged, as a later step"
    );
    world.clock.advance(days(4));
    let report = world.tick();
    assert!(report.moved > 0 && world.stage("o01") == 3, "{report:?}");
}

fn put_with(world: &World, name: &str, seed: u64, options: PutOptions) {
    world.store.put(name, &noise(seed, 1000), &options).unwrap();
}

#[test]
fn what_objects_share_goes_when_all_of_them_may_go_and_counts_once() {
    let world = World::new();
    let text = || PutOptions { media_type: Some("text/plain".into()), ..PutOptions::default() };
    for n in 0..2 {
        world.store.put(&format!("copy {n}"), &noise(77, 20_000), &text()).unwrap();
    }
    world.clock.advance(days(9));
    for n in 0..8 {
        world.store.put(&format!("later {n}"), &noise(n, 10_000), &text()).unwrap();
    }
    limit(&world, 105_000);
    let report = only(&world);
    assert_eq!(
        (report.used_bytes_before, report.moved, report.short_by_bytes),
        (100_000, 2, 0),
        "{report:?}"
    );
    assert_eq!((world.stage("copy 0"), world.stage("copy 1")), (1, 1));
    assert_eq!((report.after.used_bytes, used(&world)), (90_000, 90_000));
    world.check();
}

#[test]
fn what_objects_share_is_worth_what_it_is_to_all_of_them() {
    let world = World::new();
    // Each of the four copies is a little less wanted than the single one; together they are more.
    for n in 0..4 {
        world.put(&format!("copy {n}"), &noise(77, 1000));
    }
    world.clock.advance(HOUR);
    world.put("single", &noise(1, 1000));
    limit(&world, 2_000);
    assert_eq!(only(&world).moved, 1);
    assert_eq!((world.stage("copy 0"), world.stage("single") > 0), (0, true));
    world.check();
}

type Protect<'a> = &'a dyn Fn(&World);

#[test]
fn one_that_stays_keeps_what_the_others_share() {
    let others: [(&str, Protect<'_>); 5] = [
        ("held", &|world| assert_eq!(world.store.hold(TENANT, "b", "case", None).unwrap().0, 1)),
        ("pinned", &|world| world.store.set_pinned(TENANT, "b", true).unwrap()),
        ("keeps its original", &|world| world.store.set_keep_original(TENANT, "b", true).unwrap()),
        ("of a policy without stages", &|world| {
            let still = Policy {
                warm_after: None,
                cold_after: None,
                trace_after: None,
                purge_after: None,
                ..policy()
            };
            world
                .store
                .put_policy(Policy { name: "still".into(), applies_to: Default::default(), ..still })
                .unwrap();
            world.store.set_policy(TENANT, "b", "still").unwrap();
        }),
        ("below its floor", &|world| {
            let floor = Policy { fidelity_floor: 0.9, purge_after: None, ..policy() };
            world
                .store
                .put_policy(Policy { name: "floor".into(), applies_to: Default::default(), ..floor })
                .unwrap();
            world.store.set_policy(TENANT, "b", "floor").unwrap();
        }),
    ];
    for (what, protect) in others {
        let world = World::new();
        for name in ["a", "b", "c"] {
            world.put(name, &noise(77, 1000));
        }
        protect(&world);
        limit(&world, 500);
        let report = only(&world);
        assert_eq!((stages(&world), used(&world), report.moved), (vec![0, 0, 0], 1000, 0), "{what}");
        let blocked = &report.after.blocked;
        assert!(
            blocked.iter().any(|sum| (sum.by, sum.objects) == (Protection::Shared, 2)),
            "{what}: {blocked:?}"
        );
        assert_eq!(report.after.largest_blocked[0].holders, 3);
        world.check();
    }
}

#[test]
fn a_tenants_budget_does_not_take_what_another_tenant_shares() {
    let world = World::new();
    let of = |tenant: &str| PutOptions { tenant: tenant.into(), ..PutOptions::default() };
    put_with(&world, "shared", 7, of("a"));
    put_with(&world, "shared", 7, of("b"));
    put_with(&world, "own", 8, of("a"));
    put_with(&world, "own again", 8, of("a"));
    world.store.set_budget(Some("a"), Some(Budget { bytes: 1, refuse_writes: false })).unwrap();
    let report = only(&world);
    assert_eq!(
        (report.used_bytes_before, report.moved, report.after.used_bytes),
        (2000, 2, 1028),
        "{report:?}"
    );
    // That of all takes it.
    world.store.set_budget(Some("a"), None).unwrap();
    limit(&world, 500);
    assert_eq!(only(&world).short_by_bytes, 0);
    world.check();
}

#[test]
fn the_hours_limit_counts_what_objects_share_once() {
    let world = World::new();
    let options = StoreOptions {
        transform: Arc::clone(&world.transform) as Arc<dyn patina_objects::Transform>,
        degraded_bytes_per_hour_max: Some(1_500),
        ..Default::default()
    };
    let store = ObjectStore::open(world.store.db().clone(), Arc::new(world.clock.clone()), options).unwrap();
    for n in 0..3 {
        store.put(&format!("copy {n}"), &noise(77, 1000), &PutOptions::default()).unwrap();
    }
    store.put("other", &noise(1, 1000), &PutOptions::default()).unwrap();
    store.set_budget(None, Some(Budget { bytes: 1, refuse_writes: false })).unwrap();
    let moved: Vec<u64> = (0..2)
        .map(|_| {
            world.clock.advance(HOUR);
            store.tick(&TickOptions::default()).unwrap().moved
        })
        .collect();
    assert_eq!(moved.iter().sum::<u64>(), 4, "{moved:?}");
    assert!(moved.contains(&3), "{moved:?}");
}

#[test]
fn what_objects_share_is_foretold_and_explained_as_one() {
    let world = World::new();
    for n in 0..3 {
        world.put(&format!("copy {n}"), &noise(77, 1000));
    }
    limit(&world, 500);
    let planned = world.store.dry_run(&TickOptions::default()).unwrap();
    assert_eq!(planned.len(), 3, "{planned:?}");
    assert_eq!(world.store.forecast(1, None).unwrap().days[0].for_budgets.iter().sum::<u64>(), 3);
    let place = world.store.explain_decay(TENANT, "copy 2").unwrap().budgets.remove(0);
    assert_eq!((place.blocked_by, place.objects_before, place.bytes_until_its_turn()), (None, 0, Some(0)));
    assert_eq!(world.tick().moved, 3);
}

#[test]
fn retention_dwell_and_the_floor_are_kept_and_nothing_is_purged_within_its_grace() {
    for (protected, by) in [
        (Policy { min_retention: days(3), ..policy() }, Protection::Retention),
        (Policy { min_dwell: days(3), ..policy() }, Protection::Dwell),
        (Policy { fidelity_floor: 0.9, purge_after: None, ..policy() }, Protection::Floor),
        (
            Policy { warm_after: None, cold_after: None, trace_after: None, purge_after: None, ..policy() },
            Protection::LastStage,
        ),
    ] {
        let world = World::new();
        world.store.put_policy(protected).unwrap();
        world.put("a", &noise(1, 1000));
        limit(&world, 500);
        world.tick_after(1);
        let status = world.store.budget_status().unwrap().remove(0);
        assert_eq!((world.stage("a"), status.blocked[0].by), (0, by));
        assert_eq!(status.excess_bytes(), 1000 - 475);
        world.check();
    }
    let world = World::new();
    world.store.put_policy(Policy { grace: days(2), ..policy() }).unwrap();
    world.put("a", &noise(1, 1000));
    limit(&world, 1);
    world.tick_after(1);
    assert_eq!(world.stage("a"), 3);
    world.tick_after(1);
    assert_eq!(world.stage("a"), 3, "its grace is not over");
    world.tick_after(1);
    assert_eq!(world.stage("a"), 4);
    world.check();
}

#[test]
fn a_policy_without_purge_is_not_purged_for_a_budget_either() {
    let world = World::new();
    world.store.put_policy(Policy { purge_after: None, ..policy() }).unwrap();
    world.put("a", &noise(1, 1000));
    limit(&world, 1);
    for _ in 0..5 {
        world.tick_after(1);
    }
    assert_eq!(world.stage("a"), 3);
}

#[test]
fn a_tenants_budget_touches_nobody_else() {
    let world = World::new();
    for n in 0..10u64 {
        for tenant in ["a", "b"] {
            let options = PutOptions { tenant: tenant.into(), ..PutOptions::default() };
            world
                .store
                .put(&format!("{n}"), &noise(n + 100 * u64::from(tenant == "b"), 1000), &options)
                .unwrap();
        }
        world.clock.advance(HOUR);
    }
    world.store.set_budget(Some("a"), Some(Budget { bytes: 8_000, refuse_writes: false })).unwrap();
    let report = only(&world);
    assert_eq!(
        (report.after.tenant.as_deref(), report.used_bytes_before, report.short_by_bytes),
        (Some("a"), 10_000, 0)
    );
    let of = |tenant: &str| {
        let filter = patina_objects::ListFilter { tenant: Some(tenant.into()), ..Default::default() };
        world.store.list(&filter).unwrap().map(|info| info.unwrap().stored).sum::<u64>()
    };
    assert!(of("a") <= 7_200 && of("b") == 10_000);
    // Both at once: what the tenant's frees counts for the database's.
    limit(&world, 17_000);
    world.store.set_budget(Some("a"), Some(Budget { bytes: 5_000, refuse_writes: false })).unwrap();
    let report = world.tick();
    assert!(report.budgets.iter().all(|budget| budget.short_by_bytes == 0), "{report:?}");
    assert!(of("a") <= 4_500);
    world.check();
}

#[test]
fn reads_that_nobody_has_written_down_yet_count() {
    let world = filled(10);
    for n in 0..5 {
        world.store.get(TENANT, &format!("o{n:02}")).unwrap();
    }
    limit(&world, 9_500);
    only(&world);
    assert_eq!(stages(&world)[..5], [0; 5]);
}

#[test]
fn the_hours_limit_holds_for_budgets_too() {
    let vfs = patina_storage::MemVfs::new();
    let clock = patina_objects::ManualClock::new(support::START);
    let db = patina_storage::Db::open_with(Arc::new(vfs), "db".as_ref(), Default::default()).unwrap();
    let transform = Arc::new(Halving::default());
    let options = StoreOptions { transform, degraded_bytes_per_hour_max: Some(2_000), ..Default::default() };
    let store = ObjectStore::open(db, Arc::new(clock.clone()), options).unwrap();
    store.put_policy(policy()).unwrap();
    for n in 0..10u64 {
        store.put(&format!("{n}"), &noise(n, 1000), &PutOptions::default()).unwrap();
    }
    store.set_budget(None, Some(Budget { bytes: 1, refuse_writes: false })).unwrap();
    let report = store.tick(&TickOptions::default()).unwrap();
    assert_eq!((report.moved, report.limit_reached), (2, true));
    assert_eq!(store.tick(&TickOptions::default()).unwrap().moved, 0);
    clock.advance(HOUR);
    assert_eq!(store.tick(&TickOptions::default()).unwrap().moved, 2);
}

#[test]
fn writes_are_refused_only_if_the_owner_chose_so() {
    let world = filled(5);
    limit(&world, 5_500);
    world.put("taken anyway", &noise(50, 1000));
    world.store.delete(TENANT, "taken anyway").unwrap();
    world.store.set_budget(None, Some(Budget { bytes: 5_500, refuse_writes: true })).unwrap();
    let put = |name: &str, seed| world.store.put(name, &noise(seed, 1000), &PutOptions::default());
    let error = put("refused", 60).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverBudget);
    assert!(error.to_string().contains("5000 of 5500"), "{error}");
    assert!(world.store.stat(TENANT, "refused").is_err());
    put("what is there already costs nothing", 0).unwrap();
    world.store.delete(TENANT, "o01").unwrap();
    put("there is room again", 60).unwrap();
    put("and now there is not", 61).unwrap_err();
    world.store.set_budget(None, None).unwrap();
    put("nor a budget", 62).unwrap();
    world.check();
}

#[test]
fn budgets_are_there_after_opening_again_and_wrong_ones_are_refused() {
    let world = filled(3);
    limit(&world, 12_345);
    world.store.set_budget(Some("t"), Some(Budget { bytes: u64::MAX, refuse_writes: true })).unwrap();
    let error = world.store.set_budget(None, Some(Budget { bytes: 0, refuse_writes: false })).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(world.store.set_budget(Some(""), None).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(world.store.set_budget(Some("nobody"), None).unwrap_err().kind(), ErrorKind::NotFound);
    let before = world.store.budgets();
    assert_eq!(before.len(), 2);
    let world = world.after_power_loss();
    assert_eq!(world.store.budgets(), before);
    let status = world.store.budget_status().unwrap();
    assert_eq!((status[1].used_bytes, status[1].tenant.clone()), (3_000, None));
}

#[test]
fn an_explanation_tells_the_place_in_the_queue() {
    let world = filled(10);
    limit(&world, 10_000);
    world.store.set_pinned(TENANT, "o05", true).unwrap();
    let place = |name: &str| world.store.explain_decay(TENANT, name).unwrap().budgets.remove(0);
    let (first, last, pinned) = (place("o00"), place("o09"), place("o05"));
    assert_eq!((first.objects_before, first.bytes_before, first.bytes_until_its_turn()), (0, 0, Some(0)));
    assert_eq!(last.objects_before, 8);
    assert!(last.bytes_before > 0);
    assert_eq!((pinned.blocked_by, pinned.bytes_until_its_turn()), (Some(Protection::Pinned), None));
    assert_eq!(first.used_bytes, 10_000);
    limit(&world, 20_000);
    assert_eq!(place("o00").bytes_until_its_turn(), Some(9_001), "when 95% are exceeded");
}

#[test]
fn a_dry_run_and_a_forecast_know_of_it_and_write_nothing() {
    let world = filled(10);
    limit(&world, 9_000);
    let before = world.dump();
    let planned = world.store.dry_run(&TickOptions::default()).unwrap();
    assert!(
        !planned.is_empty() && planned.iter().all(|planned| planned.reason.contains("of the budget of 9000"))
    );
    let forecast = world.store.forecast(5, None).unwrap();
    assert_eq!(forecast.days[0].for_budgets.iter().sum::<u64>() as usize, planned.len());
    assert!(forecast.days[0].stored_after <= 8_100 && forecast.days[1].for_budgets == [0; 5]);
    assert!(world.dump() == before);
    let first = world.tick();
    assert!(first.moved > 0);
    world.store.set_budget(None, None).unwrap();
    assert!(world.store.dry_run(&TickOptions::default()).unwrap().is_empty());
}

/// Any object may be protected in any way, shared, read or failing; whatever the budget, no promise is broken.
#[derive(Clone, Debug)]
struct Life {
    bytes: usize,
    seed: u64,
    guard: u8,
    read: bool,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = (1usize..3000, 0u64..30, 0u8..12, any::<bool>()).prop_map(|(bytes, seed, guard, read)| Life {
        bytes,
        seed,
        guard,
        read,
    });
    prop::collection::vec(life, 1..25)
}

proptest! {
    #![proptest_config(cases(40, 2_000))]
    #[test]
    fn no_promise_is_broken_whatever_the_budget(lives in lives(), bytes in 1u64..40_000) {
        let world = World::new();
        for (n, life) in lives.iter().enumerate() {
            let name = format!("o{n}");
            let content = match life.guard {
                3 => [b"fail".to_vec(), noise(life.seed, life.bytes)].concat(),
                4 => [b"same".to_vec(), noise(life.seed, life.bytes)].concat(),
                _ => noise(life.seed, life.bytes),
            };
            let options = PutOptions { pinned: life.guard == 1, keep_original: life.guard == 2, ..PutOptions::default() };
            world.store.put(&name, &content, &options).unwrap();
            if life.guard == 0 {
                world.store.hold(TENANT, &name, "case", None).unwrap();
            }
            world.clock.advance(HOUR);
            if life.read {
                world.store.get(TENANT, &name).unwrap();
            }
        }
        limit(&world, bytes);
        let before = used(&world);
        let report = world.tick();
        world.check();
        for (n, life) in lives.iter().enumerate() {
            let info = world.store.stat(TENANT, &format!("o{n}")).unwrap();
            if life.guard < 4 {
                prop_assert_eq!(info.stage.number(), 0, "{:?}", life);
            }
        }
        let marks = Budget { bytes, refuse_writes: false };
        if report.budgets.is_empty() {
            prop_assert!(before <= marks.starts_above_bytes() && report.moved == 0);
        } else {
            let told = &report.budgets[0];
            prop_assert_eq!(told.after.used_bytes > marks.stops_at_bytes(), told.short_by_bytes > 0, "{:?}", told);
            if told.short_by_bytes > 0 {
                prop_assert!(!told.after.blocked.is_empty());
            }
        }
        // A round more changes nothing: it is kept, or nothing more can go.
        let dump: Vec<u8> = stages(&world);
        world.tick();
        prop_assert_eq!(dump, stages(&world));
    }
}
