//! What many values of one column have in common, and how much of them that tells.
//!
//! # Invariants
//!
//! - Quantiles are values that occur (nearest rank), so they stay whole where the values are.
//! - [`Stats::reduced`] says no more than what it was made of, and its [`Stats::held`] is no higher.
//! - Time O(n log n) and memory O(n) in the number of values.
//!
//! # How much is held
//!
//! `held` is measured on the values themselves. From the quantiles one can draw the distribution as a line; the
//! greatest distance between it and the true one (Kolmogorov–Smirnov) is what is lost. From the top values one
//! knows the share of the values that are listed. The better of the two counts. Example: a column of 56 states of
//! which the 8 most frequent are listed with their counts holds what these 8 hold; a column of names that are all different, 0.

pub(crate) mod cells;
pub(crate) mod sampling;

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value, json};

use crate::readable::{Members, count_of, list_of, number, share, share_of, text_of};
use crate::trace::cut;
use cells::{Cell, Ty};

/// Steps between the quantiles at warm and at cold; the first is a multiple of the second.
const STEPS_WARM: usize = 20;
const STEPS_COLD: usize = 4;
const TOP_WARM: usize = 64;
const TOP_COLD: usize = 8;
/// A longer value is not listed.
const TOP_CHARS_MAX: usize = 80;
/// Of numbers and times only those are listed that are one of this many, …
const TOP_NUMBER_ONE_IN: u64 = 50;
/// … and of other values one of this many.
const TOP_TEXT_ONE_IN: u64 = 1000;
/// A range alone, or what else a trace has room for, is this share of what it is taken from.
pub(crate) const RANGE_WORTH: f64 = 0.05;
const BRIEF_CHARS_MAX: usize = 40;
/// A value is frequent when it is one of this many.
const OFTEN_ONE_IN: u64 = 20;
/// One odd cell in this many does not make a column of numbers text.
const ODD_ONE_IN: u64 = 100;

/// The statistics of one column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stats {
    pub(crate) ty: Ty,
    /// Cells that hold something.
    pub(crate) values: u64,
    pub(crate) nulls: u64,
    /// Cells that are not of the column's type.
    odd: u64,
    distinct: u64,
    numbers: Option<Numbers>,
    /// The most frequent values and their counts.
    top: Vec<(String, u64)>,
    /// Characters of the shortest and the longest text.
    chars: Option<(u64, u64)>,
    /// 0–1: see the module.
    pub(crate) held: f64,
}

/// Of numbers; of times in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
struct Numbers {
    mean: f64,
    deviation: f64,
    /// From the least to the greatest, evenly spaced by rank.
    quantiles: Vec<f64>,
}

