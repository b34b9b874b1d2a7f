//! The blob files that hold what is to move: compacting them is what moves it.

use super::{Files, Round};
use crate::error::Result;
use crate::rows::ObjectRow;
use crate::types::ObjectId;
use patina_storage::Snapshot;

impl Round<'_> {
    pub(super) fn note_file(
        &self,
        snapshot: &Snapshot,
        id: ObjectId,
        row: &ObjectRow,
        files: &mut Files,
    ) -> Result<()> {
        let found = match row.content() {
            Some(content) => snapshot.blob_ref(&self.inner.spaces.contents, &content.0)?,
            None => None,
        };
        match found {
            Some((blob, _)) => drop(files.insert(blob.file)),
            None => {
                self.fail(id, row.generation, "its bytes are missing".to_owned());
                self.write_failures()?;
            }
        }
        Ok(())
    }

    pub(super) fn compact(&self, files: Files) -> Result<()> {
        self.compact_files(files)?;
        // Two contents of one file may become equal, and then the second plan sees the first one's reference. That is
        // nobody's access: those objects get a second look.
        let again = std::mem::take(&mut self.state.lock().again);
        let mut files = Files::new();
        for id in again {
            let snapshot = self.inner.db.snapshot();
            if let Some(found) = self.load(&snapshot, id)? {
                self.note_file(&snapshot, id, &found.row, &mut files)?;
            }
        }
        self.compact_files(files)?;
        let rest = std::mem::take(&mut self.state.lock().again);
        rest.into_iter().for_each(|id| self.leave_alone(id));
        Ok(())
    }

    fn compact_files(&self, files: Files) -> Result<()> {
        for file in files {
            if self.is_stopped() {
                return Ok(());
            }
            match self.inner.db.compact_bin(&self.inner.spaces.contents, file, self) {
                Ok(_) => self.state.lock().report.files_compacted += 1,
                // Others may be smaller.
                Err(error) => self.pass_if_full(error.into())?,
            }
            self.write_failures().or_else(|error| self.pass_if_full(error))?;
            self.tell_progress();
        }
        Ok(())
    }
}
