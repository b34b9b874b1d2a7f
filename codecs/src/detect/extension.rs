//! What a name's extension claims.

use crate::media::{Kind, MediaType};

/// The extension's type, if the extension is known.
pub(super) fn of(name: &str) -> Option<MediaType> {
    let file_name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let (_, extension) = file_name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    let (kind, mime) = prose(&extension).or_else(|| code(&extension)).or_else(|| binary(&extension))?;
    Some(MediaType::known(kind, mime))
}

fn prose(extension: &str) -> Option<(Kind, &'static str)> {
    Some(match extension {
        "txt" | "text" => (Kind::Text, "text/plain"),
        "md" | "markdown" => (Kind::Text, "text/markdown"),
        "html" | "htm" | "xhtml" => (Kind::Text, "text/html"),
        "log" => (Kind::Log, "text/x-log"),
        "json" => (Kind::Json, "application/json"),
        "jsonl" | "ndjson" => (Kind::Json, "application/x-ndjson"),
        "geojson" => (Kind::Json, "application/geo+json"),
        "csv" => (Kind::Table, "text/csv"),
        "tsv" | "tab" => (Kind::Table, "text/tab-separated-values"),
        _ => return None,
    })
}

fn code(extension: &str) -> Option<(Kind, &'static str)> {
    let mime = match extension {
        "rs" => "text/x-rust",
        "py" | "pyi" => "text/x-python",
        "js" | "mjs" | "cjs" | "jsx" => "text/javascript",
        "ts" | "tsx" => "text/x-typescript",
        "c" | "h" => "text/x-c",
        "cc" | "cpp" | "cxx" | "hpp" | "hh" => "text/x-c++",
        "java" => "text/x-java",
        "kt" => "text/x-kotlin",
        "go" => "text/x-go",
        "rb" => "text/x-ruby",
        "php" => "text/x-php",
        "cs" => "text/x-csharp",
        "swift" => "text/x-swift",
        "scala" => "text/x-scala",
        "lua" => "text/x-lua",
        "pl" | "pm" => "text/x-perl",
        "r" => "text/x-r",
        "sql" => "text/x-sql",
        "sh" | "bash" | "zsh" => "text/x-shellscript",
        "css" => "text/css",
        "xml" => "application/xml",
        "toml" => "application/toml",
        "yaml" | "yml" => "application/yaml",
        _ => return None,
    };
    Some((Kind::Code, mime))
}

fn binary(extension: &str) -> Option<(Kind, &'static str)> {
    Some(match extension {
        "svg" => (Kind::Image, "image/svg+xml"),
        "npy" => (Kind::Tensor, "application/x-npy"),
        "npz" => (Kind::Tensor, "application/x-npz"),
        "safetensors" => (Kind::Tensor, "application/x-safetensors"),
        "docx" => (Kind::Document, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        "pptx" => {
            (Kind::Document, "application/vnd.openxmlformats-officedocument.presentationml.presentation")
        }
        "xlsx" => (Kind::Table, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        "mp3" => (Kind::Audio, "audio/mpeg"),
        "xls" => (Kind::Table, "application/vnd.ms-excel"),
        "doc" => (Kind::Document, "application/msword"),
        "ppt" | "pps" => (Kind::Document, "application/vnd.ms-powerpoint"),
        _ => return None,
    })
}
