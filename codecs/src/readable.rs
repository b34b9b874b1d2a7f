//! JSON that a person can read: members in a chosen order, one item of a list a line, numbers rounded.
//!
//! `serde_json` orders members by name, which would put `columns` before what the columns are of; summaries are
//! written by these few functions instead, and read back with `serde_json`.

use serde_json::Value;

/// Significant digits of a statistic; whole numbers keep all of theirs.
const DIGITS: usize = 6;
/// Above this a whole number is no longer exact as a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// An object being written, in the order of the calls.
pub(crate) struct Members {
    text: String,
    separator: &'static str,
}

impl Members {
    /// All on one line.
    pub(crate) fn inline() -> Self {
        Self { text: "{".to_owned(), separator: "" }
    }

    /// Each member on a line of its own.
    pub(crate) fn lines() -> Self {
        Self { text: "{".to_owned(), separator: "\n" }
    }

    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.add_json(name, &value.into().to_string());
    }

    pub(crate) fn add_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// `json` is a value that was written before.
    pub(crate) fn add_json(&mut self, name: &str, json: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(self.separator);
        self.text.push_str(&Value::from(name).to_string());
        self.text.push(':');
        self.text.push_str(json);
    }

    /// A list with an item a line; left out when it is empty.
    pub(crate) fn add_list(&mut self, name: &str, items: &[String]) {
        if !items.is_empty() {
            self.add_json(name, &format!("[\n{}\n]", items.join(",\n")));
        }
    }

    /// A list of texts, one a line.
    pub(crate) fn add_texts<'a>(&mut self, name: &str, texts: impl IntoIterator<Item = &'a str>) {
        let items: Vec<String> = texts.into_iter().map(|text| Value::from(text).to_string()).collect();
        self.add_list(name, &items);
    }

    pub(crate) fn finish(mut self) -> String {
        self.text.push_str(self.separator);
        self.text.push('}');
        self.text
    }
}

/// A number for a person: whole ones as they are, others to six digits.
pub(crate) fn number(value: f64) -> Value {
    let is_whole = |value: f64| value.fract() == 0.0 && value.abs() < WHOLE_MAX;
    // Rounding may make it whole: what is read back must be written the same.
    match if is_whole(value) { value } else { rounded(value) } {
        whole if is_whole(whole) => Value::from(whole as i64),
        other => Value::from(other),
    }
}

/// To six significant digits.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value)
}

/// A share or a fidelity: four decimals.
pub(crate) fn share(value: f64) -> Value {
    Value::from((value * 10_000.0).round() / 10_000.0)
}

/// The member as text, empty when it is none.
pub(crate) fn text_of(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The member as a count, zero when it is none.
pub(crate) fn count_of(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// The member as a share, zero when it is none.
pub(crate) fn share_of(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).filter(|share| (0.0..=1.0).contains(share)).unwrap_or_default()
}

/// The member as a list, empty when it is none.
pub(crate) fn list_of<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The member as a list of texts.
pub(crate) fn texts_of(value: &Value, name: &str) -> Vec<String> {
    list_of(value, name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_are_json() {
        let mut members = Members::lines();
        members.add("z", 1);
        members.add_texts("a", ["x\n", "\""]);
        members.add_texts("none", []);
        let text = members.finish();
        assert_eq!(text, "{\n\"z\":1,\n\"a\":[\n\"x\\n\",\n\"\\\"\"\n]\n}");
        assert!(serde_json::from_str::<Value>(&text).is_ok());
        assert_eq!(Members::inline().finish(), "{}");
    }

    #[test]
    fn numbers_are_short_and_whole_ones_exact() {
        let shown = |value: f64| number(value).to_string();
        assert_eq!(shown(31.95376472), "31.9538");
        assert_eq!(shown(1_234_567_891.0), "1234567891");
        assert_eq!(shown(14.999_999_999), "15");
        assert_eq!(shown(-0.000012345678), "-0.0000123457");
        assert_eq!(shown(f64::NAN), "null");
    }
}
