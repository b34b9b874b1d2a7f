//! PDF: the text that its pages show, through the interpreter of `hayro`.
//!
//! # Invariants
//!
//! - Before anything is parsed, all that its streams unpack to is counted ([`streams`]): the parser itself has no bound.
//! - Text that is there to be found but not seen (the layer that character recognition puts over a scan) counts as text.
//! - The library cannot be told to stop in the middle of a page. When the time or the text is over the limit, the one
//!   way out is to unwind, without a panic's message; that is caught where the page was begun.
//! - A PDF that shows hardly any text gives the picture of its first page, if that is a JPEG.

mod layout;
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use hayro_interpret::font::GlyphRun;
use hayro_interpret::hayro_cmap::BfString;
use hayro_interpret::hayro_syntax::{Filter, LoadPdfError, Pdf, page::Page};
use hayro_interpret::kurbo::{Affine, BezPath, Point, Rect};
use hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps, InterpreterCache,
    InterpreterSettings, SoftMask, interpret_page,
};

use super::{Contents, PictureLeft};
use crate::registry::{Input, Refusal};
use crate::text::encoding;
use layout::Glyph;

pub(super) const MIME: &str = "application/pdf";

/// Glyphs between two looks at the clock.
const GLYPHS_BETWEEN_CHECKS: usize = 1000;
/// Where fewer of the glyphs than this name a character, what can be read is no text.
const READABLE_SHARE_MIN: f64 = 0.5;
/// A picture on a page smaller than this is an ornament, not the page.
const PAGE_PICTURE_SIDE_PX_MIN: u32 = 300;

pub(super) fn read(input: &Input<'_>) -> Result<Contents, Refusal> {
    streams::check(input)?;
    let pdf = Pdf::new(input.bytes.to_vec()).map_err(|error| match error {
        LoadPdfError::Decryption(_) => Refusal::new("is encrypted with a password"),
        LoadPdfError::Invalid => Refusal::new("is no PDF that can be read"),
    })?;
    let pages = pdf.pages();
    if pages.is_empty() {
        return Err(Refusal::new("has no pages"));
    }
    if pages.len() as u64 > input.limits.pages {
        return Err(Refusal::new(format!("{} pages are more than {}", pages.len(), input.limits.pages)));
    }
    let mut contents = Contents::default();
    let about = pdf.metadata();
    let text_of = |bytes: &Option<Box<[u8]>>| {
        let decoded = bytes.as_deref().and_then(encoding::decode);
        decoded.map(|(text, _)| text.into_owned()).unwrap_or_default()
    };
    contents.tell("title", &text_of(&about.title));
    contents.tell("author", &text_of(&about.author));
    contents.tell("subject", &text_of(&about.subject));
    if let Some(date) = &about.creation_date {
        contents.tell("date", &format!("{:04}-{:02}-{:02}", date.year, date.month, date.day));
    }
    contents.tell("pages", &pages.len().to_string());
    let cache = InterpreterCache::new();
    let mut read: Vec<Vec<Glyph>> = Vec::with_capacity(pages.len());
    let (mut named, mut unnamed, mut text_bytes) = (0usize, 0usize, 0u64);
    for (at, page) in pages.iter().enumerate() {
        input.deadline.check()?;
        let mut reader = PageReader { input, is_first: at == 0, text_bytes, ..PageReader::of(input) };
        shown(page, &pdf, &cache, &mut reader)?;
        (named, unnamed) = (named + reader.glyphs.len(), unnamed + reader.unnamed);
        text_bytes = reader.text_bytes;
        contents.pictures += reader.pictures;
        if let Some((_, bytes)) = reader.page_picture {
            contents.picture = Some(PictureLeft { bytes, what: "a picture of its first page" });
        }
        read.push(reader.glyphs);
    }
    if unnamed > 0 && (named as f64) < (named + unnamed) as f64 * READABLE_SHARE_MIN {
        contents.notes.push(format!("its fonts do not name {unnamed} of {} characters", named + unnamed));
        return Ok(contents);
    }
    if unnamed > 0 {
        contents.notes.push(format!("{unnamed} characters that its fonts do not name are lost"));
    }
    let (text, running) = layout::markdown(&read);
    if running > 0 {
        contents.notes.push(format!("{running} repetitions of running heads are left out"));
    }
    contents.text = text;
    Ok(contents)
}

