//! `objects`: the object store as a table.
//!
//! Reads use the store's own indexes; UPDATE (name, policy, pinned, rate, keep_original) and DELETE go through the store, which
//! knows about holds, policies and history. Their changes wait until the whole statement has been worked out and
//! checked, and are then made one after the other: each is atomic, and if one is refused after all, the error says
//! how many were made before it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use patina_objects::{ListFilter, ObjectId, ObjectInfo, Objects, Stage, Timestamp};
use patina_storage::Seqno;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{ColumnRef, IndexShape, Plan, TableShape};
use crate::selection::{Conditions, TextRange};
use crate::shared::Shared;
use crate::table::{Cell, OnConflict, Rows, Table, TableColumn, cell};
use crate::value::Value;

static COLUMNS: [TableColumn; 24] = [
    TableColumn::new("id", "INTEGER"),
    TableColumn::new("name", "TEXT"),
    TableColumn::new("tenant", "TEXT"),
    TableColumn::new("type", "TEXT"),
    TableColumn::new("media_type", "TEXT"),
    TableColumn::new("size", "BYTES"),
    TableColumn::new("stored", "BYTES"),
    TableColumn::new("stage", "STAGE"),
    TableColumn::new("heat", "REAL"),
    TableColumn::new("fidelity", "REAL"),
    TableColumn::new("policy", "TEXT"),
    TableColumn::new("created_at", "TIMESTAMP"),
    TableColumn::new("accessed_at", "TIMESTAMP"),
    TableColumn::new("effective_at", "TIMESTAMP"),
    TableColumn::new("next_decay_at", "TIMESTAMP"),
    TableColumn::new("origin_hash", "TEXT"),
    TableColumn::new("content_hash", "TEXT"),
    TableColumn::new("pinned", "BOOLEAN"),
    TableColumn::new("held", "BOOLEAN"),
    TableColumn::new("original_kept", "BOOLEAN"),
    TableColumn::new("restore_until", "TIMESTAMP"),
    TableColumn::new("rate", "REAL"),
    TableColumn::new("error", "TEXT"),
    TableColumn::new("keep_original", "BOOLEAN"),
];

fn column(name: &str) -> usize {
    COLUMNS.iter().position(|column| column.name == name).unwrap_or(usize::MAX)
}

/// Objects counted a stage when the planner wants to know; more are estimated.
const SAMPLE_MAX: usize = 256;
/// Writes after which the counts are taken again.
const SAMPLE_WRITES: u64 = 1_000;

/// The table.
pub(crate) struct ObjectsTable {
    shared: Arc<Shared>,
    changes: Mutex<Vec<Change>>,
    sampled: Mutex<Option<(Seqno, [u64; 5])>>,
}

/// What a statement wants to be done to one object.
struct Change {
    name: String,
    edit: Edit,
}

enum Edit {
    Delete,
    Policy(String),
    Pinned(bool),
    KeepOriginal(bool),
    Rate(f64),
    Rename(String),
}

