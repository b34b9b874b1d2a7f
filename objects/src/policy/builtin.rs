//! The policies that are always there, one for each type.
//!
//! Their periods follow what the type is for. Logs and build output are read within days or never; photographs and
//! documents come back after years; archives and unknown bytes cannot lose a little, only all, so they wait longest
//! for their trace. None of them purges: the owner must ask for that.

use super::{AppliesTo, Policy};
use crate::clock::days;
use patina_codecs::Kind;

/// Days to warm, cold, trace, and the half-life.
const fn periods(kind: Kind) -> [u64; 4] {
    match kind {
        Kind::Image => [30, 180, 3 * 365, 30],
        Kind::Text => [60, 365, 4 * 365, 45],
        Kind::Code => [90, 365, 4 * 365, 45],
        Kind::Log => [7, 30, 180, 7],
        Kind::Json => [30, 180, 2 * 365, 30],
        Kind::Table => [60, 365, 3 * 365, 45],
        Kind::Document => [90, 365, 5 * 365, 60],
        Kind::Tensor => [14, 90, 365, 14],
        Kind::Audio => [60, 365, 4 * 365, 45],
        Kind::Archive => [60, 365, 4 * 365, 45],
        Kind::Other => [60, 365, 4 * 365, 45],
    }
}

/// The name of the built-in policy of a type: the type's own name.
pub(crate) fn builtin_name(kind: Kind) -> &'static str {
    kind.as_str()
}

pub(crate) fn is_builtin(name: &str) -> bool {
    Kind::from_name(name).is_some()
}

/// The built-in policy of a type, as it is before anybody alters it.
pub(super) fn builtin(kind: Kind) -> Policy {
    let [warm, cold, trace, half_life] = periods(kind);
    Policy {
        applies_to: AppliesTo::kind(kind),
        warm_after: Some(days(warm)),
        cold_after: Some(days(cold)),
        trace_after: Some(days(trace)),
        half_life: days(half_life),
        version: 1,
        ..Policy::new(builtin_name(kind))
    }
}
