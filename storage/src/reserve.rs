//! Room ahead of what is appended to a file, so that syncing it is cheap.
//!
//! Problem: a sync of a file that grew has to bring its new length into the file system's journal, and waits for whatever others have there, and for
//! the kernel's thread that writes it. So a file that is synced in small portions gets zeros ahead of its records, which the next records
//! replace: such a sync is a write and a flush of the disk's cache (docs/storage.md, "Trade-offs").
//!
//! A reader of the file must take zeros for its end. Whoever finishes a file gives the room back; after a crash it stays until the file goes or is
//! cut. Room is never needed: without it the file grows as any.

use crate::vfs::VfsFile;

const BYTES_MIN: u64 = 32 << 10;
const BYTES_MAX: u64 = 1 << 20;

/// The room of one file.
#[derive(Default)]
pub(crate) enum Reserve {
    /// None is made.
    #[default]
    Off,
    /// The file reaches to here.
    Until(u64),
}

impl Reserve {
    /// After an append: makes more room once the last is used up, as much again as there is of the file, within bounds. Not if more than
    /// a quarter of that is unsynced: who writes much between syncs gains nothing by it.
    pub(crate) fn keep(&mut self, file: &dyn VfsFile, position: u64, synced: u64) {
        let Self::Until(end) = *self else { return };
        let bytes = position.clamp(BYTES_MIN, BYTES_MAX);
        if position < end || position.saturating_sub(synced) > bytes / 4 {
            return;
        }
        // A failure matters to nobody: zeros behind the last record, or none, mean the same. But a disk without room is not asked again.
        let made = file.write_all_at(&vec![0; bytes as usize], position);
        *self = made.map_or(Self::Off, |()| Self::Until(position + bytes));
    }

    /// Cuts off what is not used, and makes no more.
    pub(crate) fn give_back(&mut self, file: &dyn VfsFile, position: u64) {
        if let Self::Until(end) = std::mem::take(self)
            && end > position
        {
            // A failure leaves zeros behind the last record, which mean nothing.
            let _ = file.truncate(position);
        }
    }
}
