//! Events: what the database does by itself, told to whoever set a listener.
//!
//! Problem: whoever runs a database wants to know when it flushes, merges, stalls or fails, as it happens. But a listener is foreign code: it may
//! be slow, and may call the database again. So it is never called where something happens, which may be under a lock, but
//! by a thread of its own, from a bounded queue. Work never waits for a listener: if the queue is full, events are dropped
//! and counted, and the next that gets through is preceded by [`Event::Lost`].
//!
//! Order: events are delivered in the order in which they happened, one at a time. Without a listener there is neither thread nor queue.

use crate::db::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{BlobEdit, Edit, State, TableEdit};
use crate::types::{Bin, FileId, KeyspaceId, Seqno};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Events that may wait for a slow listener.
const QUEUE_MAX: usize = 1024;

/// Something that happened. Sizes are in bytes, times in microseconds.
///
/// ```
/// # use patina_storage::*;
/// fn listen(event: &Event) {
///     if let Event::BackgroundError { message, .. } = event {
///         eprintln!("{message}");
///     }
/// }
/// let options = Options { listener: Some(std::sync::Arc::new(listen)), ..Options::default() };
/// # options.validate().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The database was opened, and this many batches were found in its logs.
    Recovered {
        /// Batches that had not been flushed.
        batches: u64,
        /// Bytes of the logs that they were in.
        log_bytes: u64,
        /// The log that ended in the middle of a record, as after a crash, and where it was cut off.
        torn: Option<(PathBuf, u64)>,
    },
    /// A part of a log was given up, as [`crate::Options::log_recovery`] allows.
    LogGivenUp {
        /// The log. It stays beside the database under this name with `.damaged` at its end.
        file: PathBuf,
        /// Where the damage begins, if that is known.
        offset: Option<u64>,
        /// What is wrong, in a sentence.
        message: String,
    },
    /// A flush of a memtable began.
    FlushBegun {
        /// What the memtable takes.
        memtable_bytes: usize,
    },
    /// A flush ended.
    FlushEnded {
        /// Tables written.
        tables: usize,
        /// Their bytes.
        bytes: u64,
        /// How long it took.
        elapsed_us: u64,
        /// It failed, and is tried again; the error comes as [`Event::BackgroundError`].
        failed: bool,
    },
    /// A merge of tables began.
    CompactionBegun {
        /// The keyspace.
        keyspace: String,
        /// Where the tables go.
        output_level: usize,
        /// Tables that are read.
        tables: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// A merge of tables ended.
    CompactionEnded {
        /// The keyspace.
        keyspace: String,
        /// Where the tables went.
        output_level: usize,
        /// Tables written.
        tables: usize,
        /// Their bytes.
        bytes: u64,
        /// How long it took.
        elapsed_us: u64,
        /// It failed, and nothing was changed.
        failed: bool,
    },
    /// A table became part of the database, or moved to another level.
    TableAdded {
        /// Its number.
        id: FileId,
        /// Its level.
        level: u8,
    },
    /// A table is no part of the database any more. Its file goes with its last reader.
    TableDropped {
        /// Its number.
        id: FileId,
    },
    /// A blob file was opened for writing.
    BlobFileAdded {
        /// Its number.
        id: FileId,
        /// Its bin.
        bin: Bin,
    },
    /// A blob file takes no more records.
    BlobFileSealed {
        /// Its number.
        id: FileId,
        /// Bytes of its records.
        bytes: u64,
        /// Their number.
        records: u64,
    },
    /// A blob file is no part of the database any more. It is unlinked when no snapshot sees it.
    BlobFileDropped {
        /// Its number.
        id: FileId,
    },
    /// Sorted data from outside became part of the database.
    Ingested {
        /// The write that it counts as.
        seqno: Seqno,
        /// Its tables.
        tables: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// A writer is slowed down, or has to wait for flushes or merges.
    StallBegun,
    /// That writer goes on.
    StallEnded {
        /// How long it waited.
        elapsed_us: u64,
    },
    /// Something in the background failed, and will be tried again.
    BackgroundError {
        /// What the caller of a waiting call gets.
        kind: ErrorKind,
        /// The error.
        message: String,
    },
    /// A merge met damage, and is tried again after a pause that doubles up to an hour. Merges that do without the damaged table go on.
    MergePutOff {
        /// The damaged file, if it is known.
        file: Option<PathBuf>,
        /// The error.
        message: String,
        /// The pause.
        pause_us: u64,
    },
    /// The disk is full: until there is room again, only what frees space is written.
    DiskFull {
        /// Room that was kept for that, and is given up now.
        ballast_bytes: u64,
    },
    /// The disk has room again, and everything is written.
    DiskHasRoom {
        /// Room that is kept again.
        ballast_bytes: u64,
    },
    /// The database takes no more writes until it is opened again.
    ReadOnly {
        /// The failure that made it so.
        cause: String,
    },
    /// The listener was too slow for some events.
    Lost {
        /// How many.
        events: u64,
    },
}

/// Is told what happens: see [`crate::Options::listener`]. A function of an [`Event`] is one.
///
/// Called on a thread of its own, never under a lock, one event at a time. It may use the database; if it holds a handle of
/// it, the database closes only by [`crate::Db::close`].
///
/// ```
/// use patina_storage::*;
/// use std::sync::{Arc, Mutex};
///
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let log = seen.clone();
/// let listener = move |event: &Event| log.lock().unwrap().push(event.clone());
/// let options = Options { listener: Some(Arc::new(listener)), ..Options::default() };
/// let db = Db::open_with(Arc::new(MemVfs::new()), "db".as_ref(), options)?;
/// db.keyspace("users", KeyspaceOptions::default())?.put("alice", "30")?;
/// db.flush()?;
/// db.close()?;
/// assert!(seen.lock().unwrap().iter().any(|event| matches!(event, Event::FlushEnded { tables: 1, .. })));
/// # Ok::<(), Error>(())
/// ```
pub trait EventListener: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> EventListener for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

impl fmt::Debug for dyn EventListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventListener")
    }
}

