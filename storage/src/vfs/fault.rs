//! Calls that fail on demand.

use super::hooks::VfsCall;
use std::io;

/// Which calls of a [`MemVfs`](crate::MemVfs) fail, and how.
///
/// ```
/// use patina_storage::*;
/// use std::{io::ErrorKind, path::Path};
///
/// let vfs = MemVfs::new();
/// let file = vfs.create(Path::new("a"))?;
/// // The second sync from now on fails, and loses what it should have made durable.
/// vfs.inject(Fault { calls: &[VfsCall::Sync], after: 1, lasts: false, error: ErrorKind::Other, halfway: true });
/// file.sync()?;
/// file.write_all_at(b"bytes", 0)?;
/// assert!(file.sync().is_err());
/// file.sync()?;
/// vfs.sync_dir(Path::new(""))?;
/// assert_eq!(vfs.bytes(Path::new("a"))?, b"bytes");
/// assert_ne!(vfs.crash().bytes(Path::new("a"))?, b"bytes");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The calls that are counted, and fail.
    pub calls: &'static [VfsCall],
    /// So many of them pass first.
    pub after: u64,
    /// Then all fail, until [`MemVfs::heal`](crate::MemVfs::heal); else one does.
    pub lasts: bool,
    /// What they fail with.
    pub error: io::ErrorKind,
    /// They do a part before they fail: a read and a write half of the bytes; any other call all of it, but a sync, which *loses* what it
    /// should have made durable: programs go on seeing it, and no later sync brings it to the disk, as on Linux.
    pub halfway: bool,
}

/// A fault, and how many of its calls came so far.
pub(super) struct Armed {
    fault: Fault,
    seen: u64,
}

impl From<Fault> for Armed {
    fn from(fault: Fault) -> Self {
        Self { fault, seen: 0 }
    }
}

/// How a call is to fail.
pub(super) struct Failure {
    pub error: io::Error,
    pub halfway: bool,
}

impl Armed {
    /// Counts a call; says how it fails, if it does.
    pub(super) fn meet(&mut self, call: VfsCall) -> Option<Failure> {
        let Fault { calls, after, lasts, error, halfway } = self.fault;
        if !calls.contains(&call) {
            return None;
        }
        let passed = self.seen;
        self.seen += 1;
        let fails = if lasts { passed >= after } else { passed == after };
        fails.then(|| Failure { error: injected(error), halfway })
    }

    /// Whether the calls so far include one that failed.
    pub(super) fn has_struck(&self) -> bool {
        self.seen > self.fault.after
    }
}

fn injected(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "injected fault")
}
