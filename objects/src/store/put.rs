//! Putting objects: detect, choose a policy, hash, and commit everything as one.
//!
//! The bytes go to a blob file first, where nobody can see them; the batch that follows makes the object appear whole
//! or not at all. A content that is there already is not stored again: the batch then requires the version of its key,
//! so that it cannot vanish in between. What comes from a reader is in [`super::stream`].

use super::{Inner, ObjectStore, Versioned, retry};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::heat::Effective;
use crate::keys;
use crate::model::PutOptions;
use crate::policy::{Policy, PolicySet, Target};
use crate::rows::{HistoryRecord, HoldRow, ObjectRow};
use crate::transform::Transform;
use crate::types::{ContentHash, ObjectId, Reason, Stage};
use bytes::Bytes;
use patina_codecs::{HEAD_BYTES_MAX, Kind, MediaType};
use patina_storage::{Bin, BlobWriter, Compression, PendingBlob, Snapshot, WriteBatch};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const NAME_BYTES_MAX: usize = 4096;
const TENANT_BYTES_MAX: usize = 128;
/// What is read at once of a content that is only looked at.
const PIECE_BYTES: u64 = 256 << 10;

impl ObjectStore {
    /// Stores bytes under a name, durably. A name that is taken gets a new generation: the same object, hot again.
    ///
    /// # Errors
    /// [`ErrorKind::Held`] while a hold stands on the object of that name; [`ErrorKind::OverBudget`] if a budget refuses it;
    /// [`ErrorKind::InvalidArgument`] for a bad
    /// name, rate or tenant; [`ErrorKind::NotFound`] for an unknown policy; storage's.
    pub fn put(&self, name: &str, bytes: &[u8], options: &PutOptions) -> Result<ObjectId> {
        let id = self.inner.put(name, bytes, options)?;
        self.sync()?;
        Ok(id)
    }

    /// Stores many objects with one sync at the end, as an import does. Each object appears as a whole; when the call
    /// fails, those before the failing one are there.
    ///
    /// # Errors
    /// As [`ObjectStore::put`].
    pub fn put_many(
        &self,
        items: impl IntoIterator<Item = (String, Bytes, PutOptions)>,
    ) -> Result<Vec<ObjectId>> {
        let put =
            |(name, bytes, options): (String, Bytes, PutOptions)| self.inner.put(&name, &bytes, &options);
        let ids: Result<Vec<ObjectId>> = items.into_iter().map(put).collect();
        self.sync()?;
        ids
    }
}

/// What a put knows before it looks at the store.
pub(super) struct Incoming<'a> {
    name: &'a str,
    size: u64,
    options: &'a PutOptions,
    media: MediaType,
    content: ContentHash,
    rate: f64,
}

/// Where the bytes of a put are.
pub(super) enum Body<'a> {
    Memory(&'a [u8]),
    /// In a bin already, but for the end.
    Streamed(BlobWriter),
    /// In a bin, by this attempt or by one before.
    Appended(PendingBlob),
    /// They could not be appended.
    Lost,
}

impl Body<'_> {
    /// The bytes in their bin, appended if they are not.
    fn append(
        &mut self,
        key: ContentHash,
        from_memory: impl FnOnce(&[u8]) -> patina_storage::Result<PendingBlob>,
    ) -> Result<&PendingBlob> {
        let blob = match std::mem::replace(self, Self::Lost) {
            Self::Memory(bytes) => from_memory(bytes)?,
            Self::Streamed(writer) => writer.finish(&key.0)?,
            Self::Appended(blob) => blob,
            Self::Lost => {
                return Err(Error::invalid("the bytes of this put were not stored; put them again"));
            }
        };
        *self = Self::Appended(blob);
        match self {
            Self::Appended(blob) => Ok(blob),
            _ => Err(Error::invalid("the bytes of this put were not stored; put them again")),
        }
    }
}

