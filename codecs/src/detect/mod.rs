//! What a file is: by its content first, by its name second.
//!
//! A name is a claim anyone can type; the first bytes seldom lie. So the order is: formats with a signature
//! of their own, containers told apart by what is in them, then text, whose grammar says whether it is JSON,
//! a table, a log or prose. The name decides where content cannot (a `.md` may be plain prose, a `.rs` may
//! be a single comment), and for bytes that say nothing.
//!
//! Example: `photo.txt` starting with `\x89PNG` is `image/png`; a zip with an entry `word/document.xml` is a
//! Word document whatever it is called; `a,b\n1,2\n3,4\n…` named `export` is `text/csv`.

mod container;
mod extension;
mod prose;
mod signature;

use crate::media::{Kind, MediaType};
use crate::text::encoding;

/// How much of a file [`detect()`] looks at; a longer head does no harm and no good.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Tells the type of a file from its first bytes (up to [`HEAD_BYTES_MAX`]) and its name. Never fails: what
/// nobody knows is `application/octet-stream`.
///
/// ```
/// # use patina_codecs::{Kind, detect};
/// assert_eq!(detect(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "photo.txt").mime, "image/png");
/// assert_eq!(detect(b"fn main() {}", "main.rs").kind, Kind::Code);
/// assert_eq!(detect(b"\x00\x01\x02", "blob").mime, "application/octet-stream");
/// ```
pub fn detect(head: &[u8], name: &str) -> MediaType {
    let is_whole = head.len() < HEAD_BYTES_MAX;
    let head = &head[..head.len().min(HEAD_BYTES_MAX)];
    let by_name = extension::of(name);
    if let Some(media) = signature::of(head) {
        return match media.mime.as_ref() {
            "application/zip" => container::inside_zip(head, by_name),
            "application/x-ole-storage" => container::inside_compound(head, by_name),
            _ => media,
        };
    }
    if let Some(text) = encoding::decode_head(head) {
        return prose::of(&text, is_whole, by_name);
    }
    match by_name {
        // Bytes that are no text cannot be what a text's extension says.
        Some(media) if !is_textual(&media) => media,
        _ => MediaType::known(Kind::Other, "application/octet-stream"),
    }
}

fn is_textual(media: &MediaType) -> bool {
    matches!(media.kind, Kind::Text | Kind::Code | Kind::Log | Kind::Json)
        || matches!(media.mime.as_ref(), "text/csv" | "text/tab-separated-values" | "image/svg+xml")
}

#[cfg(test)]
mod tests;
