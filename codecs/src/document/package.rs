//! Which parts of an office file hold its text, in which order, and what is said about it.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::markup::{self, attribute};
use super::{Contents, PictureLeft};
use crate::archive::zip::Zip;
use crate::registry::{Input, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Docx,
    Pptx,
    OpenDocument,
}

impl Form {
    pub(super) fn of(mime: &str) -> Option<Self> {
        Some(match mime {
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => Self::Docx,
            "application/vnd.openxmlformats-officedocument.presentationml.presentation" => Self::Pptx,
            "application/vnd.oasis.opendocument.text" | "application/vnd.oasis.opendocument.presentation" => {
                Self::OpenDocument
            }
            _ => return None,
        })
    }
}

pub(super) fn read(input: &Input<'_>, form: Form) -> Result<Contents, Refusal> {
    let mut zip = Zip::open(input)?;
    let names = zip.names()?;
    let is_picture = |name: &&String| name.contains("/media/") || name.starts_with("Pictures/");
    let mut contents = Contents { pictures: names.iter().filter(is_picture).count(), ..Contents::default() };
    for part in ["docProps/core.xml", "docProps/app.xml", "meta.xml"] {
        if let Some(xml) = zip.text(part)? {
            tell_properties(&xml, &mut contents);
        }
    }
    let missing = |name: &str| Refusal::new(format!("has no {name}"));
    match form {
        Form::Docx => {
            let name = "word/document.xml";
            let xml = zip.text(name)?.ok_or_else(|| missing(name))?;
            contents.text = markup::text(&xml, form, input, &mut contents.notes)?;
            for notes in ["word/footnotes.xml", "word/endnotes.xml"] {
                if let Some(xml) = zip.text(notes)? {
                    let text = markup::text(&xml, form, input, &mut contents.notes)?;
                    contents.text.push_str(&format!("\n\n{}", text.trim()));
                }
            }
        }
        Form::OpenDocument => {
            let name = "content.xml";
            let xml = zip.text(name)?.ok_or_else(|| missing(name))?;
            contents.text = markup::text(&xml, form, input, &mut contents.notes)?;
        }
        Form::Pptx => slides(&mut zip, &names, input, &mut contents)?,
    }
    if contents.share_of_text() < 0.5 {
        contents.picture = largest(&mut zip, names.iter().filter(is_picture))?;
    }
    Ok(contents)
}

fn largest<'a>(
    zip: &mut Zip<'_>,
    names: impl Iterator<Item = &'a String>,
) -> Result<Option<PictureLeft>, Refusal> {
    let mut bytes = Vec::new();
    for name in names {
        let other = zip.bytes(name)?.unwrap_or_default();
        if other.len() > bytes.len() {
            bytes = other;
        }
    }
    let is_there = !bytes.is_empty();
    Ok(is_there.then_some(PictureLeft { bytes, what: "its largest picture" }))
}

/// Each under a mark, with what the speaker noted.
fn slides(
    zip: &mut Zip<'_>,
    names: &[String],
    input: &Input<'_>,
    contents: &mut Contents,
) -> Result<(), Refusal> {
    let slides = in_order(zip, names)?;
    if slides.is_empty() {
        return Err(Refusal::new("has no slides"));
    }
    if slides.len() as u64 > input.limits.pages {
        return Err(Refusal::new(format!("{} slides are more than {}", slides.len(), input.limits.pages)));
    }
    contents.tell("slides", &slides.len().to_string());
    for (at, slide) in slides.iter().enumerate() {
        input.deadline.check()?;
        let Some(xml) = zip.text(slide)? else { continue };
        let text = markup::text(&xml, Form::Pptx, input, &mut contents.notes)?;
        contents.text.push_str(&format!("[slide {}]\n\n{}\n\n", at + 1, text.trim()));
        let targets = zip.text(&relations_of(slide))?.map(|xml| relations(&xml)).unwrap_or_default();
        let notes = targets.iter().find(|(_, target)| target.contains("notesSlide"));
        let notes = notes.map(|(_, target)| format!("ppt/{}", target.trim_start_matches("../")));
        if let Some(xml) = notes.map_or(Ok(None), |notes| zip.text(&notes))? {
            let text = markup::text(&xml, Form::Pptx, input, &mut contents.notes)?;
            // The number of the slide stands there, too.
            let text = text.trim().trim_end_matches(|c: char| c.is_ascii_digit()).trim_end();
            if !text.is_empty() {
                contents.text.push_str(&format!("Notes: {text}\n\n"));
            }
        }
    }
    Ok(())
}

