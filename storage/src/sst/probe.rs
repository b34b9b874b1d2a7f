//! Looking up many keys of one table, in ascending order: neighbours share index partitions and blocks, and the filter is asked for once.

use super::block::BlockIter;
use super::filter::{TableFilter, hash_key};
use super::table::{Caching, Table};
use crate::error::Result;
use crate::types::{Seqno, Tag, cmp_internal};
use bytes::Bytes;
use std::cmp::Ordering;

/// Each key that is asked for must be greater than the one before.
pub(crate) struct Probe<'a> {
    table: &'a Table,
    filter: Option<TableFilter>,
    /// Each names the block below; where the last key that was asked for would be. The top is not there if the table has no entries.
    top: Option<BlockIter>,
    partition: Option<BlockIter>,
    data: Option<Bytes>,
}

/// Whether the block that an index's cursor names reaches as far as an internal key: then the key can be nowhere else.
fn reaches(index: &BlockIter, user_key: &[u8], tag: Tag) -> bool {
    index.key().is_some_and(|last| cmp_internal(last, (user_key, tag)) != Ordering::Less)
}

impl<'a> Probe<'a> {
    pub(crate) fn new(table: &'a Table) -> Result<Self> {
        let (filter, top) = (table.filter()?, table.top_index(Caching::Use)?);
        Ok(Self { table, filter, top, partition: None, data: None })
    }

    /// As [`Table::get`].
    pub(crate) fn get(&mut self, user_key: &[u8], seqno: Seqno) -> Result<Option<(Tag, Bytes)>> {
        if self.filter.as_ref().is_some_and(|filter| !filter.may_contain(hash_key(user_key))) {
            return Ok(None);
        }
        let tag = Tag::seek(seqno);
        let Some(top) = &mut self.top else { return Ok(None) };
        if !reaches(top, user_key, tag) {
            (self.partition, self.data) = (None, None);
            top.seek(user_key, tag);
            self.table.check(top)?;
            if top.key().is_none() {
                return Ok(None);
            }
        }
        let partition = match self.partition.take() {
            Some(partition) => partition,
            None => self.table.child(top, Caching::Use)?,
        };
        let partition = self.partition.insert(partition);
        if !reaches(partition, user_key, tag) {
            self.data = None;
            partition.seek(user_key, tag);
            self.table.check(partition)?;
            if partition.key().is_none() {
                return Ok(None);
            }
        }
        let data = match self.data.take() {
            Some(data) => data,
            None => self.table.child_block(partition, Caching::Use)?,
        };
        self.table.get_in(self.data.insert(data), user_key, tag)
    }
}
