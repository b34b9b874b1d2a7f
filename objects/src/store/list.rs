//! Listing objects through the index that fits.

use super::{Inner, ObjectStore, decode_row};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::keys;
use crate::model::{ListFilter, ObjectInfo};
use crate::policy::PolicySet;
use crate::rows::ObjectRow;
use crate::types::ObjectId;
use patina_storage::{Entry, Iter, Snapshot};
use std::sync::Arc;

impl ObjectStore {
    /// The objects that a filter lets through, streamed from one snapshot. See [`ListFilter`] for the index used.
    ///
    /// # Errors
    /// Storage's, from the call or from the iterator.
    pub fn list(&self, filter: &ListFilter) -> Result<Objects> {
        Ok(self.list_at(&self.inner.db.snapshot(), filter))
    }

    /// As [`ObjectStore::list`], from a snapshot that the caller took, so that several listings agree. Accesses and
    /// policies are those of now.
    pub fn list_at(&self, snapshot: &Snapshot, filter: &ListFilter) -> Objects {
        let inner = Arc::clone(&self.inner);
        let snapshot = snapshot.clone();
        let spaces = &inner.spaces;
        let source = match filter {
            ListFilter { id: Some(id), .. } => Source::One(Some(*id)),
            ListFilter { name_prefix: Some(prefix), tenant: Some(tenant), .. } => {
                Source::Names(snapshot.prefix(&spaces.names, &keys::name(tenant, prefix)))
            }
            ListFilter { due_before: Some(before), .. } => {
                let end = keys::due(before.0, ObjectId(u64::MAX));
                Source::Index(snapshot.range(&spaces.due, ..=end))
            }
            ListFilter { stage: Some(stage), .. } => {
                Source::Index(snapshot.prefix(&spaces.stages, &[stage.number()]))
            }
            _ => Source::Rows(snapshot.range(&spaces.objects, ..)),
        };
        let policies = Arc::clone(&inner.policies.read());
        let now = inner.now();
        Objects { filter: filter.clone(), snapshot, source, policies, now, inner }
    }

    /// One object by its number, without touching its heat.
    ///
    /// # Errors
    /// Storage's.
    pub fn stat_by_id(&self, id: ObjectId) -> Result<Option<ObjectInfo>> {
        self.list(&ListFilter { id: Some(id), ..Default::default() })?.next().transpose()
    }
}

enum Source {
    One(Option<ObjectId>),
    /// The id is the value.
    Names(Iter),
    /// The id ends the key.
    Index(Iter),
    Rows(Iter),
}

/// Objects of a listing; see [`ObjectStore::list`].
pub struct Objects {
    filter: ListFilter,
    snapshot: Snapshot,
    source: Source,
    policies: Arc<PolicySet>,
    now: Timestamp,
    inner: Arc<Inner>,
}

impl Objects {
    /// The next id, and its row if the source has it.
    fn advance(&mut self) -> Option<Result<(ObjectId, Option<ObjectRow>)>> {
        let entry = match &mut self.source {
            Source::One(id) => return id.take().map(|id| Ok((id, None))),
            Source::Names(iter) | Source::Index(iter) | Source::Rows(iter) => iter.next()?,
        };
        Some(entry.map_err(Into::into).and_then(|entry| self.read_entry(&entry)))
    }

    fn read_entry(&self, entry: &Entry) -> Result<(ObjectId, Option<ObjectRow>)> {
        let damaged = || crate::Error::corruption("an index of the objects is damaged; restore from a copy");
        match &self.source {
            Source::Names(_) => {
                let id = keys::last_number(&entry.value()?).ok_or_else(damaged)?;
                Ok((ObjectId(id), None))
            }
            Source::Rows(_) => {
                let id = ObjectId(keys::last_number(entry.key()).ok_or_else(damaged)?);
                Ok((id, Some(decode_row(id, &entry.value()?)?)))
            }
            Source::One(_) | Source::Index(_) => {
                Ok((ObjectId(keys::last_number(entry.key()).ok_or_else(damaged)?), None))
            }
        }
    }

    fn load(&self, id: ObjectId, row: Option<ObjectRow>) -> Result<Option<ObjectInfo>> {
        let row = match row {
            Some(row) => row,
            None => match self.inner.row(Some(&self.snapshot), id)? {
                Some(found) => found.row,
                None => return Ok(None),
            },
        };
        let info = self.inner.info(id, &row, &self.policies, self.now);
        Ok(self.lets_through(&info).then_some(info))
    }

    fn lets_through(&self, info: &ObjectInfo) -> bool {
        let filter = &self.filter;
        filter.tenant.as_ref().is_none_or(|tenant| *tenant == info.tenant)
            && filter.name_prefix.as_ref().is_none_or(|prefix| info.name.starts_with(prefix))
            && filter.stage.is_none_or(|stage| stage == info.stage)
            && filter.due_before.is_none_or(|before| info.next_decay_at.is_some_and(|due| due <= before))
            && filter.id.is_none_or(|id| id == info.id)
    }
}

impl Iterator for Objects {
    type Item = Result<ObjectInfo>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = match self.advance()? {
                Ok((id, row)) => self.load(id, row),
                Err(error) => Err(error),
            };
            if let Some(item) = found.transpose() {
                return Some(item);
            }
        }
    }
}
