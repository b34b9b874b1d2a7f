//! Text cases: a tree, a line a level, and what is picked. A table is `id:smallest-largest`, with `*n` for n bytes (10 if absent). A
//! line `running 1 2 -> L3` is a merge that runs; `failed …` one that failed just now.

use super::*;
use bytes::Bytes;
use std::fmt::Write;

struct Fake {
    id: u64,
    bytes: u64,
    properties: Properties,
}

impl Facts for Fake {
    fn id(&self) -> FileId {
        FileId(self.id)
    }

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

/// The tables that a line names, as a merge.
fn merge(levels: &Levels<Fake>, text: &str) -> Pick<Fake> {
    let (ids, target) = text.split_once(" -> L").unwrap();
    let ids: Vec<u64> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let named = |tables: &Vec<Arc<Fake>>| -> Vec<_> {
        tables.iter().filter(|table| ids.contains(&table.id)).cloned().collect()
    };
    let inputs = levels.iter().map(named).enumerate().filter(|(_, tables)| !tables.is_empty());
    Pick { inputs: inputs.collect(), output_level: target.parse().unwrap() }
}

const KEYSPACE: KeyspaceId = KeyspaceId(1);
const NOW_US: u64 = 1_000_000;

fn tree(text: &str) -> (Levels<Fake>, Claims) {
    let (mut levels, mut claims) = (Levels::<Fake>::default(), Claims::default());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (first, rest) = line.split_once(' ').unwrap();
        match first {
            "running" => drop(claims.begin(Claim::of(KEYSPACE, &merge(&levels, rest)))),
            "failed" => {
                let number = claims.begin(Claim::of(KEYSPACE, &merge(&levels, rest)));
                claims.end(number, Some(NOW_US));
            }
            _ => {
                let level: usize = first[1..].parse().unwrap();
                levels[level] = rest.split_whitespace().map(|word| Arc::new(table(word))).collect();
            }
        }
    }
    (levels, claims)
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
fn picked_at(text: &str, now_us: u64) -> String {
    let (levels, claims) = tree(text);
    let limits = Limits { l0_tables_trigger: 2, level1_bytes: 20 };
    let view = View { keyspace: KEYSPACE, levels: &levels, limits, claims: &claims, now_us };
    show(view.pick().map(|(_, pick)| pick))
}

fn picked(text: &str) -> String {
    picked_at(text, NOW_US)
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

#[test]
fn disjoint_merges_run_at_once() {
    let levels = "L1 1:a-c 2:d-f 3:g-i
                  L2 4:a-b*20 5:d-e*30 6:g-h*40";
    assert_eq!(picked(levels), "L1 1 + L2 4 -> L2");
    // 10 bytes are leaving, and 20 are allowed: level 1 is not over its limit any more.
    assert_eq!(picked(&format!("{levels}\nrunning 1 4 -> L2")), "L1 2 + L2 5 -> L2");
    assert_eq!(picked(&format!("{levels}\nrunning 1 4 -> L2\nrunning 2 5 -> L2")), "nothing");
}

#[test]
fn what_a_running_merge_reads_or_will_write_is_passed_over() {
    // Table 1 overlaps least, but a running merge reads what it overlaps, or writes there.
    let levels = "L1 1:a-c 2:d-f 7:x-z*20
                  L2 4:a-b*5 5:d-e*30 8:x-y*90
                  L3 9:b-b*50";
    assert_eq!(picked(levels), "L1 1 + L2 4 -> L2");
    assert_eq!(picked(&format!("{levels}\nrunning 4 9 -> L3")), "L1 2 + L2 5 -> L2");
    let levels = "L0 6:b-c
                  L1 1:a-c 2:d-f 7:x-z*30";
    assert_eq!(picked(&format!("{levels}\nrunning 6 -> L2")), "L1 2 -> L2");
}

#[test]
fn level_0_is_merged_by_one_at_a_time() {
    let levels = "L0 9:x-z 8:x-z 7:a-c 6:a-c";
    assert_eq!(picked(&format!("{levels}\nrunning 6 7 -> L1")), "nothing");
}

/// Else merges out of level 1 would follow each other, and level 0 would fill up meanwhile.
#[test]
fn level_1_waits_for_a_level_0_that_waits_for_it() {
    let levels = "L0 9:a-z 8:a-z
                  L1 1:a-c*30 2:d-f*30 3:g-i*30
                  L2 4:a-b";
    assert_eq!(picked(levels), "L1 2 -> L2");
    assert_eq!(picked(&format!("{levels}\nrunning 1 4 -> L2")), "nothing");
}

#[test]
fn a_merge_that_failed_rests_while_others_go_on() {
    let levels = "L1 1:a-c*30 2:d-f*30
                  L2 5:d-e*30
                  failed 1 -> L2";
    assert_eq!(picked(levels), "L1 2 + L2 5 -> L2");
    assert_eq!(picked_at(levels, NOW_US + 50_000), "L1 1 -> L2");
    // The second failure doubles the pause.
    let twice = format!("{levels}\nfailed 1 -> L2");
    assert_eq!(picked_at(&twice, NOW_US + 99_999), "L1 2 + L2 5 -> L2");
    assert_eq!(picked_at(&twice, NOW_US + 100_000), "L1 1 -> L2");
}
