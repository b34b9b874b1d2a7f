//! Bringing an original back, and taking bytes away on request.

use super::put::refuse_held;
use super::{Inner, ObjectStore, retry};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::heat::Effective;
use crate::rows::ObjectRow;
use crate::types::{ObjectId, Reason, Stage};

impl ObjectStore {
    /// Brings an object's original bytes and stage 0 back, as long as they are kept. Counts as an access, so that the
    /// object is not due again at once. A hold does not stop it: nothing of the original is lost by it.
    ///
    /// # Errors
    /// [`ErrorKind::Gone`] if the original is not kept (any more), with what is still there;
    /// [`ErrorKind::InvalidArgument`] if the object is hot; [`ErrorKind::NotFound`]; corruption, if the kept original cannot be
    /// read, and then the degraded form stays; storage's.
    pub fn restore(&self, tenant: &str, name: &str) -> Result<()> {
        retry(|| self.inner.try_restore(tenant, name))?;
        self.sync()
    }

    /// Takes away an object's bytes at once, a kept original too, and leaves its row and history.
    ///
    /// # Errors
    /// [`ErrorKind::Held`] while a hold stands; [`ErrorKind::Gone`] if it is purged already and no original is kept;
    /// [`ErrorKind::NotFound`]; storage's.
    pub fn purge(&self, tenant: &str, name: &str) -> Result<()> {
        retry(|| self.inner.try_purge(tenant, name))?;
        self.sync()
    }
}

impl Inner {
    fn try_restore(&self, tenant: &str, name: &str) -> Result<()> {
        let now = self.now();
        let policies = self.policies.read();
        let snapshot = self.db.snapshot();
        let (id, before) = self.find(&snapshot, tenant, name)?;
        let row = &before.row;
        if row.stage() == Stage::Hot {
            return Err(Error::invalid(format!(
                "'{name}' has its original bytes already: there is nothing to restore"
            )));
        }
        let own = row.content().filter(|_| row.is_original());
        let original = own.or_else(|| row.original()).ok_or_else(|| not_kept(row))?;
        // Bytes that cannot be read are no reason to give the degraded ones up.
        if !self.check_readable(&snapshot, original)? {
            return Err(Error::corruption(format!(
                "the kept original of '{name}' is missing; it stays as it is"
            )));
        }
        let half_life = policies.of(&row.policy, row.kind()).half_life;
        let mut after = row.clone();
        after.enter(Stage::Hot, now);
        after.stored = if own.is_some() { row.form_stored() } else { row.original_stored };
        (after.original_content, after.original_stored, after.restore_until_ms) = (None, 0, None);
        (after.content_hash, after.content_len) = (Some(original.0.to_vec()), row.size);
        after.media_type.clone_from(&row.origin_media_type);
        (after.fidelity, after.progress, after.at_floor, after.trace) = (1.0, 0.0, false, None);
        after.effective_ms =
            row.effective().merge(Effective::access(now, 1.0, half_life), half_life).to_row();
        after.accessed_at_ms = row.accessed_at_ms.max(now.0);
        self.schedule(&mut after, &policies, now);
        let mut batch = self.db.batch();
        self.put_row(&mut batch, id, Some(&before), &after);
        for content in row.contents().filter(|content| *content != original) {
            self.drop_reference(&mut batch, &snapshot, content, id)?;
        }
        let record = self.record(id, Some(row), Some(&after), Reason::Restore, now);
        self.commit(batch, vec![record])
    }

    fn try_purge(&self, tenant: &str, name: &str) -> Result<()> {
        let now = self.now();
        let policies = self.policies.read();
        let snapshot = self.db.snapshot();
        let (id, before) = self.find(&snapshot, tenant, name)?;
        refuse_held(&before.row, now, "purged")?;
        if before.row.stage() == Stage::Purged && before.row.original().is_none() {
            return Err(Error::new(
                ErrorKind::Gone,
                format!("'{name}' is purged already; only its row is left"),
            ));
        }
        let mut after = before.row.clone();
        after.lose_bytes(now);
        after.forget_original();
        self.schedule(&mut after, &policies, now);
        let mut batch = self.db.batch();
        batch.use_reserve();
        self.put_row(&mut batch, id, Some(&before), &after);
        for content in before.row.contents() {
            self.drop_reference(&mut batch, &snapshot, content, id)?;
        }
        let record = self.record(id, Some(&before.row), Some(&after), Reason::Purge, now);
        self.commit(batch, vec![record])
    }

    /// Drops a kept original and leaves the degraded form.
    ///
    /// # Errors
    /// A conflict if anybody changed the object since `before` was read; storage's.
    pub(crate) fn drop_original(
        &self,
        snapshot: &patina_storage::Snapshot,
        id: ObjectId,
        before: &super::Versioned,
        now: Timestamp,
    ) -> Result<()> {
        let policies = self.policies.read();
        let mut after = before.row.clone();
        after.forget_original();
        self.schedule(&mut after, &policies, now);
        let mut batch = self.db.batch();
        batch.use_reserve();
        self.put_row(&mut batch, id, Some(before), &after);
        for content in before.row.contents().filter(|content| !after.refers_to(*content)) {
            self.drop_reference(&mut batch, snapshot, content, id)?;
        }
        let mut record = self.record(id, Some(&before.row), Some(&after), Reason::DropOriginal, now);
        record.note = "the restore window has passed".to_owned();
        self.commit(batch, vec![record])
    }
}

impl ObjectRow {
    /// Takes the row to a stage, with nothing left of earlier failures.
    pub(crate) fn enter(&mut self, stage: Stage, now: Timestamp) {
        self.stage = stage.number().into();
        self.stage_entered_ms = now.0;
        self.try_anew();
    }

    /// Takes the row to the purged stage. A kept original stays.
    pub(crate) fn lose_bytes(&mut self, now: Timestamp) {
        self.enter(Stage::Purged, now);
        (self.content_hash, self.trace) = (None, None);
        (self.content_len, self.fidelity) = (0, 0.0);
        self.set_form_stored(0);
    }
}

/// Says what there still is of an object whose original is gone.
fn not_kept(row: &ObjectRow) -> Error {
    let left = match row.stage() {
        Stage::Purged => "only its row and its history".to_owned(),
        Stage::Trace => format!("a summary of {} bytes", row.stored),
        stage => format!(
            "its {stage} form: {} bytes of {}, fidelity {:.3}",
            row.content_len, row.media_type, row.fidelity
        ),
    };
    Error::new(
        ErrorKind::Gone,
        format!(
            "the original of '{}' is not kept; what is still there is {left}. To have originals kept for a while, put \
             with keep_original, or set keep_original and restore_window in the policy",
            row.name
        ),
    )
}
