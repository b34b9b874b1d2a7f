//! `policies`: every policy with its settings, as CREATE POLICY takes them.

use std::sync::Arc;

use crate::error::Result;
use crate::plan::{ColumnRef, Plan, TableShape};
use crate::selection::Conditions;
use crate::shared::Shared;
use crate::table::{MaterialRows, Rows, Table, TableColumn};
use crate::tables::settings;
use crate::value::Value;

/// The table.
pub(crate) struct PoliciesTable {
    shared: Arc<Shared>,
    columns: Vec<TableColumn>,
}

impl PoliciesTable {
    pub fn new(shared: Arc<Shared>) -> Self {
        let mut columns = vec![TableColumn::new("name", "TEXT")];
        columns.extend(settings::fields().map(|field| TableColumn::new(field.name, field.declared)));
        columns.push(TableColumn::new("built_in", "BOOLEAN"));
        columns.push(TableColumn::new("version", "INTEGER"));
        Self { shared, columns }
    }
}

impl Table for PoliciesTable {
    fn name(&self) -> &str {
        "policies"
    }

    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn shape(&self) -> Result<TableShape> {
        Ok(TableShape { rows: 20.0, indexes: Vec::new(), scan_order: vec![ColumnRef::Number(0)] })
    }

    fn open(&self, _plan: &Plan, _conditions: Conditions) -> Result<Box<dyn Rows>> {
        let mut policies = self.shared.store.policies();
        policies.retain(|policy| policy.tenant.as_ref().is_none_or(|tenant| *tenant == self.shared.tenant));
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        let rows = policies.iter().map(|policy| {
            let mut row = vec![Value::from(policy.name.as_str())];
            row.extend(settings::fields().map(|field| (field.get)(policy)));
            row.push(policy.is_builtin().into());
            row.push(Value::Integer(i64::try_from(policy.version).unwrap_or(i64::MAX)));
            row
        });
        Ok(MaterialRows::boxed(rows.collect()))
    }
}
