//! What an object is: a coarse kind that policies and queries name, and an exact media type.

use std::borrow::Cow;
use std::fmt;

use crate::json::JSON_MIME;
use crate::log::LOG_MIME;
use crate::table::{TABLE_MIME, WORKBOOK_MIME};

/// The media type of what is left of an archive.
pub const ARCHIVE_MIME: &str = "application/vnd.patina.archive+json";

/// The coarse type of an object, as the column `type` and policies name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Pictures.
    Image,
    /// Prose: plain, Markdown, HTML.
    Text,
    /// Source code and scripts.
    Code,
    /// Lines with a time or a level each.
    Log,
    /// JSON, and JSON by lines.
    Json,
    /// Rows and columns: CSV, TSV, spreadsheets.
    Table,
    /// Office documents and PDF.
    Document,
    /// Numeric arrays: npy, npz, safetensors.
    Tensor,
    /// Sound.
    Audio,
    /// Containers of other files, and compressed files.
    Archive,
    /// Everything else.
    Other,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 11] = [
        Self::Image,
        Self::Text,
        Self::Code,
        Self::Log,
        Self::Json,
        Self::Table,
        Self::Document,
        Self::Tensor,
        Self::Audio,
        Self::Archive,
        Self::Other,
    ];

    /// The name in lower case: `"image"`, `"text"`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
            Self::Code => "code",
            Self::Log => "log",
            Self::Json => "json",
            Self::Table => "table",
            Self::Document => "document",
            Self::Tensor => "tensor",
            Self::Audio => "audio",
            Self::Archive => "archive",
            Self::Other => "other",
        }
    }

    /// The kind with this name, the reverse of [`Kind::as_str`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind a media type belongs to; parameters such as `; charset=utf-8` are ignored.
    ///
    /// ```
    /// # use patina_codecs::Kind;
    /// assert_eq!(Kind::of_mime("text/csv; charset=utf-8"), Kind::Table);
    /// assert_eq!(Kind::of_mime("application/x-unheard-of"), Kind::Other);
    /// ```
    pub fn of_mime(mime: &str) -> Self {
        let mime = essence(mime);
        match mime.as_ref() {
            "text/plain" | "text/markdown" | "text/html" | "application/xhtml+xml" => Self::Text,
            "text/x-log" | LOG_MIME => Self::Log,
            "application/json" | "application/x-ndjson" | "application/geo+json" | JSON_MIME => Self::Json,
            "text/csv" | "text/tab-separated-values" | "application/vnd.ms-excel" => Self::Table,
            TABLE_MIME | WORKBOOK_MIME => Self::Table,
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
            | "application/vnd.oasis.opendocument.spreadsheet" => Self::Table,
            "application/pdf" | "application/rtf" | "text/rtf" | "application/msword" => Self::Document,
            "application/vnd.ms-powerpoint" | "application/epub+zip" | "application/postscript" => {
                Self::Document
            }
            "application/x-npy"
            | "application/x-npz"
            | "application/x-safetensors"
            | "application/x-gguf" => Self::Tensor,
            "application/zip" | "application/gzip" | "application/x-tar" | "application/x-bzip2" => {
                Self::Archive
            }
            "application/x-xz" | "application/zstd" | "application/x-7z-compressed" => Self::Archive,
            "application/vnd.rar" | "application/x-lz4" | "application/x-lzip" | "application/x-cpio" => {
                Self::Archive
            }
            ARCHIVE_MIME | "application/x-compressed-tar" => Self::Archive,
            "application/java-archive" | "application/vnd.debian.binary-package" => Self::Archive,
            "application/xml" | "text/xml" | "application/toml" | "application/yaml" => Self::Code,
            other => Self::of_family(other),
        }
    }

    fn of_family(mime: &str) -> Self {
        if mime.starts_with("image/") {
            Self::Image
        } else if mime.starts_with("audio/") {
            Self::Audio
        } else if mime.starts_with("application/vnd.openxmlformats-officedocument.")
            || mime.starts_with("application/vnd.oasis.opendocument.")
        {
            Self::Document
        } else if mime.starts_with("text/x-") || mime == "text/css" || mime == "text/javascript" {
            Self::Code
        } else if mime.starts_with("text/") {
            Self::Text
        } else {
            Self::Other
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The kind and the media type (RFC 6838) of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaType {
    /// The coarse type.
    pub kind: Kind,
    /// The media type without parameters, in lower case, such as `image/png`.
    pub mime: Cow<'static, str>,
}

impl MediaType {
    /// Reads a media type that a person or a former step stated. Anything is accepted; what is unknown
    /// is [`Kind::Other`].
    ///
    /// ```
    /// # use patina_codecs::{Kind, MediaType};
    /// assert_eq!(MediaType::from_mime("Text/Plain; charset=latin1").mime, "text/plain");
    /// ```
    pub fn from_mime(mime: &str) -> Self {
        let essence = essence(mime);
        Self { kind: Kind::of_mime(&essence), mime: Cow::Owned(essence.into_owned()) }
    }

    /// What bytes of this type also are, where a codec for that asks less of them: the next safer one after those for this
    /// type. Summaries that this crate wrote are none: what they say of an original are not the original's words.
    pub(crate) fn plainer(&self) -> Option<Self> {
        let is_text = matches!(
            self.mime.as_ref(),
            "application/json"
                | "application/x-ndjson"
                | "application/geo+json"
                | "text/x-log"
                | "text/csv"
                | "text/tab-separated-values"
        );
        is_text.then_some(Self::known(Kind::Text, "text/plain"))
    }

    pub(crate) const fn known(kind: Kind, mime: &'static str) -> Self {
        Self { kind, mime: Cow::Borrowed(mime) }
    }
}

fn essence(mime: &str) -> Cow<'_, str> {
    let bare = mime.split(';').next().unwrap_or_default().trim();
    if bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(bare.to_ascii_lowercase())
    } else {
        Cow::Borrowed(bare)
    }
}
