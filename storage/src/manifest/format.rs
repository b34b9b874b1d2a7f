//! Manifest edit and `CURRENT`, byte by byte. Version 1 (of the log that holds the edits; tags are never used twice).
//!
//! ```text
//! CURRENT := "MANIFEST-" number in decimal, at least 6 digits | " " durable bytes of it, at least
//!            | " " CRC32 of the text before this space, 8 hexadecimal digits | "\n"
//! edit    := field*        field := tag u8 | fields below, integers as varints
//!  1 next file number      2 last sequence number      3 first log still needed
//!  5 table added           keyspace | file | level u8
//!  6 table removed         keyspace | file
//!  8 blob file sealed      file | length of the records' part | records
//!  9 blob file retired     file
//! 10 closed cleanly        log | its length          (counts only if no edit follows)
//! 11 keyspace              id | name bytes | options bytes       made, or given other options
//! 12 keyspace dropped      id                        with all its tables
//! 13 next keyspace id
//! 14 blob file opened      file | keyspace | class u8 | due | origin u8 (0 appended by the user, 1 separated at a flush)
//! 15 table ingested        file | sequence number    its entries, written with number 0, count as this one
//! 16 log begun             log                       it is there until tag 3 passes it
//! 17 open blob file        file | bytes of it that are durable, at least
//! options := option*       option := tag u8 | fields below
//!  1 compression           7 × u8, level 0 first (0 none, 1 LZ4, 2 zstd)
//!  2 separate_bytes        varint                    (absent: never)
//!  3 blob_class            u8
//! ```

use crate::coding::{Decoder, put_bytes, put_varint};
use crate::options::{KeyspaceOptions, TableCompression};
use crate::types::{Bin, FileId, KeyspaceId, Seqno};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    pub next_file: Option<u64>,
    pub last_seqno: Option<Seqno>,
    pub first_log: Option<FileId>,
    pub next_keyspace: Option<u32>,
    pub keyspaces: Vec<(KeyspaceId, String, KeyspaceOptions)>,
    pub dropped: Vec<KeyspaceId>,
    pub tables: Vec<TableEdit>,
    pub ingested: Vec<(FileId, Seqno)>,
    pub logs: Vec<FileId>,
    pub blobs: Vec<BlobEdit>,
    pub closed: Option<(FileId, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableEdit {
    Add { keyspace: KeyspaceId, id: FileId, level: u8 },
    Remove { keyspace: KeyspaceId, id: FileId },
}

impl TableEdit {
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        match self {
            Self::Add { keyspace, .. } | Self::Remove { keyspace, .. } => *keyspace,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobEdit {
    Open { id: FileId, keyspace: KeyspaceId, bin: Bin, origin: BlobOrigin },
    Durable { id: FileId, bytes: u64 },
    Seal { id: FileId, bytes: u64, records: u64 },
    Retire { id: FileId },
}

/// Who collects a blob file's garbage. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlobOrigin {
    /// The user appended its records, and has it compacted.
    User = 0,
    /// The database separated its records from the tree, and moves them as it likes.
    Separated = 1,
}

impl BlobOrigin {
    fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::User),
            1 => Some(Self::Separated),
            _ => None,
        }
    }
}

fn put(out: &mut Vec<u8>, tag: u8, values: &[u64]) {
    out.push(tag);
    for value in values {
        put_varint(out, *value);
    }
}

