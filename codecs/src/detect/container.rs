//! Zip files are many formats: the names of their entries tell which. So are the compound files of old office programs
//! (MS-CFB): the names of their streams do, or how the first one begins.

use crate::media::{Kind, MediaType};

const LOCAL_HEADER: &[u8; 4] = b"PK\x03\x04";
const CENTRAL_HEADER: &[u8; 4] = b"PK\x01\x02";
const ENTRIES_MAX: usize = 10_000;

/// What the zip holds; `by_name` decides when the head shows only entries that any of them may have.
pub(super) fn inside_zip(head: &[u8], by_name: Option<MediaType>) -> MediaType {
    if let Some(media) = stored_mimetype(head) {
        return media;
    }
    let names: Vec<&[u8]> = entry_names(head).take(ENTRIES_MAX).collect();
    let any = |prefix: &[u8]| names.iter().any(|name| name.starts_with(prefix));
    let is_office = any(b"[Content_Types].xml") || any(b"_rels/") || any(b"docProps/");
    let office = |kind, mime| MediaType::known(kind, mime);
    if any(b"word/") {
        return office(
            Kind::Document,
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        );
    }
    if any(b"ppt/") {
        return office(
            Kind::Document,
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        );
    }
    if any(b"xl/") {
        return office(Kind::Table, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
    }
    if !names.is_empty() && names.iter().all(|name| name.ends_with(b".npy")) {
        return MediaType::known(Kind::Tensor, "application/x-npz");
    }
    if any(b"META-INF/MANIFEST.MF") {
        return MediaType::known(Kind::Archive, "application/java-archive");
    }
    match by_name {
        Some(media) if is_office && media.mime.starts_with("application/vnd.openxmlformats") => media,
        _ => MediaType::known(Kind::Archive, "application/zip"),
    }
}

/// What a compound file holds; its directory may lie beyond the head, so the name may have to decide.
pub(super) fn inside_compound(head: &[u8], by_name: Option<MediaType>) -> MediaType {
    const EXCEL: MediaType = MediaType::known(Kind::Table, "application/vnd.ms-excel");
    const STREAMS: [(&str, MediaType); 4] = [
        ("Workbook", EXCEL),
        ("Book", EXCEL),
        ("WordDocument", MediaType::known(Kind::Document, "application/msword")),
        ("PowerPoint Document", MediaType::known(Kind::Document, "application/vnd.ms-powerpoint")),
    ];
    /// The first sector, and the record that begins an Excel stream.
    const FIRST_SECTOR: usize = 512;
    const BEGIN: [u8; 4] = [0x09, 0x08, 0x10, 0x00];
    let named = |name: &str| {
        // Names are UTF-16 and end with a zero.
        let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        head.windows(name.len()).any(|window| window == name)
    };
    if let Some((_, media)) = STREAMS.into_iter().find(|(name, _)| named(name)) {
        return media;
    }
    if head.get(FIRST_SECTOR..).is_some_and(|first| first.starts_with(&BEGIN)) {
        return EXCEL;
    }
    match by_name {
        Some(media) if STREAMS.iter().any(|(_, known)| *known == media) => media,
        _ => MediaType::known(Kind::Other, "application/x-ole-storage"),
    }
}

/// OpenDocument and EPUB put their media type, uncompressed, into a first entry named `mimetype`.
fn stored_mimetype(head: &[u8]) -> Option<MediaType> {
    let first = entry_names(head).next()?;
    if first != b"mimetype" {
        return None;
    }
    let name_start = 30;
    let extra_bytes = usize::from(u16_at(head, 28)?);
    let content = head.get(name_start + first.len() + extra_bytes..)?;
    const KNOWN: [(Kind, &str); 4] = [
        (Kind::Document, "application/vnd.oasis.opendocument.text"),
        (Kind::Table, "application/vnd.oasis.opendocument.spreadsheet"),
        (Kind::Document, "application/vnd.oasis.opendocument.presentation"),
        (Kind::Document, "application/epub+zip"),
    ];
    KNOWN
        .into_iter()
        .find(|(_, mime)| content.starts_with(mime.as_bytes()))
        .map(|(kind, mime)| MediaType::known(kind, mime))
}

/// Entry names from local and central headers, found by their signatures: sizes in local headers may be
/// absent, so headers cannot be walked, and the central directory may lie beyond the head.
fn entry_names(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.windows(4).enumerate().filter_map(move |(at, window)| {
        let (len_at, name_at) = match window {
            w if w == LOCAL_HEADER => (26, 30),
            w if w == CENTRAL_HEADER => (28, 46),
            _ => return None,
        };
        let name_bytes = usize::from(u16_at(head, at + len_at)?);
        head.get(at + name_at..at + name_at + name_bytes)
    })
}

fn u16_at(head: &[u8], at: usize) -> Option<u16> {
    head.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes))
}
