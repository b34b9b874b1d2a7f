//! The demo's pictures on disk: each as it was imported and as each stage left it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use patinadb::{Object, Stage};

/// The folder the pictures go to.
pub struct Pictures {
    folder: PathBuf,
}

impl Pictures {
    /// Makes the folder where it is missing.
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| {
            format!("cannot make the folder {}: name another with --pictures", folder.display())
        })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a picture as it is now: `chelsea.1-warm.jpg`.
    #[expect(clippy::disallowed_methods, reason = "the demo writes pictures for a person to look at")]
    pub fn keep(&self, name: &str, object: &Object) -> Result<()> {
        let path = self.folder.join(file_name(name, object.stage, &object.media_type));
        fs::write(&path, &object.bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn file_name(name: &str, stage: Stage, media_type: &str) -> String {
    let base = name.rsplit_once('.').map_or(name, |(base, _)| base);
    let extension = match media_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "application/json" => "json",
        _ => "bin",
    };
    format!("{base}.{}-{}.{extension}", stage as u8, stage.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_says_what_it_shows() {
        assert_eq!(file_name("chelsea.png", Stage::Warm, "image/jpeg"), "chelsea.1-warm.jpg");
        assert_eq!(file_name("chelsea.png", Stage::Hot, "image/png"), "chelsea.0-hot.png");
        assert_eq!(file_name("chelsea.png", Stage::Trace, "application/json"), "chelsea.3-trace.json");
    }
}
