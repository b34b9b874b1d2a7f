//! The promise: after the power went at any moment, each statement is wholly there or wholly not, every acknowledged
//! one is there, and the unique keys agree with the rows.

mod common;

use std::sync::Arc;

use common::{START_MS, World, one, rows};
use patina_objects::{ManualClock, Timestamp};
use patina_query::Session;

const ROWS_A_STATEMENT: i64 = 3;

/// Inserts three rows a statement until one fails; gives how many statements were acknowledged.
fn insert_until_failure(session: &mut Session) -> i64 {
    for number in 0..20 {
        let (a, b, c) = (number * 3, number * 3 + 1, number * 3 + 2);
        if session.query(&format!("INSERT INTO t VALUES ('k{a}'), ('k{b}'), ('k{c}')"), &[]).is_err() {
            return number;
        }
    }
    20
}

#[test]
fn every_statement_is_wholly_there_or_not_at_all() {
    let mut failed = 0;
    for calls in 0..50 {
        let world = World::new();
        let mut session = world.session();
        one(&mut session, "CREATE TABLE t (k TEXT UNIQUE)");
        world.vfs.fail_after(calls);
        let acknowledged = insert_until_failure(&mut session);
        failed += i64::from(acknowledged < 20);
        let after = World::open(Arc::new(world.vfs.crash()), ManualClock::new(Timestamp(START_MS)));
        let mut session = after.session();
        let count: i64 = rows(&mut session, "SELECT count(*) FROM t")[0].parse().unwrap();
        assert_eq!(count % ROWS_A_STATEMENT, 0, "part of a statement is there after {calls} calls");
        assert!(
            count >= acknowledged * ROWS_A_STATEMENT,
            "{count} rows of {acknowledged} statements after {calls} calls"
        );
        for number in 0..count {
            let found = one(&mut session, &format!("SELECT _id FROM t WHERE k = 'k{number}'"));
            assert_eq!(
                (found.outcome.rows, found.outcome.rows_read),
                (1, 1),
                "k{number} is not under its key"
            );
        }
        assert!(
            session.query(&format!("INSERT INTO t VALUES ('k{count}')"), &[]).is_ok(),
            "a key has no row"
        );
        assert_eq!(rows(&mut session, "SELECT count(DISTINCT _id) = count(*) FROM t"), ["1"]);
    }
    assert!(failed > 10, "the failures came too late to matter");
}

#[test]
fn a_drop_that_was_interrupted_is_finished() {
    for calls in 0..12 {
        let world = World::new();
        let mut session = world.session();
        one(&mut session, "CREATE TABLE t (k TEXT UNIQUE)");
        insert_until_failure(&mut session);
        world.vfs.fail_after(calls);
        let dropped = session.query("DROP TABLE t", &[]).is_ok();
        let after = World::open(Arc::new(world.vfs.crash()), ManualClock::new(Timestamp(START_MS)));
        let mut session = after.session();
        let there = session.query("SELECT count(*) FROM t", &[]).is_ok();
        assert!(!(dropped && there), "an acknowledged drop came back after {calls} calls");
        if !there {
            one(&mut session, "CREATE TABLE t (k TEXT UNIQUE)");
            one(&mut session, "INSERT INTO t VALUES ('k1')");
            assert_eq!(rows(&mut session, "SELECT _id, k FROM t"), ["1|k1"]);
            let db = after.store.db();
            for name in ["sql_rows", "sql_keys"] {
                let keyspace = db.keyspace(name, Default::default()).unwrap();
                assert_eq!(keyspace.range(..).count(), 1, "rows of the dropped table are left in {name}");
            }
        }
    }
}
