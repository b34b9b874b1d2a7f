//! Budgets as they are set, and how much is used as far as is known without counting.
//!
//! Counting reads every row, so it happens when there is reason to think that a budget is exceeded. What is known in between
//! is an upper bound: the bytes of the last count and all that was added since; what went meanwhile is not taken off, because
//! of shared contents nobody knows how much of it was free. The bound costs an addition a commit, and nothing without a budget.
//!
//! Invariants: an exceeded budget is noticed at the latest when a hundredth of it was added; a put is refused only after a
//! count that knows everything written before.

use super::survey::{Scene, Survey};
use super::{Budget, BudgetStatus};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::rows::{self, BudgetRow, BudgetsRow, HistoryRecord};
use crate::store::{Inner, ObjectStore, Spaces, check_tenant};
use crate::types::Reason;
use parking_lot::Mutex;
use patina_storage::Durability;
use std::collections::BTreeMap;

const BUDGETS: &[u8] = b"budgets";

/// A budget that could not be met is tried again after so long, or when somebody changes an object or a policy.
const TRY_AGAIN_MS: u64 = 3_600_000;

/// Of a budget, the share that may be added before it is counted again.
const UNCOUNTED_SHARE: u64 = 100;

/// A budget's owner; `None` is the whole database.
type Owner = Option<String>;

#[derive(Default)]
struct State {
    set: BTreeMap<Owner, Budget>,
    /// Bytes used at the last count: all, and by tenant. `None` before the first.
    counted: Option<(u64, BTreeMap<String, u64>)>,
    /// Bytes added since.
    grown: BTreeMap<Owner, u64>,
    /// Budgets that could not be met, and when that was found.
    short: BTreeMap<Owner, Timestamp>,
}

impl State {
    fn counted_bytes(&self, owner: &Owner) -> Option<u64> {
        let (all, tenants) = self.counted.as_ref()?;
        Some(owner.as_ref().map_or(*all, |tenant| tenants.get(tenant).copied().unwrap_or(0)))
    }

    fn grown_bytes(&self, owner: &Owner) -> u64 {
        self.grown.get(owner).copied().unwrap_or(0)
    }

    fn wants_a_round(&self, owner: &Owner, budget: &Budget, now: Timestamp) -> bool {
        let Some(counted) = self.counted_bytes(owner) else { return true };
        let grown = self.grown_bytes(owner);
        if counted.saturating_add(grown) <= budget.starts_above_bytes() {
            return false;
        }
        let tried = self.short.get(owner).is_some_and(|at| at.0.saturating_add(TRY_AGAIN_MS) > now.0);
        let has_grown = grown > budget.bytes / UNCOUNTED_SHARE;
        has_grown || (counted > budget.starts_above_bytes() && !tried)
    }
}

/// The budgets of a store.
pub(crate) struct Budgets(Mutex<State>);

impl Budgets {
    /// Reads what is set.
    pub(crate) fn load(spaces: &Spaces) -> Result<Self> {
        let mut state = State::default();
        if let Some(bytes) = spaces.meta.get(BUDGETS)? {
            let row: BudgetsRow = rows::decode(&bytes, "the budgets")?;
            let budgets = row.budgets.into_iter().filter(|budget| budget.bytes > 0);
            state.set = budgets
                .map(|row| (row.tenant, Budget { bytes: row.bytes, refuse_writes: row.refuse_writes }))
                .collect();
        }
        Ok(Self(Mutex::new(state)))
    }

    /// The budgets, those of tenants first: what they free counts for the database as well.
    pub(crate) fn all(&self) -> Vec<(Owner, Budget)> {
        let mut all: Vec<_> =
            self.0.lock().set.iter().map(|(owner, budget)| (owner.clone(), *budget)).collect();
        all.sort_by_key(|(owner, _)| owner.is_none());
        all
    }

    /// Those that may be exceeded and are worth counting for.
    pub(crate) fn wanting_a_round(&self, now: Timestamp) -> Vec<(Owner, Budget)> {
        let mut all = self.all();
        let state = self.0.lock();
        all.retain(|(owner, budget)| state.wants_a_round(owner, budget, now));
        all
    }

    /// Takes notice of what was committed. To be called under the journal's lock.
    pub(crate) fn committed(&self, records: &[(String, u64, bool)]) {
        let mut state = self.0.lock();
        if state.set.is_empty() {
            return;
        }
        for (tenant, bytes, is_control) in records {
            for owner in [None, Some(tenant.clone())] {
                if state.set.contains_key(&owner) {
                    *state.grown.entry(owner).or_default() += bytes;
                }
            }
            if *is_control {
                state.short.clear();
            }
        }
    }

    /// What of a commit concerns the budgets; to be taken before it, and told by [`Budgets::committed`] after it.
    pub(crate) fn growth(&self, records: &[HistoryRecord]) -> Vec<(String, u64, bool)> {
        if self.0.lock().set.is_empty() {
            return Vec::new();
        }
        let growth = records.iter().map(|record| {
            let is_control = record.reason == Reason::Control.as_str();
            (record.tenant.clone(), record.bytes_after.saturating_sub(record.bytes_before), is_control)
        });
        growth.collect()
    }

    /// Lets budgets that could not be met be tried again.
    pub(crate) fn try_anew(&self) {
        self.0.lock().short.clear();
    }

    /// Remembers that a budget could not be met.
    pub(crate) fn note_short(&self, owner: &Owner, now: Timestamp) {
        self.0.lock().short.insert(owner.clone(), now);
    }
}

