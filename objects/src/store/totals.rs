//! Sums over the whole store.

use super::{ObjectStore, decode_row};
use crate::error::{Error, Result};
use crate::keys;
use crate::model::{Sum, Totals};
use crate::types::ObjectId;
use patina_codecs::Kind;
use patina_storage::BlobFileInfo;
use std::collections::BTreeMap;

impl Sum {
    fn add(&mut self, size: u64, stored: u64) {
        self.objects += 1;
        self.size += size;
        self.stored += stored;
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

    /// Objects and bytes by stage and type. Complexity: every row once.
    ///
    /// # Errors
    /// Storage's.
    pub fn totals(&self) -> Result<Totals> {
        let inner = &self.inner;
        let snapshot = inner.db.snapshot();
        let mut totals = Totals::default();
        let mut by_kind: BTreeMap<Kind, Sum> = BTreeMap::new();
        for entry in snapshot.range(&inner.spaces.objects, ..) {
            let entry = entry?;
            let damaged = || Error::corruption("a key of the objects is damaged; restore from a copy");
            let id = ObjectId(keys::last_number(entry.key()).ok_or_else(damaged)?);
            let row = decode_row(id, &entry.value()?)?;
            totals.all.add(row.size, row.stored);
            if let Some(sum) = totals.by_stage.get_mut(row.stage().index()) {
                sum.add(row.size, row.stored);
            }
            by_kind.entry(row.kind()).or_default().add(row.size, row.stored);
        }
        for entry in snapshot.range(&inner.spaces.contents, ..) {
            totals.contents += 1;
            totals.content_bytes += entry?.blob_ref().map_or(0, |blob| blob.stored_len);
        }
        totals.by_kind = by_kind.into_iter().collect();
        Ok(totals)
    }
}
