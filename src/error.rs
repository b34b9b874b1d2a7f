//! The facade's error: which layer failed, with that layer's message.

use std::fmt;

/// What calls of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed call. The message says what to do next; the layers' own errors carry a kind to match on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The object store refused or failed: see [`patina_objects::ErrorKind`].
    Objects(patina_objects::Error),
    /// Storage refused or failed: see [`patina_storage::ErrorKind`].
    Storage(patina_storage::Error),
    /// A statement could not be parsed or run.
    Query(patina_query::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(error) => error.fmt(f),
            Self::Storage(error) => error.fmt(f),
            Self::Query(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Objects(error) => error.source(),
            Self::Storage(error) => error.source(),
            Self::Query(error) => error.source(),
        }
    }
}

impl From<patina_objects::Error> for Error {
    fn from(error: patina_objects::Error) -> Self {
        Self::Objects(error)
    }
}

impl From<patina_storage::Error> for Error {
    fn from(error: patina_storage::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<patina_query::Error> for Error {
    fn from(error: patina_query::Error) -> Self {
        Self::Query(error)
    }
}