impl<'a> Incoming<'a> {
    /// Of bytes that are in memory, or the beginning of a stream.
    pub(super) fn new(
        name: &'a str,
        bytes: &[u8],
        options: &'a PutOptions,
        transform: &dyn Transform,
    ) -> Result<Self> {
        check_name(name)?;
        check_tenant(&options.tenant)?;
        let rate = check_rate(options.rate.unwrap_or(1.0))?;
        options.hold.as_deref().map_or(Ok(()), check_reason)?;
        let media = match &options.media_type {
            Some(mime) => MediaType::from_mime(mime),
            None => transform.detect(bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes), name),
        };
        let (size, content) = (bytes.len() as u64, ContentHash::of(bytes));
        Ok(Self { name, size, options, media, content, rate })
    }

    /// The same once the whole stream has passed.
    pub(super) fn streamed(self, size: u64, content: ContentHash) -> Self {
        Self { size, content, ..self }
    }

    /// The bin of its content, and how hard that is compressed there.
    fn home(&self, row: &ObjectRow, now: Timestamp) -> (Bin, Compression) {
        let bin = Bin::for_due(Stage::Hot.number(), now.0, row.due_ms.unwrap_or(u64::MAX));
        (bin, compression_of(self.media.kind, &self.media.mime, Compression::Dense))
    }
}

impl Inner {
    fn put(&self, name: &str, bytes: &[u8], options: &PutOptions) -> Result<ObjectId> {
        let incoming = Incoming::new(name, bytes, options, self.options.transform.as_ref())?;
        self.put_incoming(&incoming, Body::Memory(bytes))
    }

    pub(super) fn put_incoming(&self, incoming: &Incoming<'_>, mut body: Body<'_>) -> Result<ObjectId> {
        if self.spaces.contents.blob_ref(&incoming.content.0)?.is_none() {
            self.check_room(&incoming.options.tenant, incoming.size)?;
        }
        let id = retry(|| self.try_put(incoming, &mut body))?;
        self.touches.forget(id);
        Ok(id)
    }

    /// A writer for a content of which `incoming` has the beginning. Refuses now what the commit would refuse at the end.
    pub(super) fn writer_for(&self, incoming: &Incoming<'_>) -> Result<BlobWriter> {
        let now = self.now();
        let policies = self.policies.read();
        let policy = self.policy_for(&policies, incoming)?;
        check_window(incoming.options.keep_original, &policy)?;
        let snapshot = self.db.snapshot();
        if let Some(id) = self.id_of(&snapshot, &incoming.options.tenant, incoming.name)?
            && let Some(before) = self.row(Some(&snapshot), id)?
        {
            refuse_held(&before.row, now, "overwritten")?;
        }
        self.check_room(&incoming.options.tenant, incoming.size)?;
        let mut row = new_row(incoming, &policy, None, now);
        self.schedule(&mut row, &policies, now);
        let (bin, compression) = incoming.home(&row, now);
        Ok(self.db.blob_writer(&self.spaces.contents, bin, compression))
    }

    /// One attempt. `body` keeps the blob for the next one.
    fn try_put(&self, incoming: &Incoming<'_>, body: &mut Body<'_>) -> Result<ObjectId> {
        let now = self.now();
        let policies = self.policies.read();
        let policy = self.policy_for(&policies, incoming)?;
        check_window(incoming.options.keep_original, &policy)?;
        let snapshot = self.db.snapshot();
        let existing = match self.id_of(&snapshot, &incoming.options.tenant, incoming.name)? {
            Some(id) => self.row(Some(&snapshot), id)?.map(|before| (id, before)),
            None => None,
        };
        if let Some((_, before)) = &existing {
            refuse_held(&before.row, now, "overwritten")?;
        }
        let id = match &existing {
            Some((id, _)) => *id,
            None => ObjectId(self.next_object_id.fetch_add(1, Ordering::SeqCst)),
        };
        let before = existing.as_ref().map(|(_, before)| before);
        let mut after = new_row(incoming, &policy, before.map(|before| &before.row), now);
        self.schedule(&mut after, &policies, now);

        let mut batch = self.db.batch();
        let (stored, healed) = self.put_content(&mut batch, &snapshot, incoming, &after, body, now)?;
        after.stored = stored;
        self.put_row(&mut batch, id, before, &after);
        self.link(&mut batch, &snapshot, id, before, incoming)?;
        let reason = if before.is_some() { Reason::Overwrite } else { Reason::Put };
        let mut records = vec![self.record(id, before.map(|before| &before.row), Some(&after), reason, now)];
        if healed {
            records.extend(self.tell_sharers(
                &mut batch,
                &snapshot,
                incoming.content,
                (id, &after),
                &policies,
                now,
            )?);
        }
        self.commit(batch, records)?;
        Ok(id)
    }

