//! Objects made from the samples: as different as objects are, and as costly for a codec as their sample.

#![expect(clippy::disallowed_methods, reason = "the samples are files")]

use bytes::Bytes;

/// Objects of one type.
pub struct Corpus {
    pub name: &'static str,
    pub media_type: &'static str,
    /// How what decay leaves of them is compressed in the store, if it is.
    pub zstd_level: Option<i32>,
    pub objects: Vec<Bytes>,
}

impl Corpus {
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.len() as u64).sum()
    }
}

fn sample(file: &str) -> Vec<u8> {
    std::fs::read(format!("{}/samples/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The sample photographs, each copy with a comment of its own: the same picture in other bytes.
pub fn photos(count: u64) -> Corpus {
    let samples = ["rocket.jpg", "exif-photo.jpg", "hubble_deep_field.jpg"].map(sample);
    let objects = (0..count).zip(samples.iter().cycle());
    let objects = objects.map(|(number, jpeg)| commented(jpeg, number)).collect();
    Corpus { name: "JPEG photos", media_type: "image/jpeg", zstd_level: None, objects }
}

/// A JPEG with a number in a comment behind its start marker.
fn commented(jpeg: &[u8], number: u64) -> Bytes {
    let (start, rest) = jpeg.split_at(2);
    let length = 2 + 8u16;
    [start, &[0xff, 0xfe], &length.to_be_bytes(), &number.to_be_bytes(), rest].concat().into()
}

fn paragraphs() -> Vec<String> {
    let prose = String::from_utf8(sample("gpl-3.txt")).unwrap();
    prose.split("\n\n").map(|paragraph| paragraph.trim_end().to_owned()).collect()
}

/// The paragraphs of a licence, each copy beginning with another one.
pub fn texts(count: u64) -> Corpus {
    let mut paragraphs = paragraphs();
    let objects = (0..count).map(|number| {
        paragraphs.rotate_left(1);
        format!("Copy {number}\n\n{}\n", paragraphs.join("\n\n")).into()
    });
    Corpus { name: "texts", media_type: "text/plain", zstd_level: Some(9), objects: objects.collect() }
}

/// Short texts of one to three KiB.
pub fn notes(count: u64) -> impl Iterator<Item = Bytes> {
    let paragraphs = paragraphs();
    (0..count).map(move |number| {
        let wanted = 1024 + (number.wrapping_mul(2_654_435_761) % 2048) as usize;
        let mut note = format!("Note {number}\n");
        for paragraph in paragraphs.iter().cycle().skip(number as usize % paragraphs.len()) {
            note.push('\n');
            note.push_str(paragraph);
            note.push('\n');
            if note.len() >= wanted {
                break;
            }
        }
        note.into()
    })
}

/// Bytes that do not compress.
pub fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(bytes / 8).flatten().collect()
}
