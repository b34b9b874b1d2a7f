//! How a database is opened when the defaults are not enough.

use std::path::Path;
use std::sync::Arc;

use patina_codecs::Registry;
use patina_objects::{Clock, CodecTransform, ObjectStore, SchedulerOptions, StoreOptions};
use patina_storage::{Db, Options, StdVfs, Vfs};

use crate::clock::{SystemClock, stopwatch};
use crate::error::Result;
use crate::patina::Patina;

/// Settings of a database, and then [`Builder::open`].
///
/// ```
/// use patinadb::{ManualClock, MemVfs, Patina, Timestamp};
/// use std::sync::Arc;
///
/// // A database in memory on a clock that stands still: what tests want.
/// let clock = ManualClock::new(Timestamp(1_767_225_600_000));
/// let db = Patina::builder().vfs(Arc::new(MemVfs::new())).clock(clock.clone()).open("anywhere")?;
/// db.put("note.txt", b"Copper turns green.")?;
/// assert_eq!(db.stat("note.txt")?.created_at, Timestamp(1_767_225_600_000));
/// # Ok::<(), patinadb::Error>(())
/// ```
pub struct Builder {
    clock: Arc<dyn Clock>,
    vfs: Arc<dyn Vfs>,
    storage: Options,
    objects: StoreOptions,
    scheduler: Option<SchedulerOptions>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            vfs: Arc::new(StdVfs),
            storage: Options::default(),
            objects: StoreOptions { transform: transform_of(Registry::new()), ..StoreOptions::default() },
            scheduler: None,
        }
    }
}

impl Builder {
    /// The clock that ages objects; the machine's own by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The file system the database lives in; the machine's own by default.
    #[must_use]
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.vfs = vfs;
        self
    }

    /// Settings of the storage engine: memory, file sizes, whether to create.
    #[must_use]
    pub fn storage_options(mut self, options: Options) -> Self {
        self.storage = options;
        self
    }

    /// The codecs that make objects smaller: those of PatinaDB and what you add. Each transform is held to
    /// [`Limits::time_ms`](patina_codecs::Limits::time_ms). Call it after [`Builder::store_options`].
    ///
    /// ```
    /// use patinadb::Patina;
    /// use patinadb::codecs::{Codec, Input, MediaType, Outcome, Refusal, Registry};
    /// use std::sync::Arc;
    ///
    /// struct Scans;
    ///
    /// impl Codec for Scans {
    ///     fn id(&self) -> &'static str { "scans" }
    ///     fn version(&self) -> u16 { 1 }
    ///     fn accepts(&self, media: &MediaType) -> bool { media.mime == "application/dicom" }
    ///     fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
    ///         Err(Refusal::new("is not to be touched")) // yours does better
    ///     }
    /// }
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("data");
    /// let db = Patina::builder().codecs(Registry::new().with(Arc::new(Scans))).open(path)?;
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    #[must_use]
    pub fn codecs(mut self, registry: Registry) -> Self {
        self.objects.transform = transform_of(registry);
        self
    }

    /// Settings of the object store, its codecs among them.
    #[must_use]
    pub fn store_options(mut self, options: StoreOptions) -> Self {
        self.objects = options;
        self
    }

    /// Lets objects decay by themselves while the database is open, as [`Patina::start_scheduler`] does.
    #[must_use]
    pub fn scheduler(mut self, options: SchedulerOptions) -> Self {
        self.scheduler = Some(options);
        self
    }

    /// Opens the database in `dir`, and creates it unless the storage options say not to.
    ///
    /// # Errors
    /// A folder that holds something else, a database that is open elsewhere, bad options, damaged files.
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Patina> {
        let db = Db::open_with(self.vfs, dir.as_ref(), self.storage)?;
        let store = ObjectStore::open(db.clone(), self.clock, self.objects)?;
        let patina = Patina::new(db, store);
        self.scheduler.map_or(Ok(()), |options| patina.start_scheduler(options))?;
        Ok(patina)
    }
}

fn transform_of(registry: Registry) -> Arc<CodecTransform> {
    Arc::new(CodecTransform::new(registry.with_clock(stopwatch())))
}
