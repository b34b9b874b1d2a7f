//! RTF (1.9.1): the text of its groups, as Markdown.
//!
//! The format is a stream of groups (`{…}`), control words (`\b0`) and text. A group inherits the state of the one around it
//! and gives it back; some control words make their group a destination, such as a table of fonts, which is no text. Text
//! is bytes of a code page, which the font may decide, or `\u` and a number, followed by a fallback for old readers.
//!
//! # Invariants
//!
//! - Nothing recurses; groups nested too deep are refused. Every byte is looked at a bounded number of times.
//! - A file that ends inside a group is cut, and refused: nobody knows what is missing.
//! - Hidden and deleted text, fields' instructions, heads and feet are left out; fields' results and footnotes stay.
//!
//! Example: `{\rtf1{\stylesheet{\s1 heading 1;}}{\pard\s1 On copper\par}{\b Salt} turns it gr\'fcn.\par}` is
//! `# On copper`, then `Salt turns it grün.`

use std::collections::BTreeMap;

use encoding_rs::{Encoding, WINDOWS_1252};

use super::Contents;
use crate::registry::{Input, Refusal};

const NESTING_MAX: usize = 1000;
const CONTROL_WORD_BYTES_MAX: usize = 32;
const HEADING_LEVELS_MAX: usize = 6;
const BYTES_BETWEEN_CHECKS: usize = 64 * 1024;

/// Destinations that are no text of the document, beside those marked as optional that are not known.
const NO_TEXT: [&str; 28] = [
    "annotation",
    "atnauthor",
    "atnid",
    "bkmkend",
    "bkmkstart",
    "colorschememapping",
    "colortbl",
    "datastore",
    "falt",
    "fldinst",
    "footer",
    "footerf",
    "footerl",
    "footerr",
    "fname",
    "generator",
    "header",
    "headerf",
    "headerl",
    "headerr",
    "latentstyles",
    "listoverridetable",
    "listtable",
    "objdata",
    "revtbl",
    "rsidtbl",
    "sp",
    "themedata",
];
/// Destinations that are marked as optional and hold text all the same.
const TEXT: [&str; 3] = ["shpinst", "shppict", "shptxt"];

pub(super) fn is_mime(mime: &str) -> bool {
    matches!(mime, "application/rtf" | "text/rtf")
}

pub(super) fn read(input: &Input<'_>) -> Result<Contents, Refusal> {
    if !input.bytes.starts_with(b"{\\rtf") {
        return Err(Refusal::new("is no RTF"));
    }
    let mut reader = Reader::of(input);
    reader.run()?;
    Ok(reader.finish())
}

/// Where the text of a group belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Body,
    Footnote,
    Nowhere,
    /// A picture again, for readers that cannot show the one before it.
    Copy,
    Fonts,
    Styles,
    Info,
    Fact(&'static str),
    Created,
}

/// What a group inherits and gives back.
#[derive(Clone, Copy)]
struct State {
    place: Place,
    is_hidden: bool,
    /// How many characters after a `\u` are its fallback.
    fallback_chars: usize,
    encoding: &'static Encoding,
}

/// What holds for paragraphs until it is reset.
#[derive(Clone, Copy, Default)]
struct Layout {
    heading: usize,
    is_item: bool,
    is_in_table: bool,
}

struct Reader<'a> {
    input: &'a Input<'a>,
    at: usize,
    state: State,
    outer: Vec<State>,
    is_optional: bool,
    fallback_left: usize,
    /// Text that is not decoded yet: of a code page, or of UTF-16.
    narrow: Vec<u8>,
    wide: Vec<u16>,
    encoding: &'static Encoding,
    fonts: BTreeMap<i32, &'static Encoding>,
    font: i32,
    /// Levels of headings by the numbers of styles.
    styles: BTreeMap<i32, usize>,
    style: Option<(i32, usize)>,
    style_name: String,
    layout: Layout,
    paragraph: String,
    /// The paragraph has a bullet or a number.
    is_listed: bool,
    cells: Vec<String>,
    footnotes: String,
    fact: String,
    created: [i32; 3],
    pages: usize,
    is_page_due: bool,
    contents: Contents,
}