impl Stats {
    /// Of a column's cells. `name` decides whether whole numbers may be times; `is_comma_decimal` how to read `1,5`.
    pub(crate) fn of<'a>(
        name: &str,
        texts: impl Iterator<Item = Cow<'a, str>>,
        is_comma_decimal: bool,
    ) -> Self {
        let texts: Vec<Cow<'a, str>> = texts.collect();
        let mut cells: Vec<Cell> = texts.iter().map(|text| cells::read(text, is_comma_decimal)).collect();
        cells::read_epochs(name, &mut cells);
        let ty = ty_of(&cells);
        let nulls = cells.iter().filter(|cell| matches!(cell, Cell::Null)).count() as u64;
        let values = cells.len() as u64 - nulls;
        let mut sorted: Vec<f64> = cells.iter().filter_map(|cell| cell.as_number(ty)).collect();
        sorted.sort_by(f64::total_cmp);
        let is_numeric = matches!(ty, Ty::Integer | Ty::Number | Ty::Time);
        let odd = if is_numeric { values - sorted.len() as u64 } else { 0 };

        let mut counts: HashMap<&str, u64> = HashMap::new();
        let filled = texts.iter().zip(&cells).filter(|(_, cell)| !matches!(cell, Cell::Null));
        filled.for_each(|(text, _)| *counts.entry(text.trim()).or_default() += 1);
        let chars = (ty == Ty::Text).then(|| lengths(counts.keys())).flatten();
        let distinct = counts.len() as u64;
        let top = top_of(counts, values, is_numeric);
        let numbers = (is_numeric && !sorted.is_empty()).then(|| Numbers::of(&sorted));
        let mut stats = Self { ty, values, nulls, odd, distinct, numbers, top, chars, held: 0.0 };
        let by_numbers = stats.numbers.as_ref().map_or(0.0, |numbers| {
            (1.0 - distance(&sorted, &numbers.quantiles)) * (values - odd) as f64 / values.max(1) as f64
        });
        stats.held = stats.held_by_top().max(by_numbers);
        stats
    }

    /// Whether it has a type that can be averaged.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self.ty, Ty::Integer | Ty::Number)
    }

    fn held_by_top(&self) -> f64 {
        if self.values == 0 {
            return 1.0;
        }
        self.top.iter().map(|(_, count)| *count).sum::<u64>() as f64 / self.values as f64
    }

    /// With fewer quantiles and top values.
    pub(crate) fn reduced(&self) -> Self {
        let mut less = self.clone();
        less.top.truncate(TOP_COLD);
        let by_numbers = match &mut less.numbers {
            Some(numbers) if numbers.quantiles.len() == STEPS_WARM + 1 => {
                let finer = std::mem::take(&mut numbers.quantiles);
                numbers.quantiles = finer.iter().copied().step_by(STEPS_WARM / STEPS_COLD).collect();
                self.held * (1.0 - distance(&finer, &numbers.quantiles))
            }
            Some(_) => self.held,
            None => 0.0,
        };
        less.held = less.held_by_top().max(by_numbers).min(self.held);
        less
    }

    /// `latitude number 7.36722 to 71.2854`, `state text, often AK`: the column in a few words.
    pub(crate) fn brief(&self, name: &str) -> String {
        let mut brief = format!("{} {}", cut(name, BRIEF_CHARS_MAX), self.ty.as_str());
        match (self.range(), self.most_frequent()) {
            (Some(range), _) => brief.push_str(&format!(" {range}")),
            (None, Some(value)) => brief.push_str(&format!(", often {}", cut(value, BRIEF_CHARS_MAX))),
            _ => {}
        }
        brief
    }

    /// The least and the greatest.
    fn range(&self) -> Option<String> {
        let numbers = self.numbers.as_ref()?;
        let (least, greatest) = (numbers.quantiles.first()?, numbers.quantiles.last()?);
        let shown = |value: f64| match self.shown(value) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some(format!("{} to {}", shown(*least), shown(*greatest)))
    }

    /// The most frequent value, if it is frequent.
    fn most_frequent(&self) -> Option<&str> {
        let (value, count) = self.top.first()?;
        (count.saturating_mul(OFTEN_ONE_IN) >= self.values).then_some(value.as_str())
    }

    /// Different values.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct
    }

    fn shown(&self, value: f64) -> Value {
        if self.ty == Ty::Time { Value::from(cells::time_text(value as i64)) } else { number(value) }
    }

    /// Writes the members into an object.
    pub(crate) fn write(&self, members: &mut Members) {
        members.add("type", self.ty.as_str());
        members.add("values", self.values);
        members.add("nulls", self.nulls);
        if self.odd > 0 {
            members.add("odd", self.odd);
        }
        members.add("distinct", self.distinct);
        if let Some((shortest, longest)) = self.chars {
            members.add("chars", json!([shortest, longest]));
        }
        if let Some(numbers) = &self.numbers {
            members.add("mean", self.shown(numbers.mean));
            if self.ty != Ty::Time {
                members.add("deviation", number(numbers.deviation));
            }
            let quantiles: Vec<Value> =
                numbers.quantiles.iter().map(|quantile| self.shown(*quantile)).collect();
            members.add("quantiles", quantiles);
        }
        if !self.top.is_empty() {
            members.add("top", self.top.iter().map(|pair| json!(pair)).collect::<Vec<_>>());
        }
        members.add("held", share(self.held));
    }

    /// Reads what [`Stats::write`] wrote; what is missing is empty.
    pub(crate) fn read(value: &Value) -> Self {
        let ty = Ty::from_name(&text_of(value, "type")).unwrap_or(Ty::Text);
        let number_of = |value: &Value| match value {
            Value::String(text) => cells::time_of(text).map(|ms| ms as f64),
            other => other.as_f64(),
        };
        let quantiles: Vec<f64> = list_of(value, "quantiles").iter().filter_map(number_of).collect();
        let member = |name: &str| value.get(name).and_then(number_of).unwrap_or_default();
        let is_sorted = quantiles.is_sorted();
        let numbers = (!quantiles.is_empty() && is_sorted).then(|| Numbers {
            mean: member("mean"),
            deviation: member("deviation"),
            quantiles,
        });
        let pair = |pair: &Value| {
            Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_u64()?.min(u64::from(u32::MAX))))
        };
        let chars = list_of(value, "chars");
        Self {
            ty,
            values: count_of(value, "values"),
            nulls: count_of(value, "nulls"),
            odd: count_of(value, "odd"),
            distinct: count_of(value, "distinct"),
            numbers,
            top: list_of(value, "top").iter().filter_map(pair).collect(),
            chars: chars.first().and_then(Value::as_u64).zip(chars.get(1).and_then(Value::as_u64)),
            held: share_of(value, "held"),
        }
    }
}

