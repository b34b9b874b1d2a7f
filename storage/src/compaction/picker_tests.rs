//! Text cases: a tree, a line a level, and what is picked. A table is `id:smallest-largest`, with `*n` for n bytes (10 if absent).

use super::*;
use bytes::Bytes;
use std::fmt::Write;

struct Fake {
    id: u64,
    bytes: u64,
    properties: Properties,
}

impl Facts for Fake {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn properties(&self) -> &Properties {
        &self.properties
    }
}

fn table(text: &str) -> Fake {
    let (text, bytes) = text.split_once('*').unwrap_or((text, "10"));
    let (id, range) = text.split_once(':').unwrap();
    let (smallest, largest) = range.split_once('-').unwrap();
    let key = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let properties = Properties { smallest: key(smallest), largest: key(largest), ..Properties::default() };
    Fake { id: id.parse().unwrap(), bytes: bytes.parse().unwrap(), properties }
}

/// Lines of `L<n> table table…`.
fn tree(text: &str) -> Levels<Fake> {
    let mut levels = Levels::<Fake>::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let level: usize = words.next().unwrap()[1..].parse().unwrap();
        levels[level] = words.map(|word| Arc::new(table(word))).collect();
    }
    levels
}

fn show(pick: Option<Pick<Fake>>) -> String {
    let Some(pick) = pick else { return "nothing".to_owned() };
    let mut out = String::new();
    for (level, tables) in &pick.inputs {
        let ids: Vec<_> = tables.iter().map(|table| table.id.to_string()).collect();
        write!(out, "L{level} {} + ", ids.join(" ")).unwrap();
    }
    format!("{}-> L{}", out.trim_end_matches("+ "), pick.output_level)
}

/// Level 0 is due from 2 tables, level 1 holds 20 bytes, level 2 200.
fn picked(text: &str) -> String {
    let levels = tree(text);
    let limits = Limits { l0_tables_trigger: 2, level1_bytes: 20 };
    show(limits.most_urgent(&levels).and_then(|(_, level)| pick_from(&levels, level)))
}

#[test]
fn nothing_is_picked_while_all_is_within_its_limits() {
    assert_eq!(picked(""), "nothing");
    assert_eq!(picked("L0 9:a-z\nL1 1:a-c"), "nothing");
}

#[test]
fn level_0_goes_as_a_whole_with_all_that_it_overlaps() {
    assert_eq!(picked("L0 9:c-f 8:e-h\nL1 1:a-a*1 2:b-c*1 3:f-g*1 4:i-j*1"), "L0 9 8 + L1 2 3 -> L1");
}

#[test]
fn the_level_most_over_its_limit_goes_first() {
    assert_eq!(picked("L0 9:a-b 8:a-b\nL1 1:a-c*30 2:d-f*31\nL2 3:a-b*5"), "L1 2 -> L2");
    assert_eq!(picked("L0 9:a-b 8:a-b 7:a-b 6:a-b 5:a-b\nL1 1:a-c*20 2:d-f*11"), "L0 9 8 7 6 5 + L1 1 -> L1");
}

#[test]
fn the_table_with_the_least_overlap_for_its_bytes_goes() {
    assert_eq!(picked("L1 1:a-c*10 2:d-f*10\nL2 3:a-b*50 4:c-d*20 5:e-f*40"), "L1 2 + L2 4 5 -> L2");
    assert_eq!(picked("L1 1:a-c*40 2:d-f*10\nL2 3:a-b*50 4:c-c*20 5:e-f*40"), "L1 1 + L2 3 4 -> L2");
}