impl Inner {
    /// Counts what is used, as of now.
    pub(crate) fn count_used(&self, now: Timestamp) -> Result<(Scene<'_>, Survey)> {
        let scene = {
            let _no_commit = self.journal.lock();
            self.budgets.0.lock().grown.clear();
            Scene::present(self, now)
        };
        let survey = Survey::of(&scene)?;
        self.budgets.0.lock().counted = Some(survey.by_tenant());
        Ok((scene, survey))
    }

    /// Refuses a put of so many bytes if it would go beyond a budget whose owner wants that.
    pub(crate) fn check_room(&self, tenant: &str, bytes: u64) -> Result<()> {
        let owners = [Some(tenant.to_owned()), None];
        let exceeded = || {
            let state = self.budgets.0.lock();
            owners.iter().find_map(|owner| {
                let budget = state.set.get(owner).filter(|budget| budget.refuse_writes)?;
                let used = state
                    .counted_bytes(owner)
                    .map(|counted| counted.saturating_add(state.grown_bytes(owner)));
                let is_certain = used.is_some() && state.grown_bytes(owner) == 0;
                let is_full = used.is_none_or(|used| used.saturating_add(bytes) > budget.bytes);
                is_full.then(|| (owner.clone(), *budget, used.unwrap_or(0), is_certain))
            })
        };
        match exceeded() {
            None => return Ok(()),
            Some((_, _, _, true)) => {}
            Some(_) => drop(self.count_used(self.now())?),
        }
        let Some((owner, budget, used, _)) = exceeded() else { return Ok(()) };
        let whose = owner.map_or_else(|| "the database".to_owned(), |tenant| format!("tenant '{tenant}'"));
        Err(Error::new(
            ErrorKind::OverBudget,
            format!(
                "{bytes} bytes more would be beyond the budget of {whose}: {used} of {} are used, and writes are refused \
                 beyond it. Raise the budget, delete or purge objects, or run a tick to make room",
                budget.bytes
            ),
        ))
    }
}

impl ObjectStore {
    /// Sets the budget of a tenant, or of the whole database, or takes it away with `None`. Rounds of decay keep it from
    /// the next one on.
    ///
    /// ```
    /// use patina_objects::{Budget, ManualClock, ObjectStore, PutOptions, StoreOptions, TickOptions, Timestamp};
    /// # use patina_storage::{Db, MemVfs, Options};
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let store = ObjectStore::open(db, std::sync::Arc::new(ManualClock::new(Timestamp(0))), StoreOptions::default())?;
    /// let text = "The lighthouse warns ships. Copper turns green. ".repeat(200);
    /// store.put("notes.txt", text.as_bytes(), &PutOptions::default())?;
    /// let used = store.stat("default", "notes.txt")?.stored;
    ///
    /// store.set_budget(None, Some(Budget { bytes: used / 2, refuse_writes: false }))?;
    /// let report = store.tick(&TickOptions::default())?;
    /// assert_eq!(report.budgets[0].used_bytes_before, used);
    /// assert!(report.moved > 0 && store.budgets().len() == 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a budget of no bytes or a tenant that cannot be; [`ErrorKind::NotFound`] when there is no
    /// budget to take away; storage's.
    pub fn set_budget(&self, tenant: Option<&str>, budget: Option<Budget>) -> Result<()> {
        tenant.map_or(Ok(()), check_tenant)?;
        if budget.is_some_and(|budget| budget.bytes == 0) {
            return Err(Error::invalid(
                "a budget must have at least 1 byte; to have none, take it away; to have no bytes, purge the objects",
            ));
        }
        let inner = &self.inner;
        // A change of budgets is one of what is known of them, too: no count may come in between.
        let _alone = inner.changing_policies.lock();
        let owner = tenant.map(str::to_owned);
        let mut set = inner.budgets.0.lock().set.clone();
        match budget {
            Some(budget) => drop(set.insert(owner, budget)),
            None if set.remove(&owner).is_none() => {
                return Err(Error::new(ErrorKind::NotFound, "there is no such budget: none was set"));
            }
            None => {}
        }
        let budgets = set.iter().map(|(tenant, budget)| BudgetRow {
            tenant: tenant.clone(),
            bytes: budget.bytes,
            refuse_writes: budget.refuse_writes,
        });
        let mut batch = inner.db.batch();
        batch.put(
            &inner.spaces.meta,
            BUDGETS.to_vec(),
            rows::encode(&BudgetsRow { budgets: budgets.collect() }),
        );
        inner.db.write(batch, Durability::Sync)?;
        *inner.budgets.0.lock() = State { set, ..State::default() };
        inner.ring_schedulers();
        Ok(())
    }

    /// The budgets that are set: those of tenants by name, then that of the database.
    pub fn budgets(&self) -> Vec<(Option<String>, Budget)> {
        self.inner.budgets.all()
    }

    /// How every budget stands, and what blocks it. Complexity: every row twice and every reference once.
    ///
    /// # Errors
    /// Storage's.
    pub fn budget_status(&self) -> Result<Vec<BudgetStatus>> {
        let budgets = self.budgets();
        if budgets.is_empty() {
            return Ok(Vec::new());
        }
        let (scene, survey) = self.inner.count_used(self.now())?;
        budgets.into_iter().map(|(tenant, budget)| survey.status(&scene, tenant.as_deref(), budget)).collect()
    }

    /// Whether a round is due for the sake of a budget, as far as is known without counting.
    pub(crate) fn wants_a_round_for_budgets(&self) -> bool {
        !self.inner.budgets.wanting_a_round(self.now()).is_empty()
    }
}
