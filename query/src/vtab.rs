//! The bridge between SQLite's virtual tables and [`Table`]: the only unsafe code of this crate.
//!
//! rusqlite's traits are unsafe because SQLite takes a pointer to our struct for a pointer to its own `sqlite3_vtab`
//! or `sqlite3_vtab_cursor`. The two structs here therefore are `#[repr(C)]` and have that base first; that is all
//! the unsafe traits ask. The one unsafe call asks SQLite, from inside xUpdate, what `INSERT OR …` said; the
//! connection's handle is valid there, because the connection owns the table.
//!
//! Invariants: no panic may cross (there is none to raise); an error keeps its kind by being left in
//! [`Shared::fail`], as SQLite carries only its text.
#![expect(unsafe_code, reason = "rusqlite's virtual-table traits are unsafe to implement")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::types::ValueRef;
use rusqlite::vtab::{
    ConflictMode, Context, CreateVTab, Filters, IndexConstraintOp, IndexFlags, IndexInfo, Inserts, Module,
    TransactionVTab, UpdateVTab, Updates, VTab, VTabConfig, VTabConnection, VTabCursor, VTabKind,
    sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Error as SqliteError, Result as SqliteResult, ffi};

use crate::dialect::quote_name;
use crate::error::Error;
use crate::plan::{self, Choice, ColumnRef, Offer, Order, Plan};
use crate::selection::{Comparison, Conditions};
use crate::shared::Shared;
use crate::table::{OnConflict, Rows, Table};
use crate::value::Value;

/// The module every table is created with.
pub(crate) const MODULE: Module<'static, PatinaTab> = Module::update_module_with_tx();

/// The tables a session knows, by lower-case name, and what they share.
pub(crate) struct Registry {
    pub shared: Arc<Shared>,
    pub tables: Mutex<HashMap<String, Arc<dyn Table>>>,
}

/// A table inside SQLite.
#[repr(C)]
pub(crate) struct PatinaTab {
    base: sqlite3_vtab,
    db: *mut ffi::sqlite3,
    shared: Arc<Shared>,
    table: Arc<dyn Table>,
    /// Every plan made for this table; SQLite refers to them by number. Bounded by the ways to use an index.
    plans: Arc<Mutex<Vec<Plan>>>,
}

// SAFETY: `repr(C)` with the base first, as the trait asks.
unsafe impl VTab<'_> for PatinaTab {
    type Aux = Arc<Registry>;
    type Cursor = PatinaCursor;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _module: &[u8],
        _database: &[u8],
        name: &[u8],
        _arguments: &[&[u8]],
    ) -> SqliteResult<(Cow<'static, CStr>, Self)> {
        let name = String::from_utf8_lossy(name).to_lowercase();
        let registry = aux.ok_or_else(|| SqliteError::ModuleError("no registry".to_owned()))?;
        let table = registry.tables.lock().get(&name).map(Arc::clone);
        let table = table.ok_or_else(|| SqliteError::ModuleError(format!("no such table: {name}")))?;
        db.config(VTabConfig::ConstraintSupport)?;
        let declaration = CString::new(declaration(table.as_ref()))?;
        // SAFETY: the handle is only kept, and used only while SQLite calls into the table it belongs to.
        let handle = unsafe { db.handle() };
        let tab = Self {
            base: sqlite3_vtab::default(),
            db: handle,
            shared: Arc::clone(&registry.shared),
            table,
            plans: Arc::default(),
        };
        Ok((Cow::Owned(declaration), tab))
    }

    fn best_index(&self, info: &mut IndexInfo) -> SqliteResult<bool> {
        let shape = self.table.shape().map_err(|error| self.shared.fail(error))?;
        // An argument that comes from a table further out: only a plan in which that table comes first can give it.
        let arguments = self.table.arguments();
        if info.constraints().any(|one| !one.is_usable() && arguments.contains(&column_ref(one.column()))) {
            return Ok(false);
        }
        let offers = offers(info)?;
        let order: Vec<Order> = info
            .order_bys()
            .map(|term| Order { column: column_ref(term.column()), descending: term.is_order_by_desc() })
            .collect();
        let choice = plan::choose(&shape, &offers, &order);
        self.tell(info, choice)?;
        Ok(true)
    }

    fn open(&mut self) -> SqliteResult<PatinaCursor> {
        Ok(PatinaCursor {
            base: sqlite3_vtab_cursor::default(),
            shared: Arc::clone(&self.shared),
            table: Arc::clone(&self.table),
            plans: Arc::clone(&self.plans),
            rows: None,
        })
    }
}

