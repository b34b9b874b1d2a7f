//! Documents: their whole text, then what carries most of it.
//!
//! # Invariants
//!
//! - Warm is the text as Markdown, in its order, with headings, list items, tables and marks of pages or slides: every
//!   word that the reader of the document sees in its body is there. Layout and pictures are lost, and the note says how
//!   many. Title, author and pages stand in a front matter, which later stages keep.
//! - Cold and trace are those of that text ([`crate::text`]), so they are the same with and without warm before them.
//! - A part whose XML no parser takes, or that is nested too deep, is read as plain text: what stands between its tags. The
//!   note says so. A file that cannot be unpacked is kept.
//! - XML entities that a document declares are not expanded, parts are unpacked within limits
//!   ([`crate::archive::zip`]), nesting is bounded by not recursing.
//! - A document that says more in pictures than in words is kept as it is at warm. Of one without text cold keeps one picture: a
//!   scanned PDF's first page, an office file's largest; of an office file with little text that picture, if it is worth more than
//!   the summary.
//!
//! # Example
//!
//! A Word file of 133 kB becomes 3 kB of Markdown, then the sentences and headings that carry most of it.
//!
//! # Fidelity
//!
//! Metric `terms` of the text, times what of the document its text is: [`TEXT_WORTH`] for the lost layout, and of the rest as many parts as it
//! has words, where a picture counts [`PICTURE_WORDS`]. 300 words and one picture: 0.9 · 300 / 400 = 0.675.

mod compound;
mod doc;
mod epub;
mod markup;
mod package;
mod pdf;
mod ppt;
mod rtf;

use crate::degrade::Depth;
use crate::image;
use crate::media::{Kind, MediaType};
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::text::TEXT;
use unicode_segmentation::UnicodeSegmentation;

pub(crate) static DOCUMENT: Document = Document;

/// What a document without pictures is worth without its layout.
const TEXT_WORTH: f64 = 0.9;
/// What a picture says: as many words as the fifth of a solid page (500 words) that a figure takes. A convention, not a
/// measurement, so that a deck of pictures does not pass for its few captions.
const PICTURE_WORDS: f64 = 100.0;
const MARKDOWN: MediaType = MediaType::known(Kind::Text, "text/markdown");
/// Of a title or a name in the front matter.
const FACT_CHARS_MAX: usize = 200;

pub(crate) struct Document;

impl Codec for Document {
    fn id(&self) -> &'static str {
        "document"
    }

    fn version(&self) -> u16 {
        2
    }

    fn accepts(&self, media: &MediaType) -> bool {
        matches!(media.mime.as_ref(), pdf::MIME | epub::MIME | doc::MIME | ppt::MIME)
            || rtf::is_mime(&media.mime)
            || package::Form::of(&media.mime).is_some()
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        let contents = match (input.media.mime.as_ref(), package::Form::of(&input.media.mime)) {
            (_, Some(form)) => package::read(input, form)?,
            (pdf::MIME, _) => pdf::read(input)?,
            (doc::MIME, _) => doc::read(input)?,
            (ppt::MIME, _) => ppt::read(input)?,
            (epub::MIME, _) => epub::read(input)?,
            _ => rtf::read(input)?,
        };
        if !contents.text.chars().any(char::is_alphanumeric) {
            return without_text(input, &contents);
        }
        let text = contents.markdown();
        let lost = contents.lost();
        let share = contents.share_of_text();
        if input.depth == Depth::Warm && share < 0.5 {
            let note = format!("says more in pictures than in words ({lost}): kept as it is");
            return Ok(Outcome::Keep { note: Some(note) });
        }
        let worth = TEXT_WORTH * share;
        if input.depth == Depth::Warm {
            return Ok(Outcome::Bytes {
                bytes: text.into_bytes(),
                mime: MARKDOWN.mime.into_owned(),
                fidelity: worth,
                metric: "terms",
                params: String::new(),
                note: Some(format!("the whole text; {lost}")),
            });
        }
        let outcome = match TEXT.degrade(&Input { bytes: text.as_bytes(), media: &MARKDOWN, ..*input })? {
            Outcome::Bytes { bytes, mime, fidelity, metric, params, note } => {
                let note = note.into_iter().chain([lost]).collect::<Vec<_>>().join("; ");
                Outcome::Bytes { bytes, mime, fidelity: fidelity * worth, metric, params, note: Some(note) }
            }
            Outcome::Trace { json, fidelity, metric, .. } => {
                let note = Some(contents.notes.join("; ")).filter(|note| !note.is_empty());
                Outcome::Trace { json, fidelity: fidelity * worth, metric, note }
            }
            keep => keep,
        };
        Ok(better(outcome, share, input, &contents))
    }
}

