//! Five years of many objects with a tick a day and readers who come back to some of them, and the forecast made at the start beside
//! what happened. Nobody's reading ever brings anything nearer, so what happened never runs ahead of the forecast.
//!
//! `PATINA_LONG_TESTS=1 cargo test --release -p patina-objects --test five_years_of_decay -- --nocapture` does it with 100 000
//! objects and prints the table of `docs/decay.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{Clock, PutOptions, Stage, days};
use support::{TENANT, World, noise};

const YEARS: u64 = 5;
const QUARTER_DAYS: u64 = 91;

fn count() -> u64 {
    if std::env::var_os("PATINA_LONG_TESTS").is_some() { 100_000 } else { 400 }
}

/// Uses a type's built-in periods: warm after months, trace after years, never purged.
fn started(objects: u64) -> World {
    let world = World::new();
    world.store.drop_policy("quick").unwrap();
    for day in 0..30 {
        let of_day = (0..objects).filter(|n| n % 30 == day);
        let items =
            of_day.map(|n| (format!("o{n}"), noise(n, 200 + n as usize % 800).into(), PutOptions::default()));
        world.store.put_many(items).unwrap();
        world.clock.advance(days(1));
    }
    world
}

/// The objects that somebody reads on a day: a few always, others now and then.
fn readers(day: u64, objects: u64) -> impl Iterator<Item = u64> {
    let reads = (objects / 500).max(1);
    let mut state = day.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..reads).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let share = (state >> 11) as f64 / (1u64 << 53) as f64;
        // Cubed: a tenth of the objects gets half of the reads.
        (share.powi(3) * objects as f64) as u64
    })
}

#[test]
fn what_happens_never_runs_ahead_of_the_forecast() {
    let objects = count();
    let world = started(objects);
    let total_days = YEARS * 365;
    let forecast = world.store.forecast(total_days as u32, None).unwrap();
    let mut happened: Vec<[u64; 5]> = Vec::new();
    for day in 0..total_days {
        for n in readers(day, objects) {
            // What is a trace by now is read as well; only what is purged cannot be.
            world.store.get(TENANT, &format!("o{n}")).unwrap();
        }
        let report = world.tick_after(1);
        assert_eq!((report.failed, report.left_alone), (0, 0), "day {day}");
        happened.push(report.by_stage.map(|moves| moves.objects));
    }
    println!("| day | warm, forecast | warm | cold, forecast | cold | trace, forecast | trace |");
    println!("|---|---|---|---|---|---|---|");
    let (mut told, mut done) = ([0u64; 5], [0u64; 5]);
    for (at, (day, moves)) in forecast.days.iter().zip(&happened).enumerate() {
        for stage in 0..5 {
            told[stage] += day.by_stage[stage].objects;
            done[stage] += moves[stage];
        }
        for stage in 1..5 {
            assert!(done[stage] <= told[stage], "day {at}: {done:?} of {told:?}");
        }
        let number = at as u64 + 1;
        if number.is_multiple_of(2 * QUARTER_DAYS) || number == total_days {
            let row = [1, 2, 3].map(|stage| format!("{} | {}", told[stage], done[stage]));
            println!("| {number} | {} |", row.join(" | "));
        }
    }
    let infos: Vec<_> = world.store.list(&Default::default()).unwrap().map(Result::unwrap).collect();
    assert_eq!(infos.len() as u64, objects);
    assert!(infos.iter().any(|info| info.stage < Stage::Trace), "some are read often enough to stay");
    assert!(infos.iter().filter(|info| info.stage == Stage::Trace).count() as u64 > objects / 20);
    let overdue = infos.iter().filter(|info| info.next_decay_at.is_some_and(|due| due <= world.clock.now()));
    assert_eq!(overdue.count(), 0);
    let stored: u64 = infos.iter().map(|info| info.stored).sum();
    println!("{objects} objects: {} bytes at the start, {stored} after {YEARS} years", forecast.stored_now);
    if objects < 1_000 {
        world.check();
    } else {
        world.store.verify_history().unwrap();
    }
}
