//! The budget of bytes a second for merges of tables and of bins.
//!
//! A token bucket turned round: instead of counting tokens, it remembers when all that was written so far would be paid for at the
//! allowed rate. Who writes on books its bytes at the end of that and waits until its turn, so the budget holds for all threads together.
//! A tenth of a second's worth may be written at once.

use parking_lot::Mutex;

/// See the module.
pub(crate) struct Pacer {
    bytes_per_s_max: Option<u64>,
    paid_until_us: Mutex<u64>,
}

const BURST_US: u64 = 100_000;

impl Pacer {
    pub(crate) fn new(bytes_per_s_max: Option<u64>) -> Self {
        Self { bytes_per_s_max, paid_until_us: Mutex::new(0) }
    }

    /// Books bytes; gives the microseconds to wait before writing on.
    pub(crate) fn book(&self, bytes: u64, now_us: u64) -> u64 {
        let Some(rate) = self.bytes_per_s_max.filter(|_| bytes > 0) else { return 0 };
        let cost_us = u128::from(bytes) * 1_000_000 / u128::from(rate.max(1));
        let mut paid_until_us = self.paid_until_us.lock();
        let from_us = (*paid_until_us).max(now_us.saturating_sub(BURST_US));
        *paid_until_us = from_us.saturating_add(u64::try_from(cost_us).unwrap_or(u64::MAX));
        paid_until_us.saturating_sub(now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_budget_nobody_waits() {
        assert_eq!(Pacer::new(None).book(u64::MAX, 0), 0);
    }

    #[test]
    fn the_bytes_of_all_stay_within_the_budget() {
        let pacer = Pacer::new(Some(1_000_000));
        // A byte costs a microsecond; the burst is 100,000 of them.
        assert_eq!(pacer.book(100_000, 5_000_000), 0);
        assert_eq!(pacer.book(30_000, 5_000_000), 30_000);
        assert_eq!(pacer.book(30_000, 5_010_000), 50_000);
        // Nobody wrote for a while: that is not saved up beyond the burst.
        assert_eq!(pacer.book(150_000, 60_000_000), 50_000);
    }
}
