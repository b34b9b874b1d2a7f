//! Telling others what happens to objects, as it happens.
//!
//! A subscriber gets every history row once it is committed, in order. It runs on a thread of its own behind a bounded
//! queue: commits never wait for it, and it may call the store as it likes. One that is too slow loses rows, and is told how
//! many; the history has them all.
//!
//! Invariants: nothing is told that was not committed; memory is bounded by [`EVENTS_WAITING_MAX`] rows a subscriber.

use crate::error::{Error, Result};
use crate::model::HistoryRow;
use crate::store::ObjectStore;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// Rows that may wait for a subscriber.
pub const EVENTS_WAITING_MAX: usize = 4096;

/// Something that a subscriber is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A put, a transition, a control or a deletion was committed. It is durable when the call that made it returns.
    Happened(Arc<HistoryRow>),
    /// So many rows came too fast and were left out; the history has them.
    Missed(u64),
}

/// One subscriber's end of the queue.
struct Feed {
    sender: SyncSender<Arc<HistoryRow>>,
    missed: Arc<AtomicU64>,
}

/// Everybody who is told.
#[derive(Default)]
pub(crate) struct Subscribers {
    feeds: Mutex<Vec<(u64, Feed)>>,
    made: AtomicU64,
}

impl Subscribers {
    pub(crate) fn is_empty(&self) -> bool {
        self.feeds.lock().is_empty()
    }

    /// Queues a committed row for everybody.
    pub(crate) fn tell(&self, row: &Arc<HistoryRow>) {
        self.feeds.lock().retain(|(_, feed)| match feed.sender.try_send(Arc::clone(row)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                feed.missed.fetch_add(1, Ordering::SeqCst);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
    }
}

/// Ends the telling when it is dropped; what waits is still told.
pub struct Subscription {
    number: u64,
    subscribers: Weak<Subscribers>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscribers) = self.subscribers.upgrade() {
            subscribers.feeds.lock().retain(|(number, _)| *number != self.number);
        }
        // A subscriber may drop its own subscription, and cannot wait for itself.
        if let Some(thread) =
            self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id())
        {
            let _ = thread.join();
        }
    }
}

impl ObjectStore {
    /// Calls `told` for everything that is committed from now on, on a thread of its own. If it holds the store, the store
    /// stays open until the subscription is dropped.
    ///
    /// ```
    /// use patina_objects::{Event, ManualClock, ObjectStore, PutOptions, Reason, StoreOptions};
    /// use std::sync::{Arc, mpsc};
    /// # use patina_storage::{Db, MemVfs, Options};
    /// # let db = Db::open_with(Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// let store = ObjectStore::open(db, Arc::new(ManualClock::default()), StoreOptions::default())?;
    /// let (send, receive) = mpsc::channel();
    /// let subscription = store.subscribe(move |event| drop(send.send(event)))?;
    /// store.put("a.txt", b"first", &PutOptions::default())?;
    /// drop(subscription);
    /// let Event::Happened(row) = receive.recv()? else { unreachable!() };
    /// assert_eq!((row.name.as_str(), row.reason), ("a.txt", Reason::Put));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn subscribe(&self, told: impl FnMut(Event) + Send + 'static) -> Result<Subscription> {
        let (sender, receiver) = sync_channel(EVENTS_WAITING_MAX);
        let missed = Arc::new(AtomicU64::new(0));
        let (subscribers, counted) = (&self.inner.subscribers, Arc::clone(&missed));
        let thread = std::thread::Builder::new()
            .name("patina-events".to_owned())
            .spawn(move || run(&receiver, &counted, told))
            .map_err(|error| Error::invalid(format!("the system gives no thread to tell on: {error}")))?;
        let number = subscribers.made.fetch_add(1, Ordering::SeqCst);
        subscribers.feeds.lock().push((number, Feed { sender, missed }));
        Ok(Subscription { number, subscribers: Arc::downgrade(subscribers), thread: Some(thread) })
    }
}

/// Tells what comes until nobody can send any more.
fn run(receiver: &Receiver<Arc<HistoryRow>>, missed: &AtomicU64, mut told: impl FnMut(Event)) {
    while let Ok(row) = receiver.recv() {
        told(Event::Happened(row));
        let count = missed.swap(0, Ordering::SeqCst);
        if count > 0 {
            told(Event::Missed(count));
        }
    }
}
