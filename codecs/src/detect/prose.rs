//! Which kind of text a text is.
//!
//! Strict grammars first (JSON, markup with a declaration, a shebang), because passing one by chance is
//! next to impossible. Then the loose ones (log, table), each demanding that nearly every line agrees. Then
//! the name, then guesses at Markdown and code. What is left is plain text.

use serde_json::Value;

use crate::media::{Kind, MediaType};

const LINES_LOOKED_AT: usize = 200;

const PLAIN: MediaType = MediaType::known(Kind::Text, "text/plain");
const MARKDOWN: MediaType = MediaType::known(Kind::Text, "text/markdown");
const HTML: MediaType = MediaType::known(Kind::Text, "text/html");
const JSON: MediaType = MediaType::known(Kind::Json, "application/json");
const JSON_LINES: MediaType = MediaType::known(Kind::Json, "application/x-ndjson");
const LOG: MediaType = MediaType::known(Kind::Log, "text/x-log");
const CSV: MediaType = MediaType::known(Kind::Table, "text/csv");
const TSV: MediaType = MediaType::known(Kind::Table, "text/tab-separated-values");
const XML: MediaType = MediaType::known(Kind::Code, "application/xml");
const SVG: MediaType = MediaType::known(Kind::Image, "image/svg+xml");
const SCRIPT: MediaType = MediaType::known(Kind::Code, "text/x-shellscript");
const PYTHON: MediaType = MediaType::known(Kind::Code, "text/x-python");
const SOURCE: MediaType = MediaType::known(Kind::Code, "text/x-source");

/// `is_whole` says that the text does not go on beyond what is seen.
pub(super) fn of(text: &str, is_whole: bool, by_name: Option<MediaType>) -> MediaType {
    let trimmed = text.trim_start();
    if trimmed.is_empty() {
        return by_name.unwrap_or(PLAIN);
    }
    if let Some(media) = json(trimmed, is_whole, by_name.as_ref()) {
        return media;
    }
    if let Some(media) = markup(trimmed).or_else(|| shebang(trimmed)) {
        return media;
    }
    let lines = whole_lines(text, is_whole);
    let says_code = by_name.as_ref().is_some_and(|media| media.kind == Kind::Code);
    if !says_code && is_log(&lines) {
        return LOG;
    }
    if !says_code && let Some(media) = table(&lines, by_name.as_ref()) {
        return media;
    }
    match by_name {
        // Strict formats were already tried: the name claims what the content is not.
        Some(media) if matches!(media.kind, Kind::Text | Kind::Code | Kind::Log) => media,
        Some(media) if media.mime == "image/svg+xml" => media,
        _ if is_markdown(&lines) => MARKDOWN,
        _ if is_code(&lines) => SOURCE,
        _ => PLAIN,
    }
}

/// The first non-empty lines; the last one is left out when it may be cut.
fn whole_lines(text: &str, is_whole: bool) -> Vec<&str> {
    let complete = match text.rfind('\n') {
        Some(end) if !is_whole => &text[..end],
        _ => text,
    };
    complete.lines().filter(|line| !line.trim().is_empty()).take(LINES_LOOKED_AT).collect()
}

fn json(text: &str, is_whole: bool, by_name: Option<&MediaType>) -> Option<MediaType> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let single = match values.next()? {
        Ok(_) => match values.next() {
            None => true,
            Some(Ok(_)) => return Some(JSON_LINES),
            Some(Err(error)) => {
                return (error.is_eof() && !is_whole).then_some(JSON_LINES);
            }
        },
        Err(error) => error.is_eof() && !is_whole,
    };
    let stays = by_name.filter(|media| media.mime == "application/geo+json").cloned();
    single.then(|| stays.unwrap_or(JSON))
}

fn markup(text: &str) -> Option<MediaType> {
    let start: String = text.chars().take(1024).collect::<String>().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Some(HTML);
    }
    let is_xml = start.starts_with("<?xml");
    if start.starts_with("<svg") || (is_xml || start.starts_with("<!")) && start.contains("<svg") {
        return Some(SVG);
    }
    if is_xml {
        return Some(if start.contains("<html") { HTML } else { XML });
    }
    let has_tag = ["<head", "<body", "<div", "<p>", "<title", "<table", "<h1"].iter();
    (start.starts_with('<') && has_tag.filter(|tag| start.contains(**tag)).count() >= 2).then_some(HTML)
}

fn shebang(text: &str) -> Option<MediaType> {
    let first = text.lines().next()?.strip_prefix("#!")?;
    Some(if first.contains("python") { PYTHON } else { SCRIPT })
}

/// Nearly all lines start with a time followed by words, or carry a level; traces of stacks may intervene.
fn is_log(lines: &[&str]) -> bool {
    let records = lines.iter().filter(|line| is_log_record(line)).count();
    records >= 3 && records * 10 >= lines.len() * 6
}

