//! The visible text of an HTML page, as Markdown.
//!
//! Not a parser of HTML: a scanner that knows which elements hide their text, which end a block and which
//! are headings. It accepts anything, looks at each byte a bounded number of times, and resolves no entities
//! but the common ones.

/// Elements whose text nobody sees.
const HIDDEN: [&str; 7] = ["script", "style", "noscript", "template", "svg", "nav", "iframe"];
/// Elements that stand on lines of their own.
const BLOCKS: [&str; 24] = [
    "p",
    "div",
    "br",
    "li",
    "ul",
    "ol",
    "tr",
    "table",
    "section",
    "article",
    "header",
    "footer",
    "main",
    "aside",
    "blockquote",
    "pre",
    "dl",
    "dt",
    "dd",
    "figure",
    "figcaption",
    "form",
    "hr",
    "body",
];
const ENTITIES: [(&str, &str); 12] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("mdash", "—"),
    ("ndash", "–"),
    ("hellip", "…"),
    ("rsquo", "’"),
    ("ldquo", "“"),
    ("rdquo", "”"),
];
const ENTITY_BYTES_MAX: usize = 10;

pub(crate) fn visible_text(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    // Where the last tag ends: beyond it, searching an end for each `<` would take quadratic time.
    let last_end = html.rfind('>').unwrap_or(0);
    while let Some(open) = rest.find('<') {
        push_text(&mut out, &rest[..open]);
        rest = &rest[open..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let is_tag = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        let may_end = is_tag && html.len() - rest.len() < last_end;
        let end = if may_end { rest.find('>') } else { None };
        let Some(end) = end else {
            push_text(&mut out, "<");
            rest = &rest[1..];
            continue;
        };
        let (name, is_closing) = tag_name(&rest[1..end]);
        rest = &rest[end + 1..];
        if !is_closing && HIDDEN.contains(&name.as_str()) {
            rest = after_closing(rest, &name);
        } else {
            push_break(&mut out, &name, is_closing);
        }
    }
    push_text(&mut out, rest);
    out
}

fn tag_name(inside: &str) -> (String, bool) {
    let is_closing = inside.starts_with('/');
    let name: String =
        inside.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).take(16).collect();
    (name.to_ascii_lowercase(), is_closing)
}

/// What follows the closing tag of a hidden element.
fn after_closing<'a>(rest: &'a str, name: &str) -> &'a str {
    let mut from = 0;
    while let Some(found) = rest[from..].find("</") {
        let at = from + found + 2;
        let is_same = rest.get(at..at + name.len()).is_some_and(|close| close.eq_ignore_ascii_case(name));
        if is_same {
            return rest[at..].find('>').map_or("", |end| &rest[at + end + 1..]);
        }
        from = at;
    }
    ""
}

fn push_break(out: &mut String, name: &str, is_closing: bool) {
    let level = match name {
        "title" | "h1" => 1,
        "h2" => 2,
        "h3" => 3,
        "h4" | "h5" | "h6" => 4,
        _ => 0,
    };
    if level > 0 {
        out.truncate(out.trim_end_matches([' ', '#']).len());
        out.push_str("\n\n");
        if !is_closing {
            out.push_str(&"#".repeat(level));
            out.push(' ');
        }
    } else if name == "li" && !is_closing {
        out.push_str("\n- ");
    } else if name == "br" {
        out.push('\n');
    } else if matches!(name, "td" | "th") {
        out.push(' ');
    } else if BLOCKS.contains(&name) {
        out.push_str("\n\n");
    }
}

/// Text with white space collapsed, as a browser shows it.
fn push_text(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '&'
            && let Some((resolved, skipped)) = entity(rest)
        {
            out.push_str(&resolved);
            rest = &rest[skipped..];
            continue;
        }
        if !c.is_whitespace() {
            out.push(c);
        } else if !out.ends_with([' ', '\n']) && !out.is_empty() {
            out.push(' ');
        }
        rest = &rest[c.len_utf8()..];
    }
}

/// The character an entity stands for, and the entity's length.
fn entity(text: &str) -> Option<(String, usize)> {
    let semicolon = text.bytes().take(ENTITY_BYTES_MAX + 2).position(|byte| byte == b';')?;
    let name = text.get(1..semicolon)?;
    let number = name.strip_prefix('#').and_then(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => digits.parse().ok(),
    });
    let resolved = match number {
        Some(code) => char::from_u32(code).filter(|c| !c.is_control())?.to_string(),
        None => ENTITIES.iter().find(|(known, _)| *known == name)?.1.to_owned(),
    };
    Some((resolved, semicolon + 1))
}
