use super::*;

/// Each unit with a mark of its role: `H` heading, `S` sentence, `T` terms.
fn marked(text: &str) -> Vec<String> {
    let mark = |unit: &Unit<'_>| match unit.role {
        Role::Heading => format!("H {}", unit.text),
        Role::Sentence => format!("S {}", unit.text),
        Role::Terms => format!("T {}", unit.text),
        Role::Front => format!("F {}", unit.text),
        Role::Mark => format!("M {}", unit.text),
    };
    units(text).iter().map(mark).collect()
}

#[test]
fn wrapped_lines_are_one_sentence_and_keep_their_line_feeds() {
    let text = "All rights granted\nunder this License. They\r\nare irrevocable.\n";
    assert_eq!(marked(text), ["S All rights granted\nunder this License.", "S They\r\nare irrevocable."]);
}

#[test]
fn lines_that_nobody_wrapped_are_paragraphs() {
    let long = "This line goes on and on without any full stop at its end and is far longer than a page is wide, \
                so nobody wrapped it";
    let text = format!("{long} at all\nThe next one starts anew\n");
    assert_eq!(marked(&text), [format!("S {long} at all"), "S The next one starts anew".to_owned()]);
}

#[test]
fn headings_of_all_kinds_are_found() {
    let cases = [
        ("# One\n\nText here.", "H # One"),
        ("One\n===\n\nText here.", "H One\n==="),
        (
            "GNU GENERAL PUBLIC LICENSE\n    Version 3\n\nText here.",
            "H GNU GENERAL PUBLIC LICENSE\n    Version 3",
        ),
        ("  2. Basic Permissions.\n\nText here.", "H 2. Basic Permissions."),
        ("Statement of Purpose\n\nText here.", "H Statement of Purpose"),
    ];
    for (text, heading) in cases {
        assert_eq!(marked(text), [heading, "S Text here."], "{text:?}");
    }
}

#[test]
fn what_only_looks_like_a_heading_is_a_sentence() {
    assert_eq!(marked("It rains.\n\nYes!\n"), ["S It rains.", "S Yes!"]);
    assert_eq!(marked("1. Mix the flour.\n2. Add water.\n"), ["S 1. Mix the flour.", "S 2. Add water."]);
    assert_eq!(marked("#hashtag is no heading at all, is it?"), ["S #hashtag is no heading at all, is it?"]);
}

#[test]
fn abbreviations_and_initials_do_not_end_a_sentence() {
    let text = "Dr. Smith met J. Doe, e.g. at No. 3. Then Prof. Meier left. It cost 3.50 dollars.";
    let expected =
        ["S Dr. Smith met J. Doe, e.g. at No. 3.", "S Then Prof. Meier left.", "S It cost 3.50 dollars."];
    assert_eq!(marked(text), expected);
}

#[test]
fn list_items_and_rows_stand_alone_and_fences_stay_whole() {
    let text = "Things:\n- one thing\n- another\n  thing\n\n| a | b |\n|---|---|\n\n```rust\nlet a = 1;\n\nlet b;\n```\n";
    let expected = [
        "S Things:",
        "S - one thing",
        "S - another\n  thing",
        "S | a | b |",
        "S |---|---|",
        "S ```rust\nlet a = 1;\n\nlet b;\n```",
    ];
    assert_eq!(marked(text), expected);
}

#[test]
fn the_list_of_terms_is_recognised_only_at_the_end() {
    assert_eq!(marked("One is here.\n\nFurther terms: sun, moon\n"), ["S One is here.", "T sun, moon"]);
    assert_eq!(marked("Further terms: sun, moon.\n\nOne is here.")[0], "S Further terms: sun, moon.");
}

#[test]
fn a_text_of_endless_numbers_takes_linear_time() {
    let text = "1. ".repeat(200_000);
    assert!(!units(&text).is_empty());
}
