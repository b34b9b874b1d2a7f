//! The small types that every part shares: sequence numbers, file ids, kinds of entry, bins, blob references.
//!
//! Every write has a [`Seqno`], given in commit order. An *internal key* is the user key with a [`Tag`], the
//! sequence number and the kind packed in 64 bits; internal keys order by user key ascending, then tag
//! descending, so that the newest version of a key comes first and a seek to `(key, seqno)` finds the version
//! that a reader at `seqno` must see.

use crate::coding::{Decoder, put_varint};
use std::cmp::Ordering;
use std::fmt;

/// The position of a write in commit order. 56 bits: at ten million writes a second it lasts 228 years.
///
/// ```
/// use patina_storage::Seqno;
/// assert!(Seqno(7) < Seqno(8));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seqno(pub u64);

impl Seqno {
    pub(crate) const MAX: Self = Self((1 << 56) - 1);
    /// The greatest that a database is believed to have reached: there must be room to count on.
    pub(crate) const REACHED_MAX: Self = Self(Self::MAX.0 >> 1);
}

impl fmt::Display for Seqno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number that names a file of the database; never used twice.
///
/// ```
/// assert_eq!(patina_storage::FileId(12).to_string(), "12");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

impl FileId {
    /// Nobody counts so far: a larger number is damage, or that of somebody else's file, and counting on from it would overflow.
    pub(crate) const MAX: Self = Self(u64::MAX >> 1);
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a keyspace; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyspaceId(pub u32);

/// What an entry says about its key; a range tombstone about all keys from its own to before its value. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    Tombstone = 0,
    Value = 1,
    BlobRef = 2,
    RangeTombstone = 3,
}

impl Kind {
    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Tombstone),
            1 => Some(Self::Value),
            2 => Some(Self::BlobRef),
            3 => Some(Self::RangeTombstone),
            _ => None,
        }
    }
}

/// Sequence number and kind, packed: `seqno << 8 | kind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(pub u64);

impl Kind {
    /// Whether a reader who sees it sees nothing.
    pub(crate) fn is_deletion(self) -> bool {
        matches!(self, Self::Tombstone | Self::RangeTombstone)
    }
}

impl Tag {
    pub(crate) fn new(seqno: Seqno, kind: Kind) -> Self {
        Self(seqno.0 << 8 | kind as u64)
    }

    /// The first tag, in key order, that a reader at `seqno` may see.
    pub(crate) fn seek(seqno: Seqno) -> Self {
        Self(seqno.0 << 8 | 0xff)
    }

    pub(crate) fn seqno(self) -> Seqno {
        Seqno(self.0 >> 8)
    }

    pub(crate) fn kind(self) -> Option<Kind> {
        Kind::from_u8(self.0 as u8)
    }

    pub(crate) fn is_deletion(self) -> bool {
        self.kind().is_some_and(Kind::is_deletion)
    }
}

/// Orders internal keys: user key ascending, then newest first.
pub(crate) fn cmp_internal(a: (&[u8], Tag), b: (&[u8], Tag)) -> Ordering {
    a.0.cmp(b.0).then_with(|| b.1.cmp(&a.1))
}

/// When a committed write is safe.
///
/// ```
/// assert_eq!(patina_storage::Durability::default(), patina_storage::Durability::Sync);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the call returns, also against power loss.
    #[default]
    Sync,
    /// Against a crash of the process at once; against power loss after the next [`crate::Db::sync`], or within
    /// [`crate::Options::sync_interval_ms`].
    Buffered,
}

/// How hard a blob is compressed. A blob that would not shrink by 12% is stored raw, whatever was asked.
///
/// ```
/// assert_eq!(patina_storage::Compression::default(), patina_storage::Compression::Dense);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// LZ4: for what is read often.
    Fast,
    /// zstd level 3: the default.
    #[default]
    Dense,
    /// zstd level 9: for what is seldom read. Higher levels cost 20 times the time for 4% of the bytes.
    Strong,
}

/// The bin that a blob belongs to: what is written together falls due together.
///
/// ```
/// let never_due = patina_storage::Bin { class: 2, due_ms: u64::MAX };
/// assert_eq!(patina_storage::Bin::for_due(2, 0, u64::MAX), never_due);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bin {
    /// The owner's class; PatinaDB's object store uses the stage.
    pub class: u8,
    /// When the bin falls due: the end of an epoch, in the owner's milliseconds.
    pub due_ms: u64,
}

impl Bin {
    const EPOCH_MS_MIN: u64 = 3_600_000;

