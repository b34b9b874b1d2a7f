//! Random lives against a reference that keeps every access and works everything out from them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{Clock, PutOptions, Timestamp, days};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use support::{TENANT, World, cases, noise};

/// Steps of time that never sum up to a whole day, so that no due time is met to the millisecond.
const STEP: Duration = Duration::from_secs(433 * 60);
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const DAY_MS: f64 = 86_400_000.0;
const HALF_LIFE_MS: f64 = 5.0 * DAY_MS;
/// Days after which stages 1 to 4 come; see `support::policy`.
const AFTER_DAYS: [f64; 4] = [10.0, 20.0, 40.0, 80.0];

#[derive(Clone, Debug)]
enum Op {
    Put(usize),
    Get(usize),
    Delete(usize),
    Pin(usize, bool),
    Hold(usize),
    Release(usize),
    Rate(usize, f64),
    Wait(u32),
    Tick,
    Force,
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..NAMES.len();
    prop_oneof![
        3 => name.clone().prop_map(Op::Put),
        4 => name.clone().prop_map(Op::Get),
        1 => name.clone().prop_map(Op::Delete),
        1 => (name.clone(), any::<bool>()).prop_map(|(name, on)| Op::Pin(name, on)),
        1 => name.clone().prop_map(Op::Hold),
        1 => name.clone().prop_map(Op::Release),
        1 => (name, prop::sample::select(vec![0.5, 1.0, 2.0, 4.0])).prop_map(|(name, rate)| Op::Rate(name, rate)),
        6 => (1u32..60).prop_map(Op::Wait),
        6 => Just(Op::Tick),
        1 => Just(Op::Force),
    ]
}

/// One object as the reference knows it.
#[derive(Clone, Debug)]
struct Life {
    accesses_ms: Vec<f64>,
    stage: usize,
    rate: f64,
    progress: f64,
    pinned: bool,
    holds: usize,
}

impl Life {
    fn effective_ms(&self, now_ms: f64) -> f64 {
        let heat: f64 = self.accesses_ms.iter().map(|at| (-(now_ms - at) / HALF_LIFE_MS).exp2()).sum();
        now_ms + HALF_LIFE_MS * heat.log2()
    }

    fn tick(&mut self, now_ms: f64) {
        if self.pinned || self.holds > 0 {
            return;
        }
        let idle_days = (now_ms - self.effective_ms(now_ms)) / DAY_MS * self.rate;
        let due = AFTER_DAYS.iter().filter(|after| idle_days >= **after).count();
        self.stage = self.stage.max(due);
    }

    fn force(&mut self) {
        if self.pinned || self.holds > 0 || self.stage == 4 {
            return;
        }
        self.progress += self.rate;
        let ahead = if self.stage < 3 { 3 - self.stage } else { 1 };
        let steps = (self.progress.floor() as usize).min(ahead);
        self.stage += steps;
        self.progress -= steps as f64;
    }
}