    fn policy_for(&self, policies: &PolicySet, incoming: &Incoming<'_>) -> Result<Arc<Policy>> {
        match &incoming.options.policy {
            Some(name) => policies.named(name).cloned(),
            None => Ok(policies.choose(Target {
                tenant: &incoming.options.tenant,
                name: incoming.name,
                kind: incoming.media.kind,
                size_bytes: incoming.size,
            })),
        }
    }

    /// Makes the batch rely on the content being there, appending it first if it is not, or cannot be read. Gives its
    /// bytes on disk, and whether it takes the place of a damaged one.
    fn put_content(
        &self,
        batch: &mut WriteBatch,
        snapshot: &Snapshot,
        incoming: &Incoming<'_>,
        row: &ObjectRow,
        body: &mut Body<'_>,
        now: Timestamp,
    ) -> Result<(u64, bool)> {
        let contents = &self.spaces.contents;
        let key = incoming.content.0;
        let found = snapshot.blob_ref(contents, &key)?;
        match &found {
            Some((blob, seqno)) => {
                batch.require_version(contents, key.to_vec(), *seqno);
                match self.check_readable(snapshot, incoming.content) {
                    Err(error) if error.is_damage() => {}
                    read => return read.map(|_| (blob.stored_len, false)),
                }
            }
            None => batch.require_absent(contents, key.to_vec()),
        }
        let (bin, compression) = incoming.home(row, now);
        let blob = body
            .append(incoming.content, |bytes| self.db.append_blob(contents, bin, &key, bytes, compression))?;
        batch.put_blob(contents, key.to_vec(), blob);
        Ok((blob.blob_ref().stored_len, found.is_some()))
    }

    /// Reads a content in pieces, to see whether it can be read; `false` if there is none.
    pub(super) fn check_readable(&self, snapshot: &Snapshot, content: ContentHash) -> Result<bool> {
        let Some(mut reader) = snapshot.reader(&self.spaces.contents, &content.0)? else { return Ok(false) };
        let mut at = 0;
        while at < reader.len() {
            at += reader.read_range(at..at.saturating_add(PIECE_BYTES))?.len() as u64;
        }
        Ok(true)
    }

    /// Lets the other objects that refer to a content, whose damaged bytes were stored anew, be tried again.
    fn tell_sharers(
        &self,
        batch: &mut WriteBatch,
        snapshot: &Snapshot,
        content: ContentHash,
        put: (ObjectId, &ObjectRow),
        policies: &PolicySet,
        now: Timestamp,
    ) -> Result<Vec<HistoryRecord>> {
        let mut records = Vec::new();
        let (put_id, stored) = (put.0, put.1.stored);
        batch.require_unchanged(&self.spaces.refs, content.0.to_vec(), snapshot);
        for id in self.referrers(snapshot, content)?.into_iter().filter(|id| *id != put_id) {
            let before = match self.row(Some(snapshot), id) {
                Err(error) if error.is_damage() => continue,
                found => found?,
            };
            let Some(before) = before else { continue };
            let mut after = before.row.clone();
            after.content_is_stored_in(content, stored);
            after.try_anew();
            self.schedule(&mut after, policies, now);
            self.put_row(batch, id, Some(&before), &after);
            let mut record = self.record(id, Some(&before.row), Some(&after), Reason::Repack, now);
            record.note = "the content it shares was damaged, and was put again".to_owned();
            records.push(record);
        }
        Ok(records)
    }

    /// Adds the name of a new object, and moves its reference from the old contents to the new one.
    fn link(
        &self,
        batch: &mut WriteBatch,
        snapshot: &Snapshot,
        id: ObjectId,
        before: Option<&Versioned>,
        incoming: &Incoming<'_>,
    ) -> Result<()> {
        let name = keys::name(&incoming.options.tenant, incoming.name);
        if before.is_none() {
            batch.require_absent(&self.spaces.names, name.clone());
            batch.put(&self.spaces.names, name, keys::object(id));
        }
        let old = || before.into_iter().flat_map(|before| before.row.contents());
        for content in old().filter(|content| *content != incoming.content) {
            self.drop_reference(batch, snapshot, content, id)?;
        }
        if !old().any(|content| content == incoming.content) {
            batch.put(&self.spaces.refs, keys::reference(incoming.content, id), Vec::new());
        }
        Ok(())
    }
}

