//! A look at a file before it is stored: is it there, is it whole?
//!
//! A picture that was cut off on its way is worth a word while its owner may still have a whole copy. The look is
//! cheap (markers only, nothing is decoded) and it never keeps a file out: the bytes are stored as they are.

use std::fs;
use std::io;
use std::path::Path;

/// An object is read and written in one piece, so a file must fit in memory comfortably.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// Reads a whole file to be stored; the error is a line for its owner.
#[expect(clippy::disallowed_methods, reason = "the command line reads the files it is given")]
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a folder: use `patina import {shown}` to store what is in it"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("{shown} is larger than 1 GiB, the most one object can hold: split it"));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    if bytes.is_empty() {
        return Err(format!("{shown} is empty: there is nothing to store"));
    }
    Ok(bytes)
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
pub fn damage(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) && !jpeg_ends(bytes) {
        return Some("a JPEG that is cut off");
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") && !png_ends(bytes) {
        return Some("a PNG that is cut off");
    }
    None
}

/// Whether an end-of-image marker follows the first scan. Markers before it may belong to a thumbnail.
fn jpeg_ends(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xff {
            at += 1;
            continue;
        }
        if marker == START_OF_SCAN {
            return bytes.get(at + 4..).is_some_and(|scan| scan.windows(2).any(|pair| pair == END_OF_IMAGE));
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}

/// Whether the chunks follow one another to the last one.
fn png_ends(bytes: &[u8]) -> bool {
    let mut at = 8;
    while let Some(&[a, b, c, d, ref kind @ ..]) = bytes.get(at..at + 8) {
        let body = u32::from_be_bytes([a, b, c, d]) as usize;
        let end = at + 12 + body;
        if kind == b"IEND" {
            return bytes.len() >= end;
        }
        at = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Vec<u8> {
        read(&Path::new("samples").join(name)).unwrap()
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
    fn every_file_that_cannot_be_stored_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::File::create_new(&empty).unwrap();
        assert!(read(&empty).unwrap_err().ends_with("is empty: there is nothing to store"));
        assert!(read(folder.path()).unwrap_err().contains("is a folder: use `patina import"));
        assert!(read(&folder.path().join("none")).unwrap_err().contains("no such file"));
    }
}
