//! The settings of a policy: how each is read into SQL, and set from it.
//!
//! One list serves the columns of `policies`, CREATE POLICY and ALTER POLICY, so what can be read can be written, in
//! the same form: durations as text like `'7 days'`, NULL for "never".

use std::ops::Range;
use std::time::Duration;

use patina_objects::{Kind, PictureFormat, Policy, Transparency};

use crate::dialect::{Setting, SettingValue};
use crate::duration;
use crate::error::{Error, ErrorKind, Result};
use crate::nearest::nearest;
use crate::value::Value;

/// A setting.
pub(crate) struct Field {
    pub name: &'static str,
    /// The declared type of its column.
    pub declared: &'static str,
    pub get: fn(&Policy) -> Value,
    set: fn(&mut Policy, &SettingValue) -> Result<(), String>,
}

macro_rules! never_or_duration {
    ($($field:ident),*) => {[$(Field {
        name: stringify!($field),
        declared: "TEXT",
        get: |policy| policy.$field.map(written).into(),
        set: |policy, value| {
            policy.$field = match value {
                SettingValue::Null => None,
                value => Some(duration_of(value)?),
            };
            Ok(())
        },
    }),*]};
}

macro_rules! durations {
    ($($field:ident),*) => {[$(Field {
        name: stringify!($field),
        declared: "TEXT",
        get: |policy| written(policy.$field).into(),
        set: |policy, value| {
            policy.$field = duration_of(value)?;
            Ok(())
        },
    }),*]};
}

macro_rules! numbers {
    ($($name:ident: $($path:ident).+),*) => {[$(Field {
        name: stringify!($name),
        declared: "REAL",
        get: |policy| policy.$($path).+.into(),
        set: |policy, value| {
            policy.$($path).+ = number_of(value)?;
            Ok(())
        },
    }),*]};
}

macro_rules! whole_numbers {
    ($($name:ident: $($path:ident).+),*) => {[$(Field {
        name: stringify!($name),
        declared: "INTEGER",
        get: |policy| Value::Integer(policy.$($path).+.into()),
        set: |policy, value| {
            policy.$($path).+ = whole_of(value)?.try_into().map_err(|_| "the number is too large".to_owned())?;
            Ok(())
        },
    }),*]};
}

/// A setting with a few named values.
macro_rules! choices {
    ($($field:ident: $type:ident),*) => {[$(Field {
        name: stringify!($field),
        declared: "TEXT",
        get: |policy| Some(policy.params.$field.as_str().to_owned()).into(),
        set: |policy, value| {
            let name = text_of(value)?.trim().to_ascii_lowercase();
            policy.params.$field = $type::from_name(&name).ok_or_else(|| {
                let names: Vec<&str> = $type::ALL.iter().map(|value| value.as_str()).collect();
                format!("there is no '{name}'; write one of {}", names.join(", "))
            })?;
            Ok(())
        },
    }),*]};
}

macro_rules! switches {
    ($($field:ident),*) => {[$(Field {
        name: stringify!($field),
        declared: "BOOLEAN",
        get: |policy| policy.$field.into(),
        set: |policy, value| {
            policy.$field = switch_of(value)?;
            Ok(())
        },
    }),*]};
}

static STAGES: [Field; 4] = never_or_duration![warm_after, cold_after, trace_after, purge_after];
static AGES: [Field; 6] =
    durations![grace, half_life, birth_credit, min_retention, min_dwell, restore_window];
static FORGETTING: [Field; 1] = never_or_duration![forget_after];
static COOLDOWN: [Field; 1] = durations![access_cooldown];
static WEIGHTS: [Field; 3] =
    numbers![scan_weight: scan_weight, weight: weight, fidelity_floor: fidelity_floor];
static QUALITIES: [Field; 3] =
    numbers![warm_quality: params.warm_quality, warm_share: params.warm_share, cold_share: params.cold_share];
static PICTURES: [Field; 4] = whole_numbers![
    warm_jpeg_quality_min: params.warm_jpeg_quality_min,
    warm_jpeg_quality_max: params.warm_jpeg_quality_max,
    cold_side_px: params.cold_side_px,
    cold_quality: params.cold_quality
];
static CHOICES: [Field; 2] = choices![transparency: Transparency, picture_format: PictureFormat];
static SWITCHES: [Field; 2] = switches![legal_hold, keep_original];
static MATCHING: [Field; 4] = [
    Field {
        name: "applies_to",
        declared: "TEXT",
        get: |policy| {
            let kinds: Vec<&str> = policy.applies_to.kinds.iter().map(|kind| kind.as_str()).collect();
            Some(kinds.join(", ")).filter(|kinds| !kinds.is_empty()).into()
        },
        set: |policy, value| {
            policy.applies_to.kinds = match value {
                SettingValue::Null => Vec::new(),
                value => kinds_of(&text_of(value)?)?,
            };
            Ok(())
        },
    },
    Field {
        name: "name_glob",
        declared: "TEXT",
        get: |policy| policy.applies_to.name_glob.clone().into(),
        set: |policy, value| {
            policy.applies_to.name_glob = match value {
                SettingValue::Null => None,
                value => Some(text_of(value)?),
            };
            Ok(())
        },
    },
    Field {
        name: "size_min_bytes",
        declared: "BYTES",
        get: |policy| bytes(policy.applies_to.size_min_bytes),
        set: |policy, value| {
            policy.applies_to.size_min_bytes = optional_whole(value)?;
            Ok(())
        },
    },
    Field {
        name: "size_max_bytes",
        declared: "BYTES",
        get: |policy| bytes(policy.applies_to.size_max_bytes),
        set: |policy, value| {
            policy.applies_to.size_max_bytes = optional_whole(value)?;
            Ok(())
        },
    },
];

