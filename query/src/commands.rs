//! Runs the statements of our own; see [`Command`].

use std::ops::Range;

use patina_objects::{
    Budget, BudgetPlace, DueTime, Explanation, HoldId, Policy, Stage, TickOptions, TickReport, Timestamp,
};

use crate::diagnose::no_table_message;
use crate::dialect::{Command, LATER_TABLES, SYSTEM_TABLES, Setting, quote_string};
use crate::duration;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::size;
use crate::tables::settings;
use crate::users::{catalogue, schema};
use crate::value::{Column, ColumnKind, Outcome, Sink, Value};

impl Session {
    pub(crate) fn run_command(&mut self, text: &str, command: Command, sink: &mut dyn Sink) -> Result<()> {
        let tenant = self.shared.tenant.clone();
        let store = &self.shared.store;
        let message = match command {
            Command::Tick { force, dry_run: true, .. } => return self.dry_run(force, sink),
            Command::Tick { force, dry_run: false, confirm_clock } => {
                return self.tick(TickOptions { force, confirm_clock, ..TickOptions::default() }, sink);
            }
            Command::ExplainDecay { object } => return self.explain_decay(&object, sink),
            Command::Describe { table, at } => return self.describe(text, &table, &at, sink),
            Command::CreatePolicy { name, settings } => self.create_policy(text, &name, &settings)?,
            Command::AlterPolicy { name, settings } => {
                let mut policy = store.policy(&name)?;
                apply(text, &mut policy, &settings)?;
                store.put_policy(policy)?;
                format!("policy {name} altered")
            }
            Command::DropPolicy { name, if_exists } => match store.drop_policy(&name) {
                Err(error) if if_exists && error.kind() == patina_objects::ErrorKind::NotFound => {
                    format!("there was no policy {name}")
                }
                dropped => {
                    dropped?;
                    format!("policy {name} dropped")
                }
            },
            Command::SetBudget { tenant, size: (size, at), refuse_writes } => {
                self.only_for_all("a budget")?;
                let bytes = size::parse(&size)
                    .map_err(|problem| Error::invalid(problem).at(text, at.start, at.end))?;
                store.set_budget(tenant.as_deref(), Some(Budget { bytes, refuse_writes }))?;
                format!("the budget of {} is {bytes} bytes", whose(tenant.as_deref()))
            }
            Command::DropBudget { tenant } => {
                self.only_for_all("a budget")?;
                store.set_budget(tenant.as_deref(), None)?;
                format!("{} has no budget any more", whose(tenant.as_deref()))
            }
            Command::Pause { paused } => {
                self.only_for_all("decay")?;
                store.set_decay_paused(paused)?;
                let what =
                    if paused { "is paused: nothing decays by itself until RESUME DECAY" } else { "goes on" };
                format!("decay {what}")
            }
            Command::Hold { object, reason, duration } => {
                let until = duration.map(|duration| until(text, &duration, store.now())).transpose()?;
                let hold = store.hold(&tenant, &object, &reason, until)?;
                format!("{object} is held by hold {hold}")
            }
            Command::Release { object, hold: Some(hold) } => {
                store.release(&tenant, &object, Some(HoldId(hold)))?;
                format!("hold {hold} on {object} is released")
            }
            Command::Release { object, hold: None } => {
                store.release(&tenant, &object, None)?;
                format!("{object} is released")
            }
            Command::Restore { object } => {
                store.restore(&tenant, &object)?;
                format!("{object} has its original bytes again")
            }
            Command::Purge { object } => {
                store.purge(&tenant, &object)?;
                format!("{object} is purged; its row and history stay")
            }
            Command::Pin { object, pinned } => {
                store.set_pinned(&tenant, &object, pinned)?;
                format!("{object} is {}", if pinned { "pinned" } else { "no longer pinned" })
            }
            Command::Touch { object } => {
                store.touch(&tenant, &object)?;
                format!("{object} was touched")
            }
            Command::CreateTable { name, if_not_exists, at, definition } => {
                self.create_table(text, &name, if_not_exists, &at, definition)?
            }
            Command::DropTable { name, if_exists, at } => self.drop_table(text, &name, if_exists, &at)?,
        };
        sink.end(Outcome { message: Some(message), ..Outcome::default() });
        Ok(())
    }