impl Edit {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let scalars = [
            (1, self.next_file),
            (2, self.last_seqno.map(|s| s.0)),
            (3, self.first_log.map(|id| id.0)),
            (13, self.next_keyspace.map(u64::from)),
        ];
        for (tag, value) in scalars {
            if let Some(value) = value {
                put(&mut out, tag, &[value]);
            }
        }
        for (id, name, options) in &self.keyspaces {
            put(&mut out, 11, &[u64::from(id.0)]);
            put_bytes(&mut out, name.as_bytes());
            put_bytes(&mut out, &encode_options(options));
        }
        for id in &self.dropped {
            put(&mut out, 12, &[u64::from(id.0)]);
        }
        for table in &self.tables {
            match table {
                TableEdit::Add { keyspace, id, level } => {
                    put(&mut out, 5, &[u64::from(keyspace.0), id.0]);
                    out.push(*level);
                }
                TableEdit::Remove { keyspace, id } => put(&mut out, 6, &[u64::from(keyspace.0), id.0]),
            }
        }
        for blob in &self.blobs {
            match blob {
                BlobEdit::Open { id, keyspace, bin, origin } => {
                    put(&mut out, 14, &[id.0, u64::from(keyspace.0)]);
                    out.push(bin.class);
                    put_varint(&mut out, bin.due_ms);
                    out.push(*origin as u8);
                }
                BlobEdit::Durable { id, bytes } => put(&mut out, 17, &[id.0, *bytes]),
                BlobEdit::Seal { id, bytes, records } => put(&mut out, 8, &[id.0, *bytes, *records]),
                BlobEdit::Retire { id } => put(&mut out, 9, &[id.0]),
            }
        }
        for (id, seqno) in &self.ingested {
            put(&mut out, 15, &[id.0, seqno.0]);
        }
        for id in &self.logs {
            put(&mut out, 16, &[id.0]);
        }
        if let Some((log, len)) = self.closed {
            put(&mut out, 10, &[log.0, len]);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut edit = Self::default();
        let mut decoder = Decoder::new(bytes);
        while !decoder.is_empty() {
            match decoder.u8()? {
                1 => edit.next_file = Some(file(&mut decoder)?.0),
                2 => edit.last_seqno = Some(seqno(&mut decoder)?),
                3 => edit.first_log = Some(file(&mut decoder)?),
                5 => edit.tables.push(TableEdit::Add {
                    keyspace: KeyspaceId(decoder.varint_u32()?),
                    id: file(&mut decoder)?,
                    level: decoder.u8()?,
                }),
                6 => edit.tables.push(TableEdit::Remove {
                    keyspace: KeyspaceId(decoder.varint_u32()?),
                    id: file(&mut decoder)?,
                }),
                8 => edit.blobs.push(BlobEdit::Seal {
                    id: file(&mut decoder)?,
                    bytes: decoder.varint()?,
                    records: decoder.varint()?,
                }),
                9 => edit.blobs.push(BlobEdit::Retire { id: file(&mut decoder)? }),
                10 => edit.closed = Some((file(&mut decoder)?, decoder.varint()?)),
                11 => {
                    let id = KeyspaceId(decoder.varint_u32().filter(|id| *id < u32::MAX)?);
                    let name = std::str::from_utf8(decoder.bytes()?).ok()?.to_owned();
                    edit.keyspaces.push((id, name, decode_options(decoder.bytes()?)?));
                }
                12 => edit.dropped.push(KeyspaceId(decoder.varint_u32()?)),
                15 => edit.ingested.push((file(&mut decoder)?, seqno(&mut decoder)?)),
                13 => edit.next_keyspace = Some(decoder.varint_u32().filter(|id| *id < u32::MAX)?),
                14 => edit.blobs.push(BlobEdit::Open {
                    id: file(&mut decoder)?,
                    keyspace: KeyspaceId(decoder.varint_u32()?),
                    bin: Bin { class: decoder.u8()?, due_ms: decoder.varint()? },
                    origin: BlobOrigin::from_u8(decoder.u8()?)?,
                }),
                16 => edit.logs.push(file(&mut decoder)?),
                17 => {
                    edit.blobs.push(BlobEdit::Durable { id: file(&mut decoder)?, bytes: decoder.varint()? })
                }
                _ => return None,
            }
        }
        Some(edit)
    }
}

/// A number from which can be counted on, as all from here: see [`FileId::MAX`].
fn file(decoder: &mut Decoder<'_>) -> Option<FileId> {
    decoder.varint().map(FileId).filter(|id| *id <= FileId::MAX)
}

fn seqno(decoder: &mut Decoder<'_>) -> Option<Seqno> {
    decoder.varint().map(Seqno).filter(|seqno| *seqno <= Seqno::REACHED_MAX)
}

fn encode_options(options: &KeyspaceOptions) -> Vec<u8> {
    let KeyspaceOptions { compression, separate_bytes, blob_class } = options;
    let mut out = vec![1];
    out.extend(compression.iter().map(|level| *level as u8));
    if let Some(bytes) = separate_bytes {
        put(&mut out, 2, &[u64::from(*bytes)]);
    }
    out.extend([3, *blob_class]);
    out
}

fn decode_options(bytes: &[u8]) -> Option<KeyspaceOptions> {
    let mut options = KeyspaceOptions::default();
    let mut decoder = Decoder::new(bytes);
    while !decoder.is_empty() {
        match decoder.u8()? {
            1 => {
                for level in &mut options.compression {
                    *level = TableCompression::from_u8(decoder.u8()?)?;
                }
            }
            2 => options.separate_bytes = Some(decoder.varint_u32()?),
            3 => options.blob_class = decoder.u8()?,
            _ => return None,
        }
    }
    Some(options)
}

pub(super) fn encode_current(id: FileId, durable_bytes: u64) -> Vec<u8> {
    let text = format!("{} {durable_bytes}", super::manifest_name(id));
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text} {crc:08x}\n").into_bytes()
}

pub(super) fn decode_current(bytes: &[u8]) -> Option<(FileId, u64)> {
    let (text, _crc) = std::str::from_utf8(bytes).ok()?.rsplit_once(' ')?;
    let (id, durable_bytes) = text.strip_prefix("MANIFEST-")?.split_once(' ')?;
    let (id, durable_bytes) = (FileId(id.parse().ok()?), durable_bytes.parse().ok()?);
    (encode_current(id, durable_bytes) == bytes).then_some((id, durable_bytes))
}