/// Every setting, in the order of the columns of `policies`.
pub(crate) fn fields() -> impl Iterator<Item = &'static Field> {
    let matching =
        MATCHING.iter().chain(&SWITCHES).chain(&STAGES).chain(&AGES).chain(&FORGETTING).chain(&COOLDOWN);
    matching.chain(&WEIGHTS).chain(&QUALITIES).chain(&PICTURES).chain(&CHOICES)
}

/// A mistake in a setting, with the range of the text to point at.
pub(crate) struct Misset {
    pub error: Error,
    pub at: Range<usize>,
}

/// Sets what a statement says.
pub(crate) fn apply(policy: &mut Policy, settings: &[Setting]) -> Result<(), Misset> {
    for setting in settings {
        let Some(field) = fields().find(|field| field.name == setting.name) else {
            let names = fields().map(|field| field.name);
            let hint = nearest(&setting.name, names).map_or_else(
                || "; the columns of policies are what there is".to_owned(),
                |name| format!("; did you mean {name}?"),
            );
            let message = format!("a policy has no setting {}{hint}", setting.name);
            return Err(Misset {
                error: Error::new(ErrorKind::NotFound, message),
                at: setting.name_at.clone(),
            });
        };
        (field.set)(policy, &setting.value).map_err(|problem| Misset {
            error: Error::invalid(format!("{}: {problem}", setting.name)),
            at: setting.value_at.clone(),
        })?;
    }
    Ok(())
}

/// The one type a statement gives in `applies_to`, whose built-in policy the new one starts from.
pub(crate) fn kind_named(settings: &[Setting]) -> Option<Kind> {
    let setting = settings.iter().find(|setting| setting.name == "applies_to")?;
    match &setting.value {
        SettingValue::Text(text) => Kind::from_name(text.trim()),
        _ => None,
    }
}

fn written(duration: Duration) -> String {
    duration::format(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn duration_of(value: &SettingValue) -> Result<Duration, String> {
    match value {
        SettingValue::Text(text) => duration::parse(text).map(Duration::from_millis),
        SettingValue::Number(number) if *number == 0.0 => Ok(Duration::ZERO),
        SettingValue::Number(_) => Err("a number needs a unit: write it like '7 days'".to_owned()),
        _ => Err("expected a duration like '7 days'".to_owned()),
    }
}

fn switch_of(value: &SettingValue) -> Result<bool, String> {
    match value {
        SettingValue::Boolean(on) => Ok(*on),
        SettingValue::Number(number) if *number == 0.0 || *number == 1.0 => Ok(*number == 1.0),
        _ => Err("expected true or false".to_owned()),
    }
}

fn number_of(value: &SettingValue) -> Result<f64, String> {
    match value {
        SettingValue::Number(number) => Ok(*number),
        _ => Err("expected a number".to_owned()),
    }
}

fn whole_of(value: &SettingValue) -> Result<u64, String> {
    match value {
        SettingValue::Number(number) if *number >= 0.0 && number.fract() == 0.0 && *number < 9e15 => {
            Ok(*number as u64)
        }
        _ => Err("expected a whole number".to_owned()),
    }
}

fn optional_whole(value: &SettingValue) -> Result<Option<u64>, String> {
    match value {
        SettingValue::Null => Ok(None),
        value => whole_of(value).map(Some),
    }
}

fn text_of(value: &SettingValue) -> Result<String, String> {
    match value {
        SettingValue::Text(text) => Ok(text.clone()),
        _ => Err("expected text in quotes".to_owned()),
    }
}

fn kinds_of(text: &str) -> Result<Vec<Kind>, String> {
    if matches!(text.trim(), "*" | "any" | "") {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|word| {
            let word = word.trim().to_ascii_lowercase();
            Kind::from_name(&word).ok_or_else(|| {
                let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                format!("there is no type '{word}'; the types are {}", names.join(", "))
            })
        })
        .collect()
}

fn bytes(count: Option<u64>) -> Value {
    count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)).into()
}
