//! Which paths occur, and what is at each.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use crate::statistics::Stats;

/// An object with more members is a map, its keys are data.
pub(super) const MAP_KEYS: usize = 64;
/// Further paths are only counted.
const PATHS_MAX: usize = 512;

/// Values that are neither objects nor arrays, by path, in the order of their first occurrence.
pub(super) struct Shape {
    pub(super) paths: Vec<(String, Stats)>,
    /// Path, how many arrays, items in all of them.
    pub(super) arrays: Vec<(String, u64, u64)>,
    pub(super) values: u64,
}

#[derive(Default)]
struct Walk<'a> {
    index: HashMap<String, usize>,
    paths: Vec<(String, Vec<Cow<'a, str>>)>,
    arrays: Vec<(String, u64, u64)>,
    arrays_index: HashMap<String, usize>,
    values: u64,
}

/// O(values); the walk is as deep as the parser allowed.
pub(super) fn of(documents: &[Value]) -> Shape {
    let mut walk = Walk::default();
    let mut path = "$".to_owned();
    documents.iter().for_each(|document| walk.visit(document, &mut path));
    let paths = walk
        .paths
        .into_iter()
        .map(|(path, values)| {
            let name = path.rsplit('.').next().unwrap_or_default().to_owned();
            let stats = Stats::of(&name, values.into_iter(), false);
            (path, stats)
        })
        .collect();
    Shape { paths, arrays: walk.arrays, values: walk.values }
}

impl<'a> Walk<'a> {
    fn visit(&mut self, value: &'a Value, path: &mut String) {
        let len = path.len();
        match value {
            Value::Array(items) => {
                self.note_array(path, items.len() as u64);
                path.push_str("[]");
                items.iter().for_each(|item| self.visit(item, path));
            }
            Value::Object(members) => {
                let is_map = members.len() > MAP_KEYS;
                for (key, member) in members {
                    path.push('.');
                    path.push_str(if is_map { "*" } else { key });
                    self.visit(member, path);
                    path.truncate(len);
                }
            }
            Value::Null => self.note(path, Cow::Borrowed("")),
            Value::Bool(is) => self.note(path, Cow::Borrowed(if *is { "true" } else { "false" })),
            Value::Number(number) => self.note(path, Cow::Owned(number.to_string())),
            Value::String(text) => self.note(path, Cow::Borrowed(text)),
        }
        path.truncate(len);
    }

    fn note(&mut self, path: &str, value: Cow<'a, str>) {
        self.values += 1;
        match self.index.get(path) {
            Some(at) => self.paths[*at].1.push(value),
            None if self.paths.len() < PATHS_MAX => {
                self.index.insert(path.to_owned(), self.paths.len());
                self.paths.push((path.to_owned(), vec![value]));
            }
            None => {}
        }
    }

    fn note_array(&mut self, path: &str, items: u64) {
        match self.arrays_index.get(path) {
            Some(at) => {
                let (_, arrays, all) = &mut self.arrays[*at];
                (*arrays, *all) = (*arrays + 1, *all + items);
            }
            None if self.arrays.len() < PATHS_MAX => {
                self.arrays_index.insert(path.to_owned(), self.arrays.len());
                self.arrays.push((path.to_owned(), 1, items));
            }
            None => {}
        }
    }
}