/// Runs a page's instructions.
fn shown<'a>(
    page: &'a Page<'a>,
    pdf: &'a Pdf,
    cache: &InterpreterCache<'a>,
    reader: &mut PageReader<'_>,
) -> Result<(), Refusal> {
    let upright = Affine::new(page.initial_transform(true).as_coeffs());
    let (width, height) = page.render_dimensions();
    let area = Rect::new(0.0, 0.0, f64::from(width), f64::from(height));
    let mut context = Context::new(upright, area, cache, pdf.xref(), InterpreterSettings::default());
    let ran = catch_unwind(AssertUnwindSafe(|| interpret_page(page, &mut context, reader)));
    match ran {
        Ok(()) => Ok(()),
        Err(payload) => match payload.downcast::<Refusal>() {
            Ok(refusal) => Err(*refusal),
            Err(panic) => resume_unwind(panic),
        },
    }
}

/// Gathers what a page shows.
struct PageReader<'i> {
    input: &'i Input<'i>,
    is_first: bool,
    glyphs: Vec<Glyph>,
    /// Glyphs that name no character.
    unnamed: usize,
    /// Of all pages so far.
    text_bytes: u64,
    seen: usize,
    pictures: usize,
    /// The largest JPEG and its pixels.
    page_picture: Option<(u64, Vec<u8>)>,
}

impl<'i> PageReader<'i> {
    fn of(input: &'i Input<'i>) -> Self {
        Self {
            input,
            is_first: false,
            glyphs: Vec::new(),
            unnamed: 0,
            text_bytes: 0,
            seen: 0,
            pictures: 0,
            page_picture: None,
        }
    }

    /// Leaves the page when a limit is reached.
    fn watch(&mut self) {
        self.seen += 1;
        let is_late = self.seen.is_multiple_of(GLYPHS_BETWEEN_CHECKS) && self.input.deadline.is_over();
        if is_late {
            resume_unwind(Box::new(Refusal::new(self.input.deadline.to_string())));
        }
        let limit = self.input.limits.text_bytes;
        if self.text_bytes > limit {
            resume_unwind(Box::new(Refusal::new(format!("its text is longer than {limit} bytes"))));
        }
    }
}

impl Device<'_> for PageReader<'_> {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, '_>, props: DrawProps<'_>, _: &DrawMode) {
        for glyph in run.glyphs() {
            self.watch();
            let text = match glyph.as_unicode() {
                Some(BfString::Char(c)) => c.to_string(),
                Some(BfString::String(text)) => text,
                None => String::new(),
            };
            let text: String = text.chars().filter(|c| !c.is_control() && *c != '\u{fffd}').collect();
            if text.is_empty() {
                self.unnamed += 1;
                continue;
            }
            let placed = props.transform * glyph.transform();
            let advance = match &**glyph {
                hayro_interpret::font::Glyph::Outline(outline) => outline.advance_width(),
                hayro_interpret::font::Glyph::Type3(drawn) => drawn.advance_width(),
            };
            let (start, end) =
                (placed * Point::ZERO, placed * Point::new(f64::from(advance.unwrap_or(500.0)), 0.0));
            let top = placed * Point::new(0.0, 1000.0);
            self.text_bytes += text.len() as u64;
            self.glyphs.extend(Glyph::of((start.x, start.y), (end.x, end.y), (top.x, top.y), text));
        }
    }

    fn draw_image(&mut self, image: Image<'_, '_>, _: ImageDrawProps<'_>) {
        self.watch();
        self.pictures += 1;
        let Image::Raster(raster) = &image else { return };
        let (width, height) = (raster.width(), raster.height());
        let pixels = u64::from(width) * u64::from(height);
        let is_larger = self.page_picture.as_ref().is_none_or(|(largest, _)| pixels > *largest);
        let stream = raster.stream();
        let is_jpeg = stream.filters().as_slice() == [Filter::DctDecode];
        if self.is_first && is_jpeg && is_larger && width.min(height) >= PAGE_PICTURE_SIDE_PX_MIN {
            self.page_picture = Some((pixels, stream.raw_data().into_owned()));
        }
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'_>, _: &DrawMode) {
        self.watch();
    }

    fn push_clip_path(&mut self, _: &ClipPath) {
        self.watch();
    }

    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'_>>, _: BlendMode) {
        self.watch();
    }

    fn pop_clip(&mut self) {}

    fn pop_transparency_group(&mut self) {}
}
