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
/// A portion that is small whatever the room.
const PORTION_BYTES: u64 = 16 << 10;

/// The room of one file.
#[derive(Default)]
pub(crate) enum Reserve {
    /// None is made.
    #[default]
    Off,
    /// Some, if the file is synced in small portions.
    On(Room),
}

pub(crate) struct Room {
    /// The file reaches to here.
    end: u64,
    /// What of the file was synced when somebody looked last, and how much the last sync was for.
    synced: u64,
    portion: u64,
}

impl Reserve {
    /// For a file of which all is synced.
    pub(crate) fn on(position: u64) -> Self {
        Self::On(Room { end: position, synced: position, portion: 0 })
    }

    /// After an append: makes more room once the last is used up, as much again as there is of the file, within bounds. Not if the last sync, or the
    /// next, is for more than an eighth of that: who writes much between syncs gains nothing by it.
    pub(crate) fn keep(&mut self, file: &dyn VfsFile, position: u64, synced: u64) {
        let Self::On(room) = self else { return };
        if synced > room.synced {
            (room.portion, room.synced) = (synced - room.synced, synced);
        }
        let bytes = position.clamp(BYTES_MIN, BYTES_MAX);
        let portion = room.portion.max(position.saturating_sub(room.synced));
        if position < room.end || portion > PORTION_BYTES.max(bytes / 8) {
            return;
        }
        // A failure matters to nobody: zeros behind the last record, or none, mean the same. But a disk without room is not asked again.
        match file.write_all_at(&vec![0; bytes as usize], position) {
            Ok(()) => room.end = position + bytes,
            Err(_) => *self = Self::Off,
        }
    }

    /// Cuts off what is not used, and makes no more.
    pub(crate) fn give_back(&mut self, file: &dyn VfsFile, position: u64) {
        if let Self::On(Room { end, .. }) = std::mem::take(self)
            && end > position
        {
            // A failure leaves zeros behind the last record, which mean nothing.
            let _ = file.truncate(position);
        }
    }
}
