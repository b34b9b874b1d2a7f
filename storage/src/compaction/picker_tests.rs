//! Text cases: a tree, a line a level, and what is picked.
//!
//! A table is `id:smallest-largest`, then `*bytes` (10 if absent), `!tombstones` (of 10 entries), `@wall time of the oldest`,
//! `#newest sequence number`. A line `running 1 2 -> L3` is a merge that runs, `failed …` one that failed just now, `damaged 2: …` one that
//! found table 2 damaged, `snapshot 7` the oldest snapshot.

use super::super::claims::{Damage, Failed};
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
    let range_end = text.find(['*', '!', '@', '#']).unwrap_or(text.len());
    let (range, marks) = text.split_at(range_end);
    let mark = |sign: char| -> Option<u64> {
        let (_, rest) = marks.split_once(sign)?;
        rest.split(['*', '!', '@', '#']).next().unwrap().parse().ok()
    };
    let (id, range) = range.split_once(':').unwrap();
    let (smallest, largest) = range.split_once('-').unwrap();
    let key = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let properties = Properties {
        smallest: key(smallest),
        largest: key(largest),
        entries: 10,
        tombstones: mark('!').unwrap_or(0),
        oldest_tombstone_ms: mark('@').unwrap_or(0),
        seqno_max: Seqno(mark('#').unwrap_or(0)),
        ..Properties::default()
    };
    Fake { id: id.parse().unwrap(), bytes: mark('*').unwrap_or(10), properties }
}

/// The tables that a line names, as a merge.
fn merge(levels: &Levels<Fake>, text: &str) -> Pick<Fake> {
    let (ids, target) = text.split_once(" -> L").unwrap();
    let ids: Vec<u64> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let named = |tables: &Vec<Arc<Fake>>| -> Vec<_> {
        tables.iter().filter(|table| ids.contains(&table.id)).cloned().collect()
    };
    let inputs = levels.iter().map(named).enumerate().filter(|(_, tables)| !tables.is_empty());
    Pick { inputs: inputs.collect(), output_level: target.parse().unwrap(), reason: Reason::Size }
}

const KEYSPACE: KeyspaceId = KeyspaceId(1);
const NOW_US: u64 = 1_000_000;

#[derive(Default)]
struct Case {
    levels: Levels<Fake>,
    claims: Claims,
    oldest_snapshot: Option<Seqno>,
}

fn case(text: &str) -> Case {
    let mut case = Case::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (first, rest) = line.split_once(' ').unwrap();
        match first {
            "running" => drop(case.claims.begin(Claim::of(KEYSPACE, &merge(&case.levels, rest)))),
            "failed" => {
                let number = case.claims.begin(Claim::of(KEYSPACE, &merge(&case.levels, rest)));
                case.claims.end(number, Some(Failed { at_us: NOW_US, damage: None }));
            }
            "damaged" => {
                let (id, rest) = rest.split_once(": ").unwrap();
                let number = case.claims.begin(Claim::of(KEYSPACE, &merge(&case.levels, rest)));
                let table = Some(FileId(id.parse().unwrap()));
                let damage = Some(Damage { table, message: String::new() });
                case.claims.end(number, Some(Failed { at_us: NOW_US, damage }));
            }
            "snapshot" => case.oldest_snapshot = Some(Seqno(rest.parse().unwrap())),
            _ => {
                let level: usize = first[1..].parse().unwrap();
                case.levels[level] = rest.split_whitespace().map(|word| Arc::new(table(word))).collect();
            }
        }
    }
    case
}

fn show(pick: Option<Pick<Fake>>) -> String {
    let Some(pick) = pick else { return "nothing".to_owned() };
    let mut out = String::new();
    for (level, tables) in &pick.inputs {
        let ids: Vec<_> = tables.iter().map(|table| table.id.to_string()).collect();
        write!(out, "L{level} {} + ", ids.join(" ")).unwrap();
    }
    let how = if pick.is_move() { " (move)" } else { "" };
    format!("{}-> L{}{how}", out.trim_end_matches("+ "), pick.output_level)
}

