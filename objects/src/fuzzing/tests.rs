//! The inputs that are kept in `fuzz/` as ordinary tests, and thousands of mutations of them; `PATINA_LONG_TESTS=1` makes it 100 times as many.
#![expect(clippy::disallowed_methods, reason = "the inputs lie in the real file system")]

use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn dir(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind).join("rows")
}

fn inputs() -> Vec<Vec<u8>> {
    let entries =
        ["corpus", "regressions"].map(|kind| fs::read_dir(dir(kind)).ok()).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn every_kept_input_is_survived() {
    let inputs = inputs();
    assert!(inputs.len() >= 4);
    assert!(inputs.iter().any(|input| decode_row(ObjectId(1), input).is_ok_and(|row| row.holds.len() == 1)));
    inputs.iter().for_each(|input| rows(input));
    rows(b"");
}

fn cases() -> u32 {
    if std::env::var_os("PATINA_LONG_TESTS").is_some() { 1_000_000 } else { 10_000 }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn every_mutation_of_an_input_is_survived(
        pick: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..9, prop::collection::vec(any::<u8>(), 0..9)), 0..6),
    ) {
        let inputs = inputs();
        let mut data = inputs[pick.index(inputs.len())].clone();
        for (at, removed, bytes) in changes {
            let from = at.index(data.len() + 1);
            let to = (from + removed).min(data.len());
            data.splice(from..to, bytes);
        }
        rows(&data);
    }
}
