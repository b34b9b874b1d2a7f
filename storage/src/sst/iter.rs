//! A forward cursor over a table: top index, partition, data block.

use super::block::BlockIter;
use super::table::{Caching, Table};
use crate::error::Result;
use crate::types::Tag;
use bytes::Bytes;
use std::sync::Arc;

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

    /// Goes to the first entry at or after an internal key.
    pub(crate) fn seek(&mut self, user_key: &[u8], tag: Tag) -> Result<()> {
        (self.partition, self.data) = (None, None);
        let top = match self.top.take() {
            Some(top) => top,
            None => self.table.top_index(self.caching)?,
        };
        let top = self.top.insert(top);
        top.seek(user_key, tag);
        self.table.check(top)?;
        if top.key().is_none() {
            return Ok(());
        }
        let mut partition = self.table.child(top, self.caching)?;
        partition.seek(user_key, tag);
        self.table.check(&partition)?;
        if partition.key().is_some() {
            let mut data = self.table.child(&partition, self.caching)?;
            data.seek(user_key, tag);
            self.table.check(&data)?;
            self.data = Some(data);
        }
        self.partition = Some(partition);
        self.skip_exhausted()
    }

    pub(crate) fn next(&mut self) -> Result<()> {
        if let Some(data) = &mut self.data {
            data.next();
            self.table.check(data)?;
        }
        self.skip_exhausted()
    }

    /// While the data block is at its end, enters the next one; while the partition is, the next partition.
    fn skip_exhausted(&mut self) -> Result<()> {
        while self.key().is_none() {
            self.data = None;
            let (Some(top), Some(partition)) = (&mut self.top, &mut self.partition) else { return Ok(()) };
            partition.next();
            self.table.check(partition)?;
            if partition.key().is_none() {
                top.next();
                self.table.check(top)?;
                if top.key().is_none() {
                    self.partition = None;
                    return Ok(());
                }
                let mut next = self.table.child(top, self.caching)?;
                next.seek_to_first();
                self.table.check(&next)?;
                *partition = next;
            }
            if partition.key().is_some() {
                let mut data = self.table.child(partition, self.caching)?;
                data.seek_to_first();
                self.table.check(&data)?;
                self.data = Some(data);
            }
        }
        Ok(())
    }
}
