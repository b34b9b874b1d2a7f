//! Policies: for which objects, when each stage comes, how strongly each stage degrades.
//!
//! A policy is a plain struct with a sane default and a [`Policy::validate`] that lists every problem. A stage whose
//! period is `None` is left out: a policy with only `cold_after` takes an object from hot to cold in one transform.
//! Purging is opt-in, as is forgetting the row of a purged object.
//!
//! Durations count from the effective access time (see [`crate::Effective`]), so each of them means "so long after
//! the last read, and longer the more it was used before". They must increase with the stage.

mod builtin;
mod matching;
#[cfg(test)]
mod tests;

pub(crate) use builtin::{builtin_name, is_builtin};
pub(crate) use matching::{PolicySet, Target};

use crate::clock::days;
use crate::error::{Error, Result};
use crate::types::Stage;
use globset::Glob;
use patina_codecs::{Kind, Params};
use std::time::Duration;

/// Which new objects a policy takes by itself. Empty: only objects that name the policy.
///
/// An object must meet every condition that is set. Of several policies that match, the most specific wins: the
/// longest name pattern first, then a type, then a size, then the tenant; a policy of the owner's before a built-in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppliesTo {
    /// One of these types; empty is any type.
    pub kinds: Vec<Kind>,
    /// A glob over the whole name, such as `photos/**/*.jpg`; `*` does not cross a `/`.
    pub name_glob: Option<String>,
    /// At least this many bytes.
    pub size_min_bytes: Option<u64>,
    /// At most this many bytes.
    pub size_max_bytes: Option<u64>,
}

impl AppliesTo {
    /// Every object of this type.
    pub fn kind(kind: Kind) -> Self {
        Self { kinds: vec![kind], ..Self::default() }
    }

    /// Whether no condition is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a set of objects decays.
///
/// ```
/// use patina_objects::{AppliesTo, Policy, days};
/// let policy = Policy {
///     applies_to: AppliesTo { name_glob: Some("ci/**".into()), ..Default::default() },
///     warm_after: Some(days(3)),
///     cold_after: None,
///     trace_after: Some(days(30)),
///     purge_after: Some(days(90)),
///     ..Policy::new("ci artifacts")
/// };
/// policy.validate().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The name objects refer to it by.
    pub name: String,
    /// Only objects of this tenant are taken by `applies_to`; `None` is all tenants.
    pub tenant: Option<String>,
    /// Which new objects it takes by itself.
    pub applies_to: AppliesTo,
    /// From hot to warm.
    pub warm_after: Option<Duration>,
    /// To cold.
    pub cold_after: Option<Duration>,
    /// To trace.
    pub trace_after: Option<Duration>,
    /// To purged; `None` never purges.
    pub purge_after: Option<Duration>,
    /// Added to `purge_after`; also how long an object stays in its last stage before it may be purged, however late
    /// the tick.
    pub grace: Duration,
    /// How long the row of a purged object stays; `None` for ever.
    pub forget_after: Option<Duration>,
    /// The time in which heat halves.
    pub half_life: Duration,
    /// Added to the effective access time of a new object.
    pub birth_credit: Duration,
    /// Nothing is degraded before this age, not by a forced tick either.
    pub min_retention: Duration,
    /// The least time in a stage, except in forced ticks.
    pub min_dwell: Duration,
    /// How long an original that is kept stays after the first loss; zero keeps none.
    pub restore_window: Duration,
    /// Whether every object's original is kept beside the degraded bytes for `restore_window`, also without its own wish.
    pub keep_original: bool,
    /// New objects get a hold that stands until it is released.
    pub legal_hold: bool,
    /// At most one read in this time counts as an access.
    pub access_cooldown: Duration,
    /// The weight of a bulk read, 0 to 1; a single read weighs 1.
    pub scan_weight: f64,
    /// What the objects are worth when bytes are short.
    pub weight: f64,
    /// Objects are never degraded below this fidelity, 0 to 1. Above 0 they are never purged.
    pub fidelity_floor: f64,
    /// How strongly each stage degrades.
    pub params: Params,
    /// Rises with each change; set by the store.
    pub version: u64,
}

impl Policy {
    const PERIOD_MAX: Duration = days(1000 * 365);

