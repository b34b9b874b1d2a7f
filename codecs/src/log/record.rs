//! A log into records: a line with its time and level, and the lines without a time that follow it.

use crate::statistics::cells;

const LEVELS: [&str; 16] = [
    "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "ERR", "FATAL", "CRITICAL", "CRIT",
    "SEVERE", "ALERT", "EMERG", "PANIC", "FINE",
];
const ERRORS: [&str; 9] = ["ERROR", "ERR", "FATAL", "CRITICAL", "CRIT", "SEVERE", "ALERT", "EMERG", "PANIC"];
/// Where no level is stated.
const ERROR_WORDS: [&str; 9] =
    ["ERROR", "ERRORS", "FATAL", "CRITICAL", "PANIC", "PANICKED", "EXCEPTION", "EXCEPTIONS", "TRACEBACK"];
/// Said before such a word, or as its value, they take it back.
const NONE: [&str; 10] = ["NO", "0", "ZERO", "WITHOUT", "NOT", "NONE", "NULL", "NIL", "FALSE", "NON"];
/// After such a word they make it the name of something that is there on good days, too.
const NAMED: [&str; 11] = [
    "LOG",
    "LOGS",
    "HANDLER",
    "HANDLERS",
    "RATE",
    "BUDGET",
    "PAGE",
    "PAGES",
    "REPORTING",
    "COUNT",
    "COUNTER",
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Words at the start of a message among which a level is looked for.
const LEVEL_WORDS: usize = 6;
/// Characters of a line in which a word makes it an error.
const LOOKED_AT_CHARS: usize = 200;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record<'a> {
    /// As it stands, with the lines that belong to it.
    pub(super) text: &'a str,
    /// The time as it stands.
    pub(super) time: Option<&'a str>,
    /// Milliseconds since 1970, where the form of the time has a year.
    pub(super) time_ms: Option<i64>,
    pub(super) level: Option<&'static str>,
    pub(super) is_error: bool,
    /// The first line after its time.
    message: &'a str,
}

impl<'a> Record<'a> {
    fn of(text: &'a str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let (time, message) = split_time(line);
        let level = level(message);
        let is_error = match level {
            Some(level) => ERRORS.contains(&level),
            None => {
                let start: String = line.chars().take(LOOKED_AT_CHARS).collect();
                says_error(&start) || is_server_error(line)
            }
        };
        let time_ms = time.and_then(time_ms);
        Self { text, time, time_ms, level, is_error, message }
    }

    /// The first line.
    pub(super) fn line(&self) -> &'a str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The words of the message.
    pub(super) fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.message.split_whitespace()
    }
}

/// Where most lines have a time, one without belongs to the line before. O(bytes).
pub(super) fn all(text: &str) -> Vec<Record<'_>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let timed = lines.iter().filter(|line| split_time(line).0.is_some()).count();
    let is_timed = timed * 2 > lines.len();
    let start_of = |line: &str| line.as_ptr() as usize - text.as_ptr() as usize;
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for line in lines {
        let (start, end) = (start_of(line), start_of(line) + line.len());
        let belongs = if is_timed { split_time(line).0.is_none() } else { line.starts_with(['\t', ' ']) };
        match spans.last_mut() {
            Some((_, end_before)) if belongs => *end_before = end,
            _ => spans.push((start, end)),
        }
    }
    spans.into_iter().filter_map(|(start, end)| text.get(start..end)).map(Record::of).collect()
}

/// The time at the start of a line, or in a web server's brackets, and what follows it.
fn split_time(line: &str) -> (Option<&str>, &str) {
    let open = line.strip_prefix('[').unwrap_or(line);
    if let Some(end) = leading_time(open) {
        let rest = open.get(end..).unwrap_or_default();
        return (open.get(..end), rest.trim_start_matches([']', ' ', '\t', ':', '-']));
    }
    if let Some((before, after)) = line.split_once(" [")
        && let Some((time, rest)) = after.split_once("] \"")
        && time.contains('/')
        && before.len() < LOOKED_AT_CHARS
        && rest.len() > 1
    {
        // The time stands in the middle: the message is the request and its answer.
        return (Some(time), rest);
    }
    (None, line)
}

