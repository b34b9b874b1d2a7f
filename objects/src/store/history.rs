//! Reading and verifying the history.

use super::{Inner, ObjectStore};
use crate::chain::{self, Verifier};
use crate::error::{Error, Result};
use crate::keys;
use crate::model::HistoryRow;
use crate::types::ObjectId;
use patina_storage::{Entry, Iter, Snapshot};
use std::sync::Arc;

impl ObjectStore {
    /// The history of one object, or of all, oldest first, streamed from one snapshot. That of a deleted object is
    /// still there.
    ///
    /// # Errors
    /// Storage's, from the call or from the iterator.
    pub fn history(&self, object: Option<ObjectId>) -> Result<History> {
        Ok(self.history_at(&self.inner.db.snapshot(), object))
    }

    /// As [`ObjectStore::history`], from a snapshot that the caller took.
    pub fn history_at(&self, snapshot: &Snapshot, object: Option<ObjectId>) -> History {
        let inner = Arc::clone(&self.inner);
        let snapshot = snapshot.clone();
        let (entries, indexed) = match object {
            Some(id) => (snapshot.prefix(&inner.spaces.history_by_object, &keys::object(id)), true),
            None => (snapshot.range(&inner.spaces.history, ..), false),
        };
        History { inner, snapshot, entries, indexed }
    }

    /// Follows the chain of hashes through the whole history. Gives the number of rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`] with the first row that does not fit; storage's.
    pub fn verify_history(&self) -> Result<u64> {
        let history = self.history(None)?;
        let head = self.inner.head_at(&history.snapshot)?;
        let mut verifier = Verifier::new();
        for row in history {
            verifier.next(&row?)?;
        }
        verifier.finish(head.rows, head.hash)
    }
}

/// Rows of the history; see [`ObjectStore::history`].
pub struct History {
    inner: Arc<Inner>,
    snapshot: Snapshot,
    entries: Iter,
    indexed: bool,
}

impl History {
    fn read(&self, entry: &Entry) -> Result<HistoryRow> {
        let damaged = || Error::corruption("the index of the history is damaged; restore from a copy");
        let seq = keys::last_number(entry.key()).ok_or_else(damaged)?;
        let stored = if self.indexed {
            let key = keys::sequence(seq);
            self.snapshot.get(&self.inner.spaces.history, &key)?.ok_or_else(damaged)?
        } else {
            entry.value()?
        };
        chain::read(seq, &stored)
    }
}

impl Iterator for History {
    type Item = Result<HistoryRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        Some(entry.map_err(Into::into).and_then(|entry| self.read(&entry)))
    }
}
