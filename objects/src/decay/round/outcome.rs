//! What came of the objects of a round: counts, who is left alone, who failed.

use super::Round;
use crate::error::Result;
use crate::rows::ObjectRow;
use crate::types::ObjectId;
use std::collections::BTreeMap;

/// The pause after a first failure; doubled with each further one.
const BACKOFF_MS: u64 = 3_600_000;

impl Round<'_> {
    pub(in crate::decay) fn count_move(&self, before: &ObjectRow, after: &ObjectRow) {
        self.state.lock().report.count_move(before, after);
    }

    pub(in crate::decay) fn count_blocked(&self) {
        self.state.lock().report.blocked += 1;
    }

    pub(in crate::decay) fn count_dropped_original(&self) {
        self.state.lock().report.originals_dropped += 1;
    }

    pub(in crate::decay) fn count_forgotten(&self) {
        self.state.lock().report.forgotten += 1;
    }

    /// Somebody was quicker: the object is theirs for this round.
    pub(in crate::decay) fn leave_alone(&self, id: ObjectId) {
        let mut state = self.state.lock();
        if state.settled.insert(id) {
            state.report.left_alone += 1;
        }
    }

    pub(in crate::decay) fn look_again(&self, id: ObjectId) {
        self.state.lock().again.push(id);
    }

    /// Notes a failed transition, to be written when no compaction is on the way.
    pub(in crate::decay) fn fail(&self, id: ObjectId, generation: u64, message: String) {
        let mut state = self.state.lock();
        if state.settled.insert(id) {
            state.report.failed += 1;
            state.failures.push((id, generation, message));
        }
    }

    pub(super) fn write_failures(&self) -> Result<()> {
        let noted = std::mem::take(&mut self.state.lock().failures);
        let failures: BTreeMap<ObjectId, (u64, String)> =
            noted.into_iter().map(|(id, generation, message)| (id, (generation, message))).collect();
        let ids: Vec<ObjectId> = failures.keys().copied().collect();
        let policies = self.inner.policies.read();
        self.inner.update_rows(&ids, |id, row, _| {
            // What was overwritten meanwhile has not failed.
            let Some((_, message)) =
                failures.get(&id).filter(|(generation, _)| *generation == row.generation)
            else {
                return false;
            };
            let pause_ms = BACKOFF_MS << row.attempts.min(16);
            row.attempts += 1;
            row.retry_at_ms = self.now.0.saturating_add(pause_ms);
            row.error = Some(message.clone());
            self.inner.schedule(row, &policies, self.now);
            true
        })
    }
}
