//! A forced round: every unprotected object goes one stage on, due or not.

use super::files::Files;
use super::{Mode, Round, VISITS_PER_CHUNK};
use crate::error::Result;
use crate::keys;
use crate::plan::Forced;
use crate::types::{ObjectId, Stage};
use patina_storage::Seqno;

impl Round<'_> {
    /// Advances every unprotected object.
    pub(in crate::decay) fn forced(&self) -> Result<()> {
        let snapshot = self.inner.db.snapshot();
        let mut chunk = Vec::with_capacity(VISITS_PER_CHUNK);
        for entry in snapshot.range(&self.inner.spaces.objects, ..) {
            chunk.extend(keys::last_number(entry?.key()).map(ObjectId));
            if chunk.len() == VISITS_PER_CHUNK {
                self.visit_forced(&chunk)?;
                chunk.clear();
                if self.is_stopped() {
                    return Ok(());
                }
            }
        }
        self.visit_forced(&chunk)
    }

    fn visit_forced(&self, ids: &[ObjectId]) -> Result<()> {
        let mut files = Files::whole();
        let mut gaining = Vec::new();
        for id in ids.iter().copied() {
            if self.is_stopped() {
                break;
            }
            let snapshot = self.inner.db.snapshot();
            let Some(found) = self.load(&snapshot, id)? else { continue };
            if !self.may_advance(found.seqno) {
                continue;
            }
            let policies = self.inner.policies.read();
            let policy = policies.of(&found.row.policy, found.row.kind());
            match self.inner.subject(id, &found.row, &policy).forced(self.now) {
                Forced::Stay => self.state.lock().report.blocked += 1,
                Forced::Gain { .. } => gaining.push(id),
                Forced::Move { to, .. } => {
                    drop(policies);
                    if to == Stage::Purged {
                        self.purge_forced(id)?;
                    } else {
                        self.note_file(&snapshot, id, &found.row, &mut files)?;
                    }
                }
            }
        }
        let policies = self.inner.policies.read();
        let gained = self.inner.update_rows(&gaining, |id, row, seqno| {
            let policy = policies.of(&row.policy, row.kind());
            match self.inner.subject(id, row, &policy).forced(self.now) {
                Forced::Gain { progress } if self.may_advance(seqno) => {
                    row.progress = progress;
                    true
                }
                _ => false,
            }
        });
        gained.or_else(|error| self.pass_if_full(error))?;
        drop(policies);
        self.compact(files)
    }

    /// In a forced round, whether a row of this version has not advanced in it yet, nor been written by anybody else.
    pub(in crate::decay) fn may_advance(&self, seqno: Seqno) -> bool {
        match self.mode {
            Mode::Natural | Mode::Budget => true,
            Mode::Forced { since } => seqno <= since,
        }
    }
}
