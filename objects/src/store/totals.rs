//! Sums over the whole store.

use super::{ObjectStore, decode_row};
use crate::error::{Error, Result};
use crate::keys;
use crate::model::{Sum, Totals};
use crate::rows::ObjectRow;
use crate::types::ObjectId;
use patina_codecs::Kind;
use patina_storage::BlobFileInfo;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Sum {
    fn add(&mut self, row: &ObjectRow, heat: f64) {
        self.objects += 1;
        self.size += row.size;
        self.stored += row.stored;
        self.heat += heat;
    }
}

impl ObjectStore {
    /// The blob files that the objects' contents lie in, with their live and garbage bytes. Complexity: every content's
    /// key once.
    ///
    /// # Errors
    /// Storage's.
    pub fn blob_files(&self) -> Result<Vec<BlobFileInfo>> {
        Ok(self.inner.db.blob_files(&self.inner.spaces.contents)?)
    }

    /// Objects, bytes and heat by stage and type. Complexity: every row once.
    ///
    /// # Errors
    /// Storage's.
    pub fn totals(&self) -> Result<Totals> {
        let inner = &self.inner;
        let (snapshot, now) = (inner.db.snapshot(), inner.now());
        let policies = Arc::clone(&inner.policies.read());
        let mut totals = Totals::default();
        let mut by_kind: BTreeMap<Kind, Sum> = BTreeMap::new();
        for entry in snapshot.range(&inner.spaces.objects, ..) {
            let entry = entry?;
            let damaged = || Error::corruption("a key of the objects is damaged; restore from a copy");
            let id = ObjectId(keys::last_number(entry.key()).ok_or_else(damaged)?);
            let row = decode_row(id, &entry.value()?)?;
            let policy = policies.of(&row.policy, row.kind());
            let heat = inner.subject(id, &row, &policy).effective.heat(now, policy.half_life);
            totals.all.add(&row, heat);
            if let Some(sum) = totals.by_stage.get_mut(row.stage().index()) {
                sum.add(&row, heat);
            }
            by_kind.entry(row.kind()).or_default().add(&row, heat);
        }
        for entry in snapshot.range(&inner.spaces.contents, ..) {
            totals.contents += 1;
            totals.content_bytes += entry?.blob_ref().map_or(0, |blob| blob.stored_len);
        }
        totals.by_kind = by_kind.into_iter().collect();
        Ok(totals)
    }
}
