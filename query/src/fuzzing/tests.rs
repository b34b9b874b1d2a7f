//! The inputs that are kept in `fuzz/` as ordinary tests, and mutations of them; `PATINA_LONG_TESTS=1` makes it 100 times as many.

use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

fn inputs() -> Vec<String> {
    let dir = |kind: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind).join("sql");
    let entries =
        ["corpus", "regressions"].map(|kind| fs::read_dir(dir(kind)).ok()).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_kept_input_is_survived() {
    let inputs = inputs();
    assert!(inputs.len() >= 10);
    inputs.iter().for_each(|input| sql(input.as_bytes()));
    sql(b"");
    sql(&[0xff]);
}

fn cases() -> u32 {
    if std::env::var_os("PATINA_LONG_TESTS").is_some() { 50_000 } else { 500 }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    /// Pieces of two inputs, with characters changed.
    #[test]
    fn every_mutation_of_an_input_is_survived(
        first: prop::sample::Index,
        second: prop::sample::Index,
        cuts: [prop::sample::Index; 2],
        changes in prop::collection::vec((any::<prop::sample::Index>(), "\\PC{0,2}|[()'\";,.*=<>-]|[0-9]{1,3}"), 0..4),
    ) {
        let inputs = inputs();
        let part = |pick: prop::sample::Index, cut: prop::sample::Index| {
            let chars: Vec<char> = inputs[pick.index(inputs.len())].chars().collect();
            let cut = cut.index(chars.len() + 1);
            (chars[..cut].to_vec(), chars[cut..].to_vec())
        };
        let mut chars = [part(first, cuts[0]).0, part(second, cuts[1]).1].concat();
        for (at, text) in changes {
            let at = at.index(chars.len() + 1);
            let to = (at + 1).min(chars.len());
            chars.splice(at..to, text.chars());
        }
        sql(String::from_iter(chars).as_bytes());
    }
}