/// The events of an edit of a state: files become part of the database, and leave it, by edits alone. All tables of a keyspace leave it when
/// the keyspace is dropped; a job that wrote or merged tables of it meanwhile changes nothing any more.
pub(crate) fn file_events(edit: &Edit, before: &State) -> Vec<Event> {
    let is_added = |id: FileId| {
        edit.tables.iter().any(|t| matches!(t, TableEdit::Add { id: other, .. } if *other == id))
    };
    let edited = edit.tables.iter().filter(|table| before.keyspaces.contains_key(&table.keyspace()));
    let tables = edited.filter_map(|table| match *table {
        TableEdit::Add { id, level, .. } => Some(Event::TableAdded { id, level }),
        TableEdit::Remove { id, .. } => (!is_added(id)).then_some(Event::TableDropped { id }),
    });
    let blobs = edit.blobs.iter().filter_map(|blob| match *blob {
        BlobEdit::Open { id, bin, .. } => Some(Event::BlobFileAdded { id, bin }),
        BlobEdit::Durable { .. } => None,
        BlobEdit::Seal { id, bytes, records } => Some(Event::BlobFileSealed { id, bytes, records }),
        BlobEdit::Retire { id } => Some(Event::BlobFileDropped { id }),
    });
    let dropped = edit.dropped.iter().filter_map(|keyspace| before.tables.get(keyspace));
    let dropped = dropped.flat_map(BTreeMap::keys).map(|id| Event::TableDropped { id: *id });
    tables.chain(blobs).chain(dropped).collect()
}

/// Work that is told when it begins and when it ends. Dropped before it is [`Self::done`], it failed.
pub(crate) struct Told<'a> {
    inner: &'a Inner,
    /// The merge's keyspace and output level; none for a flush.
    merge: Option<(String, usize)>,
    begun_us: u64,
    done: Option<(usize, u64)>,
}

impl<'a> Told<'a> {
    pub(crate) fn flush(inner: &'a Inner, memtable_bytes: usize) -> Self {
        inner.events.emit(|| Event::FlushBegun { memtable_bytes });
        Self { inner, merge: None, begun_us: inner.options.clock.monotonic_us(), done: None }
    }

    pub(crate) fn merge(
        inner: &'a Inner,
        keyspace: KeyspaceId,
        output_level: usize,
        tables: usize,
        bytes: u64,
    ) -> Self {
        let keyspace = if inner.events.is_listening { inner.keyspace_name(keyspace) } else { String::new() };
        let merge = Some((keyspace.clone(), output_level));
        inner.traffic.merge_begun();
        inner.events.emit(|| Event::CompactionBegun { keyspace, output_level, tables, bytes });
        Self { inner, merge, begun_us: inner.options.clock.monotonic_us(), done: None }
    }