/// What the words are worth, or the picture where there is one and it holds more of the document: a deck of pictures is better
/// remembered by one of them than by its few captions.
fn better(of_words: Outcome, share: f64, input: &Input<'_>, contents: &Contents) -> Outcome {
    let worth_of_words = match &of_words {
        Outcome::Bytes { fidelity, .. } | Outcome::Trace { fidelity, .. } => *fidelity,
        Outcome::Keep { .. } => return of_words,
    };
    if share >= 0.5 || input.depth == Depth::Trace || contents.picture.is_none() {
        return of_words;
    }
    match without_text(input, contents) {
        Ok(Outcome::Bytes { bytes, mime, fidelity, metric, params, note })
            if fidelity * (1.0 - share) > worth_of_words =>
        {
            Outcome::Bytes { bytes, mime, fidelity: fidelity * (1.0 - share), metric, params, note }
        }
        _ => of_words,
    }
}

/// A scan, or nothing but pictures: cold keeps one.
fn without_text(input: &Input<'_>, contents: &Contents) -> Result<Outcome, Refusal> {
    let has_text = contents.share_of_text() > 0.0;
    let what = format!("{} text ({})", if has_text { "has little" } else { "has no" }, contents.lost());
    if input.depth == Depth::Warm {
        return Ok(Outcome::Keep { note: Some(format!("{what}: kept as it is")) });
    }
    let Some(picture) = &contents.picture else { return Err(Refusal::new(what)) };
    let media = crate::detect(picture.bytes.get(..crate::HEAD_BYTES_MAX).unwrap_or(&picture.bytes), "");
    if !image::IMAGE.accepts(&media) {
        return Err(Refusal::new(what));
    }
    let of_picture = Input { bytes: &picture.bytes, media: &media, ..*input };
    let left = format!("{what}: {} is left", picture.what);
    let share = 1.0 / contents.pictures.max(1) as f64;
    Ok(match image::IMAGE.degrade(&of_picture)? {
        Outcome::Bytes { bytes, fidelity, metric, params, note, mime } => {
            let note = Some(note.into_iter().chain([left]).collect::<Vec<_>>().join("; "));
            Outcome::Bytes { bytes, mime, fidelity: fidelity * share, metric, params, note }
        }
        Outcome::Trace { json, fidelity, metric, .. } => {
            Outcome::Trace { json, fidelity: fidelity * share, metric, note: Some(left) }
        }
        keep => keep,
    })
}

/// The picture that stands for a document without text.
#[derive(Debug)]
struct PictureLeft {
    bytes: Vec<u8>,
    what: &'static str,
}

/// What was read of a document.
#[derive(Debug, Default)]
struct Contents {
    /// Markdown, without the facts.
    text: String,
    /// Title, author, pages and the like, in the order in which they are told.
    facts: Vec<(&'static str, String)>,
    pictures: usize,
    picture: Option<PictureLeft>,
    /// What could not be read.
    notes: Vec<String>,
}

impl Contents {
    /// Adds a fact if it says something.
    fn tell(&mut self, name: &'static str, value: &str) {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !value.is_empty() && !self.facts.iter().any(|(known, _)| *known == name) {
            self.facts.push((name, crate::trace::cut(&value, FACT_CHARS_MAX)));
        }
    }

    /// How much of what the document says is in its words, from 0 to 1.
    fn share_of_text(&self) -> f64 {
        let words = self.text.unicode_words().count() as f64;
        let all = words + PICTURE_WORDS * self.pictures as f64;
        if all > 0.0 { words / all } else { 0.0 }
    }

    fn markdown(&self) -> String {
        let mut out = String::new();
        if !self.facts.is_empty() {
            out.push_str("---\n");
            for (name, value) in &self.facts {
                out.push_str(&format!("{name}: {value}\n"));
            }
            out.push_str("---\n\n");
        }
        out.push_str(self.text.trim());
        out.push('\n');
        out
    }

    fn lost(&self) -> String {
        let pictures = match self.pictures {
            0 => "layout is lost".to_owned(),
            1 => "layout and 1 picture are lost".to_owned(),
            more => format!("layout and {more} pictures are lost"),
        };
        [pictures].into_iter().chain(self.notes.iter().cloned()).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests;
