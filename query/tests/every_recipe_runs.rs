//! The recipes of `docs/policies.md` are run as they stand there, and do what the page says.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{World, failure, one, rows};

/// The SQL of the page, one block a recipe.
fn recipes() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks =
        page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

#[test]
fn all_of_them_do_what_the_page_says() {
    let recipes = recipes();
    assert_eq!(recipes.len(), 6, "a recipe was added: say here what it promises");
    let world = World::new();
    let mut session = world.session();
    for recipe in &recipes {
        session.query(recipe, &[]).expect("the recipe runs");
    }
    for (name, policy) in [
        ("ci/build.bin", "artifacts"),
        ("ci/release/1.0.bin", "releases"),
        ("invoices/2024.txt", "invoices"),
        ("evidence/mail.txt", "evidence"),
        ("notes.txt", "text"),
    ] {
        world.put(name, &format!("{name}: {}", "the lighthouse warns ships off the rocks. ".repeat(20)));
        assert_eq!(
            rows(&mut session, &format!("SELECT policy FROM objects WHERE name = '{name}'")),
            [policy]
        );
    }
    let held = failure(&mut session, "PURGE 'evidence/mail.txt'");
    assert!(held.to_string().contains("release first"), "{held}");

    one(&mut session, "TICK FORCE");
    let whole = "SELECT name FROM objects WHERE stage = 0 ORDER BY name";
    assert_eq!(rows(&mut session, whole), ["ci/release/1.0.bin", "evidence/mail.txt", "invoices/2024.txt"]);
    // A budget of one byte takes no more than what may go.
    session.query("SET BUDGET 1; TICK", &[]).expect("the budget is kept as far as it can be");
    assert_eq!(rows(&mut session, whole), ["ci/release/1.0.bin", "evidence/mail.txt", "invoices/2024.txt"]);
    session.query("DROP BUDGET", &[]).expect("the budget goes");

    for year in 0..10 {
        world.after_days(365);
        let left = rows(&mut session, "SELECT stage FROM objects WHERE name = 'invoices/2024.txt'");
        assert_eq!(left, ["0"], "year {year}");
    }
    world.after_days(31);
    assert_eq!(rows(&mut session, "SELECT stage FROM objects WHERE name = 'invoices/2024.txt'"), ["4"]);
    assert_eq!(rows(&mut session, "SELECT count(*) FROM objects WHERE name = 'ci/build.bin'"), ["0"]);
    assert_eq!(rows(&mut session, "SELECT stage FROM objects WHERE name = 'evidence/mail.txt'"), ["0"]);
}
