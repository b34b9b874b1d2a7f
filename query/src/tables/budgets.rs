//! `budgets`: the limits that are set, how much is used, and what blocks them. Counted when it is read.

use std::sync::Arc;

use patina_objects::BudgetStatus;

use crate::error::Result;
use crate::plan::{Plan, TableShape};
use crate::selection::Conditions;
use crate::shared::Shared;
use crate::table::{MaterialRows, Rows, Table, TableColumn};
use crate::value::Value;

/// The table.
pub(crate) struct BudgetsTable {
    shared: Arc<Shared>,
    columns: [TableColumn; 8],
}

impl BudgetsTable {
    pub fn new(shared: Arc<Shared>) -> Self {
        let columns = [
            TableColumn::new("tenant", "TEXT"),
            TableColumn::new("bytes", "BYTES"),
            TableColumn::new("used", "BYTES"),
            TableColumn::new("starts_above", "BYTES"),
            TableColumn::new("stops_at", "BYTES"),
            TableColumn::new("refuse_writes", "BOOLEAN"),
            TableColumn::new("blocked_bytes", "BYTES"),
            TableColumn::new("blocked_by", "TEXT"),
        ];
        Self { shared, columns }
    }
}

impl Table for BudgetsTable {
    fn name(&self) -> &str {
        "budgets"
    }

    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn shape(&self) -> Result<TableShape> {
        Ok(TableShape { rows: 10.0, indexes: Vec::new(), scan_order: Vec::new() })
    }

    fn open(&self, _plan: &Plan, _conditions: Conditions) -> Result<Box<dyn Rows>> {
        let mut budgets = self.shared.store.budget_status()?;
        if self.shared.is_tenants() {
            budgets.retain(|status| status.tenant.as_deref() == Some(self.shared.tenant.as_str()));
        }
        Ok(MaterialRows::boxed(budgets.iter().map(row).collect()))
    }
}

fn row(status: &BudgetStatus) -> Vec<Value> {
    let whole = |bytes: u64| Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX));
    let blocked: Vec<String> = status
        .blocked
        .iter()
        .map(|sum| format!("{}: {} bytes in {}", sum.by, sum.bytes, sum.objects))
        .collect();
    vec![
        status.tenant.clone().into(),
        whole(status.budget.bytes),
        whole(status.used_bytes),
        whole(status.budget.starts_above_bytes()),
        whole(status.budget.stops_at_bytes()),
        status.budget.refuse_writes.into(),
        whole(status.blocked.iter().map(|sum| sum.bytes).sum()),
        Some(blocked.join("; ")).filter(|text| !text.is_empty()).into(),
    ]
}
