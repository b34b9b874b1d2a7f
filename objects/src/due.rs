//! When each stage is due.
//!
//! ```text
//! due_k = max( e + after_k / rate,  created_at + min_retention,  stage entered + min_dwell )
//! ```
//!
//! The three terms are kept apart so that a person can be told which of them decides. For the purge, `after` is
//! `purge_after + grace`, and the dwell in the last stage is at least `grace`: an object that a late tick takes to its
//! trace is not purged by the same tick unless the owner set no grace.
//!
//! Invariants: due times rise with the stage; an access never brings one nearer (it only raises `e`); with no
//! minimum set, rate v is the same as a clock that runs v times faster since the last access.

use crate::clock::Timestamp;
use crate::heat::Effective;
use crate::policy::Policy;
use crate::types::Stage;

/// What of an object's life its due times depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Life {
    /// When this generation was put.
    pub created_at: Timestamp,
    /// The effective access time.
    pub effective: Effective,
    /// The stage it is in.
    pub stage: Stage,
    /// When it came there.
    pub stage_entered_at: Timestamp,
    /// How fast it ages.
    pub rate: f64,
}

/// When one stage is due, with its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueTime {
    /// The stage to go to.
    pub stage: Stage,
    /// The latest of the terms.
    pub at: Timestamp,
    /// `e + after / rate`.
    pub by_heat: Timestamp,
    /// `created_at + min_retention`.
    pub by_retention: Timestamp,
    /// `stage_entered_at + min_dwell`.
    pub by_dwell: Timestamp,
}

/// The due times of every stage that the policy has after the object's own, in order.
pub fn due_times(policy: &Policy, life: &Life) -> Vec<DueTime> {
    let later = Stage::ALL.into_iter().filter(|stage| *stage > life.stage);
    later.filter_map(|stage| due_time(policy, life, stage)).collect()
}

fn due_time(policy: &Policy, life: &Life, stage: Stage) -> Option<DueTime> {
    let after = policy.after(stage)?;
    let (after, dwell) = match stage {
        Stage::Purged => (after.saturating_add(policy.grace), policy.min_dwell.max(policy.grace)),
        _ => (after, policy.min_dwell),
    };
    let by_heat = life.effective.after(after, life.rate);
    let by_retention = life.created_at.after(policy.min_retention);
    let by_dwell = life.stage_entered_at.after(dwell);
    Some(DueTime { stage, at: by_heat.max(by_retention).max(by_dwell), by_heat, by_retention, by_dwell })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::days;
    use proptest::prelude::*;
    use std::time::Duration;

    fn life(stage: Stage, e_day: u64) -> Life {
        let effective = Effective::born(Timestamp(0).after(days(e_day)), Duration::ZERO);
        Life {
            created_at: Timestamp(0),
            effective,
            stage,
            stage_entered_at: Timestamp(0).after(days(e_day)),
            rate: 1.0,
        }
    }

    fn policy() -> Policy {
        Policy {
            warm_after: Some(days(30)),
            cold_after: Some(days(180)),
            trace_after: None,
            purge_after: Some(days(365)),
            grace: days(10),
            ..Policy::new("p")
        }
    }

    #[test]
    fn left_out_stages_are_left_out_and_grace_belongs_to_the_purge() {
        let dues = due_times(&policy(), &life(Stage::Hot, 0));
        let found: Vec<(Stage, u64)> = dues.iter().map(|due| (due.stage, due.at.0 / 86_400_000)).collect();
        assert_eq!(found, [(Stage::Warm, 30), (Stage::Cold, 180), (Stage::Purged, 375)]);
    }

    #[test]
    fn the_last_stage_lasts_at_least_the_grace() {
        let late = Life { stage_entered_at: Timestamp(0).after(days(1000)), ..life(Stage::Cold, 0) };
        let dues = due_times(&policy(), &late);
        assert_eq!(dues[0].at, Timestamp(0).after(days(1010)));
    }

    #[test]
    fn retention_and_dwell_put_it_off() {
        let policy = Policy { min_retention: days(50), min_dwell: days(20), ..policy() };
        let dues = due_times(
            &policy,
            &Life { stage_entered_at: Timestamp(0).after(days(40)), ..life(Stage::Hot, 0) },
        );
        assert_eq!(dues[0].at, Timestamp(0).after(days(60)));
        assert_eq!(dues[0].by_retention, Timestamp(0).after(days(50)));
        assert_eq!(dues[0].by_heat, Timestamp(0).after(days(30)));
    }

    proptest! {
        #[test]
        fn due_times_rise_with_the_stage(e_day in 0u64..2000, entered in 0u64..2000, grace in 0u64..100, rate in 0.1f64..10.0) {
            let policy = Policy { grace: days(grace), trace_after: Some(days(200)), ..policy() };
            let life = Life { stage_entered_at: Timestamp(0).after(days(entered)), rate, ..life(Stage::Hot, e_day) };
            let dues = due_times(&policy, &life);
            prop_assert!(dues.windows(2).all(|pair| pair[0].at <= pair[1].at && pair[0].stage < pair[1].stage));
        }
    }
}
