//! Checks a whole table: every block's checksum, every entry's order, and all that the table says of itself.
//!
//! Nothing is taken from memory or caches: header, footer, properties, filter and indexes are read again, as each may have rotted since
//! the table was opened. A damaged block is reported and passed over; what would need it (counts, the tiling of the file) is then
//! not judged, so that one flipped bit is one problem and not ten.
//!
//! The blocks that the indexes name must *tile* the file: from the header to the footer each byte belongs to exactly one. So no byte
//! of a table escapes a checksum.

use super::block::BlockIter;
use super::filter::{TableFilter, hash_key};
use super::format::{BlockHandle, FOOTER_BYTES, Footer, HEADER_BYTES, Properties};
use super::table::Table;
use crate::error::{Error, Result};
use crate::types::{Kind, Tag, cmp_internal};
use bytes::Bytes;
use std::cmp::Ordering;

/// What a walk through a table comes upon.
pub(crate) enum Found<'a> {
    Problem(Error),
    Entry { key: &'a [u8], tag: Tag, value: Bytes },
}

impl Table {
    /// Walks through the whole table, in order. Memory: one block of each kind, the filter, and 16 bytes a block.
    pub(crate) fn verify(&self, visit: &mut dyn FnMut(Found<'_>)) {
        let footer = match self.read_footer() {
            Ok(footer) if footer == self.footer => footer,
            Ok(_) => return visit(Found::Problem(self.corruption(0, "its footer is not the one it had"))),
            Err(error) => return visit(Found::Problem(error)),
        };
        let mut walk = Walk {
            table: self,
            visit,
            extents: Vec::new(),
            filter: None,
            counted: Properties::counting(),
            last: None,
            is_whole: true,
        };
        walk.run(&footer);
    }
}

struct Walk<'a> {
    table: &'a Table,
    visit: &'a mut dyn FnMut(Found<'_>),
    /// Where each block begins and ends.
    extents: Vec<(u64, u64)>,
    filter: Option<TableFilter>,
    counted: Properties,
    last: Option<(Vec<u8>, Tag)>,
    /// No problem was found so far.
    is_whole: bool,
}

impl Walk<'_> {
    fn run(&mut self, footer: &Footer) {
        self.cover(footer.properties);
        match self.table.read_properties() {
            Ok(properties) if properties == self.table.properties => {}
            Ok(_) => self.problem(footer.properties.offset, "its properties are not the ones it had"),
            Err(error) => self.report(error),
        }
        if footer.filter.len > 0
            && let Some(bytes) = self.block(footer.filter)
        {
            self.filter = TableFilter::open(bytes);
            if self.filter.is_none() {
                self.problem(footer.filter.offset, "its filter makes no sense");
            }
        }
        self.ranges(footer.ranges);
        if footer.top_index.len > 0
            && let Some(top) = self.block(footer.top_index)
        {
            self.index(footer.top_index.offset, top, &mut |walk, handle| {
                let Some(partition) = walk.block(handle) else { return };
                walk.index(handle.offset, partition, &mut |walk, handle| walk.data(handle));
            });
        }
        if self.is_whole {
            self.check_tiling();
            self.check_properties();
        }
    }

    fn report(&mut self, error: Error) {
        self.is_whole = false;
        (self.visit)(Found::Problem(error));
    }

    fn problem(&mut self, offset: u64, what: &str) {
        self.report(self.table.corruption(offset, what));
    }

    fn cover(&mut self, handle: BlockHandle) {
        self.extents.push((handle.offset, handle.offset.saturating_add(u64::from(handle.len))));
    }

    fn block(&mut self, handle: BlockHandle) -> Option<Bytes> {
        self.cover(handle);
        let read: Result<Bytes> = self.table.read_entries(handle);
        read.map_err(|error| self.report(error)).ok()
    }

    fn ranges(&mut self, handle: BlockHandle) {
        if handle.len == 0 {
            return;
        }
        self.cover(handle);
        match self.table.read_ranges(handle) {
            Ok(ranges) if ranges == *self.table.ranges => {}
            Ok(_) => self.problem(handle.offset, "its range tombstones are not the ones it had"),
            Err(error) => self.report(error),
        }
    }

    /// Calls `child` for each block that an index names, which must end with the index entry's key.
    fn index(&mut self, offset: u64, index: Bytes, child: &mut dyn FnMut(&mut Self, BlockHandle)) {
        let mut iter = BlockIter::new(index);
        iter.seek_to_first();
        while let Some((key, tag)) = iter.key() {
            let problems = self.extents.len();
            match BlockHandle::decode(&iter.value()) {
                Some(handle) => child(self, handle),
                None => self.problem(offset, "an index entry makes no sense"),
            }
            let ends_with_key = self.last.as_ref().is_some_and(|(last, at)| last == key && *at == tag);
            if self.is_whole && problems < self.extents.len() && !ends_with_key {
                self.problem(offset, "an index entry's key is not the last of its block");
            }
            iter.next();
        }
        if iter.is_broken() {
            self.problem(offset, "a block's entries make no sense although its checksum holds");
        }
    }

    fn data(&mut self, handle: BlockHandle) {
        let Some(block) = self.block(handle) else { return };
        let mut iter = BlockIter::new(block);
        iter.seek_to_first();
        while let Some((key, tag)) = iter.key() {
            self.entry(handle.offset, key, tag, &iter.value());
            iter.next();
        }
        if iter.is_broken() {
            self.problem(handle.offset, "a block's entries make no sense although its checksum holds");
        }
    }

    fn entry(&mut self, offset: u64, key: &[u8], tag: Tag, value: &Bytes) {
        let follows = self
            .last
            .as_ref()
            .is_none_or(|(last, at)| cmp_internal((last, *at), (key, tag)) == Ordering::Less);
        if !follows {
            self.problem(offset, "a block's entries are out of order");
        }
        if matches!(tag.kind(), None | Some(Kind::RangeTombstone)) {
            self.problem(offset, "an entry is of an unknown kind");
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.may_contain(hash_key(key))) {
            self.problem(offset, "the filter denies a key that is there");
        }
        if self.last.is_none() {
            self.counted.smallest = Bytes::copy_from_slice(key);
        }
        self.counted.count(key, tag, value);
        let (last, at) = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        *at = tag;
        (self.visit)(Found::Entry { key, tag, value: value.clone() });
    }

    fn check_tiling(&mut self) {
        self.extents.sort_unstable();
        let mut position = HEADER_BYTES as u64;
        for (start, end) in std::mem::take(&mut self.extents) {
            if start != position {
                self.problem(position.min(start), "its blocks leave a gap, or overlap");
            }
            position = end;
        }
        if position != self.table.bytes - FOOTER_BYTES as u64 {
            self.problem(position, "its blocks leave a gap, or overlap");
        }
    }

    fn check_properties(&mut self) {
        let table = self.table;
        let said = &table.properties;
        let mut counted = std::mem::take(&mut self.counted);
        counted.largest = self.last.take().map(|(key, _)| key.into()).unwrap_or_default();
        counted.count_ranges(&table.ranges);
        // What its entries do not show.
        counted.keyspace = said.keyspace.clone();
        (counted.created_ms, counted.oldest_tombstone_ms) = (said.created_ms, said.oldest_tombstone_ms);
        if counted != *said {
            self.problem(table.footer.properties.offset, "its properties are not those of its entries");
        }
    }
}