impl PatinaTab {
    fn tell(&self, info: &mut IndexInfo, choice: Choice) -> SqliteResult<()> {
        for (argument, position) in (1..).zip(&choice.positions) {
            info.constraint_usage(*position).set_argv_index(argument);
            if choice.plan.any_of {
                info.set_in_constraint(*position, true)?;
            }
        }
        info.set_estimated_cost(choice.cost);
        info.set_estimated_rows(choice.rows as i64);
        info.set_order_by_consumed(choice.order_consumed);
        if choice.unique {
            info.set_idx_flags(IndexFlags::SQLITE_INDEX_SCAN_UNIQUE);
        }
        info.set_idx_str(&choice.plan.description);
        let mut plans = self.plans.lock();
        let number = plans.iter().position(|plan| *plan == choice.plan).unwrap_or_else(|| {
            plans.push(choice.plan);
            plans.len() - 1
        });
        info.set_idx_num(c_int::try_from(number).unwrap_or(c_int::MAX));
        Ok(())
    }

    fn sqlite<T>(&self, result: Result<T, Error>) -> SqliteResult<T> {
        result.map_err(|error| self.shared.fail(error))
    }
}

fn column_ref(column: c_int) -> ColumnRef {
    usize::try_from(column).map_or(ColumnRef::RowId, ColumnRef::Number)
}

fn comparison(operator: &IndexConstraintOp) -> Option<Comparison> {
    Some(match operator {
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ => Comparison::Equal,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LT => Comparison::Less,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LE => Comparison::LessEqual,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GT => Comparison::Greater,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GE => Comparison::GreaterEqual,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LIKE => Comparison::Like,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GLOB => Comparison::Glob,
        _ => return None,
    })
}

/// The conditions of SQLite's list that an index could use.
fn offers(info: &IndexInfo) -> SqliteResult<Vec<Offer>> {
    let mut offers = Vec::new();
    for (position, constraint) in info.constraints().enumerate() {
        let Some(comparison) = comparison(&constraint.operator()).filter(|_| constraint.is_usable()) else {
            continue;
        };
        offers.push(Offer {
            position,
            column: column_ref(constraint.column()),
            comparison,
            is_in: info.is_in_constraint(position)?,
            binary: info.collation(position)? == "BINARY",
            literal: info.rhs_value(position)?.map(Value::from),
        });
    }
    Ok(offers)
}

fn declaration(table: &dyn Table) -> String {
    let columns: Vec<String> = table
        .columns()
        .iter()
        .map(|column| {
            let hidden = if column.hidden { " HIDDEN" } else { "" };
            format!("{} {}{hidden}", quote_name(&column.name), column.declared)
        })
        .collect();
    format!("CREATE TABLE x({})", columns.join(", "))
}

impl CreateVTab<'_> for PatinaTab {
    const KIND: VTabKind = VTabKind::Default;
}

