//! What a budget's plan chose: see [`by_budget`](super::super::by_budget).

use super::files::Files;
use super::{Mode, Round};
use crate::budget::BudgetReport;
use crate::decay::by_budget::Task;
use crate::error::Result;
use crate::plan::Subject;
use crate::types::{ObjectId, Stage};

impl Round<'_> {
    pub(in crate::decay) fn with_task<T>(&self, act: impl FnOnce(&mut Task) -> T) -> T {
        act(&mut self.state.lock().task)
    }

    pub(in crate::decay) fn report_budget(&self, report: BudgetReport) {
        self.state.lock().report.budgets.push(report);
    }

    /// Whether objects that share a content move together or not at all.
    pub(in crate::decay) fn moves_all_or_none(&self) -> bool {
        matches!(self.mode, Mode::Budget)
    }

    /// Whether a budget's round is at its goal.
    pub(in crate::decay) fn is_enough_freed(&self) -> bool {
        matches!(self.mode, Mode::Budget) && self.with_task(|task| task.missing_bytes()) == 0
    }

    /// The stage that a budget's plan takes an object to, if it still may.
    pub(in crate::decay) fn chosen_stage(&self, id: ObjectId, subject: &Subject<'_>) -> Option<Stage> {
        let to = self.with_task(|task| task.stage_of(id)).filter(|to| *to > subject.row.stage())?;
        let allowed = subject.stages_for_budget(self.now).is_ok_and(|stages| stages.contains(&to));
        (allowed && subject.protection(self.now).is_none()).then_some(to)
    }

    /// Moves what a budget's plan chose and has bytes.
    pub(in crate::decay) fn move_chosen(&self, ids: impl Iterator<Item = ObjectId>) -> Result<()> {
        self.state.lock().granted.clear();
        let mut files = Files::with_wanted();
        let mut last = None;
        for id in ids {
            let snapshot = self.inner.db.snapshot();
            let Some(found) = self.load(&snapshot, id)? else { continue };
            // Those that share a content come one after the other, and its bytes are degraded once.
            if found.row.content() == last || self.may_spend(&found.row) {
                last = found.row.content();
                self.state.lock().granted.insert(id);
                self.note_file(&snapshot, id, &found.row, &mut files)?;
            }
        }
        self.compact(files)
    }
}
