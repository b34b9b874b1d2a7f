//! Points in time on the command line: as people type them, and as they read them.

use std::time::Duration;

use anyhow::{Result, anyhow};
use jiff::civil;
use jiff::tz::TimeZone;
use patinadb::Timestamp;

use super::failure::WrongUsage;

/// Reads `2027-03-01`, `2027-03-01 12:00`, `2027-03-01T12:00:00Z` (UTC where no offset is given) or `+30d`, which
/// counts from `now`.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp> {
    let text = text.trim();
    if let Some(ahead) = text.strip_prefix('+') {
        let ahead: Duration = humantime::parse_duration(ahead).map_err(|_| unreadable(text))?;
        let ahead_ms = u64::try_from(ahead.as_millis()).map_err(|_| unreadable(text))?;
        let at = now.0.checked_add(ahead_ms).map(Timestamp).filter(|at| in_calendar(*at).is_some());
        return at.ok_or_else(|| {
            anyhow!(WrongUsage(format!("{text} is beyond the year 9999: write a shorter time")))
        });
    }
    let instant = text.parse::<jiff::Timestamp>().or_else(|_| in_utc(text)).map_err(|_| unreadable(text))?;
    u64::try_from(instant.as_millisecond()).map(Timestamp).map_err(|_| unreadable(text))
}

fn in_utc(text: &str) -> Result<jiff::Timestamp, jiff::Error> {
    let civil = text.parse::<civil::DateTime>()?;
    Ok(civil.to_zoned(TimeZone::UTC)?.timestamp())
}

fn unreadable(text: &str) -> anyhow::Error {
    anyhow!(WrongUsage(format!(
        "\"{text}\" is no time: write 2027-03-01, 2027-03-01T12:00:00Z, or +30d for 30 days from now"
    )))
}

/// `2027-03-01 12:00:00` in the time zone of this machine.
pub fn local(at: Timestamp) -> String {
    show(at, TimeZone::system())
}

fn show(at: Timestamp, zone: TimeZone) -> String {
    to_jiff(at).to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Times beyond what a calendar can show read as its last day.
fn to_jiff(at: Timestamp) -> jiff::Timestamp {
    in_calendar(at).unwrap_or(jiff::Timestamp::MAX)
}

fn in_calendar(at: Timestamp) -> Option<jiff::Timestamp> {
    i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let now = Timestamp(1_000);
        assert_eq!(parse("1970-01-02", now).unwrap(), Timestamp(86_400_000));
        assert_eq!(parse("1970-01-01 00:00:05", now).unwrap(), Timestamp(5_000));
        assert_eq!(parse("1970-01-01T01:00:00+01:00", now).unwrap(), Timestamp(0));
        assert_eq!(parse("+2d", now).unwrap(), Timestamp(2 * 86_400_000 + 1_000));
    }

    #[test]
    fn nonsense_is_wrong_usage() {
        for text in
            ["", "tomorrow", "+", "+x", "1969-12-31", "2027-13-01", "10000-01-01", "+9000y", "+90000y"]
        {
            assert!(parse(text, Timestamp(0)).unwrap_err().is::<WrongUsage>(), "{text}");
        }
    }

    #[test]
    fn shown_in_the_zone_asked_for() {
        assert_eq!(show(Timestamp(86_400_000), TimeZone::UTC), "1970-01-02 00:00:00");
        assert_eq!(show(Timestamp(u64::MAX), TimeZone::UTC).get(..4), Some("9999"));
    }
}
