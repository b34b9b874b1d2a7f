//! Salvaging a database with its objects and tables: storage copies what can be read, the layers above mend what then does not fit.

use std::path::Path;
use std::sync::Arc;

use patina_objects::{MendReport, ObjectStore, StoreOptions};
use patina_query::{TableMendReport, mend_tables};
use patina_storage::{Db, Options, SalvageReport, StdVfs, VerifyProgress, Vfs};

use crate::clock::SystemClock;
use crate::error::Result;
use crate::patina::Patina;

/// What [`Patina::salvage`] copied, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Keys and bytes, and what of the files could not be read.
    pub storage: SalvageReport,
    /// What that means for the objects.
    pub objects: MendReport,
    /// What that means for the tables of SQL.
    pub tables: TableMendReport,
}

impl Salvaged {
    /// Whether everything was copied as it was.
    pub fn is_whole(&self) -> bool {
        self.storage.losses_total == 0 && self.objects.is_whole() && self.tables.is_whole()
    }
}

impl Patina {
    /// Copies all that can still be read of the database in `dir`, which need not be one that can be opened, to a new one in `dest`, and says
    /// what could not be read. Objects whose bytes are lost are purged there, with a note in their history; unique keys of tables are those
    /// of the rows that there are.
    ///
    /// ```
    /// let dir = tempfile::tempdir()?;
    /// let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    /// let db = patinadb::Patina::open(&data)?;
    /// db.put("note.txt", b"Copper turns green.")?;
    /// db.close()?;
    /// std::fs::remove_file(data.join("CURRENT"))?;
    /// assert!(patinadb::Patina::open(&data).is_err());
    ///
    /// let salvaged = patinadb::Patina::salvage(&data, &copy, |_| {})?;
    /// assert_eq!(salvaged.storage.losses_total, 1);
    /// assert_eq!(patinadb::Patina::open(&copy)?.get("note.txt")?.bytes, "Copper turns green.");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::salvage`]; what the file system refuses in `dest`.
    pub fn salvage(
        dir: impl AsRef<Path>,
        dest: impl AsRef<Path>,
        progress: impl FnMut(&VerifyProgress<'_>),
    ) -> Result<Salvaged> {
        let (vfs, dest): (Arc<dyn Vfs>, _) = (Arc::new(StdVfs), dest.as_ref());
        let storage = Db::salvage(vfs.clone(), dir.as_ref(), dest, progress)?;
        let db = Db::open_with(vfs, dest, Options::default())?;
        let mended = ObjectStore::mend(db.clone(), Arc::new(SystemClock), StoreOptions::default())?;
        let mut objects = MendReport::default();
        if let Some((store, report)) = mended {
            objects = report;
            store.close()?;
        }
        let tables = mend_tables(&db)?.unwrap_or_default();
        db.close()?;
        Ok(Salvaged { storage, objects, tables })
    }
}