/// Level 0 is due from 2 tables, and urgent from 6; the base level holds at most 20 bytes; deletions have 60 ms.
fn picked_at(text: &str, now_us: u64) -> String {
    let Case { levels, claims, oldest_snapshot } = case(text);
    let limits = Limits {
        l0_tables_trigger: 2,
        l0_tables_slowdown: 6,
        level1_bytes: 20,
        table_bytes: 10,
        tombstone_age_max_ms: Some(60),
    };
    let (keyspace, levels, claims) = (KEYSPACE, &levels, &claims);
    let view = View { keyspace, levels, limits, claims, oldest_snapshot, now_us, now_ms: 1000 };
    show(view.pick().map(|(_, pick)| pick))
}

fn picked(text: &str) -> String {
    picked_at(text, NOW_US)
}

#[test]
fn nothing_is_picked_while_all_is_within_its_limits() {
    assert_eq!(picked(""), "nothing");
    assert_eq!(picked("L0 9:a-z\nL6 1:a-c"), "nothing");
    assert_eq!(picked("L5 9:a-z*19\nL6 1:a-c*200"), "nothing");
}

#[test]
fn level_0_goes_into_the_base_level_with_all_that_it_overlaps() {
    assert_eq!(picked("L0 9:c-f 8:e-h\nL6 1:a-a*1 2:b-c*1 3:f-g*1 4:i-j*1"), "L0 9 8 + L6 2 3 -> L6");
    assert_eq!(picked("L0 9:c-f 8:e-h\nL6 1:a-z*200"), "L0 9 8 -> L5");
    assert_eq!(picked("L0 9:c-f 8:e-h\nL5 2:a-z*9\nL6 1:a-z*2000"), "L0 9 8 -> L4");
}

#[test]
fn tables_that_overlap_nothing_are_moved() {
    assert_eq!(picked("L0 9:a-b 8:c-d\nL6 1:x-z*200"), "L0 9 8 -> L5 (move)");
    assert_eq!(picked("L5 1:a-b*30\nL6 2:x-z*200"), "L5 1 -> L6 (move)");
    // Where its deletions can be carried out.
    assert_eq!(picked("L5 1:a-b*30!1\nL6 2:x-z*200"), "L5 1 -> L6");
    assert_eq!(picked("L4 1:a-b*30!1\nL6 2:x-z*2000"), "L4 1 -> L5 (move)");
}

#[test]
fn the_level_most_over_its_limit_goes_first() {
    let rest = "L5 1:a-c*30 2:d-f*30
                L6 3:a-b*5 4:g-z*195";
    assert_eq!(picked(&format!("L0 9:a-b 8:a-b\n{rest}")), "L5 2 -> L6 (move)");
    assert_eq!(picked(&format!("L0 9:a-b 8:a-b 7:a-b 6:a-b 5:a-b\n{rest}")), "L5 2 -> L6 (move)");
    // Writers are slowed down.
    let urgent = format!("L0 15:a-b 14:a-b 13:a-b 12:a-b 11:a-b 10:a-b\n{rest}");
    assert_eq!(picked(&urgent), "L0 15 14 13 12 11 10 + L5 1 -> L5");
}

#[test]
fn the_table_with_the_least_overlap_for_its_bytes_goes() {
    let lower = "L6 3:a-b*50 4:c-d*20 5:e-f*40 6:x-z*90";
    assert_eq!(picked(&format!("L5 1:a-c*15 2:d-f*15\n{lower}")), "L5 2 + L6 4 5 -> L6");
    assert_eq!(picked(&format!("L5 1:a-c*40 2:d-f*15\n{lower}")), "L5 1 + L6 3 4 -> L6");
}

#[test]
fn neighbours_that_overlap_nothing_more_go_along() {
    assert_eq!(picked("L5 1:c-c*12 2:d-f*12\nL6 5:c-f*40 6:x-z*160"), "L5 1 2 + L6 5 -> L6");
    assert_eq!(picked("L5 1:c-c*120 2:d-f*120\nL6 5:c-f*40 6:x-z*160"), "L5 1 + L6 5 -> L6");
}

