//! The demo's three years: policies, a calendar, and readers who come back for some of the objects.
//!
//! Each month four ticks run, a week apart. With a half-life of 90 days, an object that is read every month gathers
//! heat and outlives its policy's times by about two half-lives once its readers stop; one that nobody reads decays
//! exactly on time.

use anyhow::{Context, Result};
use bytes::Bytes;
use jiff::Span;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use patinadb::{
    AppliesTo, DEFAULT_TENANT, Kind, ListFilter, ManualClock, Patina, Policy, PutOptions, Stage, TickOptions,
    Timestamp, days,
};

use super::pictures::Pictures;
use super::samples;

const MONTHS: i32 = 36;
const FIRST_DAY: Date = date(2026, 1, 1);
/// [`FIRST_DAY`], at midnight UTC.
pub const START: Timestamp = Timestamp(1_767_225_600_000);
const TICK_DAYS: [i8; 4] = [7, 14, 21, 28];
const READ_DAY: i8 = 14;
const HALF_LIFE_DAYS: u64 = 90;

/// Who is read, in how many of the months.
const READERS: [(&str, i32); 3] = [("chelsea.png", MONTHS), ("airports.csv", 18), ("gpl-3.txt", 6)];

/// The demo's policies: days until warm, cold, trace and purge (0: never), and the types they are for.
const POLICIES: [(&str, [u64; 4], &[Kind]); 3] = [
    ("demo-pictures", [90, 270, 720, 1_000], &[Kind::Image]),
    ("demo-texts", [60, 365, 900, 0], &[Kind::Text, Kind::Document]),
    ("demo-data", [120, 540, 0, 0], &[Kind::Table, Kind::Json, Kind::Tensor]),
];

/// What is there when a month ends.
pub struct Month {
    /// `2026-01`.
    pub name: String,
    /// Objects by stage.
    pub objects: [u64; 5],
    /// What was imported, in bytes.
    pub original_bytes: u64,
    /// What the objects take now.
    pub stored_bytes: u64,
}

impl Month {
    /// What decay and compression gave back.
    pub fn saved_bytes(&self) -> u64 {
        self.original_bytes.saturating_sub(self.stored_bytes)
    }
}

/// The simulation between two months.
pub struct Life<'a> {
    patina: &'a Patina,
    clock: ManualClock,
    pictures: Pictures,
    month: i32,
}

impl<'a> Life<'a> {
    /// Makes the policies and imports the samples on the first day.
    pub fn begin(patina: &'a Patina, clock: ManualClock, pictures: Pictures) -> Result<Self> {
        for (name, days_until, kinds) in POLICIES {
            patina.objects().put_policy(policy(name, days_until, kinds))?;
        }
        let items = samples::ALL
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), Bytes::from_static(bytes), PutOptions::default()));
        patina.objects().put_many(items)?;
        let life = Self { patina, clock, pictures, month: 0 };
        life.keep_pictures(|_| true)?;
        Ok(life)
    }

    /// What is about to happen, for a person.
    pub fn story(&self) -> String {
        let mut story = format!(
            "{} samples are imported on {FIRST_DAY}; then {MONTHS} months pass, with a tick a week.\nEvery month \
             somebody reads\n",
            samples::ALL.len()
        );
        for (name, months) in READERS {
            let how_long =
                if months == MONTHS { "to the end".to_owned() } else { format!("for {months} months") };
            story.push_str(&format!("  {name:<13} {how_long}\n"));
        }
        story.push_str("and nobody reads the others.");
        story
    }

    /// Lives through one month; `None` after the last.
    pub fn next_month(&mut self) -> Result<Option<Month>> {
        if self.month == MONTHS {
            return Ok(None);
        }
        let first_day = FIRST_DAY.checked_add(Span::new().months(self.month)).context("the calendar ends")?;
        for day in TICK_DAYS {
            let today = first_day.with().day(day).build()?;
            self.clock.set(midnight(today)?);
            if day == READ_DAY {
                self.read()?;
            }
            let report = self.patina.tick(&TickOptions::default())?;
            if report.moved > 0 {
                self.keep_pictures(|stage| stage != Stage::Hot)?;
            }
        }
        self.month += 1;
        self.sum_up(first_day).map(Some)
    }

    fn read(&self) -> Result<()> {
        for (name, _) in READERS.iter().filter(|(_, months)| self.month < *months) {
            self.patina.get(name)?;
        }
        Ok(())
    }

    fn sum_up(&self, first_day: Date) -> Result<Month> {
        let totals = self.patina.objects().totals()?;
        Ok(Month {
            name: first_day.strftime("%Y-%m").to_string(),
            objects: totals.by_stage.map(|sum| sum.objects),
            original_bytes: totals.all.size,
            stored_bytes: totals.all.stored,
        })
    }

    /// Writes every picture that is at one of these stages, without warming it.
    fn keep_pictures(&self, wanted: impl Fn(Stage) -> bool) -> Result<()> {
        for info in self.patina.list(&ListFilter::default())? {
            let info = info?;
            if info.kind != Kind::Image || info.stage == Stage::Purged || !wanted(info.stage) {
                continue;
            }
            let object = self.patina.objects().peek(DEFAULT_TENANT, &info.name)?;
            self.pictures.keep(&info.name, &object)?;
        }
        Ok(())
    }
}

fn policy(name: &str, [warm, cold, trace, purge]: [u64; 4], kinds: &[Kind]) -> Policy {
    let after = |count: u64| (count > 0).then(|| days(count));
    Policy {
        applies_to: AppliesTo { kinds: kinds.to_vec(), ..AppliesTo::default() },
        warm_after: after(warm),
        cold_after: after(cold),
        trace_after: after(trace),
        purge_after: after(purge),
        half_life: days(HALF_LIFE_DAYS),
        ..Policy::new(name)
    }
}

fn midnight(day: Date) -> Result<Timestamp> {
    let at = day.to_zoned(TimeZone::UTC)?.timestamp().as_millisecond();
    Ok(Timestamp(u64::try_from(at).context("the demo starts after 1970")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_on_the_first_day() {
        assert_eq!(midnight(FIRST_DAY).unwrap(), START);
    }

    #[test]
    fn the_policies_are_valid() {
        for (name, days_until, kinds) in POLICIES {
            policy(name, days_until, kinds).validate().unwrap();
        }
    }

    #[test]
    fn the_readers_read_samples() {
        for (name, _) in READERS {
            assert!(samples::ALL.iter().any(|(sample, _)| *sample == name), "{name}");
        }
    }
}
