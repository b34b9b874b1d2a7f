use proptest::prelude::*;

use super::*;
use crate::params::Limits;
use crate::{Content, Degraded};

fn to(text: &[u8], mime: &str, depth: Depth) -> Degraded {
    crate::degrade(text, mime, depth, &Params::default(), &Limits::default())
}

fn summary(degraded: &Degraded) -> &str {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    std::str::from_utf8(bytes).unwrap()
}

/// An essay with a subject, some digressions, and headings.
const ESSAY: &str = "\
# Lighthouses of the northern coast

A lighthouse is a tower that warns ships of rocks and shoals with a bright light. The weather was nice. The
first lighthouse of the northern coast was built of wood and burned down twice.

## The lamp

The lamp of a lighthouse was fed with whale oil, later with kerosene, and at last with electricity. People
like to eat lunch. A lens, invented by Augustin Fresnel, gathers the light of the lamp into a beam that ships
see from twenty miles away. It was Tuesday.

## The keeper

The keeper of a lighthouse lit the lamp at dusk, trimmed its wick every four hours, and put it out at dawn.
His dog barked. When fog hid the light, the keeper rang a bell or fired a gun so that ships heard the coast
that they could not see. Today automatic lamps have replaced the keeper of nearly every lighthouse. Bread is
made of flour.
";

/// The sentences of an output stand in the source, in the same order.
fn assert_verbatim_and_in_order(source: &str, output: &str) {
    let mut from = 0;
    for unit in prose::units(output).iter().filter(|unit| unit.role != Role::Terms) {
        let found = source[from..].find(unit.text);
        assert!(found.is_some(), "not in the source, or out of order: {:?}", unit.text);
        from += found.unwrap_or(0);
    }
}

#[test]
fn kept_sentences_are_verbatim_and_in_order() {
    for depth in [Depth::Warm, Depth::Cold] {
        assert_verbatim_and_in_order(ESSAY, summary(&to(ESSAY.as_bytes(), "text/markdown", depth)));
    }
}

#[test]
fn what_matters_stays_and_digressions_go() {
    let warm = to(ESSAY.as_bytes(), "text/markdown", Depth::Warm);
    let text = summary(&warm);
    for heading in ["# Lighthouses of the northern coast", "## The lamp", "## The keeper"] {
        assert!(text.contains(heading), "{heading}");
    }
    for digression in ["Tuesday", "lunch", "dog", "flour", "weather"] {
        assert!(!text.contains(digression), "{digression} in {text}");
    }
    assert_eq!(warm.media_type, "text/markdown");
    assert!(text.contains("\n\n## The lamp\n\n"), "{text}");
}

#[test]
fn cold_says_less_than_warm_and_lists_terms() {
    let text = ESSAY.repeat(3);
    let (warm, cold) =
        (to(text.as_bytes(), "text/plain", Depth::Warm), to(text.as_bytes(), "text/plain", Depth::Cold));
    let (warm_text, cold_text) = (summary(&warm), summary(&cold));
    assert!(cold_text.len() < warm_text.len());
    let warm_units: Vec<&str> = prose::units(warm_text).iter().map(|unit| unit.text).collect();
    for unit in prose::units(cold_text).iter().filter(|unit| unit.role != Role::Terms) {
        assert!(warm_units.contains(&unit.text), "only in cold: {:?}", unit.text);
    }
    assert!(cold_text.lines().last().unwrap().starts_with(TERMS_PREFIX));
}

#[test]
fn a_summary_can_be_summarised_and_traced() {
    let warm = to(ESSAY.as_bytes(), "text/markdown", Depth::Warm);
    let cold = to(summary(&warm).as_bytes(), &warm.media_type, Depth::Cold);
    assert_verbatim_and_in_order(ESSAY, summary(&cold));
    let trace = to(summary(&cold).as_bytes(), &cold.media_type, Depth::Trace);
    let Content::Trace(json) = &trace.content else { panic!("no trace") };
    let trace: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(trace["title"], "Lighthouses of the northern coast");
    assert!(trace["terms"].as_array().unwrap().contains(&"lighthouse".into()));
}

#[test]
fn a_trace_tells_title_counts_language_and_terms() {
    let trace = to(ESSAY.as_bytes(), "text/markdown", Depth::Trace);
    let Content::Trace(json) = &trace.content else { panic!("no trace") };
    let trace: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((&trace["language"], &trace["sentences"]), (&"en".into(), &12.into()));
    assert_eq!(trace["lines"], ESSAY.lines().count());
    let top: Vec<_> = trace["terms"].as_array().unwrap().iter().take(5).collect();
    assert!(top.contains(&&"lighthouse".into()) && top.contains(&&"lamp".into()), "{top:?}");
}