/// The row of a new generation. Bytes on disk and the due time are still to be set.
fn new_row(
    incoming: &Incoming<'_>,
    policy: &Policy,
    before: Option<&ObjectRow>,
    now: Timestamp,
) -> ObjectRow {
    let size = incoming.size;
    let mut holds_made = before.map_or(0, |row| row.holds_made);
    let by_policy = policy.legal_hold.then(|| format!("policy '{}'", policy.name));
    let reasons = by_policy.into_iter().chain(incoming.options.hold.clone());
    let holds = reasons.map(|reason| {
        holds_made = holds_made.saturating_add(1);
        HoldRow { id: holds_made, reason, until_ms: None }
    });
    ObjectRow {
        holds: holds.collect(),
        tenant: incoming.options.tenant.clone(),
        name: incoming.name.to_owned(),
        kind: incoming.media.kind.as_str().to_owned(),
        media_type: incoming.media.mime.clone().into_owned(),
        origin_media_type: incoming.media.mime.clone().into_owned(),
        size,
        content_len: size,
        origin_hash: incoming.content.0.to_vec(),
        content_hash: Some(incoming.content.0.to_vec()),
        stage: Stage::Hot.number().into(),
        fidelity: 1.0,
        generation: before.map_or(0, |row| row.generation).saturating_add(1),
        created_at_ms: now.0,
        accessed_at_ms: now.0,
        effective_ms: Effective::born(now, policy.birth_credit).to_row(),
        stage_entered_ms: now.0,
        policy: policy.name.clone(),
        pinned: incoming.options.pinned,
        keep_original: incoming.options.keep_original,
        rate: incoming.rate,
        holds_made,
        ..ObjectRow::default()
    }
}

/// How hard to compress: not at all what is compressed already, whatever the stage.
pub(crate) fn compression_of(kind: Kind, mime: &str, wanted: Compression) -> Compression {
    let plain = ["image/bmp", "image/tiff", "image/svg+xml", "audio/wav", "audio/x-wav", "application/x-tar"];
    let zipped = ["application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument."];
    let packed = matches!(kind, Kind::Image | Kind::Audio | Kind::Archive) && !plain.contains(&mime);
    if packed || zipped.iter().any(|prefix| mime.starts_with(prefix)) { Compression::None } else { wanted }
}

/// An error that lists the holds, if any stands.
pub(crate) fn refuse_held(row: &ObjectRow, now: Timestamp, verb: &str) -> Result<()> {
    let holds: Vec<String> =
        row.standing_holds(now).map(|hold| format!("{} ({})", hold.id, hold.reason)).collect();
    if holds.is_empty() {
        return Ok(());
    }
    let (name, list) = (&row.name, holds.join(", "));
    Err(Error::new(ErrorKind::Held, format!("'{name}' is held and cannot be {verb}; release first: {list}")))
}

pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
        return Err(Error::invalid(format!("a name must have 1 to {NAME_BYTES_MAX} bytes and no NUL")));
    }
    Ok(())
}

pub(crate) fn check_tenant(tenant: &str) -> Result<()> {
    if tenant.is_empty() || tenant.len() > TENANT_BYTES_MAX || tenant.contains('\0') {
        return Err(Error::invalid(format!("a tenant must have 1 to {TENANT_BYTES_MAX} bytes and no NUL")));
    }
    Ok(())
}

/// An original cannot be kept for no time at all.
pub(super) fn check_window(keep_original: bool, policy: &Policy) -> Result<()> {
    if keep_original && policy.restore_window.is_zero() {
        return Err(Error::invalid(format!(
            "policy '{}' keeps no original: give it a restore_window, or choose another policy",
            policy.name
        )));
    }
    Ok(())
}

/// Whoever a hold refuses is told why.
pub(super) fn check_reason(reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Error::invalid("a hold needs a reason, which is shown to whoever is refused: give one"));
    }
    Ok(())
}

pub(super) fn check_rate(rate: f64) -> Result<f64> {
    if (0.1..=10.0).contains(&rate) {
        return Ok(rate);
    }
    Err(Error::invalid(format!("a rate must be from 0.1 to 10, not {rate}")))
}

#[cfg(test)]
mod tests;
