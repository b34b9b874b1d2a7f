//! What the forecast says of stages is what happens when nobody reads; another policy can be tried without changing
//! anything; an explanation names what decides and what stops.

mod support;

use patina_objects::{ErrorKind, Policy, PutOptions, Stage, days};
use proptest::prelude::*;
use support::{TENANT, World, cases, noise, policy};

fn counts(moves: &[patina_objects::StageMoves; 5]) -> [u64; 5] {
    moves.map(|moves| moves.objects)
}

/// How one object is put, and what is done to it at once.
#[derive(Clone, Debug)]
struct Life {
    after_days: u64,
    rate: f64,
    kept: bool,
    pinned: bool,
    held_days: Option<u64>,
    reads: usize,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = (
        0u64..15,
        prop::sample::select(vec![0.5, 1.0, 2.0]),
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.2, 1u64..60),
        0usize..3,
    )
        .prop_map(|(after_days, rate, kept, pinned, held_days, reads)| Life {
            after_days,
            rate,
            kept,
            pinned,
            held_days,
            reads,
        });
    prop::collection::vec(life, 1..10)
}

proptest! {
    #![proptest_config(cases(24, 1_000))]
    #[test]
    fn day_by_day_it_is_what_happens(lives in lives(), grace in 0u64..5, dwell in 0u64..12, forget in prop::option::of(1u64..20)) {
        let world = World::new();
        let policy = Policy {
            grace: days(grace),
            min_dwell: days(dwell),
            forget_after: forget.map(days),
            restore_window: days(25),
            ..policy()
        };
        world.store.put_policy(policy).unwrap();
        for (n, life) in lives.iter().enumerate() {
            world.tick_after(life.after_days);
            let name = format!("o{n}");
            let options = PutOptions { rate: Some(life.rate), keep_original: life.kept, pinned: life.pinned, ..PutOptions::default() };
            world.store.put(&name, &noise(n as u64, 500), &options).unwrap();
            if let Some(held) = life.held_days {
                world.store.hold(TENANT, &name, "case", Some(world.store.now().after(days(held)))).unwrap();
            }
            for _ in 0..life.reads {
                world.clock.advance(std::time::Duration::from_secs(3600));
                world.store.get(TENANT, &name).unwrap();
            }
        }
        let before = world.dump();
        let forecast = world.store.forecast(120, None).unwrap();
        prop_assert!(world.dump() == before, "looking changes nothing");
        prop_assert_eq!(forecast.days.len(), 120);
        for day in &forecast.days {
            let report = world.tick_after(1);
            prop_assert_eq!(day.at, report.now);
            let told = (counts(&day.by_stage), day.originals_dropped, day.forgotten);
            prop_assert_eq!(told, (counts(&report.by_stage), report.originals_dropped, report.forgotten), "day {}", day.day);
        }
        world.check();
    }
}

#[test]
fn another_policy_can_be_tried() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    let slow = Policy {
        warm_after: Some(days(25)),
        cold_after: None,
        trace_after: None,
        purge_after: None,
        ..Policy::new("slow")
    };
    let warm_on = |under| {
        let forecast = world.store.forecast(30, under).unwrap();
        forecast.days.iter().find(|day| day.by_stage[1].objects == 1).map(|day| day.day)
    };
    assert_eq!((warm_on(None), warm_on(Some(&slow))), (Some(10), Some(25)));
    let forecast = world.store.forecast(30, None).unwrap();
    let freed: i64 = forecast.days.iter().map(|day| day.bytes_added).sum();
    assert_eq!(forecast.days[29].stored_after, forecast.stored_now.saturating_add_signed(freed));
    for wrong in [0, 40_000] {
        assert_eq!(world.store.forecast(wrong, None).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn an_explanation_names_what_decides_and_what_stops() {
    let world = World::new();
    world.store.put_policy(Policy { min_dwell: days(12), ..policy() }).unwrap();
    world.put("a", &noise(1, 1000));
    world.clock.advance(days(1));
    let told = world.store.explain_decay(TENANT, "a").unwrap();
    assert!(told.blocked_by.is_empty() && told.half_life == days(5));
    let stages: Vec<Stage> = told.dues.iter().map(|due| due.stage).collect();
    assert_eq!(stages, [Stage::Warm, Stage::Cold, Stage::Trace, Stage::Purged]);
    assert_eq!(
        (told.dues[0].at, told.dues[0].by_dwell > told.dues[0].by_heat),
        (told.dues[0].by_dwell, true)
    );
    let course: Vec<Stage> = told.course.iter().map(|(_, planned)| planned.to).collect();
    assert_eq!(course, [Stage::Warm, Stage::Cold, Stage::Trace, Stage::Purged]);
    assert_eq!(Some(told.course[0].0), told.info.next_decay_at);

    world.store.hold(TENANT, "a", "case 17", None).unwrap();
    world.store.set_pinned(TENANT, "a", true).unwrap();
    let told = world.store.explain_decay(TENANT, "a").unwrap();
    assert!(
        told.blocked_by[0].contains("case 17") && told.blocked_by[1].contains("pinned"),
        "{:?}",
        told.blocked_by
    );
    assert!(told.course.is_empty());
    assert_eq!(world.store.explain_decay(TENANT, "b").unwrap_err().kind(), ErrorKind::NotFound);
}
