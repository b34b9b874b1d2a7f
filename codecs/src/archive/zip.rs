//! Zip files, read within limits.
//!
//! Entries are counted before any is read, and what is read is counted as it comes out ([`Unpacking`]).

use std::io::BufReader;

use zip::ZipArchive;

use crate::deadline::Watched;
use crate::registry::{Input, Refusal};
use crate::unpack::Unpacking;

/// What an entry turned out to be.
pub(crate) struct Passed {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

pub(crate) struct Zip<'a> {
    archive: ZipArchive<BufReader<Watched<'a>>>,
    unpacking: Unpacking<'a>,
    text_bytes_max: u64,
}

impl<'a> Zip<'a> {
    pub(crate) fn open(input: &Input<'a>) -> Result<Self, Refusal> {
        let archive = ZipArchive::new(BufReader::new(Watched::new(input.bytes, input.deadline)))
            .map_err(|error| Refusal::new(format!("is no zip that can be read: {error}")))?;
        let (entries, limit) = (archive.len(), input.limits.entries);
        if entries as u64 > limit {
            return Err(Refusal::new(format!("{entries} entries are more than {limit}")));
        }
        Ok(Self { archive, unpacking: Unpacking::of(input), text_bytes_max: input.limits.text_bytes })
    }

    pub(crate) fn len(&self) -> usize {
        self.archive.len()
    }

    /// The names of the entries, in the order of the directory.
    pub(crate) fn names(&mut self) -> Result<Vec<String>, Refusal> {
        (0..self.len())
            .map(|at| {
                let odd = |error: zip::result::ZipError| refusal_of(at, &error);
                let entry = self.archive.by_index_raw(at).map_err(odd)?;
                Ok(entry.name().map_err(odd)?.into_owned())
            })
            .collect()
    }

    /// Gives the content of an entry to `each`, block by block.
    pub(crate) fn pass(&mut self, at: usize, mut each: impl FnMut(&[u8])) -> Result<Passed, Refusal> {
        let odd = |error: zip::result::ZipError| refusal_of(at, &error);
        let entry = self.archive.by_index(at).map_err(odd)?;
        let name = entry.name().map_err(odd)?.into_owned();
        let bytes = self.unpacking.pass(entry, &name, |block| {
            each(block);
            Ok(())
        })?;
        Ok(Passed { name, bytes })
    }

    /// The content of an entry; `None` if there is none of this name.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let Ok(entry) = self.archive.by_name(name) else { return Ok(None) };
        self.unpacking.read(entry, name, self.text_bytes_max.max(1)).map(Some)
    }

    /// An entry as text; `None` if there is none of this name.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        let (text, _) = crate::text::encoding::decode(&bytes)
            .ok_or_else(|| Refusal::new(format!("{} is no text", crate::trace::cut(name, 80))))?;
        Ok(Some(text.into_owned()))
    }
}

fn refusal_of(at: usize, error: &zip::result::ZipError) -> Refusal {
    Refusal::new(format!("entry {at} cannot be read: {error}"))
}