    fn tick(&self, options: TickOptions<'_>, sink: &mut dyn Sink) -> Result<()> {
        let interrupted = self.shared.interrupt_flag();
        let report = self.shared.store.tick(&TickOptions { stop: Some(&interrupted), ..options })?;
        sink.begin(&[
            Column::new("to_stage", ColumnKind::Stage),
            Column::plain("objects"),
            Column::new("bytes_before", ColumnKind::Bytes),
            Column::new("bytes_after", ColumnKind::Bytes),
        ]);
        let mut rows = 0;
        for (stage, moves) in
            Stage::ALL.into_iter().zip(report.by_stage).filter(|(_, moves)| moves.objects > 0)
        {
            rows += 1;
            let row = [
                Value::Integer(stage.number().into()),
                whole(moves.objects),
                whole(moves.bytes_before),
                whole(moves.bytes_after),
            ];
            if sink.row(&row).is_break() {
                break;
            }
        }
        let message = summary(&report);
        let changed = report.moved;
        sink.end(Outcome { rows, changed, message: Some(message), ..Outcome::default() });
        Ok(())
    }

    fn dry_run(&self, force: bool, sink: &mut dyn Sink) -> Result<()> {
        let mut moves = self.shared.store.dry_run(&TickOptions { force, ..TickOptions::default() })?;
        moves.retain(|planned| planned.tenant == self.shared.tenant);
        sink.begin(&[
            Column::plain("id"),
            Column::plain("name"),
            Column::new("from_stage", ColumnKind::Stage),
            Column::new("to_stage", ColumnKind::Stage),
            Column::new("bytes_before", ColumnKind::Bytes),
            Column::new("bytes_after_estimate", ColumnKind::Bytes),
            Column::plain("reason"),
        ]);
        let mut rows = 0;
        for planned in moves {
            rows += 1;
            let row = [
                whole(planned.object.0),
                Value::Text(planned.name),
                Value::Integer(planned.from.number().into()),
                Value::Integer(planned.to.number().into()),
                whole(planned.bytes_before),
                whole(planned.bytes_after_estimate),
                Value::Text(planned.reason),
            ];
            if sink.row(&row).is_break() {
                break;
            }
        }
        let message = Some("nothing was changed".to_owned());
        sink.end(Outcome { rows, message, ..Outcome::default() });
        Ok(())
    }

    /// A row for each further stage: when it is due, which term decides, when it happens if nobody reads, and what is left then.
    fn explain_decay(&self, object: &str, sink: &mut dyn Sink) -> Result<()> {
        let told = self.shared.store.explain_decay(&self.shared.tenant, object)?;
        sink.begin(&[
            Column::new("to_stage", ColumnKind::Stage),
            Column::new("due_at", ColumnKind::Timestamp),
            Column::plain("decided_by"),
            Column::new("by_heat", ColumnKind::Timestamp),
            Column::new("by_retention", ColumnKind::Timestamp),
            Column::new("by_dwell", ColumnKind::Timestamp),
            Column::new("happens_at", ColumnKind::Timestamp),
            Column::new("bytes_after_estimate", ColumnKind::Bytes),
            Column::plain("fidelity_after_estimate"),
        ]);
        let mut rows = 0;
        for due in &told.dues {
            rows += 1;
            let step =
                told.course.iter().find(|(_, planned)| planned.to == due.stage && planned.from != due.stage);
            let row = [
                Value::Integer(due.stage.number().into()),
                whole(due.at.0),
                Value::Text(decided_by(due).to_owned()),
                whole(due.by_heat.0),
                whole(due.by_retention.0),
                whole(due.by_dwell.0),
                step.map(|(at, _)| whole(at.0)).unwrap_or(Value::Null),
                step.map(|(_, planned)| whole(planned.bytes_after_estimate)).unwrap_or(Value::Null),
                step.map(|(_, planned)| rounded(planned.fidelity_after_estimate)).into(),
            ];
            if sink.row(&row).is_break() {
                break;
            }
        }
        let message = Some(situation(&told));
        sink.end(Outcome { rows, message, ..Outcome::default() });
        Ok(())
    }

