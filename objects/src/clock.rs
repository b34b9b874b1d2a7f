//! Time comes in as a parameter.
//!
//! Decay is a function of time, so time must be as testable as any other input: nothing below the facade asks the
//! machine. A [`Clock`] is given to the store once; tests and simulations give a [`ManualClock`] and let years pass
//! in a loop.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moment: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// A moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The latest moment that can come, the last of the year 9999: what is due [`Timestamp::NEVER`] is not due then either. Whoever names a later one
    /// has counted in other units.
    pub(crate) const LAST: Self = Self(253_402_300_799_999);

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `duration` later; [`Timestamp::NEVER`] if that is out of range.
    ///
    /// ```
    /// use patina_objects::{Timestamp, days};
    /// assert_eq!(Timestamp(5).after(days(1)), Timestamp(86_400_005));
    /// ```
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A duration of whole days, as policies are usually written.
pub const fn days(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(86_400))
}

/// A duration in whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where the store learns the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Whether it moves only as its owner moves it, so that no jump of it is an accident.
    fn is_hand_set(&self) -> bool {
        false
    }
}

/// A clock that stands still until it is told to move. Clones share the same hands.
///
/// ```
/// use patina_objects::{Clock, ManualClock, Timestamp, days};
/// let clock = ManualClock::new(Timestamp(0));
/// clock.advance(days(1));
/// assert_eq!(clock.now(), Timestamp(86_400_000));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    now_ms: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now_ms: Arc::new(AtomicU64::new(now.0)) }
    }

    /// Sets the hands to `now`, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.now_ms.store(now.0, Ordering::SeqCst);
    }

    /// Moves the hands forward.
    pub fn advance(&self, by: Duration) {
        self.now_ms.fetch_add(millis(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }

    fn is_hand_set(&self) -> bool {
        true
    }
}
