//! A cursor over a table, forward and backward: top index, partition, data block.

use super::block::BlockIter;
use super::table::{Caching, Table};
use crate::error::Result;
use crate::types::Tag;
use bytes::Bytes;
use std::sync::Arc;

/// Goes on in the direction of its last seek: [`Self::next`] after [`Self::seek`], [`Self::prev`] after [`Self::seek_before`].
pub(crate) struct TableIter {
    table: Arc<Table>,
    caching: Caching,
    top: Option<BlockIter>,
    partition: Option<BlockIter>,
    data: Option<BlockIter>,
}

impl TableIter {
    /// Not yet anywhere: seek first.
    pub(crate) fn new(table: Arc<Table>, caching: Caching) -> Self {
        Self { table, caching, top: None, partition: None, data: None }
    }

    pub(crate) fn key(&self) -> Option<(&[u8], Tag)> {
        self.data.as_ref()?.key()
    }

    pub(crate) fn value(&self) -> Bytes {
        self.data.as_ref().map(BlockIter::value).unwrap_or_default()
    }

    /// Memory of the blocks that it is in, and of keys.
    pub(crate) fn held_bytes(&self) -> usize {
        [&self.top, &self.partition, &self.data].into_iter().flatten().map(BlockIter::held_bytes).sum()
    }

    /// Goes to the first entry at or after an internal key.
    pub(crate) fn seek(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        self.enter(|block| block.seek(user_key, tag), |block| block.seek(user_key, tag))?;
        self.skip_forward()
    }

    /// Goes to the last entry before an internal key, or of all.
    pub(crate) fn seek_before(&mut self, before: Option<(&[u8], Tag)>) -> Result<()> {
        let Some((user_key, tag)) = before else {
            self.enter(BlockIter::seek_to_last, BlockIter::seek_to_last)?;
            return self.skip_backward();
        };
        // The child that the first index entry at or after the key names has what is before the key, unless all of it comes after.
        let choose = |index: &mut BlockIter| {
            index.seek(user_key, tag);
            if index.key().is_none() {
                index.seek_to_last();
            }
        };
        self.enter(choose, |data| data.seek_before(user_key, tag))?;
        self.skip_backward()
    }

    pub(crate) fn next(&mut self) -> Result<()> {
        if let Some(data) = &mut self.data {
            data.next();
            self.table.check(data)?;
        }
        self.skip_forward()
    }

    pub(crate) fn prev(&mut self) -> Result<()> {
        if let Some(data) = &mut self.data {
            data.prev();
            self.table.check(data)?;
        }
        self.skip_backward()
    }

    /// Goes down from the top: `choose` picks an entry of each index, `find` one of the data block.
    fn enter(&mut self, choose: impl Fn(&mut BlockIter), find: impl FnOnce(&mut BlockIter)) -> Result<()> {
        (self.partition, self.data) = (None, None);
        let top = match self.top.take() {
            Some(top) => Some(top),
            None => self.table.top_index(self.caching)?,
        };
        let Some(mut top) = top else { return Ok(()) };
        choose(&mut top);
        self.table.check(&top)?;
        let top = self.top.insert(top);
        if top.key().is_none() {
            return Ok(());
        }
        let partition = self.partition.insert(self.table.child(top, self.caching)?);
        choose(partition);
        self.table.check(partition)?;
        if partition.key().is_some() {
            let data = self.data.insert(self.table.child(partition, self.caching)?);
            find(data);
            self.table.check(data)?;
        }
        Ok(())
    }

    fn skip_forward(&mut self) -> Result<()> {
        self.skip_exhausted(BlockIter::next, BlockIter::seek_to_first)
    }

    fn skip_backward(&mut self) -> Result<()> {
        self.skip_exhausted(BlockIter::prev, BlockIter::seek_to_last)
    }

    /// While the data block is at its end, enters the next one in this direction; while the partition is, the next partition.
    fn skip_exhausted(&mut self, step: fn(&mut BlockIter), begin: fn(&mut BlockIter)) -> Result<()> {
        while self.key().is_none() {
            self.data = None;
            let (Some(top), Some(partition)) = (&mut self.top, &mut self.partition) else { return Ok(()) };
            step(partition);
            self.table.check(partition)?;
            if partition.key().is_none() {
                step(top);
                self.table.check(top)?;
                if top.key().is_none() {
                    self.partition = None;
                    return Ok(());
                }
                *partition = self.table.child(top, self.caching)?;
                begin(partition);
                self.table.check(partition)?;
            }
            if partition.key().is_some() {
                let data = self.data.insert(self.table.child(partition, self.caching)?);
                begin(data);
                self.table.check(data)?;
            }
        }
        Ok(())
    }
}
