//! Contents that several objects share.
//!
//! A content is freed when the last object lets go of it, so what shares one goes together or not at all: the objects are one
//! candidate, under the id of the first of them, with the others as its followers. Its bytes count once, and what it loses is
//! what all of them lose.
//!
//! They can go to a stage that each of them may go to. A single one that may not (it is held, its policy has no such stage, it
//! keeps the content as its original, it belongs to a tenant whose budget it is not) keeps the content, and the others would
//! lose their fidelity for nothing: all are blocked by *shared content*.
//!
//! # One candidate of many
//!
//! Of object i, let r_i be weight · rate of use, now, and f_i(k) the fidelity at stage k. Together they lose Σ r_i · Δf_i. With
//! R = Σ r_i and the mean fidelity F(k) = Σ r_i · f_i(k) / R that is R · ΔF: the loss of one object with the rate R and the
//! fidelity F. It gets the half-life of the first object, and the effective access time that makes its rate R at the time of
//! asking. An index is filled and used at one time, so it does not matter that half-lives may differ.
//!
//! Worked example: two photographs of the same 1000 bytes, one with heat 1, one with heat 3, τ equal: one candidate of 1000
//! bytes with heat 4. Each byte of it costs as much as one of an object that is read four times as often as the first.
//!
//! # Complexity
//!
//! A walk over all rows judges each shared content once: O(objects) in all, 24 bytes of memory a shared content while it
//! lasts. What more than [`HOLDERS_MAX`] objects share is left alone: it goes in one batch.

use super::survey::{Scene, Survey, beginning};
use super::{Candidate, Left, Protection, Step};
use crate::clock::{Timestamp, millis};
use crate::error::Result;
use crate::heat::Effective;
use crate::policy::Policy;
use crate::rows::ObjectRow;
use crate::types::{ContentHash, ObjectId, Stage};
use patina_codecs::Params;
use std::collections::HashMap;
use std::sync::Arc;

/// Objects that may go together.
const HOLDERS_MAX: usize = 4096;

/// An object of those that share a content.
struct Holder {
    id: ObjectId,
    row: ObjectRow,
    policy: Arc<Policy>,
    effective: Effective,
}

impl Survey {
    /// All objects that share a content, as one candidate; why not, if not.
    pub(super) fn judge_together(
        &self,
        scene: &Scene<'_>,
        content: ContentHash,
        tenant: Option<&str>,
    ) -> Result<std::result::Result<Candidate, Protection>> {
        let Some(holders) = holders(scene, content, tenant)? else { return Ok(Err(Protection::Shared)) };
        let mut common: Option<Vec<Stage>> = None;
        for holder in &holders {
            let subject = scene.subject(holder.id, &holder.row, &holder.policy);
            let stages = match subject.protection(scene.now) {
                None => subject.stages_for_budget(scene.now).unwrap_or_default(),
                Some(_) => Vec::new(),
            };
            match &mut common {
                Some(common) => common.retain(|stage| stages.contains(stage)),
                None => common = Some(stages),
            }
        }
        let Some(first) = holders.first() else { return Ok(Err(Protection::Shared)) };
        let (rate, shares) = rates(&holders, scene.now);
        let mean = |fidelity: &dyn Fn(&Holder) -> f64| -> f64 {
            holders.iter().zip(&shares).map(|(holder, share)| share * fidelity(holder)).sum()
        };
        let (stage, bytes) = (first.row.stage(), first.row.form_stored());
        let now = Left { stage, bytes, fidelity: mean(&|holder| holder.row.fidelity) };
        let ahead = common.unwrap_or_default().into_iter().map(|stage| Left {
            stage,
            bytes: self.left_together(&holders, stage),
            fidelity: mean(&|holder| self.usual().left(&holder.row, stage).1),
        });
        let ahead: Vec<Left> = ahead.collect();
        if ahead.iter().all(|left| left.bytes >= now.bytes) {
            return Ok(Err(Protection::Shared));
        }
        let (half_life, weight) = (first.policy.half_life, 1.0);
        let tau_ms = millis(half_life).max(1) as f64;
        let effective = Effective::from_row(scene.now.as_millis() as f64 + tau_ms * (rate + tau_ms.log2()));
        let followers = holders.iter().skip(1).map(|holder| holder.id).collect();
        Ok(Ok(Candidate { id: first.id, followers, weight, half_life, effective, now, ahead }))
    }

    /// Bytes that are expected at a stage: one content for each way of getting there, one trace for each object.
    fn left_together(&self, holders: &[Holder], stage: Stage) -> u64 {
        let mut ways: Vec<(&str, &Params)> = Vec::new();
        let counted = holders.iter().filter(|holder| {
            let way = (holder.row.media_type.as_str(), &holder.policy.params);
            let is_new = stage >= Stage::Trace || !ways.contains(&way);
            if is_new && stage < Stage::Trace {
                ways.push(way);
            }
            is_new
        });
        counted.fold(0, |sum: u64, holder| sum.saturating_add(self.usual().left(&holder.row, stage).0))
    }
}

