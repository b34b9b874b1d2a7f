//! What people do to one object: hold, pin, set its rate or policy, keep its original, rename, delete.
//!
//! Every control is one conditional batch with a history row, and gives the object a new due time: what left the due
//! index because nothing could move it comes back when that changes.

use super::put::{check_name, check_rate, check_reason, check_window, refuse_held};
use super::{Inner, ObjectStore, Versioned, retry};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::keys;
use crate::policy::PolicySet;
use crate::rows::{HoldRow, ObjectRow};
use crate::types::{HoldId, ObjectId, Reason};
use patina_storage::WriteBatch;

impl ObjectStore {
    /// Makes an object follow another policy.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown object or policy; storage's.
    pub fn set_policy(&self, tenant: &str, name: &str, policy: &str) -> Result<()> {
        self.control(tenant, name, |row, change| {
            let policy = change.policies.named(policy)?;
            let note = format!("policy '{}' instead of '{}'", policy.name, row.policy);
            row.policy.clone_from(&policy.name);
            row.at_floor = false;
            Ok((note, ()))
        })
    }

    /// Keeps an object from decay, or no longer.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; storage's.
    pub fn set_pinned(&self, tenant: &str, name: &str, pinned: bool) -> Result<()> {
        self.control(tenant, name, |row, _| {
            row.pinned = pinned;
            Ok((if pinned { "pinned" } else { "unpinned" }.to_owned(), ()))
        })
    }

    /// Makes an object age faster or slower, 0.1 to 10 times.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a rate out of range; [`ErrorKind::NotFound`]; storage's.
    pub fn set_rate(&self, tenant: &str, name: &str, rate: f64) -> Result<()> {
        let rate = check_rate(rate)?;
        self.control(tenant, name, |row, _| {
            let note = format!("rate {rate} instead of {}", row.rate);
            row.rate = rate;
            Ok((note, ()))
        })
    }

    /// Keeps the original of an object at its first loss, or no longer. What is kept already stays until its time.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the object's policy has no restore window; [`ErrorKind::NotFound`]; storage's.
    pub fn set_keep_original(&self, tenant: &str, name: &str, keep: bool) -> Result<()> {
        self.control(tenant, name, |row, change| {
            check_window(keep, &change.policies.of(&row.policy, row.kind()))?;
            row.keep_original = keep;
            let note = if keep { "its original is to be kept" } else { "its original is not to be kept" };
            Ok((note.to_owned(), ()))
        })
    }

    /// Places a hold: until it is released, or until `until`, nothing degrades, overwrites or deletes the object.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if `until` has passed, or no reason is given; [`ErrorKind::NotFound`]; storage's.
    pub fn hold(&self, tenant: &str, name: &str, reason: &str, until: Option<Timestamp>) -> Result<HoldId> {
        check_reason(reason)?;
        self.control(tenant, name, |row, change| {
            if until.is_some_and(|until| until <= change.now) {
                return Err(Error::invalid("a hold must end in the future, or never"));
            }
            row.holds_made = row.holds_made.saturating_add(1);
            let id = row.holds_made;
            let until_ms = until.map(Timestamp::as_millis);
            row.holds.push(HoldRow { id, reason: reason.to_owned(), until_ms });
            Ok((format!("hold {id}: {reason}"), HoldId(id)))
        })
    }

    /// Releases one hold, or all that there are. Gives how many.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown object, a hold that is not there (any more), or no hold at all; storage's.
    pub fn release(&self, tenant: &str, name: &str, hold: Option<HoldId>) -> Result<usize> {
        self.control(tenant, name, |row, _| {
            let before = row.holds.len();
            row.holds.retain(|held| hold.is_some_and(|hold| hold.0 != held.id));
            let released = before - row.holds.len();
            match (hold, released) {
                (Some(hold), 0) => {
                    Err(Error::new(ErrorKind::NotFound, format!("there is no hold {hold} on '{}'", row.name)))
                }
                (None, 0) => {
                    Err(Error::new(ErrorKind::NotFound, format!("there is no hold on '{}'", row.name)))
                }
                (Some(hold), _) => Ok((format!("hold {hold} released"), released)),
                (None, 1) => Ok(("1 hold released".to_owned(), released)),
                (None, _) => Ok((format!("{released} holds released"), released)),
            }
        })
    }

