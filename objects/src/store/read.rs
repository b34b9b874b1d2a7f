//! Reading objects. A read sees one snapshot, and leaves a mark in memory instead of writing.

use super::{Inner, ObjectStore};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Access, Object, ObjectInfo};
use crate::policy::{Policy, PolicySet};
use crate::rows::{HoldRow, ObjectRow};
use crate::touches::Touch;
use crate::types::{ObjectId, Stage};
use bytes::Bytes;
use patina_storage::Snapshot;
use std::sync::Arc;

impl ObjectStore {
    /// The bytes of an object as they are now; counts as an access.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such name; [`ErrorKind::Gone`] if the object was purged; storage's.
    pub fn get(&self, tenant: &str, name: &str) -> Result<Object> {
        self.read(tenant, name, Access::Read)
    }

    /// As [`ObjectStore::get`], but leaves the heat alone: for exports, backups, verification.
    ///
    /// # Errors
    /// As [`ObjectStore::get`].
    pub fn peek(&self, tenant: &str, name: &str) -> Result<Object> {
        self.read(tenant, name, Access::Unseen)
    }

    /// The bytes of an object as they are now, counting as much as `access` says.
    ///
    /// # Errors
    /// As [`ObjectStore::get`].
    pub fn read(&self, tenant: &str, name: &str, access: Access) -> Result<Object> {
        let inner = &self.inner;
        let snapshot = inner.db.snapshot();
        let (id, found) = inner.find(&snapshot, tenant, name)?;
        let row = found.row;
        let bytes = inner.bytes_of(&snapshot, id, &row)?;
        // The bytes are here: that marks cannot be written, on a full disk say, is no reason to withhold them.
        let _ = inner.note_read(id, &row, access);
        Ok(Object { id, bytes, stage: row.stage(), fidelity: row.fidelity, media_type: row.media_type })
    }

    /// Counts as an access without reading the bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such name; storage's.
    pub fn touch(&self, tenant: &str, name: &str) -> Result<()> {
        let inner = &self.inner;
        let (id, found) = inner.find(&inner.db.snapshot(), tenant, name)?;
        inner.note_read(id, &found.row, Access::Read)
    }

    /// Everything about an object but its bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such name; storage's.
    pub fn stat(&self, tenant: &str, name: &str) -> Result<ObjectInfo> {
        let inner = &self.inner;
        let (id, found) = inner.find(&inner.db.snapshot(), tenant, name)?;
        let policies = Arc::clone(&inner.policies.read());
        Ok(inner.info(id, &found.row, &policies, inner.now()))
    }
}

impl Inner {
    pub(super) fn bytes_of(&self, snapshot: &Snapshot, id: ObjectId, row: &ObjectRow) -> Result<Bytes> {
        let name = &row.name;
        match row.stage() {
            Stage::Purged => Err(Error::new(
                ErrorKind::Gone,
                match row.original() {
                    Some(_) => format!("'{name}' was purged, but its original is still kept: restore it"),
                    None => format!(
                        "'{name}' was purged and only its row is left; its history tells when and why"
                    ),
                },
            )),
            Stage::Trace => Ok(Bytes::from(row.trace.clone().unwrap_or_default())),
            Stage::Hot | Stage::Warm | Stage::Cold => {
                let missing =
                    || Error::corruption(format!("the bytes of '{name}' (object {id}) are missing"));
                let content = row.content().ok_or_else(missing)?;
                snapshot.get(&self.spaces.contents, &content.0)?.ok_or_else(missing)
            }
        }
    }

    /// Leaves a mark; writes the marks out when there are too many, and takes this one back if that cannot be done.
    pub(super) fn note_read(&self, id: ObjectId, row: &ObjectRow, access: Access) -> Result<()> {
        let policy = self.policies.read().of(&row.policy, row.kind());
        let weight = match access {
            Access::Read => 1.0,
            Access::Bulk => policy.scan_weight,
            Access::Unseen => return Ok(()),
        };
        let row_accessed_at = Timestamp(row.accessed_at_ms);
        let touch = Touch { id, at: self.now(), row_accessed_at, weight, policy: &policy };
        if self.touches.touch(&touch) > self.options.pending_touches_max {
            self.flush_touches().inspect_err(|_| self.touches.forget(id))?;
        }
        Ok(())
    }

    pub(crate) fn info(
        &self,
        id: ObjectId,
        row: &ObjectRow,
        policies: &PolicySet,
        now: Timestamp,
    ) -> ObjectInfo {
        let policy: Arc<Policy> = policies.of(&row.policy, row.kind());
        let subject = self.subject(id, row, &policy);
        let accessed_at = Timestamp(row.accessed_at_ms).max(self.touches.last_at(id).unwrap_or_default());
        ObjectInfo {
            id,
            name: row.name.clone(),
            tenant: row.tenant.clone(),
            kind: row.kind(),
            media_type: row.media_type.clone(),
            size: row.size,
            stored: row.stored,
            stage: row.stage(),
            heat: subject.effective.heat(now, policy.half_life),
            fidelity: row.fidelity,
            policy: policy.name.clone(),
            created_at: Timestamp(row.created_at_ms),
            accessed_at,
            effective_at: subject.effective.as_timestamp(),
            next_decay_at: subject.next_decay(now),
            origin_hash: row.origin_hash.as_slice().try_into().unwrap_or_default(),
            content_hash: row.content().map(|content| content.0),
            pinned: row.pinned,
            held: row.standing_holds(now).next().is_some(),
            holds: row.holds.iter().map(HoldRow::to_hold).collect(),
            original_kept: row.original_content.is_some(),
            restore_until: row.restore_until_ms.map(Timestamp),
            rate: row.rate,
            generation: row.generation,
            progress: row.progress,
            error: row.error.clone(),
            keep_original: row.keep_original,
        }
    }
}
