//! The last form of an object: one JSON object in its row.
//!
//! A trace is filled in order of worth and never exceeds [`TRACE_BYTES_MAX`] bytes: what does not fit is
//! left out or cut, so a title of ten thousand characters or three hundred terms cannot break the bound.

use serde_json::{Map, Value};

/// The most bytes a trace may have.
pub const TRACE_BYTES_MAX: usize = 1024;

/// Longest text in one member; a longer one ends in `…`.
const MEMBER_CHARS_MAX: usize = 160;

/// A trace being filled, the worthiest members first.
pub(crate) struct TraceBuilder {
    members: Map<String, Value>,
    len_bytes: usize,
}

impl TraceBuilder {
    pub(crate) fn new() -> Self {
        Self { members: Map::new(), len_bytes: "{}".len() }
    }

    /// Adds a member if it fits.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        let value = match value.into() {
            Value::String(text) => Value::String(cut(&text, MEMBER_CHARS_MAX)),
            other => other,
        };
        let needed_bytes = name.len() + r#""":,"#.len() + value.to_string().len();
        if self.len_bytes + needed_bytes <= TRACE_BYTES_MAX {
            self.len_bytes += needed_bytes;
            self.members.insert(name.to_owned(), value);
        }
    }

    pub(crate) fn add_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// Adds as many of the items as fit, in order; gives how many did.
    pub(crate) fn add_list<'a>(&mut self, name: &str, items: impl Iterator<Item = &'a str>) -> usize {
        let mut list: Vec<Value> = Vec::new();
        let mut list_bytes = name.len() + r#""":[],"#.len();
        for item in items {
            let item = Value::String(item.to_owned());
            let item_bytes = item.to_string().len() + 1;
            if self.len_bytes + list_bytes + item_bytes > TRACE_BYTES_MAX {
                break;
            }
            list_bytes += item_bytes;
            list.push(item);
        }
        let added = list.len();
        if added > 0 {
            self.len_bytes += list_bytes;
            self.members.insert(name.to_owned(), Value::Array(list));
        }
        added
    }

    pub(crate) fn finish(self) -> String {
        Value::Object(self.members).to_string()
    }
}

/// At most `chars_max` characters, with an ellipsis in place of what was cut.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_never_exceeds_its_bound_whatever_is_added() {
        let nasty = "\u{1}\"\\\u{10ffff}".repeat(500);
        let mut trace = TraceBuilder::new();
        for index in 0..40 {
            trace.add(&format!("member {index}"), nasty.as_str());
            trace.add_list(&format!("list {index}"), std::iter::repeat_n("\u{1}term", 400));
        }
        let json = trace.finish();
        assert!(json.len() <= TRACE_BYTES_MAX, "{} bytes", json.len());
        assert!(serde_json::from_str::<Value>(&json).is_ok());
    }

    #[test]
    fn a_list_says_how_much_of_it_fitted() {
        let mut trace = TraceBuilder::new();
        assert_eq!(trace.add_list("few", ["a", "b"].into_iter()), 2);
        let fitted = trace.add_list("many", std::iter::repeat_n("0123456789", 1000));
        assert!((60..90).contains(&fitted), "{fitted}");
    }
}