    /// It wrote so many tables of so many bytes, and they count.
    pub(crate) fn done(mut self, tables: usize, bytes: u64) {
        self.done = Some((tables, bytes));
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let failed = self.done.is_none();
        let (tables, bytes) = self.done.unwrap_or_default();
        let elapsed_us = self.inner.options.clock.monotonic_us().saturating_sub(self.begun_us);
        let merge = self.merge.take();
        if merge.is_some() {
            self.inner.traffic.merge_ended();
        }
        self.inner.events.emit(|| match merge {
            None => Event::FlushEnded { tables, bytes, elapsed_us, failed },
            Some((keyspace, output_level)) => {
                Event::CompactionEnded { keyspace, output_level, tables, bytes, elapsed_us, failed }
            }
        });
    }
}

/// The way of events from where they happen to the listener.
#[derive(Default)]
pub(crate) struct Events {
    is_listening: bool,
    queue: Mutex<Option<SyncSender<Event>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lost: Arc<AtomicU64>,
}

impl Events {
    pub(crate) fn start(listener: Option<Arc<dyn EventListener>>, dir: &Path) -> Result<Self> {
        let Some(listener) = listener else { return Ok(Self::default()) };
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        let thread = std::thread::Builder::new()
            .name("patina-events".to_owned())
            .spawn(move || deliver(&receiver, &*listener, &counted))
            .map_err(|source| Error::io("start a thread for", dir, source))?;
        let (queue, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Self { is_listening: true, queue, thread, lost })
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.is_listening
    }

    /// Puts an event into the queue; never waits. It is not even made if nobody listens.
    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if !self.is_listening {
            return;
        }
        let event = event();
        let sent = self.queue.lock().as_ref().map(|queue| queue.try_send(event));
        if let Some(Err(_)) = sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until the listener has had everything; later events go nowhere.
    pub(crate) fn end(&self) {
        drop(self.queue.lock().take());
        let thread = self.thread.lock().take();
        // A listener that closes the database cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic of the listener was reported by the panic hook; closing goes on.
            let _ = thread.join();
        }
    }
}

fn deliver(queue: &Receiver<Event>, listener: &dyn EventListener, lost: &AtomicU64) {
    for event in queue {
        let events = lost.swap(0, Ordering::Relaxed);
        if events > 0 {
            listener.event(&Event::Lost { events });
        }
        listener.event(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn a_slow_listener_holds_nobody_up_and_learns_what_it_missed() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (gate, log) = (Arc::new(Barrier::new(2)), seen.clone());
        let waits = gate.clone();
        let listener = move |event: &Event| {
            if log.lock().is_empty() {
                waits.wait();
            }
            log.lock().push(event.clone());
        };
        let events = Events::start(Some(Arc::new(listener)), Path::new("db")).unwrap();
        let sent = QUEUE_MAX as u64 + 500;
        for n in 0..sent {
            events.emit(|| Event::StallEnded { elapsed_us: n });
        }
        gate.wait();
        // The queue has room again, sooner or later.
        let mut more = 0;
        while !seen.lock().iter().any(|event| matches!(event, Event::Lost { .. })) {
            events.emit(|| Event::StallBegun);
            more += 1;
            std::thread::yield_now();
        }
        events.end();
        let seen = seen.lock();
        let lost: u64 =
            seen.iter().map(|event| if let Event::Lost { events } = event { *events } else { 0 }).sum();
        let told = seen.iter().filter(|event| !matches!(event, Event::Lost { .. })).count() as u64;
        // What was lost after the last that got through is not told any more.
        assert!(lost > 0 && told + lost <= sent + more, "{told} {lost}");
        let order = seen.iter().filter_map(|event| match event {
            Event::StallEnded { elapsed_us } => Some(*elapsed_us),
            _ => None,
        });
        assert!(order.is_sorted());
    }

    #[test]
    fn without_a_listener_no_event_is_even_made() {
        let events = Events::start(None, Path::new("db")).unwrap();
        events.emit(|| unreachable!("nobody listens"));
        events.end();
    }
}
