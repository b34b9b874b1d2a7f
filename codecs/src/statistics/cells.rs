//! What one cell of a table, or one value of a document, is.
//!
//! Times are read without a zone as UTC; only forms with one meaning are times: `2010-01-31`, `2010/01/31 23:59:59.5`,
//! `2010-01-31T23:59Z`, `31.01.2010`. `01/02/2010` is January or February, hence text. A number with a leading zero
//! (`00501`) is a code, hence text.

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Null,
    Boolean,
    Integer,
    Number,
    Time,
    Text,
}

impl Ty {
    const ALL: [Self; 6] = [Self::Null, Self::Boolean, Self::Integer, Self::Number, Self::Time, Self::Text];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Time => "time",
            Self::Text => "text",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.as_str() == name)
    }
}

/// A cell, read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Boolean,
    Integer(f64),
    Number(f64),
    /// Milliseconds since 1970, UTC.
    Time(i64),
    Text,
}

impl Cell {
    /// What a column of type `ty` counts it as.
    pub(crate) fn as_number(&self, ty: Ty) -> Option<f64> {
        match (self, ty) {
            (Self::Integer(value) | Self::Number(value), Ty::Integer | Ty::Number) => Some(*value),
            (Self::Time(ms), Ty::Time) => Some(*ms as f64),
            _ => None,
        }
    }
}

const MS_A_DAY: i64 = 86_400_000;
/// 1970-01-05: weeks begin as they do.
const MONDAY_MS: i64 = 4 * MS_A_DAY;
/// From 2001 to 2096, in seconds.
const EPOCH_SECONDS: std::ops::Range<f64> = 978_307_200.0..4_000_000_000.0;

/// Reads a cell; `is_comma_decimal` where commas do not separate cells.
pub(crate) fn read(text: &str, is_comma_decimal: bool) -> Cell {
    let text = text.trim();
    match text {
        "" | "NA" | "N/A" | "n/a" | "NaN" | "nan" | "null" | "NULL" | "None" | "-" | "\\N" | "#N/A" => {
            return Cell::Null;
        }
        "true" | "false" | "True" | "False" | "TRUE" | "FALSE" => return Cell::Boolean,
        _ => {}
    }
    if let Some(number) = number(text, is_comma_decimal) {
        return number;
    }
    time_of(text).map_or(Cell::Text, Cell::Time)
}

fn number(text: &str, is_comma_decimal: bool) -> Option<Cell> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+' | ',');
    if digits.len() > 40
        || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !digits.chars().all(is_plain)
    {
        return None;
    }
    let is_code =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_code {
        return None;
    }
    let value: f64 = if is_comma_decimal && digits.matches(',').count() == 1 && !digits.contains('.') {
        text.replace(',', ".").parse().ok()?
    } else {
        text.parse().ok()?
    };
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    value.is_finite().then_some(if is_integer { Cell::Integer(value) } else { Cell::Number(value) })
}

/// Whole numbers become times when the column's name says so and all of them can be Unix times.
pub(crate) fn read_epochs(name: &str, cells: &mut [Cell]) {
    let name = name.to_ascii_lowercase();
    let says_time = ["time", "date", "epoch", "_at"].iter().any(|word| name.contains(word)) || name == "ts";
    let scale = |value: f64| {
        [1.0, 1000.0]
            .into_iter()
            .find(|scale| EPOCH_SECONDS.contains(&(value / scale)))
            .map(|scale| 1000.0 / scale)
    };
    let Some(to_ms) = cells.iter().find_map(|cell| match cell {
        Cell::Integer(value) => Some(scale(*value)),
        _ => None,
    }) else {
        return;
    };
    let Some(to_ms) = to_ms.filter(|_| says_time) else { return };
    let all_fit = cells.iter().all(|cell| match cell {
        Cell::Integer(value) => scale(*value) == Some(to_ms),
        Cell::Null => true,
        _ => false,
    });
    if all_fit {
        for cell in cells {
            if let Cell::Integer(value) = cell {
                *cell = Cell::Time((*value * to_ms) as i64);
            }
        }
    }
}

