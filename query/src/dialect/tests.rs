use proptest::prelude::*;

use super::*;

fn rewritten(sql: &str) -> String {
    let statements = split(sql);
    let texts = statements.iter().map(|statement| match parse(sql, statement) {
        Ok(Parsed::Sql(sql)) => sql.rewritten.text.trim().to_owned(),
        Ok(Parsed::Command(command)) => format!("{command:?}"),
        Err(error) => format!("error: {}", error.message),
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn short_forms_become_sql() {
    for (typed, expected) in [
        ("select from t where a = 1", "select * from t where a = 1"),
        ("SELECT DISTINCT FROM t", "SELECT DISTINCT * FROM t"),
        ("SELECT /* all */ FROM t", "SELECT * /* all */ FROM t"),
        ("SELECT a FROM (SELECT FROM t)", "SELECT a FROM (SELECT * FROM t)"),
        ("TABLES", "SELECT * FROM tables"),
        ("count users where age > 3", "SELECT count(*) AS count FROM users where age > 3"),
        ("GET users _id 1", "SELECT _id, * FROM users WHERE _id =  1"),
        ("GET users 1", "SELECT _id, * FROM users WHERE rowid =  1"),
        ("GET users email = 'a'", "SELECT _id, * FROM users WHERE email = 'a'"),
        ("GET objects 'a b'", "SELECT * FROM objects WHERE name =  'a b'"),
        ("GET objects 7", "SELECT * FROM objects WHERE rowid =  7"),
        ("EXPLAIN SELECT 1", "EXPLAIN QUERY PLAN SELECT 1"),
        ("EXPLAIN QUERY PLAN SELECT 1", "EXPLAIN QUERY PLAN SELECT 1"),
    ] {
        assert_eq!(rewritten(typed), expected, "{typed}");
    }
}

#[test]
fn infix_operators_take_the_operand_that_like_would_take() {
    for (typed, expected) in [
        ("SELECT a CONTAINS 'x'", "SELECT a GLOB contains_pattern( 'x')"),
        ("SELECT a STARTSWITH b || 'x' AND c", "SELECT a GLOB prefix_pattern( b || 'x') AND c"),
        ("SELECT a ENDSWITH -b + 1 OR c", "SELECT a GLOB suffix_pattern( -b + 1) OR c"),
        (
            "SELECT * FROM t WHERE contains CONTAINS 'x'",
            "SELECT * FROM t WHERE contains GLOB contains_pattern( 'x')",
        ),
        (
            "SELECT t.contains NOT CONTAINS 'x', contains NOT STARTSWITH 'y'",
            "SELECT t.contains NOT GLOB contains_pattern( 'x'), contains NOT GLOB prefix_pattern( 'y')",
        ),
        ("SELECT NOT a CONTAINS 'x'", "SELECT NOT a GLOB contains_pattern( 'x')"),
        ("SELECT a NOT CONTAINS 'x' = b", "SELECT a NOT GLOB contains_pattern( 'x') = b"),
        (
            "SELECT a CONTAINS (b CONTAINS 'x') AND c",
            "SELECT a GLOB contains_pattern( (b GLOB contains_pattern( 'x'))) AND c",
        ),
        (
            "SELECT a CONTAINS CASE WHEN b THEN 'END' ELSE 'y' END OR c",
            "SELECT a GLOB contains_pattern( CASE WHEN b THEN 'END' ELSE 'y' END) OR c",
        ),
        (
            "SELECT a CONTAINS lower(t.b) COLLATE NOCASE, c",
            "SELECT a GLOB contains_pattern( lower(t.b) COLLATE NOCASE), c",
        ),
    ] {
        assert_eq!(rewritten(typed), expected, "{typed}");
    }
}

#[test]
fn names_and_literals_that_look_like_keywords_are_left_alone() {
    for untouched in [
        "SELECT 'a CONTAINS b; SELECT FROM t' FROM t",
        "SELECT \"SELECT FROM\" FROM \"a CONTAINS b\"",
        "SELECT contains FROM t WHERE contains = 1",
        "SELECT a contains FROM t",
        "SELECT [x STARTSWITH y], `SELECT FROM` FROM t -- SELECT FROM",
        "SELECT x'00ff', 1e-5, :name, ?1 FROM t",
        "SELECT a != b, a <> b FROM t",
    ] {
        assert_eq!(rewritten(untouched), untouched);
    }
}

#[test]
fn commands_are_read_in_any_case() {
    for (typed, expected) in [
        ("tick", "Tick { force: false, dry_run: false, confirm_clock: false }"),
        ("Tick Force", "Tick { force: true, dry_run: false, confirm_clock: false }"),
        ("EXPLAIN decay 'a'", "ExplainDecay { object: \"a\" }"),
        ("tick confirm clock", "Tick { force: false, dry_run: false, confirm_clock: true }"),
        ("TICK DRY RUN", "Tick { force: false, dry_run: true, confirm_clock: false }"),
        ("hold 'a' reason 'it''s'", "Hold { object: \"a\", reason: \"it's\", duration: None }"),
        ("RELEASE 'a'", "Release { object: \"a\", hold: None }"),
        ("UNPIN \"a b\"", "Pin { object: \"a b\", pinned: false }"),
        ("DROP POLICY IF EXISTS p", "DropPolicy { name: \"p\", if_exists: true }"),
        ("TICK NOW", "error: expected FORCE, DRY RUN, CONFIRM CLOCK or the end, found NOW"),
        ("HOLD 'a'", "error: expected REASON"),
        ("CREATE POLICY p (warm_after '7 days')", "error: expected =, found '7 days'"),
        (
            "CREATE POLICY p (warm_after = )",
            "error: expected a value: text in quotes, a number, true, false or NULL, found )",
        ),
        ("SELECT a CONTAINS", "error: expected a value after CONTAINS"),
        ("SELECT 'abc", "error: this text is never closed: expected '"),
    ] {
        assert_eq!(rewritten(typed), expected, "{typed}");
    }
}

#[test]
fn several_statements_a_line_are_cut_at_semicolons_only() {
    let sql = "SELECT ';' ; ; TABLES;-- end;\nCOUNT t";
    assert_eq!(rewritten(sql), "SELECT ';'\nSELECT * FROM tables\nSELECT count(*) AS count FROM t");
}

#[test]
fn offsets_lead_back_to_what_was_typed() {
    let sql = "SELECT FROM t WHERE a CONTAINS 'x' AND nope";
    let Ok(Parsed::Sql(parsed)) = parse(sql, &split(sql)[0]) else { panic!("not SQL") };
    for word in ["FROM", "WHERE", "'x'", "nope"] {
        let rewritten = parsed.rewritten.text.find(word).unwrap();
        assert_eq!(parsed.rewritten.map.source(rewritten), sql.find(word).unwrap(), "{word}");
    }
}

#[test]
fn insert_columns_are_seen() {
    for (sql, expected) in [
        ("INSERT INTO t (a, \"B c\") VALUES (1, 2)", Some(vec!["a", "b c"])),
        ("WITH x AS (SELECT 1) INSERT INTO t(a) SELECT * FROM x", Some(vec!["a"])),
        ("INSERT OR REPLACE INTO main.t AS u (a) VALUES (1)", Some(vec!["a"])),
        ("INSERT INTO t VALUES (1)", None),
        ("INSERT INTO t DEFAULT VALUES", Some(vec![])),
    ] {
        let Ok(Parsed::Sql(parsed)) = parse(sql, &split(sql)[0]) else { panic!("not SQL: {sql}") };
        let expected: Option<Vec<String>> =
            expected.map(|names| names.into_iter().map(str::to_owned).collect());
        assert_eq!(parsed.insert_columns, expected, "{sql}");
    }
}

/// Text made of the pieces the rewriter cares about, and of arbitrary characters.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("SELECT ".to_owned()),
        Just("FROM ".to_owned()),
        Just(" CONTAINS ".to_owned()),
        Just(" NOT STARTSWITH ".to_owned()),
        Just("CASE WHEN ".to_owned()),
        Just(" END ".to_owned()),
        Just("GET t ".to_owned()),
        Just("(".to_owned()),
        Just(")".to_owned()),
        Just("'".to_owned()),
        Just("\"a\"".to_owned()),
        Just(" a.b ".to_owned()),
        Just(";".to_owned()),
        Just("/*".to_owned()),
        Just("-- ".to_owned()),
        Just("\n".to_owned()),
        Just(" = 1 ".to_owned()),
        Just("CREATE POLICY p (a = ".to_owned()),
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn tokens_cover_the_text(sql in fragments()) {
        let mut end = 0;
        for token in tokenize(&sql) {
            prop_assert_eq!(token.start, end);
            prop_assert!(token.end > token.start && sql.is_char_boundary(token.end));
            end = token.end;
        }
        prop_assert_eq!(end, sql.len());
    }

    #[test]
    fn rewriting_never_panics_and_offsets_stay_inside(sql in fragments()) {
        for statement in split(&sql) {
            let range = statement.range();
            prop_assert!(range.start < range.end && range.end <= sql.len());
            match parse(&sql, &statement) {
                Ok(Parsed::Sql(parsed)) => {
                    for offset in 0..=parsed.rewritten.text.len() + 1 {
                        let source = parsed.rewritten.map.source(offset);
                        prop_assert!(source <= sql.len());
                    }
                }
                Ok(Parsed::Command(_)) => {}
                Err(error) => {
                    prop_assert!(error.range.start <= error.range.end && error.range.end <= sql.len());
                }
            }
        }
    }
}