#[test]
fn disjoint_merges_run_at_once() {
    let levels = "L5 1:a-c 2:d-f 3:g-i
                  L6 4:a-b*20 5:d-e*30 6:g-h*40 7:x-z*110";
    assert_eq!(picked(levels), "L5 1 + L6 4 -> L6");
    assert_eq!(picked(&format!("{levels}\nrunning 1 4 -> L6")), "L5 2 + L6 5 -> L6");
    // 20 bytes are leaving, and 20 are allowed: the level is not over its limit any more.
    assert_eq!(picked(&format!("{levels}\nrunning 1 4 -> L6\nrunning 2 5 -> L6")), "nothing");
}

#[test]
fn what_a_running_merge_reads_or_will_write_is_passed_over() {
    // Table 1 overlaps least, but a running merge reads what it overlaps, or writes there.
    let levels = "L4 1:a-c 2:d-f 7:x-z*20
                  L5 4:a-b*5 5:d-e*30 8:x-y*90
                  L6 9:b-b*50 10:p-q*1950";
    assert_eq!(picked(levels), "L4 1 + L5 4 -> L5");
    assert_eq!(picked(&format!("{levels}\nrunning 4 9 -> L6")), "L4 2 + L5 5 -> L5");
    let levels = "L0 6:b-c
                  L4 1:a-c 2:d-f 7:x-z*30
                  L6 10:p-q*2000";
    assert_eq!(picked(&format!("{levels}\nrunning 6 -> L5")), "L4 2 -> L5 (move)");
}

#[test]
fn level_0_is_merged_by_one_at_a_time() {
    assert_eq!(picked("L0 9:x-z 8:x-z 7:a-c 6:a-c\nrunning 6 7 -> L6"), "nothing");
}

/// Else merges out of the base level would follow each other, and level 0 would fill up meanwhile.
#[test]
fn the_base_level_waits_for_a_more_urgent_level_0_that_waits_for_it() {
    let deeper = "L4 1:a-c*15 2:d-f*15 3:g-i*15
                  L5 4:a-b
                  L6 10:p-q*2000
                  running 1 4 -> L5";
    assert_eq!(picked(&format!("L0 9:a-z 8:a-z\n{deeper}")), "L4 2 -> L5 (move)");
    assert_eq!(picked(&format!("L0 9:a-z 8:a-z 7:a-z 6:a-z\n{deeper}")), "nothing");
}

#[test]
fn a_merge_that_failed_rests_while_others_go_on() {
    let levels = "L5 1:a-c*30 2:d-f*30
                  L6 5:d-e*30 6:x-z*170
                  failed 1 -> L6";
    assert_eq!(picked(levels), "L5 2 + L6 5 -> L6");
    assert_eq!(picked_at(levels, NOW_US + 50_000), "L5 1 -> L6 (move)");
    // The second failure doubles the pause.
    let twice = format!("{levels}\nfailed 1 -> L6");
    assert_eq!(picked_at(&twice, NOW_US + 99_999), "L5 2 + L6 5 -> L6");
    assert_eq!(picked_at(&twice, NOW_US + 100_000), "L5 1 -> L6 (move)");
}

#[test]
fn a_damaged_table_stays_where_it_is_and_no_other() {
    let levels = "L5 1:a-c*30 2:d-f*30
                  L6 4:b-b*1 5:d-e*30 6:x-z*170
                  damaged 4: 1 2 4 5 -> L6";
    assert_eq!(picked(levels), "L5 2 + L6 5 -> L6");
    assert_eq!(picked_at(levels, NOW_US + 50_000), "L5 1 + L6 4 -> L6");
    // The fiftieth failure doubles no pause any more.
    let often = format!("{levels}{}", "\n damaged 4: 4 -> L6".repeat(50));
    assert_eq!(picked_at(&often, NOW_US + 3_599_999_999), "L5 2 + L6 5 -> L6");
    assert_eq!(picked_at(&often, NOW_US + 3_600_000_000), "L5 1 + L6 4 -> L6");
}

