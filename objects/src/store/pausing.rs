//! Stopping decay from happening by itself, for everybody who opens the database.

use super::{Inner, ObjectStore, Spaces};
use crate::error::Result;
use patina_storage::Durability;
use std::sync::atomic::Ordering;

const PAUSED: &[u8] = b"decay paused";

pub(super) fn load(spaces: &Spaces) -> Result<bool> {
    Ok(spaces.meta.get(PAUSED)?.is_some())
}

impl ObjectStore {
    /// Lets nothing decay by itself any more, or again. It is remembered: schedulers of whoever opens the database keep it, and a
    /// round of theirs that is under way ends early. A tick that somebody asks for runs all the same.
    ///
    /// ```
    /// # use patina_objects::{ManualClock, ObjectStore, StoreOptions, Timestamp};
    /// # use patina_storage::{Db, MemVfs, Options};
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let store = ObjectStore::open(db, std::sync::Arc::new(ManualClock::new(Timestamp(0))), StoreOptions::default())?;
    /// store.set_decay_paused(true)?;
    /// assert!(store.is_decay_paused());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Storage's.
    pub fn set_decay_paused(&self, paused: bool) -> Result<()> {
        let inner = &self.inner;
        let mut batch = inner.db.batch();
        if paused {
            batch.put(&inner.spaces.meta, PAUSED.to_vec(), Vec::new());
        } else {
            batch.delete(&inner.spaces.meta, PAUSED.to_vec());
        }
        inner.db.write(batch, Durability::Sync)?;
        inner.paused.store(paused, Ordering::SeqCst);
        inner.ring_schedulers();
        Ok(())
    }

    /// Whether decay is paused for everybody; see [`ObjectStore::set_decay_paused`].
    pub fn is_decay_paused(&self) -> bool {
        self.inner.paused.load(Ordering::SeqCst)
    }
}

impl Inner {
    /// Lets every scheduler look anew: something changed that it cannot see by the due index.
    pub(crate) fn ring_schedulers(&self) {
        let paused = self.paused.load(Ordering::SeqCst);
        self.schedulers.lock().retain(|bell| bell.upgrade().map(|bell| bell.ring(paused)).is_some());
    }
}