/// Those that refer to a content at the time of a scene; `None` if one of them makes that it stays in any case.
fn holders(scene: &Scene<'_>, content: ContentHash, tenant: Option<&str>) -> Result<Option<Vec<Holder>>> {
    let ids = scene.inner.referrers(&scene.snapshot, content)?;
    if ids.len() > HOLDERS_MAX {
        return Ok(None);
    }
    let mut holders = Vec::with_capacity(ids.len());
    for id in ids {
        let found = match scene.inner.row(Some(&scene.snapshot), id) {
            Err(error) if error.is_damage() => return Ok(None),
            found => found?,
        };
        let Some((row, policy)) = found.and_then(|found| scene.seen(id, found.row)) else { continue };
        if row.content() != Some(content) {
            if row.refers_to(content) {
                return Ok(None);
            }
            continue;
        }
        if tenant.is_some_and(|tenant| tenant != row.tenant) {
            return Ok(None);
        }
        let effective = scene.subject(id, &row, &policy).effective;
        holders.push(Holder { id, row, policy, effective });
    }
    Ok(Some(holders))
}

/// log2 of the rate at which all together are used, weights included, and the share of each in it.
fn rates(holders: &[Holder], now: Timestamp) -> (f64, Vec<f64>) {
    let log2_rate = |holder: &Holder| {
        let (weight, half_life, effective) =
            (holder.policy.weight, holder.policy.half_life, holder.effective);
        // A step that frees one byte for a whole point of fidelity: its score is the logarithm of the rate.
        Step { weight, half_life, effective, fidelity_lost: 1.0, bytes_freed: 1 }.score(now)
    };
    let rates: Vec<f64> = holders.iter().map(log2_rate).collect();
    let highest = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !highest.is_finite() {
        return (highest, vec![1.0 / rates.len().max(1) as f64; rates.len()]);
    }
    let sum: f64 = rates.iter().map(|rate| (rate - highest).exp2()).sum();
    let all = highest + sum.log2();
    (all, rates.iter().map(|rate| (rate - all).exp2()).collect())
}

/// What a walk finds out about an object.
pub(crate) enum Judged {
    /// It may go, with its followers.
    May(Candidate),
    /// It may go with another one that was seen before.
    Follows,
    Not(Protection),
}

/// One walk over all rows, on which each shared content is judged once.
pub(crate) struct Walk<'a> {
    survey: &'a Survey,
    scene: &'a Scene<'a>,
    tenant: Option<&'a str>,
    /// By the beginnings of contents: what keeps it.
    shared: HashMap<u64, Option<Protection>>,
}

impl<'a> Walk<'a> {
    /// For the budget of a tenant, or of all.
    pub(crate) fn new(survey: &'a Survey, scene: &'a Scene<'a>, tenant: Option<&'a str>) -> Self {
        Self { survey, scene, tenant, shared: HashMap::new() }
    }

    /// The next row of the walk.
    pub(crate) fn judge(&mut self, id: ObjectId, row: &ObjectRow, policy: &Policy) -> Result<Judged> {
        let shared = row.content().map(beginning).filter(|_| self.survey.shares(row));
        match shared.and_then(|content| self.shared.get(&content)) {
            Some(Some(by)) => {
                // Its own reason is of more use than that of the others.
                let own = self.scene.subject(id, row, policy).budget_block(self.scene.now);
                return Ok(Judged::Not(own.unwrap_or(*by)));
            }
            Some(None) => return Ok(Judged::Follows),
            None => {}
        }
        let judged = self.survey.judge(self.scene, id, row, policy, self.tenant)?;
        if let Some(content) = shared {
            // Whatever stops one of them stops all the others.
            let by = judged.as_ref().err().map(|_| Protection::Shared);
            self.shared.insert(content, by);
        }
        Ok(match judged {
            Ok(candidate) => Judged::May(candidate),
            Err(by) => Judged::Not(by),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::days;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(20_000 * 86_400_000);

    fn holder(id: u64, idle_days: u64, tau_days: u64, weight: f64) -> Holder {
        let policy = Policy { half_life: days(tau_days), weight, ..Policy::new("p") };
        let accessed = Timestamp(NOW.0 - idle_days * 86_400_000);
        let effective = Effective::born(accessed, Duration::ZERO);
        Holder { id: ObjectId(id), row: ObjectRow::default(), policy: Arc::new(policy), effective }
    }

    #[test]
    fn rates_add_up_whatever_the_half_lives() {
        // Idle for one half-life each: half a read in 30 days, and half of two in 10.
        let (all, shares) = rates(&[holder(1, 30, 30, 1.0), holder(2, 10, 10, 2.0)], NOW);
        let day_ms = 86_400_000.0;
        let expected: f64 = 0.5 / (30.0 * day_ms) + 1.0 / (10.0 * day_ms);
        assert!((all - expected.log2()).abs() < 1e-9, "{all}");
        assert!((shares[0] - 1.0 / 7.0).abs() < 1e-9 && (shares[1] - 6.0 / 7.0).abs() < 1e-9, "{shares:?}");
    }

    #[test]
    fn rates_too_small_for_a_number_still_have_an_order() {
        let (long_ago, _) = rates(&[holder(1, 15_000, 1, 1.0), holder(2, 15_000, 1, 1.0)], NOW);
        let (longer_ago, shares) = rates(&[holder(1, 16_000, 1, 1.0)], NOW);
        assert!(long_ago > longer_ago && longer_ago.is_finite() && shares == [1.0]);
        let never = Holder { effective: Effective::NEVER, ..holder(1, 0, 1, 1.0) };
        assert_eq!(rates(&[never], NOW), (f64::NEG_INFINITY, vec![1.0]));
    }
}