    /// The bin of something that falls due at `due_ms`, seen from `now_ms`.
    ///
    /// The width of an epoch grows with the distance to the due time (a power of two of hours, at most half the
    /// distance), so that a class has about three bins an octave: some thirty between an hour and a century.
    /// The due time is rounded up, never down. `u64::MAX` (never due) has a bin of its own.
    ///
    /// ```
    /// use patina_storage::Bin;
    /// let hour = 3_600_000;
    /// let bin = Bin::for_due(0, 0, 100 * hour);
    /// assert_eq!(bin.due_ms, 128 * hour);
    /// ```
    pub fn for_due(class: u8, now_ms: u64, due_ms: u64) -> Self {
        if due_ms == u64::MAX {
            return Self { class, due_ms };
        }
        let distance_h = due_ms.saturating_sub(now_ms) / Self::EPOCH_MS_MIN;
        let width_h = if distance_h < 4 { 1 } else { 1u64 << (distance_h.ilog2() - 1) };
        let width_ms = width_h.saturating_mul(Self::EPOCH_MS_MIN);
        let due_ms = due_ms.div_ceil(width_ms).saturating_mul(width_ms);
        Self { class, due_ms }
    }
}

/// How a blob's record is laid out. The numbers are on disk.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let files = db.keyspace("files", KeyspaceOptions::default())?;
/// # let bin = Bin { class: 0, due_ms: u64::MAX };
/// let small = db.append_blob(&files, bin, b"key", b"its bytes", Compression::None)?;
/// let large = db.append_blob(&files, bin, b"key", &[7; 1_000_000], Compression::None)?;
/// assert_eq!(small.blob_ref().layout, BlobLayout::Whole);
/// assert_eq!(large.blob_ref().layout, BlobLayout::Chunked);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BlobLayout {
    /// In one piece, read and verified as one.
    #[default]
    Whole = 0,
    /// In chunks, each compressed and verified by itself: see [`crate::BlobWriter`].
    Chunked = 1,
}

impl BlobLayout {
    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Whole),
            1 => Some(Self::Chunked),
            _ => None,
        }
    }
}

/// Where a blob is: what the LSM keeps in place of the value.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let files = db.keyspace("files", KeyspaceOptions::default())?;
/// # let bin = Bin { class: 0, due_ms: u64::MAX };
/// let blob = db.append_blob(&files, bin, b"key", b"its bytes", Compression::Dense)?;
/// let mut batch = db.batch();
/// batch.put_blob(&files, "key", &blob);
/// db.write(batch, Durability::Sync)?;
///
/// let (blob, _) = files.blob_ref(b"key")?.unwrap();
/// assert_eq!((blob.file, blob.len), (db.blob_files(&files)?[0].id, 9));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// The blob file.
    pub file: FileId,
    /// The offset of the record in it.
    pub offset: u64,
    /// Bytes of the value as stored, compressed or not, without the record's header and key.
    pub stored_len: u64,
    /// Bytes of the value as put.
    pub len: u64,
    /// How the record is laid out.
    pub layout: BlobLayout,
}

impl BlobRef {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        for value in [self.file.0, self.offset, self.stored_len, self.len] {
            put_varint(&mut out, value);
        }
        out.push(self.layout as u8);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let blob = Self {
            file: FileId(decoder.varint()?),
            offset: decoder.varint()?,
            stored_len: decoder.varint()?,
            len: decoder.varint()?,
            layout: BlobLayout::from_u8(decoder.u8()?)?,
        };
        decoder.is_empty().then_some(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bin_is_never_earlier_than_its_due_time(now in 0u64..1 << 44, distance in 0u64..1 << 43) {
            let due = now + distance;
            let bin = Bin::for_due(1, now, due);
            prop_assert!(bin.due_ms >= due);
            prop_assert!(bin.due_ms - due <= distance / 2 + Bin::EPOCH_MS_MIN);
        }

        #[test]
        fn blob_references_round_trip(file: u64, offset: u64, stored_len: u64, len: u64, chunked: bool) {
            let layout = if chunked { BlobLayout::Chunked } else { BlobLayout::Whole };
            let blob = BlobRef { file: FileId(file), offset, stored_len, len, layout };
            prop_assert_eq!(BlobRef::decode(&blob.encode()), Some(blob));
        }
    }

    #[test]
    fn a_class_has_few_bins_over_a_century() {
        let hour = 3_600_000;
        let bins: std::collections::BTreeSet<u64> =
            (0..876_000).map(|distance| Bin::for_due(0, 0, distance * hour).due_ms).collect();
        assert!(bins.len() <= 48, "{} bins", bins.len());
    }

    #[test]
    fn the_newest_version_of_a_key_comes_first() {
        let old = Tag::new(Seqno(7), Kind::Value);
        let new = Tag::new(Seqno(9), Kind::Tombstone);
        assert_eq!(cmp_internal((b"k", new), (b"k", old)), Ordering::Less);
        assert_eq!(cmp_internal((b"a", old), (b"k", new)), Ordering::Less);
        assert_eq!(cmp_internal((b"k", Tag::seek(Seqno(9))), (b"k", new)), Ordering::Less);
        assert_eq!(cmp_internal((b"k", Tag::seek(Seqno(8))), (b"k", new)), Ordering::Greater);
    }
}
