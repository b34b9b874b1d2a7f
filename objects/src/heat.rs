//! Heat is one timestamp.
//!
//! With half-life τ, the heat of an object is the sum over its accesses of `w · 2^(−(t − a)/τ)`. Keeping the accesses
//! would cost memory without bound, keeping the sum would need an update for every object at every moment. So the sum
//! is kept as the *effective access time* `e`: the moment at which one single access would have given the same heat,
//! `H(t) = 2^((e − t)/τ)`. It changes only when an object is accessed:
//!
//! ```text
//! access at a with weight w:   e ← τ · log2( 2^(e/τ) + w · 2^(a/τ) )
//! ```
//!
//! computed as the larger exponent plus a correction, so that nothing overflows. This is LRFU (Lee et al. 2001) in
//! forward-decay form (Cormode et al. 2009): τ → 0 is LRU, τ → ∞ is LFU.
//!
//! Invariants: an access never lowers `e`; accesses merge in any order; among objects of one τ the order by `e` does
//! not change with time.
//!
//! Worked example, τ = 30 days: created on day 0, `e` = day 0. Read on day 30: the old access has halved, so the heat
//! is 1 + ½ and `e = 30 + 30 · log2(1.5)` = day 47.55. What was to happen 30 days after the last access now happens on
//! day 77.55 instead of day 60: the history of use has bought 17.55 days.

use crate::clock::{Timestamp, millis};
use std::time::Duration;

/// The effective access time, in milliseconds since 1970. A fraction keeps merging exact enough to be associative to
/// the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Effective(f64);

impl Effective {
    /// Never accessed: the neutral element of [`Effective::merge`].
    pub const NEVER: Self = Self(f64::NEG_INFINITY);

    /// One access at `at` of weight 1, made `credit` later than it was.
    pub fn born(at: Timestamp, credit: Duration) -> Self {
        Self(at.0 as f64 + millis(credit) as f64)
    }

    /// One access alone. A weight of zero is no access.
    pub fn access(at: Timestamp, weight: f64, half_life: Duration) -> Self {
        if weight.is_nan() || weight <= 0.0 {
            return Self::NEVER;
        }
        Self(at.0 as f64 + tau_ms(half_life) * weight.log2())
    }

    /// The accesses of both together. Commutative, associative, never less than either.
    ///
    /// ```
    /// use patina_objects::{Effective, Timestamp, days};
    /// let old = Effective::born(Timestamp(0), days(0));
    /// let new = Effective::access(Timestamp(0), 1.0, days(30));
    /// // Doubling the heat buys exactly one half-life.
    /// assert_eq!(old.merge(new, days(30)).as_timestamp(), Timestamp(30 * 86_400_000));
    /// ```
    pub fn merge(self, other: Self, half_life: Duration) -> Self {
        let (low, high) = if self.0 <= other.0 { (self.0, other.0) } else { (other.0, self.0) };
        if low == f64::NEG_INFINITY {
            return Self(high);
        }
        let tau = tau_ms(half_life);
        Self(high + tau * ((low - high) / tau).exp2().ln_1p() * std::f64::consts::LOG2_E)
    }

    /// The heat at `now`: 1 for an object accessed once, just now; halved every half-life.
    pub fn heat(self, now: Timestamp, half_life: Duration) -> f64 {
        ((self.0 - now.0 as f64) / tau_ms(half_life)).exp2()
    }

    /// The moment `period / rate` after this one, rounded up to the millisecond.
    pub(crate) fn after(self, period: Duration, rate: f64) -> Timestamp {
        // `as` saturates, so what is out of range is never due or due at once.
        Timestamp((self.0 + millis(period) as f64 / rate).ceil() as u64)
    }

    /// Rounded down to the millisecond.
    pub fn as_timestamp(self) -> Timestamp {
        Timestamp(self.0 as u64)
    }

    pub(crate) fn from_row(ms: f64) -> Self {
        Self(ms)
    }

    pub(crate) fn to_row(self) -> f64 {
        self.0
    }
}

/// A half-life below a millisecond would divide by nothing; policies refuse it, rows may have been damaged.
fn tau_ms(half_life: Duration) -> f64 {
    millis(half_life).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::days;
    use proptest::prelude::*;

    const DAY_MS: f64 = 86_400_000.0;

    #[test]
    fn the_worked_example_holds() {
        let born = Effective::born(Timestamp(0), Duration::ZERO);
        let read = Effective::access(Timestamp(0).after(days(30)), 1.0, days(30));
        let e = born.merge(read, days(30));
        assert!((e.0 / DAY_MS - 47.5489).abs() < 1e-3, "{}", e.0 / DAY_MS);
        assert!((e.heat(Timestamp(0).after(days(30)), days(30)) - 1.5).abs() < 1e-9);
        assert_eq!(e.after(days(30), 1.0).since(Timestamp(0)).as_secs() / 86_400, 77);
    }

    #[test]
    fn far_apart_and_extreme_values_stay_finite() {
        let old = Effective::born(Timestamp(0), Duration::ZERO);
        let new = Effective::access(Timestamp(u64::MAX / 2), 1.0, Duration::from_millis(1));
        assert_eq!(old.merge(new, Duration::from_millis(1)), new);
        assert_eq!(Effective::access(Timestamp(5), 0.0, days(1)), Effective::NEVER);
        assert_eq!(Effective::access(Timestamp(5), f64::NAN, days(1)), Effective::NEVER);
        assert_eq!(old.merge(Effective::NEVER, days(1)), old);
    }

    fn accesses() -> impl Strategy<Value = Vec<(u64, f64)>> {
        prop::collection::vec((0u64..100_000_000_000, prop::sample::select(vec![0.25, 1.0, 3.0])), 1..12)
    }

    fn fold(accesses: &[(u64, f64)], tau: Duration) -> f64 {
        let merge =
            |e: Effective, &(at, w): &(u64, f64)| e.merge(Effective::access(Timestamp(at), w, tau), tau);
        accesses.iter().fold(Effective::NEVER, merge).0
    }

    proptest! {
        #[test]
        fn it_is_the_sum_of_decayed_accesses(accesses in accesses(), tau_days in 1u64..100) {
            let tau = days(tau_days);
            let now = 100_000_000_000u64;
            let sum: f64 = accesses
                .iter()
                .map(|&(at, w)| w * (-((now - at) as f64) / (tau_days as f64 * DAY_MS)).exp2())
                .sum();
            let heat = Effective(fold(&accesses, tau)).heat(Timestamp(now), tau);
            prop_assert!((heat - sum).abs() <= 1e-6 * sum, "{heat} against {sum}");
        }

        #[test]
        fn accesses_merge_in_any_order(accesses in accesses(), tau_days in 1u64..100, cut: prop::sample::Index) {
            let tau = days(tau_days);
            let (left, right) = accesses.split_at(cut.index(accesses.len()));
            let halves = Effective(fold(right, tau)).merge(Effective(fold(left, tau)), tau).0;
            prop_assert!((fold(&accesses, tau) - halves).abs() < 1.0);
        }

        #[test]
        fn an_access_never_lowers_it(e in 0u64..1 << 42, at in 0u64..1 << 42, w in 0.0f64..4.0, tau_ms in 1u64..1 << 40) {
            let tau = Duration::from_millis(tau_ms);
            let before = Effective(e as f64);
            let access = Effective::access(Timestamp(at), w, tau);
            prop_assert!(before.merge(access, tau) >= before);
            prop_assert!(before.merge(access, tau) >= access);
        }
    }
}
