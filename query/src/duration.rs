//! Durations as people write them: `7 days`, `1 hour 30 minutes`, `2w`.
//!
//! What [`format()`] writes, [`parse`] reads back to the same number of milliseconds. A month is 30 days and a year
//! 365: policies speak of ages, not of calendars.

const UNITS: [(u64, &str); 5] =
    [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "millisecond")];

fn unit_ms(word: &str) -> Option<u64> {
    let word = word.to_ascii_lowercase();
    Some(match word.as_str() {
        "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 7 * 86_400_000,
        "month" | "months" => 30 * 86_400_000,
        "y" | "year" | "years" => 365 * 86_400_000,
        _ => return None,
    })
}

/// Reads a duration in milliseconds; the error says what was expected.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no duration: write it like '7 days' or '1 hour 30 minutes'");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total_ms = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = if unit.is_empty() && number == "0" { Some(1) } else { unit_ms(unit) };
        let (Some(unit), Ok(number)) = (unit, number.parse::<f64>()) else {
            return Err(wrong());
        };
        let milliseconds = (number * unit as f64).round();
        if milliseconds >= u64::MAX as f64 {
            return Err(format!("'{text}' is too long a duration"));
        }
        total_ms = total_ms.saturating_add(milliseconds as u64);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Ok(total_ms)
}

/// Writes a duration of milliseconds in days and less: `7 days`, `1 day 12 hours`.
pub(crate) fn format(milliseconds: u64) -> String {
    if milliseconds == 0 {
        return "0 seconds".to_owned();
    }
    let mut parts = Vec::new();
    let mut rest = milliseconds;
    for (unit, name) in UNITS {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for milliseconds in [0, 1, 999, 60_000, 5_400_000, 7 * 86_400_000, 123_456_789_012] {
            assert_eq!(parse(&format(milliseconds)), Ok(milliseconds));
        }
    }

    #[test]
    fn people_write_durations_in_many_ways() {
        for (text, milliseconds) in [
            ("7 days", 604_800_000),
            ("7d", 604_800_000),
            ("1.5 hours", 5_400_000),
            ("1 hour, 30 min", 5_400_000),
            ("2 Weeks", 1_209_600_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(milliseconds), "{text}");
        }
        for wrong in ["", "7", "days", "7 dogs", "-1 day", "1..2 days"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