impl UpdateVTab<'_> for PatinaTab {
    fn delete(&mut self, row_id: ValueRef<'_>) -> SqliteResult<()> {
        self.sqlite(self.table.delete(integer(row_id).unwrap_or_default()))
    }

    fn insert(&mut self, arguments: &Inserts<'_>) -> SqliteResult<i64> {
        // SAFETY: called by SQLite from xUpdate, so the connection is alive.
        let mode = on_conflict(&unsafe { arguments.on_conflict(self.db) });
        let row_id = arguments.iter().nth(1).and_then(integer);
        let values = arguments.iter().skip(2).map(Value::from).collect();
        self.sqlite(self.table.insert(row_id, values, mode))
    }

    fn update(&mut self, arguments: &Updates<'_>) -> SqliteResult<()> {
        // SAFETY: called by SQLite from xUpdate, so the connection is alive.
        let mode = on_conflict(&unsafe { arguments.on_conflict(self.db) });
        let mut ids = arguments.iter().take(2).map(integer);
        let old = ids.next().flatten().unwrap_or_default();
        let new = ids.next().flatten();
        let new =
            new.ok_or_else(|| self.shared.fail(Error::invalid("a row's _id must be a whole number")))?;
        let values =
            arguments.iter().enumerate().skip(2).map(|(index, value)| {
                if arguments.no_change(index) { None } else { Some(Value::from(value)) }
            });
        let values = values.collect();
        self.sqlite(self.table.update(old, new, values, mode))
    }
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    }
}

fn on_conflict(mode: &ConflictMode) -> OnConflict {
    if *mode == ConflictMode::Replace { OnConflict::Replace } else { OnConflict::Fail }
}

impl TransactionVTab<'_> for PatinaTab {
    fn sync(&mut self) -> SqliteResult<()> {
        self.sqlite(self.table.commit())
    }

    fn commit(&mut self) -> SqliteResult<()> {
        self.table.forget();
        Ok(())
    }

    fn rollback(&mut self) -> SqliteResult<()> {
        self.table.forget();
        Ok(())
    }
}

/// A scan inside SQLite.
#[repr(C)]
pub(crate) struct PatinaCursor {
    base: sqlite3_vtab_cursor,
    shared: Arc<Shared>,
    table: Arc<dyn Table>,
    plans: Arc<Mutex<Vec<Plan>>>,
    /// `None` once the last row was passed.
    rows: Option<Box<dyn Rows>>,
}

impl PatinaCursor {
    fn step(&mut self) -> Result<(), Error> {
        self.shared.check_interrupt()?;
        if let Some(rows) = &mut self.rows {
            if rows.advance()? {
                self.shared.count_row();
            } else {
                self.rows = None;
            }
        }
        Ok(())
    }

    fn start(&mut self, number: c_int, arguments: &Filters<'_>) -> SqliteResult<()> {
        let plan = usize::try_from(number).ok().and_then(|number| self.plans.lock().get(number).cloned());
        let plan = plan.ok_or_else(|| SqliteError::ModuleError("no such plan".to_owned()))?;
        let conditions = if plan.any_of {
            Conditions { bounds: Vec::new(), any_of: Some(in_values(arguments)?) }
        } else {
            let values = arguments.iter().map(Value::from);
            Conditions { bounds: plan.arguments.iter().copied().zip(values).collect(), any_of: None }
        };
        let opened = self.table.open(&plan, conditions).map_err(|error| self.shared.fail(error))?;
        self.rows = Some(opened);
        self.step().map_err(|error| self.shared.fail(error))
    }
}

fn in_values(arguments: &Filters<'_>) -> SqliteResult<Vec<Value>> {
    use rusqlite::fallible_iterator::FallibleIterator;
    arguments.in_values(0)?.map(|value| Ok(Value::from(value))).collect()
}

// SAFETY: `repr(C)` with the base first, as the trait asks.
unsafe impl VTabCursor for PatinaCursor {
    fn filter(
        &mut self,
        number: c_int,
        _description: Option<&str>,
        arguments: &Filters<'_>,
    ) -> SqliteResult<()> {
        self.rows = None;
        self.start(number, arguments)
    }

    fn next(&mut self) -> SqliteResult<()> {
        self.step().map_err(|error| self.shared.fail(error))
    }

    fn eof(&self) -> bool {
        self.rows.is_none()
    }

    fn column(&self, context: &mut Context, column: c_int) -> SqliteResult<()> {
        if context.no_change() {
            return Ok(());
        }
        let Some(rows) = &self.rows else { return Ok(()) };
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        let value = rows.value(column).map_err(|error| self.shared.fail(error))?;
        context.set_result(value)
    }

    fn rowid(&self) -> SqliteResult<i64> {
        Ok(self.rows.as_ref().map_or(0, |rows| rows.row_id()))
    }
}
