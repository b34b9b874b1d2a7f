//! The npz format: a zip of npy files, one an array.
//!
//! What is no array that can be rounded (texts, objects, booleans) stays in the file as it is.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Output, npy};
use crate::archive::zip::Zip;
use crate::registry::{Input, Refusal};

/// An entry as it was stored.
pub(super) struct Entry {
    /// Without `.npy`.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn read(input: &Input<'_>) -> Result<Vec<Entry>, Refusal> {
    let mut zip = Zip::open(input)?;
    (0..zip.len())
        .map(|at| {
            let mut bytes = Vec::new();
            let passed = zip.pass(at, |block| bytes.extend_from_slice(block))?;
            let name = passed.name.strip_suffix(".npy").unwrap_or(&passed.name).to_owned();
            Ok(Entry { name, bytes })
        })
        .collect()
}

/// Packed, as `numpy.savez_compressed` does; `comment` says what the arrays are.
pub(super) fn write(
    arrays: &[Output],
    untouched: &[(&str, &[u8])],
    comment: &str,
) -> Result<Vec<u8>, Refusal> {
    let failed = |error: &dyn std::fmt::Display| Refusal::new(format!("cannot be written as npz: {error}"));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let written = arrays.iter().map(|array| (array.name.as_str(), npy::write(array)));
    let kept = untouched.iter().map(|(name, bytes)| (*name, bytes.to_vec()));
    for (name, bytes) in written.chain(kept) {
        writer.start_file(format!("{name}.npy"), options).map_err(|error| failed(&error))?;
        writer.write_all(&bytes).map_err(|error| failed(&error))?;
    }
    if !comment.is_empty() {
        writer.set_comment(comment).map_err(|error| failed(&error))?;
    }
    Ok(writer.finish().map_err(|error| failed(&error))?.into_inner())
}
