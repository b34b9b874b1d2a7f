//! Counting what is used, and seeing who may go.
//!
//! A *scene* is a way to look at all rows: as they are, or as they will be once everything that is due by a time has moved,
//! for forecasts and dry runs. A *survey* is one walk over it.
//!
//! Invariants: a content that several objects refer to counts once in the database and once in each tenant; who shares one
//! goes together or not at all (see [`super::sharing`]). Memory: 16 bytes for each content that is shared, nothing for the
//! others.

use super::sharing::{Judged, Walk};
use super::usual::Usual;
use super::{Blocked, BlockedObject, Budget, BudgetStatus, Candidate, Left, Protection};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::keys;
use crate::plan::Subject;
use crate::policy::{Policy, PolicySet};
use crate::rows::ObjectRow;
use crate::store::{Inner, decode_row};
use crate::types::{ContentHash, ObjectId, Stage};
use patina_storage::Snapshot;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Objects that a status names.
const NAMED_MAX: usize = 10;

/// The rows at a time.
pub(crate) struct Scene<'a> {
    pub inner: &'a Inner,
    pub snapshot: Snapshot,
    pub policies: Arc<PolicySet>,
    pub now: Timestamp,
    /// What a row will be by `now`, if things take their course; `None` if it will be gone. Rows are looked at as they are
    /// without it.
    pub course: Option<Course<'a>>,
}

/// See [`Scene::course`].
pub(crate) type Course<'a> = &'a dyn Fn(ObjectId, ObjectRow, &Policy) -> Option<ObjectRow>;

impl<'a> Scene<'a> {
    /// The rows as they are now.
    pub(crate) fn present(inner: &'a Inner, now: Timestamp) -> Self {
        let (snapshot, policies) = (inner.db.snapshot(), Arc::clone(&inner.policies.read()));
        Self { inner, snapshot, policies, now, course: None }
    }

    /// How the planner sees an object of the scene.
    pub(super) fn subject<'r>(&self, id: ObjectId, row: &'r ObjectRow, policy: &'r Policy) -> Subject<'r> {
        match self.course {
            // The course has counted the accesses that wait in memory.
            Some(_) => Subject { row, policy, effective: row.effective() },
            None => self.inner.subject(id, row, policy),
        }
    }

    pub(super) fn seen(&self, id: ObjectId, row: ObjectRow) -> Option<(ObjectRow, Arc<Policy>)> {
        let policy = self.policies.of(&row.policy, row.kind());
        let row = match self.course {
            Some(course) => course(id, row, &policy)?,
            None => row,
        };
        Some((row, policy))
    }

    /// Every row that can be read, in the order of their ids.
    pub(crate) fn for_each(
        &self,
        mut see: impl FnMut(ObjectId, &ObjectRow, &Policy) -> Result<()>,
    ) -> Result<()> {
        for entry in self.snapshot.range(&self.inner.spaces.objects, ..) {
            let entry = entry?;
            let Some(id) = keys::last_number(entry.key()).map(ObjectId) else { continue };
            let Ok(row) = decode_row(id, &entry.value()?) else { continue };
            if let Some((row, policy)) = self.seen(id, row) {
                see(id, &row, &policy)?;
            }
        }
        Ok(())
    }

    /// One object as a candidate for the budget of a tenant, or of all; `None` if it may not go, only follows another one, or
    /// is not there.
    pub(crate) fn candidate(
        &self,
        survey: &Survey,
        id: ObjectId,
        tenant: Option<&str>,
    ) -> Result<Option<Candidate>> {
        let found = match self.inner.row(Some(&self.snapshot), id) {
            Err(error) if error.is_damage() => return Ok(None),
            found => found?,
        };
        let Some((row, policy)) = found.and_then(|found| self.seen(id, found.row)) else { return Ok(None) };
        let judged = survey.judge(self, id, &row, &policy, tenant)?;
        Ok(judged.ok().filter(|candidate| candidate.id == id))
    }
}

/// What one walk over a scene found.
#[derive(Default)]
pub(crate) struct Survey {
    /// Bytes used in the whole database.
    total_bytes: u64,
    /// Bytes used by each tenant.
    tenants: BTreeMap<String, u64>,
    /// The beginnings of the contents that several objects refer to.
    shared: HashSet<u64>,
    usual: Usual,
}