impl Numbers {
    fn of(sorted: &[f64]) -> Self {
        let count = sorted.len() as f64;
        // Divided first: sums of great numbers overflow.
        let mean = sorted.iter().map(|value| value / count).sum::<f64>();
        let variance = sorted.iter().map(|value| (value - mean) * ((value - mean) / count)).sum::<f64>();
        let last = sorted.len() - 1;
        let at = |step: usize| sorted[(last * step + STEPS_WARM / 2) / STEPS_WARM];
        Self { mean, deviation: variance.sqrt(), quantiles: (0..=STEPS_WARM).map(at).collect() }
    }
}

/// The narrowest type that nearly all cells have.
fn ty_of(cells: &[Cell]) -> Ty {
    let count = |test: fn(&Cell) -> bool| cells.iter().filter(|cell| test(cell)).count() as u64;
    let values = count(|cell| !matches!(cell, Cell::Null));
    let nearly_all = |some: u64| some > 0 && (values - some) * ODD_ONE_IN <= values;
    let (integers, numbers) =
        (count(|cell| matches!(cell, Cell::Integer(_))), count(|cell| matches!(cell, Cell::Number(_))));
    if values == 0 {
        Ty::Null
    } else if nearly_all(count(|cell| matches!(cell, Cell::Time(_)))) {
        Ty::Time
    } else if nearly_all(integers) && numbers == 0 {
        Ty::Integer
    } else if nearly_all(integers + numbers) {
        Ty::Number
    } else if count(|cell| matches!(cell, Cell::Boolean)) == values {
        Ty::Boolean
    } else {
        Ty::Text
    }
}

fn lengths<'a>(texts: impl Iterator<Item = &'a &'a str>) -> Option<(u64, u64)> {
    let mut range = None;
    for text in texts {
        let chars = text.chars().count() as u64;
        let (shortest, longest) = range.unwrap_or((chars, chars));
        range = Some((chars.min(shortest), chars.max(longest)));
    }
    range
}

/// The most frequent, then in the order of the alphabet; never those that occur once.
fn top_of(counts: HashMap<&str, u64>, values: u64, is_numeric: bool) -> Vec<(String, u64)> {
    let is_listed = |value: &str, count: u64| {
        let often = count * if is_numeric { TOP_NUMBER_ONE_IN } else { TOP_TEXT_ONE_IN } >= values;
        count >= 2 && often && value.chars().nth(TOP_CHARS_MAX).is_none()
    };
    let mut top: Vec<(&str, u64)> =
        counts.into_iter().filter(|(value, count)| is_listed(value, *count)).collect();
    top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    top.truncate(TOP_WARM);
    top.into_iter().map(|(value, count)| (value.to_owned(), count)).collect()
}

/// The greatest distance between the distribution of sorted values and the line through quantiles.
fn distance(sorted: &[f64], quantiles: &[f64]) -> f64 {
    let count = sorted.len() as f64;
    let steps = quantiles.len().saturating_sub(1).max(1) as f64;
    // The share of values up to `value`, and below it, as the quantiles have it.
    let up_to = |value: f64| {
        let above = quantiles.partition_point(|quantile| *quantile <= value);
        match (above.checked_sub(1).and_then(|below| quantiles.get(below)), quantiles.get(above)) {
            (Some(low), Some(high)) => (above as f64 - 1.0 + (value - low) / (high - low)) / steps,
            (None, _) => 0.0,
            (_, None) => 1.0,
        }
    };
    let below = |value: f64| {
        let from = quantiles.partition_point(|quantile| *quantile < value);
        match (from.checked_sub(1).and_then(|below| quantiles.get(below)), quantiles.get(from)) {
            (Some(low), Some(high)) => (from as f64 - 1.0 + (value - low) / (high - low)) / steps,
            (None, _) => 0.0,
            (_, None) => 1.0,
        }
    };
    let mut greatest: f64 = 0.0;
    let mut before = 0usize;
    for run in sorted.chunk_by(|a, b| a == b) {
        let Some(value) = run.first() else { continue };
        let after = before + run.len();
        let apart = (up_to(*value) - after as f64 / count).abs();
        greatest = greatest.max(apart).max((below(*value) - before as f64 / count).abs());
        before = after;
    }
    if greatest.is_finite() { greatest.min(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests;
