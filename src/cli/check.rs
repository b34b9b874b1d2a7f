//! A look at a file before it is stored: is it there, is it whole?
//!
//! A picture that was cut off on its way is worth a word while its owner may still have a whole copy. The look is
//! cheap (markers only, nothing is decoded) and it never keeps a file out: the bytes are stored as they are.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// What has at most so many bytes is read whole; the rest is streamed.
pub const WHOLE_BYTES_MAX: u64 = 8 << 20;

/// What is to be stored.
pub enum Contents {
    /// In memory, and not empty.
    Whole(Vec<u8>),
    /// Too much for that.
    Stream(Stream),
}

/// A reader to be read to its end.
pub struct Stream {
    pub reader: Box<dyn Read>,
    /// How much it is going to give, as far as that is known.
    pub bytes: Option<u64>,
}

/// Opens a file to be stored, and reads it if it is not large; the error is a line for its owner.
#[expect(clippy::disallowed_methods, reason = "the command line reads the files it is given")]
pub fn open(path: &Path) -> Result<Contents, String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a folder: use `patina import {shown}` to store what is in it"));
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    let contents = File::open(path).and_then(|file| read_or_stream(file, bytes));
    match contents.map_err(|error| unreadable(path, &error))? {
        Some(contents) => Ok(contents),
        None => Err(format!("{shown} is empty: there is nothing to store")),
    }
}

/// Reads as much as is read whole, where `bytes` is how much there should be; if there is more, all of it is to be
/// streamed. `None` if there is nothing.
pub fn read_or_stream(mut source: impl Read + 'static, bytes: Option<u64>) -> io::Result<Option<Contents>> {
    // One byte more, which shows the end without another allocation.
    let expected = bytes.unwrap_or(0).min(WHOLE_BYTES_MAX) + 1;
    let mut head = Vec::with_capacity(expected as usize);
    source.by_ref().take(WHOLE_BYTES_MAX + 1).read_to_end(&mut head)?;
    if head.len() as u64 > WHOLE_BYTES_MAX {
        let reader = Box::new(io::Cursor::new(head).chain(source));
        return Ok(Some(Contents::Stream(Stream { reader, bytes })));
    }
    Ok((!head.is_empty()).then_some(Contents::Whole(head)))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("{shown}: no such file; check the path"),
        io::ErrorKind::PermissionDenied => {
            format!("{shown}: permission denied; make it readable and try again")
        }
        _ => format!("{shown}: {error}"),
    }
}

/// What is plainly wrong with the bytes of a picture, if anything is.
pub fn damage(source: &mut (impl Read + Seek)) -> io::Result<Option<&'static str>> {
    if read_at(source, 0)? == Some([0xff, 0xd8, 0xff]) && !jpeg_ends(source)? {
        return Ok(Some("a JPEG that is cut off"));
    }
    if read_at(source, 0)? == Some(*b"\x89PNG\r\n\x1a\n") && !png_ends(source)? {
        return Ok(Some("a PNG that is cut off"));
    }
    Ok(None)
}

/// The bytes at a place, if there are so many.
fn read_at<const N: usize>(source: &mut (impl Read + Seek), at: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    source.seek(SeekFrom::Start(at))?;
    match source.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read.map(|()| Some(bytes)),
    }
}

/// Whether an end-of-image marker follows the first scan. Markers before it may belong to a thumbnail.
fn jpeg_ends(source: &mut (impl Read + Seek)) -> io::Result<bool> {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    while let Some([0xff, marker, high, low]) = read_at(source, at)? {
        if marker == 0xff {
            at += 1;
            continue;
        }
        if marker == START_OF_SCAN {
            return has_end_of_image(source);
        }
        at += 2 + u64::from(u16::from_be_bytes([high, low]));
    }
    Ok(false)
}

/// Whether the marker is in what is left to be read.
fn has_end_of_image(source: &mut impl Read) -> io::Result<bool> {
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let mut piece = vec![0; 64 << 10];
    let mut last = 0;
    loop {
        let len = match source.read(&mut piece) {
            Ok(0) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let read = piece.get(..len).unwrap_or_default();
        // The marker may lie across two pieces.
        let begins = [last, read.first().copied().unwrap_or_default()];
        if begins == END_OF_IMAGE || read.windows(2).any(|pair| pair == END_OF_IMAGE) {
            return Ok(true);
        }
        last = read.last().copied().unwrap_or_default();
    }
}

/// Whether the chunks follow one another to the last one.
fn png_ends(source: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut at = 8;
    while let Some([a, b, c, d, kind @ ..]) = read_at::<8>(source, at)? {
        let end = at + 12 + u64::from(u32::from_be_bytes([a, b, c, d]));
        if kind == *b"IEND" {
            return Ok(source.seek(SeekFrom::End(0))? >= end);
        }
        at = end;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Vec<u8> {
        match open(&Path::new("samples").join(name)).unwrap() {
            Contents::Whole(bytes) => bytes,
            Contents::Stream(_) => panic!("{name} is small"),
        }
    }

    fn damage(bytes: &[u8]) -> Option<&'static str> {
        super::damage(&mut io::Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn whole_pictures_are_whole() {
        for name in ["rocket.jpg", "exif-photo.jpg", "hubble_deep_field.jpg", "chelsea.png", "camera.png"] {
            assert_eq!(damage(&sample(name)), None, "{name}");
        }
        assert_eq!(damage(&sample("cc0.txt")), None);
    }

    #[test]
    fn a_cut_anywhere_is_seen() {
        for name in ["exif-photo.jpg", "chelsea.png"] {
            let bytes = sample(name);
            for cut in [bytes.len() - 3, bytes.len() / 2, 5_000, 40, 9] {
                assert!(damage(&bytes[..cut]).is_some(), "{name} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_marker_across_two_pieces_is_found() {
        let scan = |len: usize| [&[0xff, 0xd8, 0xff, 0xda, 0, 2][..], &vec![0; len], &[0xff, 0xd9]].concat();
        for len in [0, 65_532, 65_533, 65_534, 65_535, 65_536, 65_537] {
            assert_eq!(damage(&scan(len)), None, "{len}");
            assert!(damage(&scan(len)[..len + 7]).is_some(), "{len}");
        }
    }

    #[test]
    fn what_is_large_is_streamed_whole() {
        let bytes = vec![7; WHOLE_BYTES_MAX as usize + 1];
        let large = read_or_stream(io::Cursor::new(bytes.clone()), None).unwrap();
        let Some(Contents::Stream(mut stream)) = large else { panic!("it is not small") };
        let mut read = Vec::new();
        stream.reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        // What a file says of its size is a hint.
        for hint in [None, Some(0), Some(1), Some(u64::MAX)] {
            let small = read_or_stream(io::Cursor::new(bytes[1..].to_vec()), hint).unwrap();
            assert!(matches!(small, Some(Contents::Whole(read)) if read == bytes[1..]));
        }
        assert!(read_or_stream(io::empty(), Some(5)).unwrap().is_none());
    }

    #[test]
    fn every_file_that_cannot_be_stored_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::File::create_new(&empty).unwrap();
        let refusal = |path: &Path| open(path).map(|_| ()).unwrap_err();
        assert!(refusal(&empty).ends_with("is empty: there is nothing to store"));
        assert!(refusal(folder.path()).contains("is a folder: use `patina import"));
        assert!(refusal(&folder.path().join("none")).contains("no such file"));
    }
}
