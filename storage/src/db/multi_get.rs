//! Looking up many keys at once.
//!
//! The keys are sorted, and every memtable and table is asked once for all of them that are still open: keys that are neighbours share index
//! partitions and data blocks, and a filter is asked for once a table. All are read at one snapshot.

use super::read::blob_file_is_missing;
use super::{Keyspace, Snapshot};
use crate::error::Result;
use crate::sst::{Probe, Table};
use crate::types::{KeyspaceId, Kind, Seqno, Tag};
use crate::version::{ReadState, Tree};
use bytes::Bytes;
use std::sync::Arc;

/// What is looked for, ascending and each once, and what was found.
struct Search<'a> {
    seqno: Seqno,
    keys: Vec<&'a [u8]>,
    found: Vec<Option<(Tag, Bytes)>>,
}

impl Search<'_> {
    fn run(&mut self, state: &ReadState, keyspace: KeyspaceId) -> Result<()> {
        for memtable in state.memtables() {
            let open = self.keys.iter().zip(&mut self.found).filter(|(_, found)| found.is_none());
            open.for_each(|(key, found)| *found = memtable.get(keyspace, key, self.seqno));
        }
        state.tree(keyspace).map_or(Ok(()), |tree| self.run_tree(tree))?;
        let ranges = state.range_view(keyspace);
        if !ranges.is_empty() {
            for (key, found) in self.keys.iter().zip(&mut self.found) {
                found.take_if(|(tag, _)| ranges.hides(key, tag.seqno(), self.seqno));
            }
        }
        Ok(())
    }

    fn run_tree(&mut self, tree: &Tree) -> Result<()> {
        for (level, tables) in tree.levels.iter().enumerate() {
            if level == 0 {
                tables.iter().try_for_each(|table| self.run_table(table, 0).map(drop))?;
                continue;
            }
            let mut from = 0;
            while let Some(at) = self.found.iter().skip(from).position(Option::is_none).map(|at| from + at) {
                let key = self.keys.get(at).copied().unwrap_or_default();
                from = match tree.overlapping(level, key, key).first() {
                    Some(table) => self.run_table(table, at)?,
                    None => at + 1,
                };
            }
        }
        Ok(())
    }

    /// Looks the keys from `from` on up that lie in the table's range and are still open; gives where the keys after it begin.
    fn run_table(&mut self, table: &Arc<Table>, from: usize) -> Result<usize> {
        let mut probe = None;
        let mut end = from;
        for (key, found) in self.keys.iter().zip(&mut self.found).skip(from) {
            if table.properties.ends_before(key) {
                break;
            }
            end += 1;
            if found.is_some() || !table.covers(key) {
                continue;
            }
            let probe = match &mut probe {
                Some(probe) => probe,
                none => none.insert(Probe::new(table)?),
            };
            *found = probe.get(key, self.seqno)?;
        }
        Ok(end)
    }
}

impl Keyspace {
    /// The values of many keys, in the order of the keys, as of one moment. Faster than one [`Keyspace::get`] after the other if keys
    /// are neighbours.
    ///
    /// Complexity: O(keys · log keys) comparisons; each block is fetched once for all the keys in it.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// users.put("bob", "25")?;
    /// assert_eq!(users.multi_get(["bob", "carol", "alice"])?, [Some("25".into()), None, Some("30".into())]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<Bytes>>> {
        self.db().snapshot().multi_get(self, keys)
    }
}

impl Snapshot {
    /// As [`Keyspace::multi_get`], as of the snapshot.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// users.put("alice", "30")?;
    /// let before = db.snapshot();
    /// users.put("bob", "25")?;
    /// assert_eq!(before.multi_get(&users, ["alice", "bob"])?, [Some("30".into()), None]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn multi_get<K: AsRef<[u8]>>(
        &self,
        keyspace: &Keyspace,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Bytes>>> {
        let inner = self.inner(keyspace)?;
        let asked: Vec<K> = keys.into_iter().collect();
        let mut keys: Vec<&[u8]> = asked.iter().map(K::as_ref).collect();
        keys.sort_unstable();
        keys.dedup();
        let state = inner.read_state();
        state.check_readable(keyspace.id(), Some(self.seqno()))?;
        let mut search = Search { seqno: self.seqno(), found: vec![None; keys.len()], keys };
        search.run(&state, keyspace.id())?;
        let values = search.keys.iter().zip(search.found).map(|(key, found)| match found {
            Some((tag, value)) if tag.kind() == Some(Kind::BlobRef) => {
                inner.read_blob(key, &value)?.ok_or_else(blob_file_is_missing).map(Some)
            }
            found => Ok(found.filter(|(tag, _)| tag.kind() == Some(Kind::Value)).map(|(_, value)| value)),
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        let value = |key: &K| values.get(search.keys.binary_search(&key.as_ref()).ok()?)?.clone();
        Ok(asked.iter().map(value).collect())
    }
}
