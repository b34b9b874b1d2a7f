//! The promise: what is salvaged of damaged tables agrees with itself. Each row is found under its unique keys, no key is without its row, no two
//! rows have one, no row has a value that was never there, and what is added afterwards gets numbers of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{START_MS, one, rows};
use patina_objects::{ManualClock, ObjectStore, StoreOptions, Timestamp};
use patina_query::{Session, SessionOptions, TableMendReport, mend_tables};
use patina_storage::{Db, Keyspace, MemVfs, Options, Vfs};

const ROWS: i64 = 60;

/// Small blocks: what is damaged takes some rows away, and not all.
fn options() -> Options {
    Options { block_bytes: 256, background_threads: 0, ..Options::default() }
}

fn open(vfs: &MemVfs, dir: &str) -> Db {
    Db::open_with(Arc::new(vfs.clone()), Path::new(dir), options()).unwrap()
}

fn session(db: &Db) -> Session {
    let clock = Arc::new(ManualClock::new(Timestamp(START_MS)));
    let store = ObjectStore::open(db.clone(), clock, StoreOptions::default()).unwrap();
    Session::open(store, SessionOptions::default()).unwrap()
}

fn keyspace(db: &Db, name: &str) -> Keyspace {
    db.keyspace(name, Default::default()).unwrap()
}

/// Two tables, with rows that were changed, deleted and put again.
fn filled(vfs: &MemVfs) -> Db {
    let db = open(vfs, "db");
    let mut session = session(&db);
    one(&mut session, "CREATE TABLE people (name TEXT UNIQUE, age INTEGER)");
    one(&mut session, "CREATE TABLE pairs (a, b, UNIQUE (a, b))");
    for n in 0..ROWS {
        one(&mut session, &format!("INSERT INTO people VALUES ('name{n}', {n})"));
        one(&mut session, &format!("INSERT INTO pairs VALUES ({}, 'b{n}')", n % 7));
    }
    db.compact().unwrap();
    // These are in tables of their own, above what they replace.
    one(&mut session, "DELETE FROM people WHERE _id BETWEEN 10 AND 19");
    one(&mut session, "INSERT INTO people VALUES ('name12', 12), ('name13', 13)");
    one(&mut session, "UPDATE people SET name = 'new' || name WHERE _id BETWEEN 30 AND 35");
    one(&mut session, "INSERT INTO people VALUES ('name30', 30)");
    db.flush().unwrap();
    drop(session);
    db
}

/// Whether this is a row that `people` has had.
fn was_there(name: &str, age: i64) -> bool {
    name == format!("name{age}") || (name == format!("newname{age}") && (29..35).contains(&age))
}

/// Looks at all that is there, then adds a row to each table.
fn check(db: &Db, case: &str) {
    let mut session = session(db);
    let tables = rows(&mut session, "SELECT name FROM tables WHERE name IN ('people', 'pairs')");
    let mut keys = 0;
    if tables.contains(&"people".to_owned()) {
        let people = rows(&mut session, "SELECT _id, name, age FROM people");
        for row in &people {
            let [id, name, age] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{case}: {row}") };
            assert!(was_there(name, age.parse().unwrap()), "{case}: {row}");
            let found = one(&mut session, &format!("SELECT _id FROM people WHERE name = '{name}'"));
            let line: Vec<String> = found.rows.iter().map(|row| common::line(row)).collect();
            assert_eq!((&line[..], found.outcome.rows_read), (&[id.to_owned()][..], 1), "{case}: {name}");
            let again = session.query(&format!("INSERT INTO people VALUES ('{name}', 0)"), &[]);
            assert!(again.is_err(), "{case}: {name} is there twice");
        }
        keys += people.len();
        one(&mut session, "INSERT INTO people VALUES ('somebody else', 1)");
        keys += 1;
    }
    if tables.contains(&"pairs".to_owned()) {
        let pairs = rows(&mut session, "SELECT a, b FROM pairs");
        let mut distinct = pairs.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), pairs.len(), "{case}");
        keys += pairs.len();
        one(&mut session, "INSERT INTO pairs VALUES (99, 'somebody else')");
        keys += 1;
    }
    assert_eq!(keyspace(db, "sql_keys").range(..).count(), keys, "{case}: keys without rows");
    // A table of its own number.
    let made = session.query("CREATE TABLE late (k UNIQUE)", &[]);
    assert!(made.is_ok(), "{case}: {:?}", made.err());
    assert_eq!(rows(&mut session, "SELECT count(*) FROM late"), ["0"], "{case}");
    one(&mut session, "INSERT INTO late VALUES (1)");
}

fn mended(db: &Db) -> TableMendReport {
    mend_tables(db).unwrap().unwrap()
}