    /// Gives an object another name in the same tenant. Its policy stays.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if the name is taken; [`ErrorKind::NotFound`]; storage's.
    pub fn rename(&self, tenant: &str, name: &str, new_name: &str) -> Result<()> {
        check_name(new_name)?;
        self.control(tenant, name, |row, change| {
            let names = &change.inner.spaces.names;
            let key = keys::name(tenant, new_name);
            if names.get(&key)?.is_some() {
                let message =
                    format!("there already is an object '{new_name}'; delete it or choose another name");
                return Err(Error::new(ErrorKind::Exists, message));
            }
            change.batch.require_absent(names, key.clone());
            change.batch.put(names, key, keys::object(change.id));
            change.batch.delete(names, keys::name(tenant, name));
            row.name = new_name.to_owned();
            Ok((format!("renamed from '{name}'"), ()))
        })
    }

    /// Deletes an object. Its history stays.
    ///
    /// # Errors
    /// [`ErrorKind::Held`] while a hold stands; [`ErrorKind::NotFound`]; storage's.
    pub fn delete(&self, tenant: &str, name: &str) -> Result<()> {
        let id = retry(|| self.inner.try_delete(tenant, name))?;
        self.inner.touches.forget(id);
        self.sync()
    }

    /// Changes the row of one object. `change` gives a note for the history and a result.
    fn control<T>(
        &self,
        tenant: &str,
        name: &str,
        change: impl Fn(&mut ObjectRow, &mut Change<'_>) -> Result<(String, T)>,
    ) -> Result<T> {
        let result = retry(|| self.inner.try_control(tenant, name, &change))?;
        self.sync()?;
        Ok(result)
    }
}

/// What a control may use beside the row.
struct Change<'a> {
    inner: &'a Inner,
    id: ObjectId,
    policies: &'a PolicySet,
    now: Timestamp,
    batch: WriteBatch,
}

impl Inner {
    fn try_control<T>(
        &self,
        tenant: &str,
        name: &str,
        apply: impl Fn(&mut ObjectRow, &mut Change<'_>) -> Result<(String, T)>,
    ) -> Result<T> {
        let now = self.now();
        let policies = self.policies.read();
        let (id, before) = self.find(&self.db.snapshot(), tenant, name)?;
        let mut change = Change { inner: self, id, policies: &policies, now, batch: self.db.batch() };
        let mut after = before.row.clone();
        let (note, result) = apply(&mut after, &mut change)?;
        after.try_anew();
        self.schedule(&mut after, &policies, now);
        let mut record = self.record(id, Some(&before.row), Some(&after), Reason::Control, now);
        record.note = note;
        let mut batch = change.batch;
        self.put_row(&mut batch, id, Some(&before), &after);
        self.commit(batch, vec![record])?;
        Ok(result)
    }

    fn try_delete(&self, tenant: &str, name: &str) -> Result<ObjectId> {
        let now = self.now();
        let snapshot = self.db.snapshot();
        let (id, before) = self.find(&snapshot, tenant, name)?;
        refuse_held(&before.row, now, "deleted")?;
        self.remove(&snapshot, id, &before, Reason::Delete, now)?;
        Ok(id)
    }

    /// Removes an object with its contents, leaving its history.
    pub(crate) fn remove(
        &self,
        snapshot: &patina_storage::Snapshot,
        id: ObjectId,
        before: &Versioned,
        reason: Reason,
        now: Timestamp,
    ) -> Result<()> {
        let mut batch = self.db.batch();
        batch.use_reserve();
        self.remove_row(&mut batch, id, before);
        for content in before.row.contents() {
            self.drop_reference(&mut batch, snapshot, content, id)?;
        }
        let record = self.record(id, Some(&before.row), None, reason, now);
        self.commit(batch, vec![record])
    }
}

impl ObjectRow {
    /// Forgets that transitions failed: somebody changed what they depend on.
    pub(crate) fn try_anew(&mut self) {
        self.attempts = 0;
        self.retry_at_ms = 0;
        self.error = None;
    }
}