    /// Refuses a tenant's session what concerns all tenants.
    fn only_for_all(&self, what: &str) -> Result<()> {
        if self.shared.is_tenants() {
            let message = format!("{what} is not a tenant's to change: use a session of the default tenant");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    fn describe(
        &mut self,
        text: &str,
        table: &str,
        at: &std::ops::Range<usize>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let known = self.shared.listing().iter().any(|listed| listed.name.eq_ignore_ascii_case(table));
        if !known {
            return Err(self.no_table(text, table, at));
        }
        let sql = format!(
            "SELECT name, type, not_null, default_value, primary_key FROM columns \
             WHERE table_name = {} COLLATE NOCASE ORDER BY position",
            quote_string(table)
        );
        self.execute(&sql, &[], sink)
    }

    fn create_policy(&self, text: &str, name: &str, settings: &[Setting]) -> Result<String> {
        let store = &self.shared.store;
        if store.policies().iter().any(|policy| policy.name == name) {
            let message = format!("policy {name} is already there: use ALTER POLICY {name} SET …");
            return Err(Error::new(ErrorKind::Constraint, message));
        }
        // What is left out is as in the built-in policy of the type.
        let mut policy = match settings::kind_named(settings) {
            Some(kind) => Policy { name: name.to_owned(), version: 0, ..store.policy(kind.as_str())? },
            None => Policy::new(name),
        };
        apply(text, &mut policy, settings)?;
        if self.shared.tenant != patina_objects::DEFAULT_TENANT {
            policy.tenant = Some(self.shared.tenant.clone());
        }
        store.put_policy(policy)?;
        Ok(format!("policy {name} created"))
    }

    fn create_table(
        &mut self,
        text: &str,
        name: &str,
        if_not_exists: bool,
        at: &std::ops::Range<usize>,
        definition: std::ops::Range<usize>,
    ) -> Result<String> {
        let lower = name.to_lowercase();
        let system = SYSTEM_TABLES.contains(&lower.as_str());
        if system || self.user_tables.contains_key(&lower) {
            if if_not_exists {
                return Ok(format!("table {name} was already there"));
            }
            let error = if system {
                Error::new(
                    ErrorKind::Constraint,
                    format!("table {name} is always there: choose another name"),
                )
            } else {
                catalogue::already_there(name)
            };
            return Err(error.at(text, at.start, at.end));
        }
        let reserved = LATER_TABLES.contains(&lower.as_str())
            || lower.starts_with("sqlite_")
            || lower.starts_with("pragma_");
        if reserved || lower.is_empty() || lower.contains(char::is_control) {
            return Err(Error::invalid(format!("a table cannot be called {name}: choose another name"))
                .at(text, at.start, at.end));
        }
        let def = schema::parse(&self.shared.scratch.lock(), text, name, definition)?;
        catalogue::create(&self.shared, def)?;
        self.refresh()?;
        Ok(format!("table {name} created"))
    }

    fn drop_table(
        &mut self,
        text: &str,
        name: &str,
        if_exists: bool,
        at: &std::ops::Range<usize>,
    ) -> Result<String> {
        let Some(listed) = self.user_tables.get(&name.to_lowercase()) else {
            if if_exists {
                return Ok(format!("there was no table {name}"));
            }
            return Err(self.no_table(text, name, at));
        };
        catalogue::drop_table(&self.shared, listed)?;
        self.refresh()?;
        Ok(format!("table {name} dropped"))
    }

    fn no_table(&self, text: &str, name: &str, at: &std::ops::Range<usize>) -> Error {
        Error::new(ErrorKind::NotFound, no_table_message(&self.shared, name)).at(text, at.start, at.end)
    }
}

fn apply(text: &str, policy: &mut Policy, settings: &[Setting]) -> Result<()> {
    settings::apply(policy, settings).map_err(|misset| misset.error.at(text, misset.at.start, misset.at.end))
}

/// The end of a hold that lasts so long from now.
fn until(text: &str, (written, at): &(String, Range<usize>), now: Timestamp) -> Result<Timestamp> {
    let ms =
        duration::parse(written).map_err(|problem| Error::invalid(problem).at(text, at.start, at.end))?;
    Ok(Timestamp(now.0.saturating_add(ms)))
}

fn whole(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn decided_by(due: &DueTime) -> &'static str {
    match due.at {
        at if at == due.by_heat => "heat",
        at if at == due.by_retention => "min_retention",
        _ => "min_dwell",
    }
}

/// "warm, 400 of 1000 bytes, fidelity 0.9; heat 0.5 …".
fn situation(told: &Explanation) -> String {
    let info = &told.info;
    let half_life = duration::format(u64::try_from(told.half_life.as_millis()).unwrap_or(u64::MAX));
    let mut text = format!(
        "{} of {} bytes, {}, fidelity {:.3}; heat {:.3} with a half-life of {half_life}, rate {}, policy {}",
        info.stored, info.size, info.stage, info.fidelity, info.heat, info.rate, info.policy
    );
    for reason in &told.blocked_by {
        text.push_str("; stays as it is: ");
        text.push_str(reason);
    }
    for place in &told.budgets {
        text.push_str(&format!("; {}", in_budget(place)));
    }
    text
}

/// "budget of the database: 900 of 1000 bytes used; goes to warm after 3 others, when 200 bytes more have come".
fn in_budget(place: &BudgetPlace) -> String {
    let mut text = format!(
        "budget of {}: {} of {} bytes used",
        whose(place.tenant.as_deref()),
        place.used_bytes,
        place.budget.bytes
    );
    match (place.blocked_by, place.next, place.bytes_until_its_turn()) {
        (Some(by), _, _) => text.push_str(&format!(", it cannot be taken: {by}")),
        (None, Some(next), Some(0)) => text.push_str(&format!(", the next TICK takes it to {}", next.to)),
        (None, Some(next), Some(bytes)) => {
            let (to, before) = (next.to, place.objects_before);
            text.push_str(&format!(
                ", goes to {to} after {before} others, when {bytes} bytes more have come"
            ));
        }
        (None, ..) => {}
    }
    text
}

fn whose(tenant: Option<&str>) -> String {
    tenant.map_or_else(|| "the database".to_owned(), |tenant| format!("tenant '{tenant}'"))
}

/// An estimate has no more than three digits to tell.
fn rounded(fidelity: f64) -> f64 {
    (fidelity * 1000.0).round() / 1000.0
}

/// "12 objects moved, 1 failed".
fn summary(report: &TickReport) -> String {
    let mut parts = vec![match report.moved {
        0 => "nothing moved".to_owned(),
        1 => "1 object moved".to_owned(),
        moved => format!("{moved} objects moved"),
    }];
    for (count, what) in [
        (report.forgotten, "forgotten"),
        (report.originals_dropped, "kept originals dropped: their restore windows have passed"),
        (report.left_alone, "left alone: changed or read meanwhile"),
        (report.blocked, "kept from decay"),
        (report.failed, "failed: SELECT name, error FROM objects WHERE error IS NOT NULL"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if report.limit_reached {
        parts.push("more is due, and waits for the limit of this hour".to_owned());
    }
    if report.stopped {
        let rest = if report.forced { "stays as it is" } else { "is for the next TICK" };
        parts.push(format!("interrupted: what was begun is done, the rest {rest}"));
    }
    for budget in &report.budgets {
        let (whose, used) = (whose(budget.after.tenant.as_deref()), budget.after.used_bytes);
        let mut part = format!("budget of {whose}: {} → {used} bytes", budget.used_bytes_before);
        if budget.short_by_bytes > 0 {
            part.push_str(&format!(
                ", {} too many, and nothing more may go: SELECT blocked_by FROM budgets",
                budget.short_by_bytes
            ));
        }
        parts.push(part);
    }
    parts.join(", ")
}