fn is_log_record(line: &str) -> bool {
    const LEVELS: [&str; 9] =
        ["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL"];
    let line = line.trim_start();
    let start: String = line.chars().take(80).collect();
    let words = || start.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let has_level = words().any(|word| LEVELS.contains(&word));
    match after_time(line) {
        Some(rest) => {
            has_level
                || rest.starts_with([' ', ']', '\t']) && !rest.contains(['\t', ';']) && words().count() >= 2
        }
        None => {
            has_level && line.starts_with(['[', '<', 'I', 'W', 'E', 'D', 'T', 'F', 'N', 'C'])
                || is_access(line)
        }
    }
}

/// What follows a time at the start of a line: ISO 8601, syslog's `Nov 21 10:00:00`, or in brackets.
fn after_time(line: &str) -> Option<&str> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let line = line.strip_prefix('[').unwrap_or(line);
    let is_month = line.get(..3).is_some_and(|month| MONTHS.contains(&month));
    let skipped = if is_month { line.get(3..)? } else { line };
    let is_time_part =
        |c: char| c.is_ascii_digit() || matches!(c, '-' | '/' | ':' | 'T' | 'Z' | '.' | '+' | ' ' | ',');
    let end = skipped.find(|c: char| !is_time_part(c)).unwrap_or(skipped.len());
    let time = &skipped[..end];
    let digits = time.bytes().filter(u8::is_ascii_digit).count();
    let has_clock = time.matches(':').count() >= 2;
    // The separator after the time was swallowed with it: give it back.
    (has_clock && digits >= 6).then(|| &skipped[time.trim_end().trim_end_matches(',').len()..])
}

/// A web server's line: `host - user [time] "request" status size`.
fn is_access(line: &str) -> bool {
    line.contains(" [") && line.contains("] \"") && line.matches('"').count() >= 2
}

/// The same number of separators in every line, quotes respected, and enough lines to mean it.
fn table(lines: &[&str], by_name: Option<&MediaType>) -> Option<MediaType> {
    let claimed = by_name.filter(|media| media.kind == Kind::Table);
    let says_other = by_name.is_some_and(|media| media.kind != Kind::Table && media.mime != "text/plain");
    if says_other {
        return None;
    }
    let lines_min = if claimed.is_some() { 1 } else { 4 };
    if lines.len() < lines_min {
        return None;
    }
    for separator in ['\t', ',', ';', '|'] {
        let counts: Vec<usize> = lines.iter().map(|line| separators(line, separator)).collect();
        // The second line stands for all: a first line may be a title or a count of rows.
        let Some(&usual) = counts.get(1).or(counts.first()) else { continue };
        let others = counts.iter().skip(1).filter(|count| **count != usual).count();
        let enough = if claimed.is_some() { others * 10 <= counts.len() * 3 } else { others == 0 };
        if usual >= 1 && enough && !(claimed.is_none() && reads_like_prose(lines, separator)) {
            return Some(if separator == '\t' { TSV } else { CSV });
        }
    }
    None
}

fn separators(line: &str, separator: char) -> usize {
    let mut is_quoted = false;
    line.chars()
        .filter(|c| {
            is_quoted ^= *c == '"';
            *c == separator && !is_quoted
        })
        .count()
}

/// Commas followed by blanks, or a full stop at the end of most lines.
fn reads_like_prose(lines: &[&str], separator: char) -> bool {
    let spaced = format!("{separator} ");
    let wordy = lines.iter().filter(|line| line.contains(&spaced) || line.trim_end().ends_with('.')).count();
    wordy * 2 > lines.len()
}

/// Two different marks of Markdown, one of them a heading or a fence.
fn is_markdown(lines: &[&str]) -> bool {
    let has = |test: fn(&str) -> bool| lines.iter().any(|line| test(line.trim_start()));
    let heading = has(|line| {
        let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
        (1..=6).contains(&hashes) && line[hashes..].starts_with(' ')
    });
    let fence = has(|line| line.starts_with("```"));
    let others = [
        has(|line| line.starts_with("- ") || line.starts_with("* ")),
        has(|line| line.contains("](")),
        has(|line| line.contains("**") || line.contains('`')),
        has(|line| line.starts_with("> ")),
        has(|line| line.starts_with("|-") || line.starts_with("| -")),
    ];
    let kinds = others.iter().filter(|found| **found).count();
    heading && (fence || kinds >= 1) && !is_code(lines) || fence && kinds >= 1
}

/// At least three lines in ten look like statements.
fn is_code(lines: &[&str]) -> bool {
    const STARTS: [&str; 18] = [
        "import ", "from ", "def ", "class ", "fn ", "pub ", "use ", "let ", "const ", "var ", "func ",
        "#include", "#define", "return ", "package ", "public ", "private ", "static ",
    ];
    let statements = lines
        .iter()
        .filter(|line| {
            let line = line.trim();
            line.ends_with([';', '{', '}'])
                || line.ends_with("):")
                || STARTS.iter().any(|start| line.starts_with(start)) && !line.ends_with('.')
        })
        .count();
    statements >= 3 && statements * 10 >= lines.len() * 3
}
