//! The promise: what an index can answer is not answered by a scan.
//!
//! Each query is checked twice: by the plan that EXPLAIN shows and by the rows that were read for it.

mod common;

use common::{World, one, rows};
use patina_query::Session;

fn world() -> World {
    let world = World::new();
    world.put_texts("old/", 6);
    world.after_days(400);
    world.put_texts("new/", 60);
    world
}

fn check(session: &mut Session, sql: &str, index: &str, rows_given: u64, rows_read: u64) {
    let plan = rows(session, &format!("EXPLAIN {sql}"));
    assert!(plan.iter().any(|line| line.contains(index)), "{sql}: {plan:?} has no {index}");
    let outcome = one(session, sql).outcome;
    assert_eq!((outcome.rows, outcome.rows_read), (rows_given, rows_read), "{sql}: rows given and read");
}

#[test]
fn objects_are_found_through_their_indexes() {
    let world = world();
    let mut session = world.session();
    let stage = one(&mut session, "SELECT DISTINCT stage FROM objects WHERE name STARTSWITH 'old/'").rows[0]
        [0]
    .clone();
    let stage = common::shown(&stage);
    assert_ne!(stage, "0", "the old objects have decayed");
    for (sql, index, given, read) in [
        (format!("SELECT FROM objects WHERE stage = {stage}"), "stage index (stage = ?)", 6, 6),
        (format!("SELECT FROM objects WHERE stage IN ({stage}, 4)"), "stage index (stage IN", 6, 6),
        (
            "SELECT FROM objects WHERE stage BETWEEN 1 AND 4".to_owned(),
            "stage index (stage >= ? AND stage <= ?)",
            6,
            6,
        ),
        (format!("SELECT FROM objects WHERE stage = '{stage}'"), "stage index", 6, 6),
        ("SELECT FROM objects WHERE name = 'new/0003.txt'".to_owned(), "name index (name = ?)", 1, 1),
        ("SELECT FROM objects WHERE name STARTSWITH 'old/'".to_owned(), "name index (name prefix)", 6, 6),
        ("SELECT FROM objects WHERE name LIKE 'OLD/%'".to_owned(), "name index (name LIKE ?)", 6, 6),
        ("SELECT FROM objects WHERE name GLOB 'old/*3.txt'".to_owned(), "name index (name prefix)", 1, 6),
        ("SELECT FROM objects WHERE id = 3".to_owned(), "primary key (id = ?)", 1, 1),
        ("SELECT FROM objects WHERE id IN (3, 5, 99999)".to_owned(), "primary key (id IN", 2, 2),
        ("SELECT FROM objects WHERE next_decay_at < 5".to_owned(), "due index (next_decay_at < ?)", 0, 0),
        (
            "SELECT FROM history WHERE object = 3 AND reason = 'put'".to_owned(),
            "object index (object = ?)",
            1,
            2,
        ),
        ("SELECT FROM objects WHERE size > 0".to_owned(), "SCAN objects", 66, 66),
    ] {
        if sql.contains("history") {
            let plan = rows(&mut session, &format!("EXPLAIN {sql}"));
            assert!(plan[0].contains(index), "{plan:?}");
            assert!(one(&mut session, &sql).outcome.rows_read < 10);
            continue;
        }
        check(&mut session, &sql, index, given, read);
    }
}

#[test]
fn a_stage_is_found_through_its_index_even_when_all_objects_are_in_it() {
    let world = World::new();
    world.put_texts("t/", 20);
    let mut session = world.session();
    check(&mut session, "SELECT FROM objects WHERE stage = 0", "stage index (stage = ?)", 20, 20);
    check(&mut session, "SELECT FROM objects WHERE stage = 2", "stage index (stage = ?)", 0, 0);
}

#[test]
fn the_plan_is_in_sqlites_own_explain_too() {
    let mut session = world().session();
    let plan = rows(&mut session, "EXPLAIN QUERY PLAN SELECT FROM objects WHERE stage = 2");
    assert_eq!(plan, ["SEARCH objects USING stage index (stage = ?)"]);
}

#[test]
fn a_pattern_that_ignores_case_still_finds_every_spelling() {
    let world = World::new();
    for name in ["Photos/1", "photos/2", "PHOTOS/3", "phones/4", "PH"] {
        world.put(name, name);
    }
    let mut session = world.session();
    assert_eq!(
        rows(&mut session, "SELECT name FROM objects WHERE name LIKE 'photos/%' ORDER BY name"),
        ["PHOTOS/3", "Photos/1", "photos/2"]
    );
    assert_eq!(
        rows(&mut session, "SELECT name FROM objects WHERE name = 'PHOTOS/3' COLLATE NOCASE"),
        ["PHOTOS/3"]
    );
    assert_eq!(
        rows(&mut session, "SELECT count(*) FROM objects WHERE name = 'photos/1' COLLATE NOCASE"),
        ["1"]
    );
}

#[test]
fn user_tables_are_read_by_key() {
    let world = World::new();
    let mut session = world.session();
    one(&mut session, "CREATE TABLE t (a, email TEXT UNIQUE)");
    one(
        &mut session,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) \
         INSERT INTO t (a, email) SELECT i, 'm' || i FROM n",
    );
    check(&mut session, "SELECT FROM t WHERE _id = 7", "primary key (_id = ?)", 1, 1);
    check(&mut session, "SELECT FROM t WHERE rowid = 7", "primary key (_id = ?)", 1, 1);
    check(
        &mut session,
        "SELECT FROM t WHERE _id BETWEEN 5 AND 9",
        "primary key (_id >= ? AND _id <= ?)",
        5,
        5,
    );
    check(&mut session, "SELECT FROM t WHERE _id > 490.5", "primary key (_id > ?)", 10, 10);
    check(&mut session, "SELECT FROM t WHERE _id IN (3, 1, 3)", "primary key (_id IN", 2, 2);
    check(&mut session, "SELECT FROM t WHERE email = 'm9'", "unique key (email = ?)", 1, 1);
    check(&mut session, "SELECT FROM t WHERE a = 9", "SCAN t", 1, 500);
    assert_eq!(rows(&mut session, "SELECT a FROM t WHERE email = 'M9' COLLATE NOCASE"), ["9"]);
}

#[test]
fn a_limit_stops_the_scan() {
    let world = world();
    let mut session = world.session();
    let outcome = one(&mut session, "SELECT FROM objects LIMIT 3").outcome;
    assert_eq!(outcome.rows, 3);
    assert!(outcome.rows_read <= 4, "{} rows were read for three", outcome.rows_read);
    let outcome = one(&mut session, "SELECT FROM objects ORDER BY id LIMIT 3 OFFSET 2").outcome;
    assert!(outcome.rows_read <= 6, "{} rows were read for five in order", outcome.rows_read);
}