#[test]
fn languages_are_recognised_and_noise_has_none() {
    let language = |text: &str| Weights::of(&prose::units(text)).language;
    assert_eq!(
        language("Der Hund und die Katze sind nicht im Haus, weil es auf dem Dach zu heiß ist."),
        Some("de")
    );
    assert_eq!(language("Le chat est sur la table et il ne veut pas descendre dans le jardin."), Some("fr"));
    assert_eq!(language("El perro está en la casa y no quiere salir a la calle con los niños."), Some("es"));
    assert_eq!(language("qwx zrt plk mnb vfd"), None);
}

#[test]
fn old_encodings_become_utf8_and_the_note_says_so() {
    let text = "Die Straße ist naß. Über den Häusern hängt Nebel, und der Bäcker öffnet früh. ".repeat(9);
    let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for (bytes, name) in [(latin1, "Latin-1"), (utf16, "UTF-16")] {
        let warm = to(&bytes, "text/plain", Depth::Warm);
        assert_verbatim_and_in_order(&text, summary(&warm));
        assert!(warm.note.unwrap().contains(&format!("{name} became UTF-8")));
    }
}

#[test]
fn a_page_becomes_its_visible_text() {
    let page = format!(
        "<!DOCTYPE html><html><head><title>Towers &amp; lamps</title><style>p {{ color: red }}</style></head>\
         <body><script>if (a < b) {{ alert('</p>') }}</script><h2>The lamp</h2>{}</body></html>",
        "<p>A <b>lamp</b> shines&nbsp;far. It was bought in &#49;850 by the keeper of the tower.</p>"
            .repeat(4)
    );
    let warm = to(page.as_bytes(), "text/html", Depth::Warm);
    let text = summary(&warm);
    assert!(text.starts_with("# Towers & lamps\n\n## The lamp\n\n"), "{text}");
    assert!(text.contains("It was bought in 1850 by the keeper of the tower."), "{text}");
    assert!(!text.contains("alert") && !text.contains("color"), "{text}");
    assert_eq!(warm.media_type, "text/markdown");
}

#[test]
fn unclosed_markup_takes_linear_time() {
    for piece in ["<a", "<!--", "<script>", "</", "&", "<p "] {
        html::visible_text(&piece.repeat(200_000));
    }
}

#[test]
fn code_keeps_its_declarations_before_its_details() {
    let body =
        "    let sum = left + right;\n    if sum > limit {\n        sum -= limit;\n    }\n    sum\n}\n\n";
    let code: String = (0..12)
        .map(|i| {
            format!("/// Adds with wrap number {i}.\npub fn add_{i}(left: u32, right: u32) -> u32 {{\n{body}")
        })
        .collect();
    let cold = to(code.as_bytes(), "text/x-rust", Depth::Warm);
    let text = summary(&cold);
    let declarations = text.matches("pub fn add_").count();
    assert!(declarations >= 4, "{declarations} in {text}");
    assert!(text.matches("sum -= limit").count() < declarations);
    assert_eq!(cold.media_type, "text/x-rust");
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let kept = to(&[0, 159, 146, 150, 0, 1, 2, 3], "text/plain", Depth::Cold);
    assert_eq!(kept.content, Content::Same);
    assert!(kept.note.unwrap().contains("is no text"));
}

#[test]
fn a_text_over_its_limit_is_kept() {
    let limits = Limits { text_bytes: 100, ..Limits::default() };
    let kept = crate::degrade(ESSAY.as_bytes(), "text/plain", Depth::Cold, &Params::default(), &limits);
    assert_eq!(kept.content, Content::Same);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the text: verbatim, in order, monotone, deterministic.
    #[test]
    fn any_text_keeps_the_promises(parts in proptest::collection::vec(
        prop_oneof![
            "[A-Z][a-z]{2,9}( [a-zà-ü]{1,9}){1,12}[.!?] ",
            "\n\n",
            "\n",
            "# [A-Z][a-z]{3,8}\n\n",
            "- [a-z ]{3,30}\n",
            "\\PC{0,40}",
        ], 1..60)) {
        let text: String = parts.concat();
        let degraded = [Depth::Warm, Depth::Cold, Depth::Trace].map(|depth| to(text.as_bytes(), "text/plain", depth));
        for degraded in &degraded {
            if let Content::Bytes(bytes) = &degraded.content {
                let output = std::str::from_utf8(bytes).unwrap();
                for line in output.lines().filter(|line| !line.starts_with(TERMS_PREFIX)) {
                    // Sentences of one paragraph are joined by a space, so a line is a chain of slices.
                    prop_assert!(is_chain_of_slices(&text, line), "{line:?}");
                }
            }
        }
        let reading = Reading::of(&text, Form::Prose);
        let params = Params::default();
        let (warm, cold) = (reading.warm(&params), reading.cold(&params));
        prop_assert!(warm.fidelity >= cold.fidelity - 1e-9, "{} {}", warm.fidelity, cold.fidelity);
        for at in 0..reading.units.len() {
            prop_assert!(!cold.selection.kept[at] || warm.selection.kept[at]);
        }
        let again = to(text.as_bytes(), "text/plain", Depth::Cold);
        prop_assert_eq!(&degraded[1], &again);
    }
}

