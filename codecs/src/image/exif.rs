//! What the camera wrote beside the pixels (EXIF 2.32), read and carried over.
//!
//! The orientation is applied to the pixels and therefore not written again; thumbnails and maker notes are
//! not worth their bytes. One tag is added: the image history (TIFF/EP 0x9213) tells the size of the
//! original, so that a trace made from a reduced picture still knows it.

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Context, Exif, Field, In, Reader, Tag, Value};

const IMAGE_HISTORY: Tag = Tag(Context::Tiff, 0x9213);
const HISTORY_PREFIX: &str = "original ";

/// A value longer than this is not a fact about the picture.
const VALUE_BYTES_MAX: usize = 1024;
/// An application segment of JPEG has a length of 16 bits.
const BLOCK_BYTES_MAX: usize = 32 * 1024;
/// Offset and name of the profile, comments of programs and cameras, and sizes that no longer hold.
const NEVER: [Tag; 7] = [
    Tag::Orientation,
    Tag::MakerNote,
    Tag::UserComment,
    Tag::PixelXDimension,
    Tag::PixelYDimension,
    Tag::InteroperabilityIndex,
    IMAGE_HISTORY,
];
/// Tags of the picture itself, as opposed to how it was stored.
const DESCRIPTIVE: [Tag; 7] =
    [Tag::ImageDescription, Tag::Make, Tag::Model, Tag::Software, Tag::DateTime, Tag::Artist, Tag::Copyright];
/// What a person still asks for when little is left.
const ESSENTIAL: [Tag; 8] = [
    Tag::ImageDescription,
    Tag::Make,
    Tag::Model,
    Tag::DateTime,
    Tag::DateTimeOriginal,
    Tag::OffsetTimeOriginal,
    Tag::Artist,
    Tag::Copyright,
];

/// How much is carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Full,
    Essential,
}

/// The facts a trace states.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// When it was taken, as the camera wrote it: `2009:07:04 18:30:00`.
    pub(super) taken: Option<String>,
    pub(super) camera: Option<String>,
    /// Width and height of the original of a picture that was reduced before.
    pub(super) original_px: Option<(u32, u32)>,
}

/// The orientation tag, 1–8; 1 if there is none or nonsense.
pub(super) fn orientation(block: &[u8]) -> u16 {
    parse(block)
        .and_then(|exif| exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0))
        .filter(|orientation| (1..=8).contains(orientation))
        .and_then(|orientation| u16::try_from(orientation).ok())
        .unwrap_or(1)
}

pub(super) fn facts(block: &[u8]) -> Facts {
    let Some(exif) = parse(block) else { return Facts::default() };
    let text = |tag| exif.get_field(tag, In::PRIMARY).and_then(|field| ascii(&field.value));
    let (make, model) = (text(Tag::Make), text(Tag::Model));
    Facts {
        taken: text(Tag::DateTimeOriginal).or_else(|| text(Tag::DateTime)),
        camera: match (make, model) {
            // Many models repeat the maker.
            (Some(make), Some(model)) if !model.starts_with(&make) => Some(format!("{make} {model}")),
            (make, model) => model.or(make),
        },
        original_px: original_px(&exif),
    }
}

/// The block for a reduced copy of a picture whose upright size is `full_px`.
pub(super) fn carried(block: Option<&[u8]>, full_px: (u32, u32), extent: Extent) -> Option<Vec<u8>> {
    let parsed = block.and_then(parse);
    let original = parsed.as_ref().and_then(original_px).unwrap_or(full_px);
    let history = Field {
        tag: IMAGE_HISTORY,
        ifd_num: In::PRIMARY,
        value: Value::Ascii(vec![format!("{HISTORY_PREFIX}{}x{}", original.0, original.1).into_bytes()]),
    };
    let fields = parsed.iter().flat_map(Exif::fields).filter(|field| is_carried(field, extent));
    let mut writer = Writer::new();
    for field in fields.chain([&history]) {
        writer.push_field(field);
    }
    let mut out = Cursor::new(Vec::new());
    writer.write(&mut out, true).ok()?;
    Some(out.into_inner()).filter(|block| block.len() <= BLOCK_BYTES_MAX)
}

fn is_carried(field: &Field, extent: Extent) -> bool {
    let small = match &field.value {
        Value::Ascii(parts) => parts.iter().map(Vec::len).sum::<usize>() <= VALUE_BYTES_MAX,
        Value::Byte(bytes) => bytes.len() <= VALUE_BYTES_MAX,
        Value::Undefined(bytes, _) => bytes.len() <= VALUE_BYTES_MAX,
        Value::Unknown(..) => false,
        Value::Rational(values) => values.len() <= 16,
        Value::Short(values) => values.len() <= 16,
        _ => true,
    };
    let wanted = match (field.tag.context(), extent) {
        (Context::Gps, _) => true,
        (_, Extent::Essential) => ESSENTIAL.contains(&field.tag),
        (Context::Exif, Extent::Full) => true,
        (Context::Tiff, Extent::Full) => DESCRIPTIVE.contains(&field.tag),
        _ => false,
    };
    field.ifd_num == In::PRIMARY && small && wanted && !NEVER.contains(&field.tag)
}

fn original_px(exif: &Exif) -> Option<(u32, u32)> {
    let text = ascii(&exif.get_field(IMAGE_HISTORY, In::PRIMARY)?.value)?;
    let (width, height) = text.strip_prefix(HISTORY_PREFIX)?.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

fn parse(block: &[u8]) -> Option<Exif> {
    let mut reader = Reader::new();
    // Cameras and editors write small errors; the rest is still good.
    reader.continue_on_error(true);
    match reader.read_raw(block.to_vec()) {
        Ok(exif) => Some(exif),
        Err(exif::Error::PartialResult(partial)) => Some(partial.into_inner().0),
        Err(_) => None,
    }
}

fn ascii(value: &Value) -> Option<String> {
    let Value::Ascii(parts) = value else { return None };
    let text: String =
        parts.first()?.iter().map(|byte| char::from(*byte)).filter(|c| !c.is_control()).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
