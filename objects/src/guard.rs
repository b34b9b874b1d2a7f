//! The guard against clocks that jump, and against decay that runs away.
//!
//! Decay trusts the clock with data that cannot be brought back, and clocks are wrong at times: a battery is empty, a
//! time server is broken, somebody mistypes a year. So the store remembers the latest time it has seen go by, with every
//! commit. When the clock stands further after that than [`StoreOptions::clock_jump_max`] allows, no round of decay runs
//! by the clock until somebody confirms it. A round that is told its time needs no clock, and is not stopped.
//!
//! Nothing learns from a clock that is under suspicion: what is written meanwhile leaves the remembered time alone, so
//! that a put does not make the jump look like the past.
//!
//! The second guard is a limit: a natural round degrades at most [`StoreOptions::degraded_bytes_per_hour_max`] in an hour
//! by the decay clock, over all processes, and leaves the rest for later. Whatever goes wrong, it goes slowly.
//!
//! Invariants: the remembered time never goes back; the spent bytes of an hour are written in the batch that spends them.

use crate::clock::{Timestamp, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::model::StoreOptions;
use crate::rows::{self, SpentRow};
use crate::store::Spaces;
use parking_lot::Mutex;
use patina_storage::WriteBatch;
use std::sync::atomic::{AtomicU64, Ordering};

const CLOCK_SEEN: &[u8] = b"clock seen";
const SPENT: &[u8] = b"degraded bytes";
const HOUR_MS: u64 = 3_600_000;

/// What of the hour's bytes is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    since_ms: u64,
    bytes: u64,
}

/// Both guards' memory.
pub(crate) struct Guard {
    /// The latest trusted time; 0 while nothing was ever committed, and then there is nothing to lose by trusting the clock.
    seen_ms: AtomicU64,
    spent: Mutex<Spent>,
}

impl Guard {
    /// Reads what the store remembers.
    pub(crate) fn load(spaces: &Spaces) -> Result<Self> {
        let seen = spaces.meta.get(CLOCK_SEEN)?.and_then(|bytes| crate::keys::last_number(&bytes));
        let spent = match spaces.meta.get(SPENT)? {
            Some(bytes) => {
                let row: SpentRow = rows::decode(&bytes, "the degraded bytes")?;
                Spent { since_ms: row.since_ms, bytes: row.bytes }
            }
            None => Spent::default(),
        };
        Ok(Self { seen_ms: AtomicU64::new(seen.unwrap_or(0)), spent: Mutex::new(spent) })
    }

    /// How far the clock stands after what is known, if that is suspicious. `reached` is what decay was told before.
    fn jump(&self, options: &StoreOptions, now: Timestamp, reached: Timestamp) -> Option<(Timestamp, u64)> {
        let known = reached.max(Timestamp(self.seen_ms.load(Ordering::SeqCst)));
        if known == Timestamp(0) {
            return None;
        }
        let jump_ms = now.0.saturating_sub(known.0);
        let is_suspicious = options.clock_jump_max.is_some_and(|max| jump_ms > millis(max));
        is_suspicious.then_some((known, jump_ms))
    }

    /// Refuses a clock that jumped.
    pub(crate) fn check(&self, options: &StoreOptions, now: Timestamp, reached: Timestamp) -> Result<()> {
        let Some((known, jump_ms)) = self.jump(options, now, reached) else { return Ok(()) };
        let days = jump_ms / (24 * HOUR_MS);
        Err(Error::new(
            ErrorKind::ClockJump,
            format!(
                "the clock stands {days} days after the last time that was seen ({known}), so nothing decays: if it is \
                 right, confirm it with `patina tick --confirm-clock` or TICK CONFIRM CLOCK; if not, set it right"
            ),
        ))
    }

    /// Adds what the clock shows to a batch, unless it is under suspicion. Gives the time to [`Guard::trust`] once the batch
    /// is written.
    pub(crate) fn note(
        &self,
        batch: &mut WriteBatch,
        spaces: &Spaces,
        options: &StoreOptions,
        now: Timestamp,
        reached: Timestamp,
    ) -> Option<Timestamp> {
        if self.jump(options, now, reached).is_some() || now.0 <= self.seen_ms.load(Ordering::SeqCst) {
            return None;
        }
        batch.put(&spaces.meta, CLOCK_SEEN.to_vec(), now.0.to_be_bytes().to_vec());
        Some(now)
    }

    /// As [`Guard::note`], whatever the clock shows: somebody vouches for it.
    pub(crate) fn confirm(&self, batch: &mut WriteBatch, spaces: &Spaces, now: Timestamp) {
        batch.put(&spaces.meta, CLOCK_SEEN.to_vec(), now.0.to_be_bytes().to_vec());
    }

    /// Takes from what may still be degraded in this hour; `false` if it is not enough. An object that alone is larger than
    /// the limit goes when its hour comes, by itself.
    pub(crate) fn spend(&self, options: &StoreOptions, now: Timestamp, bytes: u64) -> bool {
        let Some(limit) = options.degraded_bytes_per_hour_max else { return true };
        let mut spent = self.spent.lock();
        if now.0 >= spent.since_ms.saturating_add(HOUR_MS) {
            *spent = Spent { since_ms: now.0, bytes: 0 };
        }
        let after = spent.bytes.saturating_add(bytes);
        if spent.bytes > 0 && after > limit {
            return false;
        }
        spent.bytes = after;
        true
    }

    /// Adds what is spent to the batch that spends it.
    pub(crate) fn note_spent(&self, batch: &mut WriteBatch, spaces: &Spaces, options: &StoreOptions) {
        if options.degraded_bytes_per_hour_max.is_some() {
            let Spent { since_ms, bytes } = *self.spent.lock();
            batch.put(&spaces.meta, SPENT.to_vec(), rows::encode(&SpentRow { since_ms, bytes }));
        }
    }

    pub(crate) fn trust(&self, now: Timestamp) {
        self.seen_ms.fetch_max(now.0, Ordering::SeqCst);
    }
}