/// The length of an ISO time, or of syslog's `Nov 21 10:00:00`.
fn leading_time(line: &str) -> Option<usize> {
    let is_month = line.get(..3).is_some_and(|month| MONTHS.contains(&month));
    let start = if is_month { 3 } else { 0 };
    let is_part =
        |c: char| c.is_ascii_digit() || matches!(c, '-' | '/' | ':' | 'T' | 'Z' | '.' | '+' | ' ' | ',');
    let rest = line.get(start..)?;
    let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
    let part = &rest[..end];
    // Numbers of the message may follow the clock: end at the blank after it.
    let clock = part.rfind(':')?;
    let end = part[clock..].find(' ').map_or(part.len(), |blank| clock + blank);
    let time = part[..end].trim_end_matches([',', ' ', '-', ':']);
    let digits = time.bytes().filter(u8::is_ascii_digit).count();
    (time.matches(':').count() >= 2 && digits >= 6).then_some(start + time.len())
}

fn time_ms(time: &str) -> Option<i64> {
    cells::time_of(time).or_else(|| access_time_ms(time))
}

/// `10/Oct/2000:13:55:36 -0700`
fn access_time_ms(time: &str) -> Option<i64> {
    let (date, clock) = time.split_once(':')?;
    let mut parts = date.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    cells::time_of(&format!("{year}-{month:02}-{day} {clock}"))
}

fn level(message: &str) -> Option<&'static str> {
    message.split_whitespace().take(LEVEL_WORDS).find_map(|whole| {
        let word = whole.rsplit_once('=').map_or(whole, |(_, value)| value);
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphabetic());
        // `error` in lower case is a word of the sentence, unless it stands in brackets or after `level=`.
        let is_marked = bare.len() < whole.len();
        LEVELS.into_iter().find(|level| bare == *level || is_marked && bare.eq_ignore_ascii_case(level))
    })
}

/// Whether a word says that something went wrong: one of [`ERROR_WORDS`], or a name such as `ValueError` or
/// `java.io.IOException`, and not `no errors`, `errors=0`, `/var/log/error.log` or `error rate`.
fn says_error(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_in = |word: &str, list: &[&str]| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        list.iter().any(|listed| bare.eq_ignore_ascii_case(listed))
    };
    let is_nothing = |value: &str| !value.contains(char::is_alphanumeric) || is_in(value, &NONE);
    words.iter().enumerate().any(|(at, word)| {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (*word, None),
        };
        let bare = key.trim_matches(|c: char| !c.is_alphanumeric());
        let class = bare.rsplit('.').next().unwrap_or(bare);
        let is_class = class.len() > "Error".len()
            && (class.ends_with("Error") || class.ends_with("Exception"))
            && class.starts_with(char::is_uppercase);
        if !is_class && !ERROR_WORDS.iter().any(|error| class.eq_ignore_ascii_case(error)) {
            return false;
        }
        let before = at.checked_sub(1).and_then(|before| words.get(before)).copied().unwrap_or("a");
        let after = words.get(at + 1).copied().unwrap_or("a");
        let is_assigned = key.ends_with(':') && is_in(after, &NONE) || value.is_some_and(is_nothing);
        !is_in(before, &NONE) && !is_assigned && !is_in(after, &NAMED)
    })
}

/// A web server's line with the status 5xx.
fn is_server_error(line: &str) -> bool {
    let after = line.rsplit_once("\" ").filter(|_| line.contains("] \"")).map(|(_, after)| after);
    let status = after.or_else(|| line.split("\" ").nth(1)).and_then(|after| after.split_whitespace().next());
    status.is_some_and(|status| {
        status.len() == 3 && status.starts_with('5') && status.bytes().all(|b| b.is_ascii_digit())
    }) && line.contains("] \"")
}
