//! The promise: an index never changes an answer.
//!
//! Two tables hold the same rows, one with indexes and one without; each condition is asked of both.

mod common;

use common::{World, one, rows};

const VALUES: [&str; 20] = [
    "NULL",
    "1",
    "5",
    "-1",
    "5.5",
    "'5'",
    "'05'",
    "' 5 '",
    "'5.0'",
    "'5.5'",
    "'abc'",
    "'nan'",
    "'-inf'",
    "''",
    "x'35'",
    "100000000000000000",
    "1e17",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775808.0",
];

#[test]
fn whatever_the_types_on_both_sides() {
    let world = World::new();
    let mut session = world.session();
    for definition in [
        "CREATE TABLE indexed (id INTEGER PRIMARY KEY, t TEXT UNIQUE, n INTEGER UNIQUE, r REAL UNIQUE, b UNIQUE)",
        "CREATE TABLE plain (id INTEGER, t TEXT, n INTEGER, r REAL, b)",
        "CREATE TABLE other (k, t TEXT, n INTEGER, r REAL, b)",
    ] {
        one(&mut session, definition);
    }
    for value in VALUES {
        let all = [value; 4].join(", ");
        one(&mut session, &format!("INSERT OR IGNORE INTO indexed (t, n, r, b) VALUES ({all})"));
        one(&mut session, &format!("INSERT OR IGNORE INTO indexed (t, b) VALUES ({value}, {value})"));
        one(&mut session, &format!("INSERT INTO other VALUES (0, {all})"));
    }
    one(&mut session, "INSERT INTO plain SELECT id, t, n, r, b FROM indexed");
    let mut check = |sql: &str| {
        let found = rows(&mut session, &sql.replace("$", "indexed"));
        let expected = rows(&mut session, &sql.replace("$", "plain"));
        assert_eq!(found, expected, "{sql}");
    };
    for column in ["id", "t", "n", "r", "b"] {
        for value in VALUES {
            for operator in ["=", "<", "<=", ">", ">=", "IS"] {
                check(&format!("SELECT id FROM $ WHERE {column} {operator} {value} ORDER BY id"));
            }
            check(&format!("SELECT id FROM $ WHERE {column} IN ({value}, 5.5, 'x') ORDER BY id DESC"));
        }
        for other in ["t", "n", "r", "b"] {
            for operator in ["=", "<", ">="] {
                check(&format!(
                    "SELECT o._id, i.id FROM other o LEFT JOIN $ i ON i.{column} {operator} o.{other} ORDER BY 1, 2"
                ));
            }
            check(&format!("SELECT id FROM $ WHERE {column} IN (SELECT {other} FROM other) ORDER BY id"));
        }
    }
}

#[test]
fn for_names_that_read_as_numbers() {
    let world = World::new();
    for name in ["5", "05", "5.0", "1.5", "x"] {
        world.put(name, name);
    }
    let mut session = world.session();
    one(&mut session, "CREATE TABLE numbers (n INTEGER, r REAL)");
    one(&mut session, "INSERT INTO numbers VALUES (5, 1.5)");
    for (condition, expected) in [
        ("name = 5", "5"),
        ("name IN (5, 'x')", "5,x"),
        ("name IN (1.5)", "1.5"),
        ("name = (SELECT n FROM numbers)", "05,5,5.0"),
        ("name IN (SELECT n FROM numbers)", "05,5,5.0"),
        ("name IN (SELECT r FROM numbers)", "1.5"),
        ("EXISTS (SELECT 1 FROM numbers WHERE n = name)", "05,5,5.0"),
    ] {
        let sql = format!(
            "SELECT group_concat(name) FROM (SELECT name FROM objects WHERE {condition} ORDER BY name)"
        );
        assert_eq!(rows(&mut session, &sql), [expected], "{condition}");
    }
    let joined = "SELECT o.name FROM numbers CROSS JOIN objects o ON o.name = numbers.n ORDER BY o.name";
    assert_eq!(rows(&mut session, joined), ["05", "5", "5.0"]);
}
