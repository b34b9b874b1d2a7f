//! A file's bytes: what programs see, what is durable, and what happened in between.
//!
//! A page cache writes back what it likes, when it likes, in any order. So a power loss finds each block of the disk as it was at some
//! moment since the last sync, each at one of its own, and the file's length as of another: a block that was not written back under a
//! length that was is zeros. Example: 'a' is written over blocks 0 and 1, then 'b' over block 1; a crash may leave any of `..`, `.a`,
//! `.b`, `a.`, `aa`, `ab`, cut at any of the lengths that the file had.

use super::dice::Dice;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

/// What a system writes back as a whole, and marks clean when that fails.
const PAGE_BYTES: usize = 4096;

#[derive(Default)]
pub(super) struct Content {
    live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// Since the last sync, oldest first.
    unsynced: Vec<Change>,
    /// A sync failed: what was unsynced then is not written back by a later one.
    has_lost: bool,
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(target) = content.get_mut(*offset..end) {
                    target.copy_from_slice(bytes);
                }
            }
            Self::Truncate { len } => content.resize(*len, 0),
        }
    }

    /// The file's length after it.
    fn len_after(&self, before: usize) -> usize {
        match self {
            Self::Write { offset, bytes } => before.max(offset + bytes.len()),
            Self::Truncate { len } => *len,
        }
    }

    /// Does to one block, which begins at `start` and has zeros behind the file's end, what it does to the file.
    fn apply_to_block(&self, start: usize, block: &mut [u8]) {
        let end = start + block.len();
        match self {
            Self::Write { offset, bytes } => {
                let (from, to) = ((*offset).max(start), (offset + bytes.len()).min(end));
                if from < to
                    && let Some(target) = block.get_mut(from - start..to - start)
                    && let Some(source) = bytes.get(from - offset..to - offset)
                {
                    target.copy_from_slice(source);
                }
            }
            Self::Truncate { len } => {
                let from = len.saturating_sub(start).min(block.len());
                block.get_mut(from..).unwrap_or_default().fill(0);
            }
        }
    }
}

impl Content {
    /// All of it durable.
    pub(super) fn new(bytes: Arc<Vec<u8>>) -> Self {
        Self { live: bytes.clone(), durable: bytes, unsynced: Vec::new(), has_lost: false }
    }

    pub(super) fn live(&self) -> &Arc<Vec<u8>> {
        &self.live
    }

    pub(super) fn durable(&self) -> &Arc<Vec<u8>> {
        &self.durable
    }

    fn change(&mut self, change: Change) {
        change.apply(Arc::make_mut(&mut self.live));
        self.unsynced.push(change);
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(Change::Write { offset, bytes: bytes.to_vec() });
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len != self.live.len() {
            self.change(Change::Truncate { len });
        }
    }

    pub(super) fn sync(&mut self) {
        if self.has_lost {
            let mut durable = self.durable.to_vec();
            durable.resize(self.live.len(), 0);
            for change in &self.unsynced {
                let Change::Write { offset, bytes } = change else { continue };
                let from = offset / PAGE_BYTES * PAGE_BYTES;
                let to = (offset + bytes.len()).next_multiple_of(PAGE_BYTES).min(durable.len());
                let pages = durable.get_mut(from..to).zip(self.live.get(from..to));
                pages.into_iter().for_each(|(target, source)| target.copy_from_slice(source));
            }
            self.durable = Arc::new(durable);
        } else if !self.unsynced.is_empty() {
            // Not a share of what is live: the next write would copy all of the file.
            let durable = Arc::make_mut(&mut self.durable);
            self.unsynced.iter().for_each(|change| change.apply(durable));
        }
        self.unsynced.clear();
    }

    /// A sync fails: the system takes what it could not write for written.
    pub(super) fn lose_unsynced(&mut self) {
        self.has_lost |= !self.unsynced.is_empty();
        self.unsynced.clear();
    }

    /// Changes all there is, as rot does.
    pub(super) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.live.to_vec();
        change(&mut bytes);
        *self = Self::new(Arc::new(bytes));
    }

    /// What a power loss leaves by chance. O(unsynced changes × blocks that they touch).
    pub(super) fn survivors(&self, dice: &mut Dice) -> Arc<Vec<u8>> {
        if self.unsynced.is_empty() {
            return self.durable.clone();
        }
        let durable_len = self.durable.len();
        let mut lens = vec![durable_len];
        for change in &self.unsynced {
            lens.push(change.len_after(lens.last().copied().unwrap_or_default()));
        }
        let len = lens.get(dice.moment(self.unsynced.len())).copied().unwrap_or(durable_len);
        let mut bytes = self.durable.to_vec();
        bytes.resize(len, 0);
        let block_bytes = dice.block_bytes;
        for (n, block) in bytes.chunks_mut(block_bytes).enumerate() {
            let changes = self.unsynced.iter().take(dice.moment(self.unsynced.len()));
            changes.for_each(|change| change.apply_to_block(n * block_bytes, block));
        }
        Arc::new(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn images(content: &Content) -> BTreeSet<Vec<u8>> {
        let image = |seed| {
            let mut dice = Dice::new(seed);
            dice.block_bytes = 2;
            content.survivors(&mut dice).to_vec()
        };
        (0..2000).map(image).collect()
    }

    #[test]
    fn each_block_is_as_of_a_moment_of_its_own_and_so_is_the_length() {
        let mut content = Content::default();
        content.write(0, b"aaaa");
        content.write(2, b"bb");
        let expected = ["", "\0\0\0\0", "\0\0aa", "\0\0bb", "aa\0\0", "aaaa", "aabb"];
        assert_eq!(images(&content), expected.iter().map(|image| image.as_bytes().to_vec()).collect());
    }

    #[test]
    fn what_was_cut_off_may_come_back_until_the_cut_is_synced() {
        let mut content = Content::new(Arc::new(b"aabb".to_vec()));
        content.truncate(2);
        assert_eq!(images(&content), [b"aa".to_vec(), b"aa\0\0".to_vec(), b"aabb".to_vec()].into());
        content.sync();
        assert_eq!(images(&content), [b"aa".to_vec()].into());
    }

    #[test]
    fn after_a_failed_sync_a_later_one_brings_only_what_came_later() {
        let mut content = Content::default();
        content.write(0, &[1; PAGE_BYTES]);
        content.lose_unsynced();
        content.write(PAGE_BYTES, &[2; 10]);
        content.sync();
        let durable = [vec![0; PAGE_BYTES], vec![2; 10]].concat();
        assert!(**content.durable() == durable && content.live()[..PAGE_BYTES] == [1; PAGE_BYTES]);
        // Written again it is: the whole page.
        content.write(7, b"x");
        content.sync();
        assert!(content.durable() == content.live());
    }
}