impl<'a> Reader<'a> {
    fn of(input: &'a Input<'a>) -> Self {
        let state = State { place: Place::Body, is_hidden: false, fallback_chars: 1, encoding: WINDOWS_1252 };
        Self {
            input,
            at: 0,
            state,
            outer: Vec::new(),
            is_optional: false,
            fallback_left: 0,
            narrow: Vec::new(),
            wide: Vec::new(),
            encoding: WINDOWS_1252,
            fonts: BTreeMap::new(),
            font: 0,
            styles: BTreeMap::new(),
            style: None,
            style_name: String::new(),
            layout: Layout::default(),
            paragraph: String::new(),
            is_listed: false,
            cells: Vec::new(),
            footnotes: String::new(),
            fact: String::new(),
            created: [0; 3],
            pages: 1,
            is_page_due: false,
            contents: Contents::default(),
        }
    }

    /// To the end of the first group. O(bytes).
    fn run(&mut self) -> Result<(), Refusal> {
        let mut checked_at = 0;
        while let Some(&byte) = self.input.bytes.get(self.at) {
            self.at += 1;
            if self.at - checked_at >= BYTES_BETWEEN_CHECKS {
                checked_at = self.at;
                self.input.deadline.check()?;
                if self.contents.text.len() as u64 > self.input.limits.text_bytes {
                    return Err(Refusal::new(format!(
                        "its text has more than {} bytes",
                        self.input.limits.text_bytes
                    )));
                }
            }
            match byte {
                b'{' => self.open()?,
                b'}' => {
                    self.close();
                    if self.outer.is_empty() {
                        return Ok(());
                    }
                }
                b'\\' => self.control(),
                b'\r' | b'\n' => {}
                byte => self.byte(byte),
            }
        }
        Err(Refusal::new("ends inside a group"))
    }

    fn open(&mut self) -> Result<(), Refusal> {
        if self.outer.len() >= NESTING_MAX {
            return Err(Refusal::new(format!("its groups are nested deeper than {NESTING_MAX}")));
        }
        self.decode();
        (self.fallback_left, self.is_optional) = (0, false);
        self.outer.push(self.state);
        Ok(())
    }

    fn close(&mut self) {
        self.decode();
        (self.fallback_left, self.is_optional) = (0, false);
        let Some(outer) = self.outer.pop() else { return };
        let inner = std::mem::replace(&mut self.state, outer);
        match inner.place {
            Place::Styles => self.end_style(),
            Place::Fact(name) if outer.place != inner.place => {
                let fact = std::mem::take(&mut self.fact);
                self.contents.tell(name, &fact);
            }
            Place::Created if outer.place != inner.place => {
                let [year, month, day] = self.created;
                if year > 0 {
                    self.contents.tell("date", &format!("{year:04}-{month:02}-{day:02}"));
                }
            }
            Place::Footnote if outer.place != inner.place => self.footnotes.push_str("\n\n"),
            _ => {}
        }
    }

    /// A style that names a heading, or says that it is one.
    fn end_style(&mut self) {
        let name = std::mem::take(&mut self.style_name).to_lowercase();
        let Some((number, outline)) = self.style.take() else { return };
        let name = name.trim().trim_end_matches(';').trim();
        let level = match name.strip_prefix("heading") {
            Some(level) => level.trim().parse().unwrap_or(1),
            None if name == "title" => 1,
            None => outline,
        };
        if level > 0 {
            self.styles.insert(number, level);
        }
    }

