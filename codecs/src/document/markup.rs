//! The text inside the XML of docx, pptx, odt and odp, as Markdown.
//!
//! The formats differ in names, not in kind: paragraphs (`p`; in OpenDocument also `h`) hold text, in Office Open XML
//! only inside `t`. Names are compared without their prefixes. What a reader does not see is left out: deleted text is
//! in other elements (`delText`, `tracked-changes`), and `Fallback` repeats what stands beside it.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::package::Form;
use crate::registry::{Input, Refusal};

const HEADING_LEVELS_MAX: usize = 6;
/// Elements inside each other; real documents have a few dozen.
const NESTING_MAX: usize = 1000;
const ONLY_WORDS: &str = ": read as plain text, without headings, lists and tables";
const EVENTS_BETWEEN_CHECKS: usize = 10_000;
const HIDDEN: [&str; 5] = ["Fallback", "tracked-changes", "annotation", "delText", "instrText"];

/// A paragraph being read.
#[derive(Default)]
struct Paragraph {
    text: String,
    heading: usize,
    is_item: bool,
}

/// What has been read of a part.
struct Body {
    form: Form,
    out: String,
    /// Paragraphs may hold text boxes that hold paragraphs.
    open: Vec<Paragraph>,
    /// Whether text counts: inside `t`, in OpenDocument inside any paragraph.
    in_text: usize,
    hidden: usize,
    /// Cells of the rows being read, the innermost last.
    rows: Vec<Vec<String>>,
    /// The title placeholder of a slide.
    is_title: bool,
    lists: usize,
    pages: Pages,
}

/// Marks of pages.
#[derive(Default)]
struct Pages {
    /// Where the program that wrote the file last broke pages; else only breaks by hand are known.
    are_rendered: bool,
    now: usize,
    is_due: bool,
}

/// The whole text of a part, or at least its words; `notes` then says why. O(bytes).
///
/// # Errors
/// Only when the time is over.
pub(super) fn text(
    xml: &str,
    form: Form,
    input: &Input<'_>,
    notes: &mut Vec<String>,
) -> Result<String, Refusal> {
    structured(xml, form, input).or_else(|refusal| {
        input.deadline.check()?;
        if !notes.iter().any(|note| note.ends_with(ONLY_WORDS)) {
            notes.push(format!("{refusal}{ONLY_WORDS}"));
        }
        Ok(words(xml, form))
    })
}