    /// A policy with the defaults of [`Kind::Other`] that no object takes by itself.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tenant: None,
            applies_to: AppliesTo::default(),
            warm_after: Some(days(60)),
            cold_after: Some(days(365)),
            trace_after: Some(days(3 * 365)),
            purge_after: None,
            grace: days(7),
            forget_after: None,
            half_life: days(30),
            birth_credit: Duration::ZERO,
            min_retention: Duration::ZERO,
            min_dwell: Duration::ZERO,
            restore_window: days(30),
            keep_original: false,
            legal_hold: false,
            access_cooldown: Duration::from_secs(60),
            scan_weight: 0.25,
            weight: 1.0,
            fidelity_floor: 0.0,
            params: Params::default(),
            version: 0,
        }
    }

    /// The period after which objects go to `stage`, without grace; `None` if the policy leaves the stage out.
    pub fn after(&self, stage: Stage) -> Option<Duration> {
        match stage {
            Stage::Hot => None,
            Stage::Warm => self.warm_after,
            Stage::Cold => self.cold_after,
            Stage::Trace => self.trace_after,
            Stage::Purged => self.purge_after,
        }
    }

    /// Whether this is one of the policies that are always there, one a type.
    pub fn is_builtin(&self) -> bool {
        is_builtin(&self.name)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with every problem in the message.
    pub fn validate(&self) -> Result<()> {
        let problems = self.problems();
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!("policy '{}' cannot be used: {}", self.name, problems.join("; "))))
    }

    /// Every problem, one sentence each; empty if there is none.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.check_name(&mut problems);
        self.check_periods(&mut problems);
        self.check_numbers(&mut problems);
        self.check_applies_to(&mut problems);
        if let Err(invalid) = self.params.validate() {
            problems.extend(invalid.problems);
        }
        if self.keep_original && self.restore_window.is_zero() {
            problems.push("keep_original needs a restore_window: how long to keep it".to_owned());
        }
        problems
    }

    fn check_name(&self, problems: &mut Vec<String>) {
        let len = self.name.len();
        if len == 0 || len > 128 || self.name.contains(char::is_control) {
            problems.push("the name must have 1 to 128 bytes and no control characters".to_owned());
        }
    }

    fn check_periods(&self, problems: &mut Vec<String>) {
        let stages = [
            ("warm_after", self.warm_after),
            ("cold_after", self.cold_after),
            ("trace_after", self.trace_after),
            ("purge_after", self.purge_after),
        ];
        let given: Vec<(&str, Duration)> =
            stages.iter().filter_map(|&(name, period)| Some((name, period?))).collect();
        for pair in given.windows(2) {
            if let [(earlier, a), (later, b)] = pair
                && b <= a
            {
                problems.push(format!("{later} must be longer than {earlier}"));
            }
        }
        if self.forget_after.is_some() && self.purge_after.is_none() {
            problems.push(
                "forget_after needs purge_after: only the rows of purged objects are forgotten".to_owned(),
            );
        }
        let others = [
            ("grace", self.grace),
            ("half_life", self.half_life),
            ("birth_credit", self.birth_credit),
            ("min_retention", self.min_retention),
            ("min_dwell", self.min_dwell),
            ("restore_window", self.restore_window),
            ("access_cooldown", self.access_cooldown),
        ];
        let forget = self.forget_after.map(|period| ("forget_after", period));
        for (name, period) in given.into_iter().chain(others).chain(forget) {
            if period > Self::PERIOD_MAX {
                problems.push(format!("{name} must be at most 1000 years"));
            }
        }
        if self.half_life < Duration::from_millis(1) {
            problems.push("half_life must be at least a millisecond".to_owned());
        }
    }

    fn check_numbers(&self, problems: &mut Vec<String>) {
        for (name, share) in [("scan_weight", self.scan_weight), ("fidelity_floor", self.fidelity_floor)] {
            if !(0.0..=1.0).contains(&share) {
                problems.push(format!("{name} must be from 0 to 1"));
            }
        }
        if !self.weight.is_finite() || self.weight <= 0.0 {
            problems.push("weight must be above 0 and finite".to_owned());
        }
    }

    fn check_applies_to(&self, problems: &mut Vec<String>) {
        if let Some(glob) = &self.applies_to.name_glob
            && let Err(error) = Glob::new(glob)
        {
            problems.push(format!("the name pattern '{glob}' cannot be read: {}", error.kind()));
        }
        if let (Some(min), Some(max)) = (self.applies_to.size_min_bytes, self.applies_to.size_max_bytes)
            && min > max
        {
            problems.push("size_min_bytes is above size_max_bytes".to_owned());
        }
    }
}