/// Whether `line` is made of slices of `text`, separated by single spaces.
fn is_chain_of_slices(text: &str, line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let mut from = 0;
    while from < words.len() {
        let Some(len) =
            (1..=words.len() - from).rev().find(|len| text.contains(&words[from..from + len].join(" ")))
        else {
            return false;
        };
        from += len;
    }
    true
}

#[test]
fn a_front_matter_stays_at_every_stage_and_its_facts_are_in_the_trace() {
    let body: String = (0..40)
        .map(|n| {
            format!(
                "## Part {n}\n\nThe tide number {n} rises in the harbour. Boats leave with the tide {n}.\n\n"
            )
        })
        .collect();
    let front = "---\ntitle: On Tides\nauthor: M. Lunn\npages: 12\nlayout: post\n---";
    let text = format!("{front}\n\n{body}");
    for depth in [Depth::Warm, Depth::Cold] {
        let degraded =
            crate::degrade(text.as_bytes(), "text/markdown", depth, &Params::default(), &Limits::default());
        let crate::Content::Bytes(less) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
        assert!(less.starts_with(front.as_bytes()), "{}", String::from_utf8_lossy(less));
        let trace =
            crate::degrade(less, "text/markdown", Depth::Trace, &Params::default(), &Limits::default())
                .content;
        let crate::Content::Trace(json) = trace else { panic!("no trace") };
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["title"], &json["author"]), (&"On Tides".into(), &"M. Lunn".into()));
        assert_eq!(json["pages"], 12);
        assert!(!json["terms"].as_array().unwrap().contains(&"lunn".into()), "facts are no terms");
    }
}

#[test]
fn a_rule_at_the_start_is_no_front_matter() {
    for text in ["---\nA sentence: it stands here.\n---\nAnother.\n", "---\n---\nText.\n", "---\ntitle: x\n"]
    {
        assert!(prose::units(text).iter().all(|unit| unit.role != Role::Front), "{text:?}");
    }
}

#[test]
fn a_page_is_marked_where_something_of_it_stays() {
    let page = |n: usize| format!("[page {n}]\n\nThe weather was dull on day {n}, and nobody came.\n\n");
    let text: String = (1..60).map(page).collect::<String>().replace(
        "[page 30]\n\n",
        "[page 30]\n\nThe lighthouse keeper of Skellig counts lighthouse lamps, lighthouse keepers and lamps. ",
    );
    let cold =
        crate::degrade(text.as_bytes(), "text/markdown", Depth::Cold, &Params::default(), &Limits::default());
    let crate::Content::Bytes(less) = &cold.content else { panic!("kept: {:?}", cold.note) };
    let less = String::from_utf8(less.clone()).unwrap();
    for (at, mark) in less.match_indices("[page ") {
        let after = &less[at..];
        let next = after[1..].find("[page ").unwrap_or(after.len() - 1);
        assert!(after[..next].lines().count() > 2, "{mark} of nothing: {less}");
    }
}

#[test]
fn a_text_without_sentences_is_read_by_its_lines() {
    let rows: String = (0..200).map(|n| format!("{n} place number {n} by the sea {}\n", n * 7)).collect();
    let warm =
        crate::degrade(rows.as_bytes(), "text/plain", Depth::Warm, &Params::default(), &Limits::default());
    let Content::Bytes(bytes) = warm.content else { panic!("kept: {:?}", warm.note) };
    let left = std::str::from_utf8(&bytes).unwrap();
    assert!(
        left.lines().filter(|line| !line.is_empty()).all(|line| rows.lines().any(|row| row == line)),
        "{left}"
    );
    assert!(warm.note.as_deref().unwrap().ends_with("of 200 lines kept"), "{:?}", warm.note);
}

#[test]
fn a_text_of_too_many_pieces_is_kept() {
    let few = Limits { rows: 10, ..Limits::default() };
    let sentences = |n: usize| "It is so. ".repeat(n).into_bytes();
    let lines = |n: usize| "so\n".repeat(n).into_bytes();
    for (text, is_kept) in
        [(sentences(39), false), (sentences(41), true), (lines(39), false), (lines(41), true)]
    {
        let warm = crate::degrade(&text, "text/plain", Depth::Warm, &Params::default(), &few);
        let note = warm.note.unwrap_or_default();
        assert_eq!(note.contains("more than 40 lines and sentences"), is_kept, "{note}");
    }
}