/// The text with its headings, lists, tables and pages.
fn structured(xml: &str, form: Form, input: &Input<'_>) -> Result<String, Refusal> {
    let pages = Pages {
        are_rendered: xml.contains("lastRenderedPageBreak") || xml.contains("soft-page-break"),
        now: 1,
        is_due: false,
    };
    let mut body = Body {
        form,
        out: String::new(),
        open: Vec::new(),
        in_text: 0,
        hidden: 0,
        rows: Vec::new(),
        is_title: false,
        lists: 0,
        pages,
    };
    let mut reader = Reader::from_str(xml);
    let (mut depth, mut events) = (0usize, 0usize);
    loop {
        events += 1;
        if events.is_multiple_of(EVENTS_BETWEEN_CHECKS) {
            input.deadline.check()?;
        }
        match reader.read_event().map_err(|error| Refusal::new(format!("its XML cannot be read: {error}")))? {
            Event::Start(tag) => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(Refusal::new(format!("its XML is nested deeper than {NESTING_MAX}")));
                }
                body.start(&tag);
            }
            Event::Empty(tag) => {
                body.start(&tag);
                body.end(tag.local_name().as_ref());
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                body.end(tag.local_name().as_ref());
            }
            Event::Text(text) => body.text(&text),
            Event::CData(text) => body.text(&text),
            Event::GeneralRef(entity) => {
                if let Some(c) = resolved(&entity) {
                    body.text(c.encode_utf8(&mut [0; 4]));
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    while !body.open.is_empty() {
        body.end_paragraph();
    }
    Ok(body.out)
}

/// What stands between the tags of XML that no parser takes, a paragraph a block: tags are only looked at one by one, so
/// nothing has to match or to end. O(bytes).
fn words(xml: &str, form: Form) -> String {
    let mut out = String::new();
    let (mut rest, mut inside, mut hidden) = (xml, "", 0usize);
    while let Some(open) = rest.find('<') {
        let (text, tagged) = rest.split_at(open);
        if hidden == 0 && (inside == "t" || form == Form::OpenDocument) {
            match quick_xml::escape::unescape(text) {
                Ok(plain) => out.push_str(&plain),
                Err(_) => out.push_str(text),
            }
        }
        let Some((tag, after)) = tagged.split_once('>') else { break };
        let tag = tag.trim_start_matches('<');
        let (is_end, is_empty) = (tag.starts_with('/'), tag.ends_with('/'));
        let name = tag.trim_matches('/').split_ascii_whitespace().next().unwrap_or_default();
        let name = name.rsplit(':').next().unwrap_or(name);
        match name {
            _ if HIDDEN.contains(&name) && is_end => hidden = hidden.saturating_sub(1),
            _ if HIDDEN.contains(&name) && !is_empty => hidden += 1,
            "p" | "h" | "tr" | "table-row" if is_end => out.push_str("\n\n"),
            "tab" | "br" | "cr" | "s" | "line-break" | "tc" | "table-cell" => out.push(' '),
            _ => {}
        }
        inside = if is_end || is_empty { "" } else { name };
        rest = after;
    }
    out
}

/// The five entities of XML and characters by number; what a document declares is not expanded.
pub(super) fn resolved(entity: &BytesRef<'_>) -> Option<char> {
    Some(match entity.as_ref() {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => return entity.resolve_char_ref().ok().flatten(),
    })
}

impl Body {
    fn start(&mut self, tag: &BytesStart<'_>) {
        let name = tag.local_name();
        let name = name.as_ref();
        if HIDDEN.contains(&name) {
            self.hidden += 1;
        }
        if self.hidden > 0 {
            return;
        }
        match (name, self.form) {
            ("h", Form::OpenDocument) => {
                let level = attribute(tag, "outline-level").and_then(|level| level.parse().ok()).unwrap_or(1);
                self.open.push(Paragraph { heading: level, ..Paragraph::default() });
            }
            ("p", Form::OpenDocument) => {
                self.open.push(Paragraph { is_item: self.lists > 0, ..Paragraph::default() });
            }
            ("p", _) => {
                self.open.push(Paragraph { heading: usize::from(self.is_title) * 2, ..Paragraph::default() });
            }
            ("list", Form::OpenDocument) => self.lists += 1,
            ("t", Form::Docx | Form::Pptx) => self.in_text += 1,
            ("pStyle", Form::Docx) => {
                let style = attribute(tag, "val").unwrap_or_default().to_ascii_lowercase();
                let level = style.strip_prefix("heading").map(|level| level.trim().parse().unwrap_or(1));
                let level = level.or_else(|| (style == "title").then_some(1));
                self.change(|paragraph| {
                    paragraph.heading = level.unwrap_or(paragraph.heading);
                    paragraph.is_item |= style.starts_with("list");
                });
            }
            ("numPr", Form::Docx) => self.change(|paragraph| paragraph.is_item = true),
            ("ph", Form::Pptx) => {
                self.is_title = matches!(attribute(tag, "type").as_deref(), Some("title" | "ctrTitle"));
            }
            ("sp", Form::Pptx) => self.is_title = false,
            ("page", Form::OpenDocument) => {
                // A slide of a presentation.
                self.out.push_str(&format!("[slide {}]\n\n", self.pages.now));
                self.pages.now += 1;
            }
            ("lastRenderedPageBreak" | "soft-page-break", _) => self.turn_page(),
            ("br", Form::Docx)
                if !self.pages.are_rendered && attribute(tag, "type").as_deref() == Some("page") =>
            {
                self.turn_page();
            }
            ("tab", _) => self.change(|paragraph| paragraph.text.push(' ')),
            ("s", Form::OpenDocument) => self.change(|paragraph| paragraph.text.push(' ')),
            ("br" | "cr" | "line-break", _) => self.change(|paragraph| paragraph.text.push('\n')),
            ("tr" | "table-row", _) => self.rows.push(Vec::new()),
            ("tc" | "table-cell", _) => {
                if let Some(row) = self.rows.last_mut() {
                    row.push(String::new());
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if HIDDEN.contains(&name) {
            self.hidden = self.hidden.saturating_sub(1);
            return;
        }
        if self.hidden > 0 {
            return;
        }
        match (name, self.form) {
            ("p", _) | ("h", Form::OpenDocument) => self.end_paragraph(),
            ("list", Form::OpenDocument) => self.lists = self.lists.saturating_sub(1),
            ("t", Form::Docx | Form::Pptx) => self.in_text = self.in_text.saturating_sub(1),
            ("tr" | "table-row", _) => {
                let cells = self.rows.pop().unwrap_or_default();
                if cells.iter().any(|cell| !cell.is_empty()) {
                    self.mark_page();
                    self.out.push_str(&format!("| {} |\n", cells.join(" | ")));
                }
            }
            ("tbl" | "table", _) => self.out.push('\n'),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.hidden == 0 && (self.in_text > 0 || self.form == Form::OpenDocument) {
            self.change(|paragraph| paragraph.text.push_str(text));
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Paragraph)) {
        if let Some(paragraph) = self.open.last_mut() {
            change(paragraph);
        }
    }

    fn turn_page(&mut self) {
        self.pages.now += 1;
        self.pages.is_due = true;
    }

    /// Before the paragraph or row in which the page turns.
    fn mark_page(&mut self) {
        if std::mem::take(&mut self.pages.is_due) {
            self.out.push_str(&format!("\n[page {}]\n\n", self.pages.now));
        }
    }

    fn end_paragraph(&mut self) {
        let Some(paragraph) = self.open.pop() else { return };
        let text = paragraph.text.trim();
        if text.is_empty() {
            return;
        }
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(&text.replace(['\n', '|'], " "));
            return;
        }
        self.mark_page();
        match paragraph.heading {
            0 if paragraph.is_item => self.out.push_str(&format!("- {text}\n")),
            0 => self.out.push_str(&format!("{text}\n\n")),
            level => {
                let marks = "#".repeat(level.min(HEADING_LEVELS_MAX));
                self.out.push_str(&format!("{marks} {}\n\n", text.replace('\n', " ")));
            }
        }
    }
}

/// An attribute: by its whole name if that has a prefix, else whatever its prefix is.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.attributes().with_checks(false).flatten().find(|attribute| match name.contains(':') {
        true => attribute.key.as_ref() == name,
        false => attribute.key.local_name().as_ref() == name,
    })?;
    Some(found.value.to_string())
}
