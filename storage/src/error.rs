//! The one public error type.
//!
//! A caller rarely cares which call failed; it cares what to do next. So an [`Error`] carries an [`ErrorKind`],
//! chosen by what the caller can do, a message that names the file, the offset or the argument, and the source.

use bytes::Bytes;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What storage calls return.
///
/// ```
/// fn age(users: &patina_storage::Keyspace) -> patina_storage::Result<Option<u8>> {
///     Ok(users.get(b"age")?.map(|bytes| bytes[0]))
/// }
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// match users.put("alice", "30") {
///     Ok(seqno) => println!("written as {seqno}"),
///     Err(error) if error.kind() == ErrorKind::NoSpace => println!("free some space: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A requirement of a batch did not hold: read again and retry.
    Conflict,
    /// An argument or option is wrong: fix it; nothing was changed.
    InvalidArgument,
    /// The directory holds something that is no PatinaDB database: name another one.
    NotADatabase,
    /// Another process has the database open: close it there.
    Locked,
    /// Bytes on disk are not what was written: restore from a copy, or salvage.
    Corruption,
    /// The disk is full: free space and retry.
    NoSpace,
    /// An earlier failure made the database read-only: close and reopen it.
    ReadOnly,
    /// The file system is mounted read-only, or its permissions forbid the call: allow writing there, or name another directory.
    NotWritable,
    /// The database was closed while this handle was still in use.
    Closed,
    /// The keyspace of this handle was dropped: make or open it again by its name.
    KeyspaceDropped,
    /// The operating system refused a call: the message says which.
    Io,
    /// The owner of the blobs (see `BinOwner`) failed; its error is the source.
    Owner,
}

/// A failed storage call: its kind, a message for a person, and the cause.
///
/// ```
/// # use patina_storage::*;
/// let error = Options { block_bytes: 1, ..Options::default() }.validate().unwrap_err();
/// assert_eq!(error.to_string(), "bad options: block_bytes must be at least 256");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    /// The file, and the offset if bytes there are damaged.
    location: Option<Box<(PathBuf, Option<u64>)>>,
    /// Keyspace and key.
    conflict: Option<Box<(String, Bytes)>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), location: None, conflict: None, source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// What was made with one database was given to another.
    pub(crate) fn foreign() -> Self {
        Self::invalid(
            "a keyspace, snapshot or blob belongs to another database, or to an earlier opening of this one; use those of one",
        )
    }

    /// Damaged bytes in `path` at `offset`.
    pub(crate) fn corruption(path: &Path, offset: u64, what: &str) -> Self {
        let message =
            format!("{} is damaged at byte {offset}: {what}; restore it from a copy", path.display());
        let location = Some(Box::new((path.to_owned(), Some(offset))));
        Self { location, ..Self::new(ErrorKind::Corruption, message) }
    }

    /// A failed system call on `path`.
    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ErrorKind::NotWritable,
            _ => ErrorKind::Io,
        };
        let location = Some(Box::new((path.to_owned(), None)));
        let message = format!("cannot {doing} {}", path.display());
        Self { location, source: Some(Box::new(source)), ..Self::new(kind, message) }
    }

    /// Reading `path` from `offset` failed. A file that ends before its own contents say so is damaged.
    pub(crate) fn read(path: &Path, offset: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::corruption(path, offset, "it ends before that"),
            _ => Self::io("read", path, source),
        }
    }

    /// The same error, saying what else can be done about it.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(advice);
        self
    }

    /// The reader of a streamed blob failed.
    pub(crate) fn reader(source: io::Error) -> Self {
        let message = "cannot read the bytes of the blob";
        Self { source: Some(Box::new(source)), ..Self::new(ErrorKind::Io, message) }
    }

    /// Wraps an error that the owner of the blobs raised inside a bin compaction.
    ///
    /// ```
    /// let error = patina_storage::Error::owner("the codec gave up".into());
    /// assert_eq!(error.kind(), patina_storage::ErrorKind::Owner);
    /// ```
    pub fn owner(source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { source: Some(source), ..Self::new(ErrorKind::Owner, "the owner of a blob failed") }
    }

    /// A requirement on this key does not hold.
    pub(crate) fn conflicting(keyspace: String, key: Bytes) -> Self {
        let shown = key.get(..key.len().min(64)).unwrap_or_default().escape_ascii();
        let message = format!(
            "what the commit requires of key \"{shown}\" of keyspace \"{keyspace}\" does not hold (any more); read again and retry"
        );
        Self { conflict: Some(Box::new((keyspace, key))), ..Self::new(ErrorKind::Conflict, message) }
    }

    /// For [`ErrorKind::Conflict`]: the keyspace and the key (or prefix) on which it conflicts.
    ///
    /// ```
    /// # use patina_storage::*;
    /// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
    /// # let users = db.keyspace("users", KeyspaceOptions::default())?;
    /// let seqno = users.put("alice", "30")?;
    /// users.put("alice", "31")?;
    /// let mut batch = db.batch();
    /// batch.require_version(&users, "alice", seqno);
    /// let error = db.write(batch, Durability::Sync).unwrap_err();
    /// assert_eq!(error.conflict(), Some(("users", &b"alice"[..])));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn conflict(&self) -> Option<(&str, &[u8])> {
        self.conflict.as_deref().map(|(keyspace, key)| (&keyspace[..], &key[..]))
    }

    /// What the caller can do about it.
    ///
    /// ```
    /// # use patina_storage::*;
    /// let error = Options { block_bytes: 1, ..Options::default() }.validate().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file that it is about, and the offset in it where the bytes are damaged, if it is about one.
    ///
    /// ```
    /// # use patina_storage::*;
    /// let error = Options { block_bytes: 1, ..Options::default() }.validate().unwrap_err();
    /// assert_eq!(error.location(), None);
    /// ```
    pub fn location(&self) -> Option<(&Path, Option<u64>)> {
        self.location.as_deref().map(|(path, offset)| (path.as_path(), *offset))
    }

    /// For an error made by [`Error::owner`], what the owner raised.
    ///
    /// ```
    /// let error = patina_storage::Error::owner("the codec gave up".into());
    /// assert_eq!(error.into_owner_source().unwrap().to_string(), "the codec gave up");
    /// ```
    pub fn into_owner_source(
        mut self,
    ) -> std::result::Result<Box<dyn std::error::Error + Send + Sync>, Self> {
        match (self.kind, self.source.take()) {
            (ErrorKind::Owner, Some(source)) => Ok(source),
            (_, source) => Err(Self { source, ..self }),
        }
    }
}

/// For [`io::Read`] and [`io::Write`]: the error is the source, and its kind the nearest one.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::InvalidArgument => io::ErrorKind::InvalidInput,
            ErrorKind::Corruption => io::ErrorKind::InvalidData,
            ErrorKind::NoSpace => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
