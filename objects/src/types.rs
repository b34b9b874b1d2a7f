//! The small types of the life cycle: object ids, stages, reasons, holds, content hashes.

use crate::clock::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt;

/// The number of an object. It stays the same through renames, overwrites and decay, and is never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a hold on one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub u64);

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much of an object is left. The numbers are on disk and in SQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stage {
    /// The original bytes.
    #[default]
    Hot = 0,
    /// The first transform of its type.
    Warm = 1,
    /// A stronger transform.
    Cold = 2,
    /// A summary of at most about 1 KiB inside the object's row; no blob.
    Trace = 3,
    /// The row only.
    Purged = 4,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 5] = [Self::Hot, Self::Warm, Self::Cold, Self::Trace, Self::Purged];

    /// The name: "hot", "warm", "cold", "trace" or "purged".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Trace => "trace",
            Self::Purged => "purged",
        }
    }

    /// The number, 0 to 4.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The stage with this number.
    ///
    /// ```
    /// use patina_objects::Stage;
    /// assert_eq!(Stage::from_number(2), Some(Stage::Cold));
    /// assert_eq!(Stage::from_number(5), None);
    /// ```
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The stage's place in an array of [`Stage::ALL`]'s length.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the history has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A new object.
    Put,
    /// A new generation under an old name.
    Overwrite,
    /// The due time came.
    Due,
    /// A forced tick.
    Forced,
    /// A budget was exceeded, and this was the least loss.
    Budget,
    /// The bytes of a content that several objects share were stored anew for the sake of another object.
    Repack,
    /// The kept original was brought back.
    Restore,
    /// The kept original was dropped: its restore window had passed.
    DropOriginal,
    /// Somebody took the bytes away.
    Purge,
    /// The object was deleted.
    Delete,
    /// The row of a purged object was removed.
    Forget,
    /// A pin, hold, rate, policy or name was changed; the note says what.
    Control,
}

impl Reason {
    const ALL: [Self; 12] = [
        Self::Put,
        Self::Overwrite,
        Self::Due,
        Self::Forced,
        Self::Budget,
        Self::Repack,
        Self::Restore,
        Self::DropOriginal,
        Self::Purge,
        Self::Delete,
        Self::Forget,
        Self::Control,
    ];

    /// The word in the history: "put", "overwrite", "due", "forced", "budget", "repack", "restore",
    /// "drop original", "purge", "delete", "forget" or "control".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Overwrite => "overwrite",
            Self::Due => "due",
            Self::Forced => "forced",
            Self::Budget => "budget",
            Self::Repack => "repack",
            Self::Restore => "restore",
            Self::DropOriginal => "drop original",
            Self::Purge => "purge",
            Self::Delete => "delete",
            Self::Forget => "forget",
            Self::Control => "control",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason for which an object may not be degraded, overwritten, deleted or purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The number to release it by.
    pub id: HoldId,
    /// Why it was placed.
    pub reason: String,
    /// When it ends by itself; `None` stands until released.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Whether the hold is in force at `now`.
    pub fn stands(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// SHA-256: the name of a content, what `sha256sum` prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ContentHash(pub [u8; 32]);

impl ContentHash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
