//! Writing the accesses that wait in memory into the rows.

use super::{Inner, ObjectStore, ROWS_PER_BATCH};
use crate::error::Result;
use crate::types::ObjectId;
use std::collections::HashSet;
use std::sync::Arc;

impl ObjectStore {
    /// Writes the accesses that wait in memory, in batches, without waiting for the disk. Ticks and closing do it too.
    ///
    /// # Errors
    /// Storage's; nothing that was not written is forgotten.
    pub fn flush_touches(&self) -> Result<()> {
        self.inner.flush_touches()
    }
}

impl Inner {
    pub(crate) fn flush_touches(&self) -> Result<()> {
        let _alone = self.flushing.lock();
        let policies = Arc::clone(&self.policies.read());
        for ids in self.touches.ids().chunks(ROWS_PER_BATCH) {
            let mut seen: HashSet<ObjectId> = HashSet::new();
            self.update_rows(ids, |id, row, _| {
                seen.insert(id);
                let half_life = policies.of(&row.policy, row.kind()).half_life;
                let Some(marks) = self.touches.take(id, half_life) else { return false };
                // The due index keeps its entry: an access only puts the next stage off, and the entry is a lower bound.
                row.effective_ms = row.effective().merge(marks.effective, half_life).to_row();
                row.accessed_at_ms = row.accessed_at_ms.max(marks.last_at.0);
                true
            })?;
            for id in ids {
                if seen.contains(id) { self.touches.written(*id) } else { self.touches.forget(*id) }
            }
        }
        Ok(())
    }
}
