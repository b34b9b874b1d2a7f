//! Formats that start with bytes of their own.

use crate::media::{Kind, MediaType};
use crate::text::encoding;

/// A safetensors header longer than this is not believed (the reference reader's own bound).
const SAFETENSORS_HEADER_BYTES_MAX: u64 = 100_000_000;

pub(super) fn of(head: &[u8]) -> Option<MediaType> {
    own(head).or_else(|| common(head))
}

/// Signatures the library below does not know or knows too vaguely.
fn own(head: &[u8]) -> Option<MediaType> {
    if head.starts_with(b"\x93NUMPY") {
        return Some(MediaType::known(Kind::Tensor, "application/x-npy"));
    }
    if head.starts_with(b"GGUF") && head.get(4..8).is_some_and(|version| version != [0; 4]) {
        return Some(MediaType::known(Kind::Tensor, "application/x-gguf"));
    }
    if is_safetensors(head) {
        return Some(MediaType::known(Kind::Tensor, "application/x-safetensors"));
    }
    if head.starts_with(b"%PDF-") {
        return Some(MediaType::known(Kind::Document, "application/pdf"));
    }
    if head.starts_with(b"{\\rtf") {
        return Some(MediaType::known(Kind::Document, "application/rtf"));
    }
    if head.starts_with(b"%!PS") {
        return Some(MediaType::known(Kind::Document, "application/postscript"));
    }
    if [&b"PK\x03\x04"[..], b"PK\x05\x06"].iter().any(|magic| head.starts_with(magic)) {
        return Some(MediaType::known(Kind::Archive, "application/zip"));
    }
    None
}

/// Eight bytes of header length, then a JSON object of that length.
fn is_safetensors(head: &[u8]) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else { return false };
    let header_bytes = u64::from_le_bytes(*length);
    (2..=SAFETENSORS_HEADER_BYTES_MAX).contains(&header_bytes)
        && rest.starts_with(b"{\"")
        && std::str::from_utf8(&rest[..rest.len().min(header_bytes.min(256) as usize)]).is_ok_or_cut()
}

trait OkOrCut {
    fn is_ok_or_cut(&self) -> bool;
}

impl OkOrCut for Result<&str, std::str::Utf8Error> {
    fn is_ok_or_cut(&self) -> bool {
        self.as_ref().map_or_else(|error| error.error_len().is_none(), |_| true)
    }
}

/// The library's answer, unless the bytes are text: signatures such as `BM` or `MZ` are also words.
fn common(head: &[u8]) -> Option<MediaType> {
    let found = infer::get(head)?;
    let mime = renamed(found.mime_type());
    if matches!(mime, "text/html" | "text/xml" | "text/x-shellscript" | "application/octet-stream") {
        return None;
    }
    if encoding::decode_head(head).is_some() {
        return None;
    }
    Some(MediaType::known(Kind::of_mime(mime), mime))
}

/// One name for each format: the registered one where there is one.
fn renamed(mime: &'static str) -> &'static str {
    match mime {
        "audio/x-wav" => "audio/wav",
        "audio/x-flac" => "audio/flac",
        "audio/x-aiff" => "audio/aiff",
        "audio/m4a" => "audio/mp4",
        "image/vnd.microsoft.icon" => "image/x-icon",
        other => other,
    }
}
