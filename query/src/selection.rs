//! What a WHERE clause leaves of an index: points, ranges, prefixes.
//!
//! SQLite compares with the column's affinity and rechecks every row it is given, so a selection may be too wide
//! but never too narrow. Conditions arrive as (comparison, value) on one column:
//!
//! - whole numbers: `n > 2.5` begins at 3; text that reads as a number is one, other text and bytes lie above all
//!   numbers; NULL selects nothing;
//! - text: `name >= 'b'` is a range of bytes, `GLOB 'photos/*'` and `LIKE 'photos/%'` are prefixes. LIKE ignores
//!   ASCII case, so its prefix becomes one for each spelling of its first letters. A number selects everything: if
//!   it comes from a numeric column, `'05'` and `'5.0'` are both equal to 5.

use std::ops::Bound;

use crate::users::affinity::number_of;
use crate::value::Value;

/// An operator between an indexed column and a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Like,
    Glob,
}

/// The condition on an index that a scan runs with: all of `bounds`, and one of `any_of` if that is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    pub bounds: Vec<(Comparison, Value)>,
    pub any_of: Option<Vec<Value>>,
}

/// Inclusive ranges of whole numbers, in order and apart.
pub(crate) type IntegerRanges = Vec<(i64, i64)>;

/// A range of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextRange {
    /// Exactly this.
    Is(String),
    /// All that begins so.
    Prefix(String),
    /// Between the bounds.
    Between(Bound<String>, Bound<String>),
}

impl Conditions {
    /// The whole numbers that can meet the conditions.
    pub fn integers(&self) -> IntegerRanges {
        let mut low = i64::MIN;
        let mut high = i64::MAX;
        for (comparison, value) in &self.bounds {
            let Some((from, to)) = integer_range(*comparison, value) else { return Vec::new() };
            low = low.max(from);
            high = high.min(to);
        }
        let Some(any_of) = &self.any_of else {
            return if low <= high { vec![(low, high)] } else { Vec::new() };
        };
        let mut points: Vec<i64> = any_of
            .iter()
            .filter_map(|value| integer_range(Comparison::Equal, value))
            .filter(|(from, to)| from == to && (low..=high).contains(from))
            .map(|(from, _)| from)
            .collect();
        points.sort_unstable();
        points.dedup();
        points.into_iter().map(|point| (point, point)).collect()
    }

    /// The texts that can meet the conditions, in order of their beginnings.
    pub fn texts(&self) -> Vec<TextRange> {
        if let Some(any_of) = &self.any_of {
            if any_of.iter().any(is_number) {
                return vec![TextRange::Between(Bound::Unbounded, Bound::Unbounded)];
            }
            let mut texts: Vec<String> = any_of.iter().filter_map(text_of).collect();
            texts.sort_unstable();
            texts.dedup();
            return texts.into_iter().map(TextRange::Is).collect();
        }
        let mut low = Bound::Unbounded;
        let mut high = Bound::Unbounded;
        for (comparison, value) in &self.bounds {
            if value.is_null() {
                return Vec::new();
            }
            let Some(text) = text_of(value) else { continue };
            match comparison {
                Comparison::Equal => return vec![TextRange::Is(text)],
                Comparison::Glob => return vec![TextRange::Prefix(glob_prefix(&text))],
                Comparison::Like => {
                    return spellings(&like_prefix(&text)).into_iter().map(TextRange::Prefix).collect();
                }
                Comparison::Less => high = Bound::Excluded(text),
                Comparison::LessEqual => high = Bound::Included(text),
                Comparison::Greater => low = Bound::Excluded(text),
                Comparison::GreaterEqual => low = Bound::Included(text),
            }
        }
        vec![TextRange::Between(low, high)]
    }
}

/// The numbers for which `number comparison value` can hold.
fn integer_range(comparison: Comparison, value: &Value) -> Option<(i64, i64)> {
    const ALL: (i64, i64) = (i64::MIN, i64::MAX);
    let number = match value {
        Value::Null => return None,
        Value::Integer(number) => *number as i128,
        Value::Real(number) => return real_range(comparison, *number),
        Value::Text(text) => match number_of(text) {
            Some(number) => return integer_range(comparison, &number),
            None => return above_numbers(comparison),
        },
        Value::Blob(_) => return above_numbers(comparison),
    };
    let (low, high) = match comparison {
        Comparison::Equal => (number, number),
        Comparison::Less => (ALL.0 as i128, number - 1),
        Comparison::LessEqual => (ALL.0 as i128, number),
        Comparison::Greater => (number + 1, ALL.1 as i128),
        Comparison::GreaterEqual => (number, ALL.1 as i128),
        Comparison::Like | Comparison::Glob => return Some(ALL),
    };
    match (i64::try_from(low), i64::try_from(high)) {
        (Ok(low), Ok(high)) if low <= high => Some((low, high)),
        _ => None,
    }
}

fn real_range(comparison: Comparison, number: f64) -> Option<(i64, i64)> {
    if number.is_nan() {
        return None;
    }
    // `as` saturates, which only widens the range at the far ends.
    let (floor, ceiling) = (number.floor() as i64, number.ceil() as i64);
    match comparison {
        Comparison::Equal => (floor == ceiling).then_some((floor, floor)),
        Comparison::Less | Comparison::LessEqual => Some((i64::MIN, floor)),
        Comparison::Greater | Comparison::GreaterEqual => Some((ceiling, i64::MAX)),
        Comparison::Like | Comparison::Glob => Some((i64::MIN, i64::MAX)),
    }
}