/// The parts of the slides as the presentation orders them; by their numbers where it does not say.
fn in_order(zip: &mut Zip<'_>, names: &[String]) -> Result<Vec<String>, Refusal> {
    let number = |name: &str| -> Option<u32> {
        name.strip_prefix("ppt/slides/slide")?.strip_suffix(".xml")?.parse().ok()
    };
    let targets = zip.text("ppt/_rels/presentation.xml.rels")?.map(|xml| relations(&xml)).unwrap_or_default();
    let listed = zip.text("ppt/presentation.xml")?.map(|xml| slide_ids(&xml)).unwrap_or_default();
    let target_of = |id: &String| {
        let (_, target) = targets.iter().find(|(known, _)| known == id)?;
        let name = target.strip_prefix('/').map_or_else(|| format!("ppt/{target}"), str::to_owned);
        names.contains(&name).then_some(name)
    };
    let ordered: Vec<String> = listed.iter().filter_map(target_of).collect();
    if !ordered.is_empty() {
        return Ok(ordered);
    }
    let mut slides: Vec<&String> = names.iter().filter(|name| number(name).is_some()).collect();
    slides.sort_by_key(|name| number(name));
    Ok(slides.into_iter().cloned().collect())
}

/// `ppt/slides/slide1.xml` has its relations in `ppt/slides/_rels/slide1.xml.rels`.
fn relations_of(part: &str) -> String {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    format!("{folder}/_rels/{file}.rels")
}

/// Ids and targets.
pub(super) fn relations(xml: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    each_tag(xml, |name, attribute| {
        if name == "Relationship"
            && let (Some(id), Some(target)) = (attribute("Id"), attribute("Target"))
        {
            found.push((id, target));
        }
    });
    found
}

fn slide_ids(xml: &str) -> Vec<String> {
    let mut found = Vec::new();
    each_tag(xml, |name, attribute| {
        if name == "sldId" {
            // `r:id`, not the plain `id` beside it.
            found.extend(attribute("r:id"));
        }
    });
    found
}

/// Gives every start tag's local name and its attributes by their whole names; stops where the XML is broken.
pub(super) fn each_tag(xml: &str, mut each: impl FnMut(&str, &dyn Fn(&str) -> Option<String>)) {
    let mut reader = Reader::from_str(xml);
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                each(tag.local_name().as_ref(), &|name| attribute(&tag, name));
            }
            Event::Eof => break,
            _ => {}
        }
    }
}

/// Title, author, date and pages, from elements that hold a text.
pub(super) fn tell_properties(xml: &str, contents: &mut Contents) {
    let mut reader = Reader::from_str(xml);
    let mut inside = String::new();
    let mut found: Vec<(String, String)> = Vec::new();
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) => inside = tag.local_name().as_ref().to_owned(),
            Event::Empty(tag) if tag.local_name().as_ref() == "document-statistic" => {
                found.extend(attribute(&tag, "page-count").map(|pages| ("Pages".to_owned(), pages)));
            }
            Event::End(_) => inside.clear(),
            Event::Text(text) if !inside.is_empty() => found.push((inside.clone(), text.to_string())),
            Event::GeneralRef(entity) if !inside.is_empty() => {
                let text = markup::resolved(&entity).map(String::from).unwrap_or_default();
                found.push((inside.clone(), text));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let value = |names: &[&str]| -> String {
        let parts = names.iter().find_map(|name| {
            let parts: String =
                found.iter().filter(|(inside, _)| inside == name).map(|(_, text)| text.as_str()).collect();
            Some(parts).filter(|parts| !parts.trim().is_empty())
        });
        parts.unwrap_or_default()
    };
    contents.tell("title", &value(&["title"]));
    contents.tell("author", &value(&["initial-creator", "creator"]));
    contents.tell("subject", &value(&["subject"]));
    let date = value(&["creation-date", "created"]);
    contents.tell("date", date.get(..10).unwrap_or(&date));
    contents.tell("pages", &value(&["Pages"]));
}
