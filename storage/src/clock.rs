//! The clock, as a trait: nothing in storage asks the operating system for the time but [`SystemClock`].
//!
//! Two times are kept apart, as they answer different questions. *Wall time* says when something was written, is stored in
//! tables, and may jump when somebody sets the clock. *Monotonic time* says how long something took, means nothing
//! across restarts, and never goes back.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where storage learns the time. See [`crate::Options::clock`].
///
/// ```
/// use patina_storage::{Clock, ManualClock, Options};
/// use std::sync::Arc;
///
/// /// Stands a day ahead.
/// #[derive(Debug)]
/// struct Ahead(Arc<dyn Clock>);
///
/// impl Clock for Ahead {
///     fn now_ms(&self) -> u64 {
///         self.0.now_ms() + 86_400_000
///     }
///     fn monotonic_us(&self) -> u64 {
///         self.0.monotonic_us()
///     }
/// }
///
/// let options = Options { clock: Arc::new(Ahead(Arc::new(ManualClock::new(5)))), ..Options::default() };
/// assert_eq!(options.clock.now_ms(), 86_400_005);
/// ```
pub trait Clock: Debug + Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Microseconds since some moment of this process; never goes back.
    fn monotonic_us(&self) -> u64;
}

/// The operating system's clock.
///
/// ```
/// use patina_storage::{Clock, SystemClock};
/// let clock = SystemClock::default();
/// assert!(clock.now_ms() > 0 && clock.monotonic_us() <= clock.monotonic_us());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    begun: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where storage asks for the time")]
    fn default() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where storage asks for the time")]
    fn now_ms(&self) -> u64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is told to move; for tests and simulations. Clones share the same hands.
///
/// ```
/// use patina_storage::{Clock, ManualClock};
/// let clock = ManualClock::new(1_000);
/// clock.advance_ms(5);
/// assert_eq!((clock.now_ms(), clock.monotonic_us()), (1_005, 5_000));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    hands: Arc<Hands>,
}

#[derive(Debug, Default)]
struct Hands {
    now_ms: AtomicU64,
    monotonic_us: AtomicU64,
}

impl ManualClock {
    /// A clock whose wall time is `now_ms`.
    ///
    /// ```
    /// use patina_storage::{Clock, ManualClock};
    /// assert_eq!(ManualClock::new(1_000).now_ms(), 1_000);
    /// ```
    pub fn new(now_ms: u64) -> Self {
        let clock = Self::default();
        clock.hands.now_ms.store(now_ms, Ordering::SeqCst);
        clock
    }

    /// Moves both times forward.
    ///
    /// ```
    /// use patina_storage::{Clock, ManualClock};
    /// let clock = ManualClock::new(1_000);
    /// let same = clock.clone();
    /// clock.advance_ms(5);
    /// assert_eq!((same.now_ms(), same.monotonic_us()), (1_005, 5_000));
    /// ```
    pub fn advance_ms(&self, by_ms: u64) {
        self.hands.now_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.hands.monotonic_us.fetch_add(by_ms.saturating_mul(1000), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.hands.now_ms.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.hands.monotonic_us.load(Ordering::SeqCst)
    }
}
