//! The one place where PatinaDB asks the machine for the time: of day for its objects, and how long for its codecs.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use patina_objects::{Clock, Timestamp};

/// The machine's wall clock, in milliseconds since 1970 UTC.
///
/// A machine whose clock stands before 1970 reads as 1970: objects then decay later than they should, never
/// earlier.
///
/// ```
/// use patinadb::{Clock, SystemClock, Timestamp};
///
/// assert!(SystemClock.now() > Timestamp(1_700_000_000_000));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that every other place is handed")]
    fn now(&self) -> Timestamp {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A stopwatch that holds codecs to their [`Limits::time_ms`](patina_codecs::Limits::time_ms). It runs on while the clock
/// that ages objects is set by hand: how long a transform takes has nothing to do with how old an object is.
#[expect(clippy::disallowed_methods, reason = "this is the clock that every other place is handed")]
pub(crate) fn stopwatch() -> patina_codecs::Clock {
    let start = Instant::now();
    Arc::new(move || start.elapsed())
}
