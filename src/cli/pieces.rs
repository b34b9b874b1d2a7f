//! Bytes on their way between a file and an object, a piece at a time: counted for the bar, and stopped by Ctrl-C.
//!
//! Both directions take a closure that is called with the length of each piece that has passed; an error of it ends
//! the way.

use std::io::{self, Read, Write};

use anyhow::anyhow;
use patinadb::ObjectReader;

use super::interrupt::Interrupted;

/// What is read and written at once.
const PIECE_BYTES: u64 = 256 << 10;

/// Called with the length of each piece.
pub type Each<'a> = &'a mut dyn FnMut(u64) -> io::Result<()>;

/// An error once Ctrl-C was pressed, for an [`Each`] to return.
pub fn unless(interrupted: &Interrupted) -> io::Result<()> {
    if interrupted.is_set() { Err(io::Error::other("interrupted")) } else { Ok(()) }
}

/// A reader on its way into an object.
pub struct Watched<'a> {
    reader: &'a mut dyn Read,
    each: Each<'a>,
    /// Why it could not be read to its end. An object store that fails leaves nothing here.
    pub failed: Option<String>,
}

impl<'a> Watched<'a> {
    pub fn new(reader: &'a mut dyn Read, each: Each<'a>) -> Self {
        Self { reader, each, failed: None }
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf).and_then(|len| {
            (self.each)(len as u64)?;
            Ok(len)
        });
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failed = Some(error.to_string());
        }
        read
    }
}

/// Which side of a copy failed.
pub enum CopyError {
    Read(patinadb::objects::Error),
    Write(io::Error),
    /// By [`Each`].
    Stopped(io::Error),
}

impl CopyError {
    /// With what was being done when it was the writing that failed.
    pub fn said(self, writing: &str) -> anyhow::Error {
        match self {
            Self::Read(error) => error.into(),
            Self::Write(error) => anyhow!(error).context(writing.to_owned()),
            Self::Stopped(error) => error.into(),
        }
    }
}

/// Writes an object out.
pub fn copy(object: &mut ObjectReader, out: &mut dyn Write, each: Each<'_>) -> Result<(), CopyError> {
    let mut at = 0;
    while at < object.len() {
        let piece = object.read_range(at..at.saturating_add(PIECE_BYTES)).map_err(CopyError::Read)?;
        out.write_all(&piece).map_err(CopyError::Write)?;
        at += piece.len() as u64;
        each(piece.len() as u64).map_err(CopyError::Stopped)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_fails_or_is_stopped_says_why() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is on fire"))
            }
        }
        let (mut failing, mut none) = (Failing, |_| Ok(()));
        let mut watched = Watched::new(&mut failing, &mut none);
        assert!(watched.read(&mut [0; 8]).is_err());
        assert_eq!(watched.failed.as_deref(), Some("the disk is on fire"));

        let (mut whole, mut passed) = (&b"some bytes"[..], 0);
        let mut two = |len| {
            passed += len;
            if passed > 4 { Err(io::Error::other("interrupted")) } else { Ok(()) }
        };
        let mut watched = Watched::new(&mut whole, &mut two);
        assert_eq!(watched.read(&mut [0; 4]).unwrap(), 4);
        assert!(watched.read(&mut [0; 4]).is_err());
        assert_eq!(watched.failed.as_deref(), Some("interrupted"));
    }
}