pub(super) fn beginning(content: ContentHash) -> u64 {
    content.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl Survey {
    /// Walks over a scene.
    pub(crate) fn of(scene: &Scene<'_>) -> Result<Self> {
        let mut survey = Self { shared: shared_contents(scene)?, ..Self::default() };
        let mut counted: HashSet<(Option<String>, u64)> = HashSet::new();
        scene.for_each(|_, row, _| {
            survey.count(row, &mut counted);
            Ok(())
        })?;
        Ok(survey)
    }

    fn count(&mut self, row: &ObjectRow, counted: &mut HashSet<(Option<String>, u64)>) {
        self.usual.observe(row);
        let original = row.original().map(|content| (Some(content), row.original_stored));
        let tenant = match self.tenants.get_mut(&row.tenant) {
            Some(bytes) => bytes,
            None => self.tenants.entry(row.tenant.clone()).or_default(),
        };
        for (content, bytes) in [(row.content(), row.form_stored())].into_iter().chain(original) {
            let shared = content.map(beginning).filter(|content| self.shared.contains(content));
            let mut is_first = |whose| shared.is_none_or(|content| counted.insert((whose, content)));
            if is_first(None) {
                self.total_bytes += bytes;
            }
            if is_first(shared.map(|_| row.tenant.clone())) {
                *tenant += bytes;
            }
        }
    }

    /// Bytes used by a tenant, or by all.
    pub(crate) fn used_bytes(&self, tenant: Option<&str>) -> u64 {
        match tenant {
            Some(tenant) => self.tenants.get(tenant).copied().unwrap_or(0),
            None => self.total_bytes,
        }
    }

    /// What is used in all, and by each tenant.
    pub(super) fn by_tenant(&self) -> (u64, BTreeMap<String, u64>) {
        (self.total_bytes, self.tenants.clone())
    }

    /// Whether an object's content is another one's as well.
    pub(super) fn shares(&self, row: &ObjectRow) -> bool {
        row.content().is_some_and(|content| self.shared.contains(&beginning(content)))
    }

    pub(super) fn usual(&self) -> &Usual {
        &self.usual
    }

    /// What may become of an object for the sake of a tenant's budget, or of all, or why nothing may. Whoever shares its content
    /// goes along: the candidate has the id of the first of them.
    pub(crate) fn judge(
        &self,
        scene: &Scene<'_>,
        id: ObjectId,
        row: &ObjectRow,
        policy: &Policy,
        tenant: Option<&str>,
    ) -> Result<std::result::Result<Candidate, Protection>> {
        let subject = scene.subject(id, row, policy);
        if let Some(protection) = subject.budget_block(scene.now) {
            return Ok(Err(protection));
        }
        match row.content().filter(|_| self.shares(row)) {
            Some(content) => self.judge_together(scene, content, tenant),
            None => Ok(self.judge_alone(id, &subject, scene.now)),
        }
    }

    fn judge_alone(
        &self,
        id: ObjectId,
        subject: &Subject<'_>,
        at: Timestamp,
    ) -> std::result::Result<Candidate, Protection> {
        let (row, policy) = (subject.row, subject.policy);
        let now = Left { stage: row.stage(), bytes: row.form_stored(), fidelity: row.fidelity };
        let stages = subject.stages_for_budget(at)?;
        let ahead: Vec<Left> = stages.into_iter().map(|stage| self.left(row, stage)).collect();
        if ahead.iter().all(|left| left.bytes >= now.bytes) {
            return Err(Protection::LastStage);
        }
        let (weight, half_life, effective) = (policy.weight, policy.half_life, subject.effective);
        Ok(Candidate { id, followers: Vec::new(), weight, half_life, effective, now, ahead })
    }

    fn left(&self, row: &ObjectRow, stage: Stage) -> Left {
        let (bytes, fidelity) = self.usual.left(row, stage);
        Left { stage, bytes, fidelity }
    }

    /// How a budget stands, with what blocks it. Another walk over the rows.
    pub(crate) fn status(
        &self,
        scene: &Scene<'_>,
        tenant: Option<&str>,
        budget: Budget,
    ) -> Result<BudgetStatus> {
        let mut blocked: BTreeMap<Protection, Blocked> = BTreeMap::new();
        let mut largest: Vec<(BlockedObject, Option<ContentHash>)> = Vec::new();
        let mut walk = Walk::new(self, scene, tenant);
        scene.for_each(|id, row, policy| {
            if tenant.is_some_and(|tenant| tenant != row.tenant) || row.stored == 0 {
                return Ok(());
            }
            let Judged::Not(by) = walk.judge(id, row, policy)? else { return Ok(()) };
            let sum = blocked.entry(by).or_insert(Blocked { by, objects: 0, bytes: 0 });
            sum.objects += 1;
            sum.bytes += row.stored;
            let (name, tenant) = (row.name.clone(), row.tenant.clone());
            largest.push((BlockedObject { name, tenant, bytes: row.stored, by, holders: 1 }, row.content()));
            if largest.len() > 8 * NAMED_MAX {
                keep_largest(&mut largest);
            }
            Ok(())
        })?;
        keep_largest(&mut largest);
        let mut largest_blocked = Vec::with_capacity(largest.len());
        for (mut object, content) in largest {
            if let Some(content) = content {
                object.holders = scene.inner.referrers(&scene.snapshot, content)?.len().max(1) as u64;
            }
            largest_blocked.push(object);
        }
        let mut blocked: Vec<Blocked> = blocked.into_values().collect();
        blocked.sort_by_key(|sum| std::cmp::Reverse(sum.bytes));
        let (tenant, used_bytes) = (tenant.map(str::to_owned), self.used_bytes(tenant));
        Ok(BudgetStatus { tenant, budget, used_bytes, blocked, largest_blocked })
    }
}

fn keep_largest(objects: &mut Vec<(BlockedObject, Option<ContentHash>)>) {
    objects.sort_by(|(a, _), (b, _)| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    objects.truncate(NAMED_MAX);
}

/// The contents that more than one object refers to: neighbours in the index of references.
fn shared_contents(scene: &Scene<'_>) -> Result<HashSet<u64>> {
    let mut shared = HashSet::new();
    let mut last: Option<ContentHash> = None;
    for entry in scene.snapshot.range(&scene.inner.spaces.refs, ..) {
        let entry = entry?;
        let content = entry.key().get(..32).and_then(ContentHash::from_slice);
        if content.is_some() && content == last {
            shared.extend(content.map(beginning));
        }
        last = content;
    }
    Ok(shared)
}