fn apply(op: &Op, world: &World, model: &mut BTreeMap<&'static str, Life>) -> Result<(), TestCaseError> {
    let store = &world.store;
    let now_ms = world.clock.now().0 as f64;
    match op {
        Op::Put(at) => {
            let held = model.get(NAMES[*at]).is_some_and(|life| life.holds > 0);
            let bytes = noise(*at as u64 + now_ms as u64 % 2, 256);
            let put = store.put(NAMES[*at], &bytes, &PutOptions::default());
            prop_assert_eq!(put.is_err(), held);
            if !held {
                let life = Life {
                    accesses_ms: vec![now_ms],
                    stage: 0,
                    rate: 1.0,
                    progress: 0.0,
                    pinned: false,
                    holds: 0,
                };
                model.insert(NAMES[*at], life);
            }
        }
        Op::Get(at) => {
            let before = store.stat(TENANT, NAMES[*at]).ok().and_then(|info| info.next_decay_at);
            let got = store.get(TENANT, NAMES[*at]);
            let life = model.get_mut(NAMES[*at]);
            prop_assert_eq!(got.is_ok(), life.as_ref().is_some_and(|life| life.stage < 4));
            if let (Ok(_), Some(life)) = (got, life) {
                // The policy's cooldown: a second access at the same moment is none.
                if life.accesses_ms.last() != Some(&now_ms) {
                    life.accesses_ms.push(now_ms);
                }
                let after = store.stat(TENANT, NAMES[*at]).unwrap().next_decay_at;
                prop_assert!(before <= after, "an access brought the next stage nearer");
            }
        }
        Op::Delete(at) => {
            let free = model.get(NAMES[*at]).is_some_and(|life| life.holds == 0);
            prop_assert_eq!(store.delete(TENANT, NAMES[*at]).is_ok(), free);
            if free {
                model.remove(NAMES[*at]);
            }
        }
        Op::Pin(at, on) => {
            let done = store.set_pinned(TENANT, NAMES[*at], *on).is_ok();
            prop_assert_eq!(done, model.get_mut(NAMES[*at]).map(|life| life.pinned = *on).is_some());
        }
        Op::Hold(at) => {
            let done = store.hold(TENANT, NAMES[*at], "case", None).is_ok();
            prop_assert_eq!(done, model.get_mut(NAMES[*at]).map(|life| life.holds += 1).is_some());
        }
        Op::Release(at) => {
            let life = model.get_mut(NAMES[*at]).filter(|life| life.holds > 0);
            prop_assert_eq!(store.release(TENANT, NAMES[*at], None).is_ok(), life.is_some());
            if let Some(life) = life {
                life.holds = 0;
            }
        }
        Op::Rate(at, rate) => {
            let done = store.set_rate(TENANT, NAMES[*at], *rate).is_ok();
            prop_assert_eq!(done, model.get_mut(NAMES[*at]).map(|life| life.rate = *rate).is_some());
        }
        Op::Wait(steps) => world.clock.advance(STEP * *steps),
        Op::Tick => {
            world.tick();
            model.values_mut().for_each(|life| life.tick(now_ms));
        }
        Op::Force => {
            world.force();
            model.values_mut().for_each(Life::force);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(256, 5_000))]

    #[test]
    fn stages_are_those_of_the_reference(ops in prop::collection::vec(op(), 1..60)) {
        let world = World::new();
        let mut model: BTreeMap<&'static str, Life> = BTreeMap::new();
        for op in &ops {
            apply(op, &world, &mut model)?;
            let now_ms = world.clock.now().0 as f64;
            for (name, life) in &model {
                let info = world.store.stat(TENANT, name).unwrap();
                prop_assert_eq!(usize::from(info.stage.number()), life.stage, "'{}' after {:?}", name, op);
                prop_assert!((info.effective_at.0 as f64 - life.effective_ms(now_ms)).abs() < 5.0);
                prop_assert_eq!(info.held, life.holds > 0);
            }
        }
        prop_assert_eq!(world.store.list(&Default::default()).unwrap().count(), model.len());
        world.check();
    }

    #[test]
    fn one_late_tick_or_many_punctual_ones_come_to_the_same_stages(
        gaps in prop::collection::vec(1u32..80, 1..12),
        rates in prop::collection::vec(prop::sample::select(vec![0.5, 1.0, 3.0]), 3),
    ) {
        let (often, once) = (World::new(), World::new());
        for (n, rate) in rates.iter().enumerate() {
            for world in [&often, &once] {
                let options = PutOptions { rate: Some(*rate), ..Default::default() };
                world.store.put(NAMES[n], &noise(n as u64, 512), &options).unwrap();
                world.clock.advance(STEP * 3);
            }
        }
        for gap in &gaps {
            for world in [&often, &once] {
                world.clock.advance(STEP * *gap);
            }
            often.tick();
        }
        once.tick();
        for name in NAMES.iter().take(rates.len()) {
            prop_assert_eq!(often.stage(name), once.stage(name));
        }
    }

    #[test]
    fn a_rate_is_a_faster_clock(steps in 1u32..400, rate in prop::sample::select(vec![0.25, 0.5, 2.0, 4.0, 8.0])) {
        let (rated, plain) = (World::new(), World::new());
        let options = PutOptions { rate: Some(rate), ..Default::default() };
        rated.store.put("a", &noise(1, 512), &options).unwrap();
        plain.put("a", &noise(1, 512));
        rated.clock.advance(STEP * steps);
        plain.clock.advance((STEP * steps).mul_f64(rate));
        rated.tick();
        plain.tick();
        prop_assert_eq!(rated.stage("a"), plain.stage("a"));
    }

    #[test]
    fn reads_count_the_same_in_any_order_and_however_they_are_written(
        reads in prop::collection::vec((0usize..2, 1u64..30), 1..12),
    ) {
        // The same reads at the same times: flushed after each, or all at the end.
        let (flushed, gathered) = (World::new(), World::new());
        for world in [&flushed, &gathered] {
            world.put("a", &noise(1, 64));
            world.put("b", &noise(2, 64));
            for (name, minutes) in &reads {
                world.clock.advance(Duration::from_secs(minutes * 60 + 30));
                world.store.get(TENANT, NAMES[*name]).unwrap();
                if std::ptr::eq(world, &flushed) {
                    world.store.flush_touches().unwrap();
                }
            }
            world.store.flush_touches().unwrap();
        }
        for name in ["a", "b"] {
            let e = |world: &World| world.store.stat(TENANT, name).unwrap().effective_at.0;
            prop_assert!(e(&flushed).abs_diff(e(&gathered)) <= 1);
        }
    }
}

#[test]
fn the_reference_itself_knows_the_worked_example() {
    let now = Timestamp(0).after(days(5)).0 as f64;
    let life =
        Life { accesses_ms: vec![0.0, now], stage: 0, rate: 1.0, progress: 0.0, pinned: false, holds: 0 };
    assert!(((life.effective_ms(now) - now) / DAY_MS - 5.0 * 1.5f64.log2()).abs() < 1e-9);
}
