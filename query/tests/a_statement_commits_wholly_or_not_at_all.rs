//! The promise: a statement's changes are all there or none, also beside other sessions and after a crash.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use common::{World, failure, one, rows};
use patina_query::{Column, ErrorKind, Outcome, Session, SessionOptions, Sink, Value};

#[test]
fn a_row_that_is_refused_takes_its_whole_statement_with_it() {
    let world = World::new();
    let mut session = world.session();
    one(&mut session, "CREATE TABLE t (a UNIQUE)");
    let error = failure(&mut session, "INSERT INTO t VALUES (1), (2), (1)");
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert_eq!(rows(&mut session, "SELECT count(*) FROM t"), ["0"]);
    one(&mut session, "INSERT INTO t VALUES (1), (2), (3)");
    failure(&mut session, "UPDATE t SET a = 9");
    assert_eq!(rows(&mut session, "SELECT a FROM t"), ["1", "2", "3"]);
    assert_eq!(rows(&mut session, "SELECT _id FROM t"), ["1", "2", "3"], "a failed statement uses up no _id");
}

#[test]
fn what_is_committed_survives_a_crash_and_the_rest_is_gone() {
    let world = World::new();
    let mut session = world.session();
    one(&mut session, "CREATE TABLE t (a)");
    one(&mut session, "INSERT INTO t VALUES (1), (2)");
    failure(&mut session, "INSERT INTO t VALUES (3), (abs(-9223372036854775808))");
    drop(session);
    let world = world.reopen();
    assert_eq!(rows(&mut world.session(), "SELECT a FROM t"), ["1", "2"]);
}

#[test]
fn sessions_see_each_others_tables_and_rows() {
    let world = World::new();
    let (mut first, mut second) = (world.session(), world.session());
    one(&mut first, "CREATE TABLE t (a)");
    one(&mut second, "INSERT INTO t VALUES (1)");
    assert_eq!(rows(&mut first, "SELECT a FROM t"), ["1"]);
    one(&mut first, "DROP TABLE t");
    assert_eq!(failure(&mut second, "SELECT FROM t").kind(), ErrorKind::NotFound);
    one(&mut first, "CREATE TABLE t (b)");
    assert_eq!(rows(&mut second, "SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn sessions_that_write_at_once_lose_nothing_and_repeat_no_id() {
    let world = World::new();
    one(&mut world.session(), "CREATE TABLE t (a)");
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let store = world.store.clone();
            std::thread::spawn(move || {
                let mut session = Session::open(store, SessionOptions::default()).unwrap();
                let mut done = 0;
                for number in 0..50 {
                    let sql = format!("INSERT INTO t VALUES ({writer}{number:02})");
                    match session.query(&sql, &[]) {
                        Ok(_) => done += 1,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
                    }
                }
                done
            })
        })
        .collect();
    let done: i64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    assert!(done > 50, "most of the writes get through");
    let mut session = world.session();
    assert_eq!(
        rows(&mut session, "SELECT count(*), count(DISTINCT _id), count(DISTINCT a) FROM t"),
        [format!("{done}|{done}|{done}")]
    );
}

#[test]
fn a_statement_reads_what_was_there_when_it_began() {
    let world = World::new();
    let mut session = world.session();
    one(&mut session, "CREATE TABLE t (a)");
    one(&mut session, "INSERT INTO t VALUES (1), (2), (3)");
    // Reading the table it writes does not go on for ever.
    one(&mut session, "INSERT INTO t SELECT a + 10 FROM t");
    assert_eq!(rows(&mut session, "SELECT count(*) FROM t"), ["6"]);
    one(&mut session, "UPDATE t SET _id = _id + 100");
    assert_eq!(rows(&mut session, "SELECT min(_id), max(_id), count(*) FROM t"), ["101|106|6"]);
}

#[test]
fn a_statement_larger_than_its_limit_is_refused() {
    let world = World::new();
    let options = SessionOptions { statement_bytes_max: 10_000, ..SessionOptions::default() };
    let mut session = Session::open(world.store.clone(), options).unwrap();
    one(&mut session, "CREATE TABLE t (a)");
    let error = failure(
        &mut session,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) INSERT INTO t SELECT i FROM n",
    );
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(rows(&mut session, "SELECT count(*) FROM t"), ["0"]);
}

/// Interrupts as soon as the first row arrives, or stops.
struct AtFirstRow {
    interrupt: Option<patina_query::InterruptHandle>,
    rows: u64,
}

impl Sink for AtFirstRow {
    fn begin(&mut self, _columns: &[Column]) {}

    fn row(&mut self, _row: &[Value]) -> ControlFlow<()> {
        self.rows += 1;
        match &self.interrupt {
            Some(interrupt) => {
                interrupt.interrupt();
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }

    fn end(&mut self, _outcome: Outcome) {}
}

#[test]
fn an_interrupt_stops_a_query_and_the_session_goes_on() {
    let world = World::new();
    let mut session = world.session();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let mut sink = AtFirstRow { interrupt: Some(session.interrupt_handle()), rows: 0 };
    let error = session.execute(endless, &[], &mut sink).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(sink.rows < 100_000);
    assert_eq!(rows(&mut session, "SELECT 1"), ["1"]);

    let mut sink = AtFirstRow { interrupt: None, rows: 0 };
    session.execute(endless, &[], &mut sink).unwrap();
    assert_eq!(sink.rows, 1, "a sink can stop the rows");
}

#[test]
fn an_interrupted_write_changes_nothing() {
    let world = World::new();
    let mut session = world.session();
    one(&mut session, "CREATE TABLE t (a)");
    let interrupt = session.interrupt_handle();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        interrupt.interrupt();
    });
    let error = failure(
        &mut session,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t SELECT i FROM n WHERE i % 1000 = 0",
    );
    stopper.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(rows(&mut session, "SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn parameters_are_bound_statement_by_statement() {
    let world = World::new();
    let mut session = world.session();
    let params = ["x".into(), Value::Integer(2), Value::Null];
    let results = session.query("SELECT ?, ?; SELECT ?1 IS NULL", &params).unwrap();
    assert_eq!(results[0].rows, [["x".into(), Value::Integer(2)]]);
    assert_eq!(results[1].rows, [[Value::Integer(1)]]);
    assert_eq!(session.query("SELECT ?", &[]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(session.query("SELECT 1", &params).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_session_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let world = World::new();
    let session = world.session();
    is_send(&session);
    let moved = std::thread::spawn(move || {
        let mut session = session;
        rows(&mut session, "SELECT 1")
    });
    assert_eq!(moved.join().unwrap(), ["1"]);
    drop(Arc::clone(&world.vfs));
}

#[test]
fn a_tenant_sees_only_its_own() {
    let world = World::new();
    world.put("mine", "mine");
    one(&mut world.session(), "CREATE TABLE t (a)");
    let options = SessionOptions { tenant: "other".to_owned(), ..SessionOptions::default() };
    let mut other = Session::open(world.store.clone(), options).unwrap();
    assert_eq!(rows(&mut other, "SELECT count(*) FROM objects"), ["0"]);
    assert_eq!(rows(&mut other, "SELECT count(*) FROM history"), ["0"]);
    one(&mut other, "CREATE TABLE t (b)");
    assert_eq!(rows(&mut other, "SELECT name FROM columns WHERE table_name = 't'"), ["b"]);
}
