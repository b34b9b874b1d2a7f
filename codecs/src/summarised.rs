//! What codecs whose output is a summary have in common: each stage says less than the one before.
//!
//! A summary is read back from what a former stage left, so cold and trace are the same with and without warm
//! before them, and the fidelities of two steps multiply to that of one.

use std::borrow::Cow;

use crate::degrade::Depth;
use crate::registry::Outcome;

/// All that warm holds of an object, and what it becomes.
pub(crate) trait Summarised: Clone {
    /// The media type of the summary.
    const MIME: &'static str;
    /// What the fidelity measures.
    const METRIC: &'static str;

    /// How much of the object it holds, 0–1.
    fn fidelity(&self) -> f64;
    /// What cold holds; the same when it is reduced already.
    fn reduced(&self) -> Self;
    /// What fits into a row, and how much of the object that holds.
    fn trace(&self) -> (String, f64);
    fn write(&self) -> String;
    fn params(&self) -> String;
    fn note(&self) -> String;
}

/// What is left at a depth. `is_summary` says that the input was a summary itself.
pub(crate) fn outcome<S: Summarised>(summary: &S, is_summary: bool, depth: Depth) -> Outcome {
    let was = if is_summary { summary.fidelity() } else { 1.0 };
    let share = |now: f64| if was > 0.0 { (now / was).min(1.0) } else { 0.0 };
    let less = match depth {
        Depth::Warm if is_summary => {
            return Outcome::Keep { note: Some("is already only a summary".to_owned()) };
        }
        Depth::Warm => Cow::Borrowed(summary),
        Depth::Cold => Cow::Owned(summary.reduced()),
        Depth::Trace => {
            let less = summary.reduced();
            let (json, fidelity) = less.trace();
            let fidelity = share(fidelity.min(less.fidelity()));
            return Outcome::Trace { json, fidelity, metric: S::METRIC, note: None };
        }
    };
    Outcome::Bytes {
        bytes: less.write().into_bytes(),
        mime: S::MIME.to_owned(),
        fidelity: share(less.fidelity()),
        metric: S::METRIC,
        params: less.params(),
        note: Some(less.note()),
    }
}
