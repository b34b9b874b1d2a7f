//! Counting what a round does.

use crate::model::{TickProgress, TickReport};
use crate::rows::ObjectRow;
use crate::types::Stage;

impl TickReport {
    /// Counts an object that went from one row to another.
    pub(super) fn count_move(&mut self, before: &ObjectRow, after: &ObjectRow) {
        self.moved += 1;
        self.bytes_before += before.stored;
        self.bytes_after += after.stored;
        if after.stage() == Stage::Purged {
            self.purged += 1;
        }
        if let Some(moves) = self.by_stage.get_mut(after.stage().index()) {
            moves.objects += 1;
            moves.bytes_before += before.stored;
            moves.bytes_after += after.stored;
        }
    }

    pub(super) fn progress(&self) -> TickProgress {
        TickProgress {
            moved: self.moved,
            bytes_before: self.bytes_before,
            bytes_after: self.bytes_after,
            files_done: self.files_compacted,
        }
    }
}