/// The base level does not wait for a level 0 that waits for an hour.
#[test]
fn the_base_level_goes_on_below_a_level_0_that_rests() {
    let tree = "L0 9:a-z 8:a-z 7:a-z 6:a-z
                L4 1:a-c*15 2:d-f*15
                L6 10:p-q*2000
                damaged 8: 9 8 7 6 1 2 -> L4";
    assert_eq!(picked(tree), "L4 1 -> L5 (move)");
}

/// It is 1000 ms, and deletions have 60.
#[test]
fn a_deletion_goes_down_when_its_time_in_a_level_is_over() {
    assert_eq!(picked("L0 9:a-b!1@961\nL6 1:a-z"), "nothing");
    assert_eq!(picked("L0 9:a-b!1@960\nL6 1:a-z"), "L0 9 + L6 1 -> L6");
    let sizes = "L5 4:a-b*1!1@957 5:c-d*1!1@956\nL6 1:a-z*200";
    assert_eq!(picked(sizes), "nothing");
    assert_eq!(picked(&sizes.replace("956", "955")), "L5 5 + L6 1 -> L6");
    // Before what is too big, unless writers are slowed down.
    let both = "L4 2:x-z*1!1@900\nL5 3:a-b*900\nL6 1:a-z*2000";
    assert_eq!(picked(both), "L4 2 -> L5");
    let top = "L0 15:a-b 14:a-b 13:a-b 12:a-b 11:a-b 10:a-b";
    assert_eq!(picked(&format!("{top}\n{both}")), "L0 15 14 13 12 11 10 -> L4");
}

#[test]
fn in_the_last_level_deletions_go_once_no_snapshot_needs_them() {
    for due in ["!1@900", "!5"] {
        let table = format!("L6 1:a-z*200{due}#50");
        assert_eq!(picked(&table), "L6 1 -> L6", "{due}");
        assert_eq!(picked(&format!("{table}\nsnapshot 49")), "nothing", "{due}");
        assert_eq!(picked(&format!("{table}\nsnapshot 50")), "L6 1 -> L6", "{due}");
        assert_eq!(picked(&format!("{table}\nrunning 1 -> L6")), "nothing", "{due}");
    }
}

#[test]
fn a_table_half_of_deletions_goes_down() {
    assert_eq!(picked("L5 1:a-b*1!4\nL6 2:a-z*200"), "nothing");
    assert_eq!(picked("L5 1:a-b*1!5\nL6 2:a-z*200"), "L5 1 + L6 2 -> L6");
    assert_eq!(picked("L5 1:a-b*1!5\nL6 2:x-z*200"), "L5 1 -> L6");
    assert_eq!(picked("L5 1:a-b*1!5#9\nL6 2:x-z*200\nsnapshot 8"), "nothing");
}

fn picked_range(text: &str, from: &str, to: &str) -> String {
    let bound = |key: &str| Bound::Included(key.as_bytes().to_vec());
    show(pick_range(&case(text).levels, &(bound(from), bound(to))))
}

#[test]
fn a_range_takes_with_it_what_it_must_not_pass() {
    let tree = "L0 9:e-k 8:a-b 7:j-m
                L5 4:a-c 5:d-f 6:n-p
                L6 1:a-b 2:c-l 3:m-z";
    assert_eq!(picked_range(tree, "a", "a"), "L0 8 + L5 4 + L6 1 2 -> L6");
    assert_eq!(picked_range(tree, "o", "o"), "L5 6 + L6 3 -> L6");
    // Table 7 is older than 9 and overlaps it.
    assert_eq!(picked_range(tree, "e", "e"), "L0 9 7 + L5 5 + L6 2 3 -> L6");
    assert_eq!(picked_range("L6 1:c-d", "a", "b"), "nothing");
    assert_eq!(picked_range("L6 1:c-d", "d", "d"), "L6 1 -> L6");
}
