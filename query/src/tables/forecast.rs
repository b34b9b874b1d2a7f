//! `forecast('30 days')`, `forecast('2 years', 'slow')`: what the days to come bring, as a table-valued function.
//!
//! SQLite turns the arguments into conditions on hidden columns, and checks them again on each row; so the hidden columns
//! give back what was asked for.

use std::sync::Arc;

use patina_objects::{ForecastDay, Stage};

use crate::duration;
use crate::error::{Error, Result};
use crate::plan::{ColumnRef, IndexShape, Plan, TableShape};
use crate::selection::Conditions;
use crate::shared::Shared;
use crate::table::{MaterialRows, Rows, Table, TableColumn};
use crate::value::Value;

const DAY_MS: u64 = 86_400_000;

/// The period when none is given.
const USUAL_PERIOD: &str = "30 days";

/// The hidden columns, period and policy.
const ARGUMENTS: [ColumnRef; 2] = [ColumnRef::Number(9), ColumnRef::Number(10)];

/// The table.
pub(crate) struct ForecastTable {
    shared: Arc<Shared>,
    columns: Vec<TableColumn>,
}

impl ForecastTable {
    pub fn new(shared: Arc<Shared>) -> Self {
        let hidden = |name| TableColumn { hidden: true, ..TableColumn::new(name, "") };
        let columns = vec![
            TableColumn::new("day", "INTEGER"),
            TableColumn::new("at", "TIMESTAMP"),
            TableColumn::new("event", "TEXT"),
            TableColumn::new("to_stage", "STAGE"),
            TableColumn::new("objects", "INTEGER"),
            TableColumn::new("for_budget", "INTEGER"),
            TableColumn::new("bytes_before", "BYTES"),
            TableColumn::new("bytes_after_estimate", "BYTES"),
            TableColumn::new("left_estimate", "BYTES"),
            hidden("period"),
            hidden("under"),
        ];
        Self { shared, columns }
    }
}

impl Table for ForecastTable {
    fn name(&self) -> &str {
        "forecast"
    }

    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn shape(&self) -> Result<TableShape> {
        let [period, under] = ARGUMENTS;
        let arguments = IndexShape {
            name: "forecast",
            columns: vec![period],
            also: vec![under],
            column_name: "period".to_owned(),
            text: false,
            unique: false,
            rows_equal: 100.0,
            rows_range: f64::from(u32::MAX),
            ranges: false,
            histogram: Vec::new(),
            ordered: false,
        };
        Ok(TableShape { rows: 100.0, indexes: vec![arguments], scan_order: Vec::new() })
    }

    fn arguments(&self) -> &[ColumnRef] {
        &ARGUMENTS
    }

    fn open(&self, _plan: &Plan, conditions: Conditions) -> Result<Box<dyn Rows>> {
        let mut asked = conditions.bounds.into_iter().map(|(_, value)| value);
        let period = asked.next().unwrap_or_else(|| Value::from(USUAL_PERIOD));
        let under = asked.next().unwrap_or_default();
        let days = days(&period)?;
        let policy = match &under {
            Value::Null => None,
            Value::Text(name) => Some(self.shared.store.policy(name)?),
            _ => return Err(Error::invalid("the policy of a forecast must be its name, as text")),
        };
        let forecast = self.shared.store.forecast(days, policy.as_ref())?;
        let mut rows = Vec::new();
        for day in &forecast.days {
            for row in day_rows(day) {
                rows.push([row, vec![period.clone(), under.clone()]].concat());
            }
        }
        Ok(MaterialRows::boxed(rows))
    }
}

/// Whole days; what is left over counts as one more. A number is a number of days.
fn days(period: &Value) -> Result<u32> {
    let days = match period {
        Value::Text(text) => duration::parse(text).map_err(Error::invalid)?.div_ceil(DAY_MS),
        Value::Integer(days) => u64::try_from(*days).unwrap_or(0),
        _ => return Err(Error::invalid("the period of a forecast must be a duration such as '30 days'")),
    };
    // What is too long is refused by the store, which knows how long a forecast may be.
    Ok(u32::try_from(days).unwrap_or(u32::MAX))
}

fn whole(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A row for each thing that happens on a day; none for a day on which nothing does.
fn day_rows(day: &ForecastDay) -> Vec<Vec<Value>> {
    let row = |event: &str, stage: Value, objects, for_budget, before: Value, after: Value| {
        let (number, left) = (Value::from(day.day), whole(day.stored_after));
        vec![
            number,
            whole(day.at.0),
            event.into(),
            stage,
            whole(objects),
            whole(for_budget),
            before,
            after,
            left,
        ]
    };
    let mut rows = Vec::new();
    for ((stage, moves), for_budget) in Stage::ALL.into_iter().zip(&day.by_stage).zip(&day.for_budgets) {
        if moves.objects > 0 {
            let (before, after) = (whole(moves.bytes_before), whole(moves.bytes_after));
            rows.push(row(
                "decay",
                i64::from(stage.number()).into(),
                moves.objects,
                *for_budget,
                before,
                after,
            ));
        }
    }
    for (event, objects) in [("original dropped", day.originals_dropped), ("forgotten", day.forgotten)] {
        if objects > 0 {
            rows.push(row(event, Value::Null, objects, 0, Value::Null, Value::Null));
        }
    }
    rows
}