    /// What follows a backslash.
    fn control(&mut self) {
        let Some(&first) = self.input.bytes.get(self.at) else { return };
        if first.is_ascii_alphabetic() {
            let rest = self.input.bytes.get(self.at..).unwrap_or_default();
            let len = rest
                .iter()
                .take(CONTROL_WORD_BYTES_MAX)
                .take_while(|byte| byte.is_ascii_alphabetic())
                .count();
            let word = rest.get(..len).and_then(|word| std::str::from_utf8(word).ok()).unwrap_or_default();
            self.at += len;
            let number = self.number();
            if self.input.bytes.get(self.at) == Some(&b' ') {
                self.at += 1;
            }
            return self.word(word, number);
        }
        self.at += 1;
        match first {
            b'\'' => {
                let digits = self
                    .input
                    .bytes
                    .get(self.at..self.at + 2)
                    .and_then(|digits| std::str::from_utf8(digits).ok());
                if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    self.at += 2;
                    self.byte(byte);
                }
            }
            b'*' => self.is_optional = true,
            b'\\' | b'{' | b'}' => self.byte(first),
            b'\r' | b'\n' => self.word("par", None),
            b'~' => self.text(" "),
            b'_' => self.text("-"),
            _ => {}
        }
    }

    /// The number right behind a control word.
    fn number(&mut self) -> Option<i32> {
        let rest = self.input.bytes.get(self.at..).unwrap_or_default();
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest.iter().skip(sign).take(10).take_while(|byte| byte.is_ascii_digit()).count();
        let text = rest.get(..sign + digits).filter(|_| digits > 0)?;
        self.at += text.len();
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    fn word(&mut self, word: &str, number: Option<i32>) {
        let is_optional = std::mem::take(&mut self.is_optional);
        if word == "u" {
            return self.unicode(number.unwrap_or_default());
        }
        self.decode();
        if word == "bin" {
            self.at =
                self.at.saturating_add(number.and_then(|len| usize::try_from(len).ok()).unwrap_or_default());
        } else if !(self.destination(word, is_optional) || self.setting(word, number)) && self.is_text() {
            self.character(word);
        }
    }

    /// Whether the word makes its group a destination.
    fn destination(&mut self, word: &str, is_optional: bool) -> bool {
        let place = match (word, self.state.place) {
            ("pict", place) => {
                self.contents.pictures += usize::from(place != Place::Copy);
                Place::Nowhere
            }
            ("nonshppict", _) => Place::Copy,
            (_, Place::Nowhere | Place::Copy) => return is_optional,
            ("fonttbl", _) => Place::Fonts,
            ("stylesheet", _) => Place::Styles,
            ("info", _) => Place::Info,
            ("title", Place::Info) => Place::Fact("title"),
            ("author", Place::Info) => Place::Fact("author"),
            ("subject", Place::Info) => Place::Fact("subject"),
            ("creatim", Place::Info) => Place::Created,
            ("footnote", Place::Body) => Place::Footnote,
            ("listtext" | "pntext", _) => {
                self.is_listed = true;
                Place::Nowhere
            }
            _ if TEXT.contains(&word) => return true,
            _ if is_optional || NO_TEXT.contains(&word) => Place::Nowhere,
            _ => return false,
        };
        self.state.place = place;
        true
    }

    /// Whether the word sets something.
    fn setting(&mut self, word: &str, number: Option<i32>) -> bool {
        let given = number.unwrap_or_default();
        let is_on = number != Some(0);
        match (word, self.state.place) {
            ("ansicpg", _) => {
                self.encoding = of_code_page(given).unwrap_or(self.encoding);
                self.state.encoding = self.encoding;
            }
            ("mac", _) => {
                self.encoding = of_code_page(10_000).unwrap_or(self.encoding);
                self.state.encoding = self.encoding;
            }
            ("uc", _) => self.state.fallback_chars = usize::try_from(given).unwrap_or(1),
            ("f", Place::Fonts) => self.font = given,
            ("fcharset", Place::Fonts) => {
                if let Some(encoding) = of_charset(given) {
                    self.fonts.insert(self.font, encoding);
                }
            }
            ("f", _) => self.state.encoding = self.fonts.get(&given).copied().unwrap_or(self.encoding),
            ("s", Place::Styles) => self.style = Some((given, 0)),
            ("outlinelevel", Place::Styles) => {
                if let Some((_, level)) = &mut self.style {
                    *level = level_of(given);
                }
            }
            ("nofpages", Place::Info) => self.contents.tell("pages", &given.to_string()),
            ("yr", Place::Created) => self.created[0] = given,
            ("mo", Place::Created) => self.created[1] = given,
            ("dy", Place::Created) => self.created[2] = given,
            ("v" | "deleted", _) => self.state.is_hidden = is_on,
            ("plain", _) => {
                (self.state.is_hidden, self.state.encoding) = (false, self.encoding);
            }
            ("pard", Place::Body) => self.layout = Layout::default(),
            ("s", Place::Body) => self.layout.heading = self.styles.get(&given).copied().unwrap_or_default(),
            ("outlinelevel", Place::Body) => self.layout.heading = level_of(given),
            ("ls", Place::Body) => self.layout.is_item = is_on,
            ("intbl", Place::Body) => self.layout.is_in_table = true,
            _ => return false,
        }
        true
    }

    /// A word that stands for a character, or ends something.
    fn character(&mut self, word: &str) {
        match word {
            "par" | "sect" => self.end_paragraph(),
            "page" => {
                self.end_paragraph();
                self.pages += 1;
                self.is_page_due = true;
            }
            "cell" | "nestcell" => self.cells.push(std::mem::take(&mut self.paragraph)),
            "row" | "nestrow" => self.end_row(),
            "line" => self.text("\n"),
            "tab" | "emspace" | "enspace" | "qmspace" => self.text(" "),
            "emdash" => self.text("—"),
            "endash" => self.text("–"),
            "bullet" => self.text("•"),
            "lquote" => self.text("‘"),
            "rquote" => self.text("’"),
            "ldblquote" => self.text("“"),
            "rdblquote" => self.text("”"),
            _ => {}
        }
    }

    fn is_text(&self) -> bool {
        matches!(self.state.place, Place::Body | Place::Footnote)
    }

    /// A byte of text, unless it is the fallback of a character that was read.
    fn byte(&mut self, byte: u8) {
        if self.fallback_left > 0 {
            self.fallback_left -= 1;
            return;
        }
        if !self.wide.is_empty() {
            self.decode();
        }
        if !matches!(self.state.place, Place::Nowhere | Place::Copy) {
            self.narrow.push(byte);
        }
    }

    /// A unit of UTF-16, as a number with a sign.
    fn unicode(&mut self, unit: i32) {
        if !self.narrow.is_empty() {
            self.decode();
        }
        self.wide.push(unit as u16);
        self.fallback_left = self.state.fallback_chars;
    }

    /// Gives what was gathered to where it belongs.
    fn decode(&mut self) {
        if !self.narrow.is_empty() {
            let narrow = std::mem::take(&mut self.narrow);
            let (text, _) = self.state.encoding.decode_without_bom_handling(&narrow);
            self.text(&text);
        }
        if !self.wide.is_empty() {
            let wide = std::mem::take(&mut self.wide);
            self.text(&String::from_utf16_lossy(&wide));
        }
    }

    fn text(&mut self, text: &str) {
        match self.state.place {
            Place::Body | Place::Footnote if self.state.is_hidden => {}
            Place::Body => self.paragraph.push_str(text),
            Place::Footnote => self.footnotes.push_str(text),
            Place::Fact(_) => self.fact.push_str(text),
            Place::Styles => self.style_name.push_str(text),
            _ => {}
        }
    }

    fn end_paragraph(&mut self) {
        if self.state.place == Place::Footnote {
            return self.footnotes.push_str("\n\n");
        }
        if self.layout.is_in_table {
            return self.paragraph.push(' ');
        }
        let paragraph = std::mem::take(&mut self.paragraph);
        let is_item = std::mem::take(&mut self.is_listed) || self.layout.is_item;
        let text = paragraph.trim();
        if text.is_empty() {
            return;
        }
        self.mark_page();
        let follows_row_or_item = self.contents.text.ends_with('\n') && !self.contents.text.ends_with("\n\n");
        if follows_row_or_item && !(is_item && self.layout.heading == 0) {
            self.contents.text.push('\n');
        }
        self.contents.text.push_str(&match self.layout.heading {
            0 if is_item => format!("- {text}\n"),
            0 => format!("{text}\n\n"),
            level => format!("{} {}\n\n", "#".repeat(level.min(HEADING_LEVELS_MAX)), text.replace('\n', " ")),
        });
    }

    fn end_row(&mut self) {
        let cell = |cell: &String| cell.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', " ");
        let cells: Vec<String> = std::mem::take(&mut self.cells).iter().map(cell).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            self.mark_page();
            self.contents.text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }

    fn mark_page(&mut self) {
        if std::mem::take(&mut self.is_page_due) {
            self.contents.text.push_str(&format!("\n[page {}]\n\n", self.pages));
        }
    }

    fn finish(mut self) -> Contents {
        self.layout.is_in_table = false;
        self.end_row();
        self.end_paragraph();
        let footnotes = self.footnotes.trim();
        if !footnotes.is_empty() {
            self.contents.text.push_str(&format!("\n\n{footnotes}\n"));
        }
        self.contents
    }
}

/// Outline levels count from 0, and 9 is text.
fn level_of(outline: i32) -> usize {
    usize::try_from(outline).ok().filter(|level| *level < 9).map_or(0, |level| level + 1)
}

/// The encoding of a code page by its number in Windows.
pub(super) fn of_code_page(number: i32) -> Option<&'static Encoding> {
    let label = match number {
        866 => "ibm866".to_owned(),
        874 | 1250..=1258 => format!("windows-{number}"),
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        10_000 => "macintosh".to_owned(),
        65_001 => "utf-8".to_owned(),
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

/// The encoding of a font's character set.
fn of_charset(number: i32) -> Option<&'static Encoding> {
    of_code_page(match number {
        77 => 10_000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    })
}
