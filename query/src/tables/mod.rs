//! The tables that are always there.
//!
//! `objects` and `history` stream from the object store through its indexes; the others are small and made whole.

mod budgets;
mod forecast;
mod history;
mod objects;
mod policies;
pub(crate) mod settings;
mod system;

use std::sync::Arc;

use crate::shared::Shared;
use crate::table::Table;

/// All of them, for one session.
pub(crate) fn system_tables(shared: &Arc<Shared>) -> Vec<Arc<dyn Table>> {
    vec![
        Arc::new(objects::ObjectsTable::new(Arc::clone(shared))),
        Arc::new(policies::PoliciesTable::new(Arc::clone(shared))),
        Arc::new(history::HistoryTable::new(Arc::clone(shared))),
        Arc::new(budgets::BudgetsTable::new(Arc::clone(shared))),
        Arc::new(forecast::ForecastTable::new(Arc::clone(shared))),
        Arc::new(system::SystemTable::blobs(Arc::clone(shared))),
        Arc::new(system::SystemTable::levels(Arc::clone(shared))),
        Arc::new(system::SystemTable::stats(Arc::clone(shared))),
        Arc::new(system::SystemTable::tables(Arc::clone(shared))),
        Arc::new(system::SystemTable::columns(Arc::clone(shared))),
    ]
}
