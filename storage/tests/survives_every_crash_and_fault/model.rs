//! What a database must hold: one state after each write of a history.
//!
//! A database that was interrupted holds what the history had after some prefix of its writes: at least all that were acknowledged as
//! durable (those before count with them), at most all that were begun, and never a part of one.

use patina_storage::*;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

/// A value stands for its length and checksum.
pub type Values = BTreeMap<Vec<u8>, (usize, u32)>;
/// The keyspaces by name.
pub type State = BTreeMap<String, Values>;

pub fn digest(value: &[u8]) -> (usize, u32) {
    (value.len(), crc32fast::hash(value))
}

/// All that a database holds, read back.
pub fn contents(db: &Db) -> Result<State> {
    let mut state = State::new();
    for name in db.keyspaces() {
        let keyspace = db.keyspace(&name, KeyspaceOptions::default())?;
        let mut values = Values::new();
        for entry in keyspace.range(..) {
            let entry = entry?;
            values.insert(entry.key().to_vec(), digest(&entry.value()?));
        }
        state.insert(name, values);
    }
    Ok(state)
}

#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Inner>>);

struct Inner {
    /// After each write that was begun and not refused; the first is empty.
    states: Vec<Arc<State>>,
    /// How many of `states` come before the newest that is acknowledged: against the process's death, and against a power loss.
    acknowledged: usize,
    durable: usize,
    /// What the checkpoint holds, once it was acknowledged.
    checkpoint: Option<Arc<State>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self { states: vec![Arc::default()], acknowledged: 0, durable: 0, checkpoint: None }
    }
}

/// What a history allows at a moment.
pub struct Allowed {
    states: Vec<Arc<State>>,
    pub checkpoint: Option<Arc<State>>,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// A write begins: from here on it may be there, as a whole.
    pub fn begin(&self, change: impl FnOnce(&mut State)) {
        let mut inner = self.lock();
        let mut state = State::clone(inner.states.last().unwrap());
        change(&mut state);
        inner.states.push(Arc::new(state));
    }

    /// The database was opened, and this is what it holds: no other state is possible any more.
    pub fn begin_with(&self, state: State) {
        let mut inner = self.lock();
        inner.states = vec![Arc::new(state)];
        (inner.acknowledged, inner.durable) = (0, 0);
    }

    pub fn acknowledge(&self, durability: Durability) {
        let mut inner = self.lock();
        inner.acknowledged = inner.states.len() - 1;
        if durability == Durability::Sync {
            inner.durable = inner.acknowledged;
        }
    }

    /// The write that was begun last is refused, and leaves no trace.
    pub fn refuse(&self) {
        self.lock().states.pop();
    }

    /// All that was acknowledged is durable now.
    pub fn settle(&self) {
        let mut inner = self.lock();
        inner.durable = inner.acknowledged;
    }

    pub fn checkpoint_taken(&self) {
        let mut inner = self.lock();
        inner.checkpoint = inner.states.get(inner.acknowledged).cloned();
    }

    /// What must be visible to the running program: all that was acknowledged; the last write may have been begun.
    pub fn visible(&self) -> Allowed {
        let inner = self.lock();
        inner.allowed(inner.acknowledged..=inner.states.len() - 1)
    }

    pub fn after_kill(&self) -> Allowed {
        self.visible()
    }

    pub fn after_power_loss(&self) -> Allowed {
        let inner = self.lock();
        inner.allowed(inner.durable..=inner.states.len() - 1)
    }
}

impl Inner {
    fn allowed(&self, which: RangeInclusive<usize>) -> Allowed {
        Allowed { states: self.states[which].to_vec(), checkpoint: self.checkpoint.clone() }
    }
}

impl Allowed {
    /// Only one state, and the same checkpoint.
    pub fn exactly(&self, state: State) -> Self {
        Self { states: vec![Arc::new(state)], checkpoint: self.checkpoint.clone() }
    }

    /// Whether this is one of the states; if not, how it differs from the nearest.
    pub fn check(&self, found: &State) -> std::result::Result<(), String> {
        if self.states.iter().any(|state| **state == *found) {
            return Ok(());
        }
        let difference = |state: &State| {
            let names: std::collections::BTreeSet<_> = state.keys().chain(found.keys()).collect();
            let mut lines = Vec::new();
            for name in names {
                let (Some(wanted), Some(got)) = (state.get(name), found.get(name)) else {
                    let has = if found.contains_key(name) { "there" } else { "missing" };
                    lines.push(format!("keyspace {name} is {has}"));
                    continue;
                };
                let keys: std::collections::BTreeSet<_> = wanted.keys().chain(got.keys()).collect();
                for key in keys.into_iter().filter(|key| wanted.get(*key) != got.get(*key)) {
                    let (wanted, got) = (wanted.get(key), got.get(key));
                    lines.push(format!("{name} '{}': {got:?} instead of {wanted:?}", key.escape_ascii()));
                }
            }
            lines
        };
        let nearest = self.states.iter().map(|state| difference(state)).min_by_key(Vec::len).unwrap();
        Err(format!("it is none of {} states; the nearest differs: {nearest:#?}", self.states.len()))
    }
}