/// Milliseconds since 1970 of a time in one of the forms of the module's head.
pub(crate) fn time_of(text: &str) -> Option<i64> {
    if !text.is_ascii() || !(8..=35).contains(&text.len()) || !text.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let (date, clock) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None => (text, ""),
    };
    let separator = date.chars().find(|c| !c.is_ascii_digit())?;
    let parts: Vec<i64> = date.split(separator).map(|part| digits(part, 4)).collect::<Option<Vec<i64>>>()?;
    let (year, month, day) = match (separator, parts.as_slice()) {
        ('-' | '/', [year, month, day]) if date.find(separator) == Some(4) => (*year, *month, *day),
        ('.', [day, month, year]) if *year >= 1000 => (*year, *month, *day),
        _ => return None,
    };
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    Some(days_since_1970(year, month, day) * MS_A_DAY + clock_ms(clock)?)
}

/// `HH:MM[:SS[.fraction]][Z|±HH:MM]`, or nothing for midnight.
fn clock_ms(clock: &str) -> Option<i64> {
    if clock.is_empty() {
        return Some(0);
    }
    let bare = clock.strip_suffix('Z').or_else(|| clock.strip_suffix(" UTC")).unwrap_or(clock);
    let (bare, offset_min) = match bare.rfind(['+', '-']) {
        Some(at) => {
            let (hours, minutes) = match bare[at + 1..].split_once(':') {
                Some(pair) => pair,
                None => bare[at + 1..].split_at_checked(2)?,
            };
            let minutes = digits(hours, 2)? * 60 + digits(if minutes.is_empty() { "0" } else { minutes }, 2)?;
            (bare[..at].trim_end(), if bare[at..].starts_with('-') { -minutes } else { minutes })
        }
        None => (bare, 0),
    };
    let (whole, fraction) = bare.split_once(['.', ',']).unwrap_or((bare, ""));
    let parts: Vec<i64> = whole.split(':').map(|part| digits(part, 2)).collect::<Option<Vec<i64>>>()?;
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours, minutes] if fraction.is_empty() => (*hours, *minutes, 0),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return None,
    };
    if hours > 24 || minutes > 59 || seconds > 60 {
        return None;
    }
    let fraction_ms = match fraction.len() {
        0 => 0,
        1..=9 => digits(&format!("{fraction:0<3}")[..3], 3).filter(|_| digits(fraction, 9).is_some())?,
        _ => return None,
    };
    Some((hours * 3600 + (minutes - offset_min) * 60 + seconds) * 1000 + fraction_ms)
}

/// Where the stretch of this width begins that a time falls into; narrow stretches nest in wide ones.
pub(crate) fn stretch_start(ms: i64, width_s: u64) -> i64 {
    let width_ms = i64::try_from(width_s).unwrap_or(i64::MAX).saturating_mul(1000).max(1);
    ms.saturating_sub(MONDAY_MS).div_euclid(width_ms).saturating_mul(width_ms).saturating_add(MONDAY_MS)
}

fn digits(text: &str, len_max: usize) -> Option<i64> {
    let is_fine = (1..=len_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_fine.then(|| text.parse().ok()).flatten()
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar; years begin in March, so that leap days end them.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `2010-01-31`, with `T23:59:59` and milliseconds where they are not zero.
pub(crate) fn time_text(ms: i64) -> String {
    let (days, in_day) = (ms.div_euclid(MS_A_DAY), ms.rem_euclid(MS_A_DAY));
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    if in_day > 0 {
        let seconds = in_day / 1000;
        text.push_str(&format!("T{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
        if in_day % 1000 > 0 {
            text.push_str(&format!(".{:03}", in_day % 1000));
        }
    }
    text
}
