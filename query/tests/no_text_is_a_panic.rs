//! The promise: whatever is typed, the session answers with rows or an error that points into the text.

mod common;

use common::{World, rows};
use proptest::prelude::*;

fn piece() -> impl Strategy<Value = String> {
    let words = [
        "SELECT ",
        "SELECT FROM ",
        "* ",
        "FROM ",
        "WHERE ",
        "objects ",
        "history ",
        "policies ",
        "t ",
        "stage ",
        "name ",
        "a ",
        "_id ",
        "= ",
        "> ",
        "IN (1, 'x', NULL) ",
        "BETWEEN 1 AND ",
        "LIKE 'o%' ",
        "CONTAINS ",
        "STARTSWITH ",
        "NOT ",
        "AND ",
        "'o' ",
        "1 ",
        "2.5 ",
        "-1 ",
        "NULL ",
        "x'00' ",
        "9223372036854775807 ",
        "( ",
        ") ",
        ", ",
        "; ",
        "ORDER BY ",
        "GROUP BY ",
        "LIMIT ",
        "INSERT INTO t ",
        "INSERT OR REPLACE INTO t (a) ",
        "VALUES ",
        "(1) ",
        "UPDATE t SET a = ",
        "UPDATE objects SET ",
        "DELETE FROM ",
        "pinned = true ",
        "rate = ",
        "GET ",
        "COUNT ",
        "TICK ",
        "FORCE ",
        "DRY RUN ",
        "PIN ",
        "HOLD 'o' REASON ",
        "EXPLAIN ",
        "DROP TABLE ",
        "CREATE TABLE ",
        "u ",
        "(a, b UNIQUE) ",
        "CASE WHEN ",
        "THEN ",
        "END ",
        "RETURNING ",
        "-- ",
        "\n",
        "é ",
        "?",
    ];
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    prop_oneof![20 => prop::sample::select(words), 1 => "\\PC{0,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_rows_or_an_error_inside_it(texts in prop::collection::vec(prop::collection::vec(piece(), 1..10), 8)) {
        let world = World::new();
        world.put("o", "An object. It has two sentences.");
        let mut session = world.session();
        session.query("CREATE TABLE t (a UNIQUE, name); INSERT INTO t VALUES (1, 'x'), (2, NULL)", &[]).unwrap();
        for text in texts {
            let text = text.concat();
            if let Err(error) = session.query(&text, &[])
                && let Some(caret) = error.caret()
            {
                prop_assert!(caret.line <= text.matches('\n').count() + 1, "{}: {}", text, error);
                prop_assert!(caret.column <= caret.excerpt.chars().count() + 1, "{}: {}", text, error);
            }
            let _ = patina_query::Session::is_complete(&text);
        }
        prop_assert_eq!(rows(&mut session, "SELECT 1"), ["1"]);
    }
}
