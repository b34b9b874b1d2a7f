//! How long a transform may take, asked of a clock that the caller gives.
//!
//! Nothing here can stop a thread. Codecs ask [`Deadline::check`] in each loop whose length the input decides, and what
//! they hand to a library is a reader that ends when the time is over ([`Watched`]): a decoder that waits for bytes then
//! gets an error instead. A codec that is late refuses, and the object stays as it is.

use std::fmt;
use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use crate::registry::Refusal;

/// A clock that only goes forward: the time since some fixed moment.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How many bytes a [`Watched`] reader gives between two looks at the clock.
const BYTES_BETWEEN_CHECKS: usize = 64 * 1024;

/// When a transform must end.
#[derive(Clone, Default)]
pub struct Deadline {
    clock: Option<(Clock, Duration)>,
    limit: Duration,
}

impl Deadline {
    /// One that never comes.
    pub fn never() -> Self {
        Self::default()
    }

    /// `limit` from now, by this clock.
    ///
    /// ```
    /// # use std::{sync::Arc, sync::atomic::{AtomicU64, Ordering}, time::Duration};
    /// # use patina_codecs::{Clock, Deadline};
    /// let seconds = Arc::new(AtomicU64::new(0));
    /// let hand = seconds.clone();
    /// let clock: Clock = Arc::new(move || Duration::from_secs(hand.load(Ordering::Relaxed)));
    /// let deadline = Deadline::after(Duration::from_secs(5), &clock);
    /// assert!(deadline.check().is_ok());
    /// seconds.store(6, Ordering::Relaxed);
    /// assert!(deadline.check().is_err());
    /// ```
    pub fn after(limit: Duration, clock: &Clock) -> Self {
        Self { clock: Some((clock.clone(), clock().saturating_add(limit))), limit }
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.clock.as_ref().is_some_and(|(clock, end)| clock() > *end)
    }

    /// To be called in loops.
    ///
    /// # Errors
    /// When the time is over; pass it on.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.is_over() { Err(Refusal::new(self.to_string())) } else { Ok(()) }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "takes longer than {} ms", self.limit.as_millis())
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("limit", &self.limit).field("is_over", &self.is_over()).finish()
    }
}

/// A reader over bytes that fails once the time is over.
pub(crate) struct Watched<'a> {
    bytes: Cursor<&'a [u8]>,
    deadline: &'a Deadline,
    unchecked_bytes: usize,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(bytes: &'a [u8], deadline: &'a Deadline) -> Self {
        Self { bytes: Cursor::new(bytes), deadline, unchecked_bytes: 0 }
    }

    /// Bytes that nobody has read.
    pub(crate) fn rest_bytes(&self) -> usize {
        let read_bytes = usize::try_from(self.bytes.position()).unwrap_or(usize::MAX);
        self.bytes.get_ref().len().saturating_sub(read_bytes)
    }

    #[inline]
    fn watch(&mut self, given_bytes: usize) -> io::Result<()> {
        self.unchecked_bytes += given_bytes;
        if self.unchecked_bytes >= BYTES_BETWEEN_CHECKS {
            self.unchecked_bytes = 0;
            if self.deadline.is_over() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, self.deadline.to_string()));
            }
        }
        Ok(())
    }
}

impl Read for Watched<'_> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read_bytes = self.bytes.read(buffer)?;
        self.watch(read_bytes)?;
        Ok(read_bytes)
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.watch(0)?;
        let rest = self.bytes.fill_buf()?;
        // In pieces, so that a decoder that takes all there is comes back to be asked.
        Ok(rest.get(..BYTES_BETWEEN_CHECKS).unwrap_or(rest))
    }

    fn consume(&mut self, taken_bytes: usize) {
        self.unchecked_bytes += taken_bytes;
        self.bytes.consume(taken_bytes);
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}
