//! Decay through the handle: rounds, the scheduler, and what they did.

use std::sync::{MutexGuard, PoisonError};

use patina_objects::{
    HistoryRow, ObjectId, PlannedMove, Policy, Scheduler, SchedulerOptions, SchedulerStatus, TickOptions,
    TickReport,
};

use super::Patina;
use crate::error::{Error, Result};

impl Patina {
    /// One round of decay: every object that is due moves to its stage. [`TickOptions`] can force it, or judge as
    /// of another time.
    ///
    /// ```
    /// use patinadb::{Stage, TickOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.bin", &[7; 4096])?;
    /// let report = db.tick(&TickOptions { force: true, ..TickOptions::default() })?;
    /// assert_eq!(report.moved, 1);
    /// assert_eq!(db.stat("a.bin")?.stage, Stage::Warm);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that failed. An object that fails is counted in the report and does not stop the others.
    pub fn tick(&self, options: &TickOptions<'_>) -> Result<TickReport> {
        Ok(self.store.tick(options)?)
    }

    /// What [`Patina::tick`] would do, with nothing written.
    ///
    /// ```
    /// use patinadb::{Stage, TickOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.bin", &[7; 4096])?;
    /// let planned = db.dry_run(&TickOptions { force: true, ..TickOptions::default() })?;
    /// assert_eq!((planned[0].from, planned[0].to), (Stage::Hot, Stage::Warm));
    /// assert_eq!(db.stat("a.bin")?.stage, Stage::Hot);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::tick`].
    pub fn dry_run(&self, options: &TickOptions<'_>) -> Result<Vec<PlannedMove>> {
        Ok(self.store.dry_run(options)?)
    }

    /// Lets objects decay by themselves: a thread runs a round whenever something is due, or a budget is exceeded, until
    /// [`Patina::stop_scheduler`], [`Patina::close`], or the last handle is dropped. One that runs already is stopped first.
    ///
    /// ```
    /// use patinadb::SchedulerOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.start_scheduler(SchedulerOptions { busy_share: 0.25, ..SchedulerOptions::default() })?;
    /// assert!(db.scheduler_status().is_some_and(|status| status.error.is_none()));
    /// db.objects().set_decay_paused(true)?;
    /// db.stop_scheduler();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Options that make no sense; a system that gives no thread.
    pub fn start_scheduler(&self, options: SchedulerOptions) -> Result<()> {
        self.stop_scheduler();
        *self.scheduler() = Some(self.store.start_scheduler(options)?);
        Ok(())
    }

    /// Ends decay by itself, if it runs, and waits until what was begun is done.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.stop_scheduler();
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn stop_scheduler(&self) {
        let scheduler = self.scheduler().take();
        scheduler.into_iter().for_each(Scheduler::stop);
    }

    /// What decay by itself has done and is about to do; `None` if it does not run.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// assert!(db.scheduler_status().is_none());
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn scheduler_status(&self) -> Option<SchedulerStatus> {
        self.scheduler().as_ref().map(Scheduler::status)
    }

    fn scheduler(&self) -> MutexGuard<'_, Option<Scheduler>> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened to one object, or to all, oldest first. That of a deleted object is still there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let id = db.put("a.txt", b"first")?;
    /// let rows = db.history(Some(id))?.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(rows[0].bytes_after, 5);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that failed; each row can fail by itself.
    pub fn history(
        &self,
        object: Option<ObjectId>,
    ) -> Result<impl Iterator<Item = Result<HistoryRow>> + use<>> {
        Ok(self.store.history(object)?.map(|row| row.map_err(Error::from)))
    }

    /// The policies, built-in ones included.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// assert!(db.policies().iter().any(|policy| policy.name == "image"));
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn policies(&self) -> Vec<Policy> {
        self.store.policies()
    }
}
