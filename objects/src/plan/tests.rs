use super::*;
use crate::clock::days;
use crate::rows::HoldRow;
use std::time::Duration;

const NOW: Timestamp = Timestamp(10_000 * 86_400_000);

fn ago(count: u64) -> u64 {
    NOW.0 - days(count).as_millis() as u64
}

fn row(stage: Stage, age_days: u64) -> ObjectRow {
    ObjectRow {
        stage: stage.number().into(),
        rate: 1.0,
        fidelity: 1.0,
        created_at_ms: ago(age_days),
        effective_ms: ago(age_days) as f64,
        stage_entered_ms: ago(age_days),
        ..Default::default()
    }
}

fn policy() -> Policy {
    Policy {
        warm_after: Some(days(10)),
        cold_after: Some(days(20)),
        trace_after: Some(days(30)),
        purge_after: Some(days(40)),
        grace: Duration::ZERO,
        ..Policy::new("p")
    }
}

fn verdict(row: &ObjectRow, policy: &Policy) -> Verdict {
    Subject { row, policy, effective: row.effective() }.verdict(NOW)
}

fn forced(row: &ObjectRow, policy: &Policy) -> Forced {
    Subject { row, policy, effective: row.effective() }.forced(NOW)
}

fn goes_to(verdict: Verdict) -> Option<Stage> {
    match verdict {
        Verdict::Move { to, .. } => Some(to),
        _ => None,
    }
}

#[test]
fn a_late_object_goes_to_its_deepest_due_stage_but_not_to_the_purge() {
    assert_eq!(verdict(&row(Stage::Hot, 9), &policy()), Verdict::Wait(NOW.after(days(1))));
    assert_eq!(goes_to(verdict(&row(Stage::Hot, 10), &policy())), Some(Stage::Warm));
    assert_eq!(goes_to(verdict(&row(Stage::Hot, 25), &policy())), Some(Stage::Cold));
    assert_eq!(goes_to(verdict(&row(Stage::Hot, 400), &policy())), Some(Stage::Trace));
    assert_eq!(goes_to(verdict(&row(Stage::Trace, 400), &policy())), Some(Stage::Purged));
}

#[test]
fn purging_is_opt_in() {
    let policy = Policy { purge_after: None, ..policy() };
    assert_eq!(verdict(&row(Stage::Trace, 4000), &policy), Verdict::Blocked(Block::LastStage));
    assert_eq!(forced(&row(Stage::Trace, 4000), &policy), Forced::Stay);
}

#[test]
fn what_protects_an_object_protects_it_in_both_kinds_of_tick() {
    let hold = HoldRow { id: 1, reason: "case".into(), until_ms: None };
    let protected = [
        (ObjectRow { pinned: true, ..row(Stage::Hot, 400) }, Block::Pinned),
        (ObjectRow { holds: vec![hold], ..row(Stage::Hot, 400) }, Block::Held),
        (ObjectRow { at_floor: true, ..row(Stage::Hot, 400) }, Block::Floor),
        (ObjectRow { attempts: ATTEMPTS_MAX, ..row(Stage::Hot, 400) }, Block::Failing),
    ];
    for (row, block) in protected {
        assert_eq!(verdict(&row, &policy()), Verdict::Blocked(block));
        assert_eq!(forced(&row, &policy()), Forced::Stay);
        assert_eq!(
            Subject { row: &row, policy: &policy(), effective: row.effective() }.next_visit(NOW),
            None
        );
    }
    let retained = Policy { min_retention: days(500), ..policy() };
    assert_eq!(verdict(&row(Stage::Hot, 400), &retained), Verdict::Wait(NOW.after(days(100))));
    assert_eq!(forced(&row(Stage::Hot, 400), &retained), Forced::Stay);
}

#[test]
fn a_hold_with_an_end_brings_the_object_back_at_its_end() {
    let hold = |id, until: Timestamp| HoldRow { id, reason: String::new(), until_ms: Some(until.0) };
    let holds = vec![hold(1, NOW.after(days(5))), hold(2, NOW.after(days(3))), hold(3, Timestamp(1))];
    let held = ObjectRow { holds, ..row(Stage::Hot, 400) };
    assert_eq!(verdict(&held, &policy()), Verdict::Wait(NOW.after(days(5))));
    assert_eq!(forced(&held, &policy()), Forced::Stay);
    let ended = ObjectRow { holds: vec![hold(1, NOW)], ..row(Stage::Hot, 400) };
    assert_eq!(goes_to(verdict(&ended, &policy())), Some(Stage::Trace));
}

#[test]
fn a_floor_is_never_purged_through() {
    let policy = Policy { fidelity_floor: 0.1, ..policy() };
    assert_eq!(verdict(&row(Stage::Trace, 400), &policy), Verdict::Blocked(Block::Floor));
    assert_eq!(forced(&row(Stage::Trace, 400), &policy), Forced::Stay);
}

#[test]
fn the_row_of_a_purged_object_is_forgotten_in_time() {
    let forgetting = Policy { forget_after: Some(days(7)), ..policy() };
    assert_eq!(verdict(&row(Stage::Purged, 6), &forgetting), Verdict::Wait(NOW.after(days(1))));
    assert_eq!(verdict(&row(Stage::Purged, 7), &forgetting), Verdict::Forget { due: NOW });
    assert_eq!(verdict(&row(Stage::Purged, 7), &policy()), Verdict::Blocked(Block::LastStage));
}

#[test]
fn forced_progress_follows_the_rate() {
    let with = |rate, progress, stage| ObjectRow { rate, progress, ..row(stage, 0) };
    assert_eq!(forced(&with(0.5, 0.0, Stage::Hot), &policy()), Forced::Gain { progress: 0.5 });
    assert_eq!(
        forced(&with(0.5, 0.5, Stage::Hot), &policy()),
        Forced::Move { to: Stage::Warm, progress: 0.0 }
    );
    assert_eq!(
        forced(&with(2.5, 0.0, Stage::Hot), &policy()),
        Forced::Move { to: Stage::Cold, progress: 0.5 }
    );
    // Three stages are left before the purge; the surplus is carried.
    assert_eq!(
        forced(&with(10.0, 0.0, Stage::Hot), &policy()),
        Forced::Move { to: Stage::Trace, progress: 7.0 }
    );
    assert_eq!(
        forced(&with(10.0, 7.0, Stage::Trace), &policy()),
        Forced::Move { to: Stage::Purged, progress: 16.0 }
    );
    let mut tenth = row(Stage::Hot, 0);
    tenth.rate = 0.1;
    let ticks = (1..).find(|_| match forced(&tenth, &policy()) {
        Forced::Gain { progress } => {
            tenth.progress = progress;
            false
        }
        other => other == Forced::Move { to: Stage::Warm, progress: 0.0 },
    });
    assert_eq!(ticks, Some(10));
}

#[test]
fn left_out_stages_are_skipped() {
    let policy = Policy { warm_after: None, ..policy() };
    assert_eq!(forced(&row(Stage::Hot, 0), &policy), Forced::Move { to: Stage::Cold, progress: 0.0 });
    let subject_row = row(Stage::Hot, 0);
    let subject = Subject { row: &subject_row, policy: &policy, effective: subject_row.effective() };
    assert_eq!(subject.fallbacks(Stage::Trace), [Stage::Trace, Stage::Cold]);
}
