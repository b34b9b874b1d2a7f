//! The one public error type: a kind chosen by what the caller can do, a message that says it, and the cause.

use std::fmt;

/// What calls of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No object, policy or hold has that name: check it.
    NotFound,
    /// The object has decayed away; only its row is left.
    Gone,
    /// A hold stands: release it first.
    Held,
    /// The name is taken: choose another one or delete the object there.
    Exists,
    /// A budget is used up, and its owner wants writes refused then: make room or raise it.
    OverBudget,
    /// An argument is wrong: fix it; nothing was changed.
    InvalidArgument,
    /// The clock went further forward than is plausible: confirm it, or set it right.
    ClockJump,
    /// Others changed the same object again and again meanwhile: retry.
    Conflict,
    /// A stored row is not what was written: restore from a copy.
    Corruption,
    /// Storage failed; its kind says how.
    Storage(patina_storage::ErrorKind),
}

/// A failed call: its kind, a message for a person, and the cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<patina_storage::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn corruption(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corruption, message)
    }

    /// What is to be stored cannot be had.
    pub(crate) fn reader(source: std::io::Error) -> Self {
        let message = format!("what is to be stored cannot be read: {source}; nothing was stored");
        Self::new(ErrorKind::Storage(patina_storage::ErrorKind::Io), message)
    }

    pub(crate) fn no_object(tenant: &str, name: &str) -> Self {
        let place =
            if tenant == crate::DEFAULT_TENANT { String::new() } else { format!(" of tenant '{tenant}'") };
        Self::new(
            ErrorKind::NotFound,
            format!("there is no object '{name}'{place}; list the names to find it"),
        )
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.kind, ErrorKind::Conflict | ErrorKind::Storage(patina_storage::ErrorKind::Conflict))
    }

    /// Whether the fault lies in the bytes of one object, so that others may go on.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self.kind, ErrorKind::Corruption | ErrorKind::Storage(patina_storage::ErrorKind::Corruption))
    }

    /// Whether the disk is full.
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self.kind, ErrorKind::Storage(patina_storage::ErrorKind::NoSpace))
    }

    /// For use inside a bin compaction, where storage calls us back.
    pub(crate) fn into_storage(self) -> patina_storage::Error {
        patina_storage::Error::owner(Box::new(self))
    }
}

impl From<patina_storage::Error> for Error {
    /// Keeps storage's message; an error of ours that went through storage comes back as it was.
    fn from(error: patina_storage::Error) -> Self {
        let error = match error.into_owner_source() {
            Ok(source) => match source.downcast::<Self>() {
                Ok(own) => return *own,
                Err(source) => patina_storage::Error::owner(source),
            },
            Err(error) => error,
        };
        let kind = ErrorKind::Storage(error.kind());
        Self { kind, message: error.to_string(), source: Some(error) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
