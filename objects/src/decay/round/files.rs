//! The blob files that hold what is to move: compacting them is what moves it.

use super::Round;
use crate::error::Result;
use crate::rows::ObjectRow;
use crate::types::{ContentHash, ObjectId};
use patina_storage::{FileId, Snapshot};
use std::collections::{BTreeSet, HashSet};

/// The blob files that hold the bytes of objects that are to move.
pub(super) struct Files {
    ids: BTreeSet<FileId>,
    /// These bytes; none if all of the files is to be looked at.
    wanted: Option<HashSet<ContentHash>>,
}

impl Files {
    /// To be looked at as a whole, for whoever does not know yet of everything in them that has to move.
    pub(super) fn whole() -> Self {
        Self { ids: BTreeSet::new(), wanted: None }
    }

    /// Of which only what is noted is looked at: a few objects of a file of thousands cost as much as few objects.
    pub(super) fn with_wanted() -> Self {
        Self { ids: BTreeSet::new(), wanted: Some(HashSet::new()) }
    }
}

impl Round<'_> {
    /// Whether the record of a content in a file that is being compacted has to be looked at.
    pub(in crate::decay) fn wants_content(&self, key: &[u8]) -> bool {
        let state = self.state.lock();
        state.wanted.as_ref().is_none_or(|wanted| {
            ContentHash::from_slice(key).is_some_and(|content| wanted.contains(&content))
        })
    }

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
            Some((blob, _)) => {
                files.ids.insert(blob.file);
                if let Some(wanted) = &mut files.wanted {
                    wanted.extend(row.content());
                }
            }
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
        let mut files = Files::with_wanted();
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
        self.state.lock().wanted = files.wanted;
        for file in files.ids {
            if self.is_stopped() {
                return Ok(());
            }
            match self.inner.db.compact_bin(&self.inner.spaces.contents, file, self) {
                Ok(done) => {
                    let report = &mut self.state.lock().report;
                    report.files_compacted += 1;
                    report.contents_judged += done.live;
                }
                // Others may be smaller.
                Err(error) => self.pass_if_full(error.into())?,
            }
            self.write_failures().or_else(|error| self.pass_if_full(error))?;
            self.tell_progress();
        }
        Ok(())
    }
}