fn above_numbers(comparison: Comparison) -> Option<(i64, i64)> {
    match comparison {
        Comparison::Equal | Comparison::Greater | Comparison::GreaterEqual => None,
        _ => Some((i64::MIN, i64::MAX)),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Integer(_) | Value::Real(_))
}

fn glob_prefix(pattern: &str) -> String {
    let mut prefix = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' | '?' => break,
            '[' => match literal_class(rest.as_str()) {
                Some(literal) => {
                    prefix.push(literal);
                    rest.nth(1);
                }
                None => break,
            },
            c => prefix.push(c),
        }
    }
    prefix
}

/// `x]…`: the one character of a class such as `[*]`, which is how a pattern escapes it.
fn literal_class(after_bracket: &str) -> Option<char> {
    let mut characters = after_bracket.chars();
    match (characters.next(), characters.next()) {
        (Some(c), Some(']')) if c != '^' && c != ']' => Some(c),
        _ => None,
    }
}

fn like_prefix(pattern: &str) -> String {
    pattern.chars().take_while(|c| !matches!(c, '%' | '_')).collect()
}

/// Letters of a LIKE prefix that are spelled out both ways; the rest of the prefix is left to SQLite.
const SPELLED_LETTERS_MAX: usize = 4;

/// Every spelling of the prefix in upper and lower case, in order.
fn spellings(prefix: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut letters = 0;
    for c in prefix.chars() {
        if !c.is_ascii_alphabetic() {
            all.iter_mut().for_each(|spelling| spelling.push(c));
            continue;
        }
        letters += 1;
        if letters > SPELLED_LETTERS_MAX {
            break;
        }
        let upper = all.iter().map(|spelling| format!("{spelling}{}", c.to_ascii_uppercase()));
        let lower = all.iter().map(|spelling| format!("{spelling}{}", c.to_ascii_lowercase()));
        all = upper.chain(lower).collect();
    }
    all.sort_unstable();
    all
}

/// The GLOB pattern that matches exactly the texts containing, beginning with or ending with `text`.
pub(crate) fn escape_glob(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '?' | '[' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use Comparison::*;

    fn integers(bounds: &[(Comparison, Value)]) -> IntegerRanges {
        Conditions { bounds: bounds.to_vec(), any_of: None }.integers()
    }

    #[test]
    fn numbers_follow_affinity() {
        assert_eq!(integers(&[(Greater, Value::Real(2.5)), (Less, Value::Integer(9))]), [(3, 8)]);
        assert_eq!(integers(&[(Equal, Value::from("2"))]), [(2, 2)]);
        assert_eq!(integers(&[(Equal, Value::Real(2.5))]), []);
        assert_eq!(integers(&[(Equal, Value::Null)]), []);
        assert_eq!(integers(&[(Greater, Value::from("abc"))]), []);
        assert_eq!(integers(&[(Less, Value::from("abc"))]), [(i64::MIN, i64::MAX)]);
        assert_eq!(integers(&[(Less, Value::from("nan"))]), [(i64::MIN, i64::MAX)]);
        assert_eq!(integers(&[(Less, Value::from("-inf"))]), [(i64::MIN, i64::MAX)]);
        assert_eq!(integers(&[(Equal, Value::from(" 2e0 "))]), [(2, 2)]);
        assert_eq!(integers(&[(Greater, Value::Integer(i64::MAX))]), []);
        assert_eq!(integers(&[(Greater, Value::Integer(5)), (Less, Value::Integer(3))]), []);
        let any_of = Some(vec![Value::Integer(3), Value::from("1"), Value::Null, Value::Integer(3)]);
        assert_eq!(Conditions { bounds: Vec::new(), any_of }.integers(), [(1, 1), (3, 3)]);
    }

    #[test]
    fn prefixes_come_from_patterns() {
        assert_eq!(glob_prefix("photos/[*]x*y"), "photos/*x");
        assert_eq!(glob_prefix("[ab]c"), "");
        assert_eq!(glob_prefix(&format!("{}*", escape_glob("a[b?c*d]"))), "a[b?c*d]");
        assert_eq!(like_prefix("2024/_x%"), "2024/");
        assert_eq!(spellings("a1b"), ["A1B", "A1b", "a1B", "a1b"]);
        assert_eq!(spellings("photos/").len(), 16);
        assert_eq!(spellings(""), [""]);
    }

    #[test]
    fn texts_are_ranges_of_bytes() {
        let conditions =
            |bounds: &[(Comparison, Value)]| Conditions { bounds: bounds.to_vec(), any_of: None };
        assert_eq!(
            conditions(&[(GreaterEqual, "b".into()), (Less, "c".into())]).texts(),
            [TextRange::Between(Bound::Included("b".into()), Bound::Excluded("c".into()))]
        );
        assert_eq!(conditions(&[(Equal, "5".into())]).texts(), [TextRange::Is("5".into())]);
        let everything = [TextRange::Between(Bound::Unbounded, Bound::Unbounded)];
        assert_eq!(conditions(&[(Equal, Value::Integer(5))]).texts(), everything);
        let any_of = Some(vec!["a".into(), Value::Real(1.5)]);
        assert_eq!(Conditions { bounds: Vec::new(), any_of }.texts(), everything);
        assert_eq!(conditions(&[(Glob, "a*".into())]).texts(), [TextRange::Prefix("a".into())]);
        assert_eq!(conditions(&[(Equal, Value::Null)]).texts(), []);
    }
}
