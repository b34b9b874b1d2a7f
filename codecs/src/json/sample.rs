//! Elements to look at: the source with its long arrays, texts and maps cut.

use serde_json::{Map, Value};

use super::shape::MAP_KEYS;
use crate::statistics::sampling;
use crate::trace::cut;

/// Arrays of up to this many items stay whole; of longer ones …
const ITEMS_MIN: usize = 10;
/// … one in this many stays, …
const ITEM_ONE_IN: usize = 10;
/// … but not more than this many.
const ITEMS_MAX: usize = 1000;
const TEXT_CHARS_MAX: usize = 300;

/// Cuts a value; adds the values that stay whole to `kept`.
pub(super) fn of(value: Value, kept: &mut u64) -> Value {
    match value {
        Value::Array(items) => Value::Array(chosen(items).into_iter().map(|item| of(item, kept)).collect()),
        Value::Object(members) => {
            let keys: Vec<usize> = sampling::chosen(members.len(), wanted(members.len(), MAP_KEYS));
            let mut keys = keys.into_iter().peekable();
            let stays = |(at, member): (usize, (String, Value))| {
                keys.next_if_eq(&at)?;
                Some((member.0, of(member.1, kept)))
            };
            Value::Object(members.into_iter().enumerate().filter_map(stays).collect::<Map<_, _>>())
        }
        Value::String(text) if text.chars().nth(TEXT_CHARS_MAX).is_some() => {
            Value::String(cut(&text, TEXT_CHARS_MAX))
        }
        other => {
            *kept += 1;
            other
        }
    }
}

/// The items that stay, in order: the first, and others by lot.
pub(super) fn chosen(items: Vec<Value>) -> Vec<Value> {
    let mut indices = sampling::chosen(items.len(), wanted(items.len(), ITEMS_MIN));
    if let Some(first) = indices.first_mut() {
        *first = 0;
    }
    let mut indices = indices.into_iter().peekable();
    items.into_iter().enumerate().filter_map(|(at, item)| indices.next_if_eq(&at).map(|_| item)).collect()
}

fn wanted(count: usize, whole_max: usize) -> usize {
    if count <= whole_max { count } else { (count / ITEM_ONE_IN).clamp(ITEMS_MIN, ITEMS_MAX) }
}