impl ObjectsTable {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, changes: Mutex::default(), sampled: Mutex::default() }
    }

    /// About how many objects there are in each stage, at a bounded price.
    fn by_stage(&self) -> Result<[u64; 5]> {
        let now = self.shared.snapshot().seqno();
        let mut sampled = self.sampled.lock();
        if let Some((at, counts)) = *sampled
            && now.0.saturating_sub(at.0) < SAMPLE_WRITES
        {
            return Ok(counts);
        }
        let mut counts = [0_u64; 5];
        for (count, stage) in counts.iter_mut().zip(Stage::ALL) {
            for object in self.list(&ListFilter { stage: Some(stage), ..self.filter() }).take(SAMPLE_MAX) {
                object?;
                *count += 1;
            }
        }
        let stats = self.shared.db.stats();
        let entries =
            stats.keyspaces.iter().find(|keyspace| keyspace.name == "objects").map_or(0, |k| k.entries);
        let full = counts.iter().filter(|count| **count == SAMPLE_MAX as u64).count() as u64;
        let rest = entries.saturating_sub(counts.iter().sum());
        for count in counts.iter_mut().filter(|count| **count == SAMPLE_MAX as u64) {
            *count += rest / full.max(1);
        }
        *sampled = Some((now, counts));
        Ok(counts)
    }

    fn filter(&self) -> ListFilter {
        ListFilter { tenant: Some(self.shared.tenant.clone()), ..ListFilter::default() }
    }

    fn list(&self, filter: &ListFilter) -> Objects {
        self.shared.store.list_at(&self.shared.snapshot(), filter)
    }

    fn by_id(&self, id: i64) -> Result<Option<ObjectInfo>> {
        let Ok(id) = u64::try_from(id) else { return Ok(None) };
        let mut found = self.list(&ListFilter { id: Some(ObjectId(id)), ..self.filter() });
        Ok(found.next().transpose()?)
    }

    /// The object of exactly this name: the first of those that begin with it.
    fn by_name(&self, name: String) -> Result<Option<ObjectInfo>> {
        let mut found = self.list(&ListFilter { name_prefix: Some(name.clone()), ..self.filter() });
        Ok(found.next().transpose()?.filter(|object| object.name == name))
    }

    fn index_shape(&self, index: Index, rows: f64, by_stage: &[u64]) -> IndexShape {
        let (name, column_name, extra) = match index {
            Index::Id => ("primary key", "id", Some(ColumnRef::RowId)),
            Index::Name => ("name index", "name", None),
            Index::Stage => ("stage index", "stage", None),
            Index::Due => ("due index", "next_decay_at", None),
        };
        let own = ColumnRef::Number(column(column_name));
        let unique = matches!(index, Index::Id | Index::Name);
        IndexShape {
            name,
            columns: std::iter::once(own).chain(extra).collect(),
            also: Vec::new(),
            column_name: column_name.to_owned(),
            text: index == Index::Name,
            unique: index == Index::Id,
            rows_equal: if unique { 1.0 } else { rows / 5.0 },
            rows_range: if index == Index::Stage { rows / 2.0 } else { rows / 4.0 },
            ranges: index != Index::Id,
            histogram: if index == Index::Stage { by_stage.to_vec() } else { Vec::new() },
            ordered: index == Index::Name,
        }
    }

    fn stage_sources(&self, conditions: &Conditions) -> Vec<Objects> {
        let ranges = conditions.integers();
        let wanted = Stage::ALL.into_iter().filter(|stage| {
            let number = i64::from(stage.number());
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&number))
        });
        wanted.map(|stage| self.list(&ListFilter { stage: Some(stage), ..self.filter() })).collect()
    }

    fn name_sources(&self, conditions: &Conditions) -> Result<Source> {
        let mut sources = Vec::new();
        let mut found = Vec::new();
        for range in conditions.texts() {
            let prefix = match range {
                TextRange::Is(name) => {
                    found.extend(self.by_name(name)?);
                    continue;
                }
                TextRange::Prefix(prefix) => prefix,
                TextRange::Between(low, high) => common_prefix(&low, &high),
            };
            sources.push(self.list(&ListFilter { name_prefix: Some(prefix), ..self.filter() }));
        }
        Ok(if sources.is_empty() { Source::Found(found.into_iter()) } else { Source::chain(sources) })
    }

    fn due_source(&self, conditions: &Conditions) -> Source {
        let latest = conditions.integers().last().map(|(_, high)| *high);
        let Some(latest) = latest.and_then(|latest| u64::try_from(latest).ok()) else {
            return Source::Found(Vec::new().into_iter());
        };
        let filter = ListFilter { due_before: Some(Timestamp(latest)), ..self.filter() };
        Source::chain(vec![self.list(&filter)])
    }

    fn edits(&self, object: &ObjectInfo, values: Vec<Option<Value>>) -> Result<Vec<Edit>> {
        let mut edits = Vec::new();
        for (number, value) in values.into_iter().enumerate() {
            let (Some(value), Some(column)) = (value, COLUMNS.get(number)) else { continue };
            edits.push(match (column.name.as_ref(), value) {
                ("policy", Value::Text(policy)) => {
                    self.shared.store.policy(&policy)?;
                    Edit::Policy(policy)
                }
                ("pinned", Value::Integer(pinned @ 0..=1)) => Edit::Pinned(pinned == 1),
                ("keep_original", Value::Integer(keep @ 0..=1)) => Edit::KeepOriginal(keep == 1),
                ("rate", Value::Real(rate)) => Edit::Rate(rate),
                ("rate", Value::Integer(rate)) => Edit::Rate(rate as f64),
                ("name", Value::Text(name)) if name == object.name => continue,
                ("name", Value::Text(name)) => Edit::Rename(name),
                ("policy" | "name", _) => {
                    return Err(Error::invalid(format!("{} must be text", column.name)));
                }
                ("pinned" | "keep_original", _) => {
                    return Err(Error::invalid(format!("{} must be true or false", column.name)));
                }
                ("rate", _) => return Err(Error::invalid("rate must be a number from 0.1 to 10")),
                (other, _) => {
                    let message = format!(
                        "{other} of objects cannot be set; name, policy, pinned, rate and keep_original can"
                    );
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
            });
        }
        // The name last: the other changes refer to the object by its old one.
        edits.sort_by_key(|edit| matches!(edit, Edit::Rename(_)));
        Ok(edits)
    }

    fn wait(&self, changes: impl Iterator<Item = Change>) -> Result<()> {
        let mut waiting = self.changes.lock();
        waiting.extend(changes);
        // About 200 bytes each with the name.
        if waiting.len() > self.shared.statement_bytes_max / 200 {
            return Err(Error::new(
                ErrorKind::Limit,
                "the statement changes too many objects at once: do it in parts, by id",
            ));
        }
        Ok(())
    }

    fn apply(&self, change: &Change) -> patina_objects::Result<()> {
        let (store, tenant, name) = (&self.shared.store, self.shared.tenant.as_str(), change.name.as_str());
        match &change.edit {
            Edit::Delete => store.delete(tenant, name),
            Edit::Policy(policy) => store.set_policy(tenant, name, policy),
            Edit::Pinned(pinned) => store.set_pinned(tenant, name, *pinned),
            Edit::KeepOriginal(keep) => store.set_keep_original(tenant, name, *keep),
            Edit::Rate(rate) => store.set_rate(tenant, name, *rate),
            Edit::Rename(new_name) => store.rename(tenant, name, new_name),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    Id,
    Name,
    Stage,
    Due,
}

const INDEXES: [Index; 4] = [Index::Id, Index::Name, Index::Stage, Index::Due];

fn common_prefix(low: &Bound<String>, high: &Bound<String>) -> String {
    let (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) =
        (low, high)
    else {
        return String::new();
    };
    low.chars().zip(high.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

impl Table for ObjectsTable {
    fn name(&self) -> &str {
        "objects"
    }

    fn columns(&self) -> &[TableColumn] {
        &COLUMNS
    }

    fn shape(&self) -> Result<TableShape> {
        let by_stage = self.by_stage()?;
        let rows = by_stage.iter().sum::<u64>().max(1) as f64;
        let indexes = INDEXES.iter().map(|index| self.index_shape(*index, rows, &by_stage)).collect();
        Ok(TableShape { rows, indexes, scan_order: vec![ColumnRef::RowId, ColumnRef::Number(column("id"))] })
    }

    fn open(&self, plan: &Plan, conditions: Conditions) -> Result<Box<dyn Rows>> {
        let source = match plan.index.and_then(|index| INDEXES.get(index)) {
            None => Source::chain(vec![self.list(&self.filter())]),
            Some(Index::Id) => {
                let points = conditions.integers().into_iter().filter(|(low, high)| low == high);
                let found = points.map(|(id, _)| self.by_id(id)).filter_map(Result::transpose);
                Source::Found(found.collect::<Result<Vec<_>>>()?.into_iter())
            }
            Some(Index::Name) => self.name_sources(&conditions)?,
            Some(Index::Stage) => Source::chain(self.stage_sources(&conditions)),
            Some(Index::Due) => self.due_source(&conditions),
        };
        Ok(Box::new(ObjectRows { source, current: None }))
    }

    fn update(
        &self,
        row_id: i64,
        new_row_id: i64,
        values: Vec<Option<Value>>,
        _on_conflict: OnConflict,
    ) -> Result<()> {
        if row_id != new_row_id {
            return Err(Error::new(ErrorKind::Unsupported, "the id of an object cannot be set"));
        }
        let Some(object) = self.by_id(row_id)? else { return Ok(()) };
        let edits = self.edits(&object, values)?;
        self.wait(edits.into_iter().map(|edit| Change { name: object.name.clone(), edit }))
    }

    fn delete(&self, row_id: i64) -> Result<()> {
        let Some(object) = self.by_id(row_id)? else { return Ok(()) };
        if object.held {
            let message = format!("{} is held: RELEASE '{0}' first", object.name);
            return Err(Error::new(ErrorKind::Objects(patina_objects::ErrorKind::Held), message));
        }
        self.wait(std::iter::once(Change { name: object.name, edit: Edit::Delete }))
    }

    fn commit(&self) -> Result<()> {
        let changes = std::mem::take(&mut *self.changes.lock());
        check_renames(&changes)?;
        for (done, change) in changes.iter().enumerate() {
            let applied = self.shared.check_interrupt().and_then(|()| Ok(self.apply(change)?));
            applied.map_err(|error| match done {
                0 => error,
                _ => Error::new(
                    error.kind(),
                    format!("{} ({done} of {} changes were made)", error.message(), changes.len()),
                ),
            })?;
        }
        Ok(())
    }

    fn forget(&self) {
        self.changes.lock().clear();
    }
}

/// Two objects cannot get the same name.
fn check_renames(changes: &[Change]) -> Result<()> {
    let mut names: BTreeMap<&str, ()> = BTreeMap::new();
    for change in changes {
        if let Edit::Rename(name) = &change.edit
            && names.insert(name, ()).is_some()
        {
            let message = format!("two objects would be called '{name}': names must be unique");
            return Err(Error::new(ErrorKind::Constraint, message));
        }
    }
    Ok(())
}

enum Source {
    Found(std::vec::IntoIter<ObjectInfo>),
    Lists { lists: std::vec::IntoIter<Objects>, current: Option<Box<Objects>> },
}

impl Source {
    fn chain(lists: Vec<Objects>) -> Self {
        Self::Lists { lists: lists.into_iter(), current: None }
    }

    fn next(&mut self) -> Result<Option<ObjectInfo>> {
        match self {
            Self::Found(found) => Ok(found.next()),
            Self::Lists { lists, current } => loop {
                if let Some(object) = current.as_mut().and_then(|list| list.next()) {
                    return Ok(Some(object?));
                }
                *current = lists.next().map(Box::new);
                if current.is_none() {
                    return Ok(None);
                }
            },
        }
    }
}

struct ObjectRows {
    source: Source,
    current: Option<ObjectInfo>,
}

impl Rows for ObjectRows {
    fn advance(&mut self) -> Result<bool> {
        self.current = self.source.next()?;
        Ok(self.current.is_some())
    }

    fn row_id(&self) -> i64 {
        self.current.as_ref().map_or(0, |object| i64::try_from(object.id.0).unwrap_or(i64::MAX))
    }

    fn value(&self, column: usize) -> Result<Cell<'_>> {
        let Some(object) = &self.current else { return Ok(cell::null()) };
        let time = |time: Timestamp| cell::unsigned(time.0);
        Ok(match column {
            0 => cell::unsigned(object.id.0),
            1 => cell::text(&object.name),
            2 => cell::text(&object.tenant),
            3 => cell::text(object.kind.as_str()),
            4 => cell::text(&object.media_type),
            5 => cell::unsigned(object.size),
            6 => cell::unsigned(object.stored),
            7 => cell::integer(object.stage.number().into()),
            8 => cell::real(object.heat),
            9 => cell::real(object.fidelity),
            10 => cell::text(&object.policy),
            11 => time(object.created_at),
            12 => time(object.accessed_at),
            13 => time(object.effective_at),
            14 => cell::optional(object.next_decay_at, time),
            15 => cell::hex(&object.origin_hash),
            16 => cell::optional(object.content_hash, |hash| cell::hex(&hash)),
            17 => cell::boolean(object.pinned),
            18 => cell::boolean(object.held),
            19 => cell::boolean(object.original_kept),
            20 => cell::optional(object.restore_until, time),
            21 => cell::real(object.rate),
            22 => cell::optional(object.error.as_deref(), cell::text),
            23 => cell::boolean(object.keep_original),
            _ => cell::null(),
        })
    }
}
