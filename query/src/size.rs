//! Numbers of bytes as people write them: `1000000`, `500 MB`, `1.5 GiB`.

const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Reads a number of bytes; the error says what was expected.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no number of bytes: write it like 1000000, '500 MB' or '1.5 GiB'");
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = UNITS.iter().find(|(name, _)| *name == unit || (unit.is_empty() && *name == "b"));
    let (Some((_, unit)), Ok(number)) = (unit, number.parse::<f64>()) else { return Err(wrong()) };
    let bytes = (number * *unit as f64).round();
    if bytes >= u64::MAX as f64 { Err(wrong()) } else { Ok(bytes as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_sizes_in_many_ways() {
        for (text, bytes) in
            [("1", 1), ("500 MB", 500_000_000), ("1.5GiB", 3 << 29), ("10 kib", 10_240), ("0", 0)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "MB", "-1", "1..5 MB", "5 parsecs", "99999999 TiB"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
