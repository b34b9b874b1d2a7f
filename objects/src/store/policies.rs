//! Policies in the store, and carrying their changes to the objects that follow them.
//!
//! The due index holds lower bounds. A policy that became stricter would make them too late, and objects that left the
//! index because nothing more was to come may have a next stage again. So a change visits every object that follows the
//! policy. A mark in `meta`, set with the change and removed after the visit, makes a crash in between harmless: the
//! next open, or the next change, visits all. Changes are made one after the other, so that none removes the mark of
//! another.

use super::{Inner, ObjectStore, Spaces};
use crate::error::{Error, Result};
use crate::keys;
use crate::policy::{Policy, PolicySet, builtin_name, is_builtin};
use crate::rows::{self, ObjectRow, PolicyRow};
use crate::types::ObjectId;
use patina_storage::{Durability, WriteBatch};
use std::sync::Arc;

const REINDEX: &[u8] = b"reindex";

/// Objects whose policy changed are visited in groups of this size.
const VISITS_PER_CHUNK: usize = 1024;

pub(super) fn load(spaces: &Spaces) -> Result<PolicySet> {
    let mut set = PolicySet::builtins();
    for entry in spaces.policies.range(..) {
        let entry = entry?;
        let name = String::from_utf8_lossy(entry.key()).into_owned();
        let row: PolicyRow = rows::decode(&entry.value()?, &format!("policy '{name}'"))?;
        set.insert(row.into_policy(&name));
    }
    Ok(set)
}

impl ObjectStore {
    /// Every policy, by name.
    pub fn policies(&self) -> Vec<Policy> {
        self.inner.policies.read().iter().map(|policy| Policy::clone(policy)).collect()
    }

    /// The policy of that name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], with the names that there are.
    pub fn policy(&self, name: &str) -> Result<Policy> {
        self.inner.policies.read().named(name).map(|policy| Policy::clone(policy))
    }

    /// Makes or replaces a policy and gives its new version. Objects that follow it get new due times at once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with every problem of the policy; storage's.
    pub fn put_policy(&self, policy: Policy) -> Result<u64> {
        policy.validate()?;
        let inner = &self.inner;
        let _alone = inner.changing_policies.lock();
        inner.finish_reindex()?;
        let mut policies = inner.policies.write();
        let version = policies.find(&policy.name).map_or(0, |old| old.version) + 1;
        let name = policy.name.clone();
        let policy = Policy { version, ..policy };
        let mut batch = inner.db.batch();
        batch.put(&inner.spaces.policies, name.clone().into_bytes(), rows::encode(&PolicyRow::of(&policy)));
        inner.write_policy_change(batch)?;
        Arc::make_mut(&mut policies).insert(policy);
        drop(policies);
        inner.reindex(|row| row.policy == name || builtin_name(row.kind()) == name)?;
        Ok(version)
    }

    /// Drops a policy. Objects that followed it follow the built-in one of their type from now on.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for a built-in policy; [`crate::ErrorKind::NotFound`]; storage's.
    pub fn drop_policy(&self, name: &str) -> Result<()> {
        let inner = &self.inner;
        let _alone = inner.changing_policies.lock();
        inner.finish_reindex()?;
        let mut policies = inner.policies.write();
        policies.named(name)?;
        if is_builtin(name) {
            return Err(Error::invalid(format!("'{name}' is built in: it may be altered but not dropped")));
        }
        let mut batch = inner.db.batch();
        batch.delete(&inner.spaces.policies, name.as_bytes().to_vec());
        inner.write_policy_change(batch)?;
        Arc::make_mut(&mut policies).remove(name);
        drop(policies);
        inner.reindex(|row| row.policy == name)
    }
}

impl Inner {
    fn write_policy_change(&self, mut batch: WriteBatch) -> Result<()> {
        batch.put(&self.spaces.meta, REINDEX.to_vec(), Vec::new());
        self.db.write(batch, Durability::Sync)?;
        self.budgets.try_anew();
        Ok(())
    }

    /// Visits what an interrupted change left unvisited.
    pub(super) fn finish_reindex(&self) -> Result<()> {
        match self.spaces.meta.get(REINDEX)? {
            Some(_) => self.reindex(|_| true),
            None => Ok(()),
        }
    }

    /// Gives new due times to the objects that `concerned` picks. What had stopped them is tried anew.
    fn reindex(&self, concerned: impl Fn(&ObjectRow) -> bool) -> Result<()> {
        let snapshot = self.db.snapshot();
        let mut chunk = Vec::with_capacity(VISITS_PER_CHUNK);
        for entry in snapshot.range(&self.spaces.objects, ..) {
            let entry = entry?;
            let Some(id) = keys::last_number(entry.key()).map(ObjectId) else { continue };
            // A damaged row keeps nobody else from a new due time, nor the store from opening.
            if super::decode_row(id, &entry.value()?).is_ok_and(|row| concerned(&row)) {
                chunk.push(id);
            }
            if chunk.len() == VISITS_PER_CHUNK {
                self.revisit(&chunk)?;
                chunk.clear();
            }
        }
        self.revisit(&chunk)?;
        let mut batch = self.db.batch();
        batch.delete(&self.spaces.meta, REINDEX.to_vec());
        self.db.write(batch, Durability::Buffered)?;
        Ok(())
    }

    fn revisit(&self, ids: &[ObjectId]) -> Result<()> {
        let now = self.now();
        let policies = self.policies.read();
        self.update_rows(ids, |_, row, _| {
            let before = row.clone();
            row.try_anew();
            row.at_floor = false;
            self.schedule(row, &policies, now);
            *row != before
        })
    }
}