#[test]
fn whatever_byte_is_damaged() {
    let vfs = MemVfs::new();
    filled(&vfs).close().unwrap();
    let mut files: Vec<_> = vfs.list(Path::new("db")).unwrap();
    files.retain(|name| !["LOCK", "BALLAST"].contains(&&name[..]));
    files.sort();
    let step = if std::env::var_os("PATINA_LONG_TESTS").is_some() { 7 } else { 397 };
    let (mut tried, mut entries, mut lost) = (0, 0, 0);
    for name in files {
        let path = Path::new("db").join(&name);
        for at in (0..vfs.bytes(&path).unwrap().len()).step_by(step) {
            let damaged = vfs.kill();
            damaged.damage(&path, |bytes| bytes[at] ^= 1).unwrap();
            let case = format!("{name} at {at}");
            let salvaged = Db::salvage(Arc::new(damaged.clone()), Path::new("db"), Path::new("copy"), |_| {});
            salvaged.unwrap_or_else(|error| panic!("{case}: {error}"));
            let db = open(&damaged, "copy");
            let report = mend_tables(&db).unwrap().unwrap_or_default();
            (tried, entries, lost) = (tried + 1, entries + report.entries, lost + report.rows_lost_total);
            check(&db, &case);
        }
    }
    println!(
        "{tried} databases with one flipped bit: {entries} keys and counters mended, {lost} rows that had come back removed"
    );
    assert!(tried > 20 && entries > 0, "{tried} {entries}");
}

#[test]
fn what_is_whole_stays_as_it_is() {
    let db = filled(&MemVfs::new());
    let before = ["sql_catalogue", "sql_rows", "sql_keys"].map(|name| keyspace(&db, name).range(..).count());
    let report = mended(&db);
    assert_eq!((report.tables, report.rows, report.entries), (2, 2 * ROWS as u64 - 10 + 3, 0), "{report:?}");
    assert!(report.is_whole());
    let after = ["sql_catalogue", "sql_rows", "sql_keys"].map(|name| keyspace(&db, name).range(..).count());
    assert_eq!(before, after);
    check(&db, "whole");
}

#[test]
fn a_row_that_came_back_makes_way_for_the_one_that_has_its_key() {
    let db = filled(&MemVfs::new());
    let rows_space = keyspace(&db, "sql_rows");
    let first = rows_space.range(..).next().unwrap().unwrap();
    // The row of 'name5' under a number that was deleted.
    let key = [&first.key()[..4], &((1u64 << 63) + 15).to_be_bytes()].concat();
    let name5 = [&first.key()[..4], &((1u64 << 63) + 6).to_be_bytes()].concat();
    rows_space.put(key, rows_space.get(&name5).unwrap().unwrap()).unwrap();
    let report = mended(&db);
    assert_eq!((report.rows_lost_total, &report.rows_lost[..]), (1, &["people 15".to_owned()][..]));
    check(&db, "a row came back");
}

#[test]
fn counters_and_definitions_that_are_lost_are_made_anew() {
    let db = filled(&MemVfs::new());
    let catalogue = keyspace(&db, "sql_catalogue");
    let definition = catalogue.prefix(b"t").next().unwrap().unwrap().key().clone();
    assert!(definition.ends_with(b"pairs"));
    for key in [definition.clone(), b"n".to_vec().into(), b"v".to_vec().into()] {
        catalogue.delete(key).unwrap();
    }
    for entry in catalogue.prefix(b"s") {
        catalogue.delete(entry.unwrap().key().clone()).unwrap();
    }
    let report = mended(&db);
    assert_eq!(report.unnamed, ["salvaged_2"]);
    assert!(!report.is_whole());
    let mut session = session(&db);
    assert_eq!(rows(&mut session, "SELECT count(*), min(c1), max(c1) FROM salvaged_2"), ["60|0|6"]);
    one(&mut session, "INSERT INTO salvaged_2 VALUES (7, 'more')");
    assert_eq!(rows(&mut session, "SELECT max(_id) FROM salvaged_2"), ["61"]);
    drop(session);
    check(&db, "counters lost");
}

#[test]
fn nothing_of_a_table_that_was_dropped_comes_back() {
    let db = filled(&MemVfs::new());
    let catalogue = keyspace(&db, "sql_catalogue");
    let definition = catalogue.prefix(b"t").next().unwrap().unwrap();
    let value = definition.value().unwrap();
    one(&mut session(&db), "DROP TABLE pairs");
    catalogue.put(definition.key().clone(), value).unwrap();
    // As a crash leaves it between the drop and the removal of its rows.
    catalogue.put([b"d".to_vec(), 2u32.to_be_bytes().to_vec()].concat(), Vec::new()).unwrap();
    let report = mended(&db);
    assert_eq!((report.tables, report.is_whole()), (1, true));
    check(&db, "dropped");
}

#[test]
fn a_database_without_tables_is_left_alone() {
    let db = open(&MemVfs::new(), "db");
    keyspace(&db, "mine").put("key", "value").unwrap();
    assert_eq!(mend_tables(&db).unwrap(), None);
    assert_eq!(db.keyspaces(), ["mine"]);
}
